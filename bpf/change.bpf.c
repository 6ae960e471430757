/* SPDX-License-Identifier: Apache-2.0 */
/* Names and modes of files: link, symlink, unlink, rmdir, rename, chmod, mkdir, and what of them failed. */
#include "bpf/call.h"
#include "bpf/family.h"
#include "bpf/path.h"
#include "bpf/ring.h"

enum { REMOVE_DIRECTORY = 0x200 }; /* AT_REMOVEDIR */

/* What the call's `fd` and `address` name, into `argument` and `directory`. Returns the record's end. */
static __noinline u32 change_name(struct scratch *scratch, const struct call *call, u32 end)
{
	struct kernel_change *change = (void *)scratch->record;

	end = call_argument(call, scratch, end, &change->argument, &change->truncated);
	return call_start(call, scratch, end, &change->argument, &change->directory, &change->truncated);
}

/* The same of the new name. */
static __noinline u32 change_new_name(struct scratch *scratch, const struct call *call, u32 end)
{
	struct kernel_change *change = (void *)scratch->record;
	u16 truncated = 0;

	end = call_argument(call, scratch, end, &change->new_argument, &truncated);
	end = call_start(call, scratch, end, &change->new_argument, &change->new_directory, &truncated);
	if (truncated)
		change->truncated |= KERNEL_CUT_NEW;
	return end;
}

/* fchmod: the file behind the descriptor is the kernel's. */
static __noinline u32 change_file(struct scratch *scratch, u32 fd, u32 end)
{
	struct kernel_change *change = (void *)scratch->record;
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = file_of_descriptor(task, fd);

	if (!file)
		return end;
	change->inode = kernel_get(file, f_inode, i_ino);
	if (path_append(scratch, &end, &change->path, kernel_get(file, f_path.mnt), kernel_get(file, f_path.dentry),
		    kernel_get(task, nsproxy, mnt_ns), KERNEL_PATH_MAX) &
		PATH_CUT)
		change->truncated |= KERNEL_CUT_PATH;
	return end;
}

/*
 * Where the arguments are: each call's own order, brought to fd, address (the name) and, in what is returned, the place of
 * the new name's. -1: there is none.
 */
static __always_inline int change_places(struct kernel_change *change, struct call *call, const u64 at[6])
{
	switch (call->header.call) {
	case KERNEL_CALL_LINK:
	case KERNEL_CALL_RENAME: call->address = at[0]; return 1;
	case KERNEL_CALL_LINKAT:
	case KERNEL_CALL_RENAMEAT2: change->flags = at[4]; /* fall through */
	case KERNEL_CALL_RENAMEAT:
		call->fd = at[0];
		call->address = at[1];
		return 3;
	case KERNEL_CALL_SYMLINK: call->address = at[1]; return -1;
	case KERNEL_CALL_SYMLINKAT:
		call->fd = at[1];
		call->address = at[2];
		return -1;
	case KERNEL_CALL_UNLINK:
	case KERNEL_CALL_RMDIR: call->address = at[0]; return -1;
	case KERNEL_CALL_CHMOD:
	case KERNEL_CALL_MKDIR:
		call->address = at[0];
		change->mode = (u16)at[1];
		return -1;
	case KERNEL_CALL_FCHMOD: change->mode = (u16)at[1]; return -1;
	case KERNEL_CALL_UNLINKAT: change->flags = at[2]; break;
	case KERNEL_CALL_FCHMODAT2: change->flags = at[3]; /* fall through */
	default: change->mode = (u16)at[2]; break;         /* fchmodat, mkdirat */
	}
	call->fd = at[0];
	call->address = at[1];
	return -1;
}

/* A path or a text of the program's that needs no directory. */
static __noinline u32 change_target(struct scratch *scratch, u64 address, u32 end)
{
	struct kernel_change *change = (void *)scratch->record;
	bool cut;

	return string_user(scratch, end, &change->target, (void *)address, KERNEL_PATH_MAX, &cut);
}

__hidden __noinline void change_returned(struct call *call, struct pt_regs *regs, u32 kind)
{
	struct scratch *scratch = scratch_take();
	struct family_arguments arguments;
	struct kernel_change *change;
	u32 end = sizeof(*change);
	int place;

	kind &= KERNEL_LOSS_KINDS - 1;
	if (!scratch) {
		ring_unsent(kind, KERNEL_RING_BULK);
		return;
	}
	family_read(call, regs, &arguments);
	change = (void *)scratch->record;
	__builtin_memset(change, 0, sizeof(*change));
	change->header = call->header;
	change->result = call->result;
	place = change_places(change, call, arguments.at);
	if (kind == KERNEL_UNLINK && change->flags & REMOVE_DIRECTORY)
		kind = KERNEL_RMDIR;
	if (call->header.call == KERNEL_CALL_FCHMOD)
		end = change_file(scratch, arguments.at[0], end);
	else
		end = change_name(scratch, call, end);
	if (kind == KERNEL_SYMLINK)
		end = change_target(scratch, arguments.at[0], end);
	if (place == 1) {
		call->address = arguments.at[1];
		end = change_new_name(scratch, call, end);
	} else if (place == 3) {
		call->fd = arguments.at[2];
		call->address = arguments.at[3];
		end = change_new_name(scratch, call, end);
	}
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&change->header, kind, KERNEL_RING_BULK, end);
	scratch_give(scratch);
}
