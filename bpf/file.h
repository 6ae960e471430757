/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: from a descriptor to its file, and what its file system tells of where it comes from. */
#ifndef TAFFRAIL_FILE_H
#define TAFFRAIL_FILE_H

#include "bpf/compat.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

enum {
	OVERLAYFS_MAGIC = 0x794c7630,
	TMPFS_MAGIC = 0x01021994,
#if defined(__TARGET_ARCH_arm64)
	OPEN_LARGE = 0400000,
#else
	OPEN_LARGE = 0100000,
#endif
};

/* The file behind a task's descriptor, or NULL. */
static __always_inline struct file *file_of_descriptor(struct task_struct *task, u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

/* The same of the task that runs now, which the verifier knows as one, so that its fields are read directly. */
static __always_inline struct file *file_of_current(u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = kernel_read(task, files, fdt);
	struct file **files = kernel_read(table, fd);
	struct file *file = NULL;

	if (fd >= kernel_read(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), files + fd);
	return file;
}

/*
 * What an open tells of its file, read in two pieces: each read of kernel memory costs more than what it reads.
 * It stands in the scratch, for the stack is short. `room` is memory of a map, where a struct file and the start of a
 * struct inode find place.
 */
struct file_facts {
	struct file *file;
	struct inode *inode;
	struct vfsmount *mount;
	struct dentry *dentry;
	u64 number; /* of the inode */
	u32 flags, mode;
	u16 inode_mode;
};

#define FILE_FIELD(room, type, member) (*(typeof(((type *)0)->member) *)((room) + bpf_core_field_offset(type, member)))

static __always_inline void file_read(struct file_facts *facts, char *room)
{
	const u32 inode_bytes = bpf_core_field_offset(struct inode, i_ino) + sizeof(unsigned long);

	bpf_probe_read_kernel(room, bpf_core_type_size(struct file), facts->file);
	facts->flags = FILE_FIELD(room, struct file, f_flags);
	facts->mode = FILE_FIELD(room, struct file, f_mode);
	facts->inode = FILE_FIELD(room, struct file, f_inode);
	facts->mount = FILE_FIELD(room, struct file, f_path.mnt);
	facts->dentry = FILE_FIELD(room, struct file, f_path.dentry);
	/* i_mode has always come first. */
	bpf_probe_read_kernel(room, inode_bytes, facts->inode);
	facts->inode_mode = FILE_FIELD(room, struct inode, i_mode);
	facts->number = FILE_FIELD(room, struct inode, i_ino);
}

/* KERNEL_EXE_UPPER or KERNEL_EXE_COPIED_UP, if the file is an overlay's and not simply from the image. */
static __always_inline u8 file_layer(struct inode *inode, unsigned long magic)
{
	struct ovl_inode *overlay;

	if (magic != OVERLAYFS_MAGIC || !bpf_core_type_exists(struct ovl_inode))
		return 0;
	overlay = kernel_container_of(inode, struct ovl_inode, vfs_inode);
	if (!BPF_CORE_READ(overlay, __upperdentry))
		return 0;
	return compat_overlay_lower(overlay) ? KERNEL_EXE_COPIED_UP : KERNEL_EXE_UPPER;
}

#endif
