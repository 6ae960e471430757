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

#define CONTAINER_V1 (1ull << 63) /* in a cache key: the id is of a v1 hierarchy */

/* What the cache knows of a cgroup. */
struct container_entry {
	u8 id[KERNEL_CONTAINER_ID_SIZE];
	u64 found;
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

struct container {
	u64 cgroup_id;
	u8 id[KERNEL_CONTAINER_ID_SIZE];
	u8 flags; /* KERNEL_IN_CONTAINER, KERNEL_CGROUP_V1 */
};

/*
 * container.bpf.c: reads the names of a cgroup and those above, and fills the cache. A global function of scalars: the
 * verifier looks at it once, not at every place that calls it. `node` is a struct kernfs_node *.
 */
int container_learn(u64 node, u64 key);

/* container.bpf.c: is the task (a struct task_struct *) in any container? Where the verifier does not know it as one. */
int container_contains(u64 task);

/* True, and `container` filled, if the cgroup is a container's or inside one. */
static __always_inline bool container_of_cgroup(struct cgroup *cgroup, u64 mark, struct container *container)
{
	u64 id = kernel_read(cgroup, kn, id);
	u64 key = id | mark;
	u64 *outside = &outside_cgroups[(id + (mark ? OUTSIDE_WORDS / 2 : 0)) % OUTSIDE_WORDS];
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
	return container_of_cgroup(cgroup, CONTAINER_V1, container);
}

/*
 * The container of a task. False if it is in none; then only cgroup_id is set, to that of its v2 cgroup.
 * The fields are read directly, not by helper: the verifier must know `task` as a task (see the kernel's BTF), which
 * it does for arguments of tp_btf programs, for bpf_get_current_task_btf, and for what those point to.
 */
static __always_inline bool container_of_task(struct task_struct *task, struct container *container)
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
	container->flags = 0;
	__builtin_memset(container->id, 0, sizeof(container->id));
	return false;
}

#endif
