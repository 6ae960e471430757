/* SPDX-License-Identifier: Apache-2.0 */
/* System calls by whom they are for: confine.c's own. */
#ifndef TAFFRAIL_SENSOR_CONFINE_CALLS_H
#define TAFFRAIL_SENSOR_CONFINE_CALLS_H

#include <stddef.h>

/* What the worker makes, whatever the arguments: those that it makes most come first. */
extern const int confine_worker_calls[];
extern const size_t confine_worker_call_count;

/* What neither process makes once it is at work, nor the canary: other processes' memory, mounts, modules, keys, other users. */
extern const int confine_foreign_calls[];
extern const size_t confine_foreign_call_count;

/* What the loader and its canary make, and nobody in the worker but an intruder. */
extern const int confine_intruder_calls[];
extern const size_t confine_intruder_call_count;

#endif
