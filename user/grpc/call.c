/* SPDX-License-Identifier: Apache-2.0 */
/* The client's calls: a request's headers out, an answer's headers, messages and trailers in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "grpc/client_inside.h"
#include "grpc/header.h"

#define WRITABLE_BYTES (256 * 1024)
#define METADATA_MAX 64
#define OWN_HEADERS 9

struct grpc_call {
	struct grpc_exchange exchange; /* first: grpc_call_of */
	struct grpc_client *client;
	struct grpc_call_options options;
	char *path;                   /* until it is sent */
	struct grpc_header *metadata; /* until it is sent, our own copies */
	struct event *deadline;
	uint64_t deadline_ms; /* when it is */
	bool waiting;         /* in the client's list, not yet in the link's */
	bool done;

	unsigned http_status;
	bool is_grpc; /* the content-type says so */
	bool checked; /* of the final answer */
	bool has_status;
	enum grpc_status status;
	char *message;
};

static void call_forget_request(struct grpc_call *call)
{
	for (size_t i = 0; call->metadata && i < call->options.metadata_count; i++) {
		free((char *)call->metadata[i].name);
		free((char *)call->metadata[i].value);
	}
	free(call->metadata);
	free(call->path);
	call->metadata = NULL;
	call->path = NULL;
}

static void call_destroy(struct grpc_exchange *exchange)
{
	struct grpc_call *call = grpc_call_of(exchange);

	call_forget_request(call);
	free(call->message);
	if (call->deadline)
		event_free(call->deadline);
	free(call);
}

/* No callback after this. */
static void call_leave(struct grpc_call *call)
{
	call->done = true;
	if (call->waiting)
		TAILQ_REMOVE(&call->client->waiting, &call->exchange, entry);
	call->waiting = false;
	call->exchange.last = true;
	grpc_exchange_detach(&call->exchange);
	if (call->deadline)
		event_del(call->deadline);
}

void grpc_call_end(struct grpc_call *call, enum grpc_status status, const char *message)
{
	if (call->done)
		return;
	call_leave(call);
	call->options.on_done(call->options.context, call, status, message);
	grpc_exchange_release(&call->exchange);
}

static void call_break_off(struct grpc_call *call, uint32_t error_code, enum grpc_status status, const char *message)
{
	grpc_exchange_reset(&call->exchange, error_code);
	grpc_call_end(call, status, message);
}

static void call_on_deadline(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	call_break_off(argument, NGHTTP2_CANCEL, GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
}

/* --- the request -------------------------------------------------------------------------------------------------- */

int grpc_call_start(struct grpc_call *call)
{
	const struct grpc_client_options *client = &call->client->options;
	nghttp2_session *session = call->client->link->session;
	nghttp2_nv headers[OWN_HEADERS + METADATA_MAX];
	char timeout[16];
	size_t count = 0;
	int32_t id;

	headers[count++] = grpc_nv(":method", "POST");
	headers[count++] = grpc_nv(":scheme", client->tls ? "https" : "http");
	headers[count++] = grpc_nv(":path", call->path);
	headers[count++] = grpc_nv(":authority", client->authority);
	headers[count++] = grpc_nv("te", "trailers");
	headers[count++] = grpc_nv("content-type", "application/grpc");
	headers[count++] = grpc_nv("user-agent", client->user_agent);
	headers[count++] = grpc_nv("grpc-accept-encoding", "identity");
	if (call->options.deadline_ms) {
		uint64_t now = grpc_now_ms();

		grpc_timeout_format(call->deadline_ms > now ? (uint32_t)(call->deadline_ms - now) : 1, timeout);
		headers[count++] = grpc_nv("grpc-timeout", timeout);
	}
	for (size_t i = 0; i < call->options.metadata_count; i++)
		headers[count++] = grpc_nv(call->metadata[i].name, call->metadata[i].value);

	id = nghttp2_submit_request(session, NULL, headers, count, &grpc_exchange_provider, &call->exchange);
	if (id < 0) /* else all 2^30 stream ids are used */
		return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ESHUTDOWN;
	if (call->waiting)
		TAILQ_REMOVE(&call->client->waiting, &call->exchange, entry);
	call->waiting = false;
	grpc_exchange_attach(&call->exchange, call->client->link, id);
	grpc_link_wake(call->client->link);
	call_forget_request(call);
	return 0;
}

static int call_copy_request(struct grpc_call *call, const char *path, const struct grpc_header *metadata)
{
	size_t count = call->options.metadata_count;

	call->options.metadata = NULL;
	call->path = strdup(path);
	call->metadata = calloc(count ? count : 1, sizeof(*call->metadata));
	if (!call->path || !call->metadata)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		call->metadata[i].name = strdup(metadata[i].name);
		call->metadata[i].value = strdup(metadata[i].value);
		if (!call->metadata[i].name || !call->metadata[i].value)
			return -ENOMEM;
	}
	return 0;
}

static int call_check(const struct grpc_client *client, const char *path, const struct grpc_call_options *options)
{
	if (client->state == GRPC_CLIENT_DOWN)
		return -ENOTCONN;
	if (client->state == GRPC_CLIENT_DRAINING || client->drain)
		return -ESHUTDOWN;
	if (path[0] != '/' || !options->on_done || options->metadata_count > METADATA_MAX)
		return -EINVAL;
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c > 0x7e)
			return -EINVAL;
	for (size_t i = 0; i < options->metadata_count; i++)
		if (!grpc_metadata_is_allowed(options->metadata[i].name, options->metadata[i].value))
			return -EINVAL;
	return 0;
}

static int call_arm(struct grpc_call *call)
{
	uint32_t wait = call->options.deadline_ms;

	if (!wait)
		return 0;
	call->deadline_ms = grpc_now_ms() + wait;
	call->deadline = evtimer_new(call->client->base, call_on_deadline, call);
	if (!call->deadline)
		return -ENOMEM;
	return event_add(call->deadline, &(struct timeval){wait / 1000, (suseconds_t)(wait % 1000 * 1000)}) ? -ENOMEM
													    : 0;
}

int grpc_call_open(struct grpc_client *client, const char *path, const struct grpc_call_options *options,
	struct grpc_call **result)
{
	int error = call_check(client, path, options);
	struct grpc_call *call;

	if (error)
		return error;
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	grpc_exchange_init(&call->exchange, call_destroy);
	call->client = client;
	call->options = *options;
	call->exchange.manual_consume = options->manual_consume;
	call->exchange.max_message_bytes = client->options.max_message_bytes;
	call->exchange.writable_below = options->writable_below ? options->writable_below : WRITABLE_BYTES;
	error = call_copy_request(call, path, options->metadata);
	if (!error)
		error = call_arm(call);
	if (!error && client->state == GRPC_CLIENT_UP)
		error = grpc_call_start(call);
	if (error) {
		grpc_exchange_release(&call->exchange);
		return error;
	}
	if (client->state != GRPC_CLIENT_UP) {
		TAILQ_INSERT_TAIL(&client->waiting, &call->exchange, entry);
		call->waiting = true;
	}
	*result = call;
	return 0;
}

int grpc_call_send(struct grpc_call *call, const void *bytes, size_t length)
{
	return grpc_exchange_send(&call->exchange, bytes, length);
}

int grpc_call_send_owned(struct grpc_call *call, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context)
{
	return grpc_exchange_send_owned(&call->exchange, bytes, length, release, release_context);
}

size_t grpc_call_queued(const struct grpc_call *call)
{
	return call->exchange.out.queued;
}

void grpc_call_half_close(struct grpc_call *call)
{
	grpc_exchange_finish(&call->exchange);
}

void grpc_call_consume(struct grpc_call *call, size_t bytes)
{
	grpc_exchange_consume(&call->exchange, bytes);
}

void grpc_call_cancel(struct grpc_call *call)
{
	if (call->done)
		return;
	grpc_exchange_reset(&call->exchange, NGHTTP2_CANCEL);
	call_leave(call);
	grpc_exchange_release(&call->exchange);
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static void call_on_header(struct grpc_exchange *exchange, const uint8_t *name, size_t name_length,
	const uint8_t *value, size_t value_length)
{
	struct grpc_call *call = grpc_call_of(exchange);

	if (grpc_header_is(name, name_length, ":status")) {
		call->http_status = 0; /* nghttp2 has checked that these are three digits */
		for (size_t i = 0; i < value_length && i < 3; i++)
			call->http_status = call->http_status * 10 + (value[i] - '0');
	} else if (grpc_header_is(name, name_length, "content-type")) {
		call->is_grpc = grpc_content_type_fits(value, value_length);
	} else if (grpc_header_is(name, name_length, "grpc-status")) {
		call->has_status = true;
		call->status = grpc_status_parse(value, value_length);
	} else if (grpc_header_is(name, name_length, "grpc-message")) {
		if (!call->message)
			call->message = malloc(GRPC_MESSAGE_TEXT_BYTES + 1);
		if (call->message)
			grpc_message_decode(value, value_length, call->message, GRPC_MESSAGE_TEXT_BYTES + 1);
	} else if (grpc_header_is(name, name_length, "grpc-encoding")) {
		exchange->encoded = !grpc_header_is(value, value_length, "identity");
	}
}

/* Is the answer gRPC at all? If not, the call is ended and false returned. */
static bool call_check_answer(struct grpc_call *call)
{
	char text[60];

	if (call->checked)
		return true;
	if (call->http_status < 200) /* 1xx: the answer is still to come */
		return true;
	call->checked = true;
	if (call->http_status != 200) {
		snprintf(text, sizeof(text), "HTTP status %u", call->http_status);
		call_break_off(call, NGHTTP2_CANCEL,
			call->has_status ? call->status : grpc_status_of_http(call->http_status),
			call->has_status && call->message ? call->message : text);
		return false;
	}
	if (!call->is_grpc) {
		call_break_off(call, NGHTTP2_CANCEL, GRPC_UNKNOWN, "the answer's content-type is not gRPC's");
		return false;
	}
	return true;
}

static void call_complete(struct grpc_call *call)
{
	struct grpc_exchange *exchange = &call->exchange;
	enum grpc_status status = call->has_status ? call->status : GRPC_UNKNOWN;
	const char *message = call->message ? call->message : "";

	if (!call->has_status) {
		message = "the answer ended without a grpc-status";
	} else if (status == GRPC_OK && !exchange->deaf && !grpc_inbox_is_empty(&exchange->in)) {
		status = GRPC_INTERNAL;
		message = "the answer ended inside a message";
	}
	/* The peer is through with the call even if we are not. */
	if (nghttp2_session_get_stream_local_close(exchange->link->session, exchange->id) == 0)
		grpc_exchange_reset(exchange, NGHTTP2_NO_ERROR);
	grpc_call_end(call, status, message);
}

static void call_on_headers(struct grpc_exchange *exchange, bool last)
{
	struct grpc_call *call = grpc_call_of(exchange);

	if (call_check_answer(call) && last)
		call_complete(call);
}

static void call_on_half_closed(struct grpc_exchange *exchange)
{
	call_complete(grpc_call_of(exchange));
}

static void call_on_message(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length)
{
	struct grpc_call *call = grpc_call_of(exchange);

	if (call->options.on_message)
		call->options.on_message(call->options.context, call, bytes, length);
}

static void call_on_fault(struct grpc_exchange *exchange, enum grpc_status status, const char *reason)
{
	call_break_off(grpc_call_of(exchange), NGHTTP2_CANCEL, status, reason);
}

static void call_on_writable(struct grpc_exchange *exchange)
{
	struct grpc_call *call = grpc_call_of(exchange);

	if (call->options.on_writable)
		call->options.on_writable(call->options.context, call);
}

static void call_on_closed(struct grpc_exchange *exchange, uint32_t error_code)
{
	char text[80];

	snprintf(text, sizeof(text), "the peer reset the call: %s", nghttp2_http2_strerror(error_code));
	grpc_call_end(grpc_call_of(exchange), grpc_status_of_reset(error_code), text);
}

const struct grpc_role grpc_call_role = {
	.server = false,
	.ready = grpc_client_on_ready,
	.goaway = grpc_client_on_goaway,
	.header = call_on_header,
	.headers = call_on_headers,
	.message = call_on_message,
	.fault = call_on_fault,
	.half_closed = call_on_half_closed,
	.writable = call_on_writable,
	.closed = call_on_closed,
	.down = grpc_client_on_down,
};
