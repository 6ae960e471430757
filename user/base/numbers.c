/* SPDX-License-Identifier: Apache-2.0 */
#include "base/numbers.h"

#include <errno.h>
#include <stdlib.h>

enum { ROOM_MIN = 64 };

int numbers_add(struct numbers *numbers, uint64_t number)
{
	if (numbers->count == numbers->room) {
		size_t room = numbers->room ? 2 * numbers->room : ROOM_MIN;
		uint64_t *items = reallocarray(numbers->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		numbers->items = items;
		numbers->room = room;
	}
	numbers->items[numbers->count++] = number;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

void numbers_sort(struct numbers *numbers)
{
	if (numbers->count > 0)
		qsort(numbers->items, numbers->count, sizeof(*numbers->items), compare);
}

bool numbers_have(const struct numbers *numbers, uint64_t number)
{
	return numbers->count > 0 &&
	       bsearch(&number, numbers->items, numbers->count, sizeof(*numbers->items), compare) != NULL;
}

void numbers_free(struct numbers *numbers)
{
	free(numbers->items);
	*numbers = (struct numbers){0};
}
