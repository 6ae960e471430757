/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cgroup hierarchies of this machine: where v2 is mounted, and which cgroups are the machine's roots. Where the
 * "machine" is a container itself (kind, a virtual cluster), those are not the kernel's, and what lies outside is somebody
 * else's.
 */
#ifndef TAFFRAIL_SENSOR_HIERARCHY_H
#define TAFFRAIL_SENSOR_HIERARCHY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { HIERARCHY_MAX = 64 }; /* as HIERARCHIES of bpf/container.h */

struct hierarchies {
	char v2[PATH_MAX];             /* where cgroup v2 is mounted */
	bool v1;                       /* v1's pids or memory controller is in a hierarchy of its own */
	uint64_t roots[HIERARCHY_MAX]; /* by number, v2 is 0: the id of the machine's root; 0: it is the kernel's */
};

/*
 * Reads `proc`/mountinfo and `proc`/cgroup (proc: /proc/self). Of several mounts of a hierarchy those below `host_root`
 * count (NULL or "": there is none), then those that show more than the sensor's own cgroup: in a container the usual
 * mount is the container's own part. 0, or -errno with a sentence in `why`: -ENOENT where v2 is not mounted, or where
 * only the own part of it is.
 */
int hierarchy_find(
	struct hierarchies *hierarchies, const char *proc, const char *host_root, char *why, size_t why_size);

/* The same of the two files, open. */
int hierarchy_read(struct hierarchies *hierarchies, FILE *cgroup, FILE *mountinfo, const char *host_root, char *why,
	size_t why_size);

#endif
