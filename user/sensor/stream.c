/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/stream_inside.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mailbox.h"
#include "event/wire.h"

enum {
	MAILBOX_MAX = 4096,
	MAILBOX_FULL = 1024,     /* no room beyond: the thread is behind */
	IN_FLIGHT_MAX = 4 << 20, /* bytes handed to the connection and not yet on their way */
	FINISH_POLL_MS = 5,
	TICK_S = 1,
};

/* --- batches ---------------------------------------------------------------------------------------------------------- */

void stream_call_for_more(struct stream *stream)
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

void stream_leave_open(struct stream *stream)
{
	if (stream->closing_batch)
		backlog_release(stream->closing_batch);
	stream->closing_batch = NULL;
	atomic_store(&stream->closing, false);
}

/* The last message: it goes to a collector that has all the rest, or nowhere. */
static void send_closing(struct stream *stream)
{
	struct batch *batch = stream->closing_batch;

	if (!batch || !stream->greeted || backlog_host(stream->backlog) != stream->host ||
		!backlog_is_empty(stream->backlog))
		return;
	if (grpc_call_send_owned(stream->call, batch->bytes->data, batch->bytes->length, on_released, batch) < 0) {
		stream_leave_open(stream);
		return;
	}
	stream->closing_batch = NULL;
	stream->closed = true;
	grpc_call_half_close(stream->call);
}

/* Hands batches to the connection, as many as it takes without piling up. */
void stream_send_batches(struct stream *stream)
{
	struct batch *batch;

	while (stream->greeted && grpc_call_queued(stream->call) < IN_FLIGHT_MAX && refusal_may_send(stream->refusal) &&
		(batch = backlog_next(stream->backlog))) {
		batch = refusal_pass(stream->refusal, batch, backlog_host(stream->backlog));
		if (!batch || grpc_call_send_owned(
				      stream->call, batch->bytes->data, batch->bytes->length, on_released, batch) < 0) {
			backlog_release(batch);
			stream_fail(stream, "a batch cannot be sent"); /* and nothing behind it: all of it again */
		}
	}
	send_closing(stream);
}

static void take_sent(struct stream *stream)
{
	struct batch *batch;

	while ((batch = mailbox_receive(stream->sent))) {
		if (batch->last < batch->first) {
			stream->closing_batch = batch;
			stream_send_batches(stream);
			if (stream->said_down)
				stream_leave_open(stream);
			continue;
		}
		window_note(&stream->window, batch->last, batch->bytes->length, batch->made_ns);
		if (batch->books.last)
			ledger_sent(stream->ledger, &batch->books);
		backlog_put(stream->backlog, batch);
		stream_send_batches(stream);
	}
}

static void on_sent(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	take_sent(context);
	stream_call_for_more(context);
}

/* What other threads may ask for. */
static void note_figures(struct stream *stream)
{
	atomic_store(&stream->taken, backlog_taken(stream->backlog) + refusal_total(stream->refusal));
	if (!stream->spool)
		return;
	atomic_store(&stream->spool_bytes, spool_bytes(stream->spool));
	atomic_store(&stream->spool_since_s, spool_since_s(stream->spool));
	atomic_store(&stream->spool_works, spool_works(stream->spool));
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct stream *stream = context;

	(void)fd;
	(void)what;
	backlog_tick(stream->backlog, clock_boottime_ns());
	note_figures(stream);
	stream_turn(stream);
	stream_send_batches(stream);
	stream_call_for_more(stream);
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

uint64_t stream_unmade(struct stream *stream)
{
	return atomic_exchange(&stream->unmade, 0);
}

bool stream_is_behind(const struct stream *stream, size_t waiting_bytes)
{
	return window_is_behind(&stream->window, waiting_bytes);
}

void stream_counters(const struct stream *stream, struct stream_counters *counters)
{
	*counters = (struct stream_counters){
		.connected = atomic_load(&stream->greeted),
		.greetings = atomic_load(&stream->greetings),
		.failures = atomic_load(&stream->failures),
		.refused = atomic_load(&stream->refused),
		.acknowledged = atomic_load(&stream->acknowledged), /* first: it never is above `last` then */
		.memory_bytes = backlog_bytes(stream->backlog),
		.queued = mailbox_count(stream->sent),
		.spool_bytes = atomic_load(&stream->spool_bytes),
		.taken = atomic_load(&stream->taken),
		.spool_since_s = atomic_load(&stream->spool_since_s),
		.spool_works = atomic_load(&stream->spool_works),
	};
	counters->last = atomic_load(&stream->last);
}

int stream_fd(const struct stream *stream)
{
	return stream->room_fd;
}

int stream_send(
	struct stream *stream, struct buffer *bytes, uint64_t first, uint64_t last, const struct wire_books *books)
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
	if (books)
		batch->books = (struct ledger_batch){
			last, books->settled, wire_books_declared(books), ledger_since(stream->ledger), books->closed};
	window_hand(&stream->window, (int64_t)bytes->length);
	atomic_store(&stream->last, last);
	error = mailbox_send(stream->sent, batch);
	if (error) {
		window_hand(&stream->window, -(int64_t)bytes->length);
		backlog_release(batch);
	}
	return error;
}

bool stream_settle(struct stream *stream, uint64_t until_ns)
{
	while (!(stream_idle(stream) && !atomic_load(&stream->closing)) && clock_boottime_ns() < until_ns)
		(void)poll(NULL, 0, FINISH_POLL_MS);
	return stream_idle(stream);
}

void stream_close_epoch(struct stream *stream, struct buffer *bytes)
{
	uint64_t last = atomic_load(&stream->last);
	struct batch *batch = backlog_batch(stream->backlog, bytes, last + 1, last);

	if (!batch) {
		wire_bytes_free(bytes);
		return;
	}
	atomic_store(&stream->closing, true);
	if (mailbox_send(stream->sent, batch) < 0) {
		atomic_store(&stream->closing, false);
		backlog_release(batch);
	}
}

void stream_finish(struct stream *stream, uint64_t timeout_ms)
{
	uint64_t left;

	(void)stream_settle(stream, clock_boottime_ns() + timeout_ms * 1000000);
	left = atomic_load(&stream->last) - atomic_load(&stream->acknowledged);
	if (stream_idle(stream))
		return;
	if (stream->spool)
		log_warning(
			"%llu events and what former lives left were not acknowledged in %llu ms: what is on the spool "
			"waits there",
			(unsigned long long)left, (unsigned long long)timeout_ms);
	else if (stream->ledger)
		log_warning("no collector has acknowledged %llu events in %llu ms: the next life of the sensor "
			    "declares them lost",
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
	stream->retry_event = evtimer_new(stream->base, stream_on_retry, stream);
	stream->answer_event = evtimer_new(stream->base, stream_on_no_answer, stream);
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
	stream->stores = calloc(options->collector_count, sizeof(*stream->stores));
	if (!stream->addresses || !stream->stores)
		return -ENOMEM;
	for (size_t i = 0; i < options->collector_count && !error; i++)
		error = grpc_address_parse(options->collectors[i], &stream->addresses[i], why, sizeof(why));
	stream->address_count = options->collector_count;
	return error;
}

void stream_build(struct stream *stream, const struct stream_build *build)
{
	pthread_mutex_lock(&stream->build_lock);
	stream->build = *build;
	pthread_mutex_unlock(&stream->build_lock);
}

int stream_open(struct stream **out, const struct stream_options *options)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	const struct backlog_options backlog = {options->host, options->spool, options->memory_bytes, options->formers};
	int error;

	if (!stream)
		return -ENOMEM;
	stream->host = options->host;
	stream->spool = options->spool;
	stream->ledger = options->ledger;
	stream->memory_bytes = options->memory_bytes;
	stream->build = options->build;
	pthread_mutex_init(&stream->build_lock, NULL);
	stream->trust = *options->trust;
	stream->retry_ms = STREAM_RETRY_MIN_MS;
	window_start(&stream->window);
	stream->room_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	stream->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = stream->room_fd < 0 || stream->stop_fd < 0 ? -errno : 0;
	error = error ? error : options->collector_count ? read_addresses(stream, options) : -EINVAL;
	error = error ? error : backlog_open(&stream->backlog, &backlog);
	error = error ? error : refusal_open(&stream->refusal, stream->backlog, options->collector_count);
	error = error ? error : mailbox_open(&stream->sent, MAILBOX_MAX);
	error = error ? error : open_events(stream);
	if (!error)
		note_figures(stream);
	error = error ? error : grpc_trust_watch(&stream->trust, stream->base);
	if (!error)
		atomic_store(&stream->former, backlog_host(stream->backlog) != stream->host);
	error = error ? error : -pthread_create(&stream->thread, NULL, run, stream);
	if (error) {
		(void)stream_close(stream);
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

bool stream_close(struct stream *stream)
{
	uint64_t one = 1;
	bool kept;

	if (!stream)
		return true;
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
	stream_leave_open(stream);
	mailbox_close(stream->sent);
	refusal_close(stream->refusal);
	kept = backlog_close(stream->backlog, stream->ledger != NULL);
	grpc_trust_unwatch(&stream->trust);
	free_events(stream);
	if (stream->room_fd >= 0)
		close(stream->room_fd);
	if (stream->stop_fd >= 0)
		close(stream->stop_fd);
	free(stream->addresses);
	free(stream->stores);
	free(stream);
	return kept;
}
