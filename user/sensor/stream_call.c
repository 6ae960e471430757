/* SPDX-License-Identifier: Apache-2.0 */
/* One collector after another: connections, calls, hello and acknowledgements. */
#include "sensor/stream_inside.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "taffrail/v1/stream.pb-c.h"

enum {
	RETRY_MAX_MS = 5000,
	ANSWER_MS = 20000, /* so long a collector has for its hello, connecting included */
};

/* --- the call ---------------------------------------------------------------------------------------------------------- */

/* Once, until a collector has answered again. */
static void say_down(struct stream *stream, const char *why)
{
	if (!stream->said_down)
		log_warning("collector %s: %s: events wait here until it answers", stream->name, why);
	stream->said_down = true;
}

/* After a while, at random between half of it and all, so that sensors do not come back all at once. */
static void try_again(struct stream *stream)
{
	unsigned random, ms;

	if (stream->retrying)
		return;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	ms = stream->retry_ms / 2 + random % (stream->retry_ms / 2 + 1);

	const struct timeval delay = {ms / 1000, (long)(ms % 1000) * 1000};

	stream->retrying = event_add(stream->retry_event, &delay) == 0;
}

/* This collector does not do: on to the next one of the list. */
void stream_fail(struct stream *stream, const char *why)
{
	window_answer(&stream->window, false);
	if (stream->call)
		grpc_call_cancel(stream->call);
	stream->call = NULL;
	stream->greeted = false;
	event_del(stream->answer_event);
	if (stream->retrying)
		return;
	if (stream->orderly) {
		stream->retry_ms = STREAM_RETRY_MIN_MS;
	} else {
		atomic_fetch_add(&stream->failures, 1);
		stream_leave_open(stream);
		say_down(stream, why);
		stream->address = (stream->address + 1) % stream->address_count;
	}
	try_again(stream);
	if (!stream->orderly) /* the next one waits twice as long */
		stream->retry_ms = stream->retry_ms < RETRY_MAX_MS / 2 ? 2 * stream->retry_ms : RETRY_MAX_MS;
	stream->orderly = false;
}

/* The next epoch wants a hello of its own: a call of its own. */
static void end_call(struct stream *stream)
{
	const struct timeval answer = {ANSWER_MS / 1000, 0};

	event_add(stream->answer_event, &answer);
	window_answer(&stream->window, false);
	stream->greeted = false;
	stream->orderly = true;
	grpc_call_half_close(stream->call);
}

void stream_turn(struct stream *stream)
{
	if (!backlog_is_interrupted(stream->backlog))
		return;
	atomic_store(&stream->former, true);
	if (stream->greeted)
		end_call(stream);
}

/* A batch is told as lost, for no collector has taken it: its bytes are evidence, or show what is wrong. */
static void set_aside(struct stream *stream, struct batch *batch)
{
	char name[NUMBERED_NAME_SIZE];
	int error = stream->spool ? spool_keep_refused(stream->spool,
					    (struct text){batch->bytes->data, batch->bytes->length}, name)
				  : -ENODEV;

	atomic_fetch_add(&stream->refused, 1);
	if (!error)
		log_error("events %llu to %llu are told as lost, for collectors refuse them: they are kept as %s of "
			  "the spool",
			(unsigned long long)batch->first, (unsigned long long)batch->last, name);
	else
		log_error("events %llu to %llu are told as lost, for collectors refuse them%s%s",
			(unsigned long long)batch->first, (unsigned long long)batch->last,
			stream->spool ? ", and cannot be kept: " : "", stream->spool ? strerror(-error) : "");
	backlog_release(batch);
}

static void note_acknowledged(struct stream *stream, uint64_t sequence)
{
	struct batch *refused = refusal_stored(stream->refusal, sequence);

	if (refused)
		set_aside(stream, refused);
	backlog_acknowledge(stream->backlog, sequence);
	if (backlog_turn(stream->backlog))
		end_call(stream);
	if (backlog_host(stream->backlog) == stream->host) {
		window_acknowledge(&stream->window, backlog_acknowledged(stream->backlog), clock_boottime_ns());
		window_answer(&stream->window, stream->greeted);
		/* First where it outlives us: what is idle may be given up. */
		ledger_acknowledged(stream->ledger, backlog_acknowledged(stream->backlog));
		ledger_stores(stream->ledger, backlog_stores(stream->backlog));
		atomic_store(&stream->acknowledged, backlog_acknowledged(stream->backlog));
		atomic_store(&stream->former, false);
	}
	stream_turn(stream);
}

/*
 * It takes what comes. A hello alone does not say so: a collector whose disk is full greets, and ends the call at the first
 * batch, and would be asked anew ten times a second.
 */
static void note_works(struct stream *stream)
{
	if (stream->said_down)
		log_info("streaming to %s", stream->name);
	stream->said_down = false;
	stream->retry_ms = STREAM_RETRY_MIN_MS;
}

/* What nobody made nobody has. False: its word is worth nothing, and the call is over. */
static bool believe(struct stream *stream, uint64_t sequence)
{
	const unsigned long long last = backlog_last(stream->backlog), claimed = sequence;

	if (claimed <= last)
		return true;
	if (backlog_host(stream->backlog) != stream->host) {
		log_limited("collector %s has events up to %llu of a former life, of which up to %llu are known here",
			stream->name, claimed, last);
		return true;
	}
	if (!stream->said_unmade) {
		log_error("collector %s claims event %llu of this sensor, which has made %llu: somebody else has "
			  "spoken in its name, or its store is damaged",
			stream->name, claimed, last);
		atomic_store(&stream->unmade, sequence);
	}
	stream->said_unmade = true;
	stream_fail(stream, "it claims events that were never made");
	return false;
}

/* A store that was lost, or another collector at the same address: what the one before had acknowledged is not there. */
static void take_store(struct stream *stream, const Taffrail__V1__DownHello *hello)
{
	struct store_id *before = &stream->stores[stream->address],
			now = store_id_of(hello->store.data, hello->store.len);
	uint64_t had = stores_find(backlog_stores(stream->backlog), before);

	if (store_has_name(before) && !store_is(before, &now))
		log_limited("collector %s: its store is another one than the one that acknowledged up to event %llu",
			stream->name, (unsigned long long)had);
	*before = now;
	backlog_store(stream->backlog, &now);
}

static void take_hello(struct stream *stream, const Taffrail__V1__DownHello *hello)
{
	uint64_t before = backlog_acknowledged(stream->backlog);
	struct wire_books books;

	if (hello->books) /* an older collector keeps none */
		books = (struct wire_books){hello->books->seen, hello->books->settled, hello->books->held,
			hello->books->undeclared, hello->books->closed};

	if (!believe(stream, hello->stored))
		return;
	event_del(stream->answer_event);
	stream->greeted = true;
	atomic_fetch_add(&stream->greetings, 1);
	take_store(stream, hello);
	backlog_rewind(stream->backlog, hello->stored, hello->books ? &books : NULL);
	refusal_begin(stream->refusal, backlog_host(stream->backlog)->epoch, backlog_acknowledged(stream->backlog));
	if (!stream->said_down && !atomic_load(&stream->former))
		log_info("streaming to %s", stream->name);
	if (backlog_is_empty(stream->backlog) || backlog_acknowledged(stream->backlog) > before)
		note_works(stream);
	note_acknowledged(stream, hello->stored);
	stream_send_batches(stream);
}

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	struct stream *stream = context;
	Taffrail__V1__Down *down = taffrail__v1__down__unpack(NULL, length, bytes);

	(void)call;
	if (!down) {
		log_limited("collector %s: a message cannot be read", stream->name);
		stream_fail(stream, "a message cannot be read");
		return;
	}
	if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_HELLO && !stream->greeted && !stream->orderly)
		take_hello(stream, down->hello);
	else if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_ACK && stream->greeted &&
		 believe(stream, down->ack->sequence)) {
		note_works(stream);
		note_acknowledged(stream, down->ack->sequence);
	}
	taffrail__v1__down__free_unpacked(down, NULL);
	stream_send_batches(stream);
	stream_call_for_more(stream);
}

static void on_writable(void *context, struct grpc_call *call)
{
	(void)call;
	stream_send_batches(context);
	stream_call_for_more(context);
}

static void open_call(struct stream *stream);

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct stream *stream = context;

	(void)call;
	stream->call = NULL;
	if (stream->closed) {
		stream->greeted = false;
		atomic_store(&stream->closing, false);
		return;
	}
	if (stream->orderly && status == GRPC_OK && grpc_client_is_up(stream->client)) {
		stream->orderly = false;
		stream->greeted = false;
		open_call(stream);
		return;
	}
	if (status == GRPC_INVALID_ARGUMENT && stream->greeted)
		refusal_note(stream->refusal, stream->name, message);
	stream_fail(stream, message);
}

/* UpHello.elsewhere. What nobody is known to have acknowledged somebody has, all the same. */
static size_t list_stores(const struct backlog *backlog, struct stores *stores,
	Taffrail__V1__Elsewhere entries[STORES_MAX], Taffrail__V1__Elsewhere *list[STORES_MAX])
{
	const struct store_id unknown = {0};
	size_t count = 0;

	*stores = *backlog_stores(backlog);
	if (stores_highest(stores) < backlog_acknowledged(backlog))
		stores_note(stores, &unknown, backlog_acknowledged(backlog));
	for (size_t i = 0; i < STORES_MAX; i++) {
		struct store_mark *mark = &stores->marks[i];
		Taffrail__V1__Elsewhere *entry = &entries[count];

		if (mark->sequence == 0)
			continue;
		taffrail__v1__elsewhere__init(entry);
		if (store_has_name(&mark->id))
			entry->store = (ProtobufCBinaryData){sizeof(mark->id.bytes), mark->id.bytes};
		entry->sequence = mark->sequence;
		list[count++] = entry;
	}
	return count;
}

/* Of zeros: nothing. */
static ProtobufCBinaryData bytes_of(struct digest_sum *sum)
{
	static const struct digest_sum none;

	return (ProtobufCBinaryData){memcmp(sum, &none, sizeof(none)) == 0 ? 0 : sizeof(sum->bytes), sum->bytes};
}

static int send_hello(struct stream *stream)
{
	Taffrail__V1__Elsewhere entries[STORES_MAX], *list[STORES_MAX];
	struct stream_build build;
	struct stores stores;
	const struct event_host *host;
	Taffrail__V1__Up up = TAFFRAIL__V1__UP__INIT;
	Taffrail__V1__UpHello hello = TAFFRAIL__V1__UP_HELLO__INIT;
	Taffrail__V1__Host name = TAFFRAIL__V1__HOST__INIT;
	uint8_t bytes[4096];

	backlog_begin(stream->backlog);
	host = backlog_host(stream->backlog);
	/* A host's names are texts of the host room or of the spool, which all end with a NUL. */
	name.id = (char *)(uintptr_t)(host->id.length ? host->id.data : "");
	name.name = (char *)(uintptr_t)(host->name.length ? host->name.data : "");
	name.boot_id = (char *)(uintptr_t)(host->boot_id.length ? host->boot_id.data : "");
	name.cluster = (char *)(uintptr_t)(host->cluster.length ? host->cluster.data : "");
	hello.host = &name;
	hello.epoch = (ProtobufCBinaryData){sizeof(host->epoch), (uint8_t *)(uintptr_t)host->epoch};
	hello.version = (char *)(uintptr_t)TAFFRAIL_VERSION;
	hello.commit = (char *)(uintptr_t)version_commit();
	pthread_mutex_lock(&stream->build_lock);
	build = stream->build;
	pthread_mutex_unlock(&stream->build_lock);
	hello.rules = bytes_of(&build.rules);
	hello.configuration = bytes_of(&build.configuration);
	hello.acknowledged = backlog_acknowledged(stream->backlog);
	hello.n_elsewhere = list_stores(stream->backlog, &stores, entries, list);
	hello.elsewhere = list;
	up.message_case = TAFFRAIL__V1__UP__MESSAGE_HELLO;
	up.hello = &hello;
	if (taffrail__v1__up__get_packed_size(&up) > sizeof(bytes))
		return -EMSGSIZE;
	return grpc_call_send(stream->call, bytes, taffrail__v1__up__pack(&up, bytes));
}

static void open_call(struct stream *stream)
{
	const struct timeval answer = {ANSWER_MS / 1000, 0};
	const struct grpc_call_options options = {
		.context = stream,
		.on_message = on_message,
		.on_writable = on_writable,
		.on_done = on_done,
	};
	int error = grpc_call_open(stream->client, "/taffrail.v1.Collector/Stream", &options, &stream->call);

	if (error) {
		stream->call = NULL;
		stream_fail(stream, strerror(-error));
		return;
	}
	event_add(stream->answer_event, &answer);
	if (send_hello(stream) < 0)
		stream_fail(stream, "the greeting cannot be sent (a name of this host is too long)");
}

/* --- the connection --------------------------------------------------------------------------------------------------- */

static void on_up(void *context)
{
	open_call(context);
}

/* The collector wants another connection in this one's place: what is under way is acknowledged, then the call ends. */
static void on_draining(void *context, const char *reason)
{
	struct stream *stream = context;

	(void)reason;
	if (!stream->call)
		return;
	stream->orderly = stream->greeted;
	stream->greeted = false;
	grpc_call_half_close(stream->call);
}

static void on_down(void *context, int error, const char *reason)
{
	(void)error;
	stream_fail(context, reason);
}

void stream_on_no_answer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	stream_fail(context, "it does not answer");
}

/* A new connection, to whichever collector is the next. */
void stream_on_retry(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;
	const struct timeval answer = {ANSWER_MS / 1000, 0};
	const struct grpc_client_options options = {
		.context = stream,
		.on_up = on_up,
		.on_draining = on_draining,
		.on_down = on_down,
		.user_agent = "taffrail-sensor/" TAFFRAIL_VERSION,
		.tls = stream->trust.tls,
		.tls_name = stream->trust.name,
		.insecure = stream->trust.insecure,
	};
	int error;

	(void)fd;
	(void)what;
	stream->retrying = false;
	grpc_client_close(stream->client);
	stream->client = NULL;
	grpc_address_format(&stream->addresses[stream->address], stream->name, sizeof(stream->name));
	error = grpc_client_open(stream->base, &stream->addresses[stream->address], &options, &stream->client);
	if (error)
		stream_fail(stream, strerror(-error));
	else
		event_add(stream->answer_event, &answer);
}
