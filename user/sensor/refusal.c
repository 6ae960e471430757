/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/refusal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "event/wire.h"
#include "sensor/backlog.h"
#include "sensor/evict.h"

enum { TRIES = 3 };

/* As what a batch is sent. */
enum form { FORM_WHOLE, FORM_KEPT, FORM_RECORD };

struct refusal {
	struct backlog *backlog;
	struct evict *evict;
	unsigned tries_max; /* as the whole batch */
	uint8_t epoch[EVENT_EPOCH_SIZE];
	uint64_t stored; /* up to here a collector has everything */
	uint64_t sent;   /* the last sequence of this call */
	uint64_t until;  /* one by one up to here */
	/* The batch that is under way alone, or was. */
	uint64_t first, last;
	unsigned tries;
	struct batch *instead; /* it, while it may be stored as what stands in its place; NULL: it is not */
	uint64_t taken;        /* of its events, by that */
	uint64_t total;
};

int refusal_open(struct refusal **out, struct backlog *backlog, size_t collectors)
{
	struct refusal *refusal = calloc(1, sizeof(*refusal));
	int error = refusal ? evict_open(&refusal->evict) : -ENOMEM;

	if (error) {
		free(refusal);
		return error;
	}
	refusal->backlog = backlog;
	refusal->tries_max = collectors > TRIES ? (unsigned)collectors : TRIES;
	*out = refusal;
	return 0;
}

static bool one_by_one(const struct refusal *refusal)
{
	return refusal->stored < refusal->until;
}

static void forget_instead(struct refusal *refusal)
{
	backlog_release(refusal->instead);
	refusal->instead = NULL;
}

void refusal_begin(struct refusal *refusal, const uint8_t epoch[EVENT_EPOCH_SIZE], uint64_t stored)
{
	if (memcmp(refusal->epoch, epoch, EVENT_EPOCH_SIZE) != 0) {
		memcpy(refusal->epoch, epoch, EVENT_EPOCH_SIZE);
		forget_instead(refusal);
		refusal->stored = refusal->until = refusal->first = refusal->last = 0;
	}
	/* A store that has lost what it had, or another one: what is sent starts there. */
	refusal->stored = refusal->sent = stored;
}

bool refusal_may_send(const struct refusal *refusal)
{
	return !one_by_one(refusal) || refusal->sent <= refusal->stored;
}

static enum form form_of(const struct refusal *refusal)
{
	if (refusal->tries < refusal->tries_max)
		return FORM_WHOLE;
	return refusal->tries == refusal->tries_max ? FORM_KEPT : FORM_RECORD;
}

/* NULL without memory. */
static struct batch *make_instead(struct refusal *refusal, struct batch *batch, const struct event_host *host)
{
	const uint64_t before = evict_total(refusal->evict);
	struct buffer *bytes;
	struct batch *instead;
	int taken = 0;

	if (form_of(refusal) == FORM_KEPT)
		taken = evict_add(refusal->evict, (struct text){batch->bytes->data, batch->bytes->length}, batch->first,
			batch->last, EVICT_ALL);
	if (taken < 0)
		return NULL;
	if (taken == 0)
		evict_add_missing(refusal->evict, batch->first, batch->last);
	bytes = evict_finish(refusal->evict, host);
	instead = bytes ? backlog_batch(refusal->backlog, bytes, batch->first, batch->last) : NULL;
	if (!instead)
		wire_bytes_free(bytes);
	refusal->taken = evict_total(refusal->evict) - before;
	return instead;
}

struct batch *refusal_pass(struct refusal *refusal, struct batch *batch, const struct event_host *host)
{
	struct batch *instead = NULL;

	if (!one_by_one(refusal)) {
		refusal->sent = batch->last;
		return batch;
	}
	if (batch->first != refusal->first || batch->last != refusal->last) {
		refusal->first = batch->first;
		refusal->last = batch->last;
		refusal->tries = 0;
	}
	forget_instead(refusal);
	if (form_of(refusal) != FORM_WHOLE) {
		instead = make_instead(refusal, batch, host);
		if (!instead) {
			backlog_release(batch);
			return NULL;
		}
		refusal->instead = batch;
	}
	refusal->sent = batch->last;
	return instead ? instead : batch;
}

void refusal_note(struct refusal *refusal, const char *collector, const char *why)
{
	if (refusal->sent <= refusal->stored)
		return;
	if (!one_by_one(refusal)) {
		refusal->until = refusal->sent;
		return;
	}
	if (form_of(refusal) == FORM_WHOLE)
		log_limited("collector %s refuses events %llu to %llu of this sensor: %s", collector,
			(unsigned long long)refusal->first, (unsigned long long)refusal->last, why);
	if (form_of(refusal) != FORM_RECORD) {
		refusal->tries++;
		return;
	}
	refusal->tries = 0;
	log_limited("collector %s refuses what is said in the place of events %llu to %llu, too: all waits here",
		collector, (unsigned long long)refusal->first, (unsigned long long)refusal->last);
}

struct batch *refusal_stored(struct refusal *refusal, uint64_t sequence)
{
	struct batch *batch = refusal->instead;

	if (sequence > refusal->stored)
		refusal->stored = sequence;
	if (!batch || sequence < refusal->last)
		return NULL;
	refusal->instead = NULL;
	refusal->total += refusal->taken;
	return batch;
}

uint64_t refusal_total(const struct refusal *refusal)
{
	return refusal->total;
}

void refusal_close(struct refusal *refusal)
{
	if (!refusal)
		return;
	forget_instead(refusal);
	evict_close(refusal->evict);
	free(refusal);
}
