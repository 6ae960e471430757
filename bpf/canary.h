/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sensor's own processes, and its canary: a child of its loader that does one deed of each kind, so that it is seen
 * whether the hooks still see. The canary is recorded wherever it runs, in a container or not, and its records are marked.
 * They are known by numbers that they bring here themselves (guard.bpf.c).
 */
#ifndef TAFFRAIL_CANARY_H
#define TAFFRAIL_CANARY_H

#include "bpf/container.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

#define CANARY_EXPECTED (~0u) /* it is about to be forked */

__u32 sensor_tgid __weak = 0; /* of the worker, which reads the rings */
__u32 loader_tgid __weak = 0; /* of the process that has loaded this, the canary's parent */
__u32 canary_tgid __weak = 0; /* 0: there is none, and nobody looks for it. Cleared by the loader */

static __always_inline bool sensor_is(struct task_struct *task)
{
	u32 tgid = kernel_read(task, tgid);

	return tgid == sensor_tgid || tgid == loader_tgid;
}

/* Is the task the canary, or a child of it? Then it is marked in `container`. */
static __always_inline bool canary_is(struct task_struct *task, struct container *container)
{
	u32 canary = canary_tgid, tgid, parent;

	if (!canary)
		return false;
	tgid = kernel_read(task, tgid);
	parent = kernel_read(task, real_parent, tgid);
	/* The loader has no other children. */
	if (tgid != canary && parent != canary && parent != loader_tgid)
		return false;
	container->flags |= KERNEL_CANARY;
	return true;
}

#endif
