/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the loader that speaks with bpf/flow.h: what is sampled, the clock of the programs, and idle flows. */
#ifndef TAFFRAIL_SENSOR_LOADER_FLOW_H
#define TAFFRAIL_SENSOR_LOADER_FLOW_H

#include <stdint.h>

#include "sensor/loader.h"
#include "sensor/loader_object.h"

struct bpf_program;

/* Before the object is loaded. */
void loader_flow_options(struct taffrail_bpf *skeleton, const struct loader_flow_options *options);

/* After it, before the programs are attached. 0 or -errno. */
int loader_flow_ranges(struct taffrail_bpf *skeleton, const struct loader_flow_options *options);

/* Tells the programs the time. */
void loader_flow_clock(struct taffrail_bpf__bss *variables, uint64_t now_ns);

/* Runs an iterator, over a map's elements if it is one of these (-1: it is not), for what it does. 0 or -errno. */
int loader_iterate(const struct bpf_program *program, int map_fd);

#endif
