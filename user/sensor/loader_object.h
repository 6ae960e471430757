/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs as compiled: loader.c's own, nobody else includes it.
 *
 * They are compiled twice from the same sources: the modern object, and the classic one for kernels before 5.17 (bpf/
 * with TAFFRAIL_CLASSIC). Both have the programs, maps and variables that the modern object's skeleton names, so one
 * skeleton serves both.
 */
#ifndef TAFFRAIL_SENSOR_LOADER_OBJECT_H
#define TAFFRAIL_SENSOR_LOADER_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

/* Generated: holds an object file as one string, and names types of kernel_event.h. */
#include "bpf/kernel_event.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "bpf/taffrail.skel.h"
#pragma GCC diagnostic pop

struct object {
	struct taffrail_bpf *skeleton; /* settings may be written into rodata until object_load */
	void *settings, *values;       /* classic only: what rodata points to, and what it stands for */
	bool classic;
};

/* Does this kernel need the classic object? Asked by trying, for distributions carry features back. */
bool object_needs_classic(void);

/* 0 or -errno. */
int object_open(struct object *object, bool classic);

/* 0 or -errno, with one sentence in `why`. */
int object_load(struct object *object, char *why, size_t why_size);

/* May be called for one that was never opened, or twice. */
void object_close(struct object *object);

#endif
