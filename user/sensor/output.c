/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/output.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "event/ecs.h"
#include "event/wire.h"

enum {
	LINES_FULL = 1 << 20,   /* lines that wait for the next flush */
	BATCH_FULL = 256 << 10, /* a batch of this size leaves at once */
};
static const uint64_t batch_age_ns = 50ull * 1000 * 1000; /* so does one of this age */

struct output {
	int fd; /* of the lines, or -1 */
	struct buffer lines;
	int error; /* the lines' reader has gone */

	struct stream *stream;
	const struct event_host *host;
	struct wire_batch *batch;
	uint64_t first, last; /* sequences in the batch; none if last < first */
	uint64_t oldest_ns;   /* when its first event was added, 0: not noted yet */
};

static int output_new(struct output **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->fd = -1;
	(*out)->first = 1;
	return 0;
}

int output_open_lines(struct output **out, int fd)
{
	int error = output_new(out);

	if (error == 0)
		(*out)->fd = fd;
	return error;
}

int output_open_stream(struct output **out, struct stream *stream, const struct event_host *host)
{
	int error = output_new(out);

	if (error)
		return error;
	error = wire_batch_open(&(*out)->batch);
	if (error) {
		free(*out);
		*out = NULL;
		return error;
	}
	(*out)->stream = stream;
	(*out)->host = host;
	return 0;
}

bool output_room(struct output *output)
{
	if (output->stream)
		return stream_room(output->stream);
	return output->lines.length < LINES_FULL;
}

void output_event(struct output *output, const struct event *event)
{
	if (output->stream) {
		if (output->last < output->first)
			output->first = event->sequence;
		output->last = event->sequence;
		wire_batch_add(output->batch, event);
		return;
	}
	ecs_write(&output->lines, event);
	buffer_append(&output->lines, "\n", 1);
}

static int flush_lines(struct output *output)
{
	struct buffer *lines = &output->lines;

	for (size_t done = 0; done < lines->length && output->error == 0;) {
		ssize_t written = write(output->fd, lines->data + done, lines->length - done);

		if (written >= 0)
			done += (size_t)written;
		else if (errno != EINTR)
			output->error = -errno;
	}
	buffer_clear(lines);
	return output->error;
}

/* Hands the batch to the stream. */
static void flush_batch(struct output *output)
{
	struct buffer *bytes = wire_batch_finish(output->batch, output->host, output->first, output->last);

	if (!bytes || stream_send(output->stream, bytes, output->first, output->last) < 0)
		log_limited("out of memory: events %llu to %llu could not be sent", (unsigned long long)output->first,
			(unsigned long long)output->last);
	output->first = output->last + 1;
	output->oldest_ns = 0;
}

int output_flush(struct output *output, uint64_t now_ns, bool final)
{
	if (!output->stream)
		return flush_lines(output);
	if (output->last < output->first)
		return 0;
	if (output->oldest_ns == 0)
		output->oldest_ns = now_ns;
	if (final || wire_batch_size(output->batch) >= BATCH_FULL || now_ns - output->oldest_ns >= batch_age_ns ||
		stream_idle(output->stream))
		flush_batch(output);
	return 0;
}

void output_close(struct output *output)
{
	if (!output)
		return;
	wire_batch_close(output->batch);
	buffer_free(&output->lines);
	free(output);
}
