/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a cgroup's path to a container's id, by the rules that the kernel's side applies to cgroup names (bpf/): one of a path's
 * components is a container's if it is
 *	64 hexadecimal digits                                             cgroupfs driver, plain containerd
 *	cri-containerd-ID, crio-ID, docker-ID, libpod-ID, with .scope or not    systemd driver
 *	ANYTHING:cri-containerd:ID                                        containerd on cgroupfs, given a systemd slice
 * The outermost such component counts: what a container makes below its own cgroup deceives nobody.
 */
#ifndef TAFFRAIL_SENSOR_CGROUP_H
#define TAFFRAIL_SENSOR_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/event.h"

/* The id in a path such as /kubepods/burstable/podUID/ID. False if there is none. */
bool cgroup_container(struct text path, uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/*
 * The id in the text of a /proc/PID/cgroup (cgroups(7)): from the v2 hierarchy's line, else from that of pids or
 * memory of v1.
 */
bool cgroup_parse(struct text file, uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/* Which hierarchies this machine has, from a mount table: "v1", "v2" or "hybrid"; "" if none is mounted. */
const char *cgroup_mode(const char *mounts);

/* Reads /proc/PID/cgroup. 1 with the id, 0: in no container; -errno (-ESRCH: it has gone). `proc`: where procfs is mounted. */
int cgroup_read(const char *proc, pid_t pid, uint8_t id[EVENT_CONTAINER_ID_SIZE]);

#endif
