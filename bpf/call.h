/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that have returned, whichever way they came: from the exit of system calls (syscall.bpf.c, one program, for every
 * further one would tax every call of the machine), from function hooks, or from io_uring. Whoever saw one hands it to
 * the rooms as a struct call, with as much of the kernel's own as its hook has.
 */
#ifndef TAFFRAIL_CALL_H
#define TAFFRAIL_CALL_H

#include "bpf/file.h"
#include "bpf/path.h"
#include "bpf/ring.h"

/* The arguments of the call, brought to one form; those that the call has not got are 0. */
struct call {
	struct kernel_header header; /* its process part is filled */
	s64 result;
	u64 object;  /* the struct file that was opened, or the struct sock; 0: not known, look behind the descriptor */
	u64 name;    /* the kernel's own copy of the path or sockaddr; 0: there is only what is at `address` */
	u64 address; /* user memory: a path, a sockaddr or a msghdr */
	u32 length;  /* of the sockaddr */
	s32 fd;      /* the socket, or the directory that a relative path starts from */
	u32 descriptor; /* of the socket, plus 1; 0: not known */
	u32 flags;
	u16 mode;
	bool unknown; /* it was asked for, and its result will not be told */
	bool exact;   /* the object is the one that the call made: no descriptor was followed */
	bool gone;    /* the object is out of reach: nothing behind a descriptor of `current` may be taken for it */
};

/*
 * A struct call to fill, in a program at the exit of system calls: all 0. The classic object has it in memory of the CPU,
 * for more of the stack goes into reading there; before 5.17 nothing preempts such a program, nor does it interrupt itself.
 */
#ifdef TAFFRAIL_CLASSIC
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct call);
} call_room SEC(".maps") __weak;

static __always_inline struct call *call_begin(void)
{
	u32 zero = 0;
	struct call *call = bpf_map_lookup_elem(&call_room, &zero);

	if (call)
		__builtin_memset(call, 0, sizeof(*call));
	return call;
}
#define CALL_BEGIN(call)                                                                                               \
	struct call *call = call_begin();                                                                              \
	if (!call)                                                                                                     \
	return 0
#else
#define CALL_BEGIN(call)                                                                                               \
	struct call call##_room = {};                                                                                  \
	struct call *call = &call##_room
#endif

/*
 * Those promises that function hooks serve (KERNEL_SYSCALL_*), and neither the exit of system calls nor io_uring's own
 * hooks: set by the loader before those are attached.
 */
__u32 syscall_spares __weak = 0;

/*
 * Bits 1 << enum kernel_call of what somebody wants to be told, who may change his mind while the programs run (the loader's
 * loader_want). Of calls that are told always the bit asks for more: of opens what their paths start from, of socket() the
 * ordinary ones, of connect() what it returned. Of those that receive KERNEL_WANT_DATA asks for all, with their data.
 */
__u64 calls_wanted __weak = 0;

#define CALL_BIT(call) (1ull << KERNEL_CALL_##call)
#define CALLS_OPEN (CALL_BIT(OPEN) | CALL_BIT(OPENAT) | CALL_BIT(OPENAT2) | CALL_BIT(CREAT))

static __always_inline bool call_asked(u32 which)
{
	return calls_wanted >> (which & 63) & 1;
}

/* Notes that the call is about the socket at this descriptor. */
static __always_inline void call_socket_at(struct call *call, u32 fd)
{
	call->fd = fd;
	call->descriptor = fd + 1;
}

/* Set by the loader: is there no hook on datagrams to unix sockets? Then whoever sees a send looks at them. */
const volatile bool unix_by_exit __weak = false;

/* file.bpf.c */
void file_opened(const struct call *call);
/* process.bpf.c */
void process_exec_failed(const struct call *call);
/* network.bpf.c */
void network_connected(const struct call *call);
void network_accepted(const struct call *call);
void network_listened(const struct call *call);
/* vsock.bpf.c: the same for AF_VSOCK; the socket is at hand */
void vsock_connected(const struct call *call, struct sock *sk);
void vsock_told(const struct call *call, struct sock *sk, u32 kind);
/* raw.bpf.c; a send may have been a connect as well: then it is the caller's to tell it, for the stack is short */
void socket_created(const struct call *call, u32 family, u32 type, u32 protocol);
bool socket_sent(const struct call *call);
/* unix.bpf.c: a datagram to a name, where no hook of its own is there */
void unix_sent(const struct call *call, struct sock *sk);

/* Appends the path that the call was given. Notes what was cut in `truncated`. Returns the record's end. */
static __always_inline u32 call_argument(
	const struct call *call, struct scratch *scratch, u32 end, struct kernel_string *argument, u16 *truncated)
{
	bool cut = false;

	string_note(argument, 0, 0);
	if (call->name)
		end = string_kernel(scratch, end, argument, (void *)call->name, KERNEL_PATH_MAX, &cut);
	else if (call->address)
		end = string_user(scratch, end, argument, (void *)call->address, KERNEL_PATH_MAX, &cut);
	if (cut && call->result == -ENAMETOOLONG)
		*truncated |= KERNEL_CUT_ARGUMENT;
	return end;
}

/* Where a relative path starts from. */
static __always_inline void call_directory(const struct call *call, struct path *from)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file;

	from->mnt = NULL;
	from->dentry = NULL;
	if (call->fd == AT_FDCWD) {
		from->mnt = kernel_get(task, fs, pwd.mnt);
		from->dentry = kernel_get(task, fs, pwd.dentry);
		return;
	}
	file = file_of_descriptor(task, call->fd);
	if (!file)
		return;
	from->mnt = kernel_get(file, f_path.mnt);
	from->dentry = kernel_get(file, f_path.dentry);
}

/*
 * Appends what the argument, if it is a relative path, starts from: for calls that failed, where the kernel has no file.
 * Notes what was cut in `truncated`. Returns the record's end.
 */
static __always_inline u32 call_start(const struct call *call, struct scratch *scratch, u32 end,
	const struct kernel_string *argument, struct kernel_string *directory, u16 *truncated)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct path from;

	string_note(directory, 0, 0);
	if (argument->length && *scratch_at(scratch, argument->offset) == '/')
		return end;
	call_directory(call, &from);
	if (!from.dentry)
		return end;
	if (path_append(scratch, &end, directory, from.mnt, from.dentry, kernel_get(task, nsproxy, mnt_ns),
		    KERNEL_PATH_MAX) &
		PATH_CUT)
		*truncated |= KERNEL_CUT_DIRECTORY;
	return end;
}

#endif
