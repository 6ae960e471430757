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
