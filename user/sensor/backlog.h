/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches from when they are made until a collector has them on its disk: on the spool, and behind it in memory what finds
 * no place there. Without a spool all are in memory.
 *
 * Memory has a limit, too. Where it is nearly used up the oldest batches lose their bulk (evict.h); what is left then stays,
 * and whoever makes batches has to wait. One thread uses a backlog; backlog_bytes may be asked by others.
 */
#ifndef TAFFRAIL_SENSOR_BACKLOG_H
#define TAFFRAIL_SENSOR_BACKLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buffer.h"
#include "event/event.h"
#include "sensor/evict.h"
#include "sensor/former.h"
#include "sensor/spool.h"

struct backlog;

/* One batch in memory, as long as somebody has a reference. */
struct batch {
	TAILQ_ENTRY(batch) entry;
	struct backlog *backlog;
	struct buffer *bytes;
	uint64_t first, last;
	uint64_t made_ns;          /* the caller's, */
	struct ledger_batch books; /* ... as these are */
	enum evict_class class;
	unsigned references;
};

struct backlog_options {
	const struct event_host *host; /* of this life; must outlive the backlog */
	struct spool *spool;           /* NULL: none; it stays the caller's */
	uint64_t memory_bytes;
	struct formers
		*formers; /* that are to be closed, each behind what is on the spool of it; NULL: none; the caller's */
};

/* 0 or -ENOMEM. */
int backlog_open(struct backlog **backlog, const struct backlog_options *options);

/* A batch of this life, from any thread; the bytes are its own then. NULL without memory, and they are the caller's. */
struct batch *backlog_batch(struct backlog *backlog, struct buffer *bytes, uint64_t first, uint64_t last);

/* Bytes of batches in memory, those too that were made and not put yet. */
uint64_t backlog_bytes(const struct backlog *backlog);

/* Events that were taken out of it for want of room, in memory and on the spool. */
uint64_t backlog_taken(const struct backlog *backlog);

/* Takes the batch, whose sequences follow those of the one before: to the spool, or into memory. */
void backlog_put(struct backlog *backlog, struct batch *batch);

/* A hello is to be said: which epoch is sent is chosen now, and stays until backlog_turn or the next hello. */
void backlog_begin(struct backlog *backlog);

/* The epoch that is sent now, and up to where some collector has everything of it. */
const struct event_host *backlog_host(const struct backlog *backlog);
uint64_t backlog_acknowledged(const struct backlog *backlog);

/* Which stores have how much of it, as far as they have said so to this life, or its own. */
const struct stores *backlog_stores(const struct backlog *backlog);

/* Whose acknowledgements are those that follow. */
void backlog_store(struct backlog *backlog, const struct store_id *id);

/* A collector has answered, which has that epoch up to `stored`: sending starts behind it. `books`: as former_greeted. */
void backlog_rewind(struct backlog *backlog, uint64_t stored, const struct wire_books *books);

/* The next batch to send, with a reference that is the caller's (backlog_release). NULL: none now. */
struct batch *backlog_next(struct backlog *backlog);

void backlog_release(struct batch *batch);

/*
 * The highest number of that epoch that any batch can have: of this life for sure; of a former one as far as its ledger and the
 * spool know.
 */
uint64_t backlog_last(const struct backlog *backlog);

/* A collector has everything of that epoch up to `sequence`. */
void backlog_acknowledge(struct backlog *backlog, uint64_t sequence);

/* That epoch is a former life's, and a collector has all of it: goes on to the next one, which wants a hello of its own. */
bool backlog_turn(struct backlog *backlog);

/* A former life has ended since backlog_begin: it wants a hello. */
bool backlog_is_interrupted(const struct backlog *backlog);

/* Nothing waits any more, of this life or of former ones. */
bool backlog_is_empty(const struct backlog *backlog);

/* Once a second: what is in memory goes to a spool that takes it again, and former lives are looked for. */
void backlog_tick(struct backlog *backlog, uint64_t now_ns);

/*
 * Writes what it can to the spool. False: something of this life is neither acknowledged nor there, and is gone, which is said
 * unless a later life can tell of it. NULL is allowed.
 */
bool backlog_close(struct backlog *backlog, bool later);

#endif
