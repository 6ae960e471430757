/* SPDX-License-Identifier: Apache-2.0 */
/* Whose frames the store holds: each sensor's epochs, and their accounts. */
#include <errno.h>
#include <stdlib.h>

#include "collector/store_inside.h"

enum { WORDS = 3 };

struct source_key {
	struct text host;
	const uint8_t *epoch;
};

static bool source_matches(const struct table_node *node, const void *wanted)
{
	const struct store_source *source = table_entry(node, struct store_source, node);
	const struct source_key *key = wanted;

	return memcmp(source->epoch, key->epoch, EVENT_EPOCH_SIZE) == 0 &&
	       text_equal((struct text){source->host->id, source->host->id_length}, key->host);
}

uint64_t store_hash(uint64_t host_hash, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	uint8_t bytes[sizeof(host_hash) + EVENT_EPOCH_SIZE];

	memcpy(bytes, &host_hash, sizeof(host_hash));
	memcpy(bytes + sizeof(host_hash), epoch, EVENT_EPOCH_SIZE);
	return hash_bytes(bytes, sizeof(bytes));
}

struct store_source *store_find(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct source_key key = {host, epoch};
	uint64_t hash = store_hash(hash_bytes(host.data, host.length), epoch);
	struct table_node *node = table_find(&store->sources, hash, source_matches, &key);

	return node ? table_entry(node, struct store_source, node) : NULL;
}

static struct store_source *add_source(
	struct store *store, struct store_host *host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	struct store_source *source = calloc(1, sizeof(*source));

	if (!source)
		return NULL;
	memcpy(source->epoch, epoch, EVENT_EPOCH_SIZE);
	source->host = host;
	source->references = 1;
	if (table_insert(&store->sources, &source->node, store_hash(host->node.hash, epoch)) < 0) {
		free(source);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&host->sources, source, host_entry);
	host->full++;
	return source;
}

int store_find_or_add(struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE], bool limited,
	struct store_source **out)
{
	struct store_host *whose;
	int error;

	*out = store_find(store, host, epoch);
	if (*out)
		return 0;
	if (store_find_folded(store, host, epoch)) {
		store->counters.epochs_late++;
		return -ESTALE;
	}
	whose = store_find_host(store, host);
	error = store_make_room_for_epoch(store, whose);
	if (error && limited) {
		store->counters.epochs_refused++;
		return error;
	}
	whose = whose ? whose : store_add_host(store, host);
	*out = whose ? add_source(store, whose, epoch) : NULL;
	return *out ? 0 : -ENOMEM;
}

void store_release_source(struct store_source *source)
{
	if (--source->references > 0)
		return;
	free(source->pending);
	free(source->words);
	free(source);
}

void store_drop_source(struct store *store, struct store_source *source)
{
	table_remove(&store->sources, &source->node);
	TAILQ_REMOVE(&source->host->sources, source, host_entry);
	source->host->full--;
	store_release_source(source);
}

const struct account *store_account(
	const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE], bool synced)
{
	const struct store_source *source = store_find(store, host, epoch);
	const struct store_folded *folded = source ? NULL : store_find_folded(store, host, epoch);

	if (source)
		return synced ? &source->synced : store_source_appended(source);
	if (!folded)
		return NULL;
	*store->seen_folded = (struct account){.made = folded->made,
		.books = {.there = true, .closed = true, .seen = folded->seen, .settled = folded->settled}};
	return store->seen_folded;
}

uint64_t store_synced(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct account *account = store_account(store, host, epoch, true);

	return account ? account->made : 0;
}

uint64_t store_appended(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct account *account = store_account(store, host, epoch, false);

	return account ? account->made : 0;
}

/* --- what it says of its host ------------------------------------------------------------------------------------------ */

static struct text cut(struct text text)
{
	/* A NUL ends a string on the wire, too. */
	return (struct text){text.data,
		text.length ? strnlen(text.data, text.length < SEGMENT_HOST_MAX ? text.length : SEGMENT_HOST_MAX) : 0};
}

static bool same_words(const char *words, const struct text texts[WORDS])
{
	for (int i = 0; i < WORDS && words; i++) {
		size_t length = strlen(words);

		if (!text_equal((struct text){words, length}, texts[i]))
			return false;
		words += length + 1;
	}
	return words != NULL;
}

/* Without memory it stays as it was. */
static void note_host(struct store_source *source, const struct account_host *host)
{
	const struct text texts[WORDS] = {cut(host->name), cut(host->boot_id), cut(host->cluster)};
	size_t size = texts[0].length + texts[1].length + texts[2].length + WORDS, at = 0;
	char *words;

	if (same_words(source->words, texts) || size == WORDS)
		return;
	words = calloc(1, size);
	if (!words)
		return;
	for (int i = 0; i < WORDS; i++) {
		if (texts[i].length > 0)
			memcpy(words + at, texts[i].data, texts[i].length);
		at += texts[i].length + 1;
	}
	free(source->words);
	source->words = words;
}

void store_account_frame(struct store_source *source, struct account *account, const struct segment_frame *frame)
{
	struct account_host host;

	/* What cannot be read is missing in the account, and says so there. */
	if (account_add(account, frame, &host) == 0)
		note_host(source, &host);
}

/* --- all of them ------------------------------------------------------------------------------------------------------- */

int store_sources(const struct store *store, struct store_source ***out, size_t *count)
{
	size_t room = table_count(&store->sources) + table_count(&store->hosts) + 1;
	struct store_source **sources = calloc(room, sizeof(*sources));
	struct table_node *node;

	if (!sources)
		return -ENOMEM;
	*count = 0;
	table_for_each(&store->sources, node) {
		struct store_source *source = table_entry(node, struct store_source, node);

		if (!account_is_empty(&source->synced))
			sources[(*count)++] = source;
	}
	table_for_each(&store->hosts, node) {
		const struct store_host *host = table_entry(node, struct store_host, node);

		if (host->sum)
			sources[(*count)++] = host->sum;
	}
	for (size_t i = 0; i < *count; i++)
		sources[i]->references++;
	*out = sources;
	return 0;
}

void store_sources_free(struct store_source **sources, size_t count)
{
	for (size_t i = 0; i < count; i++)
		store_release_source(sources[i]);
	free(sources);
}

void store_source_view(const struct store_source *source, struct store_epoch *view)
{
	const char *words = source->words ? source->words : "\0\0";

	*view = (struct store_epoch){
		.host = {.id = {source->host->id, source->host->id_length}}, .account = &source->synced};
	view->host.name = text_of(words);
	view->host.boot_id = text_of(words + view->host.name.length + 1);
	view->host.cluster = text_of(view->host.boot_id.data + view->host.boot_id.length + 1);
	memcpy(view->host.epoch, source->epoch, EVENT_EPOCH_SIZE);
}

void store_free_sources(struct store *store)
{
	struct table_node *node;

	table_for_each(&store->sources, node)
		store_drop_source(store, table_entry(node, struct store_source, node));
	table_free(&store->sources);
}
