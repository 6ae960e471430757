/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process does to its rights, its descriptors, its namespaces, another process, or the kernel: dup, ptrace, the
 * setuid family, setns, unshare, bpf, modules, userfaultfd, mounts. And what of it failed.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/family.h"
#include "bpf/loop.h"
#include "bpf/path.h"
#include "bpf/ring.h"
#include "bpf/socket.h"
#include "bpf/task.h"

enum {
	TRACE_ME = 0,    /* PTRACE_TRACEME */
	TRACEES_MAX = 8, /* of one thread, that are looked through */
	NAMESPACE_MAGIC = 0x6e736673,
	UNCHANGED = -1, /* an id that a call leaves as it is */
	FROM_EMPTY = 4, /* MOVE_MOUNT_F_EMPTY_PATH */
};

/* --- what a descriptor is ------------------------------------------------------------------------------------------- */

static __noinline u32 deed_file(struct scratch *scratch, struct file *file, u32 end)
{
	struct kernel_deed *deed = (void *)scratch->record;

	if (path_append(scratch, &end, &deed->path, kernel_get(file, f_path.mnt), kernel_get(file, f_path.dentry),
		    kernel_get(bpf_get_current_task_btf(), nsproxy, mnt_ns), KERNEL_PATH_MAX) &
		PATH_CUT)
		deed->truncated |= KERNEL_CUT_PATH;
	return end;
}

/* Both ends of a socket, and which of them is its own where that was seen; of a unix socket the name that it has. */
static __noinline u32 deed_socket(struct scratch *scratch, struct sock *sk, u32 end)
{
	struct kernel_deed *deed = (void *)scratch->record;
	struct socket_entry *entry;
	struct sock *peer;
	u64 key = (u64)sk;

	read_tuple(&deed->tuple, sk);
	if (deed->tuple.family != AF_UNIX) {
		entry = bpf_map_lookup_elem(&sockets, &key);
		deed->accepted = entry && entry->flags & SOCKET_ACCEPTED;
		return end;
	}
	end = unix_name(scratch, end, &deed->path, sk);
	peer = kernel_get((struct unix_sock *)sk, peer);
	if (!deed->path.length && peer)
		end = unix_name(scratch, end, &deed->path, peer);
	return end;
}

static __always_inline u32 deed_descriptor(struct scratch *scratch, u32 fd, u32 end)
{
	struct kernel_deed *deed = (void *)scratch->record;
	struct file *file = file_of_descriptor(bpf_get_current_task_btf(), fd);
	struct sock *sk;

	deed->descriptor = fd + 1;
	if (!file)
		return end;
	deed->descriptor_type = file_type(file);
	sk = socket_of_file(file);
	return sk ? deed_socket(scratch, sk, end) : deed_file(scratch, file, end);
}

/* --- other processes ------------------------------------------------------------------------------------------------ */

/*
 * The tracee of that number, in the tracer's pid namespace: the last that was attached stands first in the tracer's list.
 * Once a call has failed, or the tracee is let go, there is none.
 */
static __noinline void deed_tracee(struct kernel_deed *deed, u32 number)
{
	struct task_struct *task = bpf_get_current_task_btf(), *tracee = NULL;
	struct pid *own = kernel_get(task, thread_pid);
	u32 level = kernel_get(own, level) & 31;
	struct list_head *head = &task->ptraced, *at = kernel_load(struct list_head *, head);

	if (deed->request == TRACE_ME)
		tracee = task;
#pragma unroll
	for (int i = 0; i < TRACEES_MAX; i++) {
		struct task_struct *child = kernel_container_of(at, struct task_struct, ptrace_entry);

		if (!tracee && at != head && pid_number(kernel_get(child, thread_pid), level) == number)
			tracee = child;
		at = kernel_get(at, next);
	}
	deed->other = number;
	if (!tracee)
		return;
	deed->other = kernel_get(tracee, pid);
	copy_task_name(deed->other_name, tracee);
}

/* --- rights and namespaces ------------------------------------------------------------------------------------------ */

static __noinline void deed_ids(struct kernel_deed *deed, const struct family_arguments *arguments)
{
	struct cred *cred = (void *)kernel_get(bpf_get_current_task_btf(), cred);
	u32 which = deed->header.call;

	switch (which) {
	case KERNEL_CALL_SETREUID:
	case KERNEL_CALL_SETREGID:
	case KERNEL_CALL_SETRESUID:
	case KERNEL_CALL_SETRESGID: deed->id = arguments->at[1]; break;
	default: deed->id = arguments->at[0]; break;
	}
	if (which == KERNEL_CALL_SETFSUID || which == KERNEL_CALL_SETFSGID)
		deed->result = 0; /* it is the id before, which may look like an error: these never fail */
	if (deed->result < 0 || deed->id == (u32)UNCHANGED)
		return;
	switch (which) {
	case KERNEL_CALL_SETFSUID: deed->id = kernel_get(cred, fsuid.val); break;
	case KERNEL_CALL_SETFSGID: deed->id = kernel_get(cred, fsgid.val); break;
	case KERNEL_CALL_SETGID:
	case KERNEL_CALL_SETREGID:
	case KERNEL_CALL_SETRESGID: deed->id = kernel_get(cred, egid.val); break;
	default: deed->id = kernel_get(cred, euid.val); break;
	}
}

/* The namespace's type: as given, else that of the namespace behind the descriptor. */
static __noinline void deed_namespace(struct kernel_deed *deed, const struct family_arguments *arguments)
{
	struct file *file = file_of_descriptor(bpf_get_current_task_btf(), arguments->at[0]);
	struct inode *inode;

	deed->descriptor = arguments->at[0] + 1;
	deed->flags = deed->request = (u32)arguments->at[1];
	if (deed->request || !file)
		return;
	inode = kernel_get(file, f_inode);
	if (kernel_get(inode, i_sb, s_magic) == NAMESPACE_MAGIC)
		deed->request = compat_namespace_type(kernel_get(inode, i_private));
}

/* --- modules and mounts --------------------------------------------------------------------------------------------- */

static __noinline u32 deed_text(struct scratch *scratch, struct kernel_string *string, u64 address, u32 end)
{
	bool cut;

	return string_user(scratch, end, string, (void *)address, KERNEL_PATH_MAX, &cut);
}

/* Where something is mounted. */
static __noinline u32 deed_where(struct scratch *scratch, const struct call *call, u32 end)
{
	struct kernel_deed *deed = (void *)scratch->record;

	end = call_argument(call, scratch, end, &deed->argument, &deed->truncated);
	return call_start(call, scratch, end, &deed->argument, &deed->directory, &deed->truncated);
}

static __always_inline u32 deed_mount(
	struct scratch *scratch, struct call *call, const struct family_arguments *arguments, u32 end)
{
	struct kernel_deed *deed = (void *)scratch->record;
	const u64 *at = arguments->at;
	struct file *file;

	switch (call->header.call) {
	case KERNEL_CALL_MOUNT:
		call->address = at[1];
		deed->flags = at[3];
		end = deed_text(scratch, &deed->source, at[0], end);
		end = deed_text(scratch, &deed->type, at[2], end);
		end = deed_text(scratch, &deed->data, at[4], end);
		break;
	case KERNEL_CALL_MOVE_MOUNT:
		call->fd = at[2];
		call->address = at[3];
		deed->flags = (u32)at[4];
		file = deed->flags & FROM_EMPTY ? file_of_descriptor(bpf_get_current_task_btf(), at[0]) : NULL;
		if (file)
			end = deed_file(scratch, file, end);
		else
			end = deed_text(scratch, &deed->source, at[1], end);
		break;
	default: /* umount2 */
		call->address = at[0];
		deed->flags = (u32)at[1];
		break;
	}
	return deed_where(scratch, call, end);
}

/* --- the record ----------------------------------------------------------------------------------------------------- */

static __always_inline u32 deed_fill(
	struct scratch *scratch, struct call *call, const struct family_arguments *arguments, u32 kind)
{
	struct kernel_deed *deed = (void *)scratch->record;
	const u64 *at = arguments->at;
	u32 end = sizeof(*deed);

	switch (kind) {
	case KERNEL_DUP:
		deed->request = (u32)at[0];
		if (call->header.call == KERNEL_CALL_DUP3)
			deed->flags = (u32)at[2];
		return deed_descriptor(scratch, call->result < 0 ? at[0] : call->result, end);
	case KERNEL_PTRACE:
		deed->request = at[0];
		deed_tracee(deed, at[1]);
		return end;
	case KERNEL_SETUID: deed_ids(deed, arguments); return end;
	case KERNEL_SETNS: deed_namespace(deed, arguments); return end;
	case KERNEL_UNSHARE: deed->flags = at[0]; return end;
	case KERNEL_BPF: deed->request = (u32)at[0]; break;
	case KERNEL_USERFAULTFD: deed->flags = (u32)at[0]; break;
	case KERNEL_MODULE:
		if (call->header.call == KERNEL_CALL_INIT_MODULE)
			return deed_text(scratch, &deed->data, at[2], end);
		deed->flags = (u32)at[2];
		end = deed_text(scratch, &deed->data, at[1], end);
		return deed_descriptor(scratch, at[0], end);
	default: return deed_mount(scratch, call, arguments, end);
	}
	if (call->result > 0) /* a descriptor, as a rule */
		deed->descriptor = call->result + 1;
	return end;
}

__hidden __noinline void deed_returned(struct call *call, struct pt_regs *regs, u32 kind)
{
	struct scratch *scratch = scratch_take();
	struct family_arguments arguments;
	struct kernel_deed *deed;
	u32 end;

	kind &= KERNEL_LOSS_KINDS - 1;
	if (!scratch) {
		ring_unsent(kind, kind == KERNEL_DUP ? KERNEL_RING_BULK : KERNEL_RING_CRITICAL);
		return;
	}
	family_read(call, regs, &arguments);
	deed = (void *)scratch->record;
	__builtin_memset(deed, 0, sizeof(*deed));
	deed->header = call->header;
	deed->result = call->result;
	end = deed_fill(scratch, call, &arguments, kind);
	if (end > KERNEL_RECORD_MAX)
		end = sizeof(*deed); /* it never is */
	if (kind == KERNEL_DUP)
		ring_send(&deed->header, KERNEL_DUP, KERNEL_RING_BULK, end);
	else
		ring_send(&deed->header, kind, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}
