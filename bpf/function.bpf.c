/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function hooks: programs at the return of the kernel's own functions, which cost nothing to any call that does not come
 * by. They have what the exit of a system call has not: the opened file and the socket before any descriptor names them,
 * and the kernel's copies of path and address. The loader attaches them instead of the program at the exit of system
 * calls where the kernel allows it (user/sensor/attach.c), each promise by itself.
 *
 * Where one function does not see all ways to fail, a second one further out tells the rest; what was told already is
 * noted in `told`, for the same thread.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/socket.h"
#include "bpf/syscall.h"
#include "bpf/task.h"
#include "bpf/uring.h"

enum {
	OPEN_FOR_EXEC = 0x20, /* __FMODE_EXEC in open_flags.open_flag: execve and uselib open so */
	MODE_BITS = 07777,    /* of open_flags.mode, to which the kernel adds S_IFREG */

	RESOLVE_CACHED = 0x20,
	RING_NONBLOCK = 1, /* IO_URING_F_NONBLOCK: an attempt; with EAGAIN another one follows */

	ADDRESS_MAX = 128, /* sizeof(struct sockaddr_storage) */
	THREADS_MAX = 4096,
	ERRORS_MAX = 4095, /* MAX_ERRNO */
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct open_flags {
	int open_flag;
	u16 mode;
};

/* Where a kernel still has it: without, the kernel opens for itself. It is gone since 7.0. */
struct filename___user {
	const char *uptr;
};

#pragma clang attribute pop

/* What an inner function has told, by thread, for the outer one that returns next: an error, or a call's number. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, u32);
	__type(value, u64);
} told SEC(".maps");

/* An open that io_uring makes, while it makes it. */
struct ring_open {
	struct open_how how; /* the request's: an attempt adds O_NONBLOCK, and the kernel's copy has lost O_CLOEXEC */
	u64 retried;         /* with EAGAIN it is tried again */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, u32);
	__type(value, struct ring_open);
} ring_opens SEC(".maps");

/* How many there are: mostly none, and then no open needs to look. */
__u32 ring_open_count = 0;

static __always_inline void told_note(u64 what)
{
	u32 tid = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&told, &tid, &what, BPF_ANY);
}

static __always_inline bool told_take(u64 what)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 *noted = bpf_map_lookup_elem(&told, &tid);
	bool same = noted && *noted == what;

	if (noted)
		bpf_map_delete_elem(&told, &tid);
	return same;
}

/* --- who calls ------------------------------------------------------------------------------------------------------ */

/* The system call that the running thread is in. What its registers say is fixed as long as it is inside. */
struct entered {
	u32 call; /* enum kernel_call; 0: none of these, or a thread of the kernel's */
	u64 at[6];
	bool compat;
};

/*
 * Fills the header, if the running thread is to be recorded. Not inline, as others below: what their frames take is free
 * again for what is called afterwards.
 */
static __noinline bool caller(struct call *call)
{
	if (!task_untimed(&call->header))
		return false;
	if (call_compat(bpf_get_current_task_btf()))
		call->header.flags |= KERNEL_COMPAT;
	call->header.call = call_entered(bpf_get_current_task_btf());
	return true;
}

static __always_inline void read_entered(struct entered *entered)
{
	struct task_struct *task = bpf_get_current_task_btf();

	entered->call = call_entered(task);
	if (entered->call == KERNEL_CALL_NONE)
		return;
	entered->compat = call_compat(task);
	call_arguments(task_registers(task), entered->compat, entered->at);
}

/* Marks what io_uring asked for: the system call that the thread is in is another's. */
static __always_inline void by_ring(struct call *call)
{
	call->header.flags |= KERNEL_URING;
	call->header.call = KERNEL_CALL_NONE;
}

/*
 * The error in an ERR_PTR, or 0. To the verifier it is a pointer, with which nothing can be calculated: its lower half is
 * a number.
 */
static __always_inline s32 error_of(u64 pointer)
{
	u32 low;

	if (pointer < (u64)-ERRORS_MAX)
		return 0;
	asm volatile("%0 = %1" : "=w"(low) : "w"((u32)pointer));
	return low;
}

/* --- opens ---------------------------------------------------------------------------------------------------------- */

/*
 * The flags and the mode as the program gave them: of the call's registers, or of the kernel's copy where they are not
 * there. False: it is no open of the program's.
 */
static __noinline bool open_claims(struct call *call, struct open_flags *with)
{
	struct entered entered = {};
	const u64 *at = entered.at;
	u64 close_on_exec = 0;

	read_entered(&entered);
	switch (entered.call) {
	case KERNEL_CALL_OPEN:
		call->flags = at[1];
		call->mode = at[2];
		break;
	case KERNEL_CALL_CREAT:
		call->flags = 01 | 0100 | 01000; /* O_WRONLY, O_CREAT, O_TRUNC */
		call->mode = at[1];
		break;
	case KERNEL_CALL_OPENAT:
		call->flags = at[2];
		call->mode = at[3];
		break;
	case KERNEL_CALL_OPENAT2:
		/* The kernel's copy has lost the flag that is the descriptor's. */
		bpf_probe_read_user(&close_on_exec, sizeof(close_on_exec), (void *)at[2]);
		call->flags = kernel_read(with, open_flag) | (close_on_exec & OPEN_CLOSE_ON_EXEC);
		call->mode = kernel_read(with, mode) & MODE_BITS;
		break;
	default: return false;
	}
	return true;
}

/* Errors that may also come before any path is looked up: then the outer function tells them. */
static __always_inline bool comes_early(s64 error)
{
	return error == -EINVAL || error == -ENAMETOOLONG || error == -EAGAIN || error == -ENOMEM;
}

static __always_inline void ring_end(void)
{
	u32 tid = bpf_get_current_pid_tgid();

	if (bpf_map_delete_elem(&ring_opens, &tid) == 0)
		__sync_fetch_and_add(&ring_open_count, -1);
}

enum ring_claim { RING_NONE, RING_OPEN, RING_RETRIED };

/* The same of an open that io_uring makes in this thread: in whichever call or worker, so registers say nothing. */
static __noinline enum ring_claim ring_claims(struct call *call, s64 error)
{
	u32 tid = bpf_get_current_pid_tgid();
	struct ring_open *open = bpf_map_lookup_elem(&ring_opens, &tid);

	bool last;

	if (!open)
		return RING_NONE;
	last = error != -EAGAIN || !open->retried;
	call->flags = open->how.flags;
	call->mode = open->how.mode;
	by_ring(call);
	ring_end();
	return last ? RING_OPEN : RING_RETRIED;
}

SEC("fentry/io_openat2")
int BPF_PROG(function_ring_begins, struct io_open *request, u32 issue_flags)
{
	struct ring_open open = {};
	struct container container;
	struct task_struct *task = bpf_get_current_task_btf();
	u32 tid = bpf_get_current_pid_tgid();

	if (!task_wanted(task, &container))
		return 0;
	open.how.flags = kernel_get(request, how.flags) & ~(u64)OPEN_LARGE; /* which it adds to every open */
	open.how.mode = kernel_get(request, how.mode);
	open.retried = issue_flags & RING_NONBLOCK && !(kernel_get(request, how.resolve) & RESOLVE_CACHED);
	if (bpf_map_update_elem(&ring_opens, &tid, &open, BPF_NOEXIST) == 0)
		__sync_fetch_and_add(&ring_open_count, 1);
	return 0;
}

SEC("fexit/io_openat2")
int BPF_PROG(function_ring_ends)
{
	if (ring_open_count)
		ring_end();
	return 0;
}

/* do_filp_open, do_file_open since 7.0: every path that is opened comes by, of system calls, io_uring and the kernel. */
SEC("fexit/do_filp_open")
int BPF_PROG(function_opened, int directory, struct filename *path, struct open_flags *with, u64 file)
{
	struct filename___user *user = (void *)path;
	struct call call = {};
	enum ring_claim ring = RING_NONE;

	if (kernel_read(with, open_flag) & OPEN_FOR_EXEC || !caller(&call))
		return 0;
	/* A driver that loads its firmware when it is opened. */
	if (bpf_core_field_exists(user->uptr) && !kernel_read(user, uptr))
		return 0;
	call.result = error_of(file);
	if (!call.result)
		call.object = file;
	call.name = (u64)kernel_read(path, name);
	if (!call.name) /* since 7.0 what failed to be copied comes as far as here: function_not_opened tells it */
		return 0;
	call.fd = directory;
	call.exact = true;
	if (ring_open_count)
		ring = ring_claims(&call, call.result);
	if (ring == RING_RETRIED || (ring == RING_NONE && !open_claims(&call, with)))
		return 0;
	if (ring == RING_NONE && comes_early(call.result))
		told_note(call.result);
	file_opened(&call);
	return 0;
}

/* Opens that fail before a path is looked up: no descriptor left, flags that do not go together, a bad address. */
SEC("fexit/do_sys_openat2")
int BPF_PROG(function_not_opened, int directory, const char *path, struct open_how *how, long result)
{
	struct call call = {.address = (u64)path, .fd = directory};
	char first = 0;

	call.result = (s32)result; /* a long in some kernels, in some an int */
	if (call.result >= 0)
		return 0;
	switch (call.result) {
	case -EFAULT:
	case -EMFILE: break;
	case -ENOENT:
		if (bpf_probe_read_user(&first, sizeof(first), path) < 0 || first)
			return 0;
		break;
	default:
		if (!comes_early(call.result))
			return 0;
	}
	if (!caller(&call))
		return 0;
	if (comes_early(call.result) && told_take(call.result))
		return 0;
	call.flags = kernel_get(how, flags);
	call.mode = kernel_get(how, mode);
	file_opened(&call);
	return 0;
}

/* open_by_handle_at has found the file. */
SEC("fexit/do_file_open_root")
int BPF_PROG(function_handle_found, void *root, const char *name, struct open_flags *with, u64 file)
{
	struct entered entered = {};
	struct call call = {.fd = AT_FDCWD};

	if (error_of(file) || !caller(&call))
		return 0;
	read_entered(&entered);
	if (entered.call != KERNEL_CALL_OPEN_BY_HANDLE_AT)
		return 0;
	call.object = file;
	call.flags = entered.at[2];
	told_note(KERNEL_CALL_OPEN_BY_HANDLE_AT);
	file_opened(&call);
	return 0;
}

/* open_by_handle_at has returned: what failed, and what a file system has opened by itself (pidfs, nsfs; 6.13 on). */
SEC("fexit/do_handle_open")
int BPF_PROG(function_handle_opened, int mount, void *handle, int flags, long result)
{
	struct call call = {.fd = AT_FDCWD, .flags = flags};

	call.result = (s32)result;
	if (!caller(&call) || told_take(KERNEL_CALL_OPEN_BY_HANDLE_AT))
		return 0;
	file_opened(&call);
	return 0;
}

/* --- sockets -------------------------------------------------------------------------------------------------------- */

static __always_inline u64 sock_of_file(struct file *file)
{
	struct socket *socket = kernel_get(file, private_data);

	return (u64)kernel_get(socket, sk);
}

/* Notes the descriptor of a socket, or that io_uring did it. `own` and `other` are the system calls that do the same. */
static __noinline void mark_ring(struct call *call, u64 sk, u64 own, u64 other)
{
	struct entered entered = {};

	read_entered(&entered);
	if (entered.call == own || entered.call == other)
		call->descriptor = entered.compat ? 0 : entered.at[0] + 1; /* of socketcall it is in memory */
	else if (uring_flag(sk))
		by_ring(call);
}

/* Both connect(2) and io_uring's, with the address that the kernel has copied. */
SEC("fexit/__sys_connect_file")
int BPF_PROG(function_connected, struct file *file, void *address, int length, int flags, int result)
{
	struct call call = {.name = (u64)address, .length = length};

	call.result = result;
	if (!caller(&call))
		return 0;
	call.object = sock_of_file(file);
	mark_ring(&call, call.object, KERNEL_CALL_CONNECT, KERNEL_CALL_CONNECT);
	network_connected(&call);
	return 0;
}

/* A connect whose address could not be copied. */
SEC("fexit/__sys_connect")
int BPF_PROG(function_not_connected, int fd, void *address, int length, int result)
{
	struct call call = {.fd = fd, .descriptor = fd + 1, .address = (u64)address, .length = length};

	call.result = result;
	if (result != -EFAULT && !(result == -EINVAL && (u32)length > ADDRESS_MAX))
		return 0;
	if (caller(&call))
		network_connected(&call);
	return 0;
}

SEC("fexit/do_accept")
int BPF_PROG(function_accepted, struct file *listener, void *a, void *b, void *c, int flags, u64 accepted)
{
	struct call call = {};

	if (error_of(accepted) || !caller(&call))
		return 0;
	mark_ring(&call, sock_of_file(listener), KERNEL_CALL_ACCEPT, KERNEL_CALL_ACCEPT4);
	call.object = sock_of_file((struct file *)accepted);
	network_accepted(&call);
	return 0;
}

static __always_inline int listened(struct socket *socket, int result)
{
	struct call call = {};

	call.result = result;
	if (!caller(&call))
		return 0;
	call.object = (u64)kernel_get(socket, sk);
	mark_ring(&call, call.object, KERNEL_CALL_LISTEN, KERNEL_CALL_LISTEN);
	network_listened(&call);
	return 0;
}

/* Not a socket without a file: that is MPTCP's own, below the one that listens (seen on 6.1). */
SEC("fexit/inet_listen")
int BPF_PROG(function_listened, struct socket *socket, int backlog, int result)
{
	return kernel_get(socket, file) ? listened(socket, result) : 0;
}

SEC("fexit/unix_listen")
int BPF_PROG(function_listened_unix, struct socket *socket, int backlog, int result)
{
	return listened(socket, result);
}

SEC("fexit/mptcp_listen")
int BPF_PROG(function_listened_mptcp, struct socket *socket, int backlog, int result)
{
	return listened(socket, result);
}

/* Is it none of those three's? A security module refused it, the socket knows no listening, or it is of another kind. */
static __noinline bool listened_else(u64 address, int result)
{
	struct sock *sk = (void *)address;
	u16 family, protocol;

	if (result == -EOPNOTSUPP || result == -EACCES || result == -EPERM)
		return true;
	family = kernel_get(sk, __sk_common.skc_family);
	protocol = kernel_get(sk, sk_protocol);
	if (family == AF_INET || family == AF_INET6)
		return protocol != IPPROTO_TCP && protocol != PROTOCOL_MPTCP;
	return family != AF_UNIX;
}

/* io_uring's (6.11 on). Where the compiler has not put it into listen(2) as well, that comes by too. */
SEC("fexit/__sys_listen_socket")
int BPF_PROG(function_listened_ring, struct socket *socket, int backlog, int result)
{
	if (!listened_else((u64)kernel_get(socket, sk), result))
		return 0;
	told_note(KERNEL_CALL_LISTEN);
	return listened(socket, result);
}

SEC("fexit/__sys_listen")
int BPF_PROG(function_listened_else, int fd, int backlog, int result)
{
	struct call call = {.fd = fd, .descriptor = fd + 1};

	call.result = result;
	call.object = (u64)socket_of_file(file_of_descriptor(bpf_get_current_task_btf(), fd));
	if (!call.object || !listened_else(call.object, result) || !caller(&call) || told_take(KERNEL_CALL_LISTEN))
		return 0;
	network_listened(&call);
	return 0;
}

SEC("fexit/__sys_socket")
int BPF_PROG(function_socket, int family, int type, int protocol, int result)
{
	struct call call = {};

	call.result = result;
	if (caller(&call))
		socket_created(&call, family, type, protocol);
	return 0;
}

/* A connect that comes with the first data (MSG_FASTOPEN). */
SEC("fexit/__inet_stream_connect")
int BPF_PROG(function_fast_open, struct socket *socket, void *address, int length, int flags, int sends, int result)
{
	struct call call = {.name = (u64)address, .length = length};

	call.result = result;
	if (!sends || !caller(&call))
		return 0;
	call.object = (u64)kernel_get(socket, sk);
	if (uring_flag(call.object))
		by_ring(&call);
	network_connected(&call);
	return 0;
}

/* A datagram or a packet, to the address that the kernel has copied. */
static __always_inline int sent(struct socket *socket, struct msghdr *message, int result)
{
	struct call call = {};

	call.result = result;
	if (result < 0 || !caller(&call))
		return 0;
	call.object = (u64)kernel_get(socket, sk);
	call.name = (u64)kernel_get(message, msg_name);
	call.length = kernel_get(message, msg_namelen);
	if (uring_flag(call.object))
		by_ring(&call);
	socket_sent(&call);
	return 0;
}

SEC("fexit/packet_sendmsg")
int BPF_PROG(function_packet_sent, struct socket *socket, struct msghdr *message, size_t length, int result)
{
	return sent(socket, message, result);
}

/* Of sockets of the old kind (SOCK_PACKET). */
SEC("fexit/packet_sendmsg_spkt")
int BPF_PROG(function_old_packet_sent, struct socket *socket, struct msghdr *message, size_t length, int result)
{
	return sent(socket, message, result);
}

SEC("fexit/unix_dgram_sendmsg")
int BPF_PROG(function_unix_sent, struct socket *socket, struct msghdr *message, size_t length, int result)
{
	return sent(socket, message, result);
}

/* --- failed execs --------------------------------------------------------------------------------------------------- */

/* A path that does not exist, or a file that cannot be executed: any reason. Its name is as the program has it. */
static __always_inline int exec_returned(long result, bool at)
{
	struct entered entered = {};
	struct call call = {.fd = AT_FDCWD};

	call.result = result;
	if (result >= 0 || !caller(&call))
		return 0;
	read_entered(&entered);
	call.address = entered.at[at ? 1 : 0];
	if (at)
		call.fd = entered.at[0];
	process_exec_failed(&call);
	return 0;
}

SEC("fexit/__x64_sys_execve")
int BPF_PROG(function_exec, void *registers, long result)
{
	return exec_returned(result, false);
}

SEC("fexit/__x64_sys_execveat")
int BPF_PROG(function_execat, void *registers, long result)
{
	return exec_returned(result, true);
}

SEC("fexit/__ia32_compat_sys_execve")
int BPF_PROG(function_exec_compat, void *registers, long result)
{
	return exec_returned(result, false);
}

SEC("fexit/__ia32_compat_sys_execveat")
int BPF_PROG(function_execat_compat, void *registers, long result)
{
	return exec_returned(result, true);
}
