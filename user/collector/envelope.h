/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Up message around a batch, opened without touching what is inside: the store keeps the bytes that the sensor sent,
 * not what a second encoder makes of them.
 */
#ifndef TAFFRAIL_COLLECTOR_ENVELOPE_H
#define TAFFRAIL_COLLECTOR_ENVELOPE_H

#include "base/text.h"

enum envelope_kind { ENVELOPE_OTHER, ENVELOPE_HELLO, ENVELOPE_BATCH };

/*
 * Finds the one hello or batch of an Up message; `inside` becomes its bytes. ENVELOPE_OTHER: a kind that later versions
 * add. -EBADMSG: it is no protobuf message, or holds more than one of the two (protobuf would merge them).
 */
int envelope_open(struct text message, enum envelope_kind *kind, struct text *inside);

#endif
