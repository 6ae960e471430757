/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/phrase.h"

static bool reserve(struct phrase *phrase, size_t more)
{
	size_t room = phrase->room ? phrase->room : 256;
	uint32_t *places;
	char *bytes;

	if (phrase->failed || more > PHRASE_MAX || phrase->length + more > PHRASE_MAX) {
		phrase->failed = true;
		return false;
	}
	if (phrase->bytes && phrase->length + more < phrase->room)
		return true;
	while (room <= phrase->length + more)
		room *= 2;
	bytes = arena_take(phrase->arena, room);
	places = arena_take(phrase->arena, room * sizeof(*places));
	if (!bytes || !places) {
		phrase->failed = true;
		return false;
	}
	if (phrase->length > 0) {
		memcpy(bytes, phrase->bytes, phrase->length);
		memcpy(places, phrase->places, (phrase->length + 1) * sizeof(*places));
	}
	phrase->bytes = bytes;
	phrase->places = places;
	phrase->room = room;
	return true;
}

void phrase_add_node(struct phrase *phrase, const struct sources *sources, const struct document_node *node)
{
	if (!reserve(phrase, node->word.length))
		return;
	memcpy(phrase->bytes + phrase->length, node->word.data, node->word.length);
	document_places(sources, node, phrase->places + phrase->length);
	phrase->length += node->word.length;
}

void phrase_add(struct phrase *phrase, struct text text, uint32_t place)
{
	if (!reserve(phrase, text.length))
		return;
	if (text.length > 0)
		memcpy(phrase->bytes + phrase->length, text.data, text.length);
	for (size_t i = 0; i <= text.length; i++)
		phrase->places[phrase->length + i] = place;
	phrase->length += text.length;
}

static void add_part(struct phrase *phrase, const struct phrase *other, size_t from, size_t to)
{
	if (from >= to || !reserve(phrase, to - from))
		return;
	memcpy(phrase->bytes + phrase->length, other->bytes + from, to - from);
	memcpy(phrase->places + phrase->length, other->places + from, (to - from + 1) * sizeof(*other->places));
	phrase->length += to - from;
}

void phrase_add_phrase(struct phrase *phrase, const struct phrase *other)
{
	phrase->failed = phrase->failed || other->failed;
	add_part(phrase, other, 0, other->length);
}

void phrase_add_item(struct phrase *phrase, struct text item, uint32_t place)
{
	bool quote =
		item.length > 0 && memchr(item.data, ' ', item.length) && item.data[0] != '"' && item.data[0] != '\'';

	if (quote)
		phrase_add(phrase, TEXT_LITERAL("\""), place);
	phrase_add(phrase, item, place);
	if (quote)
		phrase_add(phrase, TEXT_LITERAL("\""), place);
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static bool is_border(char byte)
{
	return is_blank(byte) || byte == '(' || byte == ')' || byte == ',' || byte == '=';
}

/* Where the name stands by itself, from `from` on; phrase->length for nowhere. */
static size_t find_name(const struct phrase *phrase, struct text name, size_t from)
{
	while (from < phrase->length) {
		const char *found = memmem(phrase->bytes + from, phrase->length - from, name.data, name.length);
		size_t start, end;

		if (!found)
			break;
		start = (size_t)(found - phrase->bytes);
		end = start + name.length;
		if ((start == 0 || is_border(phrase->bytes[start - 1])) &&
			(end == phrase->length || is_border(phrase->bytes[end])))
			return start;
		from = start + 1;
	}
	return phrase->length;
}

bool phrase_replace_list(struct phrase *phrase, struct text name, const struct text *items, size_t count)
{
	struct phrase result = {.arena = phrase->arena};
	size_t done = 0, start;

	if (phrase->failed || name.length == 0 || find_name(phrase, name, 0) == phrase->length)
		return false;
	while (!result.failed && (start = find_name(phrase, name, done)) < phrase->length) {
		uint32_t place = phrase->places[start];
		size_t end = start + name.length;

		while (start > done && is_blank(phrase->bytes[start - 1]))
			start--;
		while (end < phrase->length && is_blank(phrase->bytes[end]))
			end++;
		if (count == 0 && start > done && phrase->bytes[start - 1] == ',')
			start--;
		else if (count == 0 && end < phrase->length && phrase->bytes[end] == ',')
			end++;
		add_part(&result, phrase, done, start);
		phrase_add(&result, TEXT_LITERAL(" "), place);
		for (size_t i = 0; i < count; i++) {
			if (i > 0)
				phrase_add(&result, TEXT_LITERAL(", "), place);
			phrase_add_item(&result, items[i], place);
		}
		phrase_add(&result, TEXT_LITERAL(" "), place);
		done = end;
	}
	add_part(&result, phrase, done, phrase->length);
	*phrase = result;
	return true;
}
