/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/utf8.h"

static const char hex[] = "0123456789abcdef";

/* What a byte needs in a string: 0 nothing, 1 look closer (not ASCII), else the letter after the backslash or 'u'. */
#define ONES_16 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
static const unsigned char needs[256] = {
	/* clang-format off */
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u',
	'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
	0, 0, '"', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\\', 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	ONES_16, ONES_16, ONES_16, ONES_16, ONES_16, ONES_16, ONES_16, ONES_16,
	/* clang-format on */
};

static void comma(struct json *json)
{
	if (json->comma)
		buffer_append(json->out, ",", 1);
	json->comma = true;
}

void json_key_raw(struct json *json, const char *quoted, size_t length)
{
	comma(json);
	buffer_append(json->out, quoted, length);
	json->comma = false;
}

bool json_key_text(struct json *json, struct text key)
{
	bool escaped = json_string(json, key);

	buffer_append(json->out, ":", 1);
	json->comma = false;
	return escaped;
}

static void open_with(struct json *json, char bracket)
{
	comma(json);
	buffer_append(json->out, &bracket, 1);
	json->comma = false;
}

static void close_with(struct json *json, char bracket)
{
	buffer_append(json->out, &bracket, 1);
	json->comma = true;
}

void json_object_begin(struct json *json)
{
	open_with(json, '{');
}

void json_object_end(struct json *json)
{
	close_with(json, '}');
}

void json_array_begin(struct json *json)
{
	open_with(json, '[');
}

void json_array_end(struct json *json)
{
	close_with(json, ']');
}

struct json_mark json_optional_begin_raw(struct json *json, const char *opening, size_t length)
{
	struct json_mark mark = {.length = json->out->length, .comma = json->comma};

	json_key_raw(json, opening, length);
	mark.content = json->out->length;
	return mark;
}

void json_optional_end(struct json *json, struct json_mark mark)
{
	if (json->out->length != mark.content) {
		close_with(json, '}');
		return;
	}
	json->out->length = mark.length;
	json->comma = mark.comma;
}

/* Writes one byte that JSON does not take as it is. */
static void escape(struct buffer *out, unsigned char byte)
{
	char text[6] = {'\\', (char)needs[byte], '0', '0', hex[byte >> 4], hex[byte & 15]};

	buffer_append(out, text, needs[byte] == 'u' ? 6 : 2);
}

/* The string again from its start, now that it is known to hold bytes that are not UTF-8. */
static void string_with_hex(struct buffer *out, struct text text)
{
	const unsigned char *bytes = (const unsigned char *)text.data;

	for (size_t i = 0; i < text.length;) {
		size_t length = utf8_length(bytes + i, text.length - i);

		if (length == 0) {
			char shown[5] = {'\\', '\\', 'x', hex[bytes[i] >> 4], hex[bytes[i] & 15]};

			buffer_append(out, shown, sizeof(shown));
			length = 1;
		} else if (bytes[i] == '\\') {
			buffer_append(out, "\\\\\\\\", 4);
		} else if (length == 1 && needs[bytes[i]]) {
			escape(out, bytes[i]);
		} else {
			buffer_append(out, bytes + i, length);
		}
		i += length;
	}
	buffer_append(out, "\"", 1);
}

bool json_string(struct json *json, struct text text)
{
	struct buffer *out = json->out;
	const unsigned char *bytes = (const unsigned char *)text.data;
	size_t plain = 0, i = 0; /* bytes from plain to i need nothing */
	size_t start;

	comma(json);
	buffer_append(out, "\"", 1);
	start = out->length;
	while (i < text.length) {
		size_t length;

		if (!needs[bytes[i]]) {
			i++;
			continue;
		}
		if (needs[bytes[i]] != 1) {
			buffer_append(out, bytes + plain, i - plain);
			escape(out, bytes[i]);
			plain = ++i;
			continue;
		}
		length = utf8_length(bytes + i, text.length - i);
		if (length == 0) {
			out->length = start;
			string_with_hex(out, text);
			return true;
		}
		i += length;
	}
	buffer_append(out, bytes + plain, i - plain);
	buffer_append(out, "\"", 1);
	return false;
}

void json_plain(struct json *json, const char *data, size_t length)
{
	comma(json);
	buffer_append(json->out, "\"", 1);
	buffer_append(json->out, data, length);
	buffer_append(json->out, "\"", 1);
}

size_t json_digits(char *to, uint64_t value)
{
	char digits[20];
	size_t length = 0;

	do
		digits[sizeof(digits) - ++length] = (char)('0' + value % 10);
	while (value /= 10);
	memcpy(to, digits + sizeof(digits) - length, length);
	return length;
}

void json_unsigned(struct json *json, uint64_t value)
{
	char digits[20];

	comma(json);
	buffer_append(json->out, digits, json_digits(digits, value));
}

void json_signed(struct json *json, int64_t value)
{
	char digits[21] = "-";
	uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value;

	comma(json);
	buffer_append(json->out, digits + (value >= 0), json_digits(digits + 1, magnitude) + (value < 0));
}

void json_raw(struct json *json, const char *data, size_t length)
{
	comma(json);
	buffer_append(json->out, data, length);
}

void json_boolean(struct json *json, bool value)
{
	comma(json);
	buffer_append(json->out, value ? "true" : "false", value ? 4 : 5);
}
