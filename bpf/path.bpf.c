/* SPDX-License-Identifier: Apache-2.0 */
/* The walk from a file up to the top of its mount namespace. */
#include "bpf/path.h"
#include "bpf/loop.h"
#include "bpf/repeat.h"

enum {
	FILE_SYSTEM_NAME = 32,
	PATH_STEPS = KERNEL_PATH_MAX / 2 + 256, /* names of one letter, and the mounts between */
	PATH_CHUNK = 48,                        /* steps that the classic object does at a time */
	PATH_NAME_MASK = 255,
	PATH_MIXED = 64,     /* directories and mounts above a file that path_mix looks at */
	PATH_INTERNAL = -22, /* MNT_NS_INTERNAL, ERR_PTR(-EINVAL): a mount of the kernel's own, as memfd's */
};

/* The kernel has had these fields side by side ever since: without direct loads one read gets all. */
#define DENTRY_AT(field) bpf_core_field_offset(struct dentry, field)

static __always_inline void path_read_dentry(struct path_dentry *out, struct dentry *dentry)
{
	if (!direct_loads && DENTRY_AT(d_parent) == 24 && DENTRY_AT(d_seq) == 4 && DENTRY_AT(d_name.hash_len) == 32 &&
		DENTRY_AT(d_name.name) == 40) {
		if (bpf_probe_read_kernel(out, sizeof(*out), dentry) < 0)
			__builtin_memset(out, 0, sizeof(*out));
		return;
	}
	out->sequence = kernel_get(dentry, d_seq.seqcount.sequence);
	out->parent = kernel_get(dentry, d_parent);
	out->hash_len = kernel_get(dentry, d_name.hash_len);
	out->name = kernel_get(dentry, d_name.name);
}

/*
 * Was it renamed while it was read? A name is written over in its place, so half of the old one and half of the new one
 * may have been read: one that never was.
 */
static __always_inline bool path_torn(struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry;

	return walk->read.sequence & 1 || kernel_get(dentry, d_seq.seqcount.sequence) != walk->read.sequence;
}

/* Puts a name, and a slash if asked, before the path. False where there is no room: the path keeps its tail. */
static __always_inline bool path_prepend(struct scratch *scratch, const struct path_dentry *dentry, bool slash)
{
	struct path_walk *walk = &scratch->walk;
	u32 length = (dentry->hash_len >> 32) & PATH_NAME_MASK;
	u32 at = walk->at;

	if (at > KERNEL_PATH_MAX || at < length + slash) {
		walk->found |= PATH_CUT;
		return false;
	}
	at -= length;
	if (bpf_probe_read_kernel(scratch->path + (at & (KERNEL_PATH_MAX - 1)), length, dentry->name) < 0)
		return false;
	if (slash) {
		at--;
		scratch->path[at & (KERNEL_PATH_MAX - 1)] = '/';
	}
	walk->at = at;
	return true;
}

/*
 * A file that hangs nowhere has the name that its maker gave it ("memfd:x"). Where it has none (a namespace's, a pipe's;
 * open_by_handle_at of one whose directory is not known) its file system's stands for it: "nsfs:", never "/".
 */
static __always_inline void path_detached(struct scratch *scratch)
{
	struct path_walk *walk = &scratch->walk;
	struct path_dentry *dentry = &walk->read;
	struct dentry *of = walk->dentry;
	char *name = scratch->path; /* its start is free, for a path begins at the end */
	long size;

	name[0] = '\0';
	bpf_probe_read_kernel_str(name, 2, dentry->name);
	if (name[0] && name[0] != '/') {
		path_prepend(scratch, dentry, false);
		return;
	}
	dentry->name = (void *)kernel_get(of, d_inode, i_sb, s_type, name);
	size = bpf_probe_read_kernel_str(name, FILE_SYSTEM_NAME, dentry->name);
	dentry->hash_len = size > 0 ? (u64)(size - 1) << 32 : 0;
	scratch->path[KERNEL_PATH_MAX - 1] = ':';
	walk->at--;
	path_prepend(scratch, dentry, false);
}

/* One name or one mount upwards. False at the end. */
static __always_inline bool path_step(struct scratch *scratch)
{
	struct path_walk *walk = &scratch->walk;
	struct path_dentry *dentry = &walk->read;
	u32 before = walk->at;

	if (walk->dentry == walk->root) {
		struct mount *mount = walk->mount;
		struct mount *parent = kernel_get(mount, mnt_parent);

		if (parent == mount || !parent)
			return false;
		walk->dentry = kernel_get(mount, mnt_mountpoint);
		walk->root = kernel_get(parent, mnt.mnt_root);
		walk->mount = parent;
		return true;
	}
	path_read_dentry(dentry, walk->dentry);
	if (dentry->parent == walk->dentry || !dentry->parent) {
		/* A root that is not the mount's: it hangs nowhere. */
		if (walk->dentry == walk->start) {
			walk->found |= PATH_DETACHED;
			walk->found &= ~(PATH_DELETED | PATH_FOREIGN);
		} else {
			walk->found |= PATH_FOREIGN;
		}
		return false;
	}
	if (!path_prepend(scratch, dentry, true))
		return false;
	if (path_torn(walk))
		walk->at = before; /* once more */
	else
		walk->dentry = dentry->parent;
	return true;
}

#ifdef TAFFRAIL_CLASSIC
enum { PATH_LOOPS = PATH_STEPS / PATH_CHUNK };

static __always_inline long path_chunk_step(u32 index, void *data)
{
	struct scratch **scratch = data;

	(void)index;
	(*scratch)->walk.ended = !path_step(*scratch);
	return (*scratch)->walk.ended;
}

/* Some steps of the walk in scratch number `slot`. Returns 1 at its end. */
__weak int path_chunk(u32 slot)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &slot);

	if (!scratch)
		return 1;
	loop(PATH_CHUNK, path_chunk_step, &scratch);
	return scratch->walk.ended;
}

static __always_inline long path_loop(u32 index, void *data)
{
	struct scratch **scratch = data;

	(void)index;
	return path_chunk((*scratch)->slot);
}
#else
enum { PATH_LOOPS = PATH_STEPS };

static long path_loop(u32 index, void *data)
{
	struct scratch **scratch = data;

	(void)index;
	if (path_step(*scratch))
		return 0;
	(*scratch)->walk.ended = 1;
	return 1;
}
#endif

__weak int path_build(u32 slot, u64 vfsmount, u64 address, u64 space)
{
	struct dentry *dentry = (void *)address;
	struct mount *mount = kernel_container_of((struct vfsmount *)vfsmount, struct mount, mnt);
	u64 of = (u64)kernel_get(mount, mnt_ns);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &slot);
	struct path_walk *walk;

	if (!scratch)
		return 0;
	walk = &scratch->walk;
	walk->start = walk->dentry = dentry;
	walk->root = kernel_get((struct vfsmount *)vfsmount, mnt_root);
	walk->mount = mount;
	walk->at = KERNEL_PATH_MAX;
	walk->found = walk->ended = 0;
	if (of != space && (s64)of != PATH_INTERNAL)
		walk->found |= PATH_FOREIGN;
	if (!kernel_get(dentry, d_hash.pprev) && kernel_get(dentry, d_parent) != dentry)
		walk->found |= PATH_DELETED;
	loop(PATH_LOOPS, path_loop, &scratch);
	/* More steps than a path has: one that renames did not go on meanwhile, as where its virtual CPU was taken away. */
	if (!walk->ended)
		walk->found |= PATH_CUT;
	if (walk->found & PATH_DETACHED)
		path_detached(scratch);
	if (walk->at == KERNEL_PATH_MAX && !(walk->found & (PATH_DETACHED | PATH_CUT))) {
		scratch->path[KERNEL_PATH_MAX - 1] = '/';
		walk->at--;
	}
	return walk->found << PATH_FOUND_SHIFT | walk->at;
}

#ifndef TAFFRAIL_CLASSIC
__weak u64 path_mix(u64 vfsmount, u64 address, u64 hash)
{
	struct mount *mount = kernel_container_of((struct vfsmount *)vfsmount, struct mount, mnt);
	struct dentry *dentry = (void *)address, *root = kernel_get((struct vfsmount *)vfsmount, mnt_root);
	struct path_dentry read;

	hash = repeat_mix(hash, (u64)kernel_get(mount, mnt_ns));
	hash = repeat_mix(hash, !kernel_get(dentry, d_hash.pprev));
	for (int i = 0; i < PATH_MIXED; i++) {
		if (dentry == root) {
			struct mount *parent = kernel_get(mount, mnt_parent);

			if (parent == mount || !parent)
				return hash;
			dentry = kernel_get(mount, mnt_mountpoint);
			root = kernel_get(parent, mnt.mnt_root);
			mount = parent;
			hash = repeat_mix(hash, (u64)mount);
			continue;
		}
		path_read_dentry(&read, dentry);
		hash = repeat_mix(hash, read.hash_len ^ (u64)read.parent);
		if (read.parent == dentry || !read.parent)
			return hash;
		dentry = read.parent;
	}
	return 0;
}
#else
__weak u64 path_mix(u64 vfsmount, u64 address, u64 hash)
{
	return hash; /* nothing is collapsed there */
}
#endif
