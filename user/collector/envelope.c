/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/envelope.h"

#include <errno.h>

#include "collector/field.h"

enum { UP_HELLO = 1, UP_BATCH = 2 }; /* field numbers of stream.proto */

int envelope_open(struct text message, enum envelope_kind *kind, struct text *inside)
{
	struct field field;

	*kind = ENVELOPE_OTHER;
	while (message.length > 0) {
		if (field_take(&message, &field) < 0)
			return -EBADMSG;
		if (field.number != UP_HELLO && field.number != UP_BATCH)
			continue;
		if (field.type != FIELD_BYTES || *kind != ENVELOPE_OTHER)
			return -EBADMSG;
		*kind = field.number == UP_HELLO ? ENVELOPE_HELLO : ENVELOPE_BATCH;
		*inside = field.bytes;
	}
	return 0;
}
