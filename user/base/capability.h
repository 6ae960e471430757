/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities of this process (capabilities(7)), as bits 1 << CAP_…; those of one thread: call these while there is one. */
#ifndef TAFFRAIL_CAPABILITY_H
#define TAFFRAIL_CAPABILITY_H

#include <stdint.h>
#include <sys/types.h>

#include <linux/capability.h>

#ifndef CAP_BPF /* since Linux 5.8 */
#define CAP_PERFMON 38
#define CAP_BPF 39
#endif

#define CAPABILITY(number) (1ull << (number))

/* The name of one that programs of BPF, files or networks need ("CAP_BPF"); NULL: it is another. */
const char *capability_name(int number);

/* Those that another process may take. 0 where the kernel does not say. */
uint64_t capability_of(pid_t pid);

/* Those that this process has in effect, and those that it may take. 0 where the kernel does not say. */
uint64_t capability_effective(void);
uint64_t capability_permitted(void);

/*
 * Gives up all but `keep` of those that it has: no program that it executes has more, and none can be taken back. The
 * bounding set is narrowed where that is allowed (CAP_SETPCAP). No privilege comes by execve any more. 0 or -errno.
 */
int capability_keep(uint64_t keep);

#endif
