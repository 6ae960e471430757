/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/receive_inside.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "collector/access.h"
#include "collector/envelope.h"

/* --- batches --------------------------------------------------------------------------------------------------------- */

static void batch_free(struct batch *batch)
{
	if (batch->kept)
		batch->session->receiver->kept_bytes -= batch->kept_bytes;
	wire_free(&batch->events);
	session_release(batch->session);
	free(batch);
}

/* Are its events, as long as they wait for the disk, a small part of the memory? */
static void keep_events(struct receiver *receiver, struct batch *batch)
{
	batch->kept_bytes = wire_memory(&batch->events);
	batch->kept = receiver->kept_bytes + batch->kept_bytes <= KEPT_MAX;
	if (batch->kept)
		receiver->kept_bytes += batch->kept_bytes;
	else
		wire_free(&batch->events);
	receiver->counters.not_kept += !batch->kept;
}

void receiver_queue(struct session *session, struct batch *batch)
{
	struct receiver *receiver = session->receiver;

	batch->session = session;
	for (size_t i = 0; batch->is_new && i < batch->events.count; i++)
		batch->count += batch->events.events[i].sequence >= batch->first;
	if (batch->is_new)
		keep_events(receiver, batch);
	batch->after = store_appended_count(receiver->options.store);
	session->references++;
	session->batches++;
	STAILQ_INSERT_TAIL(&receiver->batches, batch, entry);
	/* Behind the callbacks that are due in this turn: they may bring more for the same sync. */
	event_active(receiver->sync_due, EV_TIMEOUT, 0);
}

/* The disk does not take it; it is tried again with what comes next. */
static void note_fault(struct receiver *receiver, int error)
{
	receiver->fault = error;
	receiver->fault_ns = clock_boottime_ns();
}

/* The hello's answer has told it what is stored, so what comes all the same is replayed, or out of order. */
static void say_again(const struct session *session, uint64_t stored, const struct wire_events *events)
{
	session->receiver->counters.batches_again++;
	log_limited("%s: sensor %s: sequences %" PRIu64 " to %" PRIu64 " came again or too late, for %" PRIu64
		    " is stored: they are passed over",
		grpc_stream_peer(session->stream), session->name, events->first, events->last, stored);
}

/* Does it bring a sequence that is not stored, or, where it has none, books that are not? */
static bool brings_more(
	const struct wire_events *events, const struct account *stored, const struct account_books *books)
{
	if (events->last >= events->first)
		return events->last > stored->made;
	return events->first > stored->made && /* else of an earlier time */
	       books->there && !account_books_equal(books, &stored->books);
}

/* 0 and the batch is queued, or -errno. */
static int store_batch(
	struct session *session, struct batch *batch, struct text bytes, const struct account_reading *reading)
{
	static const struct account nothing;
	struct store *store = session->receiver->options.store;
	const struct account *stored = store_account(store, session_host(session), session->epoch, false);
	const struct wire_events *events = &batch->events;
	struct segment_frame frame = {
		.last = events->last, .host = session_host(session), .batch = bytes, .reading = reading};
	int error;

	stored = stored ? stored : &nothing;
	memcpy(frame.epoch, session->epoch, EVENT_EPOCH_SIZE);
	frame.first = batch->first = events->first > stored->made ? events->first : stored->made + 1;
	batch->last = events->last;
	if (!brings_more(events, stored, &reading->books)) {
		if (events->count > 0)
			say_again(session, stored->made, events);
		wire_free(&batch->events);
	} else {
		error = gap_fill(session, events);
		error = error ? error : store_append(store, &frame, &batch->end);
		if (error)
			return error;
		batch->is_new = true;
	}
	receiver_queue(session, batch);
	return 0;
}

/* NULL, or why a batch that could be read is none of this sensor's. */
static const char *find_fault(const struct session *session, const struct wire_events *events, struct text bytes,
	struct account_reading *reading)
{
	if (!text_equal(events->host.id, session_host(session)) ||
		memcmp(events->host.epoch, session->epoch, EVENT_EPOCH_SIZE) != 0)
		return "its host or epoch is not the hello's";
	/* What one reader of protobuf takes, and another not, would be missing in the accounts. */
	if (account_read(bytes, reading) < 0)
		return "its bytes are no Batch message to every reader";
	/* Without books it is what we store ourselves, where another collector has its sequences. */
	if (events->count == 0 && events->last >= events->first && !reading->books.there)
		return "it has sequences, and neither a record nor books";
	return NULL;
}

/* -EBADMSG: it is no batch of this sensor's, and `why` says so. */
static int read_batch(const struct session *session, struct wire_events *events, struct text bytes,
	struct account_reading *reading, char *why)
{
	int error = wire_read(events, bytes.data, bytes.length, why);
	const char *fault = error ? NULL : find_fault(session, events, bytes, reading);

	if (!fault)
		return error;
	snprintf(why, WIRE_WHY_SIZE, "%s", fault);
	wire_free(events);
	return -EBADMSG;
}

/* What it is goes to the peer, too: it is no trouble of the disk's that passes. */
static void refuse_epoch(struct session *session, int error)
{
	session->receiver->counters.epochs_refused++;
	if (error == -ESTALE) {
		session_refuse(session, "its epoch has told all and is closed: nothing more can come of it");
		return;
	}
	log_limited("%s: sensor %s: a new epoch is refused: there are as many of this host, or of all, as there is "
		    "room for",
		grpc_stream_peer(session->stream), session->name);
	session_finish(
		session, GRPC_RESOURCE_EXHAUSTED, "no room for a new epoch of this host: docs/stream.md, Epochs");
}

static void on_batch(struct session *session, struct text bytes, size_t message_bytes)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	char wrong[WIRE_WHY_SIZE] = "", why[WIRE_WHY_SIZE + 64];
	struct account_reading reading;
	int error = batch ? read_batch(session, &batch->events, bytes, &reading, wrong) : -ENOMEM;

	if (!error && !session->owned && !session_may_write(session, true)) {
		wire_free(&batch->events);
		free(batch);
		return;
	}
	if (!error) {
		session->owned = true;
		batch->message_bytes = message_bytes;
		error = store_batch(session, batch, bytes, &reading);
		if (!error)
			return;
		wire_free(&batch->events);
	}
	free(batch);
	if (error == -EBADMSG) {
		snprintf(why, sizeof(why), "a batch is refused: %s", wrong);
		utf8_defuse(why, strlen(why));
		session_refuse(session, why);
		return;
	}
	if (error == -ESTALE || error == -EUSERS) {
		refuse_epoch(session, error);
		return;
	}
	log_limited("sensor %s: a batch cannot be stored: %s", session->name, strerror(-error));
	session->receiver->counters.store_failures++;
	note_fault(session->receiver, error);
	session_finish(session, GRPC_UNAVAILABLE, "it cannot be stored now");
}

/* --- after the sync -------------------------------------------------------------------------------------------------- */

/* Stored they are, but not noted as whose: nothing is acknowledged before that, and access_host holds who comes again. */
static void refuse_unowned(struct receiver *receiver)
{
	for (struct batch *batch = STAILQ_FIRST(&receiver->batches); batch; batch = STAILQ_NEXT(batch, entry))
		session_finish(batch->session, GRPC_UNAVAILABLE, "it cannot be stored now");
}

static void begin_sync(struct receiver *receiver)
{
	bool syncing = store_is_syncing(receiver->options.store);
	int error = access_sync(receiver->options.access);

	receiver->unowned = error != 0;
	if (error) {
		note_fault(receiver, error);
		refuse_unowned(receiver);
	}
	store_sync_begin(receiver->options.store);
	if (!syncing)
		receiver->sync_began_ns = clock_boottime_ns();
}

/* Takes the oldest batch off the queue: it is stored, or it is lost and its sensor sends it again. */
static void finish_batch(struct receiver *receiver, bool stored)
{
	struct batch *batch = STAILQ_FIRST(&receiver->batches);
	struct session *session = batch->session;

	STAILQ_REMOVE_HEAD(&receiver->batches, entry);
	session->batches--;
	if (stored && batch->is_new) {
		receiver->counters.batches_stored++;
		receiver->counters.events_stored += batch->count;
		receiver->counters.bytes_stored += batch->message_bytes;
	}
	if (stored) {
		if (session->stream)
			grpc_stream_consume(session->stream, batch->message_bytes);
		session_acknowledge(session);
		session_drain(session);
	} else {
		session_finish(session, GRPC_UNAVAILABLE, "it cannot be stored now");
	}
	batch_free(batch);
}

static void hand_on(struct receiver *receiver, const struct batch *batch, const struct wire_events *events)
{
	const struct received received = {events, batch->first, batch->end};

	receiver->options.on_stored(receiver->options.context, &received);
}

static void miss(struct receiver *receiver, const struct batch *batch, const char *why)
{
	log_limited("sensor %s: a batch is stored and cannot be handed on now: %s", batch->session->name, why);
	receiver->options.on_missed(receiver->options.context, batch->last - batch->first + 1);
}

/* The next one that is new and synced, from this one on; NULL: none. */
static struct batch *next_new(const struct receiver *receiver, struct batch *batch)
{
	while (batch && !batch->is_new)
		batch = STAILQ_NEXT(batch, entry);
	return batch && batch->after <= store_synced_count(receiver->options.store) ? batch : NULL;
}

struct reading {
	struct receiver *receiver;
	struct batch *batch; /* the next frame's; new ones stand in the store as they stand in the queue */
};

static bool hand_on_frame(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct reading *reading = context;
	char why[WIRE_WHY_SIZE] = "";
	struct wire_events events;

	if (end.segment != reading->batch->end.segment || end.offset != reading->batch->end.offset)
		return false; /* its own cannot be read any more */
	if (wire_read(&events, frame->batch.data, frame->batch.length, why) == 0) {
		hand_on(reading->receiver, reading->batch, &events);
		wire_free(&events);
	} else {
		miss(reading->receiver, reading->batch, why);
	}
	reading->receiver->at = reading->batch->end;
	reading->batch = next_new(reading->receiver, STAILQ_NEXT(reading->batch, entry));
	return reading->batch && !reading->batch->kept;
}

/* From this one on, as many as were not kept; the first new one behind them, or NULL. */
static struct batch *hand_on_stored(struct receiver *receiver, struct batch *batch)
{
	struct reading reading = {receiver, batch};
	const struct store_reader reader = {hand_on_frame, &reading};
	struct store_position position = receiver->at;
	int result = store_read(receiver->options.store, &position, &reader);

	if (reading.batch == batch) { /* not even this one */
		miss(receiver, batch, result < 0 ? strerror(-result) : "it is damaged");
		receiver->at = batch->end;
		reading.batch = next_new(receiver, STAILQ_NEXT(batch, entry));
	}
	return reading.batch;
}

/* All that are new and synced, in their order. */
static void hand_on_synced(struct receiver *receiver)
{
	struct batch *batch = next_new(receiver, STAILQ_FIRST(&receiver->batches));

	while (batch) {
		if (!batch->kept) {
			batch = hand_on_stored(receiver, batch);
			continue;
		}
		hand_on(receiver, batch, &batch->events);
		receiver->at = batch->end;
		batch = next_new(receiver, STAILQ_NEXT(batch, entry));
	}
}

/* What is synced is handed on first, and acknowledged then: whoever saw the acknowledgement finds it in the outputs. */
static void finish_synced(struct receiver *receiver)
{
	const struct receiver_options *options = &receiver->options;
	uint64_t synced = store_synced_count(options->store);
	struct batch *batch;
	size_t count = 0;

	hand_on_synced(receiver);
	for (batch = STAILQ_FIRST(&receiver->batches); batch && batch->after <= synced;
		batch = STAILQ_NEXT(batch, entry)) {
		batch->session->ack_due = true;
		count++;
	}
	options->on_synced(options->context);
	while (count-- > 0)
		finish_batch(receiver, true);
}

static void end_sync(struct receiver *receiver)
{
	int error = store_sync_end(receiver->options.store);

	receiver->counters.syncs++;
	receiver->counters.sync_ns += clock_boottime_ns() - receiver->sync_began_ns;
	if (!error) {
		receiver->fault = receiver->unowned ? receiver->fault : 0;
		finish_synced(receiver);
		return;
	}
	receiver->counters.syncs_failed++;
	note_fault(receiver, error);
	log_limited("the data directory: %s: what came last is not acknowledged", strerror(-error));
	while (!STAILQ_EMPTY(&receiver->batches))
		finish_batch(receiver, false);
}

static void on_synced(evutil_socket_t fd, short what, void *context)
{
	struct receiver *receiver = context;

	(void)fd;
	(void)what;
	if (!store_is_syncing(receiver->options.store))
		return;
	end_sync(receiver);
	begin_sync(receiver);
}

static void on_sync_due(evutil_socket_t fd, short what, void *context)
{
	struct receiver *receiver = context;
	struct batch *first = STAILQ_FIRST(&receiver->batches);

	(void)fd;
	(void)what;
	begin_sync(receiver);
	/* Nothing but duplicates of what is synced. */
	if (first && first->after <= store_synced_count(receiver->options.store))
		finish_synced(receiver);
}

/* --- the stream ------------------------------------------------------------------------------------------------------ */

static void on_open(struct grpc_stream *stream, void *data)
{
	struct receiver *receiver = data;
	struct session *session = session_open(receiver, stream);

	grpc_stream_set_data(stream, session);
	if (!session)
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
}

static void on_message(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	const struct text message = {(const char *)bytes, length};
	struct session *session = data;
	enum envelope_kind kind;
	struct text inside;

	if (envelope_open(message, &kind, &inside) < 0) {
		session_refuse(session, "a message is no Up message");
	} else if (kind == ENVELOPE_HELLO) {
		session_hello(session, inside);
	} else if (!session->greeted) {
		session_refuse(session, "the first message is not a hello");
	} else if (kind == ENVELOPE_BATCH) {
		on_batch(session, inside, length);
		return; /* given back to the flow once it is synced */
	}
	grpc_stream_consume(stream, length);
}

/* Nothing more comes; what is on its way is acknowledged before the end. */
static void on_half_close(struct grpc_stream *stream, void *data)
{
	struct session *session = data;

	(void)stream;
	if (!session)
		return;
	if (!session->greeted)
		session_refuse(session, "it ended without a hello");
	session->half_closed = true;
	session_drain(session);
}

static void on_drain(struct grpc_stream *stream, void *data)
{
	struct session *session = data;

	(void)stream;
	if (!session)
		return;
	session->draining = true;
	session_drain(session);
}

static void on_writable(struct grpc_stream *stream, void *data)
{
	(void)stream;
	if (data)
		session_acknowledge(data);
}

static void on_close(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason)
{
	(void)stream;
	(void)status;
	(void)reason;
	if (data)
		session_close(data);
}

struct grpc_handler receiver_handler(struct receiver *receiver)
{
	return (struct grpc_handler){
		.path = "/taffrail.v1.Collector/Stream",
		.context = receiver,
		.manual_consume = true,
		.writable_below = ACKS_QUEUED_MAX,
		.on_open = on_open,
		.on_message = on_message,
		.on_half_close = on_half_close,
		.on_writable = on_writable,
		.on_drain = on_drain,
		.on_close = on_close,
	};
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int receiver_open(struct receiver **out, const struct receiver_options *options)
{
	struct receiver *receiver = calloc(1, sizeof(*receiver));

	if (!receiver)
		return -ENOMEM;
	receiver->options = *options;
	receiver->at = store_end(options->store);
	table_init(&receiver->sessions);
	STAILQ_INIT(&receiver->batches);
	if (wire_batch_open(&receiver->own) < 0) {
		receiver_close(receiver);
		return -ENOMEM;
	}
	receiver->sync_due = event_new(options->base, -1, 0, on_sync_due, receiver);
	receiver->synced =
		event_new(options->base, store_sync_fd(options->store), EV_READ | EV_PERSIST, on_synced, receiver);
	if (!receiver->sync_due || !receiver->synced || event_add(receiver->synced, NULL) < 0) {
		receiver_close(receiver);
		return -ENOMEM;
	}
	*out = receiver;
	return 0;
}

void receiver_counters(const struct receiver *receiver, struct receiver_counters *counters)
{
	*counters = receiver->counters;
}

size_t receiver_sessions(const struct receiver *receiver)
{
	return table_count(&receiver->sessions);
}

int receiver_fault(const struct receiver *receiver, uint64_t *when_ns)
{
	*when_ns = receiver->fault_ns;
	return receiver->fault;
}

void receiver_finish(struct receiver *receiver)
{
	struct store *store = receiver->options.store;

	for (begin_sync(receiver); store_is_syncing(store); begin_sync(receiver))
		end_sync(receiver);
	if (!STAILQ_EMPTY(&receiver->batches))
		finish_synced(receiver);
}

void receiver_close(struct receiver *receiver)
{
	struct batch *batch;

	if (!receiver)
		return;
	while ((batch = STAILQ_FIRST(&receiver->batches))) {
		STAILQ_REMOVE_HEAD(&receiver->batches, entry);
		batch_free(batch);
	}
	if (receiver->sync_due)
		event_free(receiver->sync_due);
	if (receiver->synced)
		event_free(receiver->synced);
	wire_batch_close(receiver->own);
	table_free(&receiver->sessions);
	free(receiver);
}
