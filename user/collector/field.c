/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/field.h"

#include <errno.h>

#include "base/little.h"

/* A varint at the front, of up to ten bytes even where fewer would do. */
static int take_long(struct text *from, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < from->length && i < 10; i++) {
		uint8_t byte = (uint8_t)from->data[i];

		*value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (byte & 0x80)
			continue;
		*from = text_tail(*from, i + 1);
		return 0; /* what is above 64 bits is dropped, as every reader of protobuf does */
	}
	return -EBADMSG;
}

/* Most have one byte or two: each event of a store is asked at each start. */
static inline int take_varint(struct text *from, uint64_t *value)
{
	const uint8_t *bytes = (const uint8_t *)from->data;

	if (from->length < 2 || (bytes[0] & bytes[1] & 0x80))
		return take_long(from, value);
	*value = bytes[0] & 0x80 ? (uint64_t)(bytes[0] & 0x7f) | (uint64_t)bytes[1] << 7 : bytes[0];
	*from = text_tail(*from, bytes[0] & 0x80 ? 2 : 1);
	return 0;
}

static inline int take_bytes(struct text *from, uint64_t length, struct text *bytes)
{
	if (length > from->length)
		return -EBADMSG;
	*bytes = text_head(*from, (size_t)length);
	*from = text_tail(*from, (size_t)length);
	return 0;
}

int field_take(struct text *message, struct field *field)
{
	struct text number;
	uint64_t tag;

	if (take_varint(message, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
		return -EBADMSG;
	field->number = (uint32_t)(tag >> 3);
	field->type = (enum field_type)(tag & 7);
	switch (field->type) {
	case FIELD_VARINT: return take_varint(message, &field->value);
	case FIELD_BYTES:
		return take_varint(message, &field->value) < 0 ? -EBADMSG
							       : take_bytes(message, field->value, &field->bytes);
	case FIELD_FIXED64:
		if (take_bytes(message, 8, &number) < 0)
			return -EBADMSG;
		field->value = get64((const uint8_t *)number.data);
		return 0;
	case FIELD_FIXED32:
		if (take_bytes(message, 4, &number) < 0)
			return -EBADMSG;
		field->value = get32((const uint8_t *)number.data);
		return 0;
	default: return -EBADMSG;
	}
}
