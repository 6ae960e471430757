/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events as protobuf (proto/taffrail/v1): batches that need no other batch to be understood.
 *
 * A Batch is written record by record as the events come, so that no tree of messages is ever built; read, it is
 * checked whole before its first event is handed on.
 */
#ifndef TAFFRAIL_EVENT_WIRE_H
#define TAFFRAIL_EVENT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "event/event.h"

/* --- writing ---------------------------------------------------------------------------------------------------------- */

struct wire_batch;

/* What a sensor says of its epoch up to a batch; proto/taffrail/v1/stream.proto says what each number is. */
struct wire_books {
	uint64_t seen, settled, held, undeclared;
	bool closed;
};

/* What events_lost of the stages ring-critical, ring-bulk, kernel and sensor count up to there. */
static inline uint64_t wire_books_declared(const struct wire_books *books)
{
	return books->seen - books->settled - books->held - books->undeclared;
}

/* 0 or -ENOMEM. */
int wire_batch_open(struct wire_batch **batch);

/*
 * Keeps the bytes of containers and processes from batch to batch, about 2 MiB of them: for one that writes batch after
 * batch about the same processes, whose images must never change. 0 or -ENOMEM.
 */
int wire_batch_keep(struct wire_batch *batch);

/*
 * Adds an event, and before it what it refers to and the batch does not hold yet: its container, its process and all
 * ancestors, each once. Sequences must ascend (for wire_read: without a gap that wire_batch_taken_out does not
 * count). Copies everything.
 */
void wire_batch_add(struct wire_batch *batch, const struct event *event);

/*
 * Takes back what was added since the batch had `size` bytes. Then wire_batch_finish is due before anything else is added, but
 * where `size` is 0.
 */
void wire_batch_take_back(struct wire_batch *batch, size_t size);

/* So many of the batch's sequences have no event in it any more. */
void wire_batch_taken_out(struct wire_batch *batch, uint64_t count);

/* The batch carries these books. */
void wire_batch_books(struct wire_batch *batch, const struct wire_books *books);

/* What wire_batch_finish puts before the Batch itself: the tag and length of its Up. */
enum { WIRE_UP_HEADER = 6 };

/* Bytes that the batch has so far; 0: empty. */
size_t wire_batch_size(const struct wire_batch *batch);

/*
 * Ends the batch: returns a complete `Up{batch}` message, which is the caller's (wire_bytes_free), and starts a new,
 * empty one. NULL without memory: then the events are gone.
 */
struct buffer *wire_batch_finish(
	struct wire_batch *batch, const struct event_host *host, uint64_t first, uint64_t last);

void wire_bytes_free(struct buffer *bytes);

/* NULL is allowed. */
void wire_batch_close(struct wire_batch *batch);

/* --- reading ---------------------------------------------------------------------------------------------------------- */

enum { WIRE_WHY_SIZE = 128 };

/* A batch that was read and found whole: views over memory of its own. */
struct wire_events {
	struct event_host host;
	uint64_t first, last; /* sequences; no events: last = first - 1 */
	uint64_t taken_out;   /* of them, that have no event any more */
	bool has_books;
	struct wire_books books;
	size_t count;
	struct event *events;
	struct wire_arena *arena;
};

/*
 * Reads the bytes of a Batch message. Returns 0, or -EBADMSG (what is wrong is in `why`), or -ENOMEM. Every reference
 * is resolved, ids have their sizes, sequences run from first to last with gaps of exactly as many as the batch says,
 * parents make no circle. The memory is at most a small multiple of `length`.
 */
int wire_read(struct wire_events *events, const void *bytes, size_t length, char why[WIRE_WHY_SIZE]);

/* The same of a batch from which events were left out (WatchResponse): sequences ascend from first to last. */
int wire_read_part(struct wire_events *events, const void *bytes, size_t length, char why[WIRE_WHY_SIZE]);

/* Bytes of memory that it holds. */
size_t wire_memory(const struct wire_events *events);

/* Gives back what wire_read took. */
void wire_free(struct wire_events *events);

#endif
