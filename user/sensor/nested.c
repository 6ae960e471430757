/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/nested.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/recent.h"

/* A cgroup's id is never given to another while the machine runs: its upper half is a generation (kernfs). */
struct key {
	uint64_t cgroup_id;
	uint64_t v1;
};

struct nested {
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	uint8_t inner_id[EVENT_CONTAINER_ID_SIZE];
};

struct nested_table {
	struct recent *cgroups;
};

int nested_open(struct nested_table **out)
{
	struct nested_table *table = calloc(1, sizeof(*table));

	if (!table || recent_open(&table->cgroups, sizeof(struct key), sizeof(struct nested), NESTED_MAX) < 0) {
		free(table);
		return -ENOMEM;
	}
	*out = table;
	return 0;
}

static struct key key_of(const struct kernel_header *header)
{
	return (struct key){header->cgroup_id, header->flags & KERNEL_CGROUP_V1};
}

void nested_note(struct nested_table *table, const struct record *record)
{
	struct key key = key_of(record->header);
	struct nested *nested = recent_find(table->cgroups, &key);

	if (!nested)
		nested = recent_add(table->cgroups, &key);
	if (!nested)
		return;
	memcpy(nested->container_id, record->header->container_id, sizeof(nested->container_id));
	memcpy(nested->inner_id, record->nested->inner_id, sizeof(nested->inner_id));
}

const uint8_t *nested_find(const struct nested_table *table, const struct record *record)
{
	struct key key = key_of(record->header);
	const struct nested *nested =
		record->header->marks & KERNEL_IN_NESTED ? recent_find(table->cgroups, &key) : NULL;

	/* Of v1 each hierarchy counts for itself: of equal numbers the one that is this container's. */
	if (!nested || memcmp(nested->container_id, record->header->container_id, sizeof(nested->container_id)) != 0)
		return NULL;
	return nested->inner_id;
}

void nested_close(struct nested_table *table)
{
	if (!table)
		return;
	recent_close(table->cgroups);
	free(table);
}
