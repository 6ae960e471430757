/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel programs, in the process that holds the rights over BPF: loader_serve.c's own. In the order of a life: opened,
 * loaded, pinned, attached, asked, detached, closed.
 */
#ifndef TAFFRAIL_SENSOR_LOADER_PROGRAMS_H
#define TAFFRAIL_SENSOR_LOADER_PROGRAMS_H

#include "sensor/loader.h"

struct programs;

/* `options` must live as long. 0 or -ENOMEM. */
int programs_open(struct programs **programs, const struct loader_options *options);

/* Loads those that the hooks need. 0, or -errno with one sentence in `why`. */
int programs_load(struct programs *programs, const struct kernel_policy *policy, uint64_t calls, size_t prefix_count,
	char *why, size_t why_size);

/* After it, before they are attached: so not one record sees a part of it. 0 or -errno. */
int programs_prefix(struct programs *programs, const struct kernel_prefix *prefix, uint64_t rules);

/* Of the maps that the worker reads. `which`: a ring, or KERNEL_RINGS for the variables. */
int programs_map(const struct programs *programs, int which, uint32_t *bytes);
/* Readable when a ring calls. */
int programs_wait_fd(const struct programs *programs);
unsigned int programs_lanes(const struct programs *programs);
uint32_t programs_repeats_at(const struct programs *programs);

/* The ledger's descriptor, the caller's; -1: nothing is pinned, as was said, and the sensor works as well. */
int programs_pin(struct programs *programs, const char *name, const void *page);
bool programs_mounted(const struct programs *programs);

/* 0, or -errno with one sentence in `why`. */
int programs_attach(struct programs *programs, char *why, size_t why_size);

/* Of the iterator that tells the processes which live now: records, one after another. -errno. */
int programs_processes(const struct programs *programs);

/* Each CPU's of lane 0, then of lane 1, … 0 or -errno. */
int programs_counters(const struct programs *programs, struct kernel_counters *counters);

/* As the functions of loader.h. */
int programs_left_out(const struct programs *programs, uint64_t counts[KERNEL_KINDS_END]);
size_t programs_runs(const struct programs *programs, struct loader_run runs[LOADER_RUNS_MAX]);
uint64_t programs_missed(const struct programs *programs);
int programs_container(struct programs *programs, const uint8_t id[KERNEL_CONTAINER_ID_SIZE], uint64_t rules);
int programs_want(struct programs *programs, uint64_t calls, char *why, size_t why_size);
int programs_sweep(struct programs *programs);
bool programs_true(struct programs *programs);
const struct loader_hook *programs_hooks(const struct programs *programs, size_t *count);
size_t programs_gone(
	struct programs *programs, void (*each)(void *context, const struct loader_hook *hook), void *context);
void programs_unpin(struct programs *programs, bool all);
void programs_detach(struct programs *programs);

/*
 * A canary is about to be forked, and is a child of this process from then on; the child itself says so, for its children's sake; it
 * is about to be reaped, after which its number may be another's.
 */
void programs_canary_expect(struct programs *programs);
int programs_canary_enter(const struct programs *programs);
void programs_canary_leave(struct programs *programs);

/* NULL is allowed. */
void programs_close(struct programs *programs);

#endif
