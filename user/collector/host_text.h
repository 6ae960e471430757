/* SPDX-License-Identifier: Apache-2.0 */
/* A host's id as a word of a text file: a blank, a backslash, and what is no printable ASCII stand as \xNN. */
#ifndef TAFFRAIL_COLLECTOR_HOST_TEXT_H
#define TAFFRAIL_COLLECTOR_HOST_TEXT_H

#include "base/text.h"
#include "collector/segment.h"

enum { HOST_TEXT_MAX = 4 * SEGMENT_HOST_MAX }; /* bytes of such a word */

/* `word` has HOST_TEXT_MAX + 1 bytes; the length, and a NUL behind it. */
size_t host_text_put(char *word, struct text host);

/* The host's length, or 0: the word is no host's id. */
size_t host_text_take(char host[SEGMENT_HOST_MAX], struct text word);

#endif
