/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives kill -9: the rings, the counters and the ledger of a life of the sensor, pinned in a BPF file system (bpffs) as
 * PATH/EPOCH/{critical,bulk,counters,shared,ledger}. The programs are not: with their process they end, and then the
 * counters are final.
 *
 * A life holds a lock on its directory: what nobody holds is a former life's. All that is read of one may be damaged, or
 * somebody else's work: types and sizes are asked of the kernel first.
 */
#ifndef TAFFRAIL_SENSOR_LOADER_PIN_H
#define TAFFRAIL_SENSOR_LOADER_PIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/loader.h"

/* Which map. */
enum pin { PIN_CRITICAL, PIN_BULK, PIN_COUNTERS, PIN_SHARED, PIN_LEDGER, PINS };

struct pins;

/*
 * Makes PATH (0700) if it is not there, and PATH/NAME with the lock. Below /sys/fs/bpf, where nothing is mounted there, it
 * mounts a bpffs first. 0, or -errno with a sentence in `why`: no bpffs, not this process's alone, no rights.
 */
int pins_open(struct pins **pins, const char *path, const char name[PIN_NAME_SIZE], char *why, size_t why_size);

/* Pins a map of this process. 0 or -errno. */
int pins_put(struct pins *pins, enum pin pin, int map_fd);

/* A new map for the ledger, which `page` (PIN_LEDGER_BYTES) is copied into, pinned. Its descriptor, the caller's; or -errno. */
int pins_ledger(struct pins *pins, const void *page);

/* Has pins_open mounted a bpffs, which pins_close may take away again? */
bool pins_mounted(const struct pins *pins);

/*
 * Takes away the pins of the rings and variables; or all, and the directory; with it PATH where nothing else is in it.
 */
void pins_drop_rings(struct pins *pins);
void pins_drop(struct pins *pins);

/* Gives up the lock: what is pinned still is the next life's; a bpffs that pins_open mounted and that is empty goes. NULL is allowed. */
void pins_close(struct pins *pins);

/* --- former lives ------------------------------------------------------------------------------------------------------ */

/* What is pinned of a life that has ended. */
struct pins_former {
	char name[PIN_NAME_SIZE];
	struct pins *pins; /* with the lock; the receiver's. NULL: somebody holds it, and that is all that is known */
	int ledger;        /* descriptor of its map, the receiver's; -1: there is none, */
	bool damaged;      /* ... but something else stands in its place */
};

/*
 * Calls `each` once for every life below PATH, in no order. `patient`: waits up to 200 ms for each that somebody holds. 0, or
 * -errno: PATH cannot be read.
 */
int pins_find(
	const char *path, bool patient, void (*each)(void *context, const struct pins_former *former), void *context);

/* How many records the kernel has numbered, and found lost without a number, in so many lanes of each CPU. 0 or -errno. */
int pins_counted(const struct pins *pins, uint32_t lanes, uint64_t *count);

/* Reads the rings to their end: once. `repeats_at` is the place of the kernel_repeats in the variables. */
void pins_rest(struct pins *pins, uint32_t repeats_at, struct pins_rest *rest);

#endif
