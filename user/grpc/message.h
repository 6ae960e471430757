/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of grpc/: length-prefixed messages, cut out of a byte stream (inbox) and put into one (outbox). Neither knows
 * HTTP/2.
 */
#ifndef TAFFRAIL_GRPC_MESSAGE_H
#define TAFFRAIL_GRPC_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct evbuffer;

#define GRPC_PREFIX_BYTES 5 /* compressed flag, big-endian length */

/* --- in --------------------------------------------------------------------------------------------------------- */

/* Zeroed is empty. */
struct grpc_inbox {
	uint8_t prefix[GRPC_PREFIX_BYTES];
	uint8_t prefix_filled;
	size_t length; /* of the message at hand, once the prefix is complete */
	size_t filled; /* bytes of it so far */
	size_t capacity;
	uint8_t *bytes;
};

enum grpc_inbox_result {
	GRPC_INBOX_MORE,    /* all bytes are taken, the message is not complete */
	GRPC_INBOX_PREFIX,  /* the prefix is complete: check `length` and the flag before feeding on */
	GRPC_INBOX_MESSAGE, /* *message is complete; valid until the next feed or clear */
	GRPC_INBOX_NO_MEMORY,
};

/*
 * Take from `bytes` up to the next of these events; *taken says how many were. A message that lies whole in `bytes` is
 * handed out from there without a copy. The buffer grows with what arrives, never ahead of it by more than double or 4 KiB, and
 * is there for one message only: between two of them an inbox holds nothing.
 */
enum grpc_inbox_result grpc_inbox_feed(
	struct grpc_inbox *inbox, const uint8_t *bytes, size_t available, size_t *taken, const uint8_t **message);
/* Between two messages? */
bool grpc_inbox_is_empty(const struct grpc_inbox *inbox);
static inline bool grpc_inbox_is_compressed(const struct grpc_inbox *inbox)
{
	return inbox->prefix[0] != 0;
}
/* After a message, or to forget what there is of one. */
void grpc_inbox_clear(struct grpc_inbox *inbox);

/* --- out -------------------------------------------------------------------------------------------------------- */

struct grpc_letter;
STAILQ_HEAD(grpc_letters, grpc_letter);

struct grpc_outbox {
	struct grpc_letters letters;
	size_t queued; /* bytes, prefixes included */
};

void grpc_outbox_init(struct grpc_outbox *outbox);
/* See grpc_call_send and grpc_call_send_owned for ownership; -EMSGSIZE, -ENOMEM. */
int grpc_outbox_add(struct grpc_outbox *outbox, const void *bytes, size_t length);
int grpc_outbox_add_owned(struct grpc_outbox *outbox, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context);
/* Move the next `amount` bytes (at most `queued`) to `output`; large pieces by reference. 0 or -ENOMEM. */
int grpc_outbox_drain(struct grpc_outbox *outbox, size_t amount, struct evbuffer *output);
void grpc_outbox_clear(struct grpc_outbox *outbox);

#endif
