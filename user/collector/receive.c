/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/receive.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/table.h"
#include "base/utf8.h"
#include "base/version.h"
#include "collector/access.h"
#include "collector/envelope.h"
#include "taffrail/v1/stream.pb-c.h"

enum { ACKS_QUEUED_MAX = 16 << 10 }; /* bytes: a sensor that does not read gets one acknowledgement for many */

/* One call. It outlives its stream while batches of it are being synced. */
struct session {
	struct table_node node; /* of the receiver's, while it is the one that speaks for its sensor and epoch */
	struct receiver *receiver;
	struct grpc_stream *stream; /* NULL: gone */
	unsigned references;        /* of the stream, of batches on their way */
	unsigned batches;           /* on their way */
	bool greeted, listed;
	bool owned;                 /* its host is known to be this peer's */
	bool draining, half_closed; /* it ends when its last batch is acknowledged: we stop, the sensor does */
	bool ack_due;
	uint8_t epoch[EVENT_EPOCH_SIZE];
	uint64_t acknowledged; /* up to here some collector has everything, as the sensor says */
	size_t host_length;
	char host[SEGMENT_HOST_MAX + 1];
	char name[SEGMENT_HOST_MAX + 1]; /* the host's id, harmless to logs */
};

/* A message between its coming and its sync. */
struct batch {
	STAILQ_ENTRY(batch) entry;
	struct session *session;
	size_t message_bytes; /* to give back to the flow */
	uint64_t after;       /* done once so many frames are synced */
	bool is_new;          /* false: a duplicate, of one that may still be on its way to the disk; no events then */
	struct wire_events events;
	uint64_t first;
	struct store_position end;
};
STAILQ_HEAD(batches, batch);

struct receiver {
	struct receiver_options options;
	struct event *sync_due, *synced;
	struct table sessions; /* by epoch and host */
	struct batches batches;
	struct receiver_counters counters;
};

static struct text host_of(const struct session *session)
{
	return (struct text){session->host, session->host_length};
}

/* --- sessions -------------------------------------------------------------------------------------------------------- */

static void session_release(struct session *session)
{
	if (--session->references == 0)
		free(session);
}

static void session_unlist(struct session *session)
{
	if (session->listed)
		table_remove(&session->receiver->sessions, &session->node);
	session->listed = false;
}

static void session_finish(struct session *session, enum grpc_status status, const char *message)
{
	session_unlist(session);
	if (session->stream)
		grpc_stream_finish(session->stream, status, message);
}

/* Ends it once nothing of it is on its way any more. */
static void session_drain(struct session *session)
{
	if (session->batches > 0 || !(session->draining || session->half_closed))
		return;
	if (session->half_closed)
		session_finish(session, GRPC_OK, NULL);
	else
		session_finish(session, GRPC_UNAVAILABLE, "the collector stops");
}

/* The peer did what a sensor does not do. */
static void session_refuse(struct session *session, const char *why)
{
	session->receiver->counters.messages_refused++;
	log_limited("%s (%s): %s", grpc_stream_peer(session->stream), session->name, why);
	session_finish(session, GRPC_INVALID_ARGUMENT, why);
}

static void send_down(struct session *session, const Taffrail__V1__Down *down)
{
	uint8_t bytes[256];

	if (session->stream && taffrail__v1__down__get_packed_size(down) <= sizeof(bytes))
		(void)grpc_stream_send(session->stream, bytes, taffrail__v1__down__pack(down, bytes));
}

/* Everything up to this is on the disk: one message for all that a sync brought. */
static void acknowledge(struct session *session)
{
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__Ack ack = TAFFRAIL__V1__ACK__INIT;

	if (!session->stream || !session->ack_due || grpc_stream_queued(session->stream) > ACKS_QUEUED_MAX)
		return;
	ack.sequence = store_synced(session->receiver->options.store, host_of(session), session->epoch);
	down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_ACK;
	down.ack = &ack;
	send_down(session, &down);
	session->ack_due = false;
}

static bool session_matches(const struct table_node *node, const void *wanted)
{
	const struct session *a = table_entry(node, struct session, node), *b = wanted;

	return memcmp(a->epoch, b->epoch, EVENT_EPOCH_SIZE) == 0 && text_equal(host_of(a), host_of(b));
}

/* A sensor that connects anew does not know yet that its old connection is dead: the newest speaks for it. */
static int session_list(struct session *session)
{
	struct table *sessions = &session->receiver->sessions;
	uint64_t hash = hash_bytes(session->epoch, EVENT_EPOCH_SIZE);
	struct table_node *node = table_find(sessions, hash, session_matches, session);

	if (node) {
		struct session *older = table_entry(node, struct session, node);

		log_limited("sensor %s: a newer connection takes the place of %s", older->name,
			grpc_stream_peer(older->stream));
		session_finish(older, GRPC_ABORTED, "a newer connection of this sensor took its place");
	}
	if (table_insert(sessions, &session->node, hash) < 0)
		return -ENOMEM;
	session->listed = true;
	return 0;
}

/* --- hello ----------------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong. */
static const char *take_hello(struct session *session, const Taffrail__V1__UpHello *hello)
{
	size_t length = hello && hello->host ? strlen(hello->host->id) : 0;

	if (!hello)
		return "the hello cannot be read";
	if (length == 0)
		return "the hello does not name its host";
	if (length > SEGMENT_HOST_MAX)
		return "the host's id is longer than 255 bytes";
	if (hello->epoch.len != EVENT_EPOCH_SIZE)
		return "the hello's epoch has not 16 bytes";
	memcpy(session->epoch, hello->epoch.data, EVENT_EPOCH_SIZE);
	session->acknowledged = hello->acknowledged;
	memcpy(session->host, hello->host->id, length + 1);
	memcpy(session->name, hello->host->id, length + 1);
	utf8_defuse(session->name, length);
	session->host_length = length;
	return NULL;
}

/* Over TLS a host belongs to a certificate's name, from the first thing on that is stored of it (`claim`). */
static bool may_have_host(struct session *session, bool claim)
{
	const char *why = "";
	enum grpc_status status =
		access_host(session->receiver->options.access, session->stream, host_of(session), claim, &why);

	if (status == GRPC_OK)
		return true;
	session->receiver->counters.hosts_refused++;
	session_finish(session, status, why);
	return false;
}

static void begin_sync(struct receiver *receiver)
{
	access_sync(receiver->options.access);
	store_sync_begin(receiver->options.store);
}

static void on_hello(struct session *session, struct text bytes)
{
	Taffrail__V1__UpHello *hello = taffrail__v1__up_hello__unpack(NULL, bytes.length, (const uint8_t *)bytes.data);
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__DownHello answer = TAFFRAIL__V1__DOWN_HELLO__INIT;
	const char *why = session->greeted ? "a second hello" : take_hello(session, hello);

	if (hello)
		taffrail__v1__up_hello__free_unpacked(hello, NULL);
	if (why) {
		session_refuse(session, why);
		return;
	}
	if (!may_have_host(session, false))
		return;
	if (session_list(session) < 0) {
		session_finish(session, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	session->greeted = true;
	answer.version = (char *)(uintptr_t)TAFFRAIL_VERSION;
	answer.stored = store_synced(session->receiver->options.store, host_of(session), session->epoch);
	down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_HELLO;
	down.hello = &answer;
	send_down(session, &down);
}

/* --- batches --------------------------------------------------------------------------------------------------------- */

static void batch_free(struct batch *batch)
{
	wire_free(&batch->events);
	session_release(batch->session);
	free(batch);
}

/* From here on the message is on its way, and its stream's window waits for it. */
static void queue_batch(struct session *session, struct batch *batch)
{
	struct receiver *receiver = session->receiver;

	batch->session = session;
	batch->after = store_appended_count(receiver->options.store);
	session->references++;
	session->batches++;
	STAILQ_INSERT_TAIL(&receiver->batches, batch, entry);
	/* Behind the callbacks that are due in this turn: they may bring more for the same sync. */
	event_active(receiver->sync_due, EV_TIMEOUT, 0);
}

/* What a sensor loses it reports by itself; this is about what was lost between the two. Another collector may have it. */
static void say_gap(const struct session *session, uint64_t stored, uint64_t first)
{
	if (session->acknowledged > stored)
		stored = session->acknowledged;
	if (first <= stored + 1)
		return;
	session->receiver->counters.gaps++;
	log_limited(
		"sensor %s: sequences %" PRIu64 " to %" PRIu64 " did not come", session->name, stored + 1, first - 1);
}

/* The hello's answer has told it what is stored, so what comes all the same is replayed, or out of order. */
static void say_again(const struct session *session, uint64_t stored, const struct wire_events *events)
{
	session->receiver->counters.batches_again++;
	log_limited("%s: sensor %s: sequences %" PRIu64 " to %" PRIu64 " came again or too late, for %" PRIu64
		    " is stored: they are passed over",
		grpc_stream_peer(session->stream), session->name, events->first, events->last, stored);
}

/* 0 and the batch is queued, or -errno. */
static int store_batch(struct session *session, struct batch *batch, struct text bytes)
{
	struct store *store = session->receiver->options.store;
	uint64_t stored = store_appended(store, host_of(session), session->epoch);
	struct segment_frame frame = {.last = batch->events.last, .host = host_of(session), .batch = bytes};
	int error;

	memcpy(frame.epoch, session->epoch, EVENT_EPOCH_SIZE);
	frame.first = batch->first = batch->events.first > stored ? batch->events.first : stored + 1;
	if (batch->events.count == 0 || batch->events.last <= stored) {
		if (batch->events.count > 0)
			say_again(session, stored, &batch->events);
		wire_free(&batch->events);
	} else {
		error = store_append(store, &frame, &batch->end);
		if (error)
			return error;
		say_gap(session, stored, batch->events.first);
		batch->is_new = true;
	}
	queue_batch(session, batch);
	return 0;
}

/* -EBADMSG: it is no batch of this sensor's, and `why` says so. */
static int read_batch(const struct session *session, struct wire_events *events, struct text bytes, char *why)
{
	int error = wire_read(events, bytes.data, bytes.length, why);

	if (error || (text_equal(events->host.id, host_of(session)) &&
			     memcmp(events->host.epoch, session->epoch, EVENT_EPOCH_SIZE) == 0))
		return error;
	snprintf(why, WIRE_WHY_SIZE, "its host or epoch is not the hello's");
	wire_free(events);
	return -EBADMSG;
}

static void on_batch(struct session *session, struct text bytes, size_t message_bytes)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	char wrong[WIRE_WHY_SIZE] = "", why[WIRE_WHY_SIZE + 64];
	int error = batch ? read_batch(session, &batch->events, bytes, wrong) : -ENOMEM;

	if (!error && !session->owned && !may_have_host(session, true)) {
		wire_free(&batch->events);
		free(batch);
		return;
	}
	if (!error) {
		session->owned = true;
		batch->message_bytes = message_bytes;
		error = store_batch(session, batch, bytes);
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
	log_limited("sensor %s: a batch cannot be stored: %s", session->name, strerror(-error));
	session_finish(session, GRPC_UNAVAILABLE, "it cannot be stored now");
}

/* --- after the sync -------------------------------------------------------------------------------------------------- */

/* Takes the oldest batch off the queue: it is stored, or it is lost and its sensor sends it again. */
static void finish_batch(struct receiver *receiver, bool stored)
{
	struct batch *batch = STAILQ_FIRST(&receiver->batches);
	struct session *session = batch->session;

	STAILQ_REMOVE_HEAD(&receiver->batches, entry);
	session->batches--;
	if (stored) {
		if (session->stream)
			grpc_stream_consume(session->stream, batch->message_bytes);
		acknowledge(session);
		session_drain(session);
	} else {
		session_finish(session, GRPC_UNAVAILABLE, "it cannot be stored now");
	}
	batch_free(batch);
}

/* What is synced is handed on first, and acknowledged then: whoever saw the acknowledgement finds it in the outputs. */
static void finish_synced(struct receiver *receiver)
{
	const struct receiver_options *options = &receiver->options;
	uint64_t synced = store_synced_count(options->store);
	struct batch *batch;
	size_t count = 0;

	for (batch = STAILQ_FIRST(&receiver->batches); batch && batch->after <= synced;
		batch = STAILQ_NEXT(batch, entry)) {
		const struct received received = {&batch->events, batch->first, batch->end};

		if (batch->is_new)
			options->on_stored(options->context, &received);
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

	if (!error) {
		finish_synced(receiver);
		return;
	}
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
	/* Nothing but duplicates of what is synced. */
	if (first && first->after <= store_synced_count(receiver->options.store))
		finish_synced(receiver);
	begin_sync(receiver);
}

/* --- the stream ------------------------------------------------------------------------------------------------------ */

static void on_open(struct grpc_stream *stream, void *data)
{
	struct receiver *receiver = data;
	struct session *session = calloc(1, sizeof(*session));

	grpc_stream_set_data(stream, session);
	if (!session) {
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	session->receiver = receiver;
	session->stream = stream;
	session->references = 1;
	snprintf(session->name, sizeof(session->name), "no hello yet");
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
		on_hello(session, inside);
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
		acknowledge(data);
}

static void on_close(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason)
{
	struct session *session = data;

	(void)stream;
	(void)status;
	(void)reason;
	if (!session)
		return;
	session_unlist(session);
	session->stream = NULL;
	session_release(session);
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
	table_init(&receiver->sessions);
	STAILQ_INIT(&receiver->batches);
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
	table_free(&receiver->sessions);
	free(receiver);
}
