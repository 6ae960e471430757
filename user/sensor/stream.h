/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the collector: a thread of its own that sends batches over Collector.Stream and keeps each until a collector
 * has acknowledged it, over any number of connections (proto/taffrail/v1/stream.proto). Of several collectors it stays with
 * one as long as that answers, and then goes on to the next.
 *
 * What is kept (backlog.h) has a limit; near it bulk is taken out and declared, and beyond it stream_room says no, and the
 * event thread leaves records in the rings, where a loss is counted.
 */
#ifndef TAFFRAIL_SENSOR_STREAM_H
#define TAFFRAIL_SENSOR_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "event/event.h"
#include "event/wire.h"

struct formers;
struct grpc_trust;
struct ledger;
struct spool;
struct stream;

/* What the sensor says of itself to each collector: with its next hello. */
struct stream_build {
	struct digest_sum rules, configuration; /* zeros: there are none */
};

struct stream_options {
	char *const *collectors; /* as grpc_address_parse reads them */
	size_t collector_count;
	const struct event_host *host; /* must outlive the stream */
	struct spool *spool;           /* NULL: none; must outlive the stream, and is its thread's until stream_close */
	const struct grpc_trust *trust; /* copied; its files are watched by the stream's thread */
	uint64_t memory_bytes;          /* of batches in memory */
	struct stream_build build;
	struct ledger *ledger;   /* gets what is acknowledged; NULL: none; must outlive the stream */
	struct formers *formers; /* former lives that are to be closed; NULL: none; its thread's until stream_close */
};

/* Starts the thread, which connects, and connects again for ever. 0, -EINVAL (an address), -ENOMEM, -errno. */
int stream_open(struct stream **stream, const struct stream_options *options);

/* Another one from now on. */
void stream_build(struct stream *stream, const struct stream_build *build);

/*
 * What a collector claims to have of this life beyond all that was made: somebody else has spoken in this sensor's name, or the
 * store is damaged. Told once; 0: nothing new. Such a collector gets nothing: what it is sent it takes for what it has.
 */
uint64_t stream_unmade(struct stream *stream);

/* Is there room for more? If not, stream_fd becomes readable when there is. */
bool stream_room(struct stream *stream);

/* Nothing waits for the collector: what comes now may leave at once. */
bool stream_idle(const struct stream *stream);

/*
 * Is so much under way, with `waiting_bytes` that are to follow, that there is a queue before the collector? Then what is not urgent better waits
 * where what is urgent can pass it. How much that is shows in the time that acknowledgements take. Never while no collector answers.
 */
bool stream_is_behind(const struct stream *stream, size_t waiting_bytes);

/* Readable (POLLIN) once after stream_room had said no and there is room again. */
int stream_fd(const struct stream *stream);

/*
 * Sends one `Up{batch}` message (wire_batch_finish) with the sequences `first` to `last`, each batch behind the one
 * before, and with `books` unless that is NULL. On 0 the bytes are the stream's; -EAGAIN or -ENOMEM, and they are freed all
 * the same.
 */
int stream_send(
	struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last, const struct wire_books *books);

/* Since stream_open; of any thread. */
struct stream_counters {
	bool connected; /* a collector takes what is sent */
	uint64_t greetings, failures;
	uint64_t refused;            /* batches of which a collector has a record that tells their loss (refusal.h) */
	uint64_t last, acknowledged; /* sequences of this life */
	uint64_t memory_bytes;       /* of batches */
	size_t queued;               /* batches that the stream's thread has not taken yet */
	uint64_t spool_bytes, taken; /* taken: events, out of spool and memory, for want of room, or refused */
	int64_t spool_since_s;       /* as the spool's */
	bool spool_works;
};
void stream_counters(const struct stream *stream, struct stream_counters *counters);

/* Waits until everything is acknowledged, at most until `until_ns` (boot time). False: it is not. */
bool stream_settle(struct stream *stream, uint64_t until_ns);

/*
 * Sends one `Up{batch}` message without events, whose books close this life's epoch, if a collector has acknowledged all that
 * was before it; the call ends with it. The bytes are the stream's. Should the collector be gone by now nobody sends it
 * again: all is accounted for, and the epoch is left open.
 */
void stream_close_epoch(struct stream *stream, struct buffer *bytes);

/* Waits until everything is stored, at most `timeout_ms`. Says what is left. */
void stream_finish(struct stream *stream, uint64_t timeout_ms);

/*
 * Ends the thread. False: something of this life was neither acknowledged nor could it stay on the spool: it is gone, and
 * without a ledger nobody will tell of it. NULL is allowed.
 */
bool stream_close(struct stream *stream);

#endif
