/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/arena.h"

#include <stdint.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 64 * 1024, ALIGNMENT = 16, TAKEN_MAX = 512 << 20 };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(ALIGNMENT) char bytes[];
};

void *arena_take(struct arena *arena, size_t bytes)
{
	struct arena_block *block = arena->blocks;
	size_t size;
	char *at;

	if (bytes > TAKEN_MAX || arena->taken > TAKEN_MAX - bytes)
		return NULL;
	bytes = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!block || bytes > block->size - block->used) {
		size = bytes > BLOCK_SIZE ? bytes : BLOCK_SIZE;
		block = malloc(sizeof(*block) + size);
		if (!block)
			return NULL;
		*block = (struct arena_block){.next = arena->blocks, .size = size};
		arena->blocks = block;
	}
	at = block->bytes + block->used;
	block->used += bytes;
	arena->taken += bytes;
	return memset(at, 0, bytes);
}

struct text arena_copy(struct arena *arena, struct text text)
{
	char *copy = arena_take(arena, text.length + 1);

	if (!copy)
		return (struct text){0};
	if (text.length > 0)
		memcpy(copy, text.data, text.length);
	return (struct text){copy, text.length};
}

void *arena_append(struct arena *arena, void *items, size_t *count, size_t size)
{
	char *array, *moved;

	memcpy(&array, items, sizeof(array));
	/* A power of two, or none yet: the array is full. */
	if ((*count & (*count - 1)) == 0) {
		moved = arena_take(arena, (*count ? 2 * *count : 1) * size);
		if (!moved)
			return NULL;
		if (*count)
			memcpy(moved, array, *count * size);
		array = moved;
		memcpy(items, &array, sizeof(array));
	}
	return array + (*count)++ * size;
}

void arena_free(struct arena *arena)
{
	for (struct arena_block *block = arena->blocks, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	*arena = (struct arena){0};
}
