/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_read.h"

#include <errno.h>
#include <json-c/json.h>

int json_read_object(struct text text, struct json_object **object)
{
	struct json_tokener *tokener;
	enum json_tokener_error error;

	*object = NULL;
	if (text.length == 0)
		return -EBADMSG;
	if (text.length > JSON_READ_BYTES_MAX)
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

struct text json_read_string(struct json_object *object, const char *key)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, json_type_string))
		return (struct text){0};
	return (struct text){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}
