/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/host_text.h"

#include <stdio.h>

size_t host_text_put(char *word, struct text host)
{
	size_t length = 0;

	for (size_t i = 0; i < host.length; i++) {
		unsigned char byte = (unsigned char)host.data[i];

		if (byte > ' ' && byte < 127 && byte != '\\')
			word[length++] = (char)byte;
		else
			length += (size_t)sprintf(word + length, "\\x%02x", byte);
	}
	word[length] = '\0';
	return length;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t host_text_take(char host[SEGMENT_HOST_MAX], struct text word)
{
	size_t length = 0;

	while (word.length > 0) {
		size_t taken = 1;

		if (length == SEGMENT_HOST_MAX)
			return 0;
		host[length] = word.data[0];
		if (word.data[0] == '\\') {
			taken = 4;
			if (word.length < taken || word.data[1] != 'x' || digit(word.data[2]) < 0 ||
				digit(word.data[3]) < 0)
				return 0;
			host[length] = (char)(digit(word.data[2]) << 4 | digit(word.data[3]));
		}
		length++;
		word = text_tail(word, taken);
	}
	return length;
}
