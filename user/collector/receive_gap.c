/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences that did not come. In their place the collector stores a batch of its own before the one that came behind them:
 * of those that another collector has one without a record, of the others one with an events_lost of stage `stream`, which
 * takes the number of the last and counts that one too, as a spool's does. Once it is stored the batch behind follows it
 * without a gap; a crash in between leaves either both out, or the gap told and the batch to come again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/receive_inside.h"

/* A gap, and the times around it. */
struct gap {
	uint64_t first, last;
	uint64_t start_ns, end_ns; /* Unix time */
};

static void add_record(struct wire_batch *batch, const struct gap *gap)
{
	uint64_t count = gap->last - gap->first + 1;
	const struct event event = {
		.action = EVENT_LOST,
		.sequence = gap->last,
		.time_ns = gap->end_ns,
		.descriptor = -1,
		.count = 1,
		.lost = {.count = count,
			.stage = TEXT_LITERAL("stream"),
			.cpu = -1,
			.first = gap->first,
			.last = gap->last,
			.start_ns = gap->start_ns,
			.end_ns = gap->end_ns},
	};

	wire_batch_add(batch, &event);
}

/* Stores a batch of our own, of sequences first to last. 0 or -errno, and nothing has changed. */
static int store_own(struct session *session, const struct event_host *host, uint64_t first, uint64_t last)
{
	struct receiver *receiver = session->receiver;
	struct segment_frame frame = {.first = first, .last = last, .host = session_host(session)};
	struct buffer *up = wire_batch_finish(receiver->own, host, first, last);
	struct batch *batch = up ? calloc(1, sizeof(*batch)) : NULL;
	char why[WIRE_WHY_SIZE];
	int error = -ENOMEM;

	memcpy(frame.epoch, session->epoch, EVENT_EPOCH_SIZE);
	if (batch) {
		frame.batch = (struct text){up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER};
		error = wire_read(&batch->events, frame.batch.data, frame.batch.length, why);
		error = error ? error : store_append(receiver->options.store, &frame, &batch->end);
	}
	wire_bytes_free(up);
	if (error) {
		if (batch)
			wire_free(&batch->events);
		free(batch);
		return error;
	}
	batch->first = first;
	batch->last = last;
	batch->is_new = true;
	receiver_queue(session, batch);
	return 0;
}

/* Of what another collector has as the sensor says, `last` included. */
static int note_elsewhere(struct session *session, const struct event_host *host, uint64_t first, uint64_t last)
{
	wire_batch_taken_out(session->receiver->own, last - first + 1);
	return store_own(session, host, first, last);
}

static int tell(struct session *session, const struct event_host *host, const struct gap *gap)
{
	int error;

	add_record(session->receiver->own, gap);
	wire_batch_taken_out(session->receiver->own, gap->last - gap->first);
	error = store_own(session, host, gap->first, gap->last);
	if (error)
		return error;
	session->receiver->counters.gaps++;
	log_limited("sensor %s: sequences %" PRIu64 " to %" PRIu64 " did not come: an events_lost tells it",
		session->name, gap->first, gap->last);
	return 0;
}

int gap_fill(struct session *session, const struct wire_events *behind)
{
	const struct account *account =
		store_account(session->receiver->options.store, session_host(session), session->epoch, false);
	uint64_t due = account ? account->made + 1 : 1;
	struct gap gap = {.last = behind->first - 1};
	uint64_t elsewhere = session->acknowledged < gap.last ? session->acknowledged : gap.last;
	int error = 0;

	gap.end_ns = behind->count > 0 ? behind->events[0].time_ns : clock_unix_ns();
	gap.start_ns = account && account->last_ns && account->last_ns < gap.end_ns ? account->last_ns : gap.end_ns;
	if (elsewhere >= due) {
		error = note_elsewhere(session, &behind->host, due, elsewhere);
		due = elsewhere + 1;
	}
	gap.first = due;
	return error || due > gap.last ? error : tell(session, &behind->host, &gap);
}
