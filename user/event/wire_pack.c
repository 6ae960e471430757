/* SPDX-License-Identifier: Apache-2.0 */
#include "event/wire_pack.h"

#include <stdint.h>
#include <string.h>

enum {
	VARINT = 0, /* protobuf's wire types */
	FIXED64 = 1,
	LENGTH_DELIMITED = 2,
	FIXED32 = 5,
	NUMBER_ROOM = 5 + 10, /* a tag and the longest number */
	MORE = 1024,          /* when room is short */
};

/* Where the next byte goes; both NULL once memory was short. */
struct packer {
	struct buffer *out;
	uint8_t *at, *end;
};

static size_t offset_of(const struct packer *packer)
{
	return (size_t)(packer->at - (uint8_t *)packer->out->data);
}

static bool grow(struct packer *packer, size_t bytes)
{
	if (!packer->at)
		return false;
	packer->out->length = offset_of(packer);
	packer->at = (uint8_t *)buffer_reserve(packer->out, bytes + MORE);
	packer->end = packer->at ? (uint8_t *)packer->out->data + packer->out->room : NULL;
	return packer->at != NULL;
}

static inline bool has_room(struct packer *packer, size_t bytes)
{
	return (packer->at && (size_t)(packer->end - packer->at) >= bytes) || grow(packer, bytes);
}

/* For numbers, whoever calls has made room. */
static inline void put_varint(struct packer *packer, uint64_t value)
{
	while (value >= 0x80) {
		*packer->at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*packer->at++ = (uint8_t)value;
}

static inline void put_tag(struct packer *packer, uint32_t id, unsigned int wire_type)
{
	put_varint(packer, id << 3 | wire_type);
}

static void put_bytes(struct packer *packer, uint32_t id, const void *bytes, size_t length)
{
	if (!has_room(packer, NUMBER_ROOM + length))
		return;
	put_tag(packer, id, LENGTH_DELIMITED);
	put_varint(packer, length);
	if (length)
		memcpy(packer->at, bytes, length);
	packer->at += length;
}

/* Starts something whose length is not known yet: leaves `guess` bytes for it, and returns where its content starts. */
static size_t begin(struct packer *packer, uint32_t id, size_t guess)
{
	if (!has_room(packer, NUMBER_ROOM))
		return 0;
	put_tag(packer, id, LENGTH_DELIMITED);
	packer->at += guess;
	return offset_of(packer);
}

static void finish(struct packer *packer, size_t start, size_t guess)
{
	uint8_t *content;
	size_t length, size = 1;

	if (!has_room(packer, NUMBER_ROOM))
		return;
	content = (uint8_t *)packer->out->data + start;
	length = (size_t)(packer->at - content);
	while (length >> (7 * size))
		size++;
	if (size != guess)
		memmove(content - guess + size, content, length);
	packer->at = content - guess;
	put_varint(packer, length);
	packer->at += length;
}

static void put_message(struct packer *packer, const ProtobufCMessage *message);

static void put_submessage(struct packer *packer, uint32_t id, const ProtobufCMessage *message)
{
	size_t start = begin(packer, id, 1);

	put_message(packer, message);
	finish(packer, start, 1);
}

__attribute__((always_inline)) static inline void put_number(
	struct packer *packer, uint32_t id, uint64_t value, bool always)
{
	if ((!value && !always) || !has_room(packer, NUMBER_ROOM))
		return;
	put_tag(packer, id, VARINT);
	put_varint(packer, value);
}

/* Small numbers stay short, negative ones too. */
static uint64_t zigzag(int32_t value)
{
	return (uint32_t)value << 1 ^ -(uint32_t)(value < 0);
}

static void put_fixed(struct packer *packer, uint32_t id, const void *value, size_t size, bool always)
{
	static const uint8_t zero[8];

	if ((memcmp(value, zero, size) == 0 && !always) || !has_room(packer, NUMBER_ROOM))
		return;
	put_tag(packer, id, size == 8 ? FIXED64 : FIXED32);
	memcpy(packer->at, value, size); /* x86-64, arm64: little-endian as the wire is */
	packer->at += size;
}

/* What is empty is not written, unless it counts by being there (`always`): of a list, or of a oneof. */
__attribute__((always_inline)) static inline void put_value(
	struct packer *packer, const ProtobufCFieldDescriptor *field, const void *value, bool always)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT32: put_number(packer, field->id, *(const uint32_t *)value, always); break;
	case PROTOBUF_C_TYPE_UINT64: put_number(packer, field->id, *(const uint64_t *)value, always); break;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM: /* negative ones take ten bytes */
		put_number(packer, field->id, (uint64_t)(int64_t) * (const int32_t *)value, always);
		break;
	case PROTOBUF_C_TYPE_SINT32: put_number(packer, field->id, zigzag(*(const int32_t *)value), always); break;
	case PROTOBUF_C_TYPE_INT64: put_number(packer, field->id, (uint64_t) * (const int64_t *)value, always); break;
	case PROTOBUF_C_TYPE_BOOL:
		put_number(packer, field->id, *(const protobuf_c_boolean *)value != 0, always);
		break;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64: put_fixed(packer, field->id, value, 8, always); break;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32: put_fixed(packer, field->id, value, 4, always); break;
	case PROTOBUF_C_TYPE_STRING: {
		const char *string = *(const char *const *)value;
		size_t length = string ? strlen(string) : 0;

		if (length || always)
			put_bytes(packer, field->id, string, length);
		break;
	}
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *bytes = value;

		if (bytes->len || always)
			put_bytes(packer, field->id, bytes->data, bytes->len);
		break;
	}
	case PROTOBUF_C_TYPE_MESSAGE: {
		const ProtobufCMessage *message = *(const ProtobufCMessage *const *)value;

		if (message)
			put_submessage(packer, field->id, message);
		break;
	}
	default: packer->out->failed = true; break;
	}
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64: return sizeof(uint64_t);
	default: return sizeof(uint32_t); /* an int is what protobuf-c has for enums and bools */
	}
}

/* A packed list of numbers: one length, then each without a tag. Of those, the schema has enums, int32 and uint64 alone. */
static void put_packed(struct packer *packer, const ProtobufCFieldDescriptor *field, const void *items, size_t count)
{
	size_t start = begin(packer, field->id, 1);
	bool wide = field->type == PROTOBUF_C_TYPE_UINT64;

	packer->out->failed |= !wide && field->type != PROTOBUF_C_TYPE_ENUM && field->type != PROTOBUF_C_TYPE_INT32;
	for (size_t i = 0; i < count && has_room(packer, NUMBER_ROOM); i++)
		put_varint(
			packer, wide ? ((const uint64_t *)items)[i] : (uint64_t)(int64_t)((const int32_t *)items)[i]);
	finish(packer, start, 1);
}

static void put_list(struct packer *packer, const ProtobufCFieldDescriptor *field, const char *items, size_t count)
{
	size_t size = size_of(field->type);

	if (count && field->flags & PROTOBUF_C_FIELD_FLAG_PACKED) {
		put_packed(packer, field, items, count);
		return;
	}
	for (size_t i = 0; i < count; i++)
		put_value(packer, field, items + i * size, true);
}

/* Most fields of most messages are empty: they are passed over before anything else. */
static inline bool is_empty(const ProtobufCFieldDescriptor *field, const void *value)
{
	const unsigned int narrow = 1u << PROTOBUF_C_TYPE_INT32 | 1u << PROTOBUF_C_TYPE_SINT32 |
				    1u << PROTOBUF_C_TYPE_UINT32 | 1u << PROTOBUF_C_TYPE_FIXED32 |
				    1u << PROTOBUF_C_TYPE_SFIXED32 | 1u << PROTOBUF_C_TYPE_BOOL |
				    1u << PROTOBUF_C_TYPE_ENUM;

	/* All others start with 8 bytes that are zero if they are empty: a number, a pointer, a length. */
	return narrow >> field->type & 1 ? *(const uint32_t *)value == 0 : *(const uint64_t *)value == 0;
}

static void put_message(struct packer *packer, const ProtobufCMessage *message)
{
	const ProtobufCFieldDescriptor *field = message->descriptor->fields;
	const ProtobufCFieldDescriptor *end = field + message->descriptor->n_fields;
	const char *base = (const char *)message;

	for (; field < end; field++) {
		const void *value = base + field->offset, *quantifier = base + field->quantifier_offset;

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			put_list(packer, field, *(const char *const *)value, *(const size_t *)quantifier);
		else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			if (*(const uint32_t *)quantifier == field->id)
				put_value(packer, field, value, true);
		} else if (!is_empty(field, value)) {
			put_value(packer, field, value, false);
		}
	}
}

void wire_pack(struct buffer *out, unsigned int outer, unsigned int inner, const ProtobufCMessage *message)
{
	enum { GUESS = 2 }; /* events and processes have 128 bytes or more, as a rule */
	struct packer packer = {.out = out};
	size_t outer_start, inner_start;

	packer.at = (uint8_t *)buffer_reserve(out, MORE);
	if (!packer.at)
		return;
	packer.end = (uint8_t *)out->data + out->room;
	outer_start = begin(&packer, outer, GUESS);
	inner_start = begin(&packer, inner, GUESS);
	put_message(&packer, message);
	finish(&packer, inner_start, GUESS);
	finish(&packer, outer_start, GUESS);
	if (packer.at)
		out->length = offset_of(&packer);
}
