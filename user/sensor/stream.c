/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/stream.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/version.h"
#include "event/wire.h"
#include "grpc/client.h"
#include "grpc/trust.h"
#include "sensor/backlog.h"
#include "sensor/window.h"
#include "taffrail/v1/stream.pb-c.h"

enum {
	MAILBOX_MAX = 4096,
	MAILBOX_FULL = 1024,     /* no room beyond: the thread is behind */
	IN_FLIGHT_MAX = 4 << 20, /* bytes handed to the connection and not yet on their way */
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 5000,
	ANSWER_MS = 20000, /* so long a collector has for its hello, connecting included */
	FINISH_POLL_MS = 5,
	TICK_S = 1,
};

struct stream {
	const struct event_host *host;
	struct grpc_address *addresses; /* of the collectors */
	size_t address_count, address;  /* the one that is talked to, or tried */
	char name[GRPC_ADDRESS_TEXT_SIZE];
	uint64_t memory_bytes;
	struct spool *spool;  /* NULL: none; the caller's */
	struct mailbox *sent; /* batches: event thread → here */
	int room_fd, stop_fd;
	pthread_t thread;
	bool started;

	/* Both threads'. */
	_Atomic uint64_t last;         /* sequence that was handed over */
	_Atomic uint64_t acknowledged; /* of this life */
	_Atomic bool former;           /* what a former life left is being sent */
	_Atomic bool wants_room;
	struct window window; /* how much of this life's may be under way */

	/* The stream's thread's. */
	struct event_base *base;
	struct grpc_trust trust;
	struct event *sent_event, *stop_event, *retry_event, *answer_event, *tick_event, *sync_event;
	struct backlog *backlog;
	struct grpc_client *client;
	struct grpc_call *call;
	bool greeted;  /* the collector's hello has come: batches may go */
	bool orderly;  /* the call ends because it should: the next one goes to the same collector */
	bool retrying; /* retry_event is due */
	bool said_down;
	unsigned retry_ms;
};

/* --- batches ---------------------------------------------------------------------------------------------------------- */

static void call_for_more(struct stream *stream)
{
	uint64_t one = 1;

	if (atomic_load(&stream->wants_room) && stream_room(stream) && atomic_exchange(&stream->wants_room, false))
		(void)!write(stream->room_fd, &one, sizeof(one));
}

static void on_released(void *bytes, void *context)
{
	(void)bytes;
	backlog_release(context);
}

static void fail(struct stream *stream, const char *why);

/* Hands batches to the connection, as many as it takes without piling up. */
static void send_batches(struct stream *stream)
{
	struct batch *batch;

	while (stream->greeted && grpc_call_queued(stream->call) < IN_FLIGHT_MAX &&
		(batch = backlog_next(stream->backlog))) {
		if (grpc_call_send_owned(stream->call, batch->bytes->data, batch->bytes->length, on_released, batch) <
			0) {
			backlog_release(batch);
			fail(stream, "a batch cannot be sent"); /* and nothing behind it: all of it again */
		}
	}
}

static void take_sent(struct stream *stream)
{
	struct batch *batch;

	while ((batch = mailbox_receive(stream->sent))) {
		window_note(&stream->window, batch->last, batch->bytes->length, batch->made_ns);
		backlog_put(stream->backlog, batch);
		send_batches(stream);
	}
}

static void on_sent(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	take_sent(context);
	call_for_more(context);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;

	(void)fd;
	(void)what;
	backlog_tick(stream->backlog, clock_boottime_ns());
	send_batches(stream);
	call_for_more(stream);
}

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
static void fail(struct stream *stream, const char *why)
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
		stream->retry_ms = RETRY_MIN_MS;
	} else {
		say_down(stream, why);
		stream->address = (stream->address + 1) % stream->address_count;
	}
	try_again(stream);
	if (!stream->orderly) /* the next one waits twice as long */
		stream->retry_ms = stream->retry_ms < RETRY_MAX_MS / 2 ? 2 * stream->retry_ms : RETRY_MAX_MS;
	stream->orderly = false;
}

static void note_acknowledged(struct stream *stream, uint64_t sequence)
{
	backlog_acknowledge(stream->backlog, sequence);
	/* The next epoch wants a hello of its own: a call of its own. */
	if (backlog_turn(stream->backlog)) {
		stream->greeted = false;
		stream->orderly = true;
		grpc_call_half_close(stream->call);
	}
	if (backlog_host(stream->backlog) == stream->host) {
		window_acknowledge(&stream->window, backlog_acknowledged(stream->backlog), clock_boottime_ns());
		window_answer(&stream->window, stream->greeted);
		atomic_store(&stream->acknowledged, backlog_acknowledged(stream->backlog));
		atomic_store(&stream->former, false);
	}
}

static void take_hello(struct stream *stream, uint64_t stored)
{
	if (stream->said_down || stream->retry_ms != RETRY_MIN_MS || !atomic_load(&stream->former))
		log_info("streaming to %s", stream->name);
	event_del(stream->answer_event);
	stream->said_down = false;
	stream->retry_ms = RETRY_MIN_MS;
	stream->greeted = true;
	backlog_rewind(stream->backlog, stored);
	note_acknowledged(stream, stored);
	send_batches(stream);
}

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	struct stream *stream = context;
	Taffrail__V1__Down *down = taffrail__v1__down__unpack(NULL, length, bytes);

	(void)call;
	if (!down) {
		log_limited("collector %s: a message cannot be read", stream->name);
		fail(stream, "a message cannot be read");
		return;
	}
	if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_HELLO && !stream->greeted && !stream->orderly)
		take_hello(stream, down->hello->stored);
	else if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_ACK && stream->greeted)
		note_acknowledged(stream, down->ack->sequence);
	taffrail__v1__down__free_unpacked(down, NULL);
	send_batches(stream);
	call_for_more(stream);
}

static void on_writable(void *context, struct grpc_call *call)
{
	(void)call;
	send_batches(context);
	call_for_more(context);
}

static void open_call(struct stream *stream);

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct stream *stream = context;

	(void)call;
	stream->call = NULL;
	if (stream->orderly && status == GRPC_OK && grpc_client_is_up(stream->client)) {
		stream->orderly = stream->greeted = false;
		open_call(stream);
		return;
	}
	fail(stream, message);
}

static int send_hello(struct stream *stream)
{
	const struct event_host *host = backlog_host(stream->backlog);
	Taffrail__V1__Up up = TAFFRAIL__V1__UP__INIT;
	Taffrail__V1__UpHello hello = TAFFRAIL__V1__UP_HELLO__INIT;
	Taffrail__V1__Host name = TAFFRAIL__V1__HOST__INIT;
	uint8_t bytes[4096];

	/* A host's names are texts of the host room or of the spool, which all end with a NUL. */
	name.id = (char *)(uintptr_t)(host->id.length ? host->id.data : "");
	name.name = (char *)(uintptr_t)(host->name.length ? host->name.data : "");
	name.boot_id = (char *)(uintptr_t)(host->boot_id.length ? host->boot_id.data : "");
	name.cluster = (char *)(uintptr_t)(host->cluster.length ? host->cluster.data : "");
	hello.host = &name;
	hello.epoch = (ProtobufCBinaryData){sizeof(host->epoch), (uint8_t *)(uintptr_t)host->epoch};
	hello.version = (char *)(uintptr_t)TAFFRAIL_VERSION;
	hello.acknowledged = backlog_acknowledged(stream->backlog);
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
		fail(stream, strerror(-error));
		return;
	}
	event_add(stream->answer_event, &answer);
	if (send_hello(stream) < 0)
		fail(stream, "the greeting cannot be sent (a name of this host is too long)");
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
	fail(context, reason);
}

static void on_no_answer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	fail(context, "it does not answer");
}

/* A new connection, to whichever collector is the next. */
static void on_retry(evutil_socket_t fd, short what, void *context)
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
		fail(stream, strerror(-error));
	else
		event_add(stream->answer_event, &answer);
}

/* --- the event thread's side -------------------------------------------------------------------------------------------- */

bool stream_room(struct stream *stream)
{
	if (backlog_bytes(stream->backlog) < stream->memory_bytes && mailbox_count(stream->sent) < MAILBOX_FULL)
		return true;
	atomic_store(&stream->wants_room, true);
	return false;
}

bool stream_idle(const struct stream *stream)
{
	return atomic_load(&stream->acknowledged) >= atomic_load(&stream->last) && !atomic_load(&stream->former);
}

bool stream_is_behind(const struct stream *stream, size_t waiting_bytes)
{
	return window_is_behind(&stream->window, waiting_bytes);
}

int stream_fd(const struct stream *stream)
{
	return stream->room_fd;
}

int stream_send(struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last)
{
	struct batch *batch = backlog_batch(stream->backlog, bytes, first, last);
	uint64_t calls;
	int error = batch ? 0 : -ENOMEM;

	(void)!read(stream->room_fd, &calls, sizeof(calls)); /* whoever sends has seen that there is room */
	if (!batch) {
		wire_bytes_free(bytes);
		return error;
	}
	batch->made_ns = clock_boottime_ns();
	window_hand(&stream->window, (int64_t)bytes->length);
	atomic_store(&stream->last, last);
	error = mailbox_send(stream->sent, batch);
	if (error) {
		window_hand(&stream->window, -(int64_t)bytes->length);
		backlog_release(batch);
	}
	return error;
}

void stream_finish(struct stream *stream, uint64_t timeout_ms)
{
	uint64_t deadline_ns = clock_boottime_ns() + timeout_ms * 1000000, left;

	while (!stream_idle(stream) && clock_boottime_ns() < deadline_ns)
		(void)poll(NULL, 0, FINISH_POLL_MS);
	left = atomic_load(&stream->last) - atomic_load(&stream->acknowledged);
	if (stream_idle(stream))
		return;
	if (stream->spool)
		log_warning(
			"%llu events and what former lives left were not acknowledged in %llu ms: the spool keeps them",
			(unsigned long long)left, (unsigned long long)timeout_ms);
	else
		log_error("no collector has acknowledged %llu events in %llu ms: they are lost",
			(unsigned long long)left, (unsigned long long)timeout_ms);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

static void on_stop(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(context);
}

static void *run(void *context)
{
	struct stream *stream = context;

	(void)event_base_dispatch(stream->base);
	return NULL;
}

static int open_events(struct stream *stream)
{
	const struct timeval tick = {TICK_S, 0}, now = {0, 0};

	stream->base = event_base_new();
	if (!stream->base)
		return -ENOMEM;
	stream->sent_event = event_new(stream->base, mailbox_fd(stream->sent), EV_READ | EV_PERSIST, on_sent, stream);
	stream->stop_event = event_new(stream->base, stream->stop_fd, EV_READ, on_stop, stream->base);
	stream->retry_event = evtimer_new(stream->base, on_retry, stream);
	stream->answer_event = evtimer_new(stream->base, on_no_answer, stream);
	stream->tick_event = event_new(stream->base, -1, EV_PERSIST, on_tick, stream);
	if (stream->spool)
		stream->sync_event =
			event_new(stream->base, spool_fd(stream->spool), EV_READ | EV_PERSIST, on_tick, stream);
	if (!stream->sent_event || !stream->stop_event || !stream->retry_event || !stream->answer_event ||
		!stream->tick_event || (stream->spool && !stream->sync_event))
		return -ENOMEM;
	if (event_add(stream->sent_event, NULL) < 0 || event_add(stream->stop_event, NULL) < 0 ||
		event_add(stream->tick_event, &tick) < 0 || event_add(stream->retry_event, &now) < 0 ||
		(stream->sync_event && event_add(stream->sync_event, NULL) < 0))
		return -ENOMEM;
	stream->retrying = true;
	return 0;
}

static int read_addresses(struct stream *stream, const struct stream_options *options)
{
	char why[256];
	int error = 0;

	stream->addresses = calloc(options->collector_count, sizeof(*stream->addresses));
	if (!stream->addresses)
		return -ENOMEM;
	for (size_t i = 0; i < options->collector_count && !error; i++)
		error = grpc_address_parse(options->collectors[i], &stream->addresses[i], why, sizeof(why));
	stream->address_count = options->collector_count;
	return error;
}

int stream_open(struct stream **out, const struct stream_options *options)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	const struct backlog_options backlog = {options->host, options->spool, options->memory_bytes};
	int error;

	if (!stream)
		return -ENOMEM;
	stream->host = options->host;
	stream->spool = options->spool;
	stream->memory_bytes = options->memory_bytes;
	stream->trust = *options->trust;
	stream->retry_ms = RETRY_MIN_MS;
	window_start(&stream->window);
	stream->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stream->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = stream->room_fd < 0 || stream->stop_fd < 0 ? -errno : 0;
	error = error ? error : options->collector_count ? read_addresses(stream, options) : -EINVAL;
	error = error ? error : backlog_open(&stream->backlog, &backlog);
	error = error ? error : mailbox_open(&stream->sent, MAILBOX_MAX);
	error = error ? error : open_events(stream);
	error = error ? error : grpc_trust_watch(&stream->trust, stream->base);
	if (!error)
		atomic_store(&stream->former, backlog_host(stream->backlog) != stream->host);
	error = error ? error : -pthread_create(&stream->thread, NULL, run, stream);
	if (error) {
		stream_close(stream);
		return error;
	}
	stream->started = true;
	*out = stream;
	return 0;
}

static void free_events(struct stream *stream)
{
	struct event *events[] = {stream->sent_event, stream->stop_event, stream->retry_event, stream->answer_event,
		stream->tick_event, stream->sync_event};

	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i])
			event_free(events[i]);
	if (stream->base)
		event_base_free(stream->base);
}

void stream_close(struct stream *stream)
{
	uint64_t one = 1;

	if (!stream)
		return;
	if (stream->started) {
		(void)!write(stream->stop_fd, &one, sizeof(one));
		pthread_join(stream->thread, NULL);
	}
	if (stream->call)
		grpc_call_cancel(stream->call);
	grpc_client_close(stream->client);
	stream->greeted = false;
	if (stream->sent)
		take_sent(stream);
	mailbox_close(stream->sent);
	backlog_close(stream->backlog);
	grpc_trust_unwatch(&stream->trust);
	free_events(stream);
	if (stream->room_fd >= 0)
		close(stream->room_fd);
	if (stream->stop_fd >= 0)
		close(stream->stop_fd);
	free(stream->addresses);
	free(stream);
}
