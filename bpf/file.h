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
	OPEN_CLOSE_ON_EXEC = 02000000, /* of the descriptor, not of the file */
#if defined(__TARGET_ARCH_arm64)
	OPEN_LARGE = 0400000,
#else
	OPEN_LARGE = 0100000,
#endif
};

/* The file behind a task's descriptor, or NULL. */
static __always_inline struct file *file_of_descriptor(struct task_struct *task, u32 fd)
{
	struct fdtable *table = kernel_get(task, files, fdt);
	struct file **files = kernel_get(table, fd);

	return fd < kernel_get(table, max_fds) ? kernel_load(struct file *, files + fd) : NULL;
}

/* The same of the task that runs now, which the verifier knows as one, so that its fields are read directly. */
static __always_inline struct file *file_of_current(u32 fd)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = kernel_read(task, files, fdt);
	struct file **files = kernel_read(table, fd);

	return fd < kernel_read(table, max_fds) ? kernel_load(struct file *, files + fd) : NULL;
}

/*
 * What an open tells of its file. Without direct loads it is read in two pieces, for each read costs more than what it reads.
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
	struct file *file = facts->file;
	struct inode *inode;
	const u32 inode_bytes = bpf_core_field_offset(struct inode, i_ino) + sizeof(unsigned long);

	if (direct_loads) {
		facts->flags = kernel_get(file, f_flags);
		facts->mode = kernel_get(file, f_mode);
		facts->inode = inode = kernel_get(file, f_inode);
		facts->mount = kernel_get(file, f_path.mnt);
		facts->dentry = kernel_get(file, f_path.dentry);
		facts->inode_mode = kernel_get(inode, i_mode);
		facts->number = kernel_get(inode, i_ino);
		return;
	}
	bpf_probe_read_kernel(room, bpf_core_type_size(struct file), file);
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
	if (!kernel_get(overlay, __upperdentry))
		return 0;
	return compat_overlay_lower(overlay) ? KERNEL_EXE_COPIED_UP : KERNEL_EXE_UPPER;
}

/* What a descriptor is that leads to the file (enum kernel_fd_type). */
static __always_inline u8 file_type(struct file *file)
{
	struct inode *inode = kernel_get(file, f_inode);
	struct socket *socket;

	switch (kernel_get(inode, i_mode) & S_IFMT) {
	case S_IFREG: return KERNEL_FD_FILE;
	case S_IFDIR: return KERNEL_FD_DIRECTORY;
	case S_IFCHR: return KERNEL_FD_CHAR;
	case S_IFBLK: return KERNEL_FD_BLOCK;
	case S_IFIFO: return KERNEL_FD_PIPE;
	case S_IFSOCK: break;
	default: return KERNEL_FD_OTHER;
	}
	socket = kernel_get(file, private_data);
	switch (kernel_get(socket, sk, __sk_common.skc_family)) {
	case AF_UNIX: return KERNEL_FD_UNIX;
	case AF_INET:
	case AF_INET6: return KERNEL_FD_INET;
	default: return KERNEL_FD_SOCKET;
	}
}

#endif
