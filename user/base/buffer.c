/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buffer.h"

#include <stdint.h>
#include <stdlib.h>

char *buffer_reserve(struct buffer *buffer, size_t bytes)
{
	size_t room = buffer->room ? buffer->room : 256;

	if (bytes <= buffer->room - buffer->length && buffer->data)
		return buffer->data + buffer->length;
	if (bytes > SIZE_MAX / 2 - buffer->length) {
		buffer->failed = true;
		return NULL;
	}
	while (room < buffer->length + bytes)
		room *= 2;

	char *data = realloc(buffer->data, room);

	if (!data) {
		buffer->failed = true;
		return NULL;
	}
	buffer->data = data;
	buffer->room = room;
	return data + buffer->length;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}
