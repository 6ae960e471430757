/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one program at the exit of system calls. Every call of the machine passes here, so the number is tested first,
 * then the container; only then anything is read.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/family.h"
#include "bpf/loop.h"
#include "bpf/raw.h"
#include "bpf/syscall.h"
#include "bpf/task.h"

/*
 * Which numbers matter now, in the 64-bit table and in the 32-bit one: one byte is read where a chain of comparisons would
 * tax every call of the machine. calls_choose fills it; what nobody wants is 0 here and costs no more than any other call.
 */
enum { CALL_NATIVE = 1, CALL_COMPAT = 2 };
static u8 call_tables[CALL_NUMBERS];

/* Of one sendmmsg: all that the kernel takes (UIO_MAXIOV), or as many as the verifier follows one after another. */
#ifdef TAFFRAIL_CLASSIC
enum { MESSAGES_MAX = 16 };
#else
enum { MESSAGES_MAX = 1024 };
#endif

struct call_arguments {
	u64 at[4];
};

/* socketcall(2): which call it is, and where its arguments are. */
static __noinline u32 read_socketcall(struct call_arguments *arguments)
{
	u32 given[3] = {};
	u64 which = arguments->at[0];

	bpf_probe_read_user(given, sizeof(given), (void *)arguments->at[1]);
	arguments->at[0] = given[0];
	arguments->at[1] = given[1];
	arguments->at[2] = given[2];
	return call_multiplexed(which);
}

/* The arguments, of whichever table, and the call. 0: it does not matter. */
static __always_inline u32 read_registers(
	struct pt_regs *regs, u32 which, bool compat, struct call_arguments *arguments)
{
	call_arguments(regs, compat, arguments->at);
	return which == CALL_MULTIPLEXED ? read_socketcall(arguments) : which;
}

/* openat2's struct open_how: flags, mode, resolve. */
static __noinline void read_open_how(struct call *call, u64 address)
{
	u64 how[2] = {};

	bpf_probe_read_user(how, sizeof(how), (void *)address);
	call->flags = how[0];
	call->mode = how[1];
}

static __always_inline void call_file(struct call *call, const struct call_arguments *arguments)
{
	const u64 *at = arguments->at;

	switch (call->header.call) {
	case KERNEL_CALL_OPEN:
		call->address = at[0];
		call->flags = at[1];
		call->mode = at[2];
		break;
	case KERNEL_CALL_CREAT:
		call->address = at[0];
		call->flags = 01 | 0100 | 01000; /* O_WRONLY, O_CREAT, O_TRUNC */
		call->mode = at[1];
		break;
	case KERNEL_CALL_OPENAT:
		call->fd = at[0];
		call->address = at[1];
		call->flags = at[2];
		call->mode = at[3];
		break;
	case KERNEL_CALL_OPENAT2:
		call->fd = at[0];
		call->address = at[1];
		read_open_how(call, at[2]);
		break;
	default: /* KERNEL_CALL_OPEN_BY_HANDLE_AT */ call->flags = at[2]; break;
	}
	file_opened(call);
}

/* The arguments are registers; socketcall's are memory that another thread may change, so there the socket is asked. */
static __noinline void call_socket(struct call *call, const struct call_arguments *arguments)
{
	u32 family = arguments->at[0], type = arguments->at[1], protocol = arguments->at[2];

	if (call->header.flags & KERNEL_COMPAT && call->result >= 0) {
		struct sock *sk = socket_of_call(call, call->result);

		if (sk) {
			family = kernel_get(sk, __sk_common.skc_family);
			type = kernel_get(sk, sk_type);
			if (family != AF_PACKET) /* which does not keep it there */
				protocol = kernel_get(sk, sk_protocol);
		}
	}
	socket_created(call, family, type, protocol);
}

/* Does anybody want to know of this send? Of most never. */
static __always_inline bool send_matters(struct pt_regs *regs, u32 which)
{
	if (packet_socket_seen || unix_by_exit || canary_tgid)
		return true;
	return call_send_flags(regs, which) & MSG_FASTOPEN;
}

/* Reads where a struct msghdr says that its message goes. */
static __always_inline void read_message(struct call *call, u64 message)
{
	u64 native[2] = {};
	u32 compat[2] = {};

	if (call->header.flags & KERNEL_COMPAT) {
		bpf_probe_read_user(compat, sizeof(compat), (void *)message);
		call->address = compat[0];
		call->length = compat[1];
	} else {
		bpf_probe_read_user(native, sizeof(native), (void *)message);
		call->address = native[0];
		call->length = native[1];
	}
}

/* All six arguments of a send. */
static __always_inline void read_send(struct pt_regs *regs, bool compat, u32 which, u64 at[6])
{
	u32 given[6] = {};

	call_arguments(regs, compat, at);
	call_more_arguments(regs, compat, at + 4);
	if (call_of(call_number(regs), compat) != CALL_MULTIPLEXED)
		return;
	if (which == KERNEL_CALL_SENDTO)
		bpf_probe_read_user(given, sizeof(given), (void *)at[1]);
	else
		bpf_probe_read_user(given, 4 * sizeof(u32), (void *)at[1]);
	for (u32 i = 0; i < 6; i++)
		at[i] = given[i];
}

/* What sendmmsg has sent behind its first message. */
struct messages {
	struct call *call;
	u64 at;
	u32 size, count;
};

#ifdef TAFFRAIL_CLASSIC
/* With `loop` 5.10 looked at the first of them alone, for a reason not found; one after another it does. */
static __always_inline void call_next_messages(struct messages *messages)
{
	for (u32 i = 0; i < MESSAGES_MAX - 1 && i < messages->count; i++) {
		read_message(messages->call, messages->at + (u64)i * messages->size);
		socket_sent(messages->call);
	}
}
#else
static long call_next_message(u32 index, void *data)
{
	struct messages *messages = data;

	if (index >= messages->count)
		return 1;
	read_message(messages->call, messages->at + (u64)index * messages->size);
	socket_sent(messages->call);
	return 0;
}

static __always_inline void call_next_messages(struct messages *messages)
{
	bpf_loop(MESSAGES_MAX - 1, call_next_message, messages, 0);
}
#endif

/* A function for itself: the stack is short. True: it may have been a connect as well. */
static __noinline bool call_send(struct call *call, struct pt_regs *regs)
{
	u32 which = call->header.call;
	u32 size = call->header.flags & KERNEL_COMPAT ? 32 : 64; /* struct mmsghdr */
	s64 sent = call->result;
	bool connects;
	u64 at[6];

	read_send(regs, call->header.flags & KERNEL_COMPAT, which, at);
	call_socket_at(call, at[0]);
	if (which == KERNEL_CALL_SENDTO) {
		call->flags = at[3];
		call->address = at[4];
		call->length = at[5];
	} else {
		call->flags = at[which == KERNEL_CALL_SENDMSG ? 2 : 3];
		read_message(call, at[1]);
	}
	connects = socket_sent(call);
	if (which == KERNEL_CALL_SENDMMSG && !connects && sent > 1) {
		struct messages rest = {call, at[1] + size, size, sent - 1};

		call_next_messages(&rest);
	}
	if (connects && call->result > 0) /* bytes */
		call->result = 0;
	return connects;
}

/* A function of its own: what it takes of the stack is free again when the rooms walk a path, which needs much (6.1). */
static __noinline bool call_wanted(struct call *call)
{
	return task_untimed(&call->header);
}

static __always_inline u32 promise_of(u32 which)
{
	switch (which) {
	case KERNEL_CALL_OPEN:
	case KERNEL_CALL_CREAT:
	case KERNEL_CALL_OPENAT:
	case KERNEL_CALL_OPENAT2: return KERNEL_SYSCALL_OPEN;
	case KERNEL_CALL_OPEN_BY_HANDLE_AT: return KERNEL_SYSCALL_HANDLE;
	case KERNEL_CALL_EXECVE:
	case KERNEL_CALL_EXECVEAT: return KERNEL_SYSCALL_EXEC;
	case KERNEL_CALL_CONNECT: return KERNEL_SYSCALL_CONNECT;
	case KERNEL_CALL_ACCEPT:
	case KERNEL_CALL_ACCEPT4: return KERNEL_SYSCALL_ACCEPT;
	case KERNEL_CALL_LISTEN: return KERNEL_SYSCALL_LISTEN;
	case KERNEL_CALL_SOCKET: return KERNEL_SYSCALL_SOCKET;
	case KERNEL_CALL_SENDTO:
	case KERNEL_CALL_SENDMSG:
	case KERNEL_CALL_SENDMMSG: return KERNEL_SYSCALL_SEND;
	default: return 0;
	}
}

/* Is the call told here: one that always is, and that function hooks do not serve, or one that is wanted? */
static __always_inline bool call_served(u32 which)
{
	u32 promise = promise_of(which);

	if (which == CALL_MULTIPLEXED)
		return true;
	return promise ? !(syscall_spares & promise) : which && call_asked(which);
}

static __always_inline void call_choose(u32 number)
{
	u8 tables = 0;

	if (call_served(native_calls[number]))
		tables |= CALL_NATIVE;
	if (call_served(compat_calls[number]))
		tables |= CALL_COMPAT;
	call_tables[number] = tables;
}

/* Run by the loader (BPF_PROG_TEST_RUN) when it has set syscall_spares and calls_wanted, never attached. */
SEC("raw_tp/calls_choose")
int calls_choose(void *unused)
{
	for (u32 number = 0; number < CALL_NUMBERS; number++)
		call_choose(number);
	return 0;
}

/* Those that are told always, as far as their result matters. */
static __always_inline void call_returned(
	struct call *call, struct pt_regs *regs, const struct call_arguments *arguments)
{
	switch (call->header.call) {
	case KERNEL_CALL_EXECVE:
		call->address = arguments->at[0];
		if (call->result < 0)
			process_exec_failed(call);
		break;
	case KERNEL_CALL_EXECVEAT:
		call->fd = arguments->at[0];
		call->address = arguments->at[1];
		if (call->result < 0)
			process_exec_failed(call);
		break;
	case KERNEL_CALL_SOCKET: call_socket(call, arguments); break;
	case KERNEL_CALL_SENDTO:
	case KERNEL_CALL_SENDMSG:
	case KERNEL_CALL_SENDMMSG:
		if (call_send(call, regs))
			network_connected(call);
		break;
	case KERNEL_CALL_CONNECT:
		call_socket_at(call, arguments->at[0]);
		call->address = arguments->at[1];
		call->length = arguments->at[2];
		network_connected(call);
		break;
	case KERNEL_CALL_ACCEPT:
	case KERNEL_CALL_ACCEPT4:
		if (call->result >= 0)
			network_accepted(call);
		break;
	case KERNEL_CALL_LISTEN:
		call_socket_at(call, arguments->at[0]);
		network_listened(call);
		break;
	default: call_file(call, arguments); break;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	struct call_arguments arguments;
	u64 number = call_number(regs);
	u8 tables = number < CALL_NUMBERS ? call_tables[number] : 0;
	bool compat;
	u32 which;

	if (!tables)
		return 0;
	/* Which table the number is of is asked only where it may matter in either. */
	compat = call_compat(bpf_get_current_task_btf());
	if (!(tables & (compat ? CALL_COMPAT : CALL_NATIVE)))
		return 0;
	which = call_of(number, compat);
	if (!compat && promise_of(which) == KERNEL_SYSCALL_SEND && !send_matters(regs, which))
		return 0;

	CALL_BEGIN(call);

	if (!call_wanted(call))
		return 0;
	which = read_registers(regs, which, compat, &arguments);
	if (!call_served(which))
		return 0;
	if (compat)
		call->header.flags |= KERNEL_COMPAT;
	call->header.call = which;
	call->result = result;
	call->fd = AT_FDCWD;
	if (promise_of(which))
		call_returned(call, regs, &arguments);
	else
		family_returned(call, regs);
	return 0;
}
