/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_read.h"

#include <errno.h>
#include <json-c/json.h>

#include "base/buffer.h"

static int read_object(struct text text, size_t limit, struct json_object **object)
{
	struct json_tokener *tokener;
	enum json_tokener_error error;

	*object = NULL;
	if (text.length == 0)
		return -EBADMSG;
	if (text.length > limit)
		return -EFBIG;
	tokener = json_tokener_new_ex(JSON_READ_DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	/* Else json-c also takes comments, values in single quotes, and whatever stands behind the object. */
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	*object = json_tokener_parse_ex(tokener, text.data, (int)text.length);
	error = json_tokener_get_error(tokener);
	json_tokener_free(tokener);
	if (error == json_tokener_success && json_object_is_type(*object, json_type_object))
		return 0;
	json_object_put(*object);
	*object = NULL;
	return -EBADMSG;
}

int json_read_object(struct text text, struct json_object **object)
{
	return read_object(text, JSON_READ_BYTES_MAX, object);
}

/* --- long texts ------------------------------------------------------------------------------------------------------ */

/* The string that `text` begins with, as it is written, with its quotes; or all, where it does not end. */
static struct text next_string(struct text text)
{
	size_t length = 1;

	while (length < text.length && text.data[length] != '"')
		length += text.data[length] == '\\' ? 2 : 1;
	return text_head(text, length < text.length ? length + 1 : text.length);
}

static void put_string(struct buffer *out, struct text string)
{
	size_t length = 1;

	if (string.length <= JSON_READ_STRING_MAX) {
		buffer_append(out, string.data, string.length);
		return;
	}
	/* Up to a character's end: \uXXXX and what UTF-8 makes of one stay whole. */
	while (length < JSON_READ_STRING_MAX)
		if (string.data[length] == '\\')
			length += string.data[length + 1] == 'u' ? 6 : 2;
		else
			length++;
	while (length < string.length && ((unsigned char)string.data[length] & 0xc0) == 0x80)
		length++;
	buffer_append(out, string.data, length < string.length ? length : string.length - 1);
	buffer_append(out, "\"", 1);
}

/* Copies a text without the ends of its long strings and arrays. Whether it is JSON is seen when it is parsed. */
static int shorten(struct text text, struct buffer *out)
{
	size_t counts[JSON_READ_DEPTH_MAX + 1] = {0}, depth = 0;
	size_t left_away = 0; /* the array, by its depth, whose end is */
	bool arrays[JSON_READ_DEPTH_MAX + 1] = {false};

	while (text.length > 0 && out->length <= JSON_READ_SHORTENED_MAX && !out->failed) {
		char byte = *text.data;
		struct text part = text_head(text, 1);

		if (byte == '"') {
			part = next_string(text);
		} else if (byte == '[' || byte == '{') {
			if (++depth > JSON_READ_DEPTH_MAX)
				return -EBADMSG;
			counts[depth] = 0;
			arrays[depth] = byte == '[';
		} else if (byte == ']' || byte == '}') {
			left_away = left_away == depth ? 0 : left_away;
			depth -= depth > 0;
		} else if (byte == ',' && arrays[depth] && ++counts[depth] >= JSON_READ_ARRAY_MAX && !left_away) {
			left_away = depth;
		}
		if (!left_away && byte == '"')
			put_string(out, part);
		else if (!left_away)
			buffer_append(out, part.data, part.length);
		text = text_tail(text, part.length);
	}
	return out->failed ? -ENOMEM : 0;
}

int json_read_long(struct text text, struct json_object **object)
{
	struct buffer shorter = {0};
	int error;

	if (text.length <= JSON_READ_BYTES_MAX)
		return json_read_object(text, object);
	*object = NULL;
	error = shorten(text, &shorter);
	if (!error)
		error = read_object((struct text){shorter.data, shorter.length}, JSON_READ_SHORTENED_MAX, object);
	buffer_free(&shorter);
	return error;
}

/* --- members ---------------------------------------------------------------------------------------------------------- */

static struct text string_of(struct json_object *value)
{
	if (!json_object_is_type(value, json_type_string))
		return (struct text){0};
	return (struct text){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}

struct text json_read_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? string_of(value) : (struct text){0};
}

struct text json_read_element(struct json_object *array, size_t index)
{
	if (!json_object_is_type(array, json_type_array))
		return (struct text){0};
	return string_of(json_object_array_get_idx(array, index));
}

bool json_read_bool(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) && json_object_is_type(value, json_type_boolean) &&
	       json_object_get_boolean(value);
}

int64_t json_read_number(struct json_object *object, const char *key, int64_t otherwise)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_int))
		return otherwise;
	return json_object_get_int64(value);
}

struct json_object *json_read_member(struct json_object *object, const char *path)
{
	while (object && *path) {
		size_t length = strcspn(path, ".");
		char key[64];

		if (length >= sizeof(key))
			return NULL;
		memcpy(key, path, length);
		key[length] = '\0';
		path += length + (path[length] == '.');
		if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, key, &object))
			return NULL;
	}
	return object;
}

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip(struct text *text, size_t bytes)
{
	text->data += bytes;
	text->length -= bytes;
}

int json_read_item(struct text *text, struct json_object **object)
{
	struct json_tokener *tokener;
	size_t length;

	*object = NULL;
	while (text->length > 0 && (is_space(*text->data) || *text->data == ',' || *text->data == '['))
		skip(text, 1);
	if (text->length == 0 || *text->data == ']')
		return -ENOENT;
	if (*text->data != '{')
		return -EBADMSG;
	tokener = json_tokener_new_ex(JSON_READ_DEPTH_MAX);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	length = text->length < JSON_READ_BYTES_MAX ? text->length : JSON_READ_BYTES_MAX;
	*object = json_tokener_parse_ex(tokener, text->data, (int)length);
	if (*object)
		skip(text, json_tokener_get_parse_end(tokener));
	json_tokener_free(tokener);
	return *object ? 0 : -EBADMSG;
}
