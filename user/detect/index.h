/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rules of a call can an event meet? Of most rules' conditions a part must hold that compares one field with
 * words: = and in by the whole text, startswith and endswith by its ends, contains by four bytes of the word. One look at
 * the field finds the rules whose words are there; the others need not be asked.
 */
#ifndef TAFFRAIL_DETECT_INDEX_H
#define TAFFRAIL_DETECT_INDEX_H

#include "detect/program.h"

enum index_kind { INDEX_WHOLE, INDEX_PREFIX, INDEX_SUFFIX, INDEX_PIECE };

enum { INDEX_ENDS_MAX = 63, INDEX_PIECE_SIZE = 4, INDEX_FILTER_WORDS = 32 };

struct index_entry {
	struct table_node node;
	struct text key; /* of texts; of other values their bytes */
	uint32_t *rules; /* positions in the call's list */
	size_t rule_count;
};

/* The words that one field is looked at for, in one way. */
struct index_table {
	uint32_t slot;
	enum index_kind kind;
	struct table entries;
	uint64_t lengths;                    /* INDEX_PREFIX, INDEX_SUFFIX: of the words, a bit each */
	uint64_t filter[INDEX_FILTER_WORDS]; /* a bit for the hash of each word: most texts have none of them */
	size_t rule_count;                   /* that it leads to */
};

struct index {
	size_t words;     /* of 64 rules each */
	uint64_t *always; /* rules that have no such part */
	struct index_table *tables;
	size_t table_count;
};

/* The bytes of a value that is no text, as a key. `room` is where a number is put. */
struct text index_key(enum field_type type, const struct value *value);

/* Sets the bits of the rules that wait for one of the texts' parts. */
void index_look(const struct index_table *table, enum field_type type, const struct value *value, uint64_t hash,
	uint64_t *rules);

void index_free(struct index *index);

#endif
