/* SPDX-License-Identifier: Apache-2.0 */
/* The first look at a cgroup: does its name, or one above, tell a container? */
#include "bpf/container.h"
#include "bpf/loop.h"
#include "bpf/ring.h"

enum {
#ifdef TAFFRAIL_CLASSIC
	CGROUP_DEPTH = 64, /* levels that are looked at; who is further down is told apart by member.h alone */
#else
	CGROUP_DEPTH = 1024,
#endif
	CGROUP_NAME = 256, /* NAME_MAX and a NUL */
	ID_DIGITS = 64,
};

/* --- a cgroup's name ----------------------------------------------------------------------------------------------- */

/* How many bytes the name has; CGROUP_NAME or more if it is too long. `digits` is room to count in. */
static __always_inline u32 name_length(const char *name, char *digits)
{
	u32 length = 0;

	for (int part = 0; part < CGROUP_NAME / (ID_DIGITS - 1) + 1; part++) {
		long read = bpf_probe_read_kernel_str(digits, ID_DIGITS, name + length);

		if (read <= 0)
			return 0;
		length += read - 1;
		if (read < ID_DIGITS)
			break;
	}
	return length;
}

/* Without branches, of which the verifier would follow each, in every program that asks for a container. */
static __always_inline bool text_is(const char *text, const char *literal, u32 length)
{
	u8 difference = 0;

	for (u32 i = 0; i < length; i++)
		difference |= text[i] ^ literal[i];
	return !difference;
}

#define TEXT_IS(text, literal) text_is(text, literal, sizeof(literal) - 1)

/* Does the name hold this literal at `offset`? */
#define NAME_HAS(name, offset, room, literal)                                                                          \
	(bpf_probe_read_kernel(room, sizeof(literal) - 1, (name) + (offset)) == 0 && TEXT_IS(room, literal))

/* Is what stands before the digits, `length` bytes, one of the known forms? */
static __always_inline bool name_prefix(const char *name, u32 length, bool scope, char *room)
{
	switch (length) {
	case 0: return !scope;
	case sizeof("crio-") - 1: return NAME_HAS(name, 0, room, "crio-");
	case sizeof("docker-") - 1: return NAME_HAS(name, 0, room, "docker-") || TEXT_IS(room, "libpod-");
	case sizeof("cri-containerd-") - 1: return NAME_HAS(name, 0, room, "cri-containerd-");
	}
	if (scope)
		return false;
	if (length > sizeof(".slice:crio:") - 1 &&
		NAME_HAS(name, length - (sizeof(".slice:crio:") - 1), room, ".slice:crio:"))
		return true;
	return length > sizeof(".slice:cri-containerd:") - 1 &&
	       NAME_HAS(name, length - (sizeof(".slice:cri-containerd:") - 1), room, ".slice:cri-containerd:");
}

/* In each byte of a word. */
#define EACH_BYTE(value) (0x0101010101010101ull * (value))

/*
 * The four bytes that eight hexadecimal digits stand for, all digits at a time: each program that asks for a container is
 * loaded as much faster. Sets bits of `*invalid` if one is no digit.
 */
static __always_inline u32 digits_value(u64 text, u64 *invalid)
{
	u64 letter = text >> 6 & EACH_BYTE(1), value = (text & EACH_BYTE(0xf)) + letter * 9;
	u64 above_nine = (value + EACH_BYTE(6)) >> 4 & EACH_BYTE(1);

	/* Written again, the values must give the same text, and the letters alone stand for 10 to 15. */
	*invalid |= (value + EACH_BYTE('0') + letter * ('a' - '0' - 10)) ^ text;
	*invalid |= (above_nine ^ letter) | (value & EACH_BYTE(0xf0));
	value = (value << 4 | value >> 8) & 0x00ff00ff00ff00ffull;
	value = (value | value >> 8) & 0x0000ffff0000ffffull;
	return value | value >> 16;
}

/* What a name is read into; the id takes the place of its digits, for the stack is short. */
union container_room {
	char digits[ID_DIGITS];
	struct container_entry entry;
};

/*
 * Reads a container's id out of a cgroup's name: 64 digits, bare, or as cri-containerd-ID, crio-ID, docker-ID,
 * libpod-ID, each with or without .scope, or as X.slice:cri-containerd:ID and X.slice:crio:ID.
 * Room on the stack is indexed by constants alone: the verifier loses track of the frame otherwise.
 */
static __always_inline bool container_parse(const char *name, union container_room *room)
{
	char *digits = room->digits;
	u32 length = name_length(name, digits);
	bool scope = false;

	if (length < ID_DIGITS || length >= CGROUP_NAME)
		return false;
	if (NAME_HAS(name, length - (sizeof(".scope") - 1), digits, ".scope")) {
		scope = true;
		length -= sizeof(".scope") - 1;
		if (length < ID_DIGITS)
			return false;
	}
	length -= ID_DIGITS;
	if (!name_prefix(name, length, scope, digits))
		return false;
	if (bpf_probe_read_kernel(digits, ID_DIGITS, name + length) < 0)
		return false;
	u64 invalid = 0;

	for (u32 i = 0; i < ID_DIGITS / 8; i++) /* what is written has been read */
		((u32 *)room->entry.id)[i] = digits_value(((u64 *)digits)[i], &invalid);
	return !invalid;
}

/* --- a cgroup's place ---------------------------------------------------------------------------------------------- */

static const struct container_entry no_container = {};

struct container_walk {
	struct kernfs_node *node;
	struct kernfs_node *found; /* the last whose name is a container's */
	u64 root; /* where the walk ends; 0: at the kernel's root; INNERMOST: at the first that is found */
};
#define INNERMOST (~0ull)

/*
 * Is the cgroup's name a container's? Then, with a key, the cache is told. A global function: the verifier looks at it
 * once. The key is never 0: the root of all cgroups has number 1.
 */
__weak int container_named(u64 node, u64 key, u64 found)
{
	union container_room room;

	if (!container_parse(kernel_get((struct kernfs_node *)node, name), &room))
		return 0;
	room.entry.found = found;
	if (key)
		bpf_map_update_elem(&containers, &key, &room.entry, BPF_ANY);
	return 1;
}

/*
 * Tells that the cgroup of this key is the container's, and named like the one that `inner` is named like. Built in
 * scratch memory, for who asks for a container has little stack left.
 */
__weak int container_nested(u64 inner, u64 key)
{
	struct container_entry *outer = bpf_map_lookup_elem(&containers, &key);
	struct scratch *scratch = outer ? scratch_take() : NULL;
	union container_room *room;
	struct kernel_nested *nested;

	if (!scratch) {
		ring_unsent(KERNEL_NESTED, KERNEL_RING_CRITICAL);
		return 0;
	}
	room = (void *)scratch->path;
	nested = (void *)scratch->record;
	__builtin_memset(nested, 0, sizeof(*nested));
	nested->header.flags = KERNEL_IN_CONTAINER | KERNEL_NO_PROCESS | (key & CONTAINER_V1 ? KERNEL_CGROUP_V1 : 0);
	nested->header.marks = KERNEL_IN_NESTED;
	nested->header.cgroup_id = key & CONTAINER_ID;
	__builtin_memcpy(nested->header.container_id, outer->id, sizeof(nested->header.container_id));
	if (container_parse(kernel_get((struct kernfs_node *)inner, name), room)) {
		__builtin_memcpy(nested->inner_id, room->entry.id, sizeof(nested->inner_id));
		ring_send(&nested->header, KERNEL_NESTED, KERNEL_RING_CRITICAL, sizeof(*nested));
	}
	scratch_give(scratch);
	return 1;
}

/* A function for itself: in a loop clang reads the offset of the field that is not there before it asks whether it is. */
static __noinline struct kernfs_node *container_above(struct kernfs_node *node)
{
	return compat_kernfs_parent(node);
}

static long container_walk_step(u32 index, void *data)
{
	struct container_walk *walk = data;
	struct kernfs_node *node = walk->node;

	(void)index;
	if (!node || (walk->root && kernel_get(node, id) == walk->root))
		return 1;
	/* The outermost match wins: a container may name its own cgroups as it likes. */
	if (container_named((u64)node, 0, 0)) {
		walk->found = node;
		if (walk->root == INNERMOST)
			return 1;
	}
	walk->node = container_above(node);
	return 0;
}

/* All in one function, and one walk after the other in the same place: who asks for a container has little stack left. */
__weak int container_learn(u64 node, u64 key)
{
	struct container_walk walk = {
		.node = (void *)node,
		.root = cgroup_roots[key & CONTAINER_V1 ? key >> 56 & (HIERARCHIES - 1) : 0],
	};
	u64 outermost;

	loop(CGROUP_DEPTH, container_walk_step, &walk);
	outermost = (u64)walk.found;
	/* A walk that did not come to its root was too long, or began outside, where another machine's cgroups are. */
	if (!outermost || !walk.node != !walk.root) {
		bpf_map_update_elem(&containers, &key, &no_container, BPF_ANY);
		return 0;
	}
	walk.node = (void *)node;
	walk.root = INNERMOST;
	loop(CGROUP_DEPTH, container_walk_step, &walk);
	if ((u64)walk.found == outermost)
		return container_named(outermost, key, CONTAINER_FOUND);
	container_named(outermost, key, CONTAINER_FOUND | CONTAINER_NESTED);
	return container_nested((u64)walk.found, key);
}

/* --- a task that the verifier does not know as one ------------------------------------------------------------------ */

static __always_inline bool cgroup_contained(struct cgroup *cgroup, u64 mark)
{
	struct kernfs_node *node = kernel_get(cgroup, kn);
	u64 key = kernel_get(node, id) | mark;
	struct container_entry *entry = bpf_map_lookup_elem(&containers, &key);

	return entry ? entry->found != 0 : container_learn((u64)node, key) != 0;
}

static __always_inline bool v1_contained(struct css_set *set, struct cgroup_root *v2, int controller)
{
	struct cgroup_subsys_state *state = kernel_load(struct cgroup_subsys_state *, &set->subsys[controller]);
	struct cgroup *cgroup = kernel_get(state, cgroup);

	return kernel_get(cgroup, level) > 0 && kernel_get(cgroup, root) != v2 &&
	       cgroup_contained(cgroup, CONTAINER_HIERARCHY(kernel_get(cgroup, root, hierarchy_id)));
}

__weak int container_contains(u64 address)
{
	struct task_struct *task = (void *)address;
	struct css_set *set = kernel_get(task, cgroups);
	struct cgroup *cgroup = kernel_get(set, dfl_cgrp);
	struct cgroup_root *root = kernel_get(cgroup, root);

	if (member_find(kernel_get(task, tgid), kernel_get(task, group_leader, start_boottime)))
		return 1;
	if (kernel_get(cgroup, level) > 0 && cgroup_contained(cgroup, 0))
		return 1;
	if (!cgroup_v1)
		return 0;
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id) &&
		v1_contained(set, root, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)))
		return 1;
	return bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id) &&
	       v1_contained(set, root, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
}
