/* SPDX-License-Identifier: Apache-2.0 */
/* The walk from a file up to the top of its mount namespace. */
#include "bpf/path.h"
#include "bpf/repeat.h"

enum {
	PATH_STEPS = KERNEL_PATH_MAX / 2 + 256, /* names of one letter, and the mounts between */
	PATH_NAME_MASK = 255,
	PATH_MIXED = 32, /* directories above a file that path_mix looks at */
	PATH_INTERNAL = -22, /* MNT_NS_INTERNAL, ERR_PTR(-EINVAL): a mount of the kernel's own, as memfd's */
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

/*
 * A file that hangs nowhere has the name that its maker gave it ("memfd:x"). Where it has none (a namespace's, a pipe's;
 * open_by_handle_at of one whose directory is not known) its file system's stands for it: "nsfs:", never "/".
 */
static __always_inline void path_detached(struct path_walk *walk, struct path_dentry *dentry)
{
	struct dentry *of = walk->dentry;
	char name[32] = {};

	bpf_probe_read_kernel_str(name, 2, dentry->name);
	if (name[0] && name[0] != '/') {
		path_prepend(walk, dentry, false);
		return;
	}
	dentry->name = (void *)BPF_CORE_READ(of, d_inode, i_sb, s_type, name);
	dentry->hash_len = (u64)(bpf_probe_read_kernel_str(name, sizeof(name), dentry->name) - 1) << 32;
	walk->scratch->path[KERNEL_PATH_MAX - 1] = ':';
	walk->at--;
	path_prepend(walk, dentry, false);
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
			path_detached(walk, &dentry);
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

__weak int path_build(u32 slot, u64 vfsmount, u64 address, u64 space)
{
	struct dentry *dentry = (void *)address;
	struct mount *mount = kernel_container_of((struct vfsmount *)vfsmount, struct mount, mnt);
	u64 of = (u64)BPF_CORE_READ(mount, mnt_ns);
	struct path_walk walk = {
		.scratch = bpf_map_lookup_elem(&scratches, &slot),
		.dentry = dentry,
		.root = BPF_CORE_READ((struct vfsmount *)vfsmount, mnt_root),
		.mount = mount,
		.at = KERNEL_PATH_MAX,
	};

	if (!walk.scratch)
		return 0;
	if (of != space && (s64)of != PATH_INTERNAL)
		walk.found |= PATH_FOREIGN;
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry)
		walk.found |= PATH_DELETED;
	bpf_loop(PATH_STEPS, path_step, &walk, 0);
	if (walk.at == KERNEL_PATH_MAX && !(walk.found & (PATH_DETACHED | PATH_CUT))) {
		walk.scratch->path[KERNEL_PATH_MAX - 1] = '/';
		walk.at--;
	}
	return walk.found << PATH_FOUND_SHIFT | walk.at;
}

__weak u64 path_mix(u64 address, u64 hash)
{
	struct path_dentry dentry;

	for (int i = 0; i < PATH_MIXED; i++) {
		path_read_dentry(&dentry, (struct dentry *)address);
		hash = repeat_mix(hash, dentry.hash_len ^ (u64)dentry.parent);
		if ((u64)dentry.parent == address || !dentry.parent)
			break;
		address = (u64)dentry.parent;
	}
	return hash;
}
