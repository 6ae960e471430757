/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sensor's canary: a child of the sensor's that does one deed of each kind, so that it is seen whether the hooks
 * still see. It is recorded wherever it runs, in a container or not, and its records are marked. It and its children
 * are known by its tgid, which the canary itself brings here.
 */
#ifndef TAFFRAIL_CANARY_H
#define TAFFRAIL_CANARY_H

#include "bpf/container.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

__u32 canary_tgid __weak = 0; /* 0: there is none; set by guard.bpf.c, cleared by the loader */

/* Is the task the canary, or a child of it? Then it is marked in `container`. */
static __always_inline bool canary_is(struct task_struct *task, struct container *container)
{
	u32 canary = canary_tgid;

	if (!canary || ((u32)task->tgid != canary && (u32)task->real_parent->tgid != canary))
		return false;
	container->flags |= KERNEL_CANARY;
	return true;
}

#endif
