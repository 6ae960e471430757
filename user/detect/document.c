/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/document.h"

#include <errno.h>
#include <yaml.h>

#include "base/table.h"

enum { DEPTH_MAX = 32, NODES_MAX = 1 << 20 };

struct anchor {
	struct table_node node;
	struct text name;
	struct document_node *named;
};

struct reader {
	struct sources *sources;
	const struct source_file *file;
	yaml_parser_t parser;
	yaml_event_t event;
	bool event_held;
	/* libyaml counts characters: the byte of the character it spoke of last. */
	size_t character, byte;
	struct table anchors;
	size_t nodes;
};

/* How long the mark is with which some editors begin a file in UTF-8. */
static size_t byte_order_mark(const struct source_file *file)
{
	return text_starts_with(file->bytes, TEXT_LITERAL("\xef\xbb\xbf")) ? 3 : 0;
}

/* The place of a mark. Marks come in order, but for a step back now and then. */
static uint32_t place_of(struct reader *reader, yaml_mark_t mark)
{
	const struct text *bytes = &reader->file->bytes;

	if (mark.index < reader->character) {
		reader->character = 0;
		reader->byte = byte_order_mark(reader->file);
	}
	while (reader->character < mark.index && reader->byte < bytes->length) {
		reader->byte++;
		while (reader->byte < bytes->length && ((unsigned char)bytes->data[reader->byte] & 0xc0) == 0x80)
			reader->byte++;
		reader->character++;
	}
	return reader->file->base + (uint32_t)reader->byte;
}

static uint32_t event_place(struct reader *reader)
{
	return place_of(reader, reader->event.start_mark);
}

static int next(struct reader *reader)
{
	uint32_t place;

	if (reader->event_held)
		yaml_event_delete(&reader->event);
	reader->event_held = false;
	if (!yaml_parser_parse(&reader->parser, &reader->event)) {
		/* Of bytes that are no text it tells the offset only. */
		place = reader->parser.error == YAML_READER_ERROR
				? reader->file->base + (uint32_t)reader->parser.problem_offset
				: place_of(reader, reader->parser.problem_mark);
		return sources_error(reader->sources, place, "this is no YAML: %s",
			reader->parser.problem ? reader->parser.problem : "it cannot be read");
	}
	reader->event_held = true;
	return 0;
}

static struct document_node *add_node(struct reader *reader, enum document_shape shape)
{
	struct document_node *node = NULL;

	if (++reader->nodes <= NODES_MAX)
		node = arena_take(reader->sources->arena, sizeof(*node));
	if (!node) {
		sources_error(reader->sources, event_place(reader), "this is more than a file of rules can be");
		return NULL;
	}
	node->shape = shape;
	node->place = event_place(reader);
	return node;
}

static bool is_called(const struct table_node *node, const void *name)
{
	return text_equal(table_entry(node, const struct anchor, node)->name, text_of(name));
}

static struct anchor *find_anchor(const struct reader *reader, const char *name)
{
	struct table_node *found = table_find(&reader->anchors, hash_bytes(name, strlen(name)), is_called, name);

	return found ? table_entry(found, struct anchor, node) : NULL;
}

/* Remembers what `&name` stands before, once it is whole: so no alias is part of itself. */
static int remember(struct reader *reader, const char *name, struct document_node *node)
{
	struct anchor *anchor = name ? find_anchor(reader, name) : NULL;

	if (!name)
		return 0;
	if (anchor) { /* the name is given anew */
		anchor->named = node;
		return 0;
	}
	anchor = arena_take(reader->sources->arena, sizeof(*anchor));
	if (!anchor)
		return -ENOMEM;
	/* The name is the event's, which goes. */
	anchor->name = arena_copy(reader->sources->arena, text_of(name));
	anchor->named = node;
	if (!anchor->name.data)
		return -ENOMEM;
	return table_insert(&reader->anchors, &anchor->node, hash_bytes(anchor->name.data, anchor->name.length));
}

static struct document_node *read_node(struct reader *reader, int depth);

static int read_items(struct reader *reader, struct document_node *node, int depth)
{
	bool mapping = node->shape == DOCUMENT_MAPPING;
	struct arena *arena = reader->sources->arena;

	for (;;) {
		struct document_node **slot, *item;
		int error = next(reader);

		if (error)
			return error;
		if (reader->event.type == (mapping ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT))
			return 0;
		item = read_node(reader, depth + 1);
		if (!item)
			return -EINVAL;
		if (mapping) {
			if (item->shape != DOCUMENT_WORD)
				return sources_error(reader->sources, item->place, "a key must be a word");
			slot = arena_append(arena, &node->keys, &node->key_count, sizeof(*slot));
			if (!slot)
				return -ENOMEM;
			*slot = item;
			error = next(reader);
			item = error ? NULL : read_node(reader, depth + 1);
			if (!item)
				return -EINVAL;
		}
		slot = arena_append(arena, &node->items, &node->count, sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		*slot = item;
	}
}

static struct document_node *read_word(struct reader *reader)
{
	struct document_node *node = add_node(reader, DOCUMENT_WORD);
	const char *value = (const char *)reader->event.data.scalar.value;
	size_t length = reader->event.data.scalar.length;
	yaml_scalar_style_t style = reader->event.data.scalar.style;

	if (!node)
		return NULL;
	if (memchr(value, '\0', length)) {
		sources_error(reader->sources, node->place, "a word with a NUL in it is not taken here");
		return NULL;
	}
	node->word = arena_copy(reader->sources->arena, (struct text){value, length});
	node->end = place_of(reader, reader->event.end_mark);
	node->quoted = style == YAML_SINGLE_QUOTED_SCALAR_STYLE || style == YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	if (!node->word.data || remember(reader, (const char *)reader->event.data.scalar.anchor, node) < 0)
		return NULL;
	return node;
}

/* A node whose first event has been read; NULL after a problem was noted, or without memory. */
static struct document_node *read_node(struct reader *reader, int depth)
{
	bool mapping = reader->event.type == YAML_MAPPING_START_EVENT;
	const struct anchor *known;
	struct document_node *node;
	struct text anchor;

	if (reader->event.type == YAML_ALIAS_EVENT) {
		known = find_anchor(reader, (const char *)reader->event.data.alias.anchor);
		if (!known)
			sources_error(reader->sources, event_place(reader), "there is no anchor &%s before this",
				(const char *)reader->event.data.alias.anchor);
		return known ? known->named : NULL;
	}
	if (reader->event.type == YAML_SCALAR_EVENT)
		return read_word(reader);
	if (depth >= DEPTH_MAX) {
		sources_error(reader->sources, event_place(reader), "this is deeper than a file of rules can be");
		return NULL;
	}
	node = add_node(reader, mapping ? DOCUMENT_MAPPING : DOCUMENT_SEQUENCE);
	if (!node)
		return NULL;
	anchor = text_of((const char *)(mapping ? reader->event.data.mapping_start.anchor
						: reader->event.data.sequence_start.anchor));
	if (anchor.data)
		anchor = arena_copy(reader->sources->arena, anchor);
	if (read_items(reader, node, depth) < 0)
		return NULL;
	node->end = place_of(reader, reader->event.end_mark);
	return remember(reader, anchor.data, node) < 0 ? NULL : node;
}

static int read_documents(
	struct reader *reader, int (*each)(void *context, const struct document_node *root), void *context)
{
	for (;;) {
		const struct document_node *root;
		int error = next(reader);

		if (error || reader->event.type == YAML_STREAM_END_EVENT)
			return error;
		if (reader->event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		table_free(&reader->anchors);
		table_init(&reader->anchors);
		error = next(reader);
		root = error ? NULL : read_node(reader, 0);
		if (!root)
			return -EINVAL;
		error = document_is_nothing(root) ? 0 : each(context, root);
		if (error)
			return error;
	}
}

int document_read(struct sources *sources, const struct source_file *file,
	int (*each)(void *context, const struct document_node *root), void *context)
{
	struct reader reader = {.sources = sources, .file = file, .character = SIZE_MAX};
	size_t mark = byte_order_mark(file);
	int error;

	if (memchr(file->bytes.data, '\0', file->bytes.length))
		return sources_error(sources, file->base, "this is no text: there is a NUL in it");
	if (!yaml_parser_initialize(&reader.parser))
		return -ENOMEM;
	table_init(&reader.anchors);
	/* Else libyaml would take a file that begins with fe ff for UTF-16, and its marks would be of other bytes. */
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
		&reader.parser, (const unsigned char *)file->bytes.data + mark, file->bytes.length - mark);
	error = read_documents(&reader, each, context);
	if (reader.event_held)
		yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	table_free(&reader.anchors);
	return error;
}

const struct document_node *document_member(const struct document_node *mapping, const char *key)
{
	if (mapping->shape != DOCUMENT_MAPPING)
		return NULL;
	for (size_t i = 0; i < mapping->count; i++)
		if (text_equal(mapping->keys[i]->word, text_of(key)))
			return mapping->items[i];
	return NULL;
}

bool document_is_nothing(const struct document_node *node)
{
	return node->shape == DOCUMENT_WORD && !node->quoted &&
	       (node->word.length == 0 || text_equal(node->word, TEXT_LITERAL("~")) ||
		       text_equal(node->word, TEXT_LITERAL("null")));
}

bool document_take_number(const char **words, uint32_t *number)
{
	const char *start = *words;

	for (*number = 0; **words >= '0' && **words <= '9' && *words - start < 9; ++*words)
		*number = 10 * *number + (uint32_t)(**words - '0');
	return *words > start;
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* How long an escape in double quotes is, by the letter behind its backslash. */
static size_t escape_length(char letter)
{
	switch (letter) {
	case 'x': return 4;
	case 'u': return 6;
	case 'U': return 10;
	default: return 2;
	}
}

/*
 * YAML folds lines, takes indentation away and undoes escapes. But the bytes that are no blanks come in the same order:
 * each is looked for behind the one before, past blanks and the quotes and backslashes of escapes.
 */
void document_places(const struct sources *sources, const struct document_node *node, uint32_t *places)
{
	const struct source_file *file = sources_find(sources, node->place);
	size_t at = node->place - file->base, end = node->end - file->base;
	const char *raw = file->bytes.data;
	bool escapes = node->quoted && at < end && raw[at] == '"';

	/* The header of a block: "|" or ">", and what stands behind it on its line. */
	if (at < end && (raw[at] == '|' || raw[at] == '>') && !node->quoted)
		while (at < end && raw[at] != '\n')
			at++;
	for (size_t i = 0; i < node->word.length; i++) {
		size_t found = at;

		if (is_blank(node->word.data[i])) {
			places[i] = file->base + (uint32_t)at;
			continue;
		}
		while (found < end && raw[found] != node->word.data[i] &&
			(is_blank(raw[found]) || strchr("'\"\\", raw[found])))
			found +=
				escapes && raw[found] == '\\' && found + 1 < end && raw[found + 1] != node->word.data[i]
					? escape_length(raw[found + 1])
					: 1;
		if (found < end && raw[found] == node->word.data[i])
			at = found;
		places[i] = file->base + (uint32_t)at;
		at += at < end && found == at;
	}
	places[node->word.length] = file->base + (uint32_t)at;
}
