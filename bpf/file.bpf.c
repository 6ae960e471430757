/* SPDX-License-Identifier: Apache-2.0 */
/* Files: opens that succeeded, with the file that the kernel opened, and opens that failed, with what was asked for. */
#include "bpf/call.h"
#include "bpf/file.h"
#include "bpf/path.h"
#include "bpf/ring.h"

enum {
	FMODE_CREATED = 1 << 20,

	OPEN_ACCESS = 03,
	OPEN_CREATE = 0100,
	OPEN_EXCLUSIVE = 0200,
	OPEN_NO_TERMINAL = 0400,
	OPEN_CLOSE_ON_EXEC = 02000000, /* of the descriptor */
	OPEN_TRUNCATE = 01000,
	OPEN_NONBLOCK = 04000,
	OPEN_PATH = 010000000,
	OPEN_TEMPORARY = 020000000,
#if defined(__TARGET_ARCH_arm64)
	OPEN_LARGE = 0400000,
#else
	OPEN_LARGE = 0100000,
#endif
	/* Flags that the kernel does not keep in f_flags. */
	OPEN_MOMENTARY = OPEN_CREATE | OPEN_EXCLUSIVE | OPEN_NO_TERMINAL | OPEN_TRUNCATE | OPEN_CLOSE_ON_EXEC,
};

/*
 * Another thread may have put another file at the descriptor before this program looked. Without such a thread there
 * is nothing to doubt; with one, a file that it put there has a second reference, or other flags than were asked for.
 */
static __always_inline bool file_unsure(struct task_struct *task, struct file *file, const struct call *call, u32 flags)
{
	if (call->object || BPF_CORE_READ(task, files, count.counter) < 2)
		return false;
	if (compat_file_references(file) > 1)
		return true;
	return !((call->flags | flags) & OPEN_PATH) && ((call->flags ^ flags) & OPEN_ACCESS);
}

static __always_inline u32 fill_file(struct scratch *scratch, const struct call *call, u32 end)
{
	struct kernel_open *open = (void *)scratch->record;
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = call->object ? (void *)call->object : file_of_descriptor(task, call->result);
	struct inode *inode;
	u32 found, flags;
	u8 layer;

	if (!file) {
		open->file_flags |= KERNEL_FILE_UNSURE;
		return end;
	}
	inode = BPF_CORE_READ(file, f_inode);
	flags = BPF_CORE_READ(file, f_flags);
	if (file_unsure(task, file, call, flags))
		open->file_flags |= KERNEL_FILE_UNSURE;
	/* 64-bit kernels add O_LARGEFILE to every open by themselves, io_uring O_NONBLOCK for as long as it opens. */
	open->flags = (flags & ~((OPEN_LARGE | OPEN_NONBLOCK) & ~call->flags)) | (call->flags & OPEN_MOMENTARY);
	open->inode = BPF_CORE_READ(inode, i_ino);
	open->mode = BPF_CORE_READ(inode, i_mode);
	open->device = BPF_CORE_READ(inode, i_sb, s_dev);
	if (BPF_CORE_READ(file, f_mode) & FMODE_CREATED)
		open->file_flags |= KERNEL_FILE_CREATED;
	layer = file_layer(inode, BPF_CORE_READ(inode, i_sb, s_magic));
	if (layer)
		open->file_flags |= layer == KERNEL_EXE_UPPER ? KERNEL_FILE_UPPER : KERNEL_FILE_COPIED_UP;
	found = path_append(scratch, &end, &open->path, BPF_CORE_READ(file, f_path.mnt),
		BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(task, nsproxy, mnt_ns), KERNEL_PATH_MAX);
	if (found & PATH_CUT)
		open->truncated |= KERNEL_CUT_PATH;
	if (found & PATH_FOREIGN)
		open->file_flags |= KERNEL_FILE_FOREIGN;
	if (found & PATH_DELETED)
		open->file_flags |= KERNEL_FILE_DELETED;
	return end;
}

__hidden void file_opened(const struct call *call)
{
	struct scratch *scratch = scratch_take();
	struct kernel_open *open;
	u32 end = sizeof(*open);

	if (!scratch) {
		ring_unsent(KERNEL_OPEN, KERNEL_RING_BULK);
		return;
	}
	open = (void *)scratch->record;
	__builtin_memset(open, 0, sizeof(*open));
	open->header = call->header;
	open->result = call->result;
	open->flags = call->flags;
	open->count = 1;
	if (call->flags & (OPEN_CREATE | OPEN_TEMPORARY))
		open->created_mode = call->mode;
	if (call->result >= 0)
		end = fill_file(scratch, call, end);
	end = call_path(call, scratch, end, &open->argument, &open->directory, &open->truncated);
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&open->header, KERNEL_OPEN, KERNEL_RING_BULK, end);
	scratch_give(scratch);
}
