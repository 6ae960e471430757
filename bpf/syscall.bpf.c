/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one program at the exit of system calls. Every call of the machine passes here, so the number is tested first,
 * then the container; only then anything is read.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/loop.h"
#include "bpf/raw.h"
#include "bpf/syscall.h"
#include "bpf/task.h"

enum {
	/* The first argument of socketcall (linux/net.h). */
	SOCKETCALL_SOCKET = 1,
	SOCKETCALL_CONNECT = 3,
	SOCKETCALL_LISTEN = 4,
	SOCKETCALL_ACCEPT = 5,
	SOCKETCALL_SENDTO = 11,
	SOCKETCALL_SENDMSG = 16,
	SOCKETCALL_ACCEPT4 = 18,
	SOCKETCALL_SENDMMSG = 20,
};

/* Of one sendmmsg: all that the kernel takes (UIO_MAXIOV), or as many as the verifier follows one after another. */
#ifdef TAFFRAIL_CLASSIC
enum { MESSAGES_MAX = 16 };
#else
enum { MESSAGES_MAX = 1024 };
#endif

struct call_arguments {
	u64 at[4];
};

/* socketcall(2): a number of its own, and where its arguments are. */
static __noinline u64 read_socketcall(struct call_arguments *arguments)
{
	u32 given[3] = {};
	u64 number;

	bpf_probe_read_user(given, sizeof(given), (void *)arguments->at[1]);
	switch (arguments->at[0]) {
	case SOCKETCALL_SOCKET: number = CALL_SOCKET; break;
	case SOCKETCALL_CONNECT: number = CALL_CONNECT; break;
	case SOCKETCALL_LISTEN: number = CALL_LISTEN; break;
	case SOCKETCALL_ACCEPT:
	case SOCKETCALL_ACCEPT4: number = CALL_ACCEPT; break;
	case SOCKETCALL_SENDTO: number = CALL_SENDTO; break;
	case SOCKETCALL_SENDMSG: number = CALL_SENDMSG; break;
	case SOCKETCALL_SENDMMSG: number = CALL_SENDMMSG; break;
	default: return 0;
	}
	arguments->at[0] = given[0];
	arguments->at[1] = given[1];
	arguments->at[2] = given[2];
	return number;
}

/* The arguments, of whichever table, and the number as if of the 64-bit one. 0: it does not matter. */
static __always_inline u64 read_registers(
	struct pt_regs *regs, u64 number, bool compat, struct call_arguments *arguments)
{
	call_arguments(regs, compat, arguments->at);
	if (!compat)
		return number;
	return number == COMPAT_SOCKETCALL ? read_socketcall(arguments) : compat_number(number);
}

/* openat2's struct open_how: flags, mode, resolve. */
static __noinline void read_open_how(struct call *call, u64 address)
{
	u64 how[2] = {};

	bpf_probe_read_user(how, sizeof(how), (void *)address);
	call->flags = how[0];
	call->mode = how[1];
}

static __always_inline void call_file(struct call *call, u64 number, const struct call_arguments *arguments)
{
	const u64 *at = arguments->at;

	switch (number) {
	case CALL_OPEN:
		call->address = at[0];
		call->flags = at[1];
		call->mode = at[2];
		break;
	case CALL_CREAT:
		call->address = at[0];
		call->flags = 01 | 0100 | 01000; /* O_WRONLY, O_CREAT, O_TRUNC */
		call->mode = at[1];
		break;
	case CALL_OPENAT:
		call->fd = at[0];
		call->address = at[1];
		call->flags = at[2];
		call->mode = at[3];
		break;
	case CALL_OPENAT2:
		call->fd = at[0];
		call->address = at[1];
		read_open_how(call, at[2]);
		break;
	default: /* CALL_OPEN_BY_HANDLE */ call->flags = at[2]; break;
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

/* Does anybody want to know of sends by this number? Of most never. */
static __always_inline bool send_matters(struct pt_regs *regs, u64 number)
{
	if (packet_socket_seen || unix_by_exit || canary_tgid)
		return true;
	return call_send_flags(regs, number) & MSG_FASTOPEN;
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
static __always_inline void read_send(struct pt_regs *regs, bool compat, u64 number, u64 at[6])
{
	u32 given[6] = {};

	call_arguments(regs, compat, at);
	call_more_arguments(regs, compat, at + 4);
	if (!compat || call_number(regs) != COMPAT_SOCKETCALL)
		return;
	if (number == CALL_SENDTO)
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
static __noinline bool call_send(struct call *call, struct pt_regs *regs, u64 number)
{
	u32 size = call->header.flags & KERNEL_COMPAT ? 32 : 64; /* struct mmsghdr */
	s64 sent = call->result;
	bool connects;
	u64 at[6];

	read_send(regs, call->header.flags & KERNEL_COMPAT, number, at);
	call->fd = at[0];
	if (number == CALL_SENDTO) {
		call->flags = at[3];
		call->address = at[4];
		call->length = at[5];
	} else {
		call->flags = at[number == CALL_SENDMSG ? 2 : 3];
		read_message(call, at[1]);
	}
	connects = socket_sent(call);
	if (number == CALL_SENDMMSG && !connects && sent > 1) {
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

static __always_inline u32 promise_of(u64 number)
{
	switch (number) {
	case CALL_OPEN:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_OPENAT2: return KERNEL_SYSCALL_OPEN;
	case CALL_OPEN_BY_HANDLE: return KERNEL_SYSCALL_HANDLE;
	case CALL_EXECVE:
	case CALL_EXECVEAT: return KERNEL_SYSCALL_EXEC;
	case CALL_CONNECT: return KERNEL_SYSCALL_CONNECT;
	case CALL_ACCEPT:
	case CALL_ACCEPT4: return KERNEL_SYSCALL_ACCEPT;
	case CALL_LISTEN: return KERNEL_SYSCALL_LISTEN;
	case CALL_SOCKET: return KERNEL_SYSCALL_SOCKET;
	case CALL_SENDTO:
	case CALL_SENDMSG:
	case CALL_SENDMMSG: return KERNEL_SYSCALL_SEND;
	default: return 0;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	struct call_arguments arguments;
	u64 number = call_number(regs);
	u8 tables = number < CALL_NUMBERS ? call_tables[number] : 0;
	bool compat;

	if (!tables)
		return 0;
	/* Which table the number is of is asked only where it may matter in either. */
	compat = call_compat(bpf_get_current_task_btf());
	if (!(tables & (compat ? CALL_COMPAT : CALL_NATIVE)))
		return 0;
	if (!compat && (number == CALL_SENDTO || number == CALL_SENDMSG || number == CALL_SENDMMSG) &&
		!send_matters(regs, number))
		return 0;

	CALL_BEGIN(call);

	if (!call_wanted(call))
		return 0;
	number = read_registers(regs, number, compat, &arguments);
	if (syscall_spares & promise_of(number))
		return 0;
	if (compat)
		call->header.flags |= KERNEL_COMPAT;
	call->result = result;
	call->fd = AT_FDCWD;
	switch (number) {
	case CALL_OPEN:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_OPENAT2:
	case CALL_OPEN_BY_HANDLE: call_file(call, number, &arguments); break;
	case CALL_EXECVE:
		call->address = arguments.at[0];
		if (result < 0)
			process_exec_failed(call);
		break;
	case CALL_EXECVEAT:
		call->fd = arguments.at[0];
		call->address = arguments.at[1];
		if (result < 0)
			process_exec_failed(call);
		break;
	case CALL_SOCKET: call_socket(call, &arguments); break;
	case CALL_SENDTO:
	case CALL_SENDMSG:
	case CALL_SENDMMSG:
		if (call_send(call, regs, number))
			network_connected(call);
		break;
	case CALL_CONNECT:
		call->fd = arguments.at[0];
		call->address = arguments.at[1];
		call->length = arguments.at[2];
		network_connected(call);
		break;
	case CALL_ACCEPT:
	case CALL_ACCEPT4:
		if (result >= 0)
			network_accepted(call);
		break;
	case CALL_LISTEN:
		call->fd = arguments.at[0];
		network_listened(call);
		break;
	}
	return 0;
}
