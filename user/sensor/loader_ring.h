/* SPDX-License-Identifier: Apache-2.0 */
/* A ring as its reader sees it, the sensor's own or one that a former life left: the loader's own. */
#ifndef TAFFRAIL_SENSOR_LOADER_RING_H
#define TAFFRAIL_SENSOR_LOADER_RING_H

#include "sensor/loader.h"

/* Read by its memory alone (bpf_ringbuf in kernel/bpf/ringbuf.c): no call of bpf(2), which the worker may not make. */
struct ring {
	size_t size;                                /* of its data, a power of two */
	_Atomic unsigned long *consumed, *produced; /* bytes ever; mapped, a page each */
	const char *data;                           /* behind `produced` */
	bool reading;
};

/* `fd` is the map's, and stays the caller's: it may be closed. `size`: the map's max_entries. 0 or -errno; then ring_close all the same. */
int ring_open(struct ring *ring, int fd, size_t size);

/* Gives at most `limit` records to `callback` and returns how many it gave; 0 from inside of itself. */
size_t ring_read(struct ring *ring, loader_callback *callback, void *context, size_t limit);

/* Bytes that were not read yet. */
size_t ring_holds(const struct ring *ring);

/* May be called for one that was never opened, or twice. */
void ring_close(struct ring *ring);

#endif
