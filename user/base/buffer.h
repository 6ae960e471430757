/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that grow. */
#ifndef TAFFRAIL_BUFFER_H
#define TAFFRAIL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* All zero: empty. `failed` stays set once memory was short: hot code appends on and looks once, at its end. */
struct buffer {
	char *data;
	size_t length, room;
	bool failed;
};

/* Makes room for `bytes` more and returns where they go (then add to `length`); NULL and `failed` without memory. */
char *buffer_reserve(struct buffer *buffer, size_t bytes);

static inline void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
	char *to = length <= buffer->room - buffer->length ? buffer->data + buffer->length
							   : buffer_reserve(buffer, length);

	if (length == 0 || !to)
		return;
	memcpy(to, data, length);
	buffer->length += length;
}

/* Empties it and forgets the failure; keeps the memory. */
static inline void buffer_clear(struct buffer *buffer)
{
	buffer->length = 0;
	buffer->failed = false;
}

/* Gives the memory back; may run twice. */
void buffer_free(struct buffer *buffer);

#endif
