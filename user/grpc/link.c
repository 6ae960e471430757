/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/2 connection: bytes between a bufferevent and nghttp2, time-outs, limits. */
#include "grpc/link.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "grpc/header.h"
#include "grpc/tls_inside.h"

#define OUTPUT_BYTES (256 * 1024)    /* see exchange.c */
#define OUTPUT_LOW_BYTES (64 * 1024) /* below this more is framed */
#define SOCKET_READ_BYTES (64 * 1024)
#define SOCKET_READS 4 /* in one turn of the loop, so that others get theirs */
#define LINGER_MS 2000 /* for a peer that does not read our GOAWAY */
#define DRAIN_MS 1000  /* for a peer that does not answer the PING after the first GOAWAY */

/* --- lifetime ----------------------------------------------------------------------------------------------------- */

static void link_free(struct grpc_link *link)
{
	nghttp2_session_del(link->session);
	if (link->stream && link->carrier == GRPC_OVER_TLS)
		grpc_tls_farewell(link->stream);
	if (link->stream)
		bufferevent_free(link->stream);
	if (link->pump)
		event_free(link->pump);
	if (link->timer)
		event_free(link->timer);
	free(link);
}

static void link_enter(struct grpc_link *link)
{
	link->busy++;
}

static void link_leave(struct grpc_link *link)
{
	if (--link->busy == 0 && link->dead)
		link_free(link);
}

void grpc_link_close(struct grpc_link *link)
{
	struct grpc_exchange *exchange;

	if (!link || link->dead)
		return;
	link->dead = true;
	link->over = true;
	while ((exchange = TAILQ_FIRST(&link->exchanges)))
		grpc_exchange_detach(exchange);
	bufferevent_disable(link->stream, EV_READ | EV_WRITE);
	bufferevent_setcb(link->stream, NULL, NULL, NULL, NULL);
	event_del(link->pump);
	event_del(link->timer);
	if (link->busy == 0)
		link_free(link);
}

void grpc_link_down(struct grpc_link *link, int error, const char *reason)
{
	if (link->over)
		return;
	link->over = true;
	link->role->down(link->context, error, reason);
}

/* What a peer says ends up in logs: printable, one line. */
void grpc_link_complain(struct grpc_link *link, const char *text, size_t length)
{
	if (length >= sizeof(link->complaint))
		length = sizeof(link->complaint) - 1;
	for (size_t i = 0; i < length; i++)
		link->complaint[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
	link->complaint[length] = 0;
}

/* --- times ------------------------------------------------------------------------------------------------------ */

static uint64_t sooner(uint64_t due, uint64_t since, uint32_t after)
{
	return after != GRPC_NEVER && since + after < due ? since + after : due;
}

static uint64_t link_due(const struct grpc_link *link)
{
	const struct grpc_link_limits *limits = &link->limits;
	uint64_t due = UINT64_MAX;

	if (!link->ready)
		due = sooner(due, link->open_ms, limits->handshake_timeout_ms);
	if (link->headers_ms)
		due = sooner(due, link->headers_ms, limits->header_timeout_ms);
	if (link->message_ms)
		due = sooner(due, link->message_ms, limits->message_timeout_ms);
	if (link->ready && link->mute_ms && !link->paused && !link->ended)
		due = sooner(due, link->mute_ms, limits->first_message_timeout_ms);
	if (link->alone_ms && !link->ended)
		due = sooner(due, link->alone_ms, limits->idle_timeout_ms);
	if (link->ready && !link->alone_ms && !link->paused)
		due = link->ping_ms ? sooner(due, link->ping_ms, limits->keepalive_timeout_ms)
				    : sooner(due, link->heard_ms, limits->keepalive_ms);
	if (link->drain_ms)
		due = sooner(due, link->drain_ms, DRAIN_MS);
	if (link->ended_ms)
		due = sooner(due, link->ended_ms, LINGER_MS);
	return due;
}

void grpc_link_arm(struct grpc_link *link, uint64_t now)
{
	uint64_t due = link_due(link), wait;

	/* A timer that fires early looks again; only one that would fire late must be moved. */
	if (link->over || due == UINT64_MAX || (link->timer_ms && link->timer_ms <= due))
		return;
	link->timer_ms = due;
	wait = due > now ? due - now : 0;
	event_add(link->timer, &(struct timeval){(time_t)(wait / 1000), (suseconds_t)(wait % 1000 * 1000)});
}

void grpc_link_say_goaway(struct grpc_link *link)
{
	link->drain_ms = 0;
	nghttp2_submit_goaway(link->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(link->session),
		NGHTTP2_NO_ERROR, NULL, 0);
}

static void link_end(struct grpc_link *link)
{
	if (link->ended)
		return;
	link->ended = true;
	link->ended_ms = grpc_now_ms();
	link->drain_ms = 0;
	nghttp2_session_terminate_session(link->session, NGHTTP2_NO_ERROR);
	grpc_link_arm(link, link->ended_ms);
}

static bool is_past(uint64_t since, uint32_t after, uint64_t now)
{
	return since && after != GRPC_NEVER && since + after <= now;
}

/* An exchange that owes the rest of a message for too long, or NULL; then link->message_ms is the earliest of the others'. */
static struct grpc_exchange *link_find_late(struct grpc_link *link, uint64_t now)
{
	struct grpc_exchange *exchange;

	link->message_ms = 0;
	for (exchange = TAILQ_FIRST(&link->exchanges); exchange; exchange = TAILQ_NEXT(exchange, entry)) {
		if (!exchange->message_ms)
			continue;
		if (exchange->held)
			exchange->message_ms = now;
		if (is_past(exchange->message_ms, link->limits.message_timeout_ms, now))
			return exchange;
		if (!link->message_ms || exchange->message_ms < link->message_ms)
			link->message_ms = exchange->message_ms;
	}
	return NULL;
}

/*
 * Whoever lets a message trickle holds its memory for as long as he likes. Where what came before waits to be consumed it
 * may be the window that holds the rest back, and the peer gets his time anew.
 */
static void link_check_messages(struct grpc_link *link, uint64_t now)
{
	struct grpc_exchange *exchange;

	while (!link->over && (exchange = link_find_late(link, now))) {
		grpc_exchange_hold(exchange);
		exchange->message_ms = 0;
		grpc_exchange_fault(exchange, GRPC_DEADLINE_EXCEEDED, "a message was not finished in time");
		grpc_exchange_release(exchange);
	}
}

static void link_on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_link *link = argument;
	const struct grpc_link_limits *limits = &link->limits;
	uint64_t now = grpc_now_ms();

	(void)fd;
	(void)what;
	link->timer_ms = 0;
	link_enter(link);
	if (!link->ready && is_past(link->open_ms, limits->handshake_timeout_ms, now))
		grpc_link_down(link, -ETIMEDOUT,
			link->carrier == GRPC_OVER_TLS && !grpc_tls_is_up(link->stream)
				? "the TLS handshake was not finished in time"
				: "no HTTP/2 SETTINGS from the peer in time");
	else if (is_past(link->headers_ms, limits->header_timeout_ms, now))
		grpc_link_down(link, -ETIMEDOUT, "a header block was not finished in time");
	else if (is_past(link->ended_ms, LINGER_MS, now))
		grpc_link_down(link, link->failed ? -EPROTO : 0, link->failed ? link->complaint : "closed");
	else if (link->ping_ms && is_past(link->ping_ms, limits->keepalive_timeout_ms, now))
		grpc_link_down(link, -ETIMEDOUT, "the peer does not answer");
	else if (link->ready && !link->paused && !link->ended &&
		 is_past(link->mute_ms, limits->first_message_timeout_ms, now))
		grpc_link_down(link, -ETIMEDOUT, "it asked for nothing in time");
	else if (!link->ended && is_past(link->alone_ms, limits->idle_timeout_ms, now))
		link_end(link);
	else if (is_past(link->drain_ms, DRAIN_MS, now))
		grpc_link_say_goaway(link);
	else if (link->ready && !link->alone_ms && !link->ping_ms && !link->paused &&
		 is_past(link->heard_ms, limits->keepalive_ms, now) &&
		 nghttp2_submit_ping(link->session, NGHTTP2_FLAG_NONE, NULL) == 0)
		link->ping_ms = now;
	if (!link->over && is_past(link->message_ms, limits->message_timeout_ms, now))
		link_check_messages(link, now);
	if (!link->over) {
		grpc_link_wake(link);
		grpc_link_arm(link, now);
	}
	link_leave(link);
}

void grpc_link_note_exchanges(struct grpc_link *link)
{
	bool alone = TAILQ_EMPTY(&link->exchanges);

	if (alone == (link->alone_ms != 0) || link->dead)
		return;
	/* Silence before the first call of many says nothing about the peer. */
	link->heard_ms = grpc_now_ms();
	link->alone_ms = alone ? link->heard_ms : 0;
	link->ping_ms = 0;
	grpc_link_arm(link, link->heard_ms);
	if (alone && link->draining)
		grpc_link_wake(link);
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

/* Both directions have ended on HTTP/2's level; the socket's buffer may still hold our last words. */
static void link_check_end(struct grpc_link *link)
{
	if (link->over || nghttp2_session_want_read(link->session) || nghttp2_session_want_write(link->session))
		return;
	if (evbuffer_get_length(bufferevent_get_output(link->stream)) == 0) {
		grpc_link_down(link, link->failed ? -EPROTO : 0, link->failed ? link->complaint : "closed");
		return;
	}
	bufferevent_setwatermark(link->stream, EV_WRITE, 0, 0);
	if (!link->ended_ms) {
		link->ended_ms = grpc_now_ms();
		grpc_link_arm(link, link->ended_ms);
	}
}

static void link_send(struct grpc_link *link)
{
	struct evbuffer *output = bufferevent_get_output(link->stream);
	struct grpc_exchange *exchange;

	if (link->draining && !link->ended && TAILQ_EMPTY(&link->exchanges))
		link_end(link);
	while (!link->over && evbuffer_get_length(output) < OUTPUT_BYTES) {
		const uint8_t *bytes;
		ssize_t length = nghttp2_session_mem_send(link->session, &bytes);

		if (length == 0)
			break;
		if (length < 0 || evbuffer_add(output, bytes, (size_t)length))
			grpc_link_down(link, length == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO,
				length < 0 ? nghttp2_strerror((int)length) : "out of memory");
	}
	/* libevent makes a record and a system call of each piece; in one piece they are as large as TLS allows. */
	if (!link->over && link->carrier == GRPC_OVER_TLS)
		evbuffer_pullup(output, -1);
	while (!link->over && (exchange = TAILQ_FIRST(&link->due))) {
		TAILQ_REMOVE(&link->due, exchange, due_entry);
		exchange->due = false;
		grpc_exchange_hold(exchange);
		link->role->writable(exchange);
		grpc_exchange_release(exchange);
	}
	link_check_end(link);
}

static void link_on_pump(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_link *link = argument;

	(void)fd;
	(void)what;
	link_enter(link);
	link_send(link);
	link_leave(link);
}

void grpc_link_wake(struct grpc_link *link)
{
	if (!link->over)
		event_active(link->pump, EV_TIMEOUT, 0);
}

static void link_on_write(struct bufferevent *stream, void *argument)
{
	(void)stream;
	link_on_pump(-1, 0, argument);
}

static void link_take(struct grpc_link *link, const uint8_t *bytes, size_t length)
{
	ssize_t taken = nghttp2_session_mem_recv(link->session, bytes, length);

	if (taken >= 0 || link->over)
		return;
	if (!link->complaint[0])
		grpc_link_complain(link, nghttp2_strerror((int)taken), strlen(nghttp2_strerror((int)taken)));
	grpc_link_down(link, taken == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO, link->complaint);
}

/* libevent 2.1 reads at most 4 KiB at a time into a bufferevent; what else the socket holds is read in larger pieces. */
static void link_read_socket(struct grpc_link *link, int times)
{
	uint8_t bytes[SOCKET_READ_BYTES];
	int fd = bufferevent_getfd(link->stream);

	for (; times && !link->over; times--) {
		ssize_t length = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (length <= 0) /* an end or an error is there again for the bufferevent */
			return;
		link_take(link, bytes, (size_t)length);
		if ((size_t)length < sizeof(bytes))
			return;
	}
}

static void link_read(struct grpc_link *link)
{
	struct evbuffer *input = bufferevent_get_input(link->stream);
	struct evbuffer_iovec piece;

	while (!link->over && evbuffer_get_length(input) && evbuffer_peek(input, -1, NULL, &piece, 1) > 0) {
		link_take(link, piece.iov_base, piece.iov_len);
		evbuffer_drain(input, piece.iov_len);
	}
	if (!link->over && link->carrier == GRPC_OVER_SOCKET)
		link_read_socket(link, SOCKET_READS);
	if (!link->over)
		link_send(link);
}

static void link_pause(struct grpc_link *link)
{
	link->paused = true;
	bufferevent_disable(link->stream, EV_READ);
}

/* Only when what lay in its buffer is read: while nobody takes it, it must not grow. */
static void link_unpause(struct grpc_link *link)
{
	link->paused = false;
	if (link->mute_ms)
		link->mute_ms = grpc_now_ms();
	grpc_link_arm(link, link->heard_ms);
	bufferevent_enable(link->stream, EV_READ);
}

static void link_on_read(struct bufferevent *stream, void *argument)
{
	struct grpc_link *link = argument;
	bool has_room;

	(void)stream;
	link_enter(link);
	link->heard_ms = grpc_now_ms();
	link->ping_ms = 0;
	has_room = !link->role->has_room || link->role->has_room(link->context);
	if (has_room)
		link_read(link);
	if (!link->over && !has_room)
		link_pause(link);
	else if (!link->over && link->paused)
		link_unpause(link);
	link_leave(link);
}

void grpc_link_resume(struct grpc_link *link)
{
	if (!link->over)
		bufferevent_trigger(link->stream, EV_READ, BEV_TRIG_IGNORE_WATERMARKS | BEV_TRIG_DEFER_CALLBACKS);
}

/* To its end. 0, or what ended it was TLS: see grpc_tls_error. */
static int link_read_tls(struct grpc_link *link, char *text, size_t size)
{
	uint8_t bytes[SOCKET_READ_BYTES / 4]; /* a record's */
	int error = grpc_tls_error(link->stream, text, size);
	ssize_t length;

	while (!error && !link->over && (length = grpc_tls_read(link->stream, bytes, sizeof(bytes))) > 0)
		link_take(link, bytes, (size_t)length);
	return error ? error : grpc_tls_error(link->stream, text, size);
}

/* The TLS handshake is done: the peer has shown a certificate that holds. */
static void link_on_secured(struct grpc_link *link)
{
	const char *wrong = grpc_tls_check(link->stream);

	link_enter(link);
	if (wrong)
		grpc_link_down(link, -EPROTO, wrong);
	else if (link->role->secured)
		link->role->secured(link->context);
	link_leave(link);
}

static void link_on_event(struct bufferevent *stream, short what, void *argument)
{
	struct grpc_link *link = argument;
	int error = EVUTIL_SOCKET_ERROR(), tls_error = 0;
	char text[200];

	(void)stream;
	if (what & BEV_EVENT_CONNECTED && link->carrier == GRPC_OVER_TLS)
		link_on_secured(link);
	if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
		return;
	link_enter(link);
	/* What the peer said before it went is still to be read, also where we noticed by a write that failed. */
	link_read(link);
	if (!link->over && link->carrier == GRPC_OVER_SOCKET)
		link_read_socket(link, INT_MAX);
	if (!link->over && link->carrier == GRPC_OVER_TLS)
		tls_error = link_read_tls(link, text, sizeof(text));
	if (tls_error) {
		grpc_link_down(link, tls_error, text);
	} else if (link->ended || (link->draining && TAILQ_EMPTY(&link->exchanges))) {
		grpc_link_down(link, 0, "closed");
	} else if (what & BEV_EVENT_EOF || error == EPIPE || error == ECONNRESET) {
		grpc_link_down(link, -ECONNRESET, "the peer closed the connection");
	} else {
		snprintf(text, sizeof(text), "connection lost: %s", strerror(error));
		grpc_link_down(link, error == ETIMEDOUT ? -ETIMEDOUT : -ECONNRESET, text);
	}
	link_leave(link);
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

void grpc_ignore_broken_pipes(void)
{
	struct sigaction action;

	if (sigaction(SIGPIPE, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static int link_say_hello(struct grpc_link *link)
{
	uint32_t window = (uint32_t)link->limits.window_bytes;
	int32_t connection = window > NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE ? (int32_t)window
									     : NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE;
	const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
		{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, GRPC_FRAME_BYTES},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)link->limits.max_header_bytes},
		{link->role->server ? NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS : NGHTTP2_SETTINGS_ENABLE_PUSH,
			link->role->server ? link->limits.max_streams : 0},
	};

	if (nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, settings, sizeof(settings) / sizeof(settings[0])))
		return -ENOMEM;
	if (nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0, connection))
		return -ENOMEM;
	return 0;
}

int grpc_link_open(struct event_base *base, struct bufferevent *stream, const struct grpc_role *role, void *context,
	const struct grpc_link_limits *limits, enum grpc_carrier carrier, struct grpc_link **result)
{
	struct grpc_link *link = calloc(1, sizeof(*link));

	if (!link)
		return -ENOMEM;
	link->base = base;
	link->role = role;
	link->context = context;
	link->limits = *limits;
	link->carrier = carrier;
	TAILQ_INIT(&link->exchanges);
	TAILQ_INIT(&link->due);
	link->open_ms = link->heard_ms = link->alone_ms = grpc_now_ms();
	link->mute_ms = role->server ? link->open_ms : 0;
	link->pump = event_new(base, -1, 0, link_on_pump, link);
	link->timer = event_new(base, -1, 0, link_on_timer, link);
	if (!link->pump || !link->timer || grpc_link_new_session(link) || link_say_hello(link)) {
		link_free(link);
		return -ENOMEM;
	}
	link->stream = stream;
	bufferevent_setcb(stream, link_on_read, link_on_write, link_on_event, link);
	bufferevent_setwatermark(stream, EV_WRITE, OUTPUT_LOW_BYTES, 0);
	bufferevent_set_max_single_write(stream, OUTPUT_BYTES);
	bufferevent_enable(stream, EV_READ | EV_WRITE);
	grpc_link_arm(link, link->open_ms);
	grpc_link_wake(link);
	*result = link;
	return 0;
}

void grpc_link_drain(struct grpc_link *link)
{
	if (link->draining || link->over)
		return;
	link->draining = true;
	if (link->role->server && !TAILQ_EMPTY(&link->exchanges)) {
		link->drain_ms = grpc_now_ms();
		nghttp2_submit_shutdown_notice(link->session);
		nghttp2_submit_ping(link->session, NGHTTP2_FLAG_NONE, grpc_drain_ping);
		grpc_link_arm(link, link->drain_ms);
	}
	grpc_link_wake(link);
}
