/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's path as the kernel has it: from the file up over its directories and mounts to the top of the mount
 * namespace, not only to the process's root, so a chroot hides nothing.
 *
 * Nothing is locked: a directory that is renamed at this very moment may give a path that never was.
 */
#ifndef TAFFRAIL_PATH_H
#define TAFFRAIL_PATH_H

#include "bpf/kernel_types.h"
#include "bpf/ring.h"

enum {
	PATH_STEPS = KERNEL_PATH_MAX / 2 + 256, /* names of one letter, and the mounts between */
	PATH_NAME_MASK = 255,
	PATH_INTERNAL = -22, /* MNT_NS_INTERNAL, ERR_PTR(-EINVAL): a mount of the kernel's own, as memfd's */
};

/* Bits of what a walk found. */
enum {
	PATH_CUT = 1 << 0,
	PATH_FOREIGN = 1 << 1, /* of another mount namespace, or of none */
	PATH_DELETED = 1 << 2,
	PATH_DETACHED = 1 << 3, /* a file without a directory: a memfd, a pipe. Its path is its bare name */
};

struct path_walk {
	struct scratch *scratch;
	struct dentry *dentry;
	struct dentry *root; /* of the mount */
	struct mount *mount;
	u32 at; /* where the path begins in scratch->path */
	u32 found;
};

/* What one step needs of a dentry. The kernel has had them side by side ever since, so one read gets all. */
struct path_dentry {
	struct dentry *parent;
	u64 hash_len;
	const unsigned char *name;
};

static __always_inline void path_read_dentry(struct path_dentry *out, struct dentry *dentry)
{
	if (bpf_core_field_offset(struct dentry, d_name.hash_len) ==
			bpf_core_field_offset(struct dentry, d_parent) + 8 &&
		bpf_core_field_offset(struct dentry, d_name.name) ==
			bpf_core_field_offset(struct dentry, d_parent) + 16) {
		if (bpf_probe_read_kernel(
			    out, sizeof(*out), (char *)dentry + bpf_core_field_offset(struct dentry, d_parent)) < 0)
			__builtin_memset(out, 0, sizeof(*out));
		return;
	}
	out->parent = BPF_CORE_READ(dentry, d_parent);
	out->hash_len = BPF_CORE_READ(dentry, d_name.hash_len);
	out->name = BPF_CORE_READ(dentry, d_name.name);
}

/* Puts a name, and a slash if asked, before the path. False where there is no room: the path keeps its tail. */
static __always_inline bool path_prepend(struct path_walk *walk, const struct path_dentry *dentry, bool slash)
{
	u32 length = (dentry->hash_len >> 32) & PATH_NAME_MASK;
	u32 at = walk->at;

	if (at > KERNEL_PATH_MAX || at < length + slash) {
		walk->found |= PATH_CUT;
		return false;
	}
	at -= length;
	if (bpf_probe_read_kernel(walk->scratch->path + (at & (KERNEL_PATH_MAX - 1)), length, dentry->name) < 0)
		return false;
	if (slash) {
		at--;
		walk->scratch->path[at & (KERNEL_PATH_MAX - 1)] = '/';
	}
	walk->at = at;
	return true;
}

static long path_step(u32 index, void *data)
{
	struct path_walk *walk = data;
	struct path_dentry dentry;

	if (walk->dentry == walk->root) {
		struct mount *mount = walk->mount;
		struct mount *parent = BPF_CORE_READ(mount, mnt_parent);

		if (parent == mount || !parent)
			return 1;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->root = BPF_CORE_READ(parent, mnt.mnt_root);
		walk->mount = parent;
		return 0;
	}
	path_read_dentry(&dentry, walk->dentry);
	if (dentry.parent == walk->dentry || !dentry.parent) {
		/* A root that is not the mount's: it hangs nowhere. */
		if (index == 0) {
			walk->found |= PATH_DETACHED;
			walk->found &= ~(PATH_DELETED | PATH_FOREIGN);
			path_prepend(walk, &dentry, false);
		} else {
			walk->found |= PATH_FOREIGN;
		}
		return 1;
	}
	if (!path_prepend(walk, &dentry, true))
		return 1;
	walk->dentry = dentry.parent;
	return 0;
}

/* Walks. Before: scratch, dentry and mount are set. After: `at` is where the text in scratch->path begins. */
static __noinline void path_run(struct path_walk *walk, struct vfsmount *vfsmount, struct mnt_namespace *space)
{
	struct dentry *dentry = walk->dentry;
	struct mount *mount = kernel_container_of(vfsmount, struct mount, mnt);
	struct mnt_namespace *of = BPF_CORE_READ(mount, mnt_ns);

	walk->root = BPF_CORE_READ(vfsmount, mnt_root);
	walk->mount = mount;
	walk->at = KERNEL_PATH_MAX;
	walk->found = 0;
	if (of != space && (long)of != PATH_INTERNAL)
		walk->found |= PATH_FOREIGN;
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry)
		walk->found |= PATH_DELETED;
	bpf_loop(PATH_STEPS, path_step, walk, 0);
	if (walk->at == KERNEL_PATH_MAX && !(walk->found & (PATH_DETACHED | PATH_CUT))) {
		walk->scratch->path[KERNEL_PATH_MAX - 1] = '/';
		walk->at--;
	}
}

/*
 * Appends a path, as seen in mount namespace `space`, to the record in `scratch`: the last `max` bytes of it. Returns
 * PATH_* bits.
 */
static __always_inline u32 path_append(struct scratch *scratch, u32 *end, struct kernel_string *string,
	struct vfsmount *vfsmount, struct dentry *dentry, struct mnt_namespace *space, u32 max)
{
	struct path_walk walk = {.scratch = scratch, .dentry = dentry};
	u32 at, length;

	string_note(string, 0, 0);
	path_run(&walk, vfsmount, space);
	at = walk.at;
	if (at > KERNEL_PATH_MAX)
		return walk.found;
	length = KERNEL_PATH_MAX - at;
	if (length > max) {
		length = max;
		at = KERNEL_PATH_MAX - max;
		walk.found |= PATH_CUT;
	}
	if (bpf_probe_read_kernel(scratch_at(scratch, *end), length & (2 * KERNEL_PATH_MAX - 1), scratch->path + at) ==
		0)
		*end = string_note(string, *end, length);
	return walk.found;
}

#endif
