/* SPDX-License-Identifier: Apache-2.0 */
/* A condition's text while it is put together: from several files, with the items of lists in it. */
#ifndef TAFFRAIL_DETECT_PHRASE_H
#define TAFFRAIL_DETECT_PHRASE_H

#include "detect/document.h"

enum { PHRASE_MAX = 4 << 20 };

/* All memory is the arena's; what grows out of it stays there until the arena goes. */
struct phrase {
	struct arena *arena;
	char *bytes;
	uint32_t *places; /* of each byte, and one more for the end */
	size_t length, room;
	bool failed; /* memory was short, or PHRASE_MAX reached: the text is not whole */
};

/* Appends a word of a file. */
void phrase_add_node(struct phrase *phrase, const struct sources *sources, const struct document_node *node);
/* Appends text that stands for something at `place`. */
void phrase_add(struct phrase *phrase, struct text text, uint32_t place);
/* Appends another phrase. */
void phrase_add_phrase(struct phrase *phrase, const struct phrase *other);
/* Appends an item of a list or a value of an exception: in double quotes if there is a blank in it, and none around it. */
void phrase_add_item(struct phrase *phrase, struct text item, uint32_t place);

/*
 * Puts `items` wherever the list's name stands by itself: between blanks, parentheses, commas or `=`. A list without
 * items takes a comma beside it away. True if it stood anywhere.
 */
bool phrase_replace_list(struct phrase *phrase, struct text name, const struct text *items, size_t count);

#endif
