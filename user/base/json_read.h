/* SPDX-License-Identifier: Apache-2.0 */
/* JSON that comes from outside, read by json-c within limits. */
#ifndef TAFFRAIL_JSON_READ_H
#define TAFFRAIL_JSON_READ_H

#include "base/text.h"

enum {
	JSON_READ_BYTES_MAX = 1 << 20, /* json-c needs up to 35 bytes for one of text */
	JSON_READ_DEPTH_MAX = 32,
};

struct json_object;

/* Parses one object. 0; -EBADMSG: it is none, or too deep; -EFBIG; -ENOMEM. Free it with json_object_put. */
int json_read_object(struct text text, struct json_object **object);

/* The string member `key`, owned by the object; empty if there is none, or it is no string. */
struct text json_read_string(struct json_object *object, const char *key);

#endif
