/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/field.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { INDEX_MAX = 1000 };

static const struct field *const tables[] = {field_event, field_process, field_file, field_network, field_container};

/* Of all tables, or NULL. */
static const struct field *nth_field(size_t number)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct field *field = tables[i]; field->name; field++)
			if (number-- == 0)
				return field;
	return NULL;
}

bool rules_field_at(size_t number, struct rules_field *field)
{
	static const char *const types[] = {
		[FIELD_TEXT] = "text",
		[FIELD_NUMBER] = "number",
		[FIELD_BOOLEAN] = "boolean",
		[FIELD_ADDRESS] = "address",
		[FIELD_NETWORK] = "network",
	};
	static const char *const arguments[] = {
		[ARGUMENT_INDEX] = "number",
		[ARGUMENT_KEY] = "word",
		[ARGUMENT_DOTTED_KEY] = "word",
		[ARGUMENT_KEY_OR_NONE] = "word",
		[ARGUMENT_NAME] = "name",
	};
	const struct field *found = nth_field(number);

	if (!found)
		return false;
	*field = (struct rules_field){found->name, types[found->type], arguments[found->argument], found->help};
	return true;
}

static const struct field *find_name(struct text name)
{
	const struct field *field;

	for (size_t i = 0; (field = nth_field(i)); i++)
		if (text_equal(name, text_of(field->name)))
			return field;
	return NULL;
}

/* evt.arg.flags is evt.arg[flags], and k8s.pod.label.app k8s.pod.label[app]. */
static const struct field *find_dotted(struct text *name, struct text *argument)
{
	const struct field *field;

	for (size_t i = name->length; i-- > 0;)
		if (name->data[i] == '.') {
			*argument = (struct text){name->data + i + 1, name->length - i - 1};
			name->length = i;
			field = find_name(*name);
			return field && (field->argument == ARGUMENT_NAME || field->argument == ARGUMENT_DOTTED_KEY)
				       ? field
				       : NULL;
		}
	return NULL;
}

static int read_index(struct field_use *use, struct text argument, char *why, size_t why_size)
{
	int64_t index = 0;

	for (size_t i = 0; i < argument.length; i++) {
		bool digit = argument.data[i] >= '0' && argument.data[i] <= '9';

		index = digit ? 10 * index + (argument.data[i] - '0') : INDEX_MAX + 1;
		if (index > INDEX_MAX) {
			snprintf(why, why_size, "%s takes a number from 0 to %d in its brackets", use->field->name,
				INDEX_MAX);
			return -EINVAL;
		}
	}
	use->index = index;
	use->shape = FIELD_ONE;
	return 0;
}

int field_find(struct field_use *use, struct text name, struct text argument, char *why, size_t why_size)
{
	const struct field *field = find_name(name);

	if (!field && !argument.data)
		field = find_dotted(&name, &argument);
	if (!field)
		return -ENOENT;
	*use = (struct field_use){
		.field = field, .type = field->type, .shape = field->shape, .index = -1, .key = argument};
	if (!argument.data) {
		if (field->argument != ARGUMENT_KEY && field->argument != ARGUMENT_DOTTED_KEY &&
			field->argument != ARGUMENT_NAME)
			return 0;
		snprintf(why, why_size, "%s needs an argument: %s[…]", field->name, field->name);
		return -EINVAL;
	}
	switch (field->argument) {
	case ARGUMENT_NONE: snprintf(why, why_size, "%s takes no argument", field->name); return -EINVAL;
	case ARGUMENT_INDEX: return read_index(use, argument, why, why_size);
	case ARGUMENT_NAME:
		if (argument.length > 0 && argument.data[0] >= '0' && argument.data[0] <= '9')
			return read_index(use, argument, why, why_size);
		if (field_is_call_argument(argument))
			return 0;
		snprintf(why, why_size, "no call has an argument \"%.*s\"",
			(int)(argument.length < 64 ? argument.length : 64), argument.data);
		return -EINVAL;
	default: use->shape = FIELD_ONE; return 0;
	}
}

/* --- what tables give ------------------------------------------------------------------------------------------------- */

void field_give_any_text(struct values *values, struct text text)
{
	*values = (struct values){.known = true, .count = 1, .one.text = text};
}

void field_give_text(struct values *values, struct text text)
{
	if (text.length > 0)
		field_give_any_text(values, text);
}

void field_give_number(struct values *values, int64_t number)
{
	*values = (struct values){.known = true, .count = 1, .one.number = number};
}

void field_give_boolean(struct values *values, bool boolean)
{
	field_give_number(values, boolean);
}

void *field_room(struct extraction *extraction, size_t bytes)
{
	size_t start = (extraction->used + 15) & ~(size_t)15;

	if (start > extraction->size || bytes > extraction->size - start) {
		++*extraction->cut;
		return NULL;
	}
	extraction->used = start + bytes;
	return extraction->room + start;
}

struct field_text field_text_begin(struct extraction *extraction)
{
	return (struct field_text){extraction, extraction->used};
}

void field_text_add(struct field_text *text, struct text part)
{
	struct extraction *extraction = text->extraction;
	size_t room = extraction->size - extraction->used;

	if (part.length > room) {
		part.length = room;
		++*extraction->cut;
	}
	if (part.length > 0)
		memcpy(extraction->room + extraction->used, part.data, part.length);
	extraction->used += part.length;
}

void field_text_byte(struct field_text *text, char byte)
{
	field_text_add(text, (struct text){&byte, 1});
}

void field_text_number(struct field_text *text, int64_t number)
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%" PRId64, number);

	field_text_add(text, (struct text){digits, (size_t)length});
}

struct text field_text_end(struct field_text *text)
{
	return (struct text){text->extraction->room + text->start, text->extraction->used - text->start};
}

void field_text_words(struct field_text *text, struct text words, size_t skip)
{
	char *bytes;

	while (skip > 0 && words.length > 0) {
		const char *end = memchr(words.data, '\0', words.length);
		size_t step = end ? (size_t)(end - words.data) + 1 : words.length;

		words = (struct text){words.data + step, words.length - step};
		skip--;
	}
	if (words.length > 0 && words.data[words.length - 1] == '\0')
		words.length--;
	bytes = text->extraction->room + text->extraction->used;
	field_text_add(text, words);
	for (char *end = text->extraction->room + text->extraction->used; bytes < end; bytes++)
		if (*bytes == '\0')
			*bytes = ' ';
}

void field_text_address(struct field_text *text, const struct event_address *address)
{
	char words[INET6_ADDRSTRLEN];

	if ((address->family == AF_INET || address->family == AF_INET6) &&
		inet_ntop(address->family, address->bytes, words, sizeof(words)))
		field_text_add(text, text_of(words));
	else if (address->family == AF_VSOCK)
		field_text_number(text, event_vsock_id(address));
}

static struct text number_text(struct extraction *extraction, uint32_t number)
{
	struct field_text text = field_text_begin(extraction);

	field_text_number(&text, number);
	return field_text_end(&text);
}

struct text field_user(struct extraction *extraction, uint32_t uid)
{
	struct text name = {0};

	if (extraction->names->user)
		name = extraction->names->user(extraction->names->context, extraction->event, uid);
	return name.length > 0 ? name : number_text(extraction, uid);
}

struct text field_group(struct extraction *extraction, uint32_t gid)
{
	struct text name = {0};

	if (extraction->names->group)
		name = extraction->names->group(extraction->names->context, extraction->event, gid);
	return name.length > 0 ? name : number_text(extraction, gid);
}
