/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each of the sensor's processes gives up, and what it keeps: docs/privileges.md has the table, with reasons. None gains a
 * privilege by execve(2) any more.
 */
#ifndef TAFFRAIL_SENSOR_CONFINE_H
#define TAFFRAIL_SENSOR_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Before anything else: 0, or -EPERM with one sentence in `why`, which capabilities this process lacks and who gives them. */
int confine_lacks(char *why, size_t why_size);

/*
 * The worker, which reads what strangers wrote: no capability, and only the system calls that it makes. One that only an intruder
 * makes (execve, ptrace, bpf, …) ends it; one that is not known fails with ENOSYS. To be called while it has one thread. 0, or -errno
 * after it has said so.
 */
int confine_worker(void);

/* The loader before it loads: what that takes, as far as this process has it. 0 or -errno. */
int confine_loading(void);

/* ... and from then on: CAP_BPF, what its canary may try, and, where it has mounted a bpffs, what unmounting takes. 0 or -errno. */
int confine_loader(bool mounted);

/* The canary: nothing of BPF. 0 or -errno. */
int confine_canary(void);

/* Says in the log what is in force, once the loader is at work. */
void confine_say(pid_t loader);

#endif
