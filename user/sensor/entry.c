/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/entry.h"

#include <errno.h>
#include <stdlib.h>

#include "base/recent.h"

enum { CONTAINERS_MAX = 1 << 14 };

struct entry_table {
	struct recent *containers; /* whose first process has been seen */
};

int entry_open(struct entry_table **out)
{
	struct entry_table *table = calloc(1, sizeof(*table));

	if (!table || recent_open(&table->containers, EVENT_CONTAINER_ID_SIZE, 0, CONTAINERS_MAX) < 0) {
		free(table);
		return -ENOMEM;
	}
	*out = table;
	return 0;
}

/* Is this the first process to come into its container? */
static bool is_first(struct entry_table *table, const uint8_t *id)
{
	if (recent_find(table->containers, id))
		return false;
	(void)recent_add(table->containers, id);
	return true;
}

void entry_note(struct entry_table *table, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	(void)is_first(table, id);
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
	recent_close(table->containers);
	free(table);
}
