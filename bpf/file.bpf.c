/* SPDX-License-Identifier: Apache-2.0 */
/* Files: opens that succeeded, with the file that the kernel opened, and opens that failed, with what was asked for. */
#include "bpf/call.h"
#include "bpf/file.h"
#include "bpf/path.h"
#include "bpf/policy.h"
#include "bpf/repeat.h"
#include "bpf/ring.h"

enum {
	FMODE_CREATED = 1 << 20,

	OPEN_ACCESS = 03,
	OPEN_CREATE = 0100,
	OPEN_EXCLUSIVE = 0200,
	OPEN_NO_TERMINAL = 0400,
	OPEN_TRUNCATE = 01000,
	OPEN_NONBLOCK = 04000,
	OPEN_PATH = 010000000,
	OPEN_TEMPORARY = 020000000,
	/* Flags that the kernel does not keep in f_flags. */
	OPEN_MOMENTARY = OPEN_CREATE | OPEN_EXCLUSIVE | OPEN_NO_TERMINAL | OPEN_TRUNCATE | OPEN_CLOSE_ON_EXEC,
};

/*
 * Another thread may have put another file at the descriptor before this program looked. Without such a thread there
 * is nothing to doubt; with one, a file that it put there has a second reference, or other flags than were asked for.
 */
static __always_inline bool file_unsure(const struct file_facts *facts, const struct call *call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct file *file = facts->file;

	if (call->object || kernel_read(task, files, count.counter) < 2)
		return false;
	/*
	 * References first: one that is taken away again was there a moment ago. And twice: a thread that puts the same
	 * file there again and again would have to do so between every two of these lines.
	 */
	for (int i = 0; i < 2; i++) {
		if (compat_file_references(file) > 1 || file_of_current(call->result) != file)
			return true;
	}
	return !((call->flags | facts->flags) & OPEN_PATH) && ((call->flags ^ facts->flags) & OPEN_ACCESS);
}

/* Was it opened by a relative path, and does somebody want to know where that starts? */
static __always_inline bool open_named(struct scratch *scratch, const struct kernel_open *open)
{
	return calls_wanted & CALLS_OPEN && open->argument.length && scratch->record[sizeof(*open)] != '/';
}

/*
 * The number under which equal opens are counted, or 0: an open that made its file, or of which the file is in doubt, is
 * equal to no other.
 */
static __always_inline u64 open_number(
	struct scratch *scratch, const struct call *call, const struct file_facts *facts, bool unsure)
{
	struct kernel_open *open = (void *)scratch->record;
	const struct kernel_header *header = &call->header;
	struct task_struct *task = bpf_get_current_task_btf();
	u64 hash = repeat_key[0];

	if (!repeat_collapse || unsure || call->unknown || facts->mode & FMODE_CREATED || open->truncated)
		return 0;
	hash = repeat_mix(hash, header->start_ns);
	hash = repeat_mix(hash, (u64)header->exec_counter << 32 | header->tgid);
	hash = repeat_mix(hash, header->cgroup_id);
	hash = repeat_mix(hash, (u64)kernel_get(task, nsproxy, mnt_ns));
	hash = repeat_mix(
		hash, (u64)call->flags << 32 | header->flags << 24 | header->call << 12 | (call->mode & 07777));
	if (facts->file) {
		hash = repeat_mix(hash, (u64)facts->dentry);
		hash = repeat_mix(hash, (u64)facts->mount);
		hash = path_mix((u64)facts->mount, (u64)facts->dentry, hash);
		if (!hash)
			return 0;
		hash = repeat_mix(hash, facts->number);
		hash = repeat_mix(hash, (u64)facts->inode_mode << 32 | facts->flags);
		if (open_named(scratch, open)) { /* a link in it may lead there from elsewhere */
			struct path from;

			call_directory(call, &from);
			hash = repeat_mix(hash, (u64)from.dentry);
			hash = repeat_mix(hash, (u64)from.mnt);
		}
	} else { /* a path starts somewhere */
		struct path from = {.dentry = kernel_get(task, fs, root.dentry)};

		hash = repeat_mix(hash, (u64)call->fd << 32 | (u32)call->result);
		if (open->argument.length && scratch->record[sizeof(*open)] != '/')
			call_directory(call, &from);
		hash = repeat_mix(hash, (u64)from.dentry);
		hash = repeat_mix(hash, (u64)from.mnt);
		if (from.mnt)
			hash = path_mix((u64)from.mnt, (u64)from.dentry, hash);
		if (!hash)
			return 0;
	}
	return repeat_number(repeat_mix_text(scratch->slot, sizeof(*open), open->argument.length, hash));
}

/* Returns the record's end, or 0 where the open is left out by its path; `rules` would do that. */
static __always_inline u32 fill_file(
	struct scratch *scratch, const struct call *call, const struct file_facts *facts, u32 end, u64 rules)
{
	struct kernel_open *open = (void *)scratch->record;
	struct task_struct *task = bpf_get_current_task_btf();
	struct inode *inode = facts->inode; /* not by way of our own struct: that would be a relocation of its own */
	struct super_block *super = kernel_get(inode, i_sb);
	u32 found;
	u8 layer;

	/* 64-bit kernels add O_LARGEFILE to every open by themselves, io_uring O_NONBLOCK for as long as it opens. */
	open->flags = (facts->flags & ~((OPEN_LARGE | OPEN_NONBLOCK) & ~call->flags)) | (call->flags & OPEN_MOMENTARY);
	open->inode = facts->number;
	open->mode = facts->inode_mode;
	open->device = kernel_get(super, s_dev);
	if (facts->mode & FMODE_CREATED)
		open->file_flags |= KERNEL_FILE_CREATED;
	layer = file_layer(inode, kernel_get(super, s_magic));
	if (layer)
		open->file_flags |= layer == KERNEL_EXE_UPPER ? KERNEL_FILE_UPPER : KERNEL_FILE_COPIED_UP;
	found = path_append(scratch, &end, &open->path, facts->mount, facts->dentry, kernel_get(task, nsproxy, mnt_ns),
		KERNEL_PATH_MAX);
	if (found & PATH_CUT)
		open->truncated |= KERNEL_CUT_PATH;
	if (found & PATH_FOREIGN)
		open->file_flags |= KERNEL_FILE_FOREIGN;
	if (found & PATH_DELETED)
		open->file_flags |= KERNEL_FILE_DELETED;
	if (policy_path_leaves_out(rules, scratch, scratch_at(scratch, open->path.offset), open->path.length,
		    open->truncated, open->file_flags))
		return 0;
	return end;
}

__hidden __noinline void file_opened(const struct call *call)
{
	struct file_facts *facts;
	struct scratch *scratch;
	struct kernel_open *open;
	u32 end = sizeof(*open);
	bool unsure = false;
	u64 rules;

	if (policy_open_leaves_out(&call->header, call->result, call->flags, &rules) ||
		policy_thins_out(&call->header, call->flags))
		return;
	scratch = scratch_take();
	if (!scratch) {
		ring_unsent(KERNEL_OPEN, KERNEL_RING_BULK);
		return;
	}
	open = (void *)scratch->record;
	facts = &scratch->facts;
	__builtin_memset(facts, 0, sizeof(*facts));
	__builtin_memset(open, 0, sizeof(*open));
	end = call_argument(call, scratch, end, &open->argument, &open->truncated);
	if (call->result >= 0 && !call->unknown) {
		if (!call->gone)
			facts->file = call->object ? (void *)call->object : file_of_current(call->result);
		unsure = !facts->file;
	}
	if (facts->file) {
		file_read(facts, scratch->path);
		unsure = file_unsure(facts, call);
		if (policy_file_leaves_out(&rules, facts->flags | (call->flags & OPEN_MOMENTARY),
			    (facts->mode & FMODE_CREATED ? KERNEL_FILE_CREATED : 0) |
				    (unsure ? KERNEL_FILE_UNSURE : 0))) {
			scratch_give(scratch);
			return;
		}
	}
	open->repeat = open_number(scratch, call, facts, unsure);
	if (open->repeat && repeat_counted(open->repeat)) {
		scratch_give(scratch);
		return;
	}
	open->header = call->header;
	open->result = call->result;
	open->flags = call->flags;
	open->count = 1;
	if (unsure)
		open->file_flags |= KERNEL_FILE_UNSURE;
	if (call->flags & (OPEN_CREATE | OPEN_TEMPORARY))
		open->created_mode = call->mode;
	if (facts->file)
		end = fill_file(scratch, call, facts, end, rules);
	if (end == 0) {
		scratch_give(scratch);
		return;
	}
	if (call->unknown)
		open->file_flags |= KERNEL_FILE_UNKNOWN;
	if (call->exact)
		open->file_flags |= KERNEL_FILE_EXACT;
	/* Through io_uring the descriptor is looked at late: user space compares the path with what was asked for. */
	if (call->result < 0 || (call->header.flags & KERNEL_URING && !call->exact) || open_named(scratch, open))
		end = call_start(call, scratch, end, &open->argument, &open->directory, &open->truncated);
	if (open->repeat && !repeat_claim(open->repeat))
		open->repeat = 0;
	if (end <= KERNEL_RECORD_MAX && !ring_send(&open->header, KERNEL_OPEN, KERNEL_RING_BULK, end) && open->repeat)
		repeat_withdraw(open->repeat);
	scratch_give(scratch);
}
