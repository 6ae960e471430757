/* SPDX-License-Identifier: Apache-2.0 */
/* A list of words of a reader's request: an empty one allows all. */
#ifndef TAFFRAIL_COLLECTOR_WORDS_H
#define TAFFRAIL_COLLECTOR_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Bytes of a request: 256 words of the longest names in each of its lists. What else stands in it is kept by nobody. */
enum { WORDS_REQUEST_MAX = 128 << 10 };

/* All zero: it is empty. */
struct words {
	char **items;
	size_t count;
};

/* Takes a list out of a message of protobuf-c's that was unpacked without an allocator; the message has none then. */
void words_take(struct words *words, char ***items, size_t *count);

bool words_allow(const struct words *words, struct text word);

void words_free(struct words *words);

#endif
