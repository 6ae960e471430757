/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which container a task is in, from the names of its cgroup and the cgroups above: v2 first, v1 as the fall-back.
 * Asked for every record, so the answer is cached by the cgroup's id; only the first asker reads names.
 */
#ifndef TAFFRAIL_CONTAINER_H
#define TAFFRAIL_CONTAINER_H

#include "bpf/compat.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"
#include "bpf/member.h"

/*
 * In a cache key: the id is of a v1 hierarchy, and of which. Each hierarchy numbers its cgroups for itself; an id's upper
 * half is a generation, which does not come near these bits.
 */
#define CONTAINER_V1 (1ull << 63)
#define CONTAINER_HIERARCHY(number) (CONTAINER_V1 | ((u64)(number) % HIERARCHIES) << 56)
#define CONTAINER_ID ((1ull << 56) - 1) /* the part of a key that is the cgroup's id */
enum { HIERARCHIES = 64 };              /* 0: v2 */

/* container_entry.found */
enum { CONTAINER_FOUND = 1, CONTAINER_NESTED = 2 };

/* What the cache knows of a cgroup. */
struct container_entry {
	u8 id[KERNEL_CONTAINER_ID_SIZE];
	u64 found; /* CONTAINER_FOUND, CONTAINER_NESTED; 0: in none */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct container_entry);
} containers SEC(".maps") __weak;

/*
 * Cgroups, by their keys, that are known to be no container's: most of what a machine does happens there, and to read a
 * word costs a tenth of asking a hash. A cgroup's id is never given to another, so a word is true for ever.
 */
enum { OUTSIDE_WORDS = 1024 };
__u64 outside_cgroups[OUTSIDE_WORDS] __weak = {};

/* Set by the loader: are the v1 pids or memory controllers in a hierarchy of their own? */
const volatile bool cgroup_v1 __weak = false;

/*
 * Set by the loader, for each hierarchy: the cgroup that the sensor's machine takes for its root, where that is not the
 * kernel's. What lies outside of it is another machine's, and names from it upwards mean nothing.
 */
const volatile __u64 cgroup_roots[HIERARCHIES] __weak = {};

struct container {
	u64 cgroup_id;
	u8 id[KERNEL_CONTAINER_ID_SIZE] __attribute__((aligned(8)));
	u8 flags; /* KERNEL_IN_CONTAINER, KERNEL_CGROUP_V1 */
	u8 marks; /* KERNEL_SETUP, KERNEL_LEFT_CGROUP, KERNEL_IN_NESTED */
};

/*
 * container.bpf.c: reads the names of a cgroup and those above, and fills the cache. A global function of scalars: the
 * verifier looks at it once, not at every place that calls it. `node` is a struct kernfs_node *.
 */
int container_learn(u64 node, u64 key);

/* container.bpf.c: is the task (a struct task_struct *) in any container? Where the verifier does not know it as one. */
int container_contains(u64 task);

static __always_inline bool container_same(const u8 *one, const u8 *other)
{
	const u64 *a = (const u64 *)one, *b = (const u64 *)other;

	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]));
}

/* True, and `container` filled, if the cgroup is a container's or inside one. */
static __always_inline bool container_of_cgroup(struct cgroup *cgroup, u64 mark, struct container *container)
{
	u64 id = kernel_read(cgroup, kn, id);
	u64 key = id | mark;
	u64 *outside = &outside_cgroups[(id + (mark >> 48)) % OUTSIDE_WORDS];
	struct container_entry *entry;

	if (*outside == key)
		return false;
	entry = bpf_map_lookup_elem(&containers, &key);
	if (!entry) {
		container_learn((u64)kernel_get(cgroup, kn), key);
		entry = bpf_map_lookup_elem(&containers, &key);
	}
	if (!entry)
		return false;
	if (!entry->found) {
		*outside = key;
		return false;
	}
	__builtin_memcpy(container->id, entry->id, sizeof(container->id));
	container->cgroup_id = id;
	container->flags = KERNEL_IN_CONTAINER | (mark ? KERNEL_CGROUP_V1 : 0);
	container->marks = entry->found & CONTAINER_NESTED ? KERNEL_IN_NESTED : 0;
	return true;
}

/* A function of its own, for its part of the stack is then not below all that its callers go on to do. */
static __noinline __attribute__((unused)) bool container_of_v1(
	struct css_set *set, struct cgroup *v2, int index, struct container *container)
{
#ifdef TAFFRAIL_CLASSIC
	struct cgroup_subsys_state *state = kernel_load(struct cgroup_subsys_state *, &set->subsys[index]);
	struct cgroup *cgroup = kernel_get(state, cgroup);
#else
	struct cgroup *cgroup = set->subsys[index]->cgroup;
#endif

	if (kernel_read(cgroup, level) == 0 || kernel_read(cgroup, root) == kernel_read(v2, root))
		return false;
	return container_of_cgroup(cgroup, CONTAINER_HIERARCHY(kernel_read(cgroup, root, hierarchy_id)), container);
}

/*
 * The container of the v2 cgroup that a socket was made in, whoever runs now. A socket that was made in v1 cgroups alone has
 * none.
 */
static __noinline __attribute__((unused)) bool container_of_socket(struct sock *sk, struct container *container)
{
	struct cgroup *cgroup = compat_socket_cgroup(sk);
	struct kernfs_node *node = cgroup ? kernel_get(cgroup, kn) : NULL;
	u64 key = node ? kernel_get(node, id) : 0;
	struct container_entry *entry;

	if (!key || outside_cgroups[key % OUTSIDE_WORDS] == key)
		return false;
	entry = bpf_map_lookup_elem(&containers, &key);
	if (!entry) {
		container_learn((u64)node, key);
		entry = bpf_map_lookup_elem(&containers, &key);
	}
	if (!entry || !entry->found)
		return false;
	__builtin_memcpy(container->id, entry->id, sizeof(container->id));
	container->cgroup_id = key;
	container->flags = KERNEL_IN_CONTAINER;
	container->marks = entry->found & CONTAINER_NESTED ? KERNEL_IN_NESTED : 0;
	return true;
}

/* Is the process a member of another container than its cgroups say, or than none? Then `container` becomes that one. */
static __noinline __attribute__((unused)) bool container_left(struct task_struct *task, struct container *container)
{
	struct member *member = member_of(task);

	if (!member || (container->flags & KERNEL_IN_CONTAINER && container_same(container->id, member->id)))
		return false;
	__builtin_memcpy(container->id, member->id, sizeof(container->id));
	container->flags |= KERNEL_IN_CONTAINER;
	container->marks = KERNEL_LEFT_CGROUP;
	return true;
}

/*
 * The container that a task's cgroups say. False if it is in none; then only cgroup_id is set, to that of its v2 cgroup.
 * The fields are read directly, not by helper: the verifier must know `task` as a task (see the kernel's BTF), which
 * it does for arguments of tp_btf programs, for bpf_get_current_task_btf, and for what those point to.
 */
static __always_inline bool container_by_cgroups(struct task_struct *task, struct container *container)
{
	struct css_set *set = kernel_read(task, cgroups);
	struct cgroup *cgroup = kernel_read(set, dfl_cgrp);

	if (kernel_read(cgroup, level) > 0 && container_of_cgroup(cgroup, 0, container))
		return true;
	if (cgroup_v1) {
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id) &&
			container_of_v1(
				set, cgroup, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id), container))
			return true;
		if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) &&
			container_of_v1(
				set, cgroup, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id), container))
			return true;
	}
	container->cgroup_id = kernel_read(cgroup, kn, id);
	container->flags = container->marks = 0;
	__builtin_memset(container->id, 0, sizeof(container->id));
	return false;
}

/* The container of a task: its cgroups', or the one that it belonged to before it left that one's cgroup. */
static __always_inline bool container_of_task(struct task_struct *task, struct container *container)
{
	bool inside = container_by_cgroups(task, container);

	return (member_possible(kernel_read(task, tgid)) && container_left(task, container)) || inside;
}

#endif
