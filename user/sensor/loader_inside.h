/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker's side of the loader shares: loader.c, and loader_former.c. */
#ifndef TAFFRAIL_SENSOR_LOADER_INSIDE_H
#define TAFFRAIL_SENSOR_LOADER_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "sensor/loader.h"
#include "sensor/loader_call.h"
#include "sensor/loader_ring.h"

struct taffrail_bpf__bss;

struct loader {
	int socket;
	pid_t child;
	pthread_mutex_t lock; /* of the socket: a request and its answer */
	atomic_bool lost;
	bool attached, detached;
	struct ring rings[KERNEL_RINGS];
	int wait_fd;
	struct taffrail_bpf__bss *variables;
	uint32_t thinned, unsampled; /* of these: as loader_thin_out told the programs */
	size_t variables_size;
	uint32_t repeats_at;
	void *ledger;
	struct kernel_counters *counters; /* the loader's process writes them */
	size_t counters_size;
	unsigned int cpus, lanes;
	uint64_t calls;                    /* that are asked for */
	uint64_t sweep_ns, sweep_every_ns; /* when idle flows are looked for next */
	struct loader_hook hooks[REPLY_HOOKS];
	struct reply_hook hook_words[REPLY_HOOKS]; /* what they point to */
	size_t hook_count;
};

/*
 * Sends a request and takes its answer, with at most `*fd_count` descriptors, the caller's then. Returns the reply's result, or
 * -errno: -EPIPE where nobody answers any more. What of `reply` was not answered is 0.
 */
int loader_ask(struct loader *loader, const struct request *request, struct reply *reply, int *fds, size_t *fd_count);

/* The same without descriptors. */
int loader_ask_plainly(struct loader *loader, const struct request *request, struct reply *reply);

#endif
