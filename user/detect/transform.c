/* SPDX-License-Identifier: Apache-2.0 */
/* Transformers: what tolower(), b64(), join() and the others make of fields. */
#include "detect/evaluator.h"

static bool make_text(struct rules_evaluator *evaluator, struct text from, char (*of)(char byte), struct text *to)
{
	char *bytes = field_room(&evaluator->extraction, from.length);

	if (!bytes)
		return false;
	for (size_t i = 0; i < from.length; i++)
		bytes[i] = of(from.data[i]);
	*to = (struct text){bytes, from.length};
	return true;
}

static char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

static char upper(char byte)
{
	return byte >= 'a' && byte <= 'z' ? (char)(byte & ~0x20) : byte;
}

static int base64_value(char byte)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = byte ? strchr(digits, byte) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* RFC 4648. False if it is no base64. */
static bool decode_base64(struct rules_evaluator *evaluator, struct text from, struct text *to)
{
	size_t length = from.length, out = 0;
	uint32_t bits = 0;
	char *bytes;

	while (length > 0 && from.length - length < 2 && from.data[length - 1] == '=')
		length--;
	bytes = field_room(&evaluator->extraction, length);
	if (!bytes || length % 4 == 1)
		return false;
	for (size_t i = 0; i < length; i++) {
		int value = base64_value(from.data[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 > 0)
			bytes[out++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
	}
	*to = (struct text){bytes, out};
	return true;
}

static struct text base_name(struct text path)
{
	const char *slash = path.length > 0 ? memrchr(path.data, '/', path.length) : NULL;
	size_t skip = slash ? (size_t)(slash - path.data) + 1 : 0;

	return (struct text){path.data + skip, path.length - skip};
}

static bool transform_one(
	struct rules_evaluator *evaluator, enum transformer transformer, const struct value *from, struct value *to)
{
	switch (transformer) {
	case TOLOWER: return make_text(evaluator, from->text, lower, &to->text);
	case TOUPPER: return make_text(evaluator, from->text, upper, &to->text);
	case B64: return decode_base64(evaluator, from->text, &to->text);
	case BASENAME: to->text = base_name(from->text); return true;
	default: *to = *from; return true;
	}
}

/* Each value by itself; if one cannot be transformed, there is none. */
static void transform_each(struct rules_evaluator *evaluator, const struct slot *slot, struct values *values)
{
	const struct values *input = evaluator_values(evaluator, slot->inputs[0]);
	struct value *made = &values->one;

	if (!input->known)
		return;
	if (input->count != 1) {
		made = field_room(&evaluator->extraction, input->count * sizeof(*made));
		if (!made)
			return;
		values->more = made;
	}
	for (size_t i = 0; i < input->count; i++)
		if (!transform_one(evaluator, slot->transformer, values_at(input, i), &made[i]))
			return;
	values->count = input->count;
	values->known = true;
}

static void length_of(struct rules_evaluator *evaluator, const struct slot *slot, struct values *values)
{
	const struct values *input = evaluator_values(evaluator, slot->inputs[0]);
	const struct slot *first = &evaluator->rules->program.slots[slot->inputs[0]];

	if (!input->known)
		return;
	if (first->shape == FIELD_LIST || input->count != 1)
		field_give_number(values, (int64_t)input->count);
	else
		field_give_number(values, (int64_t)input->one.text.length);
}

static void add_value(struct field_text *text, enum field_type type, const struct value *value)
{
	switch (type) {
	case FIELD_TEXT: field_text_add(text, value->text); break;
	case FIELD_NUMBER: field_text_number(text, value->number); break;
	case FIELD_BOOLEAN: field_text_add(text, value->number ? TEXT_LITERAL("true") : TEXT_LITERAL("false")); break;
	default: field_text_address(text, &value->address); break;
	}
}

/* concat(): all inputs behind one another; join(): the values of those behind the first with the first between. */
static void join(struct rules_evaluator *evaluator, const struct slot *slot, struct values *values)
{
	const struct slot *slots = evaluator->rules->program.slots;
	bool concat = slot->transformer == CONCAT, some = false;
	struct text between = {0};
	struct field_text text;

	/* First all inputs: each may be put together in the same room. */
	for (size_t i = 0; i < slot->input_count; i++)
		if (!evaluator_values(evaluator, slot->inputs[i])->known)
			return;
	if (!concat && evaluator_values(evaluator, slot->inputs[0])->count == 0)
		return;
	if (!concat)
		between = values_at(evaluator_values(evaluator, slot->inputs[0]), 0)->text;
	text = field_text_begin(&evaluator->extraction);
	for (size_t i = concat ? 0 : 1; i < slot->input_count; i++) {
		const struct values *input = evaluator_values(evaluator, slot->inputs[i]);

		for (size_t k = 0; k < input->count; k++, some = true) {
			if (some)
				field_text_add(&text, between);
			add_value(&text, slots[slot->inputs[i]].type, values_at(input, k));
		}
	}
	field_give_any_text(values, field_text_end(&text));
}

static struct text next_word(struct text *text)
{
	struct text word;
	const char *blank;

	while (text->length > 0 && *text->data == ' ')
		*text = (struct text){text->data + 1, text->length - 1};
	blank = text->length > 0 ? memchr(text->data, ' ', text->length) : NULL;
	word = (struct text){text->data, blank ? (size_t)(blank - text->data) : text->length};
	*text = (struct text){text->data + word.length, text->length - word.length};
	return word;
}

enum { OPTIONS_MAX = 64 };

/* The options of one word, "-abVALUE": letters, and what those with a `:` in `known` take. */
static size_t read_options(
	struct text word, struct text known, struct text *arguments, struct value *found, size_t count)
{
	for (size_t i = 1; i < word.length && count + 2 <= OPTIONS_MAX; i++) {
		const char *letter = memchr(known.data, word.data[i], known.length);

		if (!letter || word.data[i] == ':')
			continue;
		found[count++].text = (struct text){word.data + i, 1};
		if (letter + 1 == known.data + known.length || letter[1] != ':')
			continue;
		found[count++].text = i + 1 < word.length ? (struct text){word.data + i + 1, word.length - i - 1}
							  : next_word(arguments);
		break;
	}
	return count;
}

/* getopt(arguments, "ab:"): the list of the options that are there, each letter followed by what it takes. */
static void options(struct rules_evaluator *evaluator, const struct slot *slot, struct values *values)
{
	const struct values *input = evaluator_values(evaluator, slot->inputs[0]);
	struct text known = evaluator->rules->program.slots[slot->inputs[1]].word, arguments, word;
	struct value *found;
	size_t count = 0;

	if (!input->known || input->count != 1 || known.length == 0)
		return;
	found = field_room(&evaluator->extraction, OPTIONS_MAX * sizeof(*found));
	if (!found)
		return;
	arguments = input->one.text;
	while (count + 2 <= OPTIONS_MAX) {
		word = next_word(&arguments);
		if (word.length == 0 || text_equal(word, TEXT_LITERAL("--")))
			break;
		if (word.length > 1 && word.data[0] == '-' && word.data[1] != '-')
			count = read_options(word, known, &arguments, found, count);
	}
	*values = (struct values){.known = true, .count = count, .more = found};
	if (count == 1)
		values->one = found[0];
}

void evaluator_transform(struct rules_evaluator *evaluator, const struct slot *slot, struct values *values)
{
	switch (slot->transformer) {
	case LEN: length_of(evaluator, slot, values); break;
	case JOIN:
	case CONCAT: join(evaluator, slot, values); break;
	case GETOPT: options(evaluator, slot, values); break;
	default: transform_each(evaluator, slot, values); break;
	}
}
