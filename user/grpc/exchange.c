/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of one HTTP/2 stream: DATA frames out of the outbox, the inbox fed, the windows kept. */
#include <errno.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "grpc/header.h"
#include "grpc/link.h"

/* What a connection keeps in its socket's buffer at most, so that queued bytes are the call's own, not hidden here. */
#define OUTPUT_BYTES (256 * 1024)

void grpc_exchange_init(struct grpc_exchange *exchange, void (*destroy)(struct grpc_exchange *exchange))
{
	grpc_outbox_init(&exchange->out);
	exchange->references = 1;
	exchange->destroy = destroy;
}

void grpc_exchange_hold(struct grpc_exchange *exchange)
{
	exchange->references++;
}

void grpc_exchange_release(struct grpc_exchange *exchange)
{
	if (--exchange->references)
		return;
	grpc_exchange_detach(exchange);
	grpc_outbox_clear(&exchange->out);
	grpc_inbox_clear(&exchange->in);
	exchange->destroy(exchange);
}

void grpc_exchange_attach(struct grpc_exchange *exchange, struct grpc_link *link, int32_t id)
{
	exchange->link = link;
	exchange->id = id;
	nghttp2_session_set_stream_user_data(link->session, id, exchange);
	TAILQ_INSERT_TAIL(&link->exchanges, exchange, entry);
	grpc_link_note_exchanges(link);
}

/* Of its link, and of all links that are limited together, the exchange holds so much now. */
static void exchange_account(struct grpc_exchange *exchange, size_t bytes)
{
	struct grpc_link *link = exchange->link;

	link->buffered += bytes - exchange->counted;
	if (link->limits.together)
		*link->limits.together += bytes - exchange->counted;
	exchange->counted = bytes;
}

void grpc_exchange_detach(struct grpc_exchange *exchange)
{
	struct grpc_link *link = exchange->link;

	if (!link)
		return;
	if (exchange->due)
		TAILQ_REMOVE(&link->due, exchange, due_entry);
	exchange->due = false;
	TAILQ_REMOVE(&link->exchanges, exchange, entry);
	exchange_account(exchange, 0);
	nghttp2_session_set_stream_user_data(link->session, exchange->id, NULL);
	exchange->link = NULL;
	grpc_outbox_clear(&exchange->out);
	/* The message that its callback is reading may lie in the inbox: that goes with the last reference. */
	exchange->deaf = true;
	grpc_link_note_exchanges(link);
}

void grpc_exchange_reset(struct grpc_exchange *exchange, uint32_t error_code)
{
	struct grpc_link *link = exchange->link;

	if (!link)
		return;
	grpc_exchange_detach(exchange);
	nghttp2_submit_rst_stream(link->session, NGHTTP2_FLAG_NONE, exchange->id, error_code);
	grpc_link_wake(link);
}

/* --- out -------------------------------------------------------------------------------------------------------- */

static void exchange_wake(struct grpc_exchange *exchange)
{
	if (!exchange->link)
		return;
	if (exchange->deferred) {
		exchange->deferred = false;
		nghttp2_session_resume_data(exchange->link->session, exchange->id);
	}
	grpc_link_wake(exchange->link);
}

static int exchange_sent(struct grpc_exchange *exchange, int result)
{
	if (result)
		return result;
	if (exchange->out.queued > exchange->writable_below)
		exchange->above = true;
	exchange_wake(exchange);
	return 0;
}

int grpc_exchange_send(struct grpc_exchange *exchange, const void *bytes, size_t length)
{
	return exchange->last ? -EPIPE : exchange_sent(exchange, grpc_outbox_add(&exchange->out, bytes, length));
}

int grpc_exchange_send_owned(struct grpc_exchange *exchange, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context)
{
	if (exchange->last)
		return -EPIPE;
	return exchange_sent(exchange, grpc_outbox_add_owned(&exchange->out, bytes, length, release, release_context));
}

void grpc_exchange_finish(struct grpc_exchange *exchange)
{
	exchange->last = true;
	exchange_wake(exchange);
}

/*
 * nghttp2 asks how much of the stream goes into the next DATA frame; grpc_exchange_send_data then moves exactly that, by
 * reference where it is large. Nothing runs between the two.
 */
static ssize_t exchange_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length, uint32_t *flags,
	nghttp2_data_source *source, void *context)
{
	struct grpc_exchange *exchange = nghttp2_session_get_stream_user_data(session, id);
	struct grpc_link *link = context;

	(void)buffer;
	(void)source;
	if (!exchange) /* reset by us: the RST_STREAM is on its way already */
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (exchange->out.queued == 0 && !exchange->last) {
		exchange->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (length > exchange->out.queued)
		length = exchange->out.queued;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (exchange->last && length == exchange->out.queued) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		if (link->role->server) {
			*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
			link->role->trailers(exchange);
		}
	}
	return (ssize_t)length;
}

const nghttp2_data_provider grpc_exchange_provider = {.read_callback = exchange_read};

int grpc_exchange_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_header, size_t length,
	nghttp2_data_source *source, void *context)
{
	struct grpc_link *link = context;
	struct grpc_exchange *exchange = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct evbuffer *output = bufferevent_get_output(link->stream);

	(void)source;
	if (!exchange)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	if (evbuffer_add(output, frame_header, 9) || grpc_outbox_drain(&exchange->out, length, output))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (exchange->above && exchange->out.queued <= exchange->writable_below) {
		exchange->above = false;
		if (!exchange->due)
			TAILQ_INSERT_TAIL(&link->due, exchange, due_entry);
		exchange->due = true;
	}
	return evbuffer_get_length(output) >= OUTPUT_BYTES ? NGHTTP2_ERR_PAUSE : 0;
}

/* --- in --------------------------------------------------------------------------------------------------------- */

static void exchange_credit(struct grpc_exchange *exchange, size_t bytes)
{
	if (!exchange->link || !bytes)
		return;
	nghttp2_session_consume_stream(exchange->link->session, exchange->id, bytes);
	grpc_link_wake(exchange->link);
}

void grpc_exchange_consume(struct grpc_exchange *exchange, size_t bytes)
{
	size_t paid = bytes < exchange->prepaid ? bytes : exchange->prepaid;

	exchange->prepaid -= paid;
	bytes -= paid;
	if (bytes > exchange->held)
		bytes = exchange->held;
	exchange->held -= bytes;
	/* What held its message back may have been we, till now. */
	if (!exchange->held && exchange->message_ms)
		exchange->message_ms = grpc_now_ms();
	exchange_credit(exchange, bytes);
}

void grpc_exchange_fault(struct grpc_exchange *exchange, enum grpc_status status, const char *reason)
{
	exchange->deaf = true;
	exchange_account(exchange, 0);
	grpc_inbox_clear(&exchange->in);
	exchange->link->role->fault(exchange, status, reason);
}

/* The prefix is checked before a byte of the message is kept. */
static bool exchange_prefix_is_fine(struct grpc_exchange *exchange)
{
	if (grpc_inbox_is_compressed(&exchange->in)) {
		if (exchange->encoded)
			grpc_exchange_fault(exchange, GRPC_UNIMPLEMENTED, "compressed messages are not supported");
		else
			grpc_exchange_fault(exchange, GRPC_INTERNAL, "compressed flag set without a grpc-encoding");
		return false;
	}
	if (exchange->in.length > exchange->max_message_bytes) {
		grpc_exchange_fault(exchange, GRPC_RESOURCE_EXHAUSTED, "message larger than this side takes");
		return false;
	}
	return true;
}

/*
 * A message larger than half the stream's window could never be completed if its beginning waited to be consumed: its
 * bytes are given back as they come.
 */
static bool exchange_prepays(const struct grpc_exchange *exchange)
{
	return exchange->in.length > exchange->link->limits.window_bytes / 2;
}

static void exchange_deliver(struct grpc_exchange *exchange, const uint8_t *message)
{
	struct grpc_link *link = exchange->link;
	size_t length = exchange->in.length;
	bool prepaid = exchange_prepays(exchange);

	exchange->message_ms = 0;
	link->mute_ms = 0;
	if (exchange->manual_consume)
		*(prepaid ? &exchange->prepaid : &exchange->held) += length;
	link->role->message(exchange, message, length);
	/* The callback may have ended the exchange, the link, or both. */
	if (!exchange->link)
		return;
	if (!exchange->deaf && !exchange->manual_consume && !prepaid)
		exchange_credit(exchange, length);
	grpc_inbox_clear(&exchange->in);
	exchange_account(exchange, 0);
}

static int exchange_feed(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length)
{
	struct grpc_link *link = exchange->link;

	while (exchange->link && !exchange->deaf) {
		const uint8_t *message;
		size_t taken = 0;
		bool in_prefix = exchange->in.prefix_filled < GRPC_PREFIX_BYTES;
		enum grpc_inbox_result result = grpc_inbox_feed(&exchange->in, bytes, length, &taken, &message);

		if (result == GRPC_INBOX_NO_MEMORY)
			return -ENOMEM;
		bytes += taken;
		length -= taken;
		if (in_prefix || exchange_prepays(exchange))
			exchange_credit(exchange, taken);
		if (in_prefix) {
			/* A message of no bytes is complete with its prefix: once more around. */
			if (result == GRPC_INBOX_MORE ||
				(exchange_prefix_is_fine(exchange) && length == 0 && exchange->in.length))
				return 0;
			continue;
		}
		if (result == GRPC_INBOX_MESSAGE) {
			exchange_deliver(exchange, message);
		} else {
			exchange_account(exchange, exchange->in.capacity);
			if (link->buffered > link->limits.max_buffered_bytes)
				grpc_exchange_fault(exchange, GRPC_RESOURCE_EXHAUSTED,
					"too many bytes in unfinished messages on one connection");
		}
		if (length == 0)
			return 0;
	}
	exchange_credit(exchange, length); /* not wanted any more */
	return 0;
}

/* Since when the peer owes the rest of a message. */
static void exchange_note_message(struct grpc_exchange *exchange)
{
	struct grpc_link *link = exchange->link;

	if (grpc_inbox_is_empty(&exchange->in)) {
		exchange->message_ms = 0;
	} else if (!exchange->message_ms) {
		exchange->message_ms = link->heard_ms;
		if (!link->message_ms) {
			link->message_ms = exchange->message_ms;
			grpc_link_arm(link, link->heard_ms);
		}
	}
}

int grpc_exchange_receive(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length)
{
	int result;

	if (exchange->deaf) {
		exchange_credit(exchange, length);
		return 0;
	}
	grpc_exchange_hold(exchange);
	result = exchange_feed(exchange, bytes, length);
	if (!result && exchange->link && !exchange->deaf)
		exchange_note_message(exchange);
	grpc_exchange_release(exchange);
	return result;
}
