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

	return memcmp(source->epoch, key->epoch, EVENT_EPOCH_SIZE) == 0 && source->host_length == key->host.length &&
	       memcmp(source->host, key->host.data, key->host.length) == 0;
}

/* An epoch alone is as good as unique. */
struct store_source *store_find(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct source_key key = {host, epoch};
	struct table_node *node =
		table_find(&store->sources, hash_bytes(epoch, EVENT_EPOCH_SIZE), source_matches, &key);

	return node ? table_entry(node, struct store_source, node) : NULL;
}

struct store_source *store_find_or_add(struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	struct store_source *source = store_find(store, host, epoch);

	if (source)
		return source;
	source = calloc(1, sizeof(*source) + host.length);
	if (!source)
		return NULL;
	memcpy(source->epoch, epoch, EVENT_EPOCH_SIZE);
	memcpy(source->host, host.data, host.length);
	source->host_length = host.length;
	if (table_insert(&store->sources, &source->node, hash_bytes(epoch, EVENT_EPOCH_SIZE)) < 0) {
		free(source);
		return NULL;
	}
	return source;
}

uint64_t store_synced(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct store_source *source = store_find(store, host, epoch);

	return source ? source->synced.made : 0;
}

uint64_t store_appended(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct store_source *source = store_find(store, host, epoch);

	return source ? store_source_appended(source)->made : 0;
}

const struct account *store_account(
	const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE], bool synced)
{
	const struct store_source *source = store_find(store, host, epoch);

	if (!source)
		return NULL;
	return synced ? &source->synced : store_source_appended(source);
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

int store_sources(const struct store *store, const struct store_source ***out, size_t *count)
{
	const struct store_source **sources = calloc(table_count(&store->sources) + 1, sizeof(struct store_source *));
	struct table_node *node;

	if (!sources)
		return -ENOMEM;
	*count = 0;
	table_for_each(&store->sources, node) {
		const struct store_source *source = table_entry(node, struct store_source, node);

		if (!account_is_empty(&source->synced))
			sources[(*count)++] = source;
	}
	*out = sources;
	return 0;
}

void store_source_view(const struct store_source *source, struct store_epoch *view)
{
	const char *words = source->words ? source->words : "\0\0";

	*view = (struct store_epoch){.host = {.id = {source->host, source->host_length}}, .account = &source->synced};
	view->host.name = text_of(words);
	view->host.boot_id = text_of(words + view->host.name.length + 1);
	view->host.cluster = text_of(view->host.boot_id.data + view->host.boot_id.length + 1);
	memcpy(view->host.epoch, source->epoch, EVENT_EPOCH_SIZE);
}

void store_free_sources(struct store *store)
{
	struct table_node *node;

	table_for_each(&store->sources, node) {
		struct store_source *source = table_entry(node, struct store_source, node);

		free(source->pending);
		free(source->words);
		free(source);
	}
	table_free(&store->sources);
}
