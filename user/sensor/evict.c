/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/evict.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "event/wire.h"

static const struct text stage = TEXT_STATIC("spool");

struct evict {
	struct wire_batch *batch;
	uint64_t first, last; /* what was taken; none: last < first */
	uint64_t kept;        /* events in `batch` */
	uint64_t gone_last;   /* the last sequence that is taken out */
	bool told;            /* the record is in the batch */
	struct event_lost lost;
	bool has_books; /* of the last batch that had any */
	struct wire_books books;
	uint64_t total; /* events, since evict_open */
};

static void start_anew(struct evict *evict)
{
	evict->first = 1;
	evict->last = evict->kept = evict->gone_last = 0;
	evict->told = evict->has_books = false;
	evict->lost = (struct event_lost){.stage = stage, .cpu = -1};
}

int evict_open(struct evict **out)
{
	struct evict *evict = calloc(1, sizeof(*evict));
	int error = evict ? wire_batch_open(&evict->batch) : -ENOMEM;

	if (error) {
		free(evict);
		return error;
	}
	start_anew(evict);
	*out = evict;
	return 0;
}

/* What goes first: what comes by the bulk ring (opens, changes of names, dups, receives, flows) and is no finding. */
static bool is_bulk(const struct event *event)
{
	if (event->rule)
		return false;
	switch (event->action) {
	case EVENT_DUP:
	case EVENT_RECEIVE:
	case EVENT_FLOW: return true;
	default: break;
	}
	switch (event_action_category(event->action)) {
	case EVENT_FILE:
	case EVENT_CHANGE: return true;
	default: return false;
	}
}

/* A record of this file's, of an earlier time that room was short. */
static bool is_own(const struct event *event)
{
	return event->action == EVENT_LOST && text_equal(event->lost.stage, stage);
}

static bool goes(const struct event *event, enum evict_class class)
{
	if (class == EVICT_BULK)
		return is_bulk(event);
	return is_own(event) || event_action_category(event->action) != EVENT_HEALTH;
}

static void count(struct event_lost *lost, const struct event_lost *more)
{
	if (lost->count == 0 || more->first < lost->first)
		lost->first = more->first;
	if (more->last > lost->last)
		lost->last = more->last;
	/* Without a time nobody knows when. */
	if (more->start_ns && (lost->start_ns == 0 || more->start_ns < lost->start_ns))
		lost->start_ns = more->start_ns;
	if (more->end_ns > lost->end_ns)
		lost->end_ns = more->end_ns;
	lost->count += more->count;
	lost->kinds |= more->kinds;
}

static void take_out(struct evict *evict, const struct event *event)
{
	const struct event_lost one = {.count = 1,
		.kinds = 1ull << event->action,
		.first = event->sequence,
		.last = event->sequence,
		.start_ns = event->time_ns,
		.end_ns = event->time_ns};

	count(&evict->lost, is_own(event) ? &event->lost : &one);
}

/* The record, in the place of the last event that was taken out. */
static void tell(struct evict *evict)
{
	struct event event = {
		.action = EVENT_LOST,
		.sequence = evict->gone_last,
		.time_ns = clock_unix_ns(),
		.count = 1,
		.lost = evict->lost,
	};

	if (event.lost.start_ns == 0)
		event.lost.start_ns = event.lost.end_ns = event.time_ns;
	wire_batch_add(evict->batch, &event);
	evict->told = true;
}

static void extend(struct evict *evict, uint64_t first, uint64_t last)
{
	if (evict->last < evict->first)
		evict->first = first;
	evict->last = last;
}

void evict_add_missing(struct evict *evict, uint64_t first, uint64_t last)
{
	const struct event_lost missing = {.count = last - first + 1, .first = first, .last = last};

	extend(evict, first, last);
	evict->total += missing.count;
	evict->gone_last = last;
	count(&evict->lost, &missing);
}

static void split(struct evict *evict, const struct wire_events *events, enum evict_class class)
{
	for (size_t i = 0; i < events->count; i++) {
		const struct event *event = &events->events[i];

		if (goes(event, class) || is_own(event)) {
			take_out(evict, event);
			continue;
		}
		if (!evict->told && event->sequence > evict->gone_last)
			tell(evict);
		wire_batch_add(evict->batch, event);
		evict->kept++;
	}
}

int evict_add(struct evict *evict, struct text up, uint64_t first, uint64_t last, enum evict_class class)
{
	struct wire_events events;
	char why[WIRE_WHY_SIZE];
	uint64_t gone = 0, gone_last = 0;
	int error = up.length < WIRE_UP_HEADER
			    ? -EBADMSG
			    : wire_read(&events, up.data + WIRE_UP_HEADER, up.length - WIRE_UP_HEADER, why);

	if (error == -ENOMEM)
		return error;
	if (error || events.first != first || events.last != last) {
		evict_add_missing(evict, first, last);
		if (!error)
			wire_free(&events);
		return 1;
	}
	for (size_t i = 0; i < events.count; i++) {
		bool out = goes(&events.events[i], class);

		gone += out;
		evict->total += out && !is_own(&events.events[i]);
		if (out || is_own(&events.events[i]))
			gone_last = events.events[i].sequence;
	}
	if (gone > 0) {
		extend(evict, first, last);
		evict->gone_last = gone_last;
		split(evict, &events, class);
		evict->has_books |= events.has_books;
		if (events.has_books)
			evict->books = events.books;
	}
	wire_free(&events);
	return gone > 0;
}

uint64_t evict_total(const struct evict *evict)
{
	return evict->total;
}

bool evict_is_bare(const struct evict *evict)
{
	return evict->kept == 0;
}

uint64_t evict_first(const struct evict *evict)
{
	return evict->first;
}

uint64_t evict_last(const struct evict *evict)
{
	return evict->last;
}

struct buffer *evict_finish(struct evict *evict, const struct event_host *host)
{
	struct buffer *up;

	if (!evict->told)
		tell(evict);
	wire_batch_taken_out(evict->batch, evict->last - evict->first + 1 - evict->kept - 1);
	if (evict->has_books)
		wire_batch_books(evict->batch, &evict->books);
	up = wire_batch_finish(evict->batch, host, evict->first, evict->last);
	start_anew(evict);
	return up;
}

void evict_close(struct evict *evict)
{
	if (!evict)
		return;
	wire_batch_close(evict->batch);
	free(evict);
}
