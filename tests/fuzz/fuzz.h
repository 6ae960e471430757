/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. Each sends its bytes in where a stranger's come in, and says what must hold of what comes out. */
#ifndef TAFFRAIL_FUZZ_H
#define TAFFRAIL_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/buffer.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* A promise that does not hold ends the target as a crash does. */
#define fuzz_expect(condition)                                                                                         \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

/* For LLVMFuzzerInitialize: the code's own messages go nowhere, libFuzzer's and the sanitizers' still come. */
static inline int fuzz_without_messages(int *argc, char ***argv)
{
	char **longer = calloc((size_t)*argc + 2, sizeof(*longer));

	fuzz_expect(longer);
	memcpy(longer, *argv, (size_t)*argc * sizeof(*longer));
	longer[(*argc)++] = strdup("-close_fd_mask=2");
	*argv = longer;
	return 0;
}

/* Valid UTF-8, without control characters, and with C1 ones only where `c1` allows them. */
static inline void fuzz_expect_clean(const char *text, size_t length, bool c1)
{
	const unsigned char *bytes = (const unsigned char *)text;

	for (size_t i = 0, step; i < length; i += step) {
		step = utf8_length(bytes + i, length - i);
		fuzz_expect(step > 0);
		fuzz_expect(bytes[i] >= ' ' && (c1 || (bytes[i] != 127 && (bytes[i] != 0xc2 || bytes[i + 1] >= 0xa0))));
	}
}

/* One document of JSON as another parser reads it, on one line. */
static inline void fuzz_expect_document(const struct buffer *document)
{
	struct json_tokener *tokener = json_tokener_new_ex(64);
	struct json_object *object;

	fuzz_expect(!document->failed && tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	fuzz_expect_clean(document->data, document->length, true);
	object = json_tokener_parse_ex(tokener, document->data, (int)document->length);
	fuzz_expect(json_tokener_get_error(tokener) == json_tokener_success &&
		    json_object_is_type(object, json_type_object));
	json_object_put(object);
	json_tokener_free(tokener);
}

#endif
