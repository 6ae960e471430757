/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 (RFC 3629), strictly: no overlong forms, no surrogates, nothing past U+10FFFF. */
#ifndef TAFFRAIL_UTF8_H
#define TAFFRAIL_UTF8_H

#include <stddef.h>
#include <string.h>

/* The length of the character that starts `bytes` (1 to 4), or 0 if none does within `left` (at least 1). */
static inline size_t utf8_length(const unsigned char *bytes, size_t left)
{
	unsigned char first = bytes[0];
	size_t length = first < 0x80   ? 1
			: first < 0xc2 ? 0
			: first < 0xe0 ? 2
			: first < 0xf0 ? 3
			: first < 0xf5 ? 4
				       : 0;

	if (length <= 1 || length > left)
		return length > left ? 0 : length;
	for (size_t i = 1; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	/* The second byte rules out what is overlong, a surrogate, or too high. */
	if ((first == 0xe0 && bytes[1] < 0xa0) || (first == 0xed && bytes[1] > 0x9f) ||
		(first == 0xf0 && bytes[1] < 0x90) || (first == 0xf4 && bytes[1] > 0x8f))
		return 0;
	return length;
}

/*
 * Makes a stranger's words harmless to logs and terminals: each byte that is no UTF-8, and each byte of a control
 * character (C0, DEL, and C1: c2 80 to c2 9f), becomes a '?'.
 */
static inline void utf8_defuse(char *text, size_t left)
{
	unsigned char *bytes = (unsigned char *)text;

	for (size_t length; left > 0; bytes += length, left -= length) {
		length = utf8_length(bytes, left);
		if (length == 0 || bytes[0] < ' ' || bytes[0] == 127 || (bytes[0] == 0xc2 && bytes[1] < 0xa0)) {
			length = length ? length : 1;
			memset(bytes, '?', length);
		}
	}
}

#endif
