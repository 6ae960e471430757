/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch that collectors refuse for what is in it, so that what is behind it does not wait for ever. A refusal does not say
 * which batch it meant, so those that were under way are sent again one by one. One that is refused alone, three times or
 * as often as there are collectors, is sent as a record that tells its loss (evict.h) with what the sensor said of itself
 * in it, and then, if need be, as that record alone. If that is refused, too, the collector takes nothing of this sensor's, and
 * it begins anew: nothing is given up before a collector has taken what is said in its place.
 *
 * The stream's thread uses it.
 */
#ifndef TAFFRAIL_SENSOR_REFUSAL_H
#define TAFFRAIL_SENSOR_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

struct backlog;
struct batch;
struct refusal;

/* `collectors`: how many there are. 0 or -ENOMEM. */
int refusal_open(struct refusal **refusal, struct backlog *backlog, size_t collectors);

/* A call begins, to a collector that has everything of an epoch up to `stored`. */
void refusal_begin(struct refusal *refusal, const uint8_t epoch[EVENT_EPOCH_SIZE], uint64_t stored);

/* May a batch leave? Not while one is under way alone, of which there is nothing stored. */
bool refusal_may_send(const struct refusal *refusal);

/*
 * A batch of `host` that is about to leave, whose reference is taken: what is to be sent, it or what stands in its place, with
 * a reference that is the caller's. NULL: there is no memory now.
 */
struct batch *refusal_pass(struct refusal *refusal, struct batch *batch, const struct event_host *host);

/* The call has ended: a collector found something wrong in a message, and says what. */
void refusal_note(struct refusal *refusal, const char *collector, const char *why);

/*
 * A collector has everything up to `sequence`. A batch that is stored as what stood in its place comes back, with a reference
 * that is the caller's; else NULL.
 */
struct batch *refusal_stored(struct refusal *refusal, uint64_t sequence);

/* Events that were given up so. */
uint64_t refusal_total(const struct refusal *refusal);

/* NULL is allowed. */
void refusal_close(struct refusal *refusal);

#endif
