/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yaml.h>

#include "base/log.h"
#include "base/utf8.h"

enum { FILE_SIZE_MAX = 1 << 20, DEPTH_MAX = 8, PATH_SIZE = 256, NODES_MAX = 65536, MEMBERS_MAX = 256 };

/* --- values ----------------------------------------------------------------------------------------------------------- */

static int parse_bool(bool *target, const char *value)
{
	if (strcmp(value, "true") == 0 || strcmp(value, "yes") == 0)
		*target = true;
	else if (strcmp(value, "false") == 0 || strcmp(value, "no") == 0)
		*target = false;
	else
		return -EINVAL;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {NULL, 0}};
static const struct unit durations[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};

static int parse_number(uint64_t *target, const char *value, const struct unit *units, const struct config_key *key)
{
	char *end;
	unsigned long long number;

	if (!isdigit((unsigned char)value[0]))
		return -EINVAL;
	errno = 0;
	number = strtoull(value, &end, 10);
	if (errno)
		return -ERANGE;
	while (units->name && strcmp(units->name, end) != 0)
		units++;
	if (!units->name)
		return -EINVAL;
	if (number > UINT64_MAX / units->factor || number * units->factor < key->min ||
		(key->max && number * units->factor > key->max))
		return -ERANGE;
	*target = number * units->factor;
	return 0;
}

static int set_text(char **target, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*target);
	*target = copy;
	return 0;
}

static void clear_list(struct config_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct config_list){0};
}

static int add_to_list(struct config_list *list, const char *value)
{
	char **items = realloc(list->items, (list->count + 1) * sizeof(*items));
	char *copy = strdup(value);

	if (items)
		list->items = items;
	if (!items || !copy) {
		free(copy);
		return -ENOMEM;
	}
	list->items[list->count++] = copy;
	return 0;
}

static const char *expected(const struct config_key *key, char *room, size_t size)
{
	switch (config_type(key)) {
	case CONFIG_BOOL: return "true or false";
	case CONFIG_TEXT: return "a text";
	case CONFIG_LIST: return "a list of texts";
	case CONFIG_TREE: return "what only a configuration file can say";
	case CONFIG_NUMBER: snprintf(room, size, "a number"); break;
	case CONFIG_SIZE: snprintf(room, size, "a size such as 16M"); break;
	case CONFIG_DURATION: snprintf(room, size, "a time such as 250ms or 5s"); break;
	}
	if (key->max) {
		size_t length = strlen(room);
		const char *unit = config_type(key) == CONFIG_SIZE       ? " bytes"
				   : config_type(key) == CONFIG_DURATION ? " ms"
									 : "";

		snprintf(room + length, size - length, ", from %llu to %llu%s", (unsigned long long)key->min,
			(unsigned long long)key->max, unit);
	}
	return room;
}

static int set_value(const struct config_key *key, const char *value, bool more)
{
	switch (config_type(key)) {
	case CONFIG_BOOL: return parse_bool(key->target, value);
	case CONFIG_TEXT: return set_text(key->target, value);
	case CONFIG_NUMBER: return parse_number(key->target, value, no_units, key);
	case CONFIG_SIZE: return parse_number(key->target, value, sizes, key);
	case CONFIG_DURATION: return parse_number(key->target, value, durations, key);
	case CONFIG_LIST:
		if (!more)
			clear_list(key->target);
		return add_to_list(key->target, value);
	case CONFIG_TREE: break;
	}
	return -EINVAL;
}

const struct config_key *config_find(const struct config_key *keys, const char *path)
{
	for (; keys->path; keys++)
		if (strcmp(keys->path, path) == 0)
			return keys;
	return NULL;
}

/* Is there a key below this path? */
static bool is_section(const struct config_key *keys, const char *path)
{
	size_t length = strlen(path);

	for (; keys->path; keys++)
		if (strncmp(keys->path, path, length) == 0 && keys->path[length] == '.')
			return true;
	return false;
}

int config_assign(
	const struct config_key *keys, const char *path, const char *value, bool more, char *why, size_t why_size)
{
	const struct config_key *key = config_find(keys, path);
	char room[128];

	if (!key) {
		snprintf(why, why_size, "there is no key %s", path[0] ? path : "without a name");
		return -EINVAL;
	}
	if (set_value(key, value, more) == 0)
		return 0;
	snprintf(why, why_size, "%s takes %s, not \"%.200s\"", path, expected(key, room, sizeof(room)), value);
	return -EINVAL;
}

/* Frees what is below a node: no deeper than DEPTH_MAX. */
static void clear_node(struct config_node *node)
{
	for (size_t i = 0; i < node->count; i++)
		clear_node(&node->items[i]);
	free(node->items);
	free(node->key);
	free(node->word);
	*node = (struct config_node){0};
}

static void clear_tree(struct config_tree *tree)
{
	clear_node(&tree->root);
	free(tree->file);
	tree->file = NULL;
}

void config_free(const struct config_key *keys)
{
	for (; keys->path; keys++)
		if (config_type(keys) == CONFIG_TREE) {
			clear_tree(keys->target);
		} else if (config_type(keys) == CONFIG_LIST) {
			clear_list(keys->target);
		} else if (config_type(keys) == CONFIG_TEXT) {
			free(*(char **)keys->target);
			*(char **)keys->target = NULL;
		}
}

/* --- the file --------------------------------------------------------------------------------------------------------- */

struct reader {
	const struct config_key *keys;
	const char *file;
	yaml_parser_t parser;
	yaml_event_t event;
	bool event_held;
	const unsigned char *bytes;
	size_t length;
	bool seen[CONFIG_KEYS_MAX]; /* by index into keys */
	size_t nodes;               /* of trees */
	char path[PATH_SIZE];
	struct config_places *places; /* NULL: nobody asks */
	size_t file_index;            /* in places */
	struct digest *digest;        /* of all files; with places */
};

/* `line` from 1. */
static void say_no(const char *file, size_t line, const char *format, va_list arguments)
{
	char reason[512];

	vsnprintf(reason, sizeof(reason), format, arguments);
	utf8_defuse(reason, strlen(reason)); /* words of the file are in it */
	log_at(file, (unsigned int)line, "%s", reason);
}

__attribute__((format(printf, 3, 4))) static int refuse(
	const struct reader *reader, size_t line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say_no(reader->file, line + 1, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int config_refuse(const struct config_tree *tree, const struct config_node *node, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say_no(tree->file, node->line, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static const char *scalar(const struct reader *reader)
{
	return (const char *)reader->event.data.scalar.value;
}

/* The line of what the parser stumbled over; of bytes that are no text it tells the offset only. */
static size_t problem_line(const struct reader *reader)
{
	size_t line = 0;

	if (reader->parser.error != YAML_READER_ERROR)
		return reader->parser.problem_mark.line;
	for (size_t i = 0; i < reader->length && i < reader->parser.problem_offset; i++)
		line += reader->bytes[i] == '\n';
	return line;
}

/* The next event of the parser, in reader->event. */
static int next(struct reader *reader)
{
	if (reader->event_held)
		yaml_event_delete(&reader->event);
	reader->event_held = false;
	if (!yaml_parser_parse(&reader->parser, &reader->event))
		return refuse(reader, problem_line(reader), "this is no YAML: %s",
			reader->parser.problem ? reader->parser.problem : "it cannot be read");
	reader->event_held = true;
	/* Strings end at a NUL from here on: one in the midst would make another word of it. */
	if (reader->event.type == YAML_SCALAR_EVENT && strlen(scalar(reader)) != reader->event.data.scalar.length)
		return refuse(reader, reader->event.start_mark.line, "a word with a NUL in it is not taken here");
	if (reader->event.type == YAML_ALIAS_EVENT)
		return refuse(reader, reader->event.start_mark.line, "aliases (*%s) are not taken here",
			(const char *)reader->event.data.alias.anchor);
	return 0;
}

static int read_list(struct reader *reader, const struct config_key *key)
{
	clear_list(key->target);
	for (;;) {
		int error = next(reader);

		if (error)
			return error;
		if (reader->event.type == YAML_SEQUENCE_END_EVENT)
			return 0;
		if (reader->event.type != YAML_SCALAR_EVENT)
			return refuse(reader, reader->event.start_mark.line, "%s takes a list of texts", key->path);
		error = add_to_list(key->target, scalar(reader));
		if (error)
			return error;
	}
}

/* One more item of a sequence or mapping; it is the node's even if it is not filled. NULL without memory or room. */
static struct config_node *add_node(struct reader *reader, struct config_node *node)
{
	struct config_node *items;

	if (++reader->nodes > NODES_MAX)
		return NULL;
	if ((node->count & (node->count - 1)) == 0) { /* there is room up to the next power of two */
		items = realloc(node->items, (node->count ? 2 * node->count : 1) * sizeof(*items));
		if (!items)
			return NULL;
		node->items = items;
	}
	node->items[node->count] = (struct config_node){.line = (unsigned int)reader->event.start_mark.line + 1};
	return &node->items[node->count++];
}

static int read_node(struct reader *reader, struct config_node *node, int depth);

/* The next member of a mapping: its key, then its value. */
static int read_member(struct reader *reader, struct config_node *node, int depth)
{
	size_t line = reader->event.start_mark.line;
	struct config_node *member;
	int error;

	if (reader->event.type != YAML_SCALAR_EVENT)
		return refuse(reader, line, "a key must be a word");
	for (size_t i = 0; i < node->count; i++)
		if (strcmp(node->items[i].key, scalar(reader)) == 0)
			return refuse(reader, line, "%s is said twice", scalar(reader));
	member = node->count < MEMBERS_MAX ? add_node(reader, node) : NULL;
	if (!member)
		return refuse(reader, line, "this is more than a configuration can be");
	member->key = strdup(scalar(reader));
	if (!member->key) {
		node->count--;
		return -ENOMEM;
	}
	error = next(reader);
	return error ? error : read_node(reader, member, depth + 1);
}

/* A value of any shape, of which the first event has been read. */
static int read_node(struct reader *reader, struct config_node *node, int depth)
{
	bool mapping = reader->event.type == YAML_MAPPING_START_EVENT;
	size_t line = reader->event.start_mark.line;

	if (reader->event.type == YAML_SCALAR_EVENT) {
		node->shape = CONFIG_WORD;
		return set_text(&node->word, scalar(reader));
	}
	if (depth >= DEPTH_MAX)
		return refuse(reader, line, "this is deeper than a configuration can be");
	node->shape = mapping ? CONFIG_MAPPING : CONFIG_SEQUENCE;
	for (;;) {
		struct config_node *item;
		int error = next(reader);

		if (error)
			return error;
		if (reader->event.type == (mapping ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT))
			return 0;
		if (mapping) {
			error = read_member(reader, node, depth);
		} else {
			item = add_node(reader, node);
			error = item ? read_node(reader, item, depth + 1)
				     : refuse(reader, reader->event.start_mark.line,
					       "this is more than a configuration can be");
		}
		if (error)
			return error;
	}
}

static int read_tree(struct reader *reader, const struct config_key *key, size_t line)
{
	struct config_tree *tree = key->target;

	clear_tree(tree);
	tree->file = strdup(reader->file);
	tree->root.line = (unsigned int)line + 1;
	return tree->file ? read_node(reader, &tree->root, 0) : -ENOMEM;
}

static int read_value(struct reader *reader, const struct config_key *key, size_t line)
{
	char room[128];
	int error;

	if (reader->seen[key - reader->keys])
		return refuse(reader, line, "%s is said twice", key->path);
	reader->seen[key - reader->keys] = true;
	if (reader->places) {
		reader->places->keys[key - reader->keys].file = (uint8_t)reader->file_index;
		reader->places->keys[key - reader->keys].line = (unsigned int)line + 1;
	}
	error = next(reader);
	if (error)
		return error;
	if (config_type(key) == CONFIG_TREE)
		return read_tree(reader, key, line);
	if (reader->event.type == YAML_SEQUENCE_START_EVENT && config_type(key) == CONFIG_LIST)
		return read_list(reader, key);
	if (reader->event.type == YAML_SCALAR_EVENT) {
		if (set_value(key, scalar(reader), false) == 0)
			return 0;
		return refuse(reader, reader->event.start_mark.line, "%s takes %s, not \"%.200s\"", key->path,
			expected(key, room, sizeof(room)), scalar(reader));
	}
	return refuse(reader, line, "%s takes %s", key->path, expected(key, room, sizeof(room)));
}

/* A mapping, whose start has been read; reader->path is the section's path, "" at the top. */
static int read_section(struct reader *reader, int depth)
{
	size_t base = strlen(reader->path);

	for (;;) {
		const struct config_key *key;
		int error = next(reader), length;
		size_t line = reader->event.start_mark.line;

		if (error)
			return error;
		if (reader->event.type == YAML_MAPPING_END_EVENT)
			return 0;
		if (reader->event.type != YAML_SCALAR_EVENT)
			return refuse(reader, line, "a key must be a word");
		length = snprintf(
			reader->path + base, sizeof(reader->path) - base, "%s%s", base ? "." : "", scalar(reader));
		if (length >= (int)(sizeof(reader->path) - base) || depth >= DEPTH_MAX)
			return refuse(reader, line, "there is no such key");
		key = config_find(reader->keys, reader->path);
		if (key) {
			error = read_value(reader, key, line);
		} else if (!is_section(reader->keys, reader->path)) {
			error = refuse(reader, line, "there is no key %s", reader->path);
		} else {
			error = next(reader);
			if (error == 0 && reader->event.type == YAML_MAPPING_START_EVENT)
				error = read_section(reader, depth + 1);
			else if (error == 0 && (reader->event.type != YAML_SCALAR_EVENT || scalar(reader)[0]))
				error = refuse(reader, line, "%s takes keys of its own", reader->path);
		}
		if (error)
			return error;
		reader->path[base] = '\0';
	}
}

static int read_document(struct reader *reader)
{
	int error;

	do
		error = next(reader);
	while (error == 0 &&
		(reader->event.type == YAML_STREAM_START_EVENT || reader->event.type == YAML_DOCUMENT_START_EVENT));
	if (error || reader->event.type == YAML_STREAM_END_EVENT)
		return error;
	if (reader->event.type == YAML_SCALAR_EVENT && scalar(reader)[0] == '\0')
		return 0;
	if (reader->event.type != YAML_MAPPING_START_EVENT)
		return refuse(reader, reader->event.start_mark.line, "a configuration is made of keys and values");
	error = read_section(reader, 0);
	while (error == 0 && reader->event.type != YAML_STREAM_END_EVENT) {
		error = next(reader);
		if (error == 0 && reader->event.type == YAML_DOCUMENT_START_EVENT)
			error = refuse(reader, reader->event.start_mark.line, "a configuration is one document");
	}
	return error;
}

/* The file's bytes, which the caller frees; NULL after it has said why not. */
static unsigned char *load(const struct reader *reader, size_t *length)
{
	unsigned char *bytes = NULL;
	struct stat status;
	FILE *file = fopen(reader->file, "re");

	if (!file || fstat(fileno(file), &status) < 0 || S_ISDIR(status.st_mode)) {
		refuse(reader, 0, "cannot be read: %s", strerror(file && S_ISDIR(status.st_mode) ? EISDIR : errno));
	} else {
		bytes = malloc(FILE_SIZE_MAX + 1);
		*length = bytes ? fread(bytes, 1, FILE_SIZE_MAX + 1, file) : 0;
		if (!bytes || ferror(file) || *length > FILE_SIZE_MAX) {
			refuse(reader, 0, "%s",
				!bytes         ? "out of memory"
				: ferror(file) ? "cannot be read"
					       : "is larger than a configuration can be (1 MiB)");
			free(bytes);
			bytes = NULL;
		}
	}
	if (file)
		fclose(file);
	return bytes;
}

static int read_file(struct reader *reader)
{
	size_t length = 0;
	unsigned char *bytes = load(reader, &length);
	int error;

	if (!bytes)
		return -EINVAL;
	if (!yaml_parser_initialize(&reader->parser)) {
		free(bytes);
		return -EINVAL;
	}
	if (reader->places)
		digest_add(reader->digest, bytes, length);
	reader->bytes = bytes;
	reader->length = length;
	yaml_parser_set_input_string(&reader->parser, bytes, length);
	error = read_document(reader);
	if (reader->event_held)
		yaml_event_delete(&reader->event);
	yaml_parser_delete(&reader->parser);
	free(bytes);
	return error ? -EINVAL : 0;
}

int config_read(const struct config_key *keys, const char *file)
{
	struct reader reader = {.keys = keys, .file = file};

	return read_file(&reader);
}

int config_read_files(const struct config_key *keys, struct config_places *places)
{
	struct digest digest;
	int error = 0;

	if (places->file_count == 0)
		return 0;
	digest_open(&digest);
	for (size_t i = 0; i < places->file_count && !error; i++) {
		struct reader reader = {
			.keys = keys, .file = places->files[i], .places = places, .file_index = i, .digest = &digest};

		error = read_file(&reader);
	}
	places->hash = digest_close(&digest);
	return error;
}
