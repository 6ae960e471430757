/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/index.h"

/* What is looked for of a value: as constant_key. */
static struct text value_key(enum field_type type, const struct value *value)
{
	if (type == FIELD_TEXT)
		return value->text;
	if (type == FIELD_ADDRESS)
		return (struct text){(const char *)value->address.bytes, field_address_size(&value->address)};
	return (struct text){(const char *)&value->number, sizeof(value->number)};
}

/* --- hashes --------------------------------------------------------------------------------------------------------------- */

/*
 * Not hash_bytes: what is hashed is short, and of those who choose what is looked for, the authors of rules, none wants them to
 * collide. A container that chooses paths can make each byte of them meet one chain of words, no more.
 */
static inline uint64_t mix(uint64_t bits, enum index_kind kind)
{
	uint64_t product = (bits ^ (uint64_t)kind << 56) * 0x9e3779b97f4a7c15ull;

	return product ^ product >> 29;
}

static inline uint64_t piece_hash(const char *bytes)
{
	uint32_t piece;

	memcpy(&piece, bytes, sizeof(piece));
	return mix(piece, INDEX_PIECE);
}

static inline uint64_t end_hash(enum index_kind kind, const char *bytes, size_t size)
{
	uint64_t bits = 0;

	if (size == INDEX_END_SIZE)
		memcpy(&bits, bytes, INDEX_END_SIZE);
	else if (size == INDEX_PIECE_SIZE)
		memcpy(&bits, bytes, INDEX_PIECE_SIZE);
	else
		for (size_t i = 0; i < size; i++)
			bits = bits << 8 | (unsigned char)bytes[i];
	return mix(bits, kind) + size;
}

size_t index_end_size(size_t length)
{
	return length >= INDEX_END_SIZE ? INDEX_END_SIZE : length >= INDEX_PIECE_SIZE ? INDEX_PIECE_SIZE : length;
}

uint64_t index_word_hash(enum index_kind kind, struct text text)
{
	size_t size = index_end_size(text.length);

	switch (kind) {
	case INDEX_VALUE: return hash_bytes(text.data, text.length);
	case INDEX_PREFIX: return end_hash(kind, text.data, size);
	case INDEX_PIECE: return piece_hash(text.data + text.length - INDEX_PIECE_SIZE);
	default: break;
	}
	/* The end of a whole text tells more than its beginning, which paths have in common. */
	return end_hash(kind, text.data + text.length - size, size) + (kind == INDEX_WHOLE ? text.length << 4 : 0);
}

/* --- looking -------------------------------------------------------------------------------------------------------------- */

static inline bool may_be_there(const struct index *index, uint64_t hash)
{
	size_t bit = index_filter_bit(index, hash);

	return index->filter[bit / 64] >> bit % 64 & 1;
}

/* Does the word stand in the text, in the way of its kind? `at`: of INDEX_PIECE, where the piece is. */
static bool stands_there(const struct index_word *word, struct text text, size_t at)
{
	struct text wanted = word->text;

	switch (word->kind) {
	case INDEX_PREFIX: return text_starts_with(text, wanted);
	case INDEX_SUFFIX: return text_ends_with(text, wanted);
	case INDEX_PIECE:
		/* Of the word these are the last bytes: many words begin alike. */
		return at + INDEX_PIECE_SIZE >= wanted.length &&
		       memcmp(text.data + at + INDEX_PIECE_SIZE - wanted.length, wanted.data, wanted.length) == 0;
	default: return text_equal(text, wanted);
	}
}

/* Not inline: it is called for one text in many. */
static __attribute__((noinline)) void find(
	struct index_look *look, enum index_kind kind, uint64_t hash, struct text text, size_t at)
{
	const struct table *table = &look->index->table;
	const struct table_node *node;

	for (node = table->chains[hash & (table->chain_count - 1)]; node; node = node->next) {
		const struct index_word *word = table_entry(node, const struct index_word, node);

		if (node->hash != hash || word->kind != kind || !stands_there(word, text, at))
			continue;
		if (look->hit_count == INDEX_HITS_MAX)
			look->full = true;
		else
			look->hits[look->hit_count++] = word;
	}
}

static inline void look_for(struct index_look *look, enum index_kind kind, uint64_t hash, struct text text, size_t at)
{
	if (may_be_there(look->index, hash))
		find(look, kind, hash, text, at);
}

static void look_at_ends(struct index_look *look, enum index_kind kind, uint32_t lengths, struct text text)
{
	for (uint32_t left = lengths; left; left &= left - 1) {
		size_t size = (size_t)__builtin_ctz(left);

		if (size > text.length)
			return;
		look_for(look, kind,
			end_hash(kind, kind == INDEX_PREFIX ? text.data : text.data + text.length - size, size), text,
			0);
	}
}

static void look_at_text(struct index_look *look, uint32_t kinds, struct text text)
{
	const struct index *index = look->index;

	if (kinds & 1u << INDEX_WHOLE)
		look_for(look, INDEX_WHOLE, index_word_hash(INDEX_WHOLE, text), text, 0);
	if (kinds & 1u << INDEX_PREFIX)
		look_at_ends(look, INDEX_PREFIX, index->head_lengths, text);
	if (kinds & 1u << INDEX_SUFFIX)
		look_at_ends(look, INDEX_SUFFIX, index->tail_lengths, text);
	if (kinds & 1u << INDEX_PIECE)
		for (size_t at = 0; at + INDEX_PIECE_SIZE <= text.length; at++)
			look_for(look, INDEX_PIECE, piece_hash(text.data + at), text, at);
}

static void set_bits(const struct index_look *look, size_t first, size_t end, uint32_t field, uint64_t *rules)
{
	for (size_t i = first; i < end; i++)
		for (size_t k = 0; k < look->hits[i]->lead_count; k++) {
			const struct index_lead *lead = &look->hits[i]->leads[k];

			if (lead->field == field)
				rules[lead->rule / 64] |= 1ull << lead->rule % 64;
		}
}

/* The text may have been another field's: it is looked at for what it was not looked at for yet. */
static void look_once(struct index_look *look, uint32_t field, struct text text, uint64_t *rules)
{
	size_t first = look->hit_count;
	uint32_t kinds = look->index->fields[field].kinds;

	for (size_t i = 0; i < look->text_count; i++)
		if (text_equal(look->texts[i].text, text)) {
			set_bits(look, look->texts[i].first, look->texts[i].end, field, rules);
			kinds &= ~look->texts[i].kinds;
		}
	if (!kinds)
		return;
	look_at_text(look, kinds, text);
	if (look->text_count < INDEX_TEXTS_MAX) {
		look->texts[look->text_count].text = text;
		look->texts[look->text_count].kinds = kinds;
		look->texts[look->text_count].first = first;
		look->texts[look->text_count].end = look->hit_count;
		look->text_count++;
	}
	set_bits(look, first, look->hit_count, field, rules);
}

void index_look(
	struct index_look *look, uint32_t field, enum field_type type, const struct value *value, uint64_t *rules)
{
	size_t first = look->hit_count;
	struct text key = value_key(type, value);

	if (type == FIELD_TEXT) {
		look_once(look, field, key, rules);
		return;
	}
	look_for(look, INDEX_VALUE, index_word_hash(INDEX_VALUE, key), key, 0);
	set_bits(look, first, look->hit_count, field, rules);
}

void index_free(struct index *index)
{
	table_free(&index->table);
}
