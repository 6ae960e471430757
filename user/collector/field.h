/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a protobuf message, one after another, as they stand in its bytes
 * (https://protobuf.dev/programming-guides/encoding): for whoever needs few of many, and builds no message of them.
 */
#ifndef TAFFRAIL_COLLECTOR_FIELD_H
#define TAFFRAIL_COLLECTOR_FIELD_H

#include <stdint.h>

#include "base/text.h"

/* Protobuf's wire types; groups are not used. */
enum field_type { FIELD_VARINT = 0, FIELD_FIXED64 = 1, FIELD_BYTES = 2, FIELD_FIXED32 = 5 };

struct field {
	uint32_t number;
	enum field_type type;
	uint64_t value;    /* of a number */
	struct text bytes; /* of FIELD_BYTES: a view */
};

/* Takes the first field off the front of a message that is not empty. 0 or -EBADMSG. */
int field_take(struct text *message, struct field *field);

#endif
