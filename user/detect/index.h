/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rules of a call can an event meet? Two things say so before any of them is asked.
 *
 * Gates: parts that many rules have in common and that cost little, such as "was it opened for writing?". Where one does not
 * hold, its rules are out at once.
 *
 * Words: of most rules a part must hold that compares a field with words: = and in by the whole value, startswith and
 * endswith by its ends, contains by four bytes of the word, glob by a piece without wildcards. The words of all fields are in one
 * table, so a text is gone through once, however many fields have it and however many words are looked for.
 */
#ifndef TAFFRAIL_DETECT_INDEX_H
#define TAFFRAIL_DETECT_INDEX_H

#include "detect/program.h"

enum index_kind { INDEX_VALUE, INDEX_WHOLE, INDEX_PREFIX, INDEX_SUFFIX, INDEX_PIECE };

enum { INDEX_PIECE_SIZE = 4, INDEX_END_SIZE = 8, INDEX_GATES_MAX = 12, INDEX_HITS_MAX = 64, INDEX_TEXTS_MAX = 8 };

/* That a word in a field makes a rule possible. */
struct index_lead {
	uint32_t field; /* place in index.fields */
	uint32_t rule;  /* place in the call's list */
};

struct index_word {
	struct table_node node;
	struct text text; /* INDEX_VALUE: the value's bytes */
	enum index_kind kind;
	struct index_lead *leads;
	size_t lead_count;
};

struct index_gate {
	uint32_t node;
	uint64_t *others; /* the rules that do not need it, a bit each */
};

struct index_field {
	uint32_t slot;
	uint32_t kinds;  /* that there are words of: bits 1 << enum index_kind */
	uint64_t *rules; /* that it leads to */
};

struct index {
	size_t words;     /* of 64 rules each */
	uint64_t *all;    /* the call's rules */
	uint64_t *always; /* those that no word leads to */
	struct index_gate *gates;
	size_t gate_count;
	struct index_field *fields;
	size_t field_count;
	struct table table;    /* of index_word */
	uint64_t *filter;      /* bits of hashes: most texts have none of the words */
	size_t filter_mask;    /* in bits */
	uint32_t head_lengths; /* INDEX_PREFIX, INDEX_SUFFIX: of what is hashed of the words, a bit for each length */
	uint32_t tail_lengths;
};

/* What one event was looked at for. Only the counts need to be zero at first. */
struct index_look {
	const struct index *index;
	size_t text_count, hit_count;
	bool full; /* there were more words than hits have room for: any rule may be meant */
	struct {
		struct text text;
		uint32_t kinds;    /* of words that were looked for in it */
		size_t first, end; /* hits */
	} texts[INDEX_TEXTS_MAX];
	const struct index_word *hits[INDEX_HITS_MAX];
};

/* Sets the bits of the rules that wait for a word in this value of a field. */
void index_look(
	struct index_look *look, uint32_t field, enum field_type type, const struct value *value, uint64_t *rules);

/* The hash by which a word is found. */
uint64_t index_word_hash(enum index_kind kind, struct text text);

/* What is hashed of the start or end of a word of this length. */
size_t index_end_size(size_t length);

/* The bit of the filter for a hash. */
static inline size_t index_filter_bit(const struct index *index, uint64_t hash)
{
	return hash >> 20 & index->filter_mask;
}

void index_free(struct index *index);

#endif
