/* SPDX-License-Identifier: Apache-2.0 */
#include "event/command_line.h"

#include <stdlib.h>
#include <string.h>

/* Does a shell take this byte as it is, anywhere in a word? */
static bool is_plain(unsigned char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
	       byte >= 0x80 || (byte != '\0' && strchr("_@%+=:,./-", byte));
}

/*
 * Appends one word at `to`; returns how far it went. At most 4 bytes for each of the word's, and 2. A shell takes a
 * first word with an = for an assignment.
 */
static size_t put_word(char *to, struct text word, bool first)
{
	bool plain = word.length > 0;
	size_t length = 0;

	for (size_t i = 0; i < word.length && plain; i++)
		plain = is_plain((unsigned char)word.data[i]) && !(first && word.data[i] == '=');
	if (plain) {
		memcpy(to, word.data, word.length);
		return word.length;
	}
	to[length++] = '\'';
	for (size_t i = 0; i < word.length; i++) {
		if (word.data[i] == '\'') {
			memcpy(to + length, "'\\''", 4);
			length += 4;
		} else {
			to[length++] = word.data[i];
		}
	}
	to[length++] = '\'';
	return length;
}

struct text command_line(struct text args, char *room, size_t room_size)
{
	size_t worst = 4 * args.length + 4, length = 0;
	char *line = room;

	if (worst > room_size)
		line = malloc(worst);
	if (!line)
		return (struct text){0};
	while (args.length > 0) {
		const char *end = memchr(args.data, '\0', args.length);
		struct text word = {args.data, end ? (size_t)(end - args.data) : args.length};
		size_t skip = word.length + (end != NULL);

		if (length > 0)
			line[length++] = ' ';
		length += put_word(line + length, word, length == 0);
		args.data += skip;
		args.length -= skip;
	}
	return (struct text){line, length};
}
