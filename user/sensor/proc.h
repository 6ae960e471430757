/* SPDX-License-Identifier: Apache-2.0 */
/* The little that only /proc tells of a process: its arguments, once it runs. */
#ifndef TAFFRAIL_SENSOR_PROC_H
#define TAFFRAIL_SENSOR_PROC_H

#include <sys/types.h>

#include "base/buffer.h"

/*
 * Replaces `out` by the arguments of a process of the initial pid namespace, NUL-separated, cut at KERNEL_ARGS_MAX.
 * `proc` is where that procfs is mounted. They are what the process holds in its memory now, so claimed.
 * 0 or -errno (-ESRCH: it has gone).
 */
int proc_arguments(struct buffer *out, const char *proc, pid_t pid);

#endif
