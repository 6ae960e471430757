/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#define INBOX_FIRST_BYTES 4096
#define REFERENCE_BYTES 4096 /* below this a copy is cheaper than a chain of its own */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool inbox_grow(struct grpc_inbox *inbox, size_t wanted)
{
	size_t capacity = inbox->capacity ? inbox->capacity : INBOX_FIRST_BYTES;
	uint8_t *grown;

	if (wanted <= inbox->capacity)
		return true;
	while (capacity < wanted)
		capacity *= 2;
	if (capacity > inbox->length)
		capacity = inbox->length;
	grown = realloc(inbox->bytes, capacity);
	if (!grown)
		return false;
	inbox->bytes = grown;
	inbox->capacity = capacity;
	return true;
}

static enum grpc_inbox_result inbox_feed_prefix(
	struct grpc_inbox *inbox, const uint8_t *bytes, size_t available, size_t *taken)
{
	const uint8_t *p = inbox->prefix;

	*taken = smaller(GRPC_PREFIX_BYTES - (size_t)inbox->prefix_filled, available);
	memcpy(inbox->prefix + inbox->prefix_filled, bytes, *taken);
	inbox->prefix_filled += (uint8_t)*taken;
	if (inbox->prefix_filled < GRPC_PREFIX_BYTES)
		return GRPC_INBOX_MORE;
	inbox->length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	inbox->filled = 0;
	return GRPC_INBOX_PREFIX;
}

enum grpc_inbox_result grpc_inbox_feed(
	struct grpc_inbox *inbox, const uint8_t *bytes, size_t available, size_t *taken, const uint8_t **message)
{
	if (inbox->prefix_filled < GRPC_PREFIX_BYTES)
		return inbox_feed_prefix(inbox, bytes, available, taken);

	*taken = smaller(inbox->length - inbox->filled, available);
	if (inbox->filled == 0 && *taken == inbox->length) {
		*message = bytes;
		return GRPC_INBOX_MESSAGE;
	}
	if (!inbox_grow(inbox, inbox->filled + *taken))
		return GRPC_INBOX_NO_MEMORY;
	memcpy(inbox->bytes + inbox->filled, bytes, *taken);
	inbox->filled += *taken;
	if (inbox->filled < inbox->length)
		return GRPC_INBOX_MORE;
	*message = inbox->bytes;
	return GRPC_INBOX_MESSAGE;
}

bool grpc_inbox_is_empty(const struct grpc_inbox *inbox)
{
	return inbox->prefix_filled == 0;
}

void grpc_inbox_clear(struct grpc_inbox *inbox)
{
	free(inbox->bytes);
	memset(inbox, 0, sizeof(*inbox));
}

/* One message on its way out. The outbox holds one reference, each piece that an evbuffer points to another. */
struct grpc_letter {
	STAILQ_ENTRY(grpc_letter) entry;
	unsigned references;
	uint8_t prefix[GRPC_PREFIX_BYTES];
	size_t sent; /* prefix included */
	size_t length;
	uint8_t *bytes;
	void (*release)(void *bytes, void *release_context); /* NULL: the bytes are `copy` */
	void *release_context;
	uint8_t copy[];
};

static void letter_drop(struct grpc_letter *letter)
{
	if (--letter->references)
		return;
	if (letter->release)
		letter->release(letter->bytes, letter->release_context);
	free(letter);
}

static void letter_drop_reference(const void *data, size_t length, void *letter)
{
	(void)data;
	(void)length;
	letter_drop(letter);
}

void grpc_outbox_init(struct grpc_outbox *outbox)
{
	STAILQ_INIT(&outbox->letters);
	outbox->queued = 0;
}

static struct grpc_letter *outbox_letter(struct grpc_outbox *outbox, size_t length, size_t copy)
{
	struct grpc_letter *letter = malloc(sizeof(*letter) + copy);

	if (!letter)
		return NULL;
	*letter = (struct grpc_letter){.references = 1,
		.length = length,
		.prefix = {
			0, (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length}};
	STAILQ_INSERT_TAIL(&outbox->letters, letter, entry);
	outbox->queued += GRPC_PREFIX_BYTES + length;
	return letter;
}

int grpc_outbox_add(struct grpc_outbox *outbox, const void *bytes, size_t length)
{
	struct grpc_letter *letter;

	if (length > UINT32_MAX)
		return -EMSGSIZE;
	letter = outbox_letter(outbox, length, length);
	if (!letter)
		return -ENOMEM;
	letter->bytes = letter->copy;
	if (length)
		memcpy(letter->copy, bytes, length);
	return 0;
}

int grpc_outbox_add_owned(struct grpc_outbox *outbox, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context)
{
	struct grpc_letter *letter;

	if (length > UINT32_MAX)
		return -EMSGSIZE;
	letter = outbox_letter(outbox, length, 0);
	if (!letter)
		return -ENOMEM;
	letter->bytes = bytes;
	letter->release = release;
	letter->release_context = release_context;
	return 0;
}

static int letter_drain_body(struct grpc_letter *letter, size_t amount, struct evbuffer *output)
{
	const uint8_t *from = letter->bytes + (letter->sent - GRPC_PREFIX_BYTES);

	if (amount < REFERENCE_BYTES)
		return evbuffer_add(output, from, amount) ? -ENOMEM : 0;
	if (evbuffer_add_reference(output, from, amount, letter_drop_reference, letter))
		return -ENOMEM;
	letter->references++;
	return 0;
}

int grpc_outbox_drain(struct grpc_outbox *outbox, size_t amount, struct evbuffer *output)
{
	while (amount) {
		struct grpc_letter *letter = STAILQ_FIRST(&outbox->letters);
		size_t piece;

		if (letter->sent < GRPC_PREFIX_BYTES) {
			piece = smaller(GRPC_PREFIX_BYTES - letter->sent, amount);
			if (evbuffer_add(output, letter->prefix + letter->sent, piece))
				return -ENOMEM;
		} else {
			piece = smaller(GRPC_PREFIX_BYTES + letter->length - letter->sent, amount);
			if (letter_drain_body(letter, piece, output))
				return -ENOMEM;
		}
		letter->sent += piece;
		outbox->queued -= piece;
		amount -= piece;
		if (letter->sent == GRPC_PREFIX_BYTES + letter->length) {
			STAILQ_REMOVE_HEAD(&outbox->letters, entry);
			letter_drop(letter);
		}
	}
	return 0;
}

void grpc_outbox_clear(struct grpc_outbox *outbox)
{
	struct grpc_letter *letter;

	while ((letter = STAILQ_FIRST(&outbox->letters))) {
		STAILQ_REMOVE_HEAD(&outbox->letters, entry);
		letter_drop(letter);
	}
	outbox->queued = 0;
}
