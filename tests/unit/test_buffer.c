/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/text.h"

Test(buffer, what_is_appended_stands_there_in_order_however_it_grows)
{
	struct buffer buffer = {0};
	char expected[5000];

	for (size_t i = 0; i < sizeof(expected); i++) {
		expected[i] = (char)(i * 7);
		buffer_append(&buffer, &expected[i], 1);
	}
	cr_assert_eq(buffer.length, sizeof(expected));
	cr_assert_arr_eq(buffer.data, expected, sizeof(expected));
	cr_assert_geq(buffer.room, buffer.length);
	cr_assert_not(buffer.failed);
	buffer_free(&buffer);
}

Test(buffer, nothing_appended_needs_no_memory)
{
	struct buffer buffer = {0};

	buffer_append(&buffer, NULL, 0);
	buffer_append(&buffer, "x", 0);
	cr_assert_eq(buffer.length, 0);
	cr_assert_not(buffer.failed);
	buffer_free(&buffer);
}

Test(buffer, reserve_makes_room_and_leaves_the_length)
{
	struct buffer buffer = {0};
	char *to = buffer_reserve(&buffer, 10000);

	cr_assert_not_null(to);
	cr_assert_eq(buffer.length, 0);
	memset(to, 'a', 10000);
	buffer.length = 10000;
	cr_assert_eq(buffer_reserve(&buffer, 0), buffer.data + 10000);
	buffer_free(&buffer);
}

Test(buffer, a_size_that_no_memory_has_fails_and_keeps_what_was_there)
{
	struct buffer buffer = {0};
	const size_t absurd[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX / 2, SIZE_MAX / 2 + 1};

	buffer_append(&buffer, "abc", 3);
	for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
		buffer.failed = false;
		cr_assert_null(buffer_reserve(&buffer, absurd[i]));
		cr_assert(buffer.failed);
		cr_assert_eq(buffer.length, 3);
	}
	buffer_append(&buffer, "d", 1);
	cr_assert(buffer.failed, "the failure stays until somebody looks");
	cr_assert_arr_eq(buffer.data, "abcd", 4);
	buffer_clear(&buffer);
	cr_assert_not(buffer.failed);
	cr_assert_eq(buffer.length, 0);
	cr_assert_gt(buffer.room, 0, "clear keeps the memory");
	buffer_free(&buffer);
	buffer_free(&buffer);
	cr_assert_null(buffer.data);
}

Test(text, equality_is_of_bytes_nul_and_all)
{
	cr_assert(text_equal(TEXT_LITERAL("a\0b"), TEXT_LITERAL("a\0b")));
	cr_assert_not(text_equal(TEXT_LITERAL("a\0b"), TEXT_LITERAL("a\0c")));
	cr_assert_not(text_equal(TEXT_LITERAL("a"), TEXT_LITERAL("ab")));
	cr_assert(text_equal((struct text){NULL, 0}, TEXT_LITERAL("")));
	cr_assert(text_equal(text_of(NULL), text_of("")));
}

Test(text, a_prefix_is_no_longer_than_its_text)
{
	cr_assert(text_starts_with(TEXT_LITERAL("docker-1"), TEXT_LITERAL("docker-")));
	cr_assert(text_starts_with(TEXT_LITERAL("a"), (struct text){NULL, 0}));
	cr_assert(text_starts_with((struct text){NULL, 0}, (struct text){NULL, 0}));
	cr_assert_not(text_starts_with(TEXT_LITERAL("dock"), TEXT_LITERAL("docker-")));
	cr_assert_not(text_starts_with((struct text){NULL, 0}, TEXT_LITERAL("x")));
}
