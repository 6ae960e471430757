/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members: processes that are a container's. Who has once been in a container stays in it, and so do the children, also
 * in a cgroup outside or in another container's: whoever may write there could give its deeds to somebody else.
 *
 * A process becomes one when it is born to one, when it is moved into a container by other hands than the runtime's, and
 * when it executes what the runtime brought it for; those that were there before the programs are told by the iterator.
 * It ends with its last thread.
 *
 * That counts at each event, not from when a move was told: the kernel tells it when the last thread has been moved, and
 * each thread may be somewhere else in v1.
 */
#ifndef TAFFRAIL_MEMBER_H
#define TAFFRAIL_MEMBER_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

struct member {
	u64 start; /* start_boottime: tgids are used again */
	u8 id[KERNEL_CONTAINER_ID_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32); /* tgid */
	__type(value, struct member);
} members SEC(".maps") __weak;

/*
 * How many members have a tgid that falls on this word: where it is none, and that is for most of what runs outside of
 * containers, nobody needs to look.
 */
enum { MEMBER_WORDS = 16384 };
__u32 member_words[MEMBER_WORDS] __weak = {};

/* False: no member has this tgid. */
static __always_inline bool member_possible(u32 tgid)
{
	return member_words[tgid % MEMBER_WORDS] != 0;
}

/* What is known of a process by its numbers, or NULL. */
static __always_inline struct member *member_find(u32 tgid, u64 start)
{
	struct member *member;

	if (!member_possible(tgid))
		return NULL;
	member = bpf_map_lookup_elem(&members, &tgid);
	return member && member->start == start ? member : NULL;
}

static __always_inline struct member *member_of(struct task_struct *task)
{
	return member_find(kernel_read(task, tgid), kernel_read(task, group_leader, start_boottime));
}

static __always_inline void member_forget(struct task_struct *task)
{
	u32 tgid = kernel_read(task, tgid);

	/* Of two last threads one deletes it. */
	if (member_of(task) && bpf_map_delete_elem(&members, &tgid) == 0)
		__sync_fetch_and_add(&member_words[tgid % MEMBER_WORDS], -1);
}

/* The process is a member of the container `id`. */
static __always_inline void member_note(struct task_struct *task, const u8 *id)
{
	struct member member = {.start = kernel_read(task, group_leader, start_boottime)};
	u32 tgid = kernel_read(task, tgid);

	__builtin_memcpy(member.id, id, sizeof(member.id));
	if (bpf_map_update_elem(&members, &tgid, &member, BPF_NOEXIST) == 0)
		__sync_fetch_and_add(&member_words[tgid % MEMBER_WORDS], 1);
	else /* one that is there is of a process whose end was missed, or says the same; or there is no room */
		bpf_map_update_elem(&members, &tgid, &member, BPF_EXIST);
}

#endif
