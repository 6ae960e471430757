/* SPDX-License-Identifier: Apache-2.0 */
/* For all tests in C that look into a document (tests/documents.py is for those in Python). */
#ifndef TAFFRAIL_TEST_DOCUMENTS_H
#define TAFFRAIL_TEST_DOCUMENTS_H

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value at a dotted path ("process.parent.name", "event.category.0") as text; "" where there is none. */
static inline const char *at(struct json_object *document, const char *path)
{
	char part[128];

	while (document && *path) {
		size_t length = strcspn(path, ".");

		snprintf(part, sizeof(part), "%.*s", (int)length, path);
		path += length + (path[length] == '.');
		if (json_object_is_type(document, json_type_array))
			document = json_object_array_get_idx(document, strtoul(part, NULL, 10));
		else if (!json_object_object_get_ex(document, part, &document))
			document = NULL;
	}
	return document ? json_object_get_string(document) : "";
}

#endif
