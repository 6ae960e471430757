/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "grpc/header.h"

static const char *decoded(const char *text, size_t size)
{
	static char message[256];

	memset(message, '#', sizeof(message));
	grpc_message_decode((const uint8_t *)text, strlen(text), message, size);
	cr_assert(memchr(message, '\0', size), "within its size");
	return message;
}

Test(grpc_header, messages_are_decoded_and_made_harmless)
{
	cr_assert_str_eq(decoded("no%20such%20thing%3A 100%", 256), "no such thing: 100%");
	cr_assert_str_eq(decoded("%C3%A9t\xc3\xa9 %zz %4", 256), "\xc3\xa9t\xc3\xa9 %zz %4");
	cr_assert_str_eq(decoded("a%00b%0Ac%1b[2J\x7f", 256), "a?b?c?[2J?");
	cr_assert_str_eq(decoded("%C2%9B31m\xc2\x9b"
				 "2J",
				 256),
		"??31m??2J", "C1 controls drive terminals too");
	cr_assert_str_eq(decoded("%9b31m\xff\xe2\x82", 256), "?31m???", "no UTF-8");
}

Test(grpc_header, messages_are_cut_at_their_size)
{
	cr_assert_str_eq(decoded("abcdef", 4), "abc");
	cr_assert_str_eq(decoded("ab\xc3\xa9", 4), "ab?", "not within a character");
	cr_assert_str_eq(decoded("abc", 1), "");
}

Test(grpc_header, what_is_encoded_is_decoded_to_the_same)
{
	char text[3 * GRPC_MESSAGE_TEXT_BYTES + 1], message[GRPC_MESSAGE_TEXT_BYTES + 1];

	grpc_message_encode("100% of \xc3\xa9t\xc3\xa9, %41", text);
	for (const char *c = text; *c; c++)
		cr_assert(*c >= ' ' && *c < 127, "byte %02x", (unsigned char)*c);
	grpc_message_decode((const uint8_t *)text, strlen(text), message, sizeof(message));
	cr_assert_str_eq(message, "100% of \xc3\xa9t\xc3\xa9, %41");
}
