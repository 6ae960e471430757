/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last stage on the event thread: events become bytes, either batches for the stream to a collector, or ECS JSON
 * lines on a descriptor.
 *
 * Nothing is dropped here: when the receiver is slow encode_room says so, the pipeline leaves the records in their
 * rings, and what does not fit there any more is counted by the kernel.
 */
#ifndef TAFFRAIL_SENSOR_ENCODE_H
#define TAFFRAIL_SENSOR_ENCODE_H

#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/stream.h"

struct encoder;

/* Events go nowhere: for a sensor that only records. 0 or -ENOMEM. */
int encode_open_nothing(struct encoder **encoder);

enum encode_lines { ENCODE_ECS, ENCODE_FALCO_JSON, ENCODE_FALCO_TEXT };

/* Lines to `fd`, which stays the caller's: ECS JSON, or only findings as Falco prints them. 0 or -ENOMEM. */
int encode_open_lines(struct encoder **encoder, int fd, enum encode_lines shape);

/* Asked before each batch leaves, whose events are told up to `last`. */
struct encode_books {
	void (*sum)(void *context, uint64_t last, struct wire_books *books);
	void *context;
};

/*
 * Batches to `stream`, which stays the caller's and must live longer. `host` is told with each, and the books (copied; none
 * where `books` is NULL). 0 or -ENOMEM.
 */
int encode_open_stream(struct encoder **encoder, struct stream *stream, const struct event_host *host,
	const struct encode_books *books);

/* May more events be added now? */
bool encode_room(struct encoder *encoder);

/* Is there a queue before the receiver, so that what is not urgent had better not be added now? See stream_is_behind. */
bool encode_is_behind(const struct encoder *encoder);

/* Adds an event. Its sequence must follow the one before. */
void encode_event(struct encoder *encoder, const struct event *event);

/*
 * Sends what was added: lines at once (this waits for the reader), a batch when it is large enough, old enough at
 * `now_ns`, or when the stream has nothing else under way; everything if `final`.
 * Returns 0, or -errno when the reader of the lines has gone.
 */
int encode_flush(struct encoder *encoder, uint64_t now_ns, bool final);

/*
 * Sends what was added as the last batch of this life, with its books. Where nothing was added it has no events; and where
 * no collector has acknowledged all until `until_ns` (boot time) it takes the number `spare`, which no event has, so that
 * it waits, and is acknowledged, as any other.
 */
void encode_close_epoch(struct encoder *encoder, uint64_t spare, uint64_t until_ns);

void encode_close(struct encoder *encoder);

#endif
