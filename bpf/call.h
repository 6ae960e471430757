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
	u32 flags;
	u32 mode;
	bool unknown; /* it was asked for, and its result will not be told */
	bool gone;    /* the object is out of reach: nothing behind a descriptor of `current` may be taken for it */
};

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
/* raw.bpf.c */
void socket_created(const struct call *call, u32 family, u32 type, u32 protocol);
void socket_sent(struct call *call);
/* unix.bpf.c: a datagram to a name, where no hook of its own is there */
void unix_sent(const struct call *call, struct sock *sk);

/*
 * Appends the path that the call was given as `argument`, and if it is a relative one and the call failed or came through
 * io_uring, what it starts from as `directory`. Notes what was cut in `truncated`. Returns the record's end.
 */
static __always_inline u32 call_path(const struct call *call, struct scratch *scratch, u32 end,
	struct kernel_string *argument, struct kernel_string *directory, u16 *truncated)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 start = end;
	bool cut = false;
	struct path from = {};

	string_note(argument, 0, 0);
	string_note(directory, 0, 0);
	if (call->name)
		end = string_kernel(scratch, end, argument, (void *)call->name, KERNEL_PATH_MAX, &cut);
	else if (call->address)
		end = string_user(scratch, end, argument, (void *)call->address, KERNEL_PATH_MAX, &cut);
	if (cut && call->result == -ENAMETOOLONG)
		*truncated |= KERNEL_CUT_ARGUMENT;
	/* Through io_uring the descriptor is looked at late: user space compares the path with what was asked for. */
	if (call->result >= 0 && !(call->header.flags & KERNEL_URING))
		return end;
	if (argument->length > 0 && *scratch_at(scratch, start) == '/')
		return end;
	if (call->fd == AT_FDCWD) {
		from.mnt = BPF_CORE_READ(task, fs, pwd.mnt);
		from.dentry = BPF_CORE_READ(task, fs, pwd.dentry);
	} else {
		struct file *file = file_of_descriptor(task, call->fd);

		if (!file)
			return end;
		from.mnt = BPF_CORE_READ(file, f_path.mnt);
		from.dentry = BPF_CORE_READ(file, f_path.dentry);
	}
	if (path_append(scratch, &end, directory, from.mnt, from.dentry, BPF_CORE_READ(task, nsproxy, mnt_ns),
		    KERNEL_PATH_MAX) &
		PATH_CUT)
		*truncated |= KERNEL_CUT_DIRECTORY;
	return end;
}

#endif
