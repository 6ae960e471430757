/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A writer of JSON (RFC 8259) straight into a buffer: one pass, no tree, no allocation but the buffer's growth.
 *
 * Commas are the writer's care. Keys are literals of the program, written as they are. The caller closes what it opens;
 * json_object_end and json_array_end of an empty one leave "{}" and "[]", unless json_drop_if_empty is used.
 */
#ifndef TAFFRAIL_JSON_H
#define TAFFRAIL_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"

struct json {
	struct buffer *out;
	bool comma; /* something stands before, in this object or array */
};

/* A place to go back to: what was there before an object that may stay empty. */
struct json_mark {
	size_t length, content;
	bool comma;
};

/* Starts a document at the end of `out`. */
static inline struct json json_begin(struct buffer *out)
{
	return (struct json){out, false};
}

/* `"key":`, after a comma where one is due. `key` is a literal that needs no escape. */
#define json_key(json, key) json_key_raw(json, "\"" key "\":", sizeof("\"" key "\":") - 1)
void json_key_raw(struct json *json, const char *quoted, size_t length);
/* A key from outside, escaped like any string. Returns what json_string does. */
bool json_key_text(struct json *json, struct text key);

void json_object_begin(struct json *json);
void json_object_end(struct json *json);
void json_array_begin(struct json *json);
void json_array_end(struct json *json);

/* An object under a key that vanishes, key and all, if nothing was written into it. */
#define json_optional_begin(json, key) json_optional_begin_raw(json, "\"" key "\":{", sizeof("\"" key "\":{") - 1)
struct json_mark json_optional_begin_raw(struct json *json, const char *opening, size_t length);
void json_optional_end(struct json *json, struct json_mark mark);

/*
 * A string. Bytes that are not UTF-8 are written as the four characters \xHH, and then every backslash of that string
 * doubled, so that nothing is ambiguous; control characters are ordinary JSON escapes.
 * Returns true if the string held bytes that are not UTF-8.
 */
bool json_string(struct json *json, struct text text);
/* A string that is known to need no escape. */
void json_plain(struct json *json, const char *data, size_t length);
#define json_literal(json, string) json_plain(json, string, sizeof(string) - 1)

/* A value that is JSON already: digits, null. */
void json_raw(struct json *json, const char *data, size_t length);
void json_unsigned(struct json *json, uint64_t value);
void json_signed(struct json *json, int64_t value);
void json_boolean(struct json *json, bool value);

/* A key and its value, as json_key and the functions above write them; `json` is named twice. */
#define json_member_string(json, key, text) (json_key(json, key), json_string(json, text))
#define json_member_unsigned(json, key, value) (json_key(json, key), json_unsigned(json, value))
#define json_member_signed(json, key, value) (json_key(json, key), json_signed(json, value))
#define json_member_boolean(json, key, value) (json_key(json, key), json_boolean(json, value))

/* The decimal digits of `value` into `to` (20 bytes are enough); returns how many. */
size_t json_digits(char *to, uint64_t value);

#endif
