/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "collector/reader.h"
#include "collector/words.h"
#include "taffrail/v1/stream.pb-c.h"

enum { RESPONSE_BATCH = 1, LENGTH_DELIMITED = 2 }; /* WatchResponse.batch; protobuf's wire type */

struct watcher {
	struct reader reader;
	struct words pods, namespaces;
	uint64_t actions;           /* bit 1 << enum event_action; 0: all */
	uint64_t passed_over, told; /* events; how many of them it knows of */
};

struct query {
	struct readers watchers;
	struct wire_batch *batch;
};

static struct watcher *watcher_of(struct reader *reader)
{
	return (struct watcher *)reader;
}

/* Of each watcher its reader. */
#define for_each_reader(reader, query)                                                                                 \
	for (struct reader *reader = LIST_FIRST(&(query)->watchers.list); reader; reader = LIST_NEXT(reader, entry))

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
	if (bytes->failed ||
		grpc_stream_send_owned(watcher->reader.stream, bytes->data, bytes->length, release, bytes) < 0) {
		wire_bytes_free(bytes);
		return false;
	}
	return true;
}

static void watch_events(
	struct watcher *watcher, struct wire_batch *batch, const struct wire_events *events, uint64_t from)
{
	bool full = grpc_stream_queued(watcher->reader.stream) >= QUERY_QUEUED_MAX;
	uint64_t first = 0, last = 0, count = 0;

	for (size_t i = 0; i < events->count; i++) {
		const struct event *event = &events->events[i];

		if (event->sequence < from || !matches(watcher, event))
			continue;
		first = count++ ? first : event->sequence;
		last = event->sequence;
		if (!full)
			wire_batch_add(batch, event);
	}
	if (count == 0)
		return;
	if (full || !send_batch(watcher, wire_batch_finish(batch, &events->host, first, last)))
		watcher->passed_over += count;
}

void query_missed(struct query *query, uint64_t events)
{
	for_each_reader(reader, query) watcher_of(reader)->passed_over += events;
}

void query_events(struct query *query, const struct wire_events *events, uint64_t first)
{
	for_each_reader(reader, query) if (reader->asked) watch_events(watcher_of(reader), query->batch, events, first);
}

/* --- the stream ------------------------------------------------------------------------------------------------------ */

static const char *ask(struct reader *reader, const uint8_t *bytes, size_t length, char *room, size_t size)
{
	Taffrail__V1__WatchRequest *filter = taffrail__v1__watch_request__unpack(NULL, length, bytes);
	const char *why = "the request cannot be read";

	if (!filter)
		return why;
	why = take_filter(watcher_of(reader), filter, room, size);
	taffrail__v1__watch_request__free_unpacked(filter, NULL);
	return why;
}

/* It reads again, and learns what it missed though nothing else may match for long. */
static void writable(struct reader *reader)
{
	struct watcher *watcher = watcher_of(reader);
	struct buffer bytes = {0};

	if (watcher->told == watcher->passed_over)
		return;
	put_passed_over(watcher, &bytes);
	if (!bytes.failed)
		(void)grpc_stream_send(reader->stream, bytes.data, bytes.length);
	buffer_free(&bytes);
}

static void forget(struct reader *reader)
{
	struct watcher *watcher = watcher_of(reader);

	words_free(&watcher->pods);
	words_free(&watcher->namespaces);
}

static const struct reader_kind watch_kind = {
	.path = "/taffrail.v1.Query/Watch",
	.size = sizeof(struct watcher),
	.max = QUERY_WATCHERS_MAX,
	.too_many = "too many watch this collector already",
	.ask = ask,
	.writable = writable,
	.release = forget,
};

struct grpc_handler query_watch_handler(struct query *query)
{
	return readers_handler(&query->watchers);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

int query_open(struct query **out)
{
	struct query *query = calloc(1, sizeof(*query));
	int error;

	if (!query)
		return -ENOMEM;
	readers_init(&query->watchers, &watch_kind, query);
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
