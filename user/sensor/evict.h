/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is taken out of batches that wait and find no room: bulk first, at last everything but what the sensor says of
 * itself. In its place comes one record, events_lost of stage "spool", which says exactly how many, of which kinds, from
 * which to which number, and when. It takes the number of the last of them and counts itself with them, so that of the
 * numbers of a batch each is an event's or within a count, once. The sensor's books of the last of them stay.
 */
#ifndef TAFFRAIL_SENSOR_EVICT_H
#define TAFFRAIL_SENSOR_EVICT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "event/event.h"

/* What was taken out of a batch. The numbers are in the spool's files. */
enum evict_class { EVICT_NOTHING = 0, EVICT_BULK = 1, EVICT_ALL = 2, EVICT_CLASSES };

struct evict;

/* 0 or -ENOMEM. */
int evict_open(struct evict **evict);

/*
 * Takes a batch, an `Up{batch}` as wire_batch_finish makes it, of the sequences `first` to `last`, which follow those of
 * the one before. 1; 0: there is nothing to take out of it, and nothing has changed; -ENOMEM. A batch that cannot be read
 * is taken out whole.
 */
int evict_add(struct evict *evict, struct text up, uint64_t first, uint64_t last, enum evict_class class);

/* Events that are not there any more, and nobody knows what they were. */
void evict_add_missing(struct evict *evict, uint64_t first, uint64_t last);

/* Events that were taken since evict_open. */
uint64_t evict_total(const struct evict *evict);

/* Of what was taken nothing is kept: what comes next may be of the same record. */
bool evict_is_bare(const struct evict *evict);

/* The sequences that were taken since the last evict_finish; last < first: none. */
uint64_t evict_first(const struct evict *evict);
uint64_t evict_last(const struct evict *evict);

/* One `Up{batch}` in the place of all that were taken, the caller's (wire_bytes_free); NULL without memory. */
struct buffer *evict_finish(struct evict *evict, const struct event_host *host);

/* NULL is allowed. */
void evict_close(struct evict *evict);

#endif
