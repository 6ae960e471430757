/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of grpc/: what server.c (its life), listen.c (sockets), connection.c and stream.c share. */
#ifndef TAFFRAIL_GRPC_SERVER_INSIDE_H
#define TAFFRAIL_GRPC_SERVER_INSIDE_H

#include <sys/queue.h>
#include <sys/types.h>

#include "grpc/link.h"
#include "grpc/server.h"
#include "grpc/socket.h"

#define GRPC_LISTENERS 16

struct evconnlistener;
struct grpc_arrival;
struct grpc_connection;

struct grpc_listener {
	struct grpc_server *server;
	struct evconnlistener *accept;
	struct grpc_socket socket;
};

/* Counted: the owner's pointer is one reference, each function that calls back another while it runs. */
struct grpc_server {
	struct event_base *base;
	struct grpc_server_options options; /* defaults filled in, the table our own */
	unsigned references;
	bool closed; /* by its owner: no callback any more */
	struct grpc_listener listeners[GRPC_LISTENERS];
	size_t listener_count;
	TAILQ_HEAD(grpc_connections, grpc_connection) connections;
	struct grpc_connections waiting; /* by which nobody has asked for anything, the longest first: room.c */
	TAILQ_HEAD(grpc_arrivals, grpc_arrival) silent, knocking; /* arrive.c */
	struct event *let_in;
	struct grpc_server_counters counters;
	size_t unfinished;              /* bytes allocated for unfinished messages */
	struct grpc_connections paused; /* budget.c */
	size_t promised;                /* room for the rest of what has begun, above the half of the limit */
	struct event *look;
	uint64_t evicted_ms;        /* when it was last looked for messages to refuse */
	struct event *accept_again; /* after the process ran out of descriptors */

	bool stopping, stopped;
	uint32_t grace_ms;
	struct event *stop; /* first the drain, then the end of the grace, then on_stopped */
	enum { GRPC_STOP_DRAIN, GRPC_STOP_GRACE } stop_step;
	void (*on_stopped)(void *context);
	void *stop_context;
};

struct grpc_connection {
	TAILQ_ENTRY(grpc_connection) entry;
	TAILQ_ENTRY(grpc_connection) paused_entry;  /* while `paused` */
	TAILQ_ENTRY(grpc_connection) waiting_entry; /* while `waits` */
	struct grpc_server *server;
	struct grpc_link *link;
	uint64_t weight; /* of its unfinished messages, see budget.c */
	size_t promised; /* of the server's */
	bool paused;
	bool waits;        /* nobody asks for anything by it: */
	uint64_t waits_ms; /* since when; 0: before all others */
	bool refused;      /* by options.admit_peer */
	unsigned references;
	bool ended;
	bool draining;
	struct event *age;              /* NULL: it may grow old */
	struct grpc_identity *identity; /* NULL: plain text, or not known yet */
	char *peer;
};

/* listen.c */
void grpc_listeners_close(struct grpc_server *server);
void grpc_listeners_resume(struct grpc_server *server);

/* arrive.c: TLS costs us more than whoever asks for it, so peers are let in a few at a time. */
int grpc_arrivals_open(struct grpc_server *server);
/* Takes the socket. */
void grpc_arrivals_add(struct grpc_server *server, int fd, const char *peer);
/* Closes those that wait. */
void grpc_arrivals_close(struct grpc_server *server);
void grpc_arrivals_free(struct grpc_server *server);
/* The one that has been silent for longest; *since_ms: since when. False: there is none. */
bool grpc_arrivals_oldest(const struct grpc_server *server, uint64_t *since_ms);
/* That one goes. */
void grpc_arrivals_evict(struct grpc_server *server, const char *reason);

/* room.c: who goes where there are too many connections. */
/* Makes room for one more. False: there is none. */
bool grpc_room_make(struct grpc_server *server);
/* Its names are known. False: those of this name have their share, and it must go. */
bool grpc_room_share(struct grpc_connection *connection);
/* Nobody asks for anything by it, from now on. */
void grpc_room_wait(struct grpc_connection *connection);
/* It goes before all others. */
void grpc_room_wait_first(struct grpc_connection *connection);
/* Somebody has asked for something, or it is gone. */
void grpc_room_leave(struct grpc_connection *connection);

/* budget.c: the memory of unfinished messages, of all connections together. */
int grpc_budget_open(struct grpc_server *server);
void grpc_budget_free(struct grpc_server *server);
/* May what has come on this connection be read? If not it waits; it is resumed when there is room. */
bool grpc_budget_admits(struct grpc_connection *connection);
/* The connection is gone: it waits no more. */
void grpc_budget_forget(struct grpc_connection *connection);

/* connection.c */
void grpc_connection_hold(struct grpc_connection *connection);
void grpc_connection_release(struct grpc_connection *connection);
/* -EMFILE: no room; -ENOMEM. */
int grpc_connection_open(
	struct grpc_server *server, struct bufferevent *stream, const char *peer, enum grpc_carrier carrier);
/* GOAWAY, and on_drain for each stream. */
void grpc_connection_drain(struct grpc_connection *connection);
/* Close at once; its streams end UNAVAILABLE. */
void grpc_connection_end(struct grpc_connection *connection, const char *reason);

/* stream.c: the role's callbacks that concern one stream. */
int grpc_stream_begin(struct grpc_connection *connection, int32_t id);
void grpc_stream_on_header(struct grpc_exchange *exchange, const uint8_t *name, size_t name_length,
	const uint8_t *value, size_t value_length);
void grpc_stream_on_headers(struct grpc_exchange *exchange, bool last);
void grpc_stream_on_message(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length);
void grpc_stream_on_fault(struct grpc_exchange *exchange, enum grpc_status status, const char *reason);
void grpc_stream_on_half_closed(struct grpc_exchange *exchange);
void grpc_stream_on_trailers(struct grpc_exchange *exchange);
void grpc_stream_on_writable(struct grpc_exchange *exchange);
void grpc_stream_on_closed(struct grpc_exchange *exchange, uint32_t error_code);
/* Tell it to come to an end; false if it was told before. */
bool grpc_stream_drain(struct grpc_exchange *exchange);
/* End it with its on_close. */
void grpc_stream_end(struct grpc_exchange *exchange, enum grpc_status status, const char *reason);

/* server.c */
void grpc_server_hold(struct grpc_server *server);
void grpc_server_release(struct grpc_server *server);
/* A connection is gone: was it the last one that a stop waits for? */
void grpc_server_check_stopped(struct grpc_server *server);

#endif
