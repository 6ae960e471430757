/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for connections. Whoever has said what he wants keeps his place; of the others that one goes first that has wanted
 * nothing for the longest, whether it has sent no byte, not finished its handshake, made no call, or sent nothing in its
 * calls. An honest peer is through all that in some round trips, so it is not the one that came last that goes, but one
 * that only takes a place: a cluster that comes back finds room among any number of those.
 */
#include <stdio.h>
#include <string.h>

#include "grpc/header.h"
#include "grpc/server_inside.h"

/* A byte costs less than a handshake: silence counts as longer by so much, or a flood of it would outlive handshakes. */
#define SILENCE_MS 1000

void grpc_room_leave(struct grpc_connection *connection)
{
	if (connection->waits)
		TAILQ_REMOVE(&connection->server->waiting, connection, waiting_entry);
	connection->waits = false;
}

void grpc_room_wait(struct grpc_connection *connection)
{
	if (connection->waits)
		return;
	connection->waits = true;
	connection->waits_ms = grpc_now_ms();
	TAILQ_INSERT_TAIL(&connection->server->waiting, connection, waiting_entry);
}

void grpc_room_wait_first(struct grpc_connection *connection)
{
	grpc_room_leave(connection);
	connection->waits = true;
	connection->waits_ms = 0;
	TAILQ_INSERT_HEAD(&connection->server->waiting, connection, waiting_entry);
}

static void room_evict(struct grpc_connection *connection, const char *reason)
{
	struct grpc_server *server = connection->server;

	grpc_connection_hold(connection);
	grpc_connection_end(connection, reason);
	if (server->options.on_trouble && !server->closed)
		server->options.on_trouble(server->options.context, connection->peer, reason);
	grpc_connection_release(connection);
}

bool grpc_room_make(struct grpc_server *server)
{
	struct grpc_server_counters *counters = &server->counters;
	struct grpc_connection *waiting = TAILQ_FIRST(&server->waiting);
	uint64_t since_ms;

	if (counters->connections_open + counters->connections_waiting < server->options.max_connections)
		return true;
	counters->connections_refused++;
	if (grpc_arrivals_oldest(server, &since_ms) && (!waiting || since_ms < waiting->waits_ms + SILENCE_MS))
		grpc_arrivals_evict(server, "too many connections: it had not said who it is yet");
	else if (waiting)
		room_evict(waiting, waiting->link->ready ? "too many connections: it asked for nothing"
							 : "too many connections: it had not said who it is yet");
	else
		return false;
	counters->connections_evicted++;
	return !server->closed;
}

static bool is_of_name(const struct grpc_connection *connection, const char *name)
{
	return connection->identity && connection->identity->count > 0 &&
	       strcmp(connection->identity->names[0], name) == 0;
}

/* One of this name by which nobody asks for anything, the longest such; NULL: there is none but this one. */
static struct grpc_connection *find_idle(const struct grpc_connection *beside, const char *name)
{
	struct grpc_connection *connection;

	TAILQ_FOREACH(connection, &beside->server->waiting, waiting_entry)
	if (connection != beside && is_of_name(connection, name))
		return connection;
	return NULL;
}

bool grpc_room_share(struct grpc_connection *connection)
{
	struct grpc_server *server = connection->server;
	const struct grpc_identity *identity = connection->identity;
	struct grpc_connection *other;
	uint32_t count = 0;

	/* Only where one name can have so many are they counted, for it takes a look at each. */
	if (identity->count == 0 || server->counters.connections_open <= server->options.max_connections_per_name)
		return true;
	TAILQ_FOREACH(other, &server->connections, entry)
	count += is_of_name(other, identity->names[0]);
	if (count <= server->options.max_connections_per_name)
		return true;
	other = find_idle(connection, identity->names[0]);
	if (!other)
		return false;
	server->counters.connections_evicted++;
	room_evict(other, "too many connections of this certificate's name, and it asked for nothing");
	return true;
}
