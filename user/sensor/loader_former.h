/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of sensors that have ended and of which something is still pinned (loader_pin.h), as the worker sees them: the loader's
 * process has their pins, here are their ledgers in shared memory. Any thread, one at a time.
 */
#ifndef TAFFRAIL_SENSOR_LOADER_FORMER_H
#define TAFFRAIL_SENSOR_LOADER_FORMER_H

#include "sensor/loader.h"

struct loader_former;

struct loader_found {
	char name[PIN_NAME_SIZE];
	struct loader_former *former; /* the receiver's; NULL: somebody holds it, and that is all that is known */
	void *ledger; /* PIN_LEDGER_BYTES, shared with the kernel until loader_former_close; NULL: there is none, */
	bool damaged; /* ... but something else stands in its place */
};

/*
 * Calls `each` once for every life in the loader's pin_path, in no order. `patient`:
 * waits up to 200 ms for each that somebody holds. 0, or -errno: they cannot be read.
 */
int loader_formers(struct loader *loader, bool patient, void (*each)(void *context, const struct loader_found *found),
	void *context);

/* How many records the kernel has numbered, and found lost without a number, in so many lanes of each CPU. 0 or -errno. */
int loader_former_counted(struct loader_former *former, uint32_t lanes, uint64_t *count);

/* Reads the rings to their end: once. `repeats_at` is the place of the kernel_repeats in the variables. */
void loader_former_rest(struct loader_former *former, uint32_t repeats_at, struct pins_rest *rest);

/* Takes away the pins of the rings and variables; or all. */
void loader_former_drop_rings(struct loader_former *former);
void loader_former_drop(struct loader_former *former);

/* What is pinned still is the next life's. NULL is allowed. */
void loader_former_close(struct loader_former *former);

#endif
