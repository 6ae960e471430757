/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is given back at once: what a set of rules is made of lives and dies with the set. */
#ifndef TAFFRAIL_DETECT_ARENA_H
#define TAFFRAIL_DETECT_ARENA_H

#include <stddef.h>

#include "base/text.h"

struct arena_block;

/* All zero: empty. */
struct arena {
	struct arena_block *blocks; /* the newest first */
	size_t taken;               /* bytes, of all blocks */
};

/* `bytes` of zeroed memory, aligned for any type; NULL without memory, or past 512 MiB. It is the arena's. */
void *arena_take(struct arena *arena, size_t bytes);

/* A copy of `text`, with a NUL behind it; data is NULL without memory. */
struct text arena_copy(struct arena *arena, struct text text);

/*
 * Room for one more item of `size` bytes in an array of `count`, which grows by doubling and may move: `items` points to
 * the pointer to it. Returns the new item, zeroed, and adds to `count`; NULL without memory, and nothing has changed.
 */
void *arena_append(struct arena *arena, void *items, size_t *count, size_t size);

/* Gives all of it back; may run twice. */
void arena_free(struct arena *arena);

#endif
