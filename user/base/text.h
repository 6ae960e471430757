/* SPDX-License-Identifier: Apache-2.0 */
/* Text: a view of bytes that somebody else owns. */
#ifndef TAFFRAIL_TEXT_H
#define TAFFRAIL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* `length` bytes at `data`; not NUL-terminated, may hold NUL bytes and any encoding. length 0: absent or empty. */
struct text {
	const char *data;
	size_t length;
};

#define TEXT_LITERAL(string) ((struct text){(string), sizeof(string) - 1})
/* The same where the compiler wants a constant. */
#define TEXT_STATIC(string)                                                                                            \
	{                                                                                                              \
		(string), sizeof(string) - 1                                                                           \
	}

static inline struct text text_of(const char *string)
{
	return (struct text){string, string ? strlen(string) : 0};
}

static inline bool text_equal(struct text a, struct text b)
{
	return a.length == b.length && (a.length == 0 || (a.data && b.data && memcmp(a.data, b.data, a.length) == 0));
}

static inline bool text_starts_with(struct text a, struct text prefix)
{
	return a.length >= prefix.length && (prefix.length == 0 || memcmp(a.data, prefix.data, prefix.length) == 0);
}

/* The first `length` bytes, and all but the first `length`: it has so many. */
static inline struct text text_head(struct text text, size_t length)
{
	return (struct text){text.data, length};
}

static inline struct text text_tail(struct text text, size_t length)
{
	return (struct text){text.data + length, text.length - length};
}

static inline bool text_ends_with(struct text a, struct text end)
{
	return a.length >= end.length && text_equal(text_tail(a, a.length - end.length), end);
}

/* Takes the next part, up to `delimiter` or the end, and the delimiter, off the front of `rest`. */
static inline struct text text_next(struct text *rest, char delimiter)
{
	const char *end;
	struct text part;

	if (rest->length == 0)
		return (struct text){0};
	end = memchr(rest->data, delimiter, rest->length);
	part = text_head(*rest, end ? (size_t)(end - rest->data) : rest->length);
	*rest = text_tail(*rest, part.length + (end != NULL));
	return part;
}

#endif
