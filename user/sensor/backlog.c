/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/backlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "event/wire.h"

struct backlog {
	struct backlog_options options;
	_Atomic uint64_t bytes;
	struct evict *evict;
	TAILQ_HEAD(batches, batch) batches; /* in memory, in order, behind those of the spool */
	struct batch *next;                 /* the first of them that was not sent, or NULL */
	struct batch *fresh;   /* on the spool, and still in memory: spares reading it where it can go at once */
	uint64_t last;         /* that was put, or that a collector had */
	uint64_t acknowledged; /* of this life */
	struct store_id store; /* who is spoken to */
	struct stores stores;  /* of this life, and of the former one that is sent, or was sent last */
	struct stores former_stores;
	uint8_t former_epoch[EVENT_EPOCH_SIZE];
	bool own; /* which is the one that is sent: former lives wait for the next hello */
};

int backlog_open(struct backlog **out, const struct backlog_options *options)
{
	struct backlog *backlog = calloc(1, sizeof(*backlog));
	int error = backlog ? evict_open(&backlog->evict) : -ENOMEM;

	if (error) {
		free(backlog);
		return error;
	}
	backlog->options = *options;
	TAILQ_INIT(&backlog->batches);
	*out = backlog;
	return 0;
}

struct batch *backlog_batch(struct backlog *backlog, struct buffer *bytes, uint64_t first, uint64_t last)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	*batch = (struct batch){.backlog = backlog, .bytes = bytes, .first = first, .last = last, .references = 1};
	atomic_fetch_add(&backlog->bytes, bytes->length);
	return batch;
}

void backlog_release(struct batch *batch)
{
	if (!batch || --batch->references > 0)
		return;
	atomic_fetch_sub(&batch->backlog->bytes, batch->bytes->length);
	wire_bytes_free(batch->bytes);
	free(batch);
}

uint64_t backlog_bytes(const struct backlog *backlog)
{
	return atomic_load(&backlog->bytes);
}

uint64_t backlog_taken(const struct backlog *backlog)
{
	const struct spool *spool = backlog->options.spool;

	return evict_total(backlog->evict) + (spool ? spool_taken(spool) : 0);
}

static void leave_memory(struct backlog *backlog, struct batch *batch)
{
	if (backlog->next == batch)
		backlog->next = TAILQ_NEXT(batch, entry);
	TAILQ_REMOVE(&backlog->batches, batch, entry);
	backlog_release(batch);
}

/* --- former lives ------------------------------------------------------------------------------------------------------ */

/* Those that have something on the spool come first. */
static bool on_spool(const struct backlog *backlog)
{
	return backlog->options.spool && spool_is_former(backlog->options.spool);
}

/* Whose life is to be closed when all else of its epoch was sent, if the epoch that is sent now is such a one's. */
static struct former *closing(const struct backlog *backlog)
{
	if (on_spool(backlog))
		return formers_find(backlog->options.formers, spool_host(backlog->options.spool)->epoch);
	return backlog->own ? NULL : formers_oldest(backlog->options.formers);
}

static bool is_former(const struct backlog *backlog)
{
	return on_spool(backlog) || closing(backlog);
}

/* The last batches of a former life, when a collector has all before them. */
static struct batch *next_closing(struct backlog *backlog)
{
	struct spool *spool = backlog->options.spool;
	struct former *former = closing(backlog);
	struct buffer *bytes;
	struct batch *batch;
	uint64_t first, last;

	if (!former || (on_spool(backlog) && spool_acknowledged(spool) < spool_last(spool, spool_host(spool)->epoch)))
		return NULL;
	bytes = former_next(former, &first, &last);
	batch = bytes ? backlog_batch(backlog, bytes, first, last) : NULL;
	if (!batch)
		wire_bytes_free(bytes);
	return batch;
}

/* --- bulk leaves memory ------------------------------------------------------------------------------------------------ */

/* Takes the bulk out of a batch; one that is being sent stays as it is until it comes back. */
static void take_bulk(struct backlog *backlog, struct batch *batch)
{
	struct buffer *less;
	int taken = evict_add(backlog->evict, (struct text){batch->bytes->data, batch->bytes->length}, batch->first,
		batch->last, EVICT_BULK);

	if (taken < 0)
		return;
	batch->class = EVICT_BULK;
	less = taken > 0 ? evict_finish(backlog->evict, backlog->options.host) : NULL;
	if (!less)
		return;
	atomic_fetch_add(&backlog->bytes, less->length);
	atomic_fetch_sub(&backlog->bytes, batch->bytes->length);
	wire_bytes_free(batch->bytes);
	batch->bytes = less;
}

/* Above seven eighths of the limit, down to three quarters. */
static void make_room(struct backlog *backlog)
{
	uint64_t limit = backlog->options.memory_bytes;
	struct batch *batch = TAILQ_FIRST(&backlog->batches);

	if (backlog_bytes(backlog) <= limit / 8 * 7)
		return;
	log_limited("memory for what no collector has acknowledged is short: bulk is taken out of the oldest of it");
	for (; batch && backlog_bytes(backlog) > limit / 4 * 3; batch = TAILQ_NEXT(batch, entry))
		if (batch->class == EVICT_NOTHING && batch->references == 1)
			take_bulk(backlog, batch);
}

/* --- in -------------------------------------------------------------------------------------------------------------- */

static int spool_batch(struct backlog *backlog, const struct batch *batch)
{
	return spool_append(backlog->options.spool, (struct text){batch->bytes->data, batch->bytes->length},
		batch->first, batch->last, batch->class);
}

/* What is in memory goes to the spool, in order, as far as it takes it. */
static void move_to_spool(struct backlog *backlog)
{
	struct batch *batch;

	while ((batch = TAILQ_FIRST(&backlog->batches)) && spool_batch(backlog, batch) == 0) {
		/* What was sent from memory is not sent from the spool again on the same connection. */
		if (batch != backlog->next)
			(void)spool_skip(backlog->options.spool, batch->first, batch->last);
		leave_memory(backlog, batch);
	}
}

void backlog_put(struct backlog *backlog, struct batch *batch)
{
	backlog_release(backlog->fresh);
	backlog->fresh = NULL;
	backlog->last = batch->last;
	if (backlog->options.spool) {
		move_to_spool(backlog);
		if (TAILQ_EMPTY(&backlog->batches) && spool_batch(backlog, batch) == 0) {
			backlog->fresh = batch;
			return;
		}
	}
	TAILQ_INSERT_TAIL(&backlog->batches, batch, entry);
	if (!backlog->next)
		backlog->next = batch;
	make_room(backlog);
}

/* --- out ------------------------------------------------------------------------------------------------------------- */

/* Who has acknowledged how much of it is known from its ledger; one that is gone on with is known already. */
static void begin_former(struct backlog *backlog, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct former *former = closing(backlog);

	if (memcmp(backlog->former_epoch, epoch, EVENT_EPOCH_SIZE) == 0)
		return;
	memcpy(backlog->former_epoch, epoch, EVENT_EPOCH_SIZE);
	backlog->former_stores = former ? *former_stores(former) : (struct stores){0};
}

void backlog_begin(struct backlog *backlog)
{
	formers_begin(backlog->options.formers);
	backlog->own = false;
	backlog->own = !is_former(backlog);
	if (!backlog->own)
		begin_former(backlog, backlog_host(backlog)->epoch);
}

const struct stores *backlog_stores(const struct backlog *backlog)
{
	return is_former(backlog) ? &backlog->former_stores : &backlog->stores;
}

void backlog_store(struct backlog *backlog, const struct store_id *id)
{
	backlog->store = *id;
}

/* What it has of what there is. */
static void note_store(struct backlog *backlog, uint64_t sequence)
{
	uint64_t acknowledged = backlog_acknowledged(backlog);

	stores_note(is_former(backlog) ? &backlog->former_stores : &backlog->stores, &backlog->store,
		sequence < acknowledged ? sequence : acknowledged);
}

const struct event_host *backlog_host(const struct backlog *backlog)
{
	const struct former *former = closing(backlog);

	if (on_spool(backlog))
		return spool_host(backlog->options.spool);
	return former ? former_host(former) : backlog->options.host;
}

uint64_t backlog_acknowledged(const struct backlog *backlog)
{
	const struct former *former = closing(backlog);
	uint64_t spooled = on_spool(backlog) ? spool_acknowledged(backlog->options.spool) : 0;

	if (!is_former(backlog))
		return backlog->acknowledged;
	return former && former_acknowledged(former) > spooled ? former_acknowledged(former) : spooled;
}

uint64_t backlog_last(const struct backlog *backlog)
{
	const struct former *former = closing(backlog);
	uint64_t spooled =
		on_spool(backlog) ? spool_last(backlog->options.spool, spool_host(backlog->options.spool)->epoch) : 0;

	if (!is_former(backlog))
		return backlog->last;
	return former && former_last(former) > spooled ? former_last(former) : spooled;
}

void backlog_acknowledge(struct backlog *backlog, uint64_t sequence)
{
	struct batch *batch;

	if (is_former(backlog)) {
		struct former *former = closing(backlog);

		if (on_spool(backlog))
			spool_acknowledge(backlog->options.spool, sequence);
		if (former)
			former_acknowledge(former, sequence);
		note_store(backlog, sequence);
		return;
	}
	if (sequence > backlog->last) /* what is not made yet nobody has */
		sequence = backlog->last;
	if (backlog->options.spool)
		spool_acknowledge(backlog->options.spool, sequence);
	if (sequence > backlog->acknowledged)
		backlog->acknowledged = sequence;
	while ((batch = TAILQ_FIRST(&backlog->batches)) && batch->last <= sequence)
		leave_memory(backlog, batch);
	note_store(backlog, sequence);
}

void backlog_rewind(struct backlog *backlog, uint64_t stored, const struct wire_books *books)
{
	struct former *former = closing(backlog);

	if (backlog->options.spool && (on_spool(backlog) || !former))
		spool_rewind(backlog->options.spool, stored);
	if (former)
		former_greeted(former, stored, books);
	backlog->next = TAILQ_FIRST(&backlog->batches);
	backlog_acknowledge(backlog, stored);
}

/* 1 with a batch whose reference is the caller's; 0: all of the spool was sent; -ENOMEM: try again later. */
static int next_of_spool(struct backlog *backlog, struct batch **batch)
{
	struct spool *spool = backlog->options.spool;
	struct batch *fresh = backlog->fresh;
	struct spool_batch next;
	int result;

	if (fresh && spool_skip(spool, fresh->first, fresh->last)) {
		backlog->fresh = NULL;
		*batch = fresh;
		return 1;
	}
	result = spool_next(spool, &next);
	if (result <= 0)
		return result;
	*batch = backlog_batch(backlog, next.bytes, next.first, next.last);
	if (*batch)
		return 1;
	wire_bytes_free(next.bytes);
	spool_rewind(spool, next.first - 1);
	return -ENOMEM;
}

struct batch *backlog_next(struct backlog *backlog)
{
	struct batch *batch = NULL;
	struct former *former = closing(backlog);
	int result = 0;

	if (backlog->options.spool && (on_spool(backlog) || !former))
		result = next_of_spool(backlog, &batch);
	if (batch && former)
		former_passed(former, (struct text){batch->bytes->data, batch->bytes->length}, batch->last);
	/* Behind what could not be read nothing may be sent. */
	if (result != 0)
		return batch;
	if (is_former(backlog))
		return next_closing(backlog);
	if (!backlog->next)
		return NULL;
	batch = backlog->next;
	backlog->next = TAILQ_NEXT(batch, entry);
	batch->references++;
	return batch;
}

bool backlog_turn(struct backlog *backlog)
{
	struct former *former = closing(backlog);

	if (former && !former_is_done(former))
		return false;
	if (former)
		formers_remove(backlog->options.formers, former);
	return (backlog->options.spool && spool_turn(backlog->options.spool)) || former;
}

bool backlog_is_interrupted(const struct backlog *backlog)
{
	return formers_wait(backlog->options.formers);
}

bool backlog_is_empty(const struct backlog *backlog)
{
	return !is_former(backlog) && !backlog_is_interrupted(backlog) && backlog->acknowledged == backlog->last;
}

/* --------------------------------------------------------------------------------------------------------------------- */

void backlog_tick(struct backlog *backlog, uint64_t now_ns)
{
	formers_look(backlog->options.formers, now_ns);
	if (!backlog->options.spool)
		return;
	spool_tick(backlog->options.spool, now_ns);
	move_to_spool(backlog);
}

bool backlog_close(struct backlog *backlog, bool later)
{
	uint64_t lost;
	struct batch *batch;

	if (!backlog)
		return true;
	if (backlog->options.spool)
		move_to_spool(backlog);
	batch = TAILQ_FIRST(&backlog->batches);
	lost = batch ? backlog->last - batch->first + 1 : 0;
	if (lost > 0 && (backlog->options.spool || !later))
		log_error("%llu events were not acknowledged%s%s", (unsigned long long)lost,
			backlog->options.spool ? ", and the spool could not take them" : "",
			later ? ": the next life of the sensor declares them lost" : ": they are lost");
	while ((batch = TAILQ_FIRST(&backlog->batches)))
		leave_memory(backlog, batch);
	backlog_release(backlog->fresh);
	evict_close(backlog->evict);
	free(backlog);
	return lost == 0;
}
