/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/output.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "collector/cursor.h"
#include "collector/sinks/ecs_json.h"

enum {
	WAITING_MAX = 4 << 20, /* bytes; beyond, the output is left behind and goes on from the store later */
	CATCH_UP = 1 << 20,    /* bytes at a time from the store, so that the loop gets its turn */
	RETRY_MS = 1000,
};

static const struct output_kind *const kinds[] = {
	&ecs_json_kind,
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct output {
	struct output_options options;
	char *spec;
	const struct output_kind *kind;
	void *sink;
	struct cursor cursor;       /* up to where all is written */
	struct store_position next; /* up to where all is added */
	bool live;                  /* `next` is the end of the store, as far as it was handed to us */
	bool broken, said;
	uint64_t events;
	struct event *again, *writable;
};

/* The kind of a spec, and its target; NULL: there is none. */
static const struct output_kind *find_kind(const char *spec, const char **target)
{
	size_t length = strcspn(spec, ":");

	for (size_t i = 0; i < KINDS; i++) {
		if (strlen(kinds[i]->name) != length || strncmp(kinds[i]->name, spec, length) != 0)
			continue;
		*target = spec + length + (spec[length] == ':');
		return **target ? kinds[i] : NULL;
	}
	return NULL;
}

int output_check(const char *spec, char *why, size_t why_size)
{
	const char *target;
	size_t length;

	if (find_kind(spec, &target))
		return 0;
	length = (size_t)snprintf(why, why_size, "\"%.200s\" is no output; there are", spec);
	for (size_t i = 0; i < KINDS && length < why_size; i++)
		length += (size_t)snprintf(why + length, why_size - length, "%s %s:TARGET (%s)", i ? "," : "",
			kinds[i]->name, kinds[i]->targets);
	return -EINVAL;
}

/* --- events in ------------------------------------------------------------------------------------------------------- */

static int add_events(struct output *output, const struct wire_events *events, uint64_t first)
{
	for (size_t i = 0; i < events->count; i++)
		if (events->events[i].sequence >= first) {
			if (output->kind->add(output->sink, &events->events[i]) < 0)
				return -ENOMEM;
			output->events++;
		}
	return 0;
}

static void fall_behind(struct output *output)
{
	if (output->live)
		log_limited("output %s: it is too slow; it goes on from the store", output->spec);
	output->live = false;
}

void output_miss(struct output *output)
{
	output->live = false;
}

void output_add(struct output *output, const struct wire_events *events, uint64_t first, struct store_position end)
{
	if (!output->live || output->broken)
		return;
	if (output->kind->waiting(output->sink) > WAITING_MAX || add_events(output, events, first) < 0)
		fall_behind(output);
	else
		output->next = end;
}

/* One frame of the store. */
static bool add_frame(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct output *output = context;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];
	int error = wire_read(&events, frame->batch.data, frame->batch.length, why);

	if (error == -EBADMSG)
		log_limited("output %s: a stored batch is passed over: %s", output->spec, why);
	if (!error) {
		error = add_events(output, &events, frame->first);
		wire_free(&events);
	}
	if (error == -ENOMEM)
		return false;
	output->next = end;
	return output->kind->waiting(output->sink) < CATCH_UP;
}

/* Adds more from the store. 0: there is no more; 1: there is; or -errno. */
static int catch_up(struct output *output)
{
	const struct store_reader reader = {add_frame, output};
	struct store_position position = output->next;
	int result = store_read(output->options.store, &position, &reader);

	if (result == 0) {
		output->next = position;
		output->live = true;
		if (output->kind->caught_up)
			output->kind->caught_up(output->sink);
	}
	return result;
}

/* --- lines out ------------------------------------------------------------------------------------------------------- */

static void try_again(struct output *output, unsigned wait_ms)
{
	const struct timeval wait = {wait_ms / 1000, (long)(wait_ms % 1000) * 1000};

	(void)event_add(output->again, &wait);
}

static void fail(struct output *output, int error)
{
	if (error == -EPIPE) {
		output->broken = true;
		log_error("output %s: its reader went away", output->spec);
		output->options.on_broken(output->options.context);
		return;
	}
	if (!output->said)
		log_error("output %s: %s: it goes on from the store once it can", output->spec, strerror(-error));
	output->said = true;
	try_again(output, RETRY_MS);
}

static int note_place(struct output *output)
{
	return cursor_move(
		&output->cursor, output->next, output->kind->mark ? output->kind->mark(output->sink) : CURSOR_NO_MARK);
}

/* One step: writes, notes how far, takes more from the store. 0: all is out; 1: there is more; or -errno. */
static int step(struct output *output)
{
	int result = output->kind->flush(output->sink);

	if (!result)
		result = note_place(output);
	if (result || output->live)
		return result;
	result = catch_up(output);
	return result < 0 ? result : 1;
}

void output_flush(struct output *output)
{
	int result;

	if (output->broken)
		return;
	result = step(output);
	if (result == -EAGAIN) {
		if (event_add(output->writable, NULL) < 0)
			try_again(output, RETRY_MS);
	} else if (result < 0) {
		fail(output, result);
	} else {
		output->said = false;
		if (result > 0)
			try_again(output, 0);
	}
}

void output_figures(const struct output *output, struct output_figures *figures)
{
	*figures = (struct output_figures){
		.spec = output->spec,
		.behind_bytes = store_distance(output->options.store, output->cursor.at),
		.events = output->events,
		.failing = output->broken || output->said,
	};
}

void output_finish(struct output *output, unsigned idle_ms, uint64_t until_ns)
{
	uint64_t idle_ns = idle_ms * 1000000ull, now_ns = clock_boottime_ns(), deadline_ns = now_ns + idle_ns;
	struct pollfd ready = {.fd = output->kind->fd(output->sink), .events = POLLOUT};
	int result = output->broken ? 0 : 1;

	while (result != 0 && (now_ns = clock_boottime_ns()) < deadline_ns && now_ns < until_ns) {
		if (result == -EAGAIN)
			(void)poll(&ready, 1, (int)((deadline_ns - now_ns) / 1000000) + 1);
		else if (result < 0)
			break;
		else
			deadline_ns = now_ns + idle_ns;
		result = step(output);
	}
	if (result == -EPIPE)
		fail(output, result);
	else if (result != 0)
		log_warning("output %s: %s; the rest is in the store, and comes at the next start", output->spec,
			result > 0 || result == -EAGAIN ? "it is too slow" : strerror(-result));
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static void on_again(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	output_flush(context);
}

static int open_events(struct output *output)
{
	output->again = evtimer_new(output->options.base, on_again, output);
	output->writable = event_new(output->options.base, output->kind->fd(output->sink), EV_WRITE, on_again, output);
	return output->again && output->writable ? 0 : -ENOMEM;
}

int output_open(struct output **out, const struct output_options *options, char *why, size_t why_size)
{
	struct output *output = calloc(1, sizeof(*output));
	const char *target = "";
	bool fresh = true;
	int error = 0;

	snprintf(why, why_size, "output %s: out of memory", options->spec);
	if (!output)
		return -ENOMEM;
	output->options = *options;
	output->cursor.fd = -1;
	output->spec = strdup(options->spec);
	output->kind = find_kind(options->spec, &target);
	if (!output->spec || !output->kind)
		error = output->kind ? -ENOMEM : output_check(options->spec, why, why_size);
	error = error ? error : output->kind->open(&output->sink, target, why, why_size);
	error = error ? error : cursor_open(&output->cursor, options->data, options->spec, &fresh, why, why_size);
	if (!error && !fresh && output->kind->resume) {
		error = output->kind->resume(output->sink, output->cursor.mark);
		if (error)
			snprintf(why, why_size, "output %s: what it holds cannot be read: %s", options->spec,
				strerror(-error));
	}
	error = error ? error : open_events(output);
	output->next = fresh ? store_end(options->store) : output->cursor.at;
	/* At once: killed before anything was written it would begin behind what came meanwhile. */
	if (!error && fresh) {
		error = note_place(output);
		if (error)
			snprintf(why, why_size, "output %s: where it is cannot be noted: %s", options->spec,
				strerror(-error));
	}
	if (error) {
		output_close(output);
		return error;
	}
	try_again(output, 0); /* what was stored while this output was away */
	*out = output;
	return 0;
}

void output_close(struct output *output)
{
	if (!output)
		return;
	if (output->again)
		event_free(output->again);
	if (output->writable)
		event_free(output->writable);
	cursor_close(&output->cursor);
	if (output->sink)
		output->kind->close(output->sink);
	free(output->spec);
	free(output);
}
