/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <criterion/criterion.h>

#include "collector/envelope.h"

static int envelope(const char *bytes, size_t length, enum envelope_kind *kind, struct text *inside)
{
	return envelope_open((struct text){bytes, length}, kind, inside);
}

#define ENVELOPE(bytes) envelope(bytes, sizeof(bytes) - 1, &kind, &inside)

Test(envelope, batch_is_found_whatever_stands_around_it)
{
	enum envelope_kind kind;
	struct text inside;

	cr_assert_eq(ENVELOPE("\x12\x03"
			      "abc"),
		0);
	cr_assert_eq(kind, ENVELOPE_BATCH);
	cr_assert(text_equal(inside, TEXT_LITERAL("abc")));
	cr_assert_eq(ENVELOPE("\x12\x83\x80\x80\x80\x00"
			      "abc"),
		0);
	cr_assert(text_equal(inside, TEXT_LITERAL("abc")), "a length longer than needed");
	cr_assert_eq(ENVELOPE("\x78\x96\x01\x92\x00\x01x\x85\x01\x01\x02\x03\x04\x7a\x00"), 0);
	cr_assert_eq(kind, ENVELOPE_BATCH);
	cr_assert(text_equal(inside, TEXT_LITERAL("x")), "unknown fields before and behind");
	cr_assert_eq(ENVELOPE("\x0a\x00"), 0);
	cr_assert_eq(kind, ENVELOPE_HELLO);
	cr_assert_eq(ENVELOPE(""), 0);
	cr_assert_eq(kind, ENVELOPE_OTHER);
}

Test(envelope, what_is_no_message_is_refused)
{
	enum envelope_kind kind;
	struct text inside;

	cr_assert_eq(ENVELOPE("\x12\x04"
			      "abc"),
		-EBADMSG);
	cr_assert_eq(ENVELOPE("\x12"), -EBADMSG);
	cr_assert_eq(ENVELOPE("\x12\x80"), -EBADMSG);
	cr_assert_eq(ENVELOPE("\x12\x00\x12\x00"), -EBADMSG, "two of them");
	cr_assert_eq(ENVELOPE("\x0a\x00\x12\x00"), -EBADMSG, "both of them");
	cr_assert_eq(ENVELOPE("\x10\x01"), -EBADMSG, "a batch is no number");
	cr_assert_eq(ENVELOPE("\x13\x14"), -EBADMSG, "a group");
	cr_assert_eq(ENVELOPE("\x00\x00"), -EBADMSG, "field 0");
	cr_assert_eq(ENVELOPE("\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG);
}
