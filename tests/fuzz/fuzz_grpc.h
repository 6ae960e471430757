/* SPDX-License-Identifier: Apache-2.0 */
/* For the targets of user/grpc/: a peer at the other end of a bufferevent pair, who says the fuzzer's bytes. */
#ifndef TAFFRAIL_FUZZ_GRPC_H
#define TAFFRAIL_FUZZ_GRPC_H

#include "fuzz.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

static inline void fuzz_run(struct event_base *base)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/*
 * Says the bytes in pieces: before each the first byte's bits tell how long, so that cuts fall anywhere. What comes
 * back is thrown away.
 */
static inline void fuzz_say(struct event_base *base, struct bufferevent *peer, const uint8_t *bytes, size_t length)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 7, 9, 64, 1000, 3, 20};
	size_t piece = length > 0 ? pieces[bytes[0] & 7] : 0;

	for (size_t said = length > 0; said < length;) {
		size_t now = length - said < piece ? length - said : piece;

		bufferevent_write(peer, bytes + said, now);
		said += now;
		fuzz_run(base);
		evbuffer_drain(bufferevent_get_input(peer), SIZE_MAX);
	}
	fuzz_run(base);
}

#endif
