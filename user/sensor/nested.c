/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/nested.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

/* A cgroup's id is never given to another while the machine runs: its upper half is a generation (kernfs). */
struct key {
	uint64_t cgroup_id;
	uint64_t v1;
};

struct nested {
	struct table_node node;
	struct nested *newer;
	struct key key;
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	uint8_t inner_id[EVENT_CONTAINER_ID_SIZE];
};

struct nested_table {
	struct table cgroups;
	struct nested *oldest, *newest;
};

int nested_open(struct nested_table **out)
{
	struct nested_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table_init(&table->cgroups);
	*out = table;
	return 0;
}

static struct key key_of(const struct kernel_header *header)
{
	return (struct key){header->cgroup_id, header->flags & KERNEL_CGROUP_V1};
}

static bool matches(const struct table_node *node, const void *key)
{
	return memcmp(&table_entry(node, struct nested, node)->key, key, sizeof(struct key)) == 0;
}

static struct nested *find(const struct nested_table *table, const struct key *key)
{
	struct table_node *node = table_find(&table->cgroups, hash_bytes(key, sizeof(*key)), matches, key);

	return node ? table_entry(node, struct nested, node) : NULL;
}

static void forget_oldest(struct nested_table *table)
{
	struct nested *nested = table->oldest;

	table->oldest = nested->newer;
	if (!table->oldest)
		table->newest = NULL;
	table_remove(&table->cgroups, &nested->node);
	free(nested);
}

static struct nested *add(struct nested_table *table, const struct key *key)
{
	struct nested *nested;

	if (table_count(&table->cgroups) >= NESTED_MAX)
		forget_oldest(table);
	nested = calloc(1, sizeof(*nested));
	if (!nested || table_insert(&table->cgroups, &nested->node, hash_bytes(key, sizeof(*key))) < 0) {
		free(nested);
		return NULL;
	}
	nested->key = *key;
	*(table->newest ? &table->newest->newer : &table->oldest) = nested;
	table->newest = nested;
	return nested;
}

void nested_note(struct nested_table *table, const struct record *record)
{
	struct key key = key_of(record->header);
	struct nested *nested = find(table, &key);

	if (!nested)
		nested = add(table, &key);
	if (!nested)
		return;
	memcpy(nested->container_id, record->header->container_id, sizeof(nested->container_id));
	memcpy(nested->inner_id, record->nested->inner_id, sizeof(nested->inner_id));
}

const uint8_t *nested_find(const struct nested_table *table, const struct record *record)
{
	struct key key = key_of(record->header);
	struct nested *nested = record->header->marks & KERNEL_IN_NESTED ? find(table, &key) : NULL;

	/* Of v1 each hierarchy counts for itself: of equal numbers the one that is this container's. */
	if (!nested || memcmp(nested->container_id, record->header->container_id, sizeof(nested->container_id)) != 0)
		return NULL;
	return nested->inner_id;
}

void nested_close(struct nested_table *table)
{
	if (!table)
		return;
	while (table->oldest)
		forget_oldest(table);
	table_free(&table->cgroups);
	free(table);
}
