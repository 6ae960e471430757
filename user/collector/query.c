/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/utf8.h"
#include "collector/words.h"
#include "taffrail/v1/stream.pb-c.h"

enum { RESPONSE_BATCH = 1, LENGTH_DELIMITED = 2 }; /* WatchResponse.batch; protobuf's wire type */

struct watcher {
	LIST_ENTRY(watcher) entry;
	struct query *query;
	struct grpc_stream *stream;
	bool asked; /* it has said what it wants: */
	struct words pods, namespaces;
	uint64_t actions;           /* bit 1 << enum event_action; 0: all */
	uint64_t passed_over, told; /* events; how many of them it knows of */
};

struct query {
	LIST_HEAD(watchers, watcher) watchers;
	size_t count;
	struct wire_batch *batch;
};

/* --- filters --------------------------------------------------------------------------------------------------------- */

static bool matches(const struct watcher *watcher, const struct event *event)
{
	const struct event_container *container = event->container;

	if (watcher->actions && !(watcher->actions >> event->action & 1))
		return false;
	if (!container)
		return watcher->pods.count == 0 && watcher->namespaces.count == 0;
	return words_allow(&watcher->pods, container->pod_name) &&
	       words_allow(&watcher->namespaces, container->pod_namespace);
}

/* NULL and the watcher has its filter, whose words are the request's no more; or what is wrong with it; a sentence may be made in `room`. */
static const char *take_filter(struct watcher *watcher, Taffrail__V1__WatchRequest *filter, char *room, size_t size)
{
	if (filter->n_pod > QUERY_WORDS_MAX || filter->n_namespace_ > QUERY_WORDS_MAX ||
		filter->n_action > QUERY_WORDS_MAX)
		return "a list of the filter has more than 256 words";
	for (size_t i = 0; i < filter->n_action; i++) {
		enum event_action action = event_action_find(text_of(filter->action[i]));

		if (action == 0) {
			snprintf(room, size, "\"%.100s\" is no action", filter->action[i]);
			utf8_defuse(room, strlen(room));
			return room;
		}
		watcher->actions |= 1ull << action;
	}
	words_take(&watcher->pods, &filter->pod, &filter->n_pod);
	words_take(&watcher->namespaces, &filter->namespace_, &filter->n_namespace_);
	watcher->asked = true;
	return NULL;
}

/* --- events to one watcher ------------------------------------------------------------------------------------------- */

/* Appends WatchResponse.passed_over: fields may come in any order. */
static void put_passed_over(struct watcher *watcher, struct buffer *bytes)
{
	Taffrail__V1__WatchResponse response = TAFFRAIL__V1__WATCH_RESPONSE__INIT;
	uint8_t room[16];

	response.passed_over = watcher->passed_over;
	buffer_append(bytes, room, taffrail__v1__watch_response__pack(&response, room));
	watcher->told = watcher->passed_over;
}

static void release(void *bytes, void *context)
{
	(void)bytes;
	wire_bytes_free(context);
}

/*
 * wire_batch_finish gives Up{batch}; WatchResponse{batch} is the same with another field's number in its first byte.
 * False: it did not go.
 */
static bool send_batch(struct watcher *watcher, struct buffer *bytes)
{
	if (!bytes)
		return false;
	bytes->data[0] = RESPONSE_BATCH << 3 | LENGTH_DELIMITED;
	put_passed_over(watcher, bytes);
	if (bytes->failed || grpc_stream_send_owned(watcher->stream, bytes->data, bytes->length, release, bytes) < 0) {
		wire_bytes_free(bytes);
		return false;
	}
	return true;
}

static void watch_events(struct watcher *watcher, const struct wire_events *events, uint64_t from)
{
	bool full = grpc_stream_queued(watcher->stream) >= QUERY_QUEUED_MAX;
	uint64_t first = 0, last = 0, count = 0;

	for (size_t i = 0; i < events->count; i++) {
		const struct event *event = &events->events[i];

		if (event->sequence < from || !matches(watcher, event))
			continue;
		first = count++ ? first : event->sequence;
		last = event->sequence;
		if (!full)
			wire_batch_add(watcher->query->batch, event);
	}
	if (count == 0)
		return;
	if (full || !send_batch(watcher, wire_batch_finish(watcher->query->batch, &events->host, first, last)))
		watcher->passed_over += count;
}

void query_missed(struct query *query, uint64_t events)
{
	for (struct watcher *watcher = LIST_FIRST(&query->watchers); watcher; watcher = LIST_NEXT(watcher, entry))
		watcher->passed_over += events;
}

void query_events(struct query *query, const struct wire_events *events, uint64_t first)
{
	for (struct watcher *watcher = LIST_FIRST(&query->watchers); watcher; watcher = LIST_NEXT(watcher, entry))
		if (watcher->asked)
			watch_events(watcher, events, first);
}

/* --- the stream ------------------------------------------------------------------------------------------------------ */

static void on_open(struct grpc_stream *stream, void *data)
{
	struct query *query = data;
	struct watcher *watcher = NULL;

	if (query->count < QUERY_WATCHERS_MAX)
		watcher = calloc(1, sizeof(*watcher));
	grpc_stream_set_data(stream, watcher);
	if (!watcher) {
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, "too many watch this collector already");
		return;
	}
	watcher->query = query;
	watcher->stream = stream;
	LIST_INSERT_HEAD(&query->watchers, watcher, entry);
	query->count++;
}

static void on_message(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	struct watcher *watcher = data;
	Taffrail__V1__WatchRequest *filter = taffrail__v1__watch_request__unpack(NULL, length, bytes);
	const char *why = "the request cannot be read";
	char room[160];

	if (filter && watcher->asked)
		why = "a second request";
	else if (filter)
		why = take_filter(watcher, filter, room, sizeof(room));
	if (filter)
		taffrail__v1__watch_request__free_unpacked(filter, NULL);
	if (why)
		grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, why);
}

static void on_half_close(struct grpc_stream *stream, void *data)
{
	const struct watcher *watcher = data;

	if (watcher && !watcher->asked)
		grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, "there was no request");
}

/* It reads again, and learns what it missed though nothing else may match for long. */
static void on_writable(struct grpc_stream *stream, void *data)
{
	struct watcher *watcher = data;
	struct buffer bytes = {0};

	if (!watcher || watcher->told == watcher->passed_over)
		return;
	put_passed_over(watcher, &bytes);
	if (!bytes.failed)
		(void)grpc_stream_send(stream, bytes.data, bytes.length);
	buffer_free(&bytes);
}

static void on_drain(struct grpc_stream *stream, void *data)
{
	(void)data;
	grpc_stream_finish(stream, GRPC_UNAVAILABLE, "the collector stops");
}

static void on_close(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason)
{
	struct watcher *watcher = data;

	(void)stream;
	(void)status;
	(void)reason;
	if (!watcher)
		return;
	LIST_REMOVE(watcher, entry);
	watcher->query->count--;
	words_free(&watcher->pods);
	words_free(&watcher->namespaces);
	free(watcher);
}

struct grpc_handler query_watch_handler(struct query *query)
{
	return (struct grpc_handler){
		.path = "/taffrail.v1.Query/Watch",
		.max_message_bytes = WORDS_REQUEST_MAX,
		.context = query,
		.on_open = on_open,
		.on_message = on_message,
		.on_half_close = on_half_close,
		.on_writable = on_writable,
		.on_drain = on_drain,
		.on_close = on_close,
	};
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int query_open(struct query **out)
{
	struct query *query = calloc(1, sizeof(*query));
	int error;

	if (!query)
		return -ENOMEM;
	LIST_INIT(&query->watchers);
	error = wire_batch_open(&query->batch);
	if (error) {
		free(query);
		return error;
	}
	*out = query;
	return 0;
}

void query_close(struct query *query)
{
	if (!query)
		return;
	wire_batch_close(query->batch);
	free(query);
}
