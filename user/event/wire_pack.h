/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of protobuf-c to bytes, in one pass: protobuf-c itself walks each message twice, and three fifths of what an
 * event cost the sensor was that. The bytes are the same.
 */
#ifndef TAFFRAIL_WIRE_PACK_H
#define TAFFRAIL_WIRE_PACK_H

#include <protobuf-c/protobuf-c.h>

#include "base/buffer.h"

/*
 * Appends `outer{ inner: message }`: the two numbers are those of fields, below 16. Without memory, or where the schema
 * has a type that is not written here (sint64, float, double), out->failed is set.
 */
void wire_pack(struct buffer *out, unsigned int outer, unsigned int inner, const ProtobufCMessage *message);

#endif
