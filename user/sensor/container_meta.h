/* SPDX-License-Identifier: Apache-2.0 */
/* A container's names: made once, never changed, shared between threads by counting references. */
#ifndef TAFFRAIL_SENSOR_CONTAINER_META_H
#define TAFFRAIL_SENSOR_CONTAINER_META_H

#include <stdbool.h>

#include "event/event.h"

/* How much the names are. */
enum container_standing {
	CONTAINER_COMPLETE, /* all that the runtime tells */
	CONTAINER_PARTIAL,  /* what config.json tells; the runtime's answer is on its way */
	CONTAINER_ABANDONED, /* maybe some; a runtime should tell more but cannot be reached: nobody waits, but pending */
	CONTAINER_ALONE,     /* maybe some; there is no runtime that could tell more */
};

struct container_meta; /* one allocation: a struct event_container and everything it points at */

/*
 * A copy of `view` with all that it points at, its spec and that one's mounts (EVENT_MOUNTS_MAX of them) too; one reference.
 * NULL without memory.
 */
struct container_meta *container_meta_make(const struct event_container *view, enum container_standing standing);
/* The copy; lives as long as a reference. */
const struct event_container *container_meta_view(const struct container_meta *meta);
enum container_standing container_meta_standing(const struct container_meta *meta);
/* Bytes of memory that it has; of NULL none. */
size_t container_meta_bytes(const struct container_meta *meta);
/* The same names and standing? */
bool container_meta_equal(const struct container_meta *a, const struct container_meta *b);
/* One reference more or less; from any thread; NULL is allowed. */
struct container_meta *container_meta_hold(struct container_meta *meta);
void container_meta_release(struct container_meta *meta);

#endif
