/* SPDX-License-Identifier: Apache-2.0 */
/* The server's calls: a request's headers in, dispatched by path; messages and the answer out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "grpc/header.h"
#include "grpc/server_inside.h"

#define WRITABLE_BYTES (256 * 1024)

struct stream_header {
	STAILQ_ENTRY(stream_header) entry;
	const char *value;
	char name[]; /* NUL, then the value */
};

struct grpc_stream {
	struct grpc_exchange exchange; /* first: stream_of */
	struct grpc_connection *connection;
	const struct grpc_handler *handler; /* NULL: not dispatched, or refused */
	void *data;
	bool dispatched;
	bool half_closed;
	bool drained;
	bool ended;

	/* The request. */
	STAILQ_HEAD(stream_headers, stream_header) headers;
	bool is_post, is_grpc, is_timeout_bad;
	struct event *deadline;
	uint64_t deadline_ms; /* when; 0: none */

	/* The answer. */
	bool responded; /* the first HEADERS are submitted */
	bool finished;
	bool trailed; /* the trailers are submitted */
	enum grpc_status status;
	char *message;
};

static struct grpc_stream *stream_of(struct grpc_exchange *exchange)
{
	return (struct grpc_stream *)exchange;
}

static nghttp2_session *stream_session(const struct grpc_stream *stream)
{
	return stream->exchange.link->session;
}

static void stream_destroy(struct grpc_exchange *exchange)
{
	struct grpc_stream *stream = stream_of(exchange);
	struct stream_header *header;

	while ((header = STAILQ_FIRST(&stream->headers))) {
		STAILQ_REMOVE_HEAD(&stream->headers, entry);
		free(header);
	}
	if (stream->deadline)
		event_free(stream->deadline);
	free(stream->message);
	free(stream);
}

void grpc_stream_end(struct grpc_exchange *exchange, enum grpc_status status, const char *reason)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (stream->ended)
		return;
	stream->ended = true;
	exchange->last = true;
	grpc_exchange_detach(exchange);
	if (!stream->connection->ended && TAILQ_EMPTY(&stream->connection->link->exchanges))
		grpc_room_wait(stream->connection);
	if (stream->deadline)
		event_del(stream->deadline);
	if (stream->handler) {
		stream->connection->server->counters.streams_open--;
		if (stream->handler->on_close)
			stream->handler->on_close(stream, stream->data, status, reason);
	}
	grpc_exchange_release(exchange);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static size_t stream_status_headers(struct grpc_stream *stream, nghttp2_nv *headers, char *status, char *message)
{
	size_t count = 0;

	snprintf(status, 12, "%d", (int)stream->status);
	headers[count++] = grpc_nv("grpc-status", status);
	if (stream->message && stream->message[0]) {
		grpc_message_encode(stream->message, message);
		headers[count++] = grpc_nv("grpc-message", message);
	}
	return count;
}

/* The headers of an answer; without messages the status is among them and nothing follows ("Trailers-Only"). */
static void stream_respond(struct grpc_stream *stream, bool trailers_only)
{
	nghttp2_nv headers[5];
	char status[12], message[3 * GRPC_MESSAGE_TEXT_BYTES + 1];
	size_t count = 0;

	stream->responded = true;
	headers[count++] = grpc_nv(":status", "200");
	headers[count++] = grpc_nv("content-type", "application/grpc");
	headers[count++] = grpc_nv("grpc-accept-encoding", "identity");
	if (trailers_only) {
		stream->trailed = true;
		count += stream_status_headers(stream, headers + count, status, message);
	}
	nghttp2_submit_response(stream_session(stream), stream->exchange.id, headers, count,
		trailers_only ? NULL : &grpc_exchange_provider);
	grpc_link_wake(stream->exchange.link);
}

static void stream_trail(struct grpc_stream *stream)
{
	nghttp2_nv headers[2];
	char status[12], message[3 * GRPC_MESSAGE_TEXT_BYTES + 1];

	if (stream->trailed)
		return;
	stream->trailed = true;
	nghttp2_submit_trailer(stream_session(stream), stream->exchange.id, headers,
		stream_status_headers(stream, headers, status, message));
	grpc_link_wake(stream->exchange.link);
}

void grpc_stream_on_trailers(struct grpc_exchange *exchange)
{
	stream_trail(stream_of(exchange));
}

static bool stream_take_status(struct grpc_stream *stream, enum grpc_status status, const char *message)
{
	if (stream->finished || stream->ended)
		return false;
	stream->finished = true;
	stream->status = status;
	stream->message = message ? strndup(message, GRPC_MESSAGE_TEXT_BYTES) : NULL;
	stream->exchange.deaf = true;
	return true;
}

void grpc_stream_finish(struct grpc_stream *stream, enum grpc_status status, const char *message)
{
	if (!stream_take_status(stream, status, message))
		return;
	if (stream->exchange.link && !stream->responded)
		stream_respond(stream, true);
	grpc_exchange_finish(&stream->exchange);
}

/* Finish now: what is queued is dropped, and trailers need no window of the peer's. */
static void stream_fail(struct grpc_stream *stream, enum grpc_status status, const char *message)
{
	bool begun = stream->responded;

	grpc_outbox_clear(&stream->exchange.out);
	/* Finished already, and waiting for the peer to take the rest? Then the new status is the outcome. */
	if (stream->finished && !stream->trailed) {
		free(stream->message);
		stream->finished = false;
	}
	grpc_stream_finish(stream, status, message);
	if (begun && stream->exchange.link)
		stream_trail(stream);
}

void grpc_stream_on_fault(struct grpc_exchange *exchange, enum grpc_status status, const char *reason)
{
	struct grpc_stream *stream = stream_of(exchange);
	struct grpc_server *server = stream->connection->server;

	server->counters.streams_faulted++;
	if (server->options.on_trouble && !server->closed)
		server->options.on_trouble(server->options.context, stream->connection->peer, reason);
	if (!stream->ended) /* on_trouble may have closed everything */
		stream_fail(stream, status, reason);
}

void grpc_stream_on_closed(struct grpc_exchange *exchange, uint32_t error_code)
{
	struct grpc_stream *stream = stream_of(exchange);
	char text[80];

	if (error_code == NGHTTP2_NO_ERROR && stream->trailed) {
		grpc_stream_end(exchange, stream->status, stream->message ? stream->message : "");
		return;
	}
	snprintf(text, sizeof(text), "the peer reset the call: %s", nghttp2_http2_strerror(error_code));
	grpc_stream_end(
		exchange, error_code == NGHTTP2_NO_ERROR ? GRPC_CANCELLED : grpc_status_of_reset(error_code), text);
}

/* --- the request -------------------------------------------------------------------------------------------------- */

int grpc_stream_begin(struct grpc_connection *connection, int32_t id)
{
	struct grpc_stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return -1;
	grpc_exchange_init(&stream->exchange, stream_destroy);
	stream->exchange.max_message_bytes = connection->server->options.max_message_bytes;
	stream->connection = connection;
	STAILQ_INIT(&stream->headers);
	grpc_exchange_attach(&stream->exchange, connection->link, id);
	return 0;
}

static void stream_keep_header(
	struct grpc_stream *stream, const uint8_t *name, size_t name_length, const uint8_t *value, size_t value_length)
{
	struct stream_header *header = malloc(sizeof(*header) + name_length + value_length + 2);

	if (!header)
		return;
	memcpy(header->name, name, name_length);
	header->name[name_length] = 0;
	memcpy(header->name + name_length + 1, value, value_length);
	header->name[name_length + 1 + value_length] = 0;
	header->value = header->name + name_length + 1;
	STAILQ_INSERT_TAIL(&stream->headers, header, entry);
}

static void stream_take_timeout(struct grpc_stream *stream, const uint8_t *value, size_t value_length)
{
	bool valid;
	uint64_t timeout = grpc_timeout_parse(value, value_length, &valid);

	stream->is_timeout_bad = !valid;
	if (valid)
		stream->deadline_ms = grpc_now_ms() + timeout;
}

void grpc_stream_on_header(struct grpc_exchange *exchange, const uint8_t *name, size_t name_length,
	const uint8_t *value, size_t value_length)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (stream->dispatched) /* trailers of a request mean nothing in gRPC */
		return;
	if (grpc_header_is(name, name_length, ":method"))
		stream->is_post = grpc_header_is(value, value_length, "POST");
	else if (grpc_header_is(name, name_length, "content-type"))
		stream->is_grpc = grpc_content_type_fits(value, value_length);
	else if (grpc_header_is(name, name_length, "grpc-encoding"))
		exchange->encoded = !grpc_header_is(value, value_length, "identity");
	else if (grpc_header_is(name, name_length, "grpc-timeout"))
		stream_take_timeout(stream, value, value_length);
	stream_keep_header(stream, name, name_length, value, value_length);
}

static void stream_on_deadline(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	stream_fail(argument, GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
}

static void stream_arm(struct grpc_stream *stream)
{
	uint64_t wait = grpc_stream_remaining_ms(stream);

	if (!stream->deadline_ms)
		return;
	stream->deadline = evtimer_new(stream->connection->server->base, stream_on_deadline, stream);
	if (stream->deadline)
		event_add(
			stream->deadline, &(struct timeval){(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)});
}

/* No gRPC at all: said in HTTP's own terms. */
static void stream_refuse_http(struct grpc_stream *stream, const char *http_status)
{
	nghttp2_nv header = grpc_nv(":status", http_status);

	stream_take_status(stream, GRPC_UNKNOWN, http_status);
	stream->responded = stream->trailed = true;
	stream->exchange.last = true;
	nghttp2_submit_response(stream_session(stream), stream->exchange.id, &header, 1, NULL);
	grpc_link_wake(stream->exchange.link);
}

static const struct grpc_handler *stream_find_handler(const struct grpc_stream *stream)
{
	const struct grpc_server_options *options = &stream->connection->server->options;
	const char *path = grpc_stream_path(stream);

	for (size_t i = 0; i < options->handler_count; i++)
		if (strcmp(options->handlers[i].path, path) == 0)
			return &options->handlers[i];
	return NULL;
}

static void stream_open(struct grpc_stream *stream, const struct grpc_handler *handler)
{
	stream->handler = handler;
	stream->data = handler->context;
	stream->exchange.manual_consume = handler->manual_consume;
	if (handler->max_message_bytes > 0)
		stream->exchange.max_message_bytes = handler->max_message_bytes;
	stream->exchange.writable_below = handler->writable_below ? handler->writable_below : WRITABLE_BYTES;
	stream->connection->server->counters.streams++;
	stream->connection->server->counters.streams_open++;
	stream_arm(stream);
	if (handler->on_open)
		handler->on_open(stream, stream->data);
}

static bool stream_is_admitted(struct grpc_stream *stream)
{
	struct grpc_server *server = stream->connection->server;
	enum grpc_status status = GRPC_OK;
	char why[200] = "";

	if (server->options.admit)
		status = server->options.admit(server->options.context, stream, why, sizeof(why));
	if (status == GRPC_OK)
		return true;
	server->counters.streams_denied++;
	grpc_stream_finish(stream, status, why);
	if (stream->connection->refused)
		grpc_link_drain(stream->connection->link);
	if (server->options.on_trouble)
		server->options.on_trouble(server->options.context, stream->connection->peer, why);
	return false;
}

static void stream_dispatch(struct grpc_stream *stream)
{
	const struct grpc_handler *handler = stream_find_handler(stream);

	stream->dispatched = true;
	if (stream->finished) { /* too many headers */
		stream->connection->server->counters.streams_refused++;
		return;
	}
	if (stream->is_post && stream->is_grpc && !stream->is_timeout_bad && handler) {
		if (stream_is_admitted(stream))
			stream_open(stream, handler);
		return;
	}
	stream->connection->server->counters.streams_refused++;
	if (!stream->is_post)
		stream_refuse_http(stream, "405");
	else if (!stream->is_grpc)
		stream_refuse_http(stream, "415");
	else if (stream->is_timeout_bad)
		grpc_stream_finish(stream, GRPC_INTERNAL, "malformed grpc-timeout");
	else
		grpc_stream_finish(stream, GRPC_UNIMPLEMENTED, "unknown method");
}

void grpc_stream_on_headers(struct grpc_exchange *exchange, bool last)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (!stream->dispatched)
		stream_dispatch(stream);
	if (last && !stream->ended)
		grpc_stream_on_half_closed(exchange);
}

void grpc_stream_on_half_closed(struct grpc_exchange *exchange)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (stream->half_closed || stream->finished)
		return;
	stream->half_closed = true;
	if (!grpc_inbox_is_empty(&exchange->in))
		stream_fail(stream, GRPC_INTERNAL, "the request ended inside a message");
	else if (stream->handler && stream->handler->on_half_close)
		stream->handler->on_half_close(stream, stream->data);
}

void grpc_stream_on_message(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (!stream->handler)
		return;
	stream->connection->server->counters.messages_received++;
	grpc_room_leave(stream->connection);
	if (stream->handler->on_message)
		stream->handler->on_message(stream, stream->data, bytes, length);
}

void grpc_stream_on_writable(struct grpc_exchange *exchange)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (stream->handler && stream->handler->on_writable && !stream->finished)
		stream->handler->on_writable(stream, stream->data);
}

bool grpc_stream_drain(struct grpc_exchange *exchange)
{
	struct grpc_stream *stream = stream_of(exchange);

	if (stream->drained || !stream->handler)
		return false;
	stream->drained = true;
	if (stream->handler->on_drain && !stream->finished)
		stream->handler->on_drain(stream, stream->data);
	return true;
}

/* --- the handlers' functions -------------------------------------------------------------------------------------- */

void grpc_stream_set_data(struct grpc_stream *stream, void *data)
{
	stream->data = data;
}

const char *grpc_stream_peer(const struct grpc_stream *stream)
{
	return stream->connection->peer;
}

const struct grpc_identity *grpc_stream_identity(const struct grpc_stream *stream)
{
	return stream->connection->identity;
}

const char *grpc_stream_path(const struct grpc_stream *stream)
{
	const char *path = grpc_stream_header(stream, ":path");

	return path ? path : "";
}

const char *grpc_stream_header(const struct grpc_stream *stream, const char *name)
{
	const struct stream_header *header;

	STAILQ_FOREACH(header, &stream->headers, entry)
	if (strcmp(header->name, name) == 0)
		return header->value;
	return NULL;
}

uint64_t grpc_stream_remaining_ms(const struct grpc_stream *stream)
{
	uint64_t now = grpc_now_ms();

	if (!stream->deadline_ms)
		return GRPC_NO_DEADLINE;
	return stream->deadline_ms > now ? stream->deadline_ms - now : 0;
}

static int stream_sent(struct grpc_stream *stream, int result)
{
	if (result)
		return result;
	stream->connection->server->counters.messages_sent++;
	if (!stream->responded)
		stream_respond(stream, false);
	return 0;
}

int grpc_stream_send(struct grpc_stream *stream, const void *bytes, size_t length)
{
	if (!stream->exchange.link)
		return -EPIPE;
	return stream_sent(stream, grpc_exchange_send(&stream->exchange, bytes, length));
}

int grpc_stream_send_owned(struct grpc_stream *stream, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context)
{
	if (!stream->exchange.link)
		return -EPIPE;
	return stream_sent(
		stream, grpc_exchange_send_owned(&stream->exchange, bytes, length, release, release_context));
}

size_t grpc_stream_queued(const struct grpc_stream *stream)
{
	return stream->exchange.out.queued;
}

void grpc_stream_consume(struct grpc_stream *stream, size_t bytes)
{
	grpc_exchange_consume(&stream->exchange, bytes);
}
