/* SPDX-License-Identifier: Apache-2.0 */
/* The server's life: open, stop gently, close. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "grpc/header.h"
#include "grpc/server_inside.h"

#define MESSAGE_BYTES (4U << 20)
#define BUFFERED_BYTES (16U << 20)
#define UNFINISHED_BYTES (256U << 20)
#define WINDOW_BYTES (4U << 20)
#define WINDOW_BYTES_MAX (1U << 30)
#define HEADER_BYTES_MAX (1U << 20)

void grpc_server_hold(struct grpc_server *server)
{
	server->references++;
}

void grpc_server_release(struct grpc_server *server)
{
	if (--server->references)
		return;
	if (server->stop)
		event_free(server->stop);
	if (server->accept_again)
		event_free(server->accept_again);
	grpc_arrivals_free(server);
	grpc_budget_free(server);
	free((void *)server->options.handlers);
	free(server);
}

static void server_end_connections(struct grpc_server *server, const char *reason)
{
	struct grpc_connection *connection;

	while ((connection = TAILQ_FIRST(&server->connections)))
		grpc_connection_end(connection, reason);
}

/* --- stopping --------------------------------------------------------------------------------------------------- */

static void server_set_timer(struct event *timer, uint32_t wait_ms)
{
	event_add(timer, &(struct timeval){wait_ms / 1000, (suseconds_t)(wait_ms % 1000 * 1000)});
}

static void server_drain(struct grpc_server *server)
{
	struct grpc_connection *connection;

	server->stop_step = GRPC_STOP_GRACE;
	server_set_timer(server->stop, server->grace_ms);
	/* From the head each time: on_drain may end any of them. */
	do {
		TAILQ_FOREACH(connection, &server->connections, entry)
		if (!connection->draining)
			break;
		if (connection)
			grpc_connection_drain(connection);
	} while (connection);
}

static void server_on_stop(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_server *server = argument;

	(void)fd;
	(void)what;
	grpc_server_hold(server);
	if (server->stop_step == GRPC_STOP_DRAIN)
		server_drain(server);
	else if (!TAILQ_EMPTY(&server->connections))
		server_end_connections(server, "the server stops");
	if (!server->closed && !server->stopped && TAILQ_EMPTY(&server->connections)) {
		server->stopped = true;
		event_del(server->stop);
		if (server->on_stopped)
			server->on_stopped(server->stop_context);
	}
	grpc_server_release(server);
}

void grpc_server_check_stopped(struct grpc_server *server)
{
	if (server->stopping && !server->stopped && !server->closed && TAILQ_EMPTY(&server->connections))
		event_active(server->stop, EV_TIMEOUT, 0);
}

void grpc_server_stop(struct grpc_server *server, uint32_t grace_ms, void (*on_stopped)(void *context), void *context)
{
	if (server->stopping || server->closed)
		return;
	server->stopping = true;
	server->grace_ms = grace_ms;
	server->on_stopped = on_stopped;
	server->stop_context = context;
	server->stop_step = GRPC_STOP_DRAIN;
	grpc_listeners_close(server);
	grpc_arrivals_close(server);
	event_active(server->stop, EV_TIMEOUT, 0);
}

void grpc_server_close(struct grpc_server *server)
{
	if (!server || server->closed)
		return;
	server->closed = true;
	grpc_listeners_close(server);
	grpc_arrivals_close(server);
	event_del(server->stop);
	event_del(server->accept_again);
	server_end_connections(server, "the server was closed");
	grpc_server_release(server);
}

/* --- opening ---------------------------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t otherwise)
{
	return value ? value : otherwise;
}

static void or_default_ms(uint32_t *value, uint32_t otherwise)
{
	if (!*value)
		*value = otherwise;
}

static int server_take_options(struct grpc_server *server, const struct grpc_server_options *given)
{
	struct grpc_server_options *options = &server->options;
	struct grpc_handler *handlers;

	*options = *given;
	options->handlers = NULL;
	options->max_message_bytes = or_default(options->max_message_bytes, MESSAGE_BYTES);
	options->max_buffered_bytes = or_default(options->max_buffered_bytes, BUFFERED_BYTES);
	options->max_unfinished_bytes = or_default(options->max_unfinished_bytes, UNFINISHED_BYTES);
	options->window_bytes = or_default(options->window_bytes, WINDOW_BYTES);
	or_default_ms(&options->max_connections, 4096);
	or_default_ms(&options->max_connections_per_name, options->max_connections - options->max_connections / 8);
	or_default_ms(&options->max_streams, 100);
	options->max_header_bytes = or_default(options->max_header_bytes, GRPC_HEADER_LIST_BYTES);
	or_default_ms(&options->handshake_timeout_ms, 10000);
	or_default_ms(&options->header_timeout_ms, 10000);
	or_default_ms(&options->message_timeout_ms, 60000);
	or_default_ms(&options->first_message_timeout_ms, 10000);
	or_default_ms(&options->idle_timeout_ms, 5 * 60 * 1000);
	or_default_ms(&options->keepalive_ms, 60000);
	or_default_ms(&options->keepalive_timeout_ms, 20000);
	or_default_ms(&options->max_connection_grace_ms, 30000);
	if (!given->handlers || !given->handler_count || options->window_bytes > WINDOW_BYTES_MAX ||
		options->max_message_bytes > UINT32_MAX || options->max_header_bytes > HEADER_BYTES_MAX)
		return -EINVAL;
	handlers = calloc(given->handler_count, sizeof(*handlers));
	if (!handlers)
		return -ENOMEM;
	memcpy(handlers, given->handlers, given->handler_count * sizeof(*handlers));
	options->handlers = handlers;
	return 0;
}

static void server_on_accept_again(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	grpc_listeners_resume(argument);
}

int grpc_server_open(struct event_base *base, const struct grpc_server_options *options, struct grpc_server **result)
{
	struct grpc_server *server = calloc(1, sizeof(*server));
	int error;

	if (!server)
		return -ENOMEM;
	grpc_ignore_broken_pipes();
	server->base = base;
	server->references = 1;
	TAILQ_INIT(&server->connections);
	TAILQ_INIT(&server->paused);
	TAILQ_INIT(&server->waiting);
	error = server_take_options(server, options);
	if (!error) {
		server->stop = event_new(base, -1, 0, server_on_stop, server);
		server->accept_again = event_new(base, -1, 0, server_on_accept_again, server);
		error = server->stop && server->accept_again ? grpc_arrivals_open(server) : -ENOMEM;
		error = error ? error : grpc_budget_open(server);
	}
	if (error)
		grpc_server_release(server);
	else
		*result = server;
	return error;
}

int grpc_server_attach(struct grpc_server *server, struct bufferevent *stream, const char *peer)
{
	return grpc_connection_open(server, stream, peer, GRPC_OVER_STREAM);
}

void grpc_server_age(struct grpc_server *server, uint32_t max_connection_age_ms)
{
	server->options.max_connection_age_ms = max_connection_age_ms;
}

void grpc_server_counters(const struct grpc_server *server, struct grpc_server_counters *counters)
{
	*counters = server->counters;
	counters->unfinished_bytes = server->unfinished;
}
