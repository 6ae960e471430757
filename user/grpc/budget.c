/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of unfinished messages, of all connections together: many peers that each keep to their own limit hold as much
 * as one that does not.
 *
 * From half of the limit on it is the flow that gives way: who has no message begun is not read, and of those that have only as
 * many as the other half has room for what they have still to send; TCP keeps the others waiting. So those that are read
 * can always finish, and nobody waits for one who waits. Nothing is lost by that, and nobody has to come back. Who keeps
 * others waiting, because his message is not finished after PATIENCE_MS, is refused; above the whole limit somebody is at once.
 *
 * The heaviest are refused first. A message weighs what it holds times the time since it began: a large one that comes swiftly
 * is light, a small one that trickles is heavy, and many that divide it among them gain nothing. Where messages before it
 * wait to be consumed it may be our window that holds it back, and its time does not run.
 */
#include <errno.h>

#include <event2/event.h>

#include "grpc/header.h"
#include "grpc/server_inside.h"

#define PATIENCE_MS 5000 /* 4 MiB at 7 Mbit/s; a twelfth of a message's time, where that is less */
#define LOOK_MS 20       /* for room, while somebody waits */
#define EVICT_MS 100     /* for who is to blame that there is none */

/* --- who is refused ------------------------------------------------------------------------------------------------- */

/* 0: it holds nothing, or not for so long. */
static uint64_t exchange_weight(const struct grpc_exchange *exchange, uint64_t now, uint64_t age_ms)
{
	uint64_t age = exchange->message_ms && !exchange->held ? now - exchange->message_ms : 0;

	return age >= age_ms ? exchange->counted * (age + 1) : 0;
}

static void connection_weigh(struct grpc_connection *connection, uint64_t now, uint64_t age_ms)
{
	const struct grpc_exchange *exchange;

	connection->weight = 0;
	if (!connection->link->buffered)
		return;
	for (exchange = TAILQ_FIRST(&connection->link->exchanges); exchange; exchange = TAILQ_NEXT(exchange, entry))
		connection->weight += exchange_weight(exchange, now, age_ms);
}

static struct grpc_connection *heaviest(struct grpc_server *server)
{
	struct grpc_connection *connection, *found = NULL;

	TAILQ_FOREACH(connection, &server->connections, entry)
	if (connection->weight > (found ? found->weight : 0))
		found = connection;
	return found;
}

static void connection_refuse(struct grpc_connection *connection, uint64_t now, uint64_t age_ms)
{
	struct grpc_exchange *exchange;

	grpc_connection_hold(connection);
	connection->weight = 0;
	/* From the head each time: what is told of it may end any of them. */
	do {
		if (connection->ended)
			break;
		exchange = TAILQ_FIRST(&connection->link->exchanges);
		while (exchange && exchange_weight(exchange, now, age_ms) == 0)
			exchange = TAILQ_NEXT(exchange, entry);
		if (!exchange)
			break;
		connection->server->counters.streams_evicted++;
		grpc_exchange_hold(exchange);
		exchange->message_ms = 0;
		grpc_exchange_fault(exchange, GRPC_UNAVAILABLE,
			"unfinished messages take too much memory, and this one the most for the longest");
		grpc_exchange_release(exchange);
	} while (true);
	grpc_connection_release(connection);
}

/* Those that have waited `age_ms` for their rest, the heaviest first, till no more than `target` is held. */
static void budget_evict(struct grpc_server *server, size_t target, uint64_t age_ms)
{
	struct grpc_connection *connection;
	uint64_t now = grpc_now_ms();

	for (connection = TAILQ_FIRST(&server->connections); connection; connection = TAILQ_NEXT(connection, entry))
		connection_weigh(connection, now, age_ms);
	while (!server->closed && server->unfinished > target && (connection = heaviest(server)))
		connection_refuse(connection, now, age_ms);
}

/* --- who waits ------------------------------------------------------------------------------------------------------ */

static void budget_look_again(struct grpc_server *server)
{
	event_add(server->look, &(struct timeval){0, LOOK_MS * 1000});
}

static void budget_wait(struct grpc_connection *connection)
{
	struct grpc_server *server = connection->server;

	if (connection->paused)
		return;
	connection->paused = true;
	server->counters.reads_paused++;
	TAILQ_INSERT_TAIL(&server->paused, connection, paused_entry);
	if (!evtimer_pending(server->look, NULL))
		budget_look_again(server);
}

void grpc_budget_forget(struct grpc_connection *connection)
{
	connection->server->promised -= connection->promised;
	connection->promised = 0;
	if (!connection->paused)
		return;
	connection->paused = false;
	TAILQ_REMOVE(&connection->server->paused, connection, paused_entry);
}

/* What is still to come of the messages that have begun; *begun: whether there is one, or anything else half done (rest 0). */
static size_t link_rest(const struct grpc_link *link, bool *begun)
{
	const struct grpc_exchange *exchange;
	size_t rest = 0;

	*begun = !link->ready || link->headers_ms;
	TAILQ_FOREACH(exchange, &link->exchanges, entry)
	if (!exchange->deaf && !grpc_inbox_is_empty(&exchange->in)) {
		*begun = true;
		rest += exchange->in.length - exchange->in.filled;
	}
	return rest;
}

/* What is held may be more than half by what the last read without a promise brought. */
static bool budget_fits(const struct grpc_server *server, size_t rest)
{
	return rest == 0 || server->promised == 0 ||
	       server->unfinished + server->promised + rest <= server->options.max_unfinished_bytes;
}

static void budget_promise(struct grpc_connection *connection, size_t rest)
{
	connection->server->promised += rest - connection->promised;
	connection->promised = rest;
}

/* Of those that are read some have finished, and ask for nothing more. */
static void budget_settle(struct grpc_server *server)
{
	struct grpc_connection *connection;
	bool begun;

	TAILQ_FOREACH(connection, &server->connections, entry)
	if (connection->promised)
		budget_promise(connection, link_rest(connection->link, &begun));
}

/* Some go on, in the order in which they came. Each asks again when it is its turn: grpc_budget_admits. */
static void budget_resume(struct grpc_server *server)
{
	struct grpc_connection *connection = TAILQ_FIRST(&server->paused), *next;
	bool all = server->unfinished <= server->options.max_unfinished_bytes / 2, begun;

	for (; connection; connection = next) {
		size_t rest = link_rest(connection->link, &begun);

		next = TAILQ_NEXT(connection, paused_entry);
		if (!all && (!begun || !budget_fits(server, rest)))
			continue;
		grpc_budget_forget(connection);
		if (!all)
			budget_promise(connection, rest);
		grpc_link_resume(connection->link);
	}
}

static uint64_t budget_patience(const struct grpc_server *server)
{
	uint32_t time_ms = server->options.message_timeout_ms / 12;

	return time_ms < PATIENCE_MS ? time_ms : PATIENCE_MS;
}

static void budget_on_look(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_server *server = argument;
	size_t mark = server->options.max_unfinished_bytes / 2;
	uint64_t now = grpc_now_ms();

	(void)fd;
	(void)what;
	grpc_server_hold(server);
	if (server->unfinished > mark && now - server->evicted_ms >= EVICT_MS) {
		server->evicted_ms = now;
		budget_evict(server, mark - mark / 4, budget_patience(server));
	}
	budget_settle(server);
	budget_resume(server);
	if (!server->closed && !TAILQ_EMPTY(&server->paused))
		budget_look_again(server);
	grpc_server_release(server);
}

bool grpc_budget_admits(struct grpc_connection *connection)
{
	struct grpc_server *server = connection->server;
	size_t limit = server->options.max_unfinished_bytes, rest;
	bool begun, admitted;

	if (server->unfinished <= limit / 2)
		return true;
	grpc_connection_hold(connection);
	/* Some at a time, for it is all connections that are looked at. */
	if (server->unfinished > limit)
		budget_evict(server, limit - limit / 8, 0);
	if (connection->ended) {
		grpc_connection_release(connection);
		return false;
	}
	rest = link_rest(connection->link, &begun);
	budget_promise(connection, 0);
	admitted = begun && !connection->paused && budget_fits(server, rest);
	if (admitted)
		budget_promise(connection, rest);
	else
		budget_wait(connection);
	grpc_connection_release(connection);
	return admitted;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

int grpc_budget_open(struct grpc_server *server)
{
	server->look = evtimer_new(server->base, budget_on_look, server);
	return server->look ? 0 : -ENOMEM;
}

void grpc_budget_free(struct grpc_server *server)
{
	if (server->look)
		event_free(server->look);
}
