/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/stores.h"

#include <string.h>

struct store_id store_id_of(const void *bytes, size_t length)
{
	struct store_id id = {0};

	if (length == sizeof(id.bytes))
		memcpy(id.bytes, bytes, sizeof(id.bytes));
	return id;
}

bool store_is(const struct store_id *a, const struct store_id *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool store_has_name(const struct store_id *id)
{
	return !store_is(id, &(const struct store_id){0});
}

void stores_note(struct stores *stores, const struct store_id *id, uint64_t sequence)
{
	struct store_mark *least = &stores->marks[0];

	for (size_t i = 0; i < STORES_MAX; i++) {
		struct store_mark *mark = &stores->marks[i];

		if (mark->sequence > 0 && store_is(&mark->id, id)) {
			if (sequence > mark->sequence)
				mark->sequence = sequence;
			return;
		}
		if (mark->sequence < least->sequence)
			least = mark;
	}
	if (sequence > least->sequence)
		*least = (struct store_mark){*id, sequence};
}

uint64_t stores_find(const struct stores *stores, const struct store_id *id)
{
	for (size_t i = 0; i < STORES_MAX; i++)
		if (stores->marks[i].sequence > 0 && store_is(&stores->marks[i].id, id))
			return stores->marks[i].sequence;
	return 0;
}

uint64_t stores_highest(const struct stores *stores)
{
	uint64_t highest = 0;

	for (size_t i = 0; i < STORES_MAX; i++)
		if (stores->marks[i].sequence > highest)
			highest = stores->marks[i].sequence;
	return highest;
}
