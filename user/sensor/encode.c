/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/encode.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "event/ecs.h"
#include "event/falco.h"
#include "event/wire.h"

enum {
	LINES_FULL = 1 << 20, /* lines that wait for the next flush */
	BATCH_FULL = 2 << 20, /* a batch of this size leaves at once */
	BATCH_MAX = (4 << 20) -
		    (16 << 10), /* a collector takes messages of 4 MiB; the rest is for the batch's own fields */
	MESSAGE_CUT = 64 << 10, /* of a finding that is too large with all that it tells */
};
static const uint64_t batch_age_ns = 20ull * 1000 * 1000; /* so does one of this age */

struct encoder {
	int fd; /* of the lines; -1 and no stream: nothing is written */
	enum encode_lines shape;
	struct buffer lines;
	int error; /* the lines' reader has gone */

	struct stream *stream;
	const struct event_host *host;
	struct encode_books books;
	struct wire_batch *batch;
	uint64_t first, last; /* sequences in the batch; none if last < first */
	uint64_t oldest_ns;   /* when its first event was added, 0: not noted yet */
};

static int encode_new(struct encoder **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->fd = -1;
	(*out)->first = 1;
	return 0;
}

int encode_open_nothing(struct encoder **out)
{
	return encode_new(out);
}

int encode_open_lines(struct encoder **out, int fd, enum encode_lines shape)
{
	int error = encode_new(out);

	if (error)
		return error;
	(*out)->fd = fd;
	(*out)->shape = shape;
	return 0;
}

int encode_open_stream(
	struct encoder **out, struct stream *stream, const struct event_host *host, const struct encode_books *books)
{
	int error = encode_new(out);

	if (error)
		return error;
	error = wire_batch_open(&(*out)->batch);
	error = error ? error : wire_batch_keep((*out)->batch);
	if (error) {
		encode_close(*out);
		*out = NULL;
		return error;
	}
	(*out)->stream = stream;
	(*out)->host = host;
	if (books)
		(*out)->books = *books;
	return 0;
}

bool encode_room(struct encoder *encoder)
{
	if (encoder->stream)
		return stream_room(encoder->stream);
	return encoder->lines.length < LINES_FULL;
}

bool encode_is_behind(const struct encoder *encoder)
{
	return encoder->stream && stream_is_behind(encoder->stream, wire_batch_size(encoder->batch));
}

static int flush_lines(struct encoder *encoder)
{
	struct buffer *lines = &encoder->lines;

	for (size_t done = 0; done < lines->length && encoder->error == 0;) {
		ssize_t written = write(encoder->fd, lines->data + done, lines->length - done);

		if (written >= 0)
			done += (size_t)written;
		else if (errno != EINTR)
			encoder->error = -errno;
	}
	buffer_clear(lines);
	return encoder->error;
}

/* Hands the batch to the stream. */
static void flush_batch(struct encoder *encoder)
{
	struct wire_books sums, *books = NULL;
	struct buffer *bytes;

	if (encoder->books.sum) {
		books = &sums;
		encoder->books.sum(encoder->books.context, encoder->last, books);
		wire_batch_books(encoder->batch, books);
	}
	bytes = wire_batch_finish(encoder->batch, encoder->host, encoder->first, encoder->last);
	if (!bytes || stream_send(encoder->stream, bytes, encoder->first, encoder->last, books) < 0)
		log_limited("out of memory: events %llu to %llu could not be sent", (unsigned long long)encoder->first,
			(unsigned long long)encoder->last);
	encoder->first = encoder->last + 1;
	encoder->oldest_ns = 0;
}

/*
 * An event that is larger than a message may be has a long row of ancestors, each with long arguments: without them. What is
 * too large even so is a finding that tells very much.
 */
static void add_less(struct encoder *encoder, const struct event *event)
{
	struct event_process process;
	struct event_rule rule;
	struct event copy = *event;

	if (event->process) {
		process = *event->process;
		process.parent = process.entry_leader = NULL;
		process.truncated |= EVENT_CUT_ANCESTORS;
		copy.process = &process;
	}
	wire_batch_add(encoder->batch, &copy);
	log_limited("event %llu is too large for a message: the ancestors of its process are left out",
		(unsigned long long)event->sequence);
	if (wire_batch_size(encoder->batch) <= BATCH_MAX || !event->rule)
		return;
	wire_batch_take_back(encoder->batch, 0);
	rule = *event->rule;
	rule.output_count = 0;
	if (rule.message.length > MESSAGE_CUT)
		rule.message.length = MESSAGE_CUT;
	copy.rule = &rule;
	wire_batch_add(encoder->batch, &copy);
}

/* No batch becomes larger than a collector takes. */
static void add_to_batch(struct encoder *encoder, const struct event *event)
{
	size_t before = wire_batch_size(encoder->batch);
	bool alone = before == 0;

	wire_batch_add(encoder->batch, event);
	if (wire_batch_size(encoder->batch) > BATCH_MAX && !alone) {
		wire_batch_take_back(encoder->batch, before);
		flush_batch(encoder);
		wire_batch_add(encoder->batch, event);
	}
	if (encoder->last < encoder->first)
		encoder->first = event->sequence;
	encoder->last = event->sequence;
	if (wire_batch_size(encoder->batch) > BATCH_MAX) {
		wire_batch_take_back(encoder->batch, 0);
		add_less(encoder, event);
		flush_batch(encoder); /* what comes next of this process has its ancestors */
	} else if (wire_batch_size(encoder->batch) >= BATCH_FULL) {
		flush_batch(encoder);
	}
}

void encode_event(struct encoder *encoder, const struct event *event)
{
	if (encoder->stream) {
		add_to_batch(encoder, event);
		return;
	}
	if (encoder->fd < 0 || (encoder->shape != ENCODE_ECS && !falco_has(event)))
		return;
	switch (encoder->shape) {
	case ENCODE_ECS: ecs_write(&encoder->lines, event); break;
	case ENCODE_FALCO_JSON: falco_write(&encoder->lines, event); break;
	case ENCODE_FALCO_TEXT: falco_write_line(&encoder->lines, event); break;
	}
	buffer_append(&encoder->lines, "\n", 1);
}

int encode_flush(struct encoder *encoder, uint64_t now_ns, bool final)
{
	if (!encoder->stream)
		return flush_lines(encoder);
	if (encoder->last < encoder->first)
		return 0;
	if (encoder->oldest_ns == 0)
		encoder->oldest_ns = now_ns;
	if (final || now_ns - encoder->oldest_ns >= batch_age_ns || stream_idle(encoder->stream))
		flush_batch(encoder);
	return 0;
}

void encode_close_epoch(struct encoder *encoder, uint64_t spare, uint64_t until_ns)
{
	struct wire_books books;
	struct buffer *bytes;

	if (!encoder->stream)
		return;
	if (encoder->last >= encoder->first) {
		flush_batch(encoder);
	} else if (!stream_settle(encoder->stream, until_ns)) {
		encoder->first = encoder->last = spare;
		wire_batch_taken_out(encoder->batch, 1);
		flush_batch(encoder);
	} else if (encoder->books.sum) {
		encoder->books.sum(encoder->books.context, encoder->last, &books);
		wire_batch_books(encoder->batch, &books);
		bytes = wire_batch_finish(encoder->batch, encoder->host, spare, spare - 1);
		if (bytes)
			stream_close_epoch(encoder->stream, bytes);
	}
}

void encode_close(struct encoder *encoder)
{
	if (!encoder)
		return;
	wire_batch_close(encoder->batch);
	buffer_free(&encoder->lines);
	free(encoder);
}
