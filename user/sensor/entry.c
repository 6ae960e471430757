/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

enum { CONTAINERS_MAX = 1 << 14 };

/* A container whose first process has been seen. */
struct entered {
	struct table_node node;
	struct entered *newer;
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
};

struct entry_table {
	struct table containers;
	struct entered *oldest, *newest;
};

int entry_open(struct entry_table **out)
{
	struct entry_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table_init(&table->containers);
	*out = table;
	return 0;
}

static bool matches(const struct table_node *node, const void *id)
{
	return memcmp(table_entry(node, struct entered, node)->id, id, EVENT_CONTAINER_ID_SIZE) == 0;
}

static void forget_oldest(struct entry_table *table)
{
	struct entered *entered = table->oldest;

	table->oldest = entered->newer;
	if (!table->oldest)
		table->newest = NULL;
	table_remove(&table->containers, &entered->node);
	free(entered);
}

/* Is this the first process to come into its container? */
static bool is_first(struct entry_table *table, const uint8_t *id)
{
	uint64_t hash = hash_bytes(id, EVENT_CONTAINER_ID_SIZE);
	struct entered *entered;

	if (table_find(&table->containers, hash, matches, id))
		return false;
	if (table_count(&table->containers) >= CONTAINERS_MAX)
		forget_oldest(table);
	entered = calloc(1, sizeof(*entered));
	if (!entered)
		return true;
	memcpy(entered->id, id, sizeof(entered->id));
	if (table_insert(&table->containers, &entered->node, hash) < 0) {
		free(entered);
		return true;
	}
	*(table->newest ? &table->newest->newer : &table->oldest) = entered;
	table->newest = entered;
	return true;
}

static bool is_runtime(const struct event_process *process)
{
	static const char *const names[] = {
		"runc", "crun", "youki", "runsc", "containerd-shim", "conmon", "conmonrs", "dockerd", "docker-init"};

	for (size_t i = 0; process && i < sizeof(names) / sizeof(names[0]); i++)
		if (text_starts_with(process->name, text_of(names[i])))
			return true;
	return false;
}

enum event_entry entry_judge(struct entry_table *table, const struct event_process *image)
{
	bool first = image->in_container && is_first(table, image->container_id);

	if (image->in_container && (first || image->vpid == 1))
		return EVENT_ENTRY_CONTAINER;
	if (is_runtime(image->parent) || (image->parent && is_runtime(image->parent->parent)))
		return EVENT_ENTRY_RUNTIME_EXEC;
	return EVENT_ENTRY_UNKNOWN;
}

void entry_close(struct entry_table *table)
{
	if (!table)
		return;
	while (table->oldest)
		forget_oldest(table);
	table_free(&table->containers);
	free(table);
}
