/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are moved between cgroups: into a container, by the runtime or by others, and out of it. */
#include "bpf/arrival.h"
#include "bpf/ring.h"
#include "bpf/task.h"

__hidden __noinline void member_leaves(struct task_struct *task, struct task_struct *actor,
	const struct container *container, const u8 *other, const char *path)
{
	struct scratch *scratch = scratch_take();
	struct kernel_cgroup_left *left;
	u32 end = sizeof(*left);
	bool cut;

	if (!scratch) {
		ring_unsent(KERNEL_CGROUP_LEFT, KERNEL_RING_CRITICAL);
		return;
	}
	left = (void *)scratch->record;
	__builtin_memset(left, 0, sizeof(*left));
	task_fill(&left->header, task, container);
	left->header.flags |= KERNEL_IN_CONTAINER;
	left->header.marks |= KERNEL_LEFT_CGROUP;
	left->actor_tgid = kernel_read(actor, tgid);
	copy_task_name(left->actor_name, actor);
	if (other) {
		left->in_other = 1;
		__builtin_memcpy(left->other_id, other, sizeof(left->other_id));
	}
	if (!path)
		path = kernel_get(task, cgroups, dfl_cgrp, kn, name);
	end = string_kernel(scratch, end, &left->path, path, KERNEL_PATH_MAX, &cut);
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&left->header, KERNEL_CGROUP_LEFT, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}

/* The mark of the hierarchy that a cgroup is in: see container.h. */
static __always_inline u64 hierarchy_mark(struct cgroup *cgroup)
{
	u32 hierarchy = kernel_read(cgroup, root, hierarchy_id);

	return hierarchy ? CONTAINER_HIERARCHY(hierarchy) : 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(process_moves, struct cgroup *cgroup, const char *path, struct task_struct *task, bool threadgroup)
{
	struct task_struct *actor = bpf_get_current_task_btf();
	struct container to = {}, now;
	struct member *member = member_of(task);
	bool inside;

	(void)threadgroup;
	if (!member) {
		if (!container_by_cgroups(task, &now) || arrival_is(task))
			return 0;
		if (kernel_read(actor, tgid) != task->tgid && comes_from_runtime(task, kernel_get(task, mm, exe_file)))
			arrival_note(task);
		else
			member_note(task, now.id);
		return 0;
	}
	inside = container_of_cgroup(cgroup, hierarchy_mark(cgroup), &to);
	if (inside && container_same(to.id, member->id))
		return 0;
	__builtin_memcpy(now.id, member->id, sizeof(now.id));
	now.cgroup_id = kernel_read(task, cgroups, dfl_cgrp, kn, id);
	now.flags = now.marks = 0;
	member_leaves(task, actor, &now, inside ? to.id : NULL, path);
	return 0;
}
