/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file's path as the kernel has it: from the file up over its directories and mounts to the top of the mount
 * namespace, not only to the process's root, so a chroot hides nothing.
 *
 * Nothing is locked: each name is one that its directory had, but where two of them are renamed at this very moment their
 * path may never have been.
 */
#ifndef TAFFRAIL_PATH_H
#define TAFFRAIL_PATH_H

#include "bpf/kernel_types.h"
#include "bpf/ring.h"

/* Bits of what a walk found. */
enum {
	PATH_CUT = 1 << 0,
	PATH_FOREIGN = 1 << 1, /* of another mount namespace, or of none */
	PATH_DELETED = 1 << 2,
	PATH_DETACHED = 1 << 3, /* a file without a directory: a memfd, a pipe. Its path is its bare name */
};

enum { PATH_FOUND_SHIFT = 16 };

/*
 * path.bpf.c: puts the path of a struct dentry in a struct vfsmount, as seen in a struct mnt_namespace, into the path of
 * scratch number `slot`, where it ends at KERNEL_PATH_MAX. Returns where it begins, with PATH_* bits above
 * PATH_FOUND_SHIFT. A global function of scalars: the verifier looks at it once, not at every place that calls it.
 */
int path_build(u32 slot, u64 vfsmount, u64 dentry, u64 space);

/*
 * path.bpf.c: mixes where a struct dentry in a struct vfsmount is into a hash: its names, directories and mounts up to the top of
 * the mount namespace, and whether it is deleted. So a file that was renamed, moved or taken away, or one of its directories, is not
 * taken for what it was. 0: it is too deep.
 */
u64 path_mix(u64 vfsmount, u64 dentry, u64 hash);

/*
 * Appends a path, as seen in mount namespace `space`, to the record in `scratch`: the last `max` bytes of it. Returns
 * PATH_* bits.
 */
static __always_inline u32 path_append(struct scratch *scratch, u32 *end, struct kernel_string *string,
	struct vfsmount *vfsmount, struct dentry *dentry, struct mnt_namespace *space, u32 max)
{
	u32 built = path_build(scratch->slot, (u64)vfsmount, (u64)dentry, (u64)space);
	u32 at = built & ((1 << PATH_FOUND_SHIFT) - 1), found = built >> PATH_FOUND_SHIFT;
	u32 length;

	string_note(string, 0, 0);
	if (at > KERNEL_PATH_MAX)
		return found;
	length = KERNEL_PATH_MAX - at;
	if (length > max) {
		length = max;
		at = KERNEL_PATH_MAX - max;
		found |= PATH_CUT;
	}
	if (bpf_probe_read_kernel(scratch_at(scratch, *end), length & (2 * KERNEL_PATH_MAX - 1), scratch->path + at) ==
		0)
		*end = string_note(string, *end, length);
	return found;
}

#endif
