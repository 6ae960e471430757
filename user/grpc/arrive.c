/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From accept to TLS. A handshake costs the server about a millisecond and whoever asks for it next to nothing, and after an
 * outage a whole cluster asks at once: so a connection waits here without TLS until its first byte has come, and then
 * a few are let in in each turn of the loop, between which running streams get theirs. What waits costs a descriptor and
 * half a kilobyte; max_connections bounds it, with those that are in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "grpc/header.h"
#include "grpc/server_inside.h"
#include "grpc/tls_inside.h"

#define LET_IN 4 /* in one turn of the loop */

struct grpc_arrival {
	TAILQ_ENTRY(grpc_arrival) entry;
	struct grpc_server *server;
	struct event *first_byte;
	bool knocks;
	uint64_t since_ms;
	int fd;
	char peer[GRPC_ADDRESS_TEXT_SIZE];
};

/* `fd`: becomes the caller's if it is wanted. */
static void arrival_free(struct grpc_arrival *arrival, int *fd)
{
	struct grpc_server *server = arrival->server;

	if (arrival->knocks)
		TAILQ_REMOVE(&server->knocking, arrival, entry);
	else
		TAILQ_REMOVE(&server->silent, arrival, entry);
	server->counters.connections_waiting--;
	if (arrival->first_byte)
		event_free(arrival->first_byte);
	if (fd)
		*fd = arrival->fd;
	else
		close(arrival->fd);
	free(arrival);
}

static void arrivals_say(struct grpc_server *server, const char *peer, const char *reason)
{
	if (server->options.on_trouble && !server->closed)
		server->options.on_trouble(server->options.context, peer, reason);
}

/* --- letting in ----------------------------------------------------------------------------------------------------- */

static void let_in_next_turn(struct grpc_server *server)
{
	event_add(server->let_in, &(struct timeval){0, 0});
}

static void arrival_let_in(struct grpc_arrival *arrival)
{
	struct grpc_server *server = arrival->server;
	struct bufferevent *stream = grpc_tls_accept(server->options.tls, server->base, arrival->fd);
	char peer[GRPC_ADDRESS_TEXT_SIZE];
	int fd;

	snprintf(peer, sizeof(peer), "%s", arrival->peer);
	arrival_free(arrival, &fd);
	if (!stream)
		close(fd);
	else if (grpc_connection_open(server, stream, peer, GRPC_OVER_TLS))
		bufferevent_free(stream);
}

static void on_let_in(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_server *server = argument;
	struct grpc_arrival *arrival;

	(void)fd;
	(void)what;
	grpc_server_hold(server);
	/*
	 * The ones that have waited longest, and the ones that came last: where more knock than can be let in, those that are at
	 * the head have often given up by their turn, and nobody would get in.
	 */
	for (int i = 0; i < LET_IN && !TAILQ_EMPTY(&server->knocking); i++) {
		arrival = i % 2 ? TAILQ_LAST(&server->knocking, grpc_arrivals) : TAILQ_FIRST(&server->knocking);
		arrival_let_in(arrival);
	}
	if (!TAILQ_EMPTY(&server->knocking))
		let_in_next_turn(server);
	grpc_server_release(server);
}

static void on_first_byte(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_arrival *arrival = argument;
	struct grpc_server *server = arrival->server;

	(void)fd;
	if (what & EV_TIMEOUT) {
		char peer[GRPC_ADDRESS_TEXT_SIZE];

		snprintf(peer, sizeof(peer), "%s", arrival->peer);
		arrival_free(arrival, NULL);
		server->counters.connections_timed_out++;
		arrivals_say(server, peer, "the TLS handshake was not begun in time");
		return;
	}
	TAILQ_REMOVE(&server->silent, arrival, entry);
	TAILQ_INSERT_TAIL(&server->knocking, arrival, entry);
	arrival->knocks = true;
	let_in_next_turn(server);
}

/* --- arriving ------------------------------------------------------------------------------------------------------- */

bool grpc_arrivals_oldest(const struct grpc_server *server, uint64_t *since_ms)
{
	const struct grpc_arrival *silent = TAILQ_FIRST(&server->silent);

	if (silent)
		*since_ms = silent->since_ms;
	return silent != NULL;
}

void grpc_arrivals_evict(struct grpc_server *server, const char *reason)
{
	char peer[GRPC_ADDRESS_TEXT_SIZE];

	snprintf(peer, sizeof(peer), "%s", TAILQ_FIRST(&server->silent)->peer);
	arrival_free(TAILQ_FIRST(&server->silent), NULL);
	arrivals_say(server, peer, reason);
}

void grpc_arrivals_add(struct grpc_server *server, int fd, const char *peer)
{
	const uint32_t limit = server->options.handshake_timeout_ms;
	const struct timeval wait = {limit / 1000, (suseconds_t)(limit % 1000 * 1000)};
	struct grpc_arrival *arrival;

	if (!grpc_room_make(server)) {
		arrivals_say(server, peer, "too many connections");
		close(fd);
		return;
	}
	arrival = calloc(1, sizeof(*arrival));
	if (!arrival) {
		close(fd);
		return;
	}
	arrival->server = server;
	arrival->fd = fd;
	arrival->since_ms = grpc_now_ms();
	snprintf(arrival->peer, sizeof(arrival->peer), "%s", peer);
	TAILQ_INSERT_TAIL(&server->silent, arrival, entry);
	server->counters.connections_waiting++;
	arrival->first_byte = event_new(server->base, fd, EV_READ, on_first_byte, arrival);
	if (!arrival->first_byte || event_add(arrival->first_byte, limit == GRPC_NEVER ? NULL : &wait))
		arrival_free(arrival, NULL);
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

int grpc_arrivals_open(struct grpc_server *server)
{
	TAILQ_INIT(&server->silent);
	TAILQ_INIT(&server->knocking);
	server->let_in = evtimer_new(server->base, on_let_in, server);
	return server->let_in ? 0 : -ENOMEM;
}

void grpc_arrivals_close(struct grpc_server *server)
{
	while (!TAILQ_EMPTY(&server->silent))
		arrival_free(TAILQ_FIRST(&server->silent), NULL);
	while (!TAILQ_EMPTY(&server->knocking))
		arrival_free(TAILQ_FIRST(&server->knocking), NULL);
	event_del(server->let_in);
}

void grpc_arrivals_free(struct grpc_server *server)
{
	if (server->let_in)
		event_free(server->let_in);
}
