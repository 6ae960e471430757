/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the collector: a thread of its own that sends batches over Collector.Stream and keeps each until the
 * collector has acknowledged it, over any number of connections (proto/taffrail/v1/stream.proto).
 *
 * Nothing is dropped here. What is kept has a limit; beyond it stream_room says no, and the event thread leaves records
 * in the rings, where a loss is counted.
 */
#ifndef TAFFRAIL_SENSOR_STREAM_H
#define TAFFRAIL_SENSOR_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "event/event.h"

struct grpc_trust;
struct stream;

struct stream_options {
	const char *collector;          /* as grpc_address_parse reads it */
	const struct event_host *host;  /* must outlive the stream */
	const struct grpc_trust *trust; /* copied; its files are watched by the stream's thread */
	uint64_t memory_bytes;          /* of batches that are not acknowledged */
};

/* Starts the thread, which connects, and connects again for ever. 0, -EINVAL (the address), -ENOMEM, -errno. */
int stream_open(struct stream **stream, const struct stream_options *options);

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
 * before. On 0 the bytes are the stream's; -EAGAIN or -ENOMEM, and they are freed all the same.
 */
int stream_send(struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last);

/* Waits until everything is acknowledged, at most `timeout_ms`. Says what is left. */
void stream_finish(struct stream *stream, uint64_t timeout_ms);

/* Ends the thread and frees what was not acknowledged. NULL is allowed. */
void stream_close(struct stream *stream);

#endif
