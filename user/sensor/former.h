/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of the sensor that were killed, as their ledgers and counters tell of them. What such a life had seen and neither told
 * nor declared is declared for it, in one last batch of its epoch: an events_lost of stage "sensor", and books that are
 * closed. It takes the number behind all that were ever made, so that no collector can have another event under it; what is
 * between is taken out.
 *
 * One thread uses them.
 */
#ifndef TAFFRAIL_SENSOR_FORMER_H
#define TAFFRAIL_SENSOR_FORMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "event/event.h"
#include "event/wire.h"
#include "sensor/ledger.h"

enum { FORMER_MAX = 16 };

struct former_ops {
	/* It is declared, and a collector has that: what `owner` keeps of it is not needed any more. */
	void (*done)(void *context, void *owner);
	/* It is not: that is the next life's. */
	void (*left)(void *context, void *owner);
	void *context;
	/* Adds lives that have ended since. True: it passed over one that has not, and for the first time. NULL: nobody looks. */
	bool (*look)(void *context);
};

struct formers;
struct former;

/* `ops` is copied. 0 or -ENOMEM. */
int formers_open(struct formers **formers, const struct former_ops *ops);

/*
 * Adds a life: its ledger (the texts are copied), and how many records the kernel had numbered for it. They are kept in the
 * order of their starts. 0; -ENOBUFS: there are FORMER_MAX and this one, of which the youngest, or within `look` this one, is
 * left; -ENOMEM: the owner stays the caller's.
 */
int formers_add(struct formers *formers, const struct ledger_view *ledger, uint64_t counted, void *owner);

/*
 * Asks `look` when it is time: 2 s after the first call, then after twice as long each time, up to a minute. Lives that it
 * adds wait, as if they were not there, until formers_begin: who speaks of another epoch is not interrupted. NULL is allowed.
 */
void formers_look(struct formers *formers, uint64_t now_ns);
bool formers_wait(const struct formers *formers);
void formers_begin(struct formers *formers);

/* That of an epoch, or the oldest; NULL: none. For NULL formers: NULL. */
struct former *formers_find(const struct formers *formers, const uint8_t epoch[EVENT_EPOCH_SIZE]);
struct former *formers_oldest(const struct formers *formers);

/* One that is done. */
void formers_remove(struct formers *formers, struct former *former);

/* Those that are left are so: NULL is allowed. */
void formers_close(struct formers *formers);

/* --- one of them ------------------------------------------------------------------------------------------------------- */

const struct event_host *former_host(const struct former *former);

/* Who has acknowledged how much in its life. */
const struct stores *former_stores(const struct former *former);

/* Up to where some collector has everything. */
uint64_t former_acknowledged(const struct former *former);

/* The number of the batch that closes it, behind all that were made. */
uint64_t former_last(const struct former *former);

/* A collector has answered, which has that epoch up to `stored`. `books`: of the last batch up to there; NULL: not told. */
void former_greeted(struct former *former, uint64_t stored, const struct wire_books *books);

/* One of its own batches was on the spool, and is on its way: an Up{batch} up to `last`. */
void former_passed(struct former *former, struct text up, uint64_t last);

/* A collector has everything of it up to `sequence`. */
void former_acknowledge(struct former *former, uint64_t sequence);

/* It is closed, and a collector has that: formers_remove. */
bool former_is_done(const struct former *former);

/*
 * The next batch that closes it, behind everything else of it that was sent: an Up{batch}, the caller's (wire_bytes_free). NULL:
 * all of them were sent since former_greeted, or there is no memory.
 */
struct buffer *former_next(struct former *former, uint64_t *first, uint64_t *last);

#endif
