/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as a tree in which every part knows its place. */
#ifndef TAFFRAIL_DETECT_DOCUMENT_H
#define TAFFRAIL_DETECT_DOCUMENT_H

#include "detect/source.h"

enum document_shape { DOCUMENT_WORD, DOCUMENT_SEQUENCE, DOCUMENT_MAPPING };

struct document_node {
	enum document_shape shape;
	uint32_t place, end; /* of its first byte, and behind its last */
	struct text word;    /* DOCUMENT_WORD; with a NUL behind it */
	bool quoted;         /* a word in quotes: an empty one was meant */
	struct document_node **items;
	struct document_node **keys; /* DOCUMENT_MAPPING: as many as items; words */
	size_t count, key_count;
};

/*
 * Reads a file's documents: calls `each` with the root of each that is not empty. 0, or -EINVAL after a problem was
 * noted, or what `each` returned. Trees are the arena's of `sources`.
 */
int document_read(struct sources *sources, const struct source_file *file,
	int (*each)(void *context, const struct document_node *root), void *context);

/* The member of a mapping, or NULL. The first one counts where a key is said twice, as in Falco. */
const struct document_node *document_member(const struct document_node *mapping, const char *key);

/* Is it a word without content, or `~`, or `null`? */
bool document_is_nothing(const struct document_node *node);

/* Takes a decimal number off the words, which end with a NUL: at most nine digits. False if there is none. */
bool document_take_number(const char **words, uint32_t *number);

/* Writes the place of each byte of a word: `places` has room for word.length + 1. */
void document_places(const struct sources *sources, const struct document_node *node, uint32_t *places);

#endif
