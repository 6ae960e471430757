/* SPDX-License-Identifier: Apache-2.0 */
/* Who did it: the part of a record's header that names a process and its container, and whether to look at it at all. */
#ifndef TAFFRAIL_TASK_H
#define TAFFRAIL_TASK_H

#include "bpf/arrival.h"
#include "bpf/canary.h"
#include "bpf/container.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

/* Set by the loader. */
const volatile bool trace_host __weak = false; /* also tasks outside containers */

/* Fills the process part of a header: all but time, kind, cpu, size, sequence and ring. */
static __always_inline void task_fill(
	struct kernel_header *header, struct task_struct *task, const struct container *container)
{
	header->start_ns = kernel_read(task, group_leader, start_boottime);
	header->tgid = kernel_read(task, tgid);
	header->tid = kernel_read(task, pid);
	header->exec_counter = kernel_read(task, self_exec_id);
	header->flags = container->flags;
	header->marks = container->marks;
	header->call = KERNEL_CALL_NONE;
	header->cgroup_id = container->cgroup_id;
	__builtin_memcpy(header->container_id, container->id, sizeof(header->container_id));
}

/* A task's name, as it is at this moment. */
static __always_inline void copy_task_name(char name[KERNEL_NAME_SIZE], struct task_struct *task)
{
	u64 *words = (u64 *)name;

	words[0] = kernel_load(u64, &task->comm[0]);
	words[1] = kernel_load(u64, &task->comm[8]);
	name[KERNEL_NAME_SIZE - 1] = '\0';
}

/* Is the task to be recorded? Then `container` is filled. */
static __always_inline bool task_wanted(struct task_struct *task, struct container *container)
{
	bool inside = container_of_task(task, container);

	if (!inside && !trace_host)
		return canary_is(task, container);
	if (sensor_is(task))
		return false;
	if (inside && arrival_is(task))
		container->marks |= KERNEL_SETUP;
	canary_is(task, container);
	return true;
}

/* The same for the task that runs now, filling `header`, all but its time: to ask the clock is a cost of its own. */
static __always_inline bool task_untimed(struct kernel_header *header)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct container container;

	if (!task_wanted(task, &container))
		return false;
	task_fill(header, task, &container);
	return true;
}

/* … and with its time. */
static __always_inline bool task_current(struct kernel_header *header)
{
	if (!task_untimed(header))
		return false;
	header->time_ns = bpf_ktime_get_boot_ns();
	return true;
}

/* The number of a pid in the pid namespace of this level, which must be one of its own. */
static __always_inline struct upid *pid_at(struct pid *pid, u32 level)
{
	return (void *)((char *)pid + bpf_core_field_offset(struct pid, numbers) +
			level * bpf_core_type_size(struct upid));
}

static __always_inline u32 pid_number(struct pid *pid, u32 level)
{
	struct upid *number = pid_at(pid, level);

	return kernel_get(number, nr);
}

/*
 * member.bpf.c: tells that a process came into a cgroup that is not its `container`'s, by the hand of `actor`. `other`: the
 * container that the cgroup is, or NULL. `path`: of the cgroup; NULL: its name alone is told.
 */
void member_leaves(struct task_struct *task, struct task_struct *actor, const struct container *container,
	const u8 *other, const char *path);

/*
 * Does the task stand for its process where tasks are listed? The leader does; where that has ended while threads go on
 * (it has no memory then, and nothing is known of it), they do, each.
 */
static __always_inline bool task_stands(struct task_struct *task)
{
	return task->pid == task->tgid || !kernel_get(task, group_leader, mm);
}

#endif
