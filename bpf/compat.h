/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel fields that were renamed, moved or changed their type: each with the commit that did it. */
#ifndef TAFFRAIL_COMPAT_H
#define TAFFRAIL_COMPAT_H

#include "bpf/kernel_types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* 633488947ef6 ("kernfs: Use RCU to access kernfs_node::parent", 6.15) renamed parent to __parent. */
struct kernfs_node___parent {
	struct kernfs_node *parent;
};
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

/* f122a08b197d ("capability: just use a 'u64' instead of a 'u32[2]' array", 6.3). */
struct kernel_cap_array {
	u32 cap[2];
};
struct cred___array {
	struct kernel_cap_array cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
};
struct kernel_cap_number {
	u64 val;
};
struct cred___number {
	struct kernel_cap_number cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
};

/*
 * An overlay inode's lower layer: `lower` up to 5.18; ffa5723c6d25 ("ovl: store lower path in ovl_inode", 5.19) made it
 * `lowerpath`, 0af950f57fef ("ovl: move ovl_entry into ovl_inode", 6.5) `oe`.
 */
struct ovl_inode {
	struct inode vfs_inode;
	struct dentry *__upperdentry;
};
struct ovl_inode___lower {
	struct inode *lower;
};
struct ovl_path {
	struct dentry *dentry;
};
struct ovl_inode___lowerpath {
	struct ovl_path lowerpath;
};
struct ovl_entry {
	unsigned int __numlower;
};
struct ovl_inode___oe {
	struct ovl_entry *oe;
};

/*
 * 90ee6ed776c0 ("fs: port files to file_ref", 6.13): f_count became f_ref, which is one less than the references held.
 */
struct file___count {
	atomic64_t f_count;
};
typedef struct {
	atomic64_t refcnt;
} file_ref_t;
struct file___ref {
	file_ref_t f_ref;
};

/* 3597f2786b68 ("io_uring/rsrc: unify file and buffer resource tables", 6.13): before, the table holds pointers. */
struct io_fixed_file {
	unsigned long file_ptr;
};
struct io_file_table___files {
	struct io_fixed_file *files;
};
struct io_ring_ctx___files {
	struct io_file_table___files file_table;
	unsigned int nr_user_files;
};

/* 7.0 keeps the name of an open in a structure of its own until it is opened. */
struct delayed_filename {
	struct filename *__incomplete_filename;
};
struct io_open___delayed {
	struct delayed_filename filename;
};

/*
 * An inode's times: 13bc24457850 ("fs: rename i_ctime field to __i_ctime", 6.6), 12cd44023651 ("fs: rename inode i_atime and
 * i_mtime fields", 6.7), 3aa63a569c64 ("fs: switch timespec64 fields in inode to discrete integers", 6.11). Since 4e40eff0b573
 * ("fs: add infrastructure for multigrain timestamps", 6.13) the top bit of i_ctime_nsec says that somebody has asked for it.
 */
struct inode___times {
	struct timespec64 i_ctime, i_mtime;
};
struct inode___renamed {
	struct timespec64 __i_ctime, __i_mtime;
};
struct inode___numbers {
	s64 i_ctime_sec, i_mtime_sec;
	u32 i_ctime_nsec, i_mtime_nsec;
};

/*
 * 8520e224f547 ("bpf, cgroups: Fix cgroup v2 fallback on v1/v2 mixed mode", 5.15): before, a word that is a pointer where its
 * two low bits are clear; else the cgroup of a socket is not known, or is the root.
 */
struct sock_cgroup_data___word {
	u64 val;
};

/* A namespace's type: since 6.18 in the namespace itself, before that in its operations. */
struct proc_ns_operations___type {
	int type;
};
struct ns_common___type {
	u32 ns_type;
};

#pragma clang attribute pop

static __always_inline struct kernfs_node *compat_kernfs_parent(struct kernfs_node *node)
{
	struct kernfs_node___rcu *rcu = (void *)node;
	struct kernfs_node___parent *plain = (void *)node;

	if (bpf_core_field_exists(rcu->__parent))
		return kernel_get(rcu, __parent);
	return kernel_get(plain, parent);
}

#define compat_capability(cred, field)                                                                                 \
	({                                                                                                             \
		struct cred___number *number = (void *)(cred);                                                         \
		struct cred___array *array = (void *)(cred);                                                           \
		u64 value;                                                                                             \
		if (bpf_core_field_exists(number->field.val))                                                          \
			value = kernel_get(number, field.val);                                                         \
		else                                                                                                   \
			value = kernel_get(array, field.cap[0]) | (u64)kernel_get(array, field.cap[1]) << 32;          \
		value;                                                                                                 \
	})

/* Whoever owns a file chooses its mtime: what does not fit is the first time or the last. */
static __always_inline u64 compat_time_ns(s64 seconds, u32 nanoseconds)
{
	const s64 last = 9223372034; /* in nanoseconds it is a number with a sign */

	if (seconds < 0)
		return 0;
	if (seconds > last)
		seconds = last;
	return seconds * 1000000000ull + (nanoseconds & 0x7fffffff);
}

/* `which` is ctime or mtime. */
#define compat_inode_time(inode, which)                                                                                \
	({                                                                                                             \
		struct inode___numbers *numbers = (void *)(inode);                                                     \
		struct inode___renamed *renamed = (void *)(inode);                                                     \
		struct inode___times *times = (void *)(inode);                                                         \
		u64 time_ns;                                                                                           \
		if (bpf_core_field_exists(numbers->i_##which##_sec))                                                   \
			time_ns = compat_time_ns(                                                                      \
				kernel_get(numbers, i_##which##_sec), kernel_get(numbers, i_##which##_nsec));          \
		else if (bpf_core_field_exists(renamed->__i_##which))                                                  \
			time_ns = compat_time_ns(                                                                      \
				kernel_get(renamed, __i_##which.tv_sec), kernel_get(renamed, __i_##which.tv_nsec));    \
		else                                                                                                   \
			time_ns = compat_time_ns(                                                                      \
				kernel_get(times, i_##which.tv_sec), kernel_get(times, i_##which.tv_nsec));            \
		time_ns;                                                                                               \
	})

/* Does the overlay inode have a lower layer? */
static __always_inline bool compat_overlay_lower(struct ovl_inode *inode)
{
	struct ovl_inode___oe *entry = (void *)inode;
	struct ovl_inode___lowerpath *path = (void *)inode;
	struct ovl_inode___lower *lower = (void *)inode;

	if (bpf_core_field_exists(entry->oe))
		return kernel_get(entry, oe, __numlower) > 0;
	if (bpf_core_field_exists(path->lowerpath))
		return kernel_get(path, lowerpath.dentry) != NULL;
	return kernel_get(lower, lower) != NULL;
}

/* CLONE_NEW* of a namespace. */
static __always_inline u32 compat_namespace_type(struct ns_common *space)
{
	struct ns_common___type *own = (void *)space;
	struct proc_ns_operations___type *operations;

	if (bpf_core_field_exists(own->ns_type))
		return kernel_get(own, ns_type);
	operations = (void *)kernel_get(space, ops);
	return kernel_get(operations, type);
}

/* References held on a file. */
static __always_inline u64 compat_file_references(struct file *file)
{
	struct file___ref *ref = (void *)file;
	struct file___count *count = (void *)file;

	if (bpf_core_field_exists(ref->f_ref))
		return kernel_get(ref, f_ref.refcnt.counter) + 1;
	return kernel_get(count, f_count.counter);
}

/* The v2 cgroup that a socket was made in, or NULL. */
static __always_inline struct cgroup *compat_socket_cgroup(struct sock *sk)
{
	struct sock_cgroup_data *data = (void *)((char *)sk + bpf_core_field_offset(struct sock, sk_cgrp_data));
	struct sock_cgroup_data___word *word = (void *)data;
	u64 value;

	if (bpf_core_field_exists(data->cgroup))
		return kernel_get(data, cgroup);
	value = kernel_get(word, val);
	return value & 3 ? NULL : (struct cgroup *)value;
}

#endif
