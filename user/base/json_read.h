/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that comes from outside, read by json-c within limits. */
#ifndef TAFFRAIL_JSON_READ_H
#define TAFFRAIL_JSON_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum {
	JSON_READ_BYTES_MAX = 1 << 20, /* json-c needs up to 35 bytes for one of text */
	JSON_READ_DEPTH_MAX = 32,
	/* Of a text that is longer: what is read of a string and of an array, and what there may be then. */
	JSON_READ_STRING_MAX = 1024,
	JSON_READ_ARRAY_MAX = 512,
	JSON_READ_SHORTENED_MAX = 4 << 20,
};

struct json_object;

/* Parses one object. 0; -EBADMSG: it is none, or too deep; -EFBIG; -ENOMEM. Free it with json_object_put. */
int json_read_object(struct text text, struct json_object **object);

/*
 * The same, but of a text above JSON_READ_BYTES_MAX long strings and arrays are cut. For texts that are long by the words of
 * somebody who must not decide whether they are read: an environment, arguments.
 */
int json_read_long(struct text text, struct json_object **object);

/* The string member `key`, owned by the object; empty if there is none, or it is no string. */
struct text json_read_string(struct json_object *object, const char *key);
/* The string at `index` of an array; empty if that is no string, or `array` is none that long. */
struct text json_read_element(struct json_object *array, size_t index);
/* Is the member `key` true? */
bool json_read_bool(struct json_object *object, const char *key);
/* The member `key`, or `otherwise` if there is none, or it is no whole number. */
int64_t json_read_number(struct json_object *object, const char *key, int64_t otherwise);
/* A member of members, its keys joined by dots: "linux.namespaces"; or NULL. */
struct json_object *json_read_member(struct json_object *object, const char *path);

/*
 * The next object of an array of objects, which `text` moves along: for files that are too long to be parsed as one. 0;
 * -ENOENT at the end; -EBADMSG: something else is there, or the object is too deep or above JSON_READ_BYTES_MAX; -ENOMEM. Free
 * it with json_object_put.
 */
int json_read_item(struct text *text, struct json_object **object);

#endif
