/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which name a container had resolved to an address: the newest wins. What bounds it: RESOLVED_MAX addresses in all and
 * RESOLVED_CONTAINER_MAX of one container, the oldest making room, so that nobody pushes out all that others know; and age,
 * for addresses are given to others. All memory is taken at the start.
 */
#ifndef TAFFRAIL_SENSOR_RESOLVED_H
#define TAFFRAIL_SENSOR_RESOLVED_H

#include <stdint.h>

#include "event/event.h"

enum { RESOLVED_MAX = 16384, RESOLVED_CONTAINER_MAX = 1024, RESOLVED_NAME_MAX = 253 };
/* Programs keep an address far longer than its record allows; what is older than this is somebody else's, perhaps. */
#define RESOLVED_AGE_NS (3600ull * 1000 * 1000 * 1000)

struct resolved;

/* 0 or -ENOMEM. */
int resolved_open(struct resolved **resolved);

/*
 * An answer for a container (its id; NULL: for the machine) named this address, IPv4 or IPv6; its port is of no account. A
 * name that is longer than a name can be is left out.
 */
void resolved_note(struct resolved *resolved, const uint8_t *container_id, const struct event_address *address,
	struct text name, uint64_t now_ns);

/* The name, or an empty text. Good until the next resolved_note. */
struct text resolved_find(const struct resolved *resolved, const uint8_t *container_id,
	const struct event_address *address, uint64_t now_ns);

/* Addresses that are remembered. */
size_t resolved_count(const struct resolved *resolved);

/* NULL is allowed. */
void resolved_close(struct resolved *resolved);

#endif
