/* SPDX-License-Identifier: Apache-2.0 */
/* Hosts, and bounds of what is known of their epochs (store.h). */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "collector/store_inside.h"

enum { SLOTS_MIN = 64, KEPT_WHEN_FULL = 2 };

/* A full account takes half a kilobyte, a folded one 48 bytes and its share of the free slots. */
const struct store_limits store_limits_default = {
	.hosts = 65536, /* as OWNERS_MAX */
	.kept = 64,
	.full = 1024,
	.epochs = 65536,
	.all_full = 128 << 10,
	.each_full = 16,
	.all = 1 << 20,
	.each = 128,
};

void store_set_limits(struct store *store, const struct store_limits *limits)
{
	store->limits = *limits;
}

void store_counters(const struct store *store, struct store_counters *counters)
{
	*counters = store->counters;
	counters->hosts = table_count(&store->hosts);
	counters->epochs = table_count(&store->sources);
	counters->epochs_folded = store->folded.count;
	counters->hosts_forgotten = table_count(&store->forgotten);
}

/* --- hosts -------------------------------------------------------------------------------------------------------------- */

static bool host_matches(const struct table_node *node, const void *wanted)
{
	const struct store_host *host = table_entry(node, struct store_host, node);
	const struct text *id = wanted;

	return text_equal((struct text){host->id, host->id_length}, *id);
}

struct store_host *store_find_host(const struct store *store, struct text id)
{
	struct table_node *node = table_find(&store->hosts, hash_bytes(id.data, id.length), host_matches, &id);

	return node ? table_entry(node, struct store_host, node) : NULL;
}

struct store_host *store_add_host(struct store *store, struct text id)
{
	struct store_host *host = calloc(1, sizeof(*host) + id.length);

	if (!host)
		return NULL;
	TAILQ_INIT(&host->sources);
	memcpy(host->id, id.data, id.length);
	host->id_length = id.length;
	if (table_insert(&store->hosts, &host->node, hash_bytes(id.data, id.length)) < 0) {
		free(host);
		return NULL;
	}
	return host;
}

void store_free_hosts(struct store *store)
{
	struct table_node *node;

	table_for_each(&store->hosts, node) {
		struct store_host *host = table_entry(node, struct store_host, node);

		if (host->sum)
			store_release_source(host->sum);
		free(host);
	}
	table_free(&store->hosts);
	free(store->folded.slots);
}

/* --- the folded ones ---------------------------------------------------------------------------------------------------- */

/* Where this epoch is, or is to be. The slots are never all taken. */
static struct store_folded *find_slot(
	const struct store_folded_set *set, const struct store_host *host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	size_t at = store_hash(host->node.hash, epoch) & (set->room - 1);

	while (set->slots[at].host &&
		(set->slots[at].host != host || memcmp(set->slots[at].epoch, epoch, EVENT_EPOCH_SIZE) != 0))
		at = (at + 1) & (set->room - 1);
	return &set->slots[at];
}

const struct store_folded *store_find_folded(
	const struct store *store, struct text id, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct store_host *host = store->folded.count > 0 ? store_find_host(store, id) : NULL;
	const struct store_folded *slot = host && host->folded > 0 ? find_slot(&store->folded, host, epoch) : NULL;

	return slot && slot->host ? slot : NULL;
}

void store_raise_folded(struct store *store, const struct segment_frame *frame)
{
	struct store_folded *slot =
		(struct store_folded *)(uintptr_t)store_find_folded(store, frame->host, frame->epoch);

	if (slot && frame->last > slot->made)
		slot->made = frame->last;
}

/* At most three quarters are taken. */
static bool grow(struct store_folded_set *set)
{
	struct store_folded_set larger = {.room = set->room ? 2 * set->room : SLOTS_MIN, .count = set->count};

	if (set->count < set->room / 4 * 3)
		return true;
	larger.slots = calloc(larger.room, sizeof(*larger.slots));
	if (!larger.slots)
		return false;
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i].host)
			*find_slot(&larger, set->slots[i].host, set->slots[i].epoch) = set->slots[i];
	free(set->slots);
	*set = larger;
	return true;
}

static bool make_sum(struct store_host *host)
{
	if (host->sum)
		return true;
	host->sum = calloc(1, sizeof(*host->sum));
	if (!host->sum)
		return false;
	host->sum->host = host;
	host->sum->references = 1;
	return true;
}

/* Of these another collector has a row, which only this one's shows to be closed (cli/status_show.c). */
static bool is_shared(const struct store_source *source)
{
	return source->synced.elsewhere > 0;
}

static bool fold_source(struct store *store, struct store_source *source)
{
	struct store_host *host = source->host;
	struct store_folded *slot;

	if (source->pending || source->dirty || !grow(&store->folded) || !make_sum(host) ||
		!account_fold(&host->sum->synced, &source->synced))
		return false;
	slot = find_slot(&store->folded, host, source->epoch);
	*slot = (struct store_folded){.host = host,
		.made = source->synced.made,
		.seen = source->synced.books.seen,
		.settled = source->synced.books.settled};
	memcpy(slot->epoch, source->epoch, EVENT_EPOCH_SIZE);
	store->folded.count++;
	host->folded++;
	/* The newest says best what the host is called. */
	free(host->sum->words);
	host->sum->words = source->words;
	source->words = NULL;
	store_drop_source(store, source);
	return true;
}

static void fold_to(struct store *store, struct store_host *host, size_t keep, bool shared_too)
{
	struct store_source *source = TAILQ_FIRST(&host->sources), *next;

	for (; source && host->full >= keep; source = next) {
		next = TAILQ_NEXT(source, host_entry);
		if (shared_too || !is_shared(source))
			(void)fold_source(store, source);
	}
}

/* Those of the host that are too many and have told all become a part of its sum. */
static void fold_host(struct store *store, struct store_host *host)
{
	const struct store_limits *limits = &store->limits;
	bool is_tight = table_count(&store->sources) >= limits->all_full;

	fold_to(store, host, is_tight && limits->kept > KEPT_WHEN_FULL ? KEPT_WHEN_FULL : limits->kept, is_tight);
	/* Long before new ones would be refused for their sake. */
	fold_to(store, host, limits->kept > limits->full / 2 ? limits->kept : limits->full / 2, true);
}

/* --- room --------------------------------------------------------------------------------------------------------------- */

static bool is_near(size_t count, size_t limit)
{
	return count >= limit - limit / 5;
}

static void warn_near(const struct store *store, struct store_host *host)
{
	const struct store_limits *limits = &store->limits;
	char name[SEGMENT_HOST_MAX + 1];

	if (host->warned || (!is_near(host->full, limits->full) && !is_near(host->full + host->folded, limits->epochs)))
		return;
	host->warned = true;
	memcpy(name, host->id, host->id_length);
	name[host->id_length] = '\0';
	utf8_defuse(name, host->id_length);
	log_warning(
		"%s: the host %s has %zu epochs, of which %zu have not told all; at %zu, or %zu of those, new ones are "
		"refused",
		store->path, name, host->full + host->folded, host->full, limits->epochs, limits->full);
}

/*
 * Beyond `all` a host may have as many as each would if all had the same, so that it is those who have most that get no more;
 * and beyond twice as many only `each`: hosts that come one by one are shared with anew.
 */
static bool has_share(const struct store *store, size_t epochs)
{
	const struct store_limits *limits = &store->limits;

	if (store->folded.count < limits->all || epochs < limits->each)
		return true;
	return store->folded.count < 2 * limits->all && epochs < limits->all / table_count(&store->hosts);
}

int store_make_room_for_epoch(struct store *store, struct store_host *host)
{
	const struct store_limits *limits = &store->limits;
	size_t epochs;

	if (!host)
		return table_count(&store->hosts) < limits->hosts ? 0 : -EUSERS;
	fold_host(store, host);
	warn_near(store, host);
	epochs = host->full + host->folded;
	if (host->full >= limits->full || epochs >= limits->epochs)
		return -EUSERS;
	if (table_count(&store->sources) >= limits->all_full && host->full >= limits->each_full)
		return -EUSERS;
	return has_share(store, epochs) ? 0 : -EUSERS;
}
