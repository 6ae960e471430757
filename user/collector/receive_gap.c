/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences that did not come. In their place the collector stores a batch of its own before the one that came behind them:
 * of those that another collector has one without a record, of the others one with an events_lost, which takes the number of
 * the last and counts that one too, as a spool's does. Its stage is `store` where this store had acknowledged them once, else
 * `stream`. Once it is stored the batch behind follows it without a gap; a crash in between leaves either both out, or the gap
 * told and the batch to come again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/receive_inside.h"

/* A gap or a part of one, and the times around it. */
struct gap {
	struct text stage;
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
			.stage = gap->stage,
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

static int note_elsewhere(struct session *session, const struct event_host *host, struct gap *gap)
{
	int error;

	wire_batch_taken_out(session->receiver->own, gap->last - gap->first + 1);
	error = store_own(session, host, gap->first, gap->last);
	if (!error)
		log_limited("sensor %s: sequences %" PRIu64 " to %" PRIu64 " are with another collector, as it says",
			session->name, gap->first, gap->last);
	return error;
}

static int tell(struct session *session, const struct event_host *host, const struct gap *gap)
{
	add_record(session->receiver->own, gap);
	wire_batch_taken_out(session->receiver->own, gap->last - gap->first);
	return store_own(session, host, gap->first, gap->last);
}

static int tell_gap(struct session *session, const struct event_host *host, struct gap *gap)
{
	int error;

	gap->stage = TEXT_LITERAL("stream");
	error = tell(session, host, gap);
	if (error)
		return error;
	session->receiver->counters.gaps++;
	log_limited("sensor %s: sequences %" PRIu64 " to %" PRIu64 " did not come: an events_lost tells it",
		session->name, gap->first, gap->last);
	return 0;
}

static int tell_store_loss(struct session *session, const struct event_host *host, struct gap *gap)
{
	char epoch[2 * EVENT_EPOCH_SIZE + 1];
	int error;

	gap->stage = TEXT_LITERAL("store");
	error = tell(session, host, gap);
	if (error)
		return error;
	session->receiver->counters.store_losses++;
	for (int i = 0; i < EVENT_EPOCH_SIZE; i++)
		snprintf(epoch + 2 * i, 3, "%02x", session->epoch[i]);
	log_error("sensor %s, epoch %s: sequences %" PRIu64 " to %" PRIu64
		  " were stored here once: the store has lost what it had; an events_lost tells it",
		session->name, epoch, gap->first, gap->last);
	return 0;
}

/* The part of a gap up to `last`, if there is any; then its first is behind that. */
static int fill(struct session *session, const struct event_host *host, struct gap *gap, uint64_t last,
	int (*part)(struct session *session, const struct event_host *host, struct gap *gap))
{
	int error;

	if (gap->first > last)
		return 0;
	gap->last = last;
	error = part(session, host, gap);
	gap->first = last + 1;
	return error;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * What this store had comes first. That another collector has acknowledged it, too, may only mean that it was told then
 * that this one has it.
 */
int gap_fill(struct session *session, const struct wire_events *behind)
{
	const struct account *account =
		store_account(session->receiver->options.store, session_host(session), session->epoch, false);
	const struct event_host *host = &behind->host;
	struct gap gap = {.first = account ? account->made + 1 : 1};
	uint64_t last = behind->first - 1;
	int error;

	gap.end_ns = behind->count > 0 ? behind->events[0].time_ns : clock_unix_ns();
	gap.start_ns = account && account->last_ns && account->last_ns < gap.end_ns ? account->last_ns : gap.end_ns;
	error = fill(session, host, &gap, least(session->here, last), tell_store_loss);
	error = error ? error : fill(session, host, &gap, least(session->elsewhere, last), note_elsewhere);
	return error ? error : fill(session, host, &gap, last, tell_gap);
}
