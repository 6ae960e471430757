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
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "base/version.h"
#include "event/wire.h"
#include "grpc/client.h"
#include "grpc/trust.h"
#include "taffrail/v1/stream.pb-c.h"

enum {
	MAILBOX_MAX = 4096,
	MAILBOX_FULL = 1024,     /* no room beyond: the thread is behind */
	IN_FLIGHT_MAX = 4 << 20, /* bytes handed to the connection and not yet on their way */
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 5000,
	FINISH_POLL_MS = 5,
	WINDOW_MIN = 64 << 10, /* bytes under way that are never a queue */
	WINDOW_FIRST = 256 << 10,
};
/* A queue before the collector is one of more than this, beside what an acknowledgement takes when nothing waits. */
static const uint64_t queue_ns = 10ull * 1000 * 1000;
static const uint64_t usual_window_ns =
	10ull * 1000 * 1000 * 1000; /* in which that is looked for: the way may change */

/* One batch, from stream_send until it is acknowledged and the connection has let go of it. */
struct batch {
	TAILQ_ENTRY(batch) entry;
	struct buffer *bytes;
	uint64_t first, last;
	uint64_t sent_ns;    /* by the event thread */
	unsigned references; /* of the queue, and of each connection that it was handed to */
};

struct stream {
	const struct event_host *host;
	struct grpc_address address;
	char name[GRPC_ADDRESS_TEXT_SIZE];
	uint64_t memory_bytes;
	struct mailbox *sent; /* batches: event thread → here */
	int room_fd, stop_fd;
	pthread_t thread;
	bool started;

	/* Both threads'. */
	_Atomic uint64_t held_bytes; /* of batches that are not acknowledged */
	_Atomic uint64_t held;       /* those batches */
	_Atomic bool wants_room;
	_Atomic uint64_t window; /* more than this under way is a queue; UINT64_MAX: no collector answers */

	/* The stream's thread's. */
	struct event_base *base;
	struct grpc_trust trust;
	struct event *sent_event, *stop_event, *retry_event;
	struct grpc_client *client;
	struct grpc_call *call;
	bool greeted; /* the collector's hello has come: batches may go */
	bool said_down;
	bool moving; /* the collector asked for another connection: that is no failure */
	unsigned retry_ms;
	uint64_t usual_ns, least_ns, since_ns; /* the least that an acknowledgement took lately, and since then */
	uint64_t window_bytes, cut_ns;         /* the window while a collector answers, and when it was made smaller */
	TAILQ_HEAD(batches, batch) batches;    /* not acknowledged, in order */
	struct batch *next;                    /* the first of them that was not handed to this connection, or NULL */
};

/* --- batches ---------------------------------------------------------------------------------------------------------- */

static void batch_release(struct batch *batch)
{
	if (--batch->references > 0)
		return;
	wire_bytes_free(batch->bytes);
	free(batch);
}

static void on_released(void *bytes, void *context)
{
	(void)bytes;
	batch_release(context);
}

static void set_window(struct stream *stream)
{
	atomic_store(&stream->window, stream->greeted ? stream->window_bytes : UINT64_MAX);
}

/* The least of these ten seconds, or of the ten before. */
static uint64_t usual_time(struct stream *stream, uint64_t took_ns, uint64_t now_ns)
{
	if (stream->since_ns == 0 || now_ns - stream->since_ns > usual_window_ns) {
		stream->usual_ns = stream->since_ns ? stream->least_ns : took_ns;
		stream->least_ns = took_ns;
		stream->since_ns = now_ns;
	}
	stream->least_ns = took_ns < stream->least_ns ? took_ns : stream->least_ns;
	stream->usual_ns = took_ns < stream->usual_ns ? took_ns : stream->usual_ns;
	return stream->usual_ns;
}

/*
 * By delay, as TCP Vegas does (Brakmo and Peterson, 1995): the window grows while it is used and acknowledgements come as soon as they can, and is made
 * smaller, once in each round, where they come late.
 */
static void note_acknowledged(struct stream *stream, const struct batch *batch)
{
	uint64_t now_ns = clock_boottime_ns(), took_ns = now_ns - batch->sent_ns;

	if (took_ns <= usual_time(stream, took_ns, now_ns) + queue_ns) {
		if (atomic_load(&stream->held_bytes) > stream->window_bytes / 2)
			stream->window_bytes += batch->bytes->length / 8;
	} else if (now_ns - stream->cut_ns > took_ns) {
		stream->cut_ns = now_ns;
		stream->window_bytes -= stream->window_bytes / 4;
		if (stream->window_bytes < WINDOW_MIN)
			stream->window_bytes = WINDOW_MIN;
	}
	set_window(stream);
}

/* Lets go of everything up to a sequence: it is on the collector's disk. */
static void drop_stored(struct stream *stream, uint64_t stored)
{
	struct batch *batch;

	while ((batch = TAILQ_FIRST(&stream->batches)) && batch->last <= stored) {
		TAILQ_REMOVE(&stream->batches, batch, entry);
		note_acknowledged(stream, batch);
		if (stream->next == batch)
			stream->next = TAILQ_FIRST(&stream->batches);
		atomic_fetch_sub(&stream->held_bytes, batch->bytes->length);
		atomic_fetch_sub(&stream->held, 1);
		batch_release(batch);
	}
	if (atomic_load(&stream->wants_room) && stream_room(stream) && atomic_exchange(&stream->wants_room, false)) {
		uint64_t one = 1;

		(void)!write(stream->room_fd, &one, sizeof(one));
	}
}

/* Hands batches to the connection, as many as it takes without piling up. */
static void send_batches(struct stream *stream)
{
	while (stream->greeted && !stream->moving && stream->next && grpc_call_queued(stream->call) < IN_FLIGHT_MAX) {
		struct batch *batch = stream->next;

		batch->references++;
		if (grpc_call_send_owned(stream->call, batch->bytes->data, batch->bytes->length, on_released, batch) <
			0) {
			batch->references--;
			return; /* the call is ending, or memory is short: it is sent again after on_done */
		}
		stream->next = TAILQ_NEXT(batch, entry);
	}
}

static void on_sent(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;
	struct batch *batch;

	(void)fd;
	(void)what;
	while ((batch = mailbox_receive(stream->sent))) {
		TAILQ_INSERT_TAIL(&stream->batches, batch, entry);
		if (!stream->next)
			stream->next = batch;
	}
	send_batches(stream);
}

/* --- the call ---------------------------------------------------------------------------------------------------------- */

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	struct stream *stream = context;
	Taffrail__V1__Down *down = taffrail__v1__down__unpack(NULL, length, bytes);

	if (!down) {
		log_limited("collector %s: a message cannot be read", stream->name);
		grpc_call_cancel(call);
		stream->call = NULL;
		stream->greeted = false;
		set_window(stream);
		const struct timeval delay = {RETRY_MAX_MS / 1000, 0};

		event_add(stream->retry_event, &delay);
		return;
	}
	if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_HELLO && !stream->greeted) {
		log_info("streaming to %s", stream->name);
		stream->said_down = stream->moving = false;
		stream->retry_ms = RETRY_MIN_MS;
		drop_stored(stream, down->hello->stored);
		stream->next = TAILQ_FIRST(&stream->batches);
		stream->greeted = true;
		set_window(stream);
		send_batches(stream);
	} else if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_ACK && stream->greeted) {
		drop_stored(stream, down->ack->sequence);
	}
	taffrail__v1__down__free_unpacked(down, NULL);
}

static void on_writable(void *context, struct grpc_call *call)
{
	(void)call;
	send_batches(context);
}

/* Once, until a collector has answered again. */
static void say_down(struct stream *stream, const char *why)
{
	if (!stream->said_down && !stream->moving)
		log_warning("collector %s: %s: events wait here until it answers", stream->name, why);
	stream->said_down |= !stream->moving;
}

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct stream *stream = context;
	unsigned wait_ms = stream->retry_ms, random;

	/* A random half to the whole: many sensors that a collector refused do not come back as one. */
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	wait_ms = wait_ms / 2 + random % (wait_ms / 2 + 1);
	const struct timeval delay = {wait_ms / 1000, (long)(wait_ms % 1000) * 1000};

	(void)call;
	(void)status;
	stream->call = NULL;
	stream->greeted = false;
	set_window(stream);
	say_down(stream, message);
	stream->retry_ms = stream->retry_ms < RETRY_MAX_MS / 2 ? 2 * stream->retry_ms : RETRY_MAX_MS;
	event_add(stream->retry_event, &delay); /* where the connection itself is still there */
}

static int send_hello(struct stream *stream)
{
	const struct event_host *host = stream->host;
	Taffrail__V1__Up up = TAFFRAIL__V1__UP__INIT;
	Taffrail__V1__UpHello hello = TAFFRAIL__V1__UP_HELLO__INIT;
	Taffrail__V1__Host name = TAFFRAIL__V1__HOST__INIT;
	uint8_t bytes[4096];

	/* A host's names are texts of the host room, which all end with a NUL. */
	name.id = (char *)(uintptr_t)(host->id.length ? host->id.data : "");
	name.name = (char *)(uintptr_t)(host->name.length ? host->name.data : "");
	name.boot_id = (char *)(uintptr_t)(host->boot_id.length ? host->boot_id.data : "");
	name.cluster = (char *)(uintptr_t)(host->cluster.length ? host->cluster.data : "");
	hello.host = &name;
	hello.epoch = (ProtobufCBinaryData){sizeof(host->epoch), (uint8_t *)(uintptr_t)host->epoch};
	hello.version = (char *)(uintptr_t)TAFFRAIL_VERSION;
	up.message_case = TAFFRAIL__V1__UP__MESSAGE_HELLO;
	up.hello = &hello;
	if (taffrail__v1__up__get_packed_size(&up) > sizeof(bytes))
		return -EMSGSIZE;
	return grpc_call_send(stream->call, bytes, taffrail__v1__up__pack(&up, bytes));
}

static void open_call(struct stream *stream)
{
	const struct grpc_call_options options = {
		.context = stream,
		.on_message = on_message,
		.on_writable = on_writable,
		.on_done = on_done,
	};

	if (stream->call ||
		grpc_call_open(stream->client, "/taffrail.v1.Collector/Stream", &options, &stream->call) < 0)
		return;
	if (send_hello(stream) < 0)
		say_down(stream, "the greeting cannot be sent (a name of this host is too long)");
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;

	(void)fd;
	(void)what;
	if (grpc_client_is_up(stream->client))
		open_call(stream);
}

static void on_up(void *context)
{
	open_call(context);
}

static void on_down(void *context, int error, const char *reason)
{
	struct stream *stream = context;

	if (error)
		stream->moving = false;
	say_down(stream, reason);
}

/*
 * The connection grew old, or the collector stops: what is on its way is acknowledged before its end, and the rest goes
 * over the next one.
 */
static void on_draining(void *context, const char *reason)
{
	struct stream *stream = context;

	(void)reason;
	stream->moving = stream->greeted;
	if (stream->call)
		grpc_call_half_close(stream->call);
}

/* --- the event thread's side -------------------------------------------------------------------------------------------- */

bool stream_room(struct stream *stream)
{
	if (atomic_load(&stream->held_bytes) < stream->memory_bytes && mailbox_count(stream->sent) < MAILBOX_FULL)
		return true;
	atomic_store(&stream->wants_room, true);
	return false;
}

bool stream_idle(const struct stream *stream)
{
	return atomic_load(&stream->held) == 0;
}

bool stream_is_behind(const struct stream *stream, size_t waiting_bytes)
{
	return atomic_load(&stream->held_bytes) + waiting_bytes > atomic_load(&stream->window);
}

int stream_fd(const struct stream *stream)
{
	return stream->room_fd;
}

int stream_send(struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last)
{
	struct batch *batch = calloc(1, sizeof(*batch));
	uint64_t calls;
	int error = batch ? 0 : -ENOMEM;

	(void)!read(stream->room_fd, &calls, sizeof(calls)); /* whoever sends has seen that there is room */
	if (batch) {
		*batch = (struct batch){
			.bytes = bytes, .first = first, .last = last, .references = 1, .sent_ns = clock_boottime_ns()};
		atomic_fetch_add(&stream->held_bytes, bytes->length);
		atomic_fetch_add(&stream->held, 1);
		error = mailbox_send(stream->sent, batch);
		if (error) {
			atomic_fetch_sub(&stream->held_bytes, bytes->length);
			atomic_fetch_sub(&stream->held, 1);
		}
	}
	if (error) {
		wire_bytes_free(bytes);
		free(batch);
	}
	return error;
}

void stream_finish(struct stream *stream, uint64_t timeout_ms)
{
	uint64_t deadline_ns = clock_boottime_ns() + timeout_ms * 1000000;

	while (!stream_idle(stream) && clock_boottime_ns() < deadline_ns)
		(void)poll(NULL, 0, FINISH_POLL_MS);
	if (!stream_idle(stream))
		log_error("collector %s: %llu batches were not acknowledged in %llu ms: their events are lost",
			stream->name, (unsigned long long)atomic_load(&stream->held), (unsigned long long)timeout_ms);
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
	stream->sent_event = event_new(stream->base, mailbox_fd(stream->sent), EV_READ | EV_PERSIST, on_sent, stream);
	stream->stop_event = event_new(stream->base, stream->stop_fd, EV_READ, on_stop, stream->base);
	stream->retry_event = evtimer_new(stream->base, on_retry, stream);
	if (!stream->sent_event || !stream->stop_event || !stream->retry_event ||
		event_add(stream->sent_event, NULL) < 0 || event_add(stream->stop_event, NULL) < 0)
		return -ENOMEM;
	return 0;
}

int stream_open(struct stream **out, const struct stream_options *options)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	const struct grpc_client_options client = {
		.context = stream,
		.on_up = on_up,
		.on_draining = on_draining,
		.on_down = on_down,
		.retry_min_ms = RETRY_MIN_MS,
		.retry_max_ms = RETRY_MAX_MS,
		.user_agent = "taffrail-sensor/" TAFFRAIL_VERSION,
		.tls = options->trust->tls,
		.tls_name = options->trust->name,
		.insecure = options->trust->insecure,
	};
	char why[256];
	int error;

	if (!stream)
		return -ENOMEM;
	TAILQ_INIT(&stream->batches);
	stream->host = options->host;
	stream->memory_bytes = options->memory_bytes;
	stream->trust = *options->trust;
	stream->retry_ms = RETRY_MIN_MS;
	stream->window_bytes = WINDOW_FIRST;
	set_window(stream);
	stream->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stream->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = stream->room_fd < 0 || stream->stop_fd < 0 ? -errno : 0;
	stream->base = event_base_new();
	if (!error && !stream->base)
		error = -ENOMEM;
	error = error ? error : grpc_address_parse(options->collector, &stream->address, why, sizeof(why));
	grpc_address_format(&stream->address, stream->name, sizeof(stream->name));
	error = error ? error : mailbox_open(&stream->sent, MAILBOX_MAX);
	error = error ? error : open_events(stream);
	error = error ? error : grpc_trust_watch(&stream->trust, stream->base);
	error = error ? error : grpc_client_open(stream->base, &stream->address, &client, &stream->client);
	error = error ? error : -pthread_create(&stream->thread, NULL, run, stream);
	if (error) {
		stream_close(stream);
		return error;
	}
	stream->started = true;
	*out = stream;
	return 0;
}

void stream_close(struct stream *stream)
{
	uint64_t one = 1;
	struct batch *batch;

	if (!stream)
		return;
	if (stream->started) {
		(void)!write(stream->stop_fd, &one, sizeof(one));
		pthread_join(stream->thread, NULL);
	}
	if (stream->call)
		grpc_call_cancel(stream->call);
	grpc_client_close(stream->client);
	while (stream->sent && (batch = mailbox_receive(stream->sent)))
		batch_release(batch);
	mailbox_close(stream->sent);
	while ((batch = TAILQ_FIRST(&stream->batches))) {
		TAILQ_REMOVE(&stream->batches, batch, entry);
		batch_release(batch);
	}
	grpc_trust_unwatch(&stream->trust);
	if (stream->sent_event)
		event_free(stream->sent_event);
	if (stream->stop_event)
		event_free(stream->stop_event);
	if (stream->retry_event)
		event_free(stream->retry_event);
	if (stream->base)
		event_base_free(stream->base);
	if (stream->room_fd >= 0)
		close(stream->room_fd);
	if (stream->stop_fd >= 0)
		close(stream->stop_fd);
	free(stream);
}
