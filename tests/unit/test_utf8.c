/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "base/utf8.h"

/* As RFC 3629 says it, the slow way: decode, then ask whether that character is written like this. */
static size_t by_the_book(const unsigned char *bytes, size_t left)
{
	static const struct {
		unsigned char mask, lead;
		unsigned long least;
	} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

	for (size_t extra = 0; extra < 4; extra++) {
		unsigned long value;

		if ((bytes[0] & forms[extra].mask) != forms[extra].lead)
			continue;
		if (extra + 1 > left)
			return 0;
		value = bytes[0] & (unsigned char)~forms[extra].mask;
		for (size_t i = 1; i <= extra; i++) {
			if ((bytes[i] & 0xc0) != 0x80)
				return 0;
			value = value << 6 | (bytes[i] & 0x3f);
		}
		return value < forms[extra].least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)
			       ? 0
			       : extra + 1;
	}
	return 0;
}

Test(utf8, every_sequence_is_judged_as_the_rfc_does)
{
	static const unsigned char tails[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
	const size_t count = sizeof(tails);

	for (unsigned int first = 0; first < 256; first++)
		for (size_t i = 0; i < count * count * count; i++) {
			unsigned char bytes[4] = {(unsigned char)first, tails[i % count], tails[i / count % count],
				tails[i / count / count]};

			for (size_t left = 1; left <= 4; left++)
				cr_assert_eq(utf8_length(bytes, left), by_the_book(bytes, left),
					"%02x %02x %02x %02x, %zu left", bytes[0], bytes[1], bytes[2], bytes[3], left);
		}
}

Test(utf8, overlong_surrogates_and_truncated_ones_are_none)
{
	static const struct {
		const char *bytes;
		size_t left, length;
	} cases[] = {
		{"\xc0\x80", 2, 0},
		{"\xc1\xbf", 2, 0},
		{"\xe0\x9f\xbf", 3, 0},
		{"\xe0\xa0\x80", 3, 3},
		{"\xed\x9f\xbf", 3, 3},
		{"\xed\xa0\x80", 3, 0},
		{"\xed\xbf\xbf", 3, 0},
		{"\xee\x80\x80", 3, 3},
		{"\xf0\x8f\xbf\xbf", 4, 0},
		{"\xf0\x90\x80\x80", 4, 4},
		{"\xf4\x8f\xbf\xbf", 4, 4},
		{"\xf4\x90\x80\x80", 4, 0},
		{"\xf5\x80\x80\x80", 4, 0},
		{"\xe2\x82", 2, 0},
		{"\xf0\x9f\x9a", 3, 0},
		{"\x80", 1, 0},
		{"\xc3", 1, 0},
		{"\xc3\xa4", 2, 2},
		{"a", 1, 1},
		{"\0", 1, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(utf8_length((const unsigned char *)cases[i].bytes, cases[i].left), cases[i].length,
			"case %zu", i);
}

Test(utf8, a_strangers_words_are_made_harmless)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
		{"gr\xc3\xbc\xc3\x9f, \xe5\xae\xb9 \xf0\x9f\x9a\xa2",
			"gr\xc3\xbc\xc3\x9f, \xe5\xae\xb9 \xf0\x9f\x9a\xa2"},
		{"\x1b[2J\n\r\t\x7f", "?[2J????"},
		{"\xc2\x9b\xc2\x80\xc2\xa0", "????\xc2\xa0"},
		{"\x9b\xff\xe2\x82", "????"},
		{"", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[64];

		strcpy(text, cases[i].before);
		utf8_defuse(text, strlen(text));
		cr_assert_str_eq(text, cases[i].after, "case %zu: %s", i, text);
	}
}
