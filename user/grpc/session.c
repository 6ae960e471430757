/* SPDX-License-Identifier: Apache-2.0 */
/* What nghttp2 says about a connection, turned into the link's and its owner's words. */
#include <errno.h>
#include <string.h>

#include "grpc/header.h"
#include "grpc/link.h"

/*
 * Frames that cost the peer nothing and us something: PING, SETTINGS, RST_STREAM, PRIORITY, empty DATA. gRPC
 * implementations measure with PINGs, up to some thousand a second on a fast network; ten thousand is no measurement.
 */
#define CONTROL_FRAMES_BURST 20000
#define CONTROL_FRAMES_PER_SECOND 10000

const uint8_t grpc_drain_ping[8] = {'d', 'r', 'a', 'i', 'n', 0, 0, 1};

static int link_verdict(const struct grpc_link *link)
{
	return link->over ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int link_on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *frame, void *context)
{
	struct grpc_link *link = context;
	uint64_t now;

	(void)session;
	if (frame->type == NGHTTP2_HEADERS || frame->type == NGHTTP2_CONTINUATION ||
		frame->type == NGHTTP2_WINDOW_UPDATE ||
		(frame->type == NGHTTP2_DATA && (frame->length || frame->flags & NGHTTP2_FLAG_END_STREAM)))
		return link_verdict(link);
	if (--link->control_credit >= 0)
		return link_verdict(link);
	now = grpc_now_ms();
	link->control_credit += (double)(now - link->control_ms) * CONTROL_FRAMES_PER_SECOND / 1000;
	link->control_ms = now;
	if (link->control_credit > CONTROL_FRAMES_BURST)
		link->control_credit = CONTROL_FRAMES_BURST;
	if (link->control_credit < 0)
		grpc_link_down(link, -EPROTO, "a flood of control frames");
	return link_verdict(link);
}

static int link_on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct grpc_link *link = context;
	struct grpc_exchange *exchange;

	if (link->over)
		return link_verdict(link);
	link->headers_ms = grpc_now_ms();
	grpc_link_arm(link, link->headers_ms);
	if (link->role->server && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
		link->role->begin(link->context, frame->hd.stream_id))
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	exchange = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	if (exchange)
		exchange->header_bytes = 0;
	return link_verdict(link);
}

static int link_on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
	const uint8_t *value, size_t value_length, uint8_t flags, void *context)
{
	struct grpc_link *link = context;
	struct grpc_exchange *exchange = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	if (link->over || !exchange)
		return link_verdict(link);
	grpc_exchange_hold(exchange);
	exchange->header_bytes += name_length + value_length + 32;
	if (exchange->header_bytes > link->limits.max_header_bytes) {
		exchange->deaf = true;
		link->role->fault(exchange, GRPC_RESOURCE_EXHAUSTED, "more headers than this side takes");
	} else {
		link->role->header(exchange, name, name_length, value, value_length);
	}
	grpc_exchange_release(exchange);
	return link_verdict(link);
}

static void link_on_goaway(struct grpc_link *link, const nghttp2_goaway *goaway)
{
	char text[120];

	grpc_message_decode(goaway->opaque_data, goaway->opaque_data_len, text, sizeof(text));
	link->draining = true;
	link->role->goaway(link->context, goaway->error_code, text);
}

/* From now on the peer may ask for something: the handshake's time is not its own. */
static void link_begin_waiting(struct grpc_link *link)
{
	uint64_t now = grpc_now_ms();

	if (link->mute_ms)
		link->mute_ms = now;
	if (link->alone_ms)
		link->alone_ms = now;
	grpc_link_arm(link, now);
}

static int link_on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct grpc_link *link = context;
	struct grpc_exchange *exchange;
	bool last = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

	if (link->over)
		return link_verdict(link);
	switch (frame->hd.type) {
	case NGHTTP2_SETTINGS:
		if (!link->ready && !(frame->hd.flags & NGHTTP2_FLAG_ACK)) {
			link->ready = true;
			link_begin_waiting(link);
			link->role->ready(link->context);
		}
		break;
	case NGHTTP2_PING:
		if (link->drain_ms && memcmp(frame->ping.opaque_data, grpc_drain_ping, sizeof(grpc_drain_ping)) == 0)
			grpc_link_say_goaway(link);
		break;
	case NGHTTP2_GOAWAY: link_on_goaway(link, &frame->goaway); break;
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		if (frame->hd.type == NGHTTP2_HEADERS)
			link->headers_ms = 0;
		exchange = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
		if (!exchange)
			break;
		grpc_exchange_hold(exchange);
		if (frame->hd.type == NGHTTP2_HEADERS)
			link->role->headers(exchange, last);
		else if (last)
			link->role->half_closed(exchange);
		grpc_exchange_release(exchange);
		break;
	default: break;
	}
	return link_verdict(link);
}

/*
 * The connection's own window is given back at once, so that one stream whose messages wait for their consumer does not
 * stop the others; what a peer can make us hold is each stream's window, and max_buffered_bytes.
 */
static int link_on_data(
	nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t length, void *context)
{
	struct grpc_link *link = context;
	struct grpc_exchange *exchange = nghttp2_session_get_stream_user_data(session, id);

	(void)flags;
	if (link->over)
		return link_verdict(link);
	nghttp2_session_consume_connection(session, length);
	if (exchange && grpc_exchange_receive(exchange, bytes, length))
		grpc_link_down(link, -ENOMEM, "out of memory");
	return link_verdict(link);
}

static void link_stream_closed(struct grpc_link *link, struct grpc_exchange *exchange, uint32_t error_code)
{
	if (link->over || !exchange)
		return;
	grpc_exchange_hold(exchange);
	grpc_exchange_detach(exchange);
	link->role->closed(exchange, error_code);
	grpc_exchange_release(exchange);
}

static int link_on_stream_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
	struct grpc_link *link = context;

	link_stream_closed(link, nghttp2_session_get_stream_user_data(session, id), error_code);
	return link_verdict(link);
}

/* A request that nghttp2 kept back and now cannot send (GOAWAY, or no stream ids left) has no stream to be closed. */
static int link_on_not_sent(nghttp2_session *session, const nghttp2_frame *frame, int error, void *context)
{
	struct grpc_link *link = context;
	struct grpc_exchange *exchange;

	(void)session;
	(void)error;
	if (link->role->server || frame->hd.type != NGHTTP2_HEADERS)
		return link_verdict(link);
	TAILQ_FOREACH(exchange, &link->exchanges, entry)
	if (exchange->id == frame->hd.stream_id)
		break;
	link_stream_closed(link, exchange, NGHTTP2_REFUSED_STREAM);
	return link_verdict(link);
}

/* A server that has answered wants no more of the request: RST_STREAM(NO_ERROR), RFC 9113, 8.1. */
static int link_on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
	struct grpc_link *link = context;

	if (link->role->server && frame->hd.type == NGHTTP2_HEADERS && frame->hd.flags & NGHTTP2_FLAG_END_STREAM &&
		nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
		nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
		link->failed = true;
		if (!link->complaint[0])
			grpc_link_complain(link, nghttp2_http2_strerror(frame->goaway.error_code),
				strlen(nghttp2_http2_strerror(frame->goaway.error_code)));
	}
	return link_verdict(link);
}

static int link_on_error(nghttp2_session *session, int error, const char *text, size_t length, void *context)
{
	(void)session;
	(void)error;
	grpc_link_complain(context, text, length);
	return 0;
}

static ssize_t link_frame_length(nghttp2_session *session, uint8_t type, int32_t id, int32_t session_window,
	int32_t stream_window, uint32_t max_frame_size, void *context)
{
	(void)session;
	(void)type;
	(void)id;
	(void)session_window;
	(void)stream_window;
	(void)context;
	return max_frame_size < GRPC_FRAME_BYTES ? max_frame_size : GRPC_FRAME_BYTES;
}

int grpc_link_new_session(struct grpc_link *link)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
	int error;

	if (nghttp2_session_callbacks_new(&callbacks))
		return -ENOMEM;
	if (nghttp2_option_new(&option)) {
		nghttp2_session_callbacks_del(callbacks);
		return -ENOMEM;
	}
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, link_on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, link_on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, link_on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, link_on_frame_recv);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, link_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, link_on_stream_close);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, link_on_not_sent);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, link_on_sent);
	nghttp2_session_callbacks_set_error_callback2(callbacks, link_on_error);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, grpc_exchange_send_data);
	nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, link_frame_length);

	nghttp2_option_set_no_auto_window_update(option, 1);
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_settings(option, 32);
	nghttp2_option_set_max_outbound_ack(option, 1000);
	nghttp2_option_set_stream_reset_rate_limit(option, 1000, 33);
	nghttp2_option_set_max_continuations(option, 8);
	link->control_credit = CONTROL_FRAMES_BURST;
	link->control_ms = link->open_ms;
	/* Until the peer's SETTINGS say otherwise. */
	nghttp2_option_set_peer_max_concurrent_streams(option, 100);

	error = link->role->server ? nghttp2_session_server_new2(&link->session, callbacks, link, option)
				   : nghttp2_session_client_new2(&link->session, callbacks, link, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(callbacks);
	return error ? -ENOMEM : 0;
}
