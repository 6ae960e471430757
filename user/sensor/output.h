/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last stage on the event thread: events become bytes, either batches for the stream to a collector, or ECS JSON
 * lines on a descriptor.
 *
 * Nothing is dropped here: when the receiver is slow output_room says so, the pipeline leaves the records in their
 * rings, and what does not fit there any more is counted by the kernel.
 */
#ifndef TAFFRAIL_SENSOR_OUTPUT_H
#define TAFFRAIL_SENSOR_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/stream.h"

struct output;

/* ECS JSON lines to `fd`, which stays the caller's. 0 or -ENOMEM. */
int output_open_lines(struct output **output, int fd);

/* Batches to `stream`, which stays the caller's and must live longer. `host` is told with each. 0 or -ENOMEM. */
int output_open_stream(struct output **output, struct stream *stream, const struct event_host *host);

/* May more events be added now? */
bool output_room(struct output *output);

/* Adds an event. Its sequence must follow the one before. */
void output_event(struct output *output, const struct event *event);

/*
 * Sends what was added: lines at once (this waits for the reader), a batch when it is large enough, old enough at
 * `now_ns`, or when the stream has nothing else under way; everything if `final`.
 * Returns 0, or -errno when the reader of the lines has gone.
 */
int output_flush(struct output *output, uint64_t now_ns, bool final);

void output_close(struct output *output);

#endif
