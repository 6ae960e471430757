/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members: processes that are a container's. Who has once been in a container stays in it, and so do the children, also
 * in a cgroup outside or in another container's: whoever may write there could give its deeds to somebody else.
 *
 * A process becomes one when it is born to one, when it is moved into a container by other hands than the runtime's, and
 * when it executes what the runtime brought it for; those that were there before the programs are told by the iterator.
 * It ends with its last thread.
 */
#ifndef TAFFRAIL_MEMBER_H
#define TAFFRAIL_MEMBER_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

struct member {
	u64 start; /* start_boottime: tgids are used again */
	u32 left;  /* its cgroups say another container, or none */
	u32 zero;
	u8 id[KERNEL_CONTAINER_ID_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32); /* tgid */
	__type(value, struct member);
} members SEC(".maps") __weak;

/* How many have left their cgroups: mostly none, and then nobody needs to look. */
__u32 members_left __weak = 0;

/* What is known of a process by its numbers, or NULL. */
static __always_inline struct member *member_find(u32 tgid, u64 start)
{
	struct member *member = bpf_map_lookup_elem(&members, &tgid);

	return member && member->start == start ? member : NULL;
}

static __always_inline struct member *member_of(struct task_struct *task)
{
	return member_find(kernel_read(task, tgid), kernel_read(task, group_leader, start_boottime));
}

static __always_inline void member_forget(struct task_struct *task)
{
	struct member *member = member_of(task);
	u32 tgid = kernel_read(task, tgid);

	if (!member)
		return;
	if (member->left)
		__sync_fetch_and_add(&members_left, -1);
	bpf_map_delete_elem(&members, &tgid);
}

/* The process is a member of the container `id`. `left`: although its cgroups say something else. */
static __always_inline void member_note(struct task_struct *task, const u8 *id, bool left)
{
	struct member member = {.start = kernel_read(task, group_leader, start_boottime), .left = left};
	u32 tgid = kernel_read(task, tgid);

	__builtin_memcpy(member.id, id, sizeof(member.id));
	/* One that is there is of a process whose end was missed, or says the same. */
	if (bpf_map_update_elem(&members, &tgid, &member, BPF_ANY) == 0 && left)
		__sync_fetch_and_add(&members_left, 1);
}

#endif
