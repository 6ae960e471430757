/* SPDX-License-Identifier: Apache-2.0 */
/* The words that fields are compared with, read as the field's type. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <arpa/inet.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "detect/program.h"

enum { SET_FROM = 4, REGEX_MAX = 16384 };

static int refuse(struct sources *sources, const struct expression_word *word, const char *what)
{
	return sources_error(sources, word->place, "\"%.*s\" is no %s", SOURCE_WORDS(word->text), what);
}

static int read_number(struct sources *sources, const struct expression_word *word, int64_t *number)
{
	char digits[32], *end;

	if (word->text.length == 0 || word->text.length >= sizeof(digits))
		return refuse(sources, word, "number");
	memcpy(digits, word->text.data, word->text.length);
	digits[word->text.length] = '\0';
	errno = 0;
	*number = strtoll(digits, &end, 0);
	if (errno == ERANGE && digits[0] != '-') {
		errno = 0;
		*number = (int64_t)strtoull(digits, &end, 0);
	}
	if (errno || *end || end == digits || digits[0] == ' ')
		return refuse(sources, word, "whole number");
	return 0;
}

static int read_address(
	struct sources *sources, const struct expression_word *word, struct text text, struct constant *constant)
{
	char words[INET6_ADDRSTRLEN];

	constant->address = (struct event_address){0};
	if (text.length < sizeof(words)) {
		memcpy(words, text.data ? text.data : "", text.length);
		words[text.length] = '\0';
		constant->address.family = strchr(words, ':') ? AF_INET6 : AF_INET;
		if (inet_pton(constant->address.family, words, constant->address.bytes) == 1)
			return 0;
	}
	return refuse(sources, word, "IP address");
}

static int read_network(struct sources *sources, const struct expression_word *word, struct constant *constant)
{
	const char *slash = word->text.length ? memchr(word->text.data, '/', word->text.length) : NULL;
	struct text address = {word->text.data, slash ? (size_t)(slash - word->text.data) : word->text.length};
	unsigned int bits = 0, limit;

	if (read_address(sources, word, address, constant) < 0)
		return -EINVAL;
	limit = constant->address.family == AF_INET6 ? 128 : 32;
	for (const char *at = slash ? slash + 1 : NULL; slash && at < word->text.data + word->text.length; at++) {
		if (*at < '0' || *at > '9' || bits > limit)
			return refuse(sources, word, "network: ADDRESS/BITS is");
		bits = 10 * bits + (unsigned int)(*at - '0');
	}
	if (bits > limit || (slash && slash + 1 == word->text.data + word->text.length))
		return refuse(sources, word, "network: ADDRESS/BITS is");
	constant->bits = (uint8_t)(slash ? bits : limit);
	return 0;
}

static int digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* "cafe01" as the three bytes. */
static int read_bytes(
	struct program *program, struct sources *sources, const struct expression_word *word, struct constant *constant)
{
	size_t length = word->text.length / 2;
	char *bytes = arena_take(program->arena, length + 1);

	if (!bytes)
		return -ENOMEM;
	for (size_t i = 0; i < length; i++) {
		int high = digit(word->text.data[2 * i]), low = digit(word->text.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return refuse(sources, word, "row of bytes in hexadecimal");
		bytes[i] = (char)(high << 4 | low);
	}
	if (word->text.length % 2 || length == 0)
		return refuse(sources, word, "row of bytes in hexadecimal");
	constant->text = (struct text){bytes, length};
	return 0;
}

static int read_regex(struct sources *sources, const struct expression_word *word, struct constant *constant)
{
	PCRE2_UCHAR message[128];
	PCRE2_SIZE offset;
	int number;

	if (word->text.length > REGEX_MAX)
		return sources_error(sources, word->place, "this is longer than a regular expression can be");
	/* RE2 matches the whole text, and its `$` means the very end. */
	constant->regex = pcre2_compile((PCRE2_SPTR)word->text.data, word->text.length,
		PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &number, &offset,
		NULL);
	if (constant->regex)
		return 0;
	pcre2_get_error_message(number, message, sizeof(message));
	return sources_error(sources, word->place, "\"%.*s\" is no regular expression: %s at its byte %zu",
		SOURCE_WORDS(word->text), (const char *)message, (size_t)offset);
}

static char lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

static int read_text(struct program *program, struct sources *sources, enum expression_operator relation,
	const struct expression_word *word, struct constant *constant)
{
	struct text copy;

	if (relation == OPERATOR_REGEX && read_regex(sources, word, constant) < 0)
		return -EINVAL;
	if (relation == OPERATOR_BCONTAINS || relation == OPERATOR_BSTARTSWITH)
		return read_bytes(program, sources, word, constant);
	copy = arena_copy(program->arena, word->text);
	if (!copy.data)
		return -ENOMEM;
	if (relation == OPERATOR_ICONTAINS || relation == OPERATOR_IGLOB)
		for (size_t i = 0; i < copy.length; i++)
			((char *)(uintptr_t)copy.data)[i] = lower(copy.data[i]);
	constant->text = copy;
	return 0;
}

int constant_read(struct program *program, struct sources *sources, const struct slot *slot,
	enum expression_operator relation, const struct expression_word *word, struct constant *constant)
{
	struct value value = {0};
	int error = 0;

	*constant = (struct constant){0};
	switch (slot->type) {
	case FIELD_TEXT: error = read_text(program, sources, relation, word, constant); break;
	case FIELD_NUMBER: error = read_number(sources, word, &constant->number); break;
	case FIELD_BOOLEAN:
		constant->number = text_equal(word->text, TEXT_LITERAL("true"));
		if (!constant->number && !text_equal(word->text, TEXT_LITERAL("false")))
			error = refuse(sources, word, "boolean: true or false is expected");
		break;
	case FIELD_ADDRESS: error = read_address(sources, word, word->text, constant); break;
	case FIELD_NETWORK: error = read_network(sources, word, constant); break;
	}
	if (error)
		return error;
	if (slot->type == FIELD_TEXT)
		value.text = constant->text;
	else if (slot->type == FIELD_ADDRESS)
		value.address = constant->address;
	else
		value.number = constant->number;
	constant->hash = constant_hash(slot->type, &value);
	return 0;
}

uint64_t constant_hash(enum field_type type, const struct value *value)
{
	if (type == FIELD_TEXT)
		return hash_bytes(value->text.data ? value->text.data : "", value->text.length);
	if (type == FIELD_ADDRESS || type == FIELD_NETWORK)
		return hash_bytes(value->address.bytes, field_address_size(&value->address)) ^ value->address.family;
	return hash_bytes(&value->number, sizeof(value->number));
}

struct text constant_key(enum field_type type, const struct constant *constant)
{
	if (type == FIELD_TEXT)
		return constant->text;
	if (type == FIELD_ADDRESS)
		return (struct text){(const char *)constant->address.bytes, field_address_size(&constant->address)};
	return (struct text){(const char *)&constant->number, sizeof(constant->number)};
}

int constant_make_set(struct program *program, struct check *check)
{
	enum field_type type = program->slots[check->slot].type;
	size_t size = 8;

	if (check->constant_count < SET_FROM || type == FIELD_NETWORK ||
		(check->relation != OPERATOR_IN && check->relation != OPERATOR_INTERSECTS))
		return 0;
	while (size < 2 * check->constant_count)
		size *= 2;
	check->set = arena_take(program->arena, size * sizeof(*check->set));
	if (!check->set)
		return -ENOMEM;
	check->set_mask = size - 1;
	for (size_t i = 0; i < check->constant_count; i++) {
		const struct constant *constant = &check->constants[i];
		size_t at = constant->hash & check->set_mask;

		/* A word that is there already would make the way longer for all of its kind. */
		while (check->set[at] && !text_equal(constant_key(type, &check->constants[check->set[at] - 1]),
						 constant_key(type, constant)))
			at = (at + 1) & check->set_mask;
		check->set[at] = (uint32_t)i + 1;
	}
	return 0;
}
