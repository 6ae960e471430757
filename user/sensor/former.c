/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/former.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum {
	SPAN_MAX = 1 << 24, /* numbers that one batch may have: as many as a collector stores at once */
	LOOK_MIN_S = 2,
	LOOK_MAX_S = 60,
};

static const uint64_t second_ns = 1000ull * 1000 * 1000;
static const uint64_t number_max = 1ull << 62; /* no sensor counts so far */

/* What a life can have made of its records: findings of each, and what comes without one. */
static const uint64_t made_of_one = 64, made_of_none = 1ull << 32;

struct former {
	struct event_host host;
	char texts[4][LEDGER_TEXT_MAX + 1];
	uint64_t started_ns, ended_ns;
	uint64_t seen, kinds;
	struct stores stores;
	struct ledger_batch made;
	struct ledger_batch durable; /* the highest that is stored, or on the spool, and whose books are known */
	uint64_t stored;             /* up to here nothing has to be accounted for any more */
	uint64_t next;               /* the number that the next closing batch starts with */
	bool said, done;
	bool waits; /* until formers_begin */
	void *owner;
};

struct formers {
	struct former_ops ops;
	struct former *lives[FORMER_MAX]; /* by their starts */
	size_t count;
	bool looking;
	uint64_t look_ns, pause_s; /* when `look` is asked next, and the time to the one after that */
};

int formers_open(struct formers **out, const struct former_ops *ops)
{
	struct formers *formers = calloc(1, sizeof(*formers));

	if (!formers)
		return -ENOMEM;
	formers->ops = *ops;
	*out = formers;
	return 0;
}

static void copy_text(char to[LEDGER_TEXT_MAX + 1], struct text *text)
{
	size_t length = text->length < LEDGER_TEXT_MAX ? text->length : LEDGER_TEXT_MAX;

	if (length > 0)
		memcpy(to, text->data, length);
	*text = (struct text){to, length};
}

/*
 * Its ledger is what the worker wrote, who may have been anybody: the counters beside are the kernel's. The bound is for
 * the number of batches that it takes to close the epoch.
 */
static uint64_t made_at_most(uint64_t claimed, uint64_t counted)
{
	const uint64_t most = (counted < number_max / made_of_one ? counted * made_of_one : number_max) + made_of_none;

	if (claimed <= most)
		return claimed;
	log_warning("a former life of this sensor claims %llu events and had %llu records: its epoch is closed behind "
		    "%llu",
		(unsigned long long)claimed, (unsigned long long)counted, (unsigned long long)most);
	return most;
}

static struct former *new_former(const struct ledger_view *ledger, uint64_t counted, void *owner)
{
	struct former *former = calloc(1, sizeof(*former));
	struct text *texts[4];

	if (!former)
		return NULL;
	former->host = ledger->life.host;
	texts[0] = &former->host.id;
	texts[1] = &former->host.name;
	texts[2] = &former->host.boot_id;
	texts[3] = &former->host.cluster;
	for (int i = 0; i < 4; i++)
		copy_text(former->texts[i], texts[i]);
	former->started_ns = ledger->life.started_ns;
	former->ended_ns = ledger->alive_ns;
	former->kinds = ledger->kinds;
	former->stores = ledger->stores;
	former->seen = counted + ledger->found + ledger->repeats;
	former->made = ledger->made;
	former->made.last = made_at_most(former->made.last, counted);
	if (ledger->acknowledged.last <= former->made.last)
		former->durable = ledger->acknowledged;
	former->stored = former->durable.last;
	former->next = former->stored + 1;
	former->owner = owner;
	return former;
}

int formers_add(struct formers *formers, const struct ledger_view *ledger, uint64_t counted, void *owner)
{
	struct former *former = new_former(ledger, counted, owner), *youngest = NULL;
	size_t at = formers->count;

	if (!former)
		return -ENOMEM;
	while (at > 0 && formers->lives[at - 1]->started_ns > former->started_ns)
		at--;
	if (formers->count == FORMER_MAX)
		youngest = at == FORMER_MAX || formers->looking ? former : formers->lives[--formers->count];
	former->waits = formers->looking;
	if (youngest != former) {
		memmove(&formers->lives[at + 1], &formers->lives[at], (formers->count - at) * sizeof(former));
		formers->lives[at] = former;
		formers->count++;
	}
	if (!youngest)
		return 0;
	formers->ops.left(formers->ops.context, youngest->owner);
	free(youngest);
	return -ENOBUFS;
}

void formers_look(struct formers *formers, uint64_t now_ns)
{
	if (!formers || !formers->ops.look || now_ns < formers->look_ns)
		return;
	if (formers->look_ns > 0 && formers->count < FORMER_MAX) {
		formers->looking = true;
		if (formers->ops.look(
			    formers->ops.context)) /* it may end soon: a sensor that takes another one's place */
			formers->pause_s = 0;
		formers->looking = false;
	}
	formers->pause_s = formers->pause_s == 0 ? LOOK_MIN_S : 2 * formers->pause_s;
	if (formers->pause_s > LOOK_MAX_S)
		formers->pause_s = LOOK_MAX_S;
	formers->look_ns = now_ns + formers->pause_s * second_ns;
}

bool formers_wait(const struct formers *formers)
{
	for (size_t i = 0; formers && i < formers->count; i++)
		if (formers->lives[i]->waits)
			return true;
	return false;
}

void formers_begin(struct formers *formers)
{
	for (size_t i = 0; formers && i < formers->count; i++)
		formers->lives[i]->waits = false;
}

struct former *formers_find(const struct formers *formers, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	for (size_t i = 0; formers && i < formers->count; i++)
		if (!formers->lives[i]->waits && memcmp(formers->lives[i]->host.epoch, epoch, EVENT_EPOCH_SIZE) == 0)
			return formers->lives[i];
	return NULL;
}

struct former *formers_oldest(const struct formers *formers)
{
	for (size_t i = 0; formers && i < formers->count; i++)
		if (!formers->lives[i]->waits)
			return formers->lives[i];
	return NULL;
}

void formers_remove(struct formers *formers, struct former *former)
{
	size_t at = 0;

	while (formers->lives[at] != former)
		at++;
	memmove(&formers->lives[at], &formers->lives[at + 1], (--formers->count - at) * sizeof(former));
	formers->ops.done(formers->ops.context, former->owner);
	free(former);
}

void formers_close(struct formers *formers)
{
	if (!formers)
		return;
	for (size_t i = 0; i < formers->count; i++) {
		formers->ops.left(formers->ops.context, formers->lives[i]->owner);
		free(formers->lives[i]);
	}
	free(formers);
}

/* --- one of them ------------------------------------------------------------------------------------------------------- */

const struct event_host *former_host(const struct former *former)
{
	return &former->host;
}

const struct stores *former_stores(const struct former *former)
{
	return &former->stores;
}

uint64_t former_acknowledged(const struct former *former)
{
	return former->stored;
}

uint64_t former_last(const struct former *former)
{
	return former->made.last + 1;
}

static void advance(struct former *former, uint64_t stored)
{
	if (stored > former->stored)
		former->stored = stored;
	/* A number is in the ledger before a collector can have it. One that says more than that is believed. */
	if (stored > former->made.last)
		former->made.last = stored;
}

/* A batch is safe, or stored: what its books say needs no declaration. */
static void note(struct former *former, uint64_t last, const struct wire_books *books)
{
	if (last < former->durable.last || (last == former->durable.last && former->durable.closed))
		return;
	if (books)
		former->durable = (struct ledger_batch){
			last, books->settled, wire_books_declared(books), former->durable.time_ns, books->closed};
	else if (last != former->made.last)
		return;
	else
		former->durable = former->made;
	if (last != former->made.last)
		return;
	if (former->made.time_ns > 0)
		former->durable.time_ns = former->made.time_ns;
	if (!books) /* told as lost, by the spool: nobody was told that it was the last one */
		former->durable.closed = false;
}

void former_greeted(struct former *former, uint64_t stored, const struct wire_books *books)
{
	/* That number is only the closing batch's. */
	const bool closed = !books && stored == former->made.last + 1;

	if (stored > number_max)
		stored = number_max;
	note(former, stored, books);
	if (closed)
		former->durable = (struct ledger_batch){.last = stored, .closed = true};
	advance(former, stored);
	former->next = former->stored + 1;
}

void former_passed(struct former *former, struct text up, uint64_t last)
{
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	if (up.length < WIRE_UP_HEADER ||
		wire_read(&events, up.data + WIRE_UP_HEADER, up.length - WIRE_UP_HEADER, why) < 0)
		return;
	note(former, last, events.has_books ? &events.books : NULL);
	wire_free(&events);
	if (last >= former->next)
		former->next = last + 1;
}

void former_acknowledge(struct former *former, uint64_t sequence)
{
	uint64_t closing = former->made.last + 1;

	if (sequence >= former->next) /* what was not sent nobody has */
		sequence = former->next - 1;
	if (sequence >= closing)
		former->done = true;
	else
		advance(former, sequence);
	/* It said itself that nothing more comes. */
	if (former->durable.closed && former->stored >= former->durable.last)
		former->done = true;
}

bool former_is_done(const struct former *former)
{
	return former->done;
}

/* --- what is said for it ----------------------------------------------------------------------------------------------- */

/* What was told, within what was seen: the bytes of a ledger may say anything. Returns the rest. */
static uint64_t count_lost(const struct former *former, uint64_t *settled)
{
	uint64_t rest;

	*settled = former->durable.settled < former->seen ? former->durable.settled : former->seen;
	rest = former->seen - *settled;
	return former->durable.declared < rest ? rest - former->durable.declared : 0;
}

static void tell_lost(struct former *former, struct wire_batch *batch, uint64_t count, uint64_t first, uint64_t last)
{
	uint64_t start_ns = former->durable.time_ns;
	struct event event = {
		.action = EVENT_LOST,
		.sequence = last,
		.time_ns = clock_unix_ns(),
		.count = 1,
		.host = &former->host,
		.lost = {.count = count,
			.kinds = count > 0 ? former->kinds : 0,
			.stage = TEXT_LITERAL("sensor"),
			.cpu = -1,
			.first = first,
			.last = last,
			.start_ns = start_ns > former->started_ns ? start_ns : former->started_ns,
			.end_ns = former->ended_ns},
	};

	if (event.lost.end_ns < event.lost.start_ns)
		event.lost.end_ns = event.lost.start_ns;
	wire_batch_add(batch, &event);
	if (!former->said)
		log_warning("a former life of this sensor %s: %llu records that it had not told are declared lost",
			former->made.closed ? "ended before a collector had all of it" : "was killed",
			(unsigned long long)count);
	former->said = true;
}

struct buffer *former_next(struct former *former, uint64_t *first, uint64_t *last)
{
	uint64_t closing = former->made.last + 1, events = 0, settled, lost = count_lost(former, &settled);
	struct wire_books books = {.seen = former->seen, .settled = settled};
	struct wire_batch *batch;
	struct buffer *up;

	if (former->next > closing || former->durable.closed || former->done || wire_batch_open(&batch) < 0)
		return NULL;
	*first = former->next;
	*last = closing - *first >= SPAN_MAX ? *first + SPAN_MAX - 1 : closing;
	/* What was settled is told, and all else is declared now, or was before. */
	books.closed = *last == closing;
	books.undeclared = books.closed ? 0 : lost;
	wire_batch_books(batch, &books);
	if (books.closed)
		events = lost > 0 || former->durable.last < former->made.last;
	if (events > 0)
		tell_lost(former, batch, lost, former->stored + 1, *last);
	wire_batch_taken_out(batch, *last - *first + 1 - events);
	up = wire_batch_finish(batch, &former->host, *first, *last);
	wire_batch_close(batch);
	if (up)
		former->next = *last + 1;
	return up;
}
