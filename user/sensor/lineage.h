/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a former life of the sensor knew of processes, until the census has found those that still live. Of the process table
 * alone.
 */
#ifndef TAFFRAIL_SENSOR_LINEAGE_H
#define TAFFRAIL_SENSOR_LINEAGE_H

#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

enum { LINEAGE_IMAGES_MAX = 1 << 17 }; /* above it the rest is left out */

struct image;
struct lineage;

/* 0 or -ENOMEM. */
int lineage_open(struct lineage **lineage);

/*
 * A process that lived then, with its ancestors: each image is made once. The view may be gone afterwards. 0, -ENOMEM,
 * or -ENOSPC above LINEAGE_IMAGES_MAX.
 */
int lineage_add(struct lineage *lineage, const struct event_process *process);

/* The image that the process of this entity had; NULL: it is not known. Once for each: it is the caller's to hold. */
struct image *lineage_adopt(struct lineage *lineage, const uint8_t entity[EVENT_ENTITY_SIZE]);

/* Processes that nobody has adopted. */
size_t lineage_left(const struct lineage *lineage);

/* What was adopted stays, and its ancestors; the rest goes. NULL is allowed. */
void lineage_close(struct lineage *lineage);

#endif
