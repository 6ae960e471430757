/* SPDX-License-Identifier: Apache-2.0 */
#include "base/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

struct item {
	struct table_node node;
	struct item *newer;
	_Alignas(max_align_t) char bytes[]; /* the value, then the key */
};

struct recent {
	struct table items;
	struct item *oldest, *newest;
	size_t key_size, value_size, limit;
};

struct wanted {
	const struct recent *recent;
	const void *key;
};

int recent_open(struct recent **out, size_t key_size, size_t value_size, size_t limit)
{
	struct recent *recent = calloc(1, sizeof(*recent));

	if (!recent)
		return -ENOMEM;
	table_init(&recent->items);
	recent->key_size = key_size;
	recent->value_size = value_size;
	recent->limit = limit;
	*out = recent;
	return 0;
}

static bool matches(const struct table_node *node, const void *key)
{
	const struct wanted *wanted = key;
	const struct item *item = table_entry(node, struct item, node);

	return memcmp(item->bytes + wanted->recent->value_size, wanted->key, wanted->recent->key_size) == 0;
}

void *recent_find(const struct recent *recent, const void *key)
{
	const struct wanted wanted = {recent, key};
	struct table_node *node = table_find(&recent->items, hash_bytes(key, recent->key_size), matches, &wanted);

	return node ? table_entry(node, struct item, node)->bytes : NULL;
}

static void forget_oldest(struct recent *recent)
{
	struct item *item = recent->oldest;

	recent->oldest = item->newer;
	if (!recent->oldest)
		recent->newest = NULL;
	table_remove(&recent->items, &item->node);
	free(item);
}

void *recent_add(struct recent *recent, const void *key)
{
	struct item *item;

	if (table_count(&recent->items) >= recent->limit)
		forget_oldest(recent);
	item = calloc(1, sizeof(*item) + recent->value_size + recent->key_size);
	if (!item || table_insert(&recent->items, &item->node, hash_bytes(key, recent->key_size)) < 0) {
		free(item);
		return NULL;
	}
	memcpy(item->bytes + recent->value_size, key, recent->key_size);
	*(recent->newest ? &recent->newest->newer : &recent->oldest) = item;
	recent->newest = item;
	return item->bytes;
}

void recent_close(struct recent *recent)
{
	if (!recent)
		return;
	while (recent->oldest)
		forget_oldest(recent);
	table_free(&recent->items);
	free(recent);
}
