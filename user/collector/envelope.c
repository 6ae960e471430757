/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/envelope.h"

#include <errno.h>
#include <stdint.h>

enum { FIELD_HELLO = 1, FIELD_BATCH = 2 };                           /* stream.proto */
enum { VARINT = 0, FIXED64 = 1, LENGTH_DELIMITED = 2, FIXED32 = 5 }; /* protobuf's wire types; groups are not used */

/* Takes a varint off the front, of up to ten bytes even where fewer would do. */
static int take_varint(struct text *from, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < from->length && i < 10; i++) {
		uint8_t byte = (uint8_t)from->data[i];

		*value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if (byte & 0x80)
			continue;
		from->data += i + 1;
		from->length -= i + 1;
		return i == 9 && byte > 1 ? -EBADMSG : 0;
	}
	return -EBADMSG;
}

static int take_bytes(struct text *from, uint64_t length, struct text *bytes)
{
	if (length > from->length)
		return -EBADMSG;
	*bytes = (struct text){from->data, (size_t)length};
	from->data += length;
	from->length -= (size_t)length;
	return 0;
}

/* One field's value; `bytes` is set where it is length-delimited. */
static int take_value(struct text *from, unsigned type, struct text *bytes)
{
	uint64_t number;

	switch (type) {
	case VARINT: return take_varint(from, &number);
	case FIXED64: return take_bytes(from, 8, bytes);
	case FIXED32: return take_bytes(from, 4, bytes);
	case LENGTH_DELIMITED: return take_varint(from, &number) < 0 ? -EBADMSG : take_bytes(from, number, bytes);
	default: return -EBADMSG;
	}
}

int envelope_open(struct text message, enum envelope_kind *kind, struct text *inside)
{
	*kind = ENVELOPE_OTHER;
	while (message.length > 0) {
		struct text value = {0};
		uint64_t tag;

		if (take_varint(&message, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3 ||
			take_value(&message, tag & 7, &value) < 0)
			return -EBADMSG;
		if (tag >> 3 != FIELD_HELLO && tag >> 3 != FIELD_BATCH)
			continue;
		if ((tag & 7) != LENGTH_DELIMITED || *kind != ENVELOPE_OTHER)
			return -EBADMSG;
		*kind = tag >> 3 == FIELD_HELLO ? ENVELOPE_HELLO : ENVELOPE_BATCH;
		*inside = value;
	}
	return 0;
}
