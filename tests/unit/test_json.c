/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "base/json.h"

static struct buffer out;

/* The text that json_string writes for `length` bytes, quotes and all. */
static const char *written(const char *bytes, size_t length, bool *escaped)
{
	struct json json;

	buffer_clear(&out);
	json = json_begin(&out);
	*escaped = json_string(&json, (struct text){bytes, length});
	buffer_append(&out, "", 1);
	return out.data;
}

static void expect_text(const char *bytes, size_t length, const char *expected, bool expected_escaped)
{
	bool escaped;

	cr_assert_str_eq(written(bytes, length, &escaped), expected);
	cr_assert_eq(escaped, expected_escaped);
}

Test(json, strings_escape_what_json_asks_for_and_nothing_else)
{
	expect_text("plain", 5, "\"plain\"", false);
	expect_text("", 0, "\"\"", false);
	expect_text("a\"b\\c\n\t\r\b\f", 10, "\"a\\\"b\\\\c\\n\\t\\r\\b\\f\"", false);
	expect_text("\0\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\"", false);
	expect_text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\xa2", 11, "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\xa2\"", false);
}

Test(json, bytes_that_are_no_utf8_are_shown_and_backslashes_doubled)
{
	expect_text("q\xffx", 3, "\"q\\\\xffx\"", true);
	expect_text("a\\b\xfe\n", 5, "\"a\\\\\\\\b\\\\xfe\\n\"", true);
	expect_text("\xc0\xaf", 2, "\"\\\\xc0\\\\xaf\"", true);            /* overlong */
	expect_text("\xed\xa0\x80", 3, "\"\\\\xed\\\\xa0\\\\x80\"", true); /* a surrogate */
	expect_text("\xf4\x90\x80\x80", 4, "\"\\\\xf4\\\\x90\\\\x80\\\\x80\"", true);
	expect_text("\xe2\x82", 2, "\"\\\\xe2\\\\x82\"", true); /* cut off */
}

Test(json, random_bytes_always_make_json_that_others_read)
{
	srand(1);
	for (int round = 0; round < 20000; round++) {
		char bytes[24];
		size_t length = (size_t)rand() % sizeof(bytes);
		bool escaped;

		for (size_t i = 0; i < length; i++)
			bytes[i] = (char)(rand() % 3 ? rand() % 128 : rand());

		struct json_object *parsed = json_tokener_parse(written(bytes, length, &escaped));

		cr_assert_not_null(parsed, "%s", out.data);
		if (!escaped) {
			cr_assert_eq((size_t)json_object_get_string_len(parsed), length);
			cr_assert_arr_eq(json_object_get_string(parsed), bytes, length);
		}
		json_object_put(parsed);
	}
}

Test(json, objects_arrays_and_numbers)
{
	struct json json;
	struct json_mark mark;

	buffer_clear(&out);
	json = json_begin(&out);
	json_object_begin(&json);
	mark = json_optional_begin(&json, "empty");
	json_optional_end(&json, mark);
	json_key(&json, "list");
	json_array_begin(&json);
	json_unsigned(&json, 0);
	json_unsigned(&json, UINT64_MAX);
	json_signed(&json, INT64_MIN);
	json_signed(&json, 7);
	json_boolean(&json, true);
	json_literal(&json, "x");
	json_array_end(&json);
	mark = json_optional_begin(&json, "full");
	json_key_text(&json, text_of("a\"b"));
	json_boolean(&json, false);
	json_optional_end(&json, mark);
	json_object_end(&json);
	buffer_append(&out, "", 1);
	cr_assert_str_eq(out.data,
		"{\"list\":[0,18446744073709551615,-9223372036854775808,7,true,\"x\"],\"full\":{\"a\\\"b\":false}}");
}
