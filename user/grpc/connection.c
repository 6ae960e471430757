/* SPDX-License-Identifier: Apache-2.0 */
/* One peer's connection to the server: its limits, its age, its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>

#include "grpc/header.h"
#include "grpc/server_inside.h"
#include "grpc/tls_inside.h"

#define REFUSED_MS 2000 /* for a peer that may do nothing: to ask, and be told so */

void grpc_connection_hold(struct grpc_connection *connection)
{
	connection->references++;
}

void grpc_connection_release(struct grpc_connection *connection)
{
	if (--connection->references)
		return;
	if (connection->age)
		event_free(connection->age);
	grpc_server_release(connection->server);
	free(connection->identity);
	free(connection->peer);
	free(connection);
}

void grpc_connection_end(struct grpc_connection *connection, const char *reason)
{
	struct grpc_server *server = connection->server;
	struct grpc_exchange *exchange;

	if (connection->ended)
		return;
	connection->ended = true;
	/* First of all: on_close may close the server, which ends what is in this list. */
	TAILQ_REMOVE(&server->connections, connection, entry);
	server->counters.connections_open--;
	grpc_budget_forget(connection);
	grpc_room_leave(connection);
	while ((exchange = TAILQ_FIRST(&connection->link->exchanges)))
		grpc_stream_end(exchange, GRPC_UNAVAILABLE, reason);
	grpc_link_close(connection->link);
	if (connection->age)
		event_del(connection->age);
	grpc_server_check_stopped(server);
	grpc_connection_release(connection);
}

static void connection_on_down(void *context, int error, const char *reason)
{
	struct grpc_connection *connection = context;
	struct grpc_server *server = connection->server;
	char why[200];

	grpc_connection_hold(connection);
	/* The words may be the link's. */
	grpc_message_decode((const uint8_t *)reason, strlen(reason), why, sizeof(why));
	if (error == -ETIMEDOUT)
		server->counters.connections_timed_out++;
	else if (error == -EKEYREJECTED)
		server->counters.certificates_refused++;
	else if (error == -EUSERS)
		server->counters.connections_over_share++;
	else if (error && error != -ECONNRESET)
		server->counters.protocol_errors++;
	if (error && error != -ECONNRESET && server->options.on_trouble && !server->closed)
		server->options.on_trouble(server->options.context, connection->peer, why);
	grpc_connection_end(connection, why);
	grpc_connection_release(connection);
}

void grpc_connection_drain(struct grpc_connection *connection)
{
	struct grpc_exchange *exchange;

	grpc_connection_hold(connection);
	connection->draining = true;
	grpc_link_drain(connection->link);
	/* From the head each time: on_drain may end any of them. */
	do {
		if (connection->ended)
			break;
		TAILQ_FOREACH(exchange, &connection->link->exchanges, entry)
		if (grpc_stream_drain(exchange))
			break;
	} while (exchange);
	grpc_connection_release(connection);
}

static void connection_set_age(struct grpc_connection *connection, uint32_t wait_ms)
{
	event_add(connection->age, &(struct timeval){wait_ms / 1000, (suseconds_t)(wait_ms % 1000 * 1000)});
}

static void connection_on_age(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_connection *connection = argument;

	(void)fd;
	(void)what;
	if (connection->draining) {
		grpc_connection_end(connection, "the connection reached its age");
		return;
	}
	connection_set_age(connection, connection->server->options.max_connection_grace_ms);
	grpc_connection_drain(connection);
}

/* Connections that were opened together do not all end together. */
static int connection_arm_age(struct grpc_connection *connection)
{
	uint32_t age = connection->server->options.max_connection_age_ms, random;

	if (!age || age == GRPC_NEVER)
		return 0;
	connection->age = evtimer_new(connection->server->base, connection_on_age, connection);
	if (!connection->age)
		return -ENOMEM;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	connection_set_age(connection, age - random % (age / 10 + 1));
	return 0;
}

/* Whoever may do nothing here is told so if he asks soon, and takes nobody's place meanwhile. */
static void connection_judge(struct grpc_connection *connection)
{
	struct grpc_server *server = connection->server;
	const struct grpc_server_options *options = &server->options;

	if (options->admit_peer && !options->admit_peer(options->context, connection->identity)) {
		server->counters.peers_refused++;
		connection->refused = true;
		connection->link->limits.first_message_timeout_ms = REFUSED_MS;
		grpc_room_wait_first(connection);
	} else if (!grpc_room_share(connection)) {
		grpc_link_down(connection->link, -EUSERS, "too many connections of this certificate's name");
	}
}

/* Its certificate's first name goes with it into every word about it. */
static void connection_on_secured(void *context)
{
	struct grpc_connection *connection = context;
	struct grpc_identity *identity = grpc_tls_identity(connection->link->stream);
	char *peer = NULL;

	if (!identity || asprintf(&peer, "%s (%s)", connection->peer,
				 identity->count ? identity->names[0] : "no name that can be used") < 0) {
		free(identity);
		grpc_link_down(connection->link, -ENOMEM, "out of memory");
		return;
	}
	free(connection->peer);
	connection->peer = peer;
	connection->identity = identity;
	connection_judge(connection);
}

static void connection_on_ready(void *context)
{
	(void)context;
}

/* The peer begins no new stream; the link ends when the last of these does. */
static void connection_on_goaway(void *context, uint32_t error_code, const char *text)
{
	(void)context;
	(void)error_code;
	(void)text;
}

static bool connection_has_room(void *context)
{
	return grpc_budget_admits(context);
}

static int connection_on_begin(void *context, int32_t id)
{
	return grpc_stream_begin(context, id);
}

static const struct grpc_role connection_role = {
	.server = true,
	.secured = connection_on_secured,
	.ready = connection_on_ready,
	.goaway = connection_on_goaway,
	.begin = connection_on_begin,
	.has_room = connection_has_room,
	.header = grpc_stream_on_header,
	.headers = grpc_stream_on_headers,
	.message = grpc_stream_on_message,
	.fault = grpc_stream_on_fault,
	.half_closed = grpc_stream_on_half_closed,
	.trailers = grpc_stream_on_trailers,
	.writable = grpc_stream_on_writable,
	.closed = grpc_stream_on_closed,
	.down = connection_on_down,
};

static int connection_link(struct grpc_connection *connection, struct bufferevent *stream, enum grpc_carrier carrier)
{
	const struct grpc_server_options *options = &connection->server->options;
	const struct grpc_link_limits limits = {
		.window_bytes = options->window_bytes,
		.max_buffered_bytes = options->max_buffered_bytes,
		.together = &connection->server->unfinished,
		.max_header_bytes = options->max_header_bytes,
		.max_streams = options->max_streams,
		.handshake_timeout_ms = options->handshake_timeout_ms,
		.header_timeout_ms = options->header_timeout_ms,
		.message_timeout_ms = options->message_timeout_ms,
		.first_message_timeout_ms = options->first_message_timeout_ms,
		.idle_timeout_ms = options->idle_timeout_ms,
		.keepalive_ms = options->keepalive_ms,
		.keepalive_timeout_ms = options->keepalive_timeout_ms,
	};

	return grpc_link_open(
		connection->server->base, stream, &connection_role, connection, &limits, carrier, &connection->link);
}

int grpc_connection_open(
	struct grpc_server *server, struct bufferevent *stream, const char *peer, enum grpc_carrier carrier)
{
	struct grpc_connection *connection;
	int error;

	if (server->stopping)
		server->counters.connections_refused++;
	if (server->stopping || !grpc_room_make(server))
		return -EMFILE;
	connection = calloc(1, sizeof(*connection));
	if (!connection)
		return -ENOMEM;
	connection->server = server;
	connection->references = 1;
	grpc_server_hold(server);
	connection->peer = strdup(peer);
	error = connection->peer ? connection_arm_age(connection) : -ENOMEM;
	if (!error)
		error = connection_link(connection, stream, carrier);
	if (error) {
		grpc_connection_release(connection);
		return error;
	}
	TAILQ_INSERT_TAIL(&server->connections, connection, entry);
	grpc_room_wait(connection);
	server->counters.connections++;
	server->counters.connections_open++;
	return 0;
}
