/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/coverage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/buffer.h"
#include "base/log.h"
#include "event/names.h"

enum {
	PROMISES_MAX = 64,
	REASON_SIZE = 96,
	MESSAGE_SIZE = 2048,
	RECORDS_MAX = 1 << 20, /* bytes; a canary makes some 20 KiB */
	FLIGHTS_MAX = 3,       /* in a row, if records were lost meanwhile */
};
/* Records that softirqs send: the end of a connection. */
static const uint64_t grace_ns = 20ull * 1000 * 1000;

struct coverage {
	struct canary_ops ops;
	const struct loader_hook *hooks;
	size_t hook_count;
	uint64_t interval_ns;

	struct canary *canary;
	struct buffer records; /* of the canary that flies, each 8-byte aligned */
	uint64_t landed_ns;    /* 0: it flies */
	uint64_t next_ns;      /* when the next one starts; UINT64_MAX: never */
	uint64_t lost;         /* when it started */
	unsigned int flights;

	bool known; /* there is a result */
	struct event_promise promises[PROMISES_MAX];
	char reasons[PROMISES_MAX][REASON_SIZE];
	char message[MESSAGE_SIZE];
	struct utsname kernel;
	struct event_coverage view;
};

/* Is `wanted` one of the promises in "open, failed exec, connect"? */
static bool serves(const struct loader_hook *hook, struct text wanted)
{
	for (const char *at = hook->promise; at; at = strchr(at, ',') ? strchr(at, ',') + 2 : NULL)
		if (text_equal((struct text){at, strcspn(at, ",")}, wanted))
			return true;
	return false;
}

static const struct loader_hook *hook_of(const struct coverage *coverage, const char *served)
{
	for (size_t i = 0; i < coverage->hook_count; i++)
		if (coverage->hooks[i].attached && serves(&coverage->hooks[i], text_of(served)))
			return &coverage->hooks[i];
	return NULL;
}

static bool is_function(const struct loader_hook *hook)
{
	return strncmp(hook->hook, "fentry", 6) == 0 || strncmp(hook->hook, "fexit", 5) == 0 ||
	       strncmp(hook->hook, "lsm", 3) == 0;
}

static const struct loader_hook *hook_served(const struct coverage *coverage, size_t promise, enum canary_served which)
{
	const char *served = canary_served(promise, which);

	return served ? hook_of(coverage, served) : NULL;
}

/* The hook that serves a promise of the canary's, or NULL. */
static const struct loader_hook *hook_of_promise(const struct coverage *coverage, size_t promise)
{
	const struct loader_hook *hook = hook_of(coverage, canary_promise(promise));

	if (hook)
		return hook;
	hook = hook_served(coverage, promise, CANARY_BY_FUNCTION);
	if (hook && is_function(hook))
		return hook;
	hook = hook_served(coverage, promise, CANARY_SERVED);
	return hook ? hook : hook_served(coverage, promise, CANARY_OTHERWISE);
}

static struct text mode_of(const struct coverage *coverage)
{
	for (size_t i = 0; i < coverage->hook_count; i++)
		if (coverage->hooks[i].attached && is_function(&coverage->hooks[i]))
			return TEXT_LITERAL("function");
	return TEXT_LITERAL("tracepoint");
}

static int start_canary(void *context)
{
	return loader_canary_start(context);
}

static bool canary_landed(void *context)
{
	return loader_canary_landed(context);
}

static void end_canary(void *context)
{
	loader_canary_end(context);
}

struct canary_ops coverage_canary(struct canary_nest *nest, struct loader *loader)
{
	return (struct canary_ops){nest, start_canary, canary_landed, end_canary, loader};
}

int coverage_open(struct coverage **out, const struct canary_ops *ops, const struct loader_hook *hooks,
	size_t hook_count, uint64_t interval_ns)
{
	struct coverage *coverage = calloc(1, sizeof(*coverage));

	if (!coverage)
		return -ENOMEM;
	coverage->ops = *ops;
	coverage->hooks = hooks;
	coverage->hook_count = hook_count;
	coverage->interval_ns = interval_ns;
	if (uname(&coverage->kernel) == 0)
		coverage->view.release = text_of(coverage->kernel.release);
	coverage->view.mode = mode_of(coverage);
	coverage->view.promises = coverage->promises;
	*out = coverage;
	return 0;
}

void coverage_take(struct coverage *coverage, const struct record *record)
{
	size_t size = record->header->size;

	if (!coverage->canary || coverage->records.length + size > RECORDS_MAX)
		return;
	buffer_append(&coverage->records, record->header, size);
	buffer_append(&coverage->records, "\0\0\0\0\0\0\0", -size % _Alignof(struct kernel_header));
}

/* --- judging ---------------------------------------------------------------------------------------------------------- */

/* NULL: a record proves it; else what is wrong with the one that came nearest, or canary_other if none came. */
static const char *find_proof(const struct coverage *coverage, size_t promise)
{
	const char *nearest = canary_other;

	for (size_t at = 0; at < coverage->records.length;) {
		const struct record record = {.header = (const void *)(coverage->records.data + at)};
		const char *differs = canary_differs(coverage->canary, promise, &record);

		if (!differs)
			return NULL;
		if (differs != canary_other)
			nearest = differs;
		at += (record.header->size + _Alignof(struct kernel_header) - 1) &
		      ~(_Alignof(struct kernel_header) - 1);
	}
	return nearest;
}

/* No record proves it. `differs`: what is wrong with the one that came nearest, or canary_other. */
static enum event_promise_state judge_unproved(
	const struct coverage *coverage, size_t promise, const char *differs, bool hook, char reason[REASON_SIZE])
{
	char room[16];
	int error;

	switch (canary_outcome(coverage->canary, promise, &error)) {
	case CANARY_REFUSED:
		snprintf(reason, REASON_SIZE, "not allowed here: %s", name_of_error(error, room));
		return EVENT_UNSUPPORTED;
	case CANARY_HUNG: snprintf(reason, REASON_SIZE, "it did not return in time"); return EVENT_MISSED;
	case CANARY_NOT_REACHED:
		snprintf(reason, REASON_SIZE, "not tried%s%s", error ? ": " : "",
			error ? name_of_error(error, room) : "");
		return EVENT_MISSED;
	case CANARY_DONE: break;
	}
	if (differs != canary_other) {
		snprintf(reason, REASON_SIZE, "recorded with another %s", differs);
		return EVENT_MISSED;
	}
	if (!hook) {
		snprintf(reason, REASON_SIZE, "no hook for it on this kernel");
		return EVENT_UNSUPPORTED;
	}
	snprintf(reason, REASON_SIZE, "no record came");
	return EVENT_MISSED;
}

/* One promise. Returns whether its state is another than before. */
static bool judge_promise(struct coverage *coverage, size_t i)
{
	struct event_promise *promise = &coverage->promises[i];
	const struct loader_hook *hook = hook_of_promise(coverage, i);
	const char *differs = find_proof(coverage, i);
	char reason[REASON_SIZE] = "";
	enum event_promise_state state =
		differs ? judge_unproved(coverage, i, differs, hook != NULL, reason) : EVENT_SEEN;
	bool changed;

	changed = !coverage->known || state != promise->state || strcmp(reason, coverage->reasons[i]) != 0;
	memcpy(coverage->reasons[i], reason, sizeof(reason));
	*promise = (struct event_promise){
		text_of(canary_promise(i)), text_of(hook ? hook->hook : ""), text_of(coverage->reasons[i]), state};
	return changed;
}

size_t coverage_number(const struct coverage *coverage, enum event_promise_state state)
{
	size_t number = 0;

	for (size_t i = 0; i < coverage->view.count; i++)
		number += coverage->promises[i].state == state;
	return number;
}

static void write_message(struct coverage *coverage)
{
	size_t length = 0, named = 0;

	for (size_t i = 0; i < coverage->view.count && length < sizeof(coverage->message); i++)
		if (coverage->promises[i].state == EVENT_MISSED)
			length += (size_t)snprintf(coverage->message + length, sizeof(coverage->message) - length,
				"%s%s (%s)", named++ ? ", " : "The sensor does not see: ", canary_promise(i),
				coverage->reasons[i]);
	if (named == 0)
		coverage->message[0] = '\0';
}

static enum coverage_news judge(struct coverage *coverage, uint64_t now_ns, uint64_t lost)
{
	bool changed = false;
	size_t count = canary_count();

	for (size_t i = 0; i < count; i++)
		changed |= judge_promise(coverage, i);
	coverage->view.count = count;
	canary_close(coverage->canary);
	coverage->canary = NULL;
	buffer_clear(&coverage->records);
	coverage->next_ns = coverage->interval_ns ? now_ns + coverage->interval_ns : UINT64_MAX;
	if (coverage_number(coverage, EVENT_MISSED) > 0 && lost != coverage->lost && coverage->flights < FLIGHTS_MAX) {
		coverage->next_ns = now_ns;
		coverage->known = false; /* whatever comes of the next one is news */
		return COVERAGE_NOTHING;
	}
	coverage->flights = 0;
	coverage->known = true;
	write_message(coverage);
	return changed ? COVERAGE_NEW : COVERAGE_SAME;
}

void coverage_interval(struct coverage *coverage, uint64_t interval_ns, uint64_t now_ns)
{
	coverage->interval_ns = interval_ns;
	if (!coverage->canary && coverage->next_ns > now_ns)
		coverage->next_ns = interval_ns ? now_ns + interval_ns : UINT64_MAX;
}

static void start(struct coverage *coverage, uint64_t now_ns, uint64_t lost)
{
	int error = canary_start(&coverage->canary, &coverage->ops);

	if (error) {
		log_error("the sensor cannot try whether it sees everything: %s", strerror(-error));
		coverage->next_ns = coverage->interval_ns ? now_ns + coverage->interval_ns : UINT64_MAX;
		return;
	}
	coverage->landed_ns = 0;
	coverage->lost = lost;
	coverage->flights++;
}

enum coverage_news coverage_poll(struct coverage *coverage, uint64_t now_ns, uint64_t read_ns, uint64_t lost)
{
	if (!coverage->canary) {
		if (now_ns >= coverage->next_ns)
			start(coverage, now_ns, lost);
		return COVERAGE_NOTHING;
	}
	if (!coverage->landed_ns) {
		if (canary_poll(coverage->canary, now_ns) == CANARY_LANDED)
			coverage->landed_ns = now_ns;
		return COVERAGE_NOTHING;
	}
	return read_ns >= coverage->landed_ns + grace_ns ? judge(coverage, now_ns, lost) : COVERAGE_NOTHING;
}

bool coverage_under_way(const struct coverage *coverage)
{
	return coverage->canary != NULL;
}

const struct event_coverage *coverage_view(const struct coverage *coverage)
{
	return &coverage->view;
}

bool coverage_alert(const struct coverage *coverage, struct event_rule *rule)
{
	if (coverage->message[0] == '\0')
		return false;
	*rule = (struct event_rule){
		.name = TEXT_LITERAL("Sensor coverage is incomplete"),
		.description = TEXT_LITERAL("The sensor did something of each kind itself and did not see all of it."),
		.ruleset = TEXT_LITERAL("taffrail"),
		.message = text_of(coverage->message),
		.severity = EVENT_CRITICAL,
	};
	return true;
}

void coverage_close(struct coverage *coverage)
{
	if (!coverage)
		return;
	canary_close(coverage->canary);
	buffer_free(&coverage->records);
	free(coverage);
}
