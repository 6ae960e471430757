/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes are those that protobuf-c writes, whatever is set. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/text.h"
#include "event/wire_pack.h"
#include "taffrail/v1/stream.pb-c.h"

enum { TRIES = 20000 };

static uint64_t number(void)
{
	return ((uint64_t)rand() << 33 ^ (uint64_t)rand()) >> rand() % 64 & (uint64_t) - (rand() % 3 > 0);
}

/* Fills every kind of field of the descriptor at random: so a field that is added is tested too. */
static void fill(ProtobufCMessage *message, unsigned int depth)
{
	static char bytes[400] = "abc";
	static char text[64] = "text";
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;

	for (unsigned int i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		char *value = (char *)message + field->offset;
		uint64_t any = number();
		int32_t narrow = (int32_t)any;

		if (field->label == PROTOBUF_C_LABEL_REPEATED)
			continue; /* test_wire.c has them */
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			uint32_t *chosen = (void *)((char *)message + field->quantifier_offset);

			if (*chosen != 0 || rand() % 3 == 0)
				continue;
			*chosen = field->id;
		}
		switch (field->type) {
		case PROTOBUF_C_TYPE_BOOL: narrow &= 1; /* fall through */
		case PROTOBUF_C_TYPE_INT32:
		case PROTOBUF_C_TYPE_SINT32:
		case PROTOBUF_C_TYPE_UINT32:
		case PROTOBUF_C_TYPE_ENUM: memcpy(value, &narrow, sizeof(narrow)); break;
		case PROTOBUF_C_TYPE_INT64:
		case PROTOBUF_C_TYPE_UINT64:
		case PROTOBUF_C_TYPE_FIXED64: memcpy(value, &any, sizeof(any)); break;
		case PROTOBUF_C_TYPE_STRING:
			if (rand() % 2)
				*(char **)(void *)value = text;
			break;
		case PROTOBUF_C_TYPE_BYTES:
			*(ProtobufCBinaryData *)(void *)value =
				(ProtobufCBinaryData){(size_t)(rand() % 2 * rand() % 400), (uint8_t *)bytes};
			break;
		case PROTOBUF_C_TYPE_MESSAGE:
			if (rand() % 2 || depth > 3)
				break;
			*(ProtobufCMessage **)(void *)value =
				calloc(1, ((const ProtobufCMessageDescriptor *)field->descriptor)->sizeof_message);
			((const ProtobufCMessageDescriptor *)field->descriptor)
				->message_init(*(ProtobufCMessage **)(void *)value);
			fill(*(ProtobufCMessage **)(void *)value, depth + 1);
			break;
		default: cr_assert_fail("%s.%s has a type that is not tested", descriptor->name, field->name);
		}
	}
}

static void drop(ProtobufCMessage *message)
{
	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		bool chosen =
			!(field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
			*(const uint32_t *)(const void *)((char *)message + field->quantifier_offset) == field->id;
		ProtobufCMessage *inner;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE || field->label == PROTOBUF_C_LABEL_REPEATED || !chosen)
			continue;
		inner = *(ProtobufCMessage **)(void *)((char *)message + field->offset);
		if (!inner)
			continue;
		drop(inner);
		free(inner);
	}
}

/* Takes the tag and the length off; what is left must be as long as it says. */
static struct text inside(struct text outer, uint8_t tag)
{
	uint64_t length = 0;
	size_t at = 1;

	cr_assert_eq((uint8_t)outer.data[0], tag);
	for (int shift = 0;; shift += 7) {
		length |= (uint64_t)(outer.data[at] & 0x7f) << shift;
		if (!(outer.data[at++] & 0x80))
			break;
	}
	cr_assert_eq(length, outer.length - at);
	return (struct text){outer.data + at, outer.length - at};
}

Test(wire_pack, bytes_are_those_of_protobuf_c)
{
	const ProtobufCMessageDescriptor *const kinds[] = {&taffrail__v1__event__descriptor,
		&taffrail__v1__process__descriptor, &taffrail__v1__container__descriptor};
	struct buffer out = {0};

	srand(1);
	for (int i = 0; i < TRIES; i++) {
		const ProtobufCMessageDescriptor *kind = kinds[i % 3];
		ProtobufCMessage *message = calloc(1, kind->sizeof_message);
		uint8_t expected[8192];
		struct text content;
		size_t length;

		kind->message_init(message);
		fill(message, 0);
		length = protobuf_c_message_get_packed_size(message);
		cr_assert_leq(length, sizeof(expected));
		protobuf_c_message_pack(message, expected);
		if (i % 64 == 0)
			buffer_free(&out); /* it grows anew, within messages too */
		buffer_clear(&out);
		wire_pack(&out, 5, 3, message);
		cr_assert(!out.failed);
		content = inside(inside((struct text){out.data, out.length}, 5 << 3 | 2), 3 << 3 | 2);
		cr_assert(text_equal(content, (struct text){(const char *)expected, length}), "try %d", i);
		drop(message);
		free(message);
	}
	buffer_free(&out);
}
