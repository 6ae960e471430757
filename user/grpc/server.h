/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC server: listens on any number of addresses, dispatches streams by path to a table of handlers. It lives in the
 * caller's event base and thread, never blocks, starts no thread; opening one ignores SIGPIPE from
 * then on, if the process has not decided otherwise. Every kind of call (unary, streaming either way) is
 * the same here: messages come in until half-close, messages go out until finish.
 *
 * When callbacks run: only from the event loop, never inside a function of this header (grpc_server_close is the one
 * exception, and says so). Inside a callback every function may be called, grpc_server_close too.
 */
#ifndef TAFFRAIL_GRPC_SERVER_H
#define TAFFRAIL_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/address.h"
#include "grpc/status.h"
#include "grpc/tls.h"

struct bufferevent;
struct event_base;

struct grpc_server;
struct grpc_stream; /* one call of one peer; valid from on_open until on_close returns */

/* One row for each method. Callbacks may be NULL. `data`: what grpc_stream_set_data set, before that `context`. */
struct grpc_handler {
	const char *path; /* "/package.Service/Method"; must outlive the server */
	void *context;
	bool manual_consume;      /* only grpc_stream_consume gives the peer room again */
	size_t writable_below;    /* bytes, for on_writable; 0: 256 KiB */
	size_t max_message_bytes; /* of a message received; 0: the server's */

	/* A peer called. To refuse: grpc_stream_finish here; no on_message comes then, but on_close does. */
	void (*on_open)(struct grpc_stream *stream, void *data);
	/* A whole message; `bytes` are valid until it returns, which consumes it unless manual_consume is set. */
	void (*on_message)(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length);
	/* The peer sends nothing more. For a unary call: now answer and finish. */
	void (*on_half_close)(struct grpc_stream *stream, void *data);
	/* grpc_stream_queued has fallen to writable_below or less after it had been above. */
	void (*on_writable)(struct grpc_stream *stream, void *data);
	/* grpc_server_stop was called, or the connection reached its age: bring this stream to its end and finish it. */
	void (*on_drain)(struct grpc_stream *stream, void *data);
	/*
	 * The end, exactly once after on_open; the stream is gone when it returns. `status` is what was finished with
	 * and sent; else CANCELLED (the peer reset it), UNAVAILABLE (connection lost), DEADLINE_EXCEEDED (the peer's
	 * own grpc-timeout), or the protocol error that ended it. `reason` is a sentence, never NULL.
	 */
	void (*on_close)(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason);
};

/* Counted since open; gauges say so. */
struct grpc_server_counters {
	uint64_t connections_open;    /* gauge */
	uint64_t streams_open;        /* gauge */
	uint64_t connections_waiting; /* gauge: TLS has not begun yet */
	uint64_t connections;
	uint64_t connections_refused;    /* over max_connections, or closed before they were taken */
	uint64_t connections_evicted;    /* of these: by which nobody had asked for anything; the new one was taken */
	uint64_t connections_over_share; /* of a name that had max_connections_per_name */
	uint64_t connections_timed_out;  /* no preface, an unfinished header block, no message, keep-alive unanswered */
	uint64_t protocol_errors;        /* connections ended for what they sent */
	uint64_t certificates_refused;   /* by either side */
	uint64_t peers_refused;          /* by options.admit_peer */
	uint64_t streams;
	uint64_t streams_refused;  /* unknown method, no gRPC, over a limit */
	uint64_t streams_denied;   /* by options.admit */
	uint64_t streams_faulted;  /* ended for what they sent: a message too large, compressed, unfinished; headers */
	uint64_t streams_evicted;  /* of these: for unfinished messages that were too much for the whole server */
	uint64_t reads_paused;     /* times that a connection was not read because of such messages of others */
	uint64_t unfinished_bytes; /* gauge: allocated for unfinished messages */
	uint64_t messages_received;
	uint64_t messages_sent; /* queued to be */
};

/* Zero in a field means the default that stands beside it. */
struct grpc_server_options {
	/* The table, copied; the strings in it are not. At least one row. */
	const struct grpc_handler *handlers;
	size_t handler_count;

	/* For the log: a connection or a stream was ended for cause (protocol error, limit, time out). May be NULL. */
	void (*on_trouble)(void *context, const char *peer, const char *reason);
	/*
	 * Before a handler hears of a call: may this peer make it? GRPC_OK, or the status that it gets, with a sentence
	 * in `why`. May be NULL: every peer may.
	 */
	enum grpc_status (*admit)(void *context, const struct grpc_stream *stream, char *why, size_t why_size);
	/*
	 * Over TLS, once the handshake is done: may anybody with these names make any call? If not, the connection has two
	 * seconds to be told so by a call's status. May be NULL: each may try.
	 */
	bool (*admit_peer)(void *context, const struct grpc_identity *identity);
	void *context;

	size_t max_message_bytes;  /* of a message received; 4 MiB */
	size_t max_buffered_bytes; /* unfinished messages of one connection together; 16 MiB */
	/*
	 * Unfinished messages of all connections together; 256 MiB: 64 of the largest, or 64 KiB of each of 4,096 connections.
	 * From half of it on some connections are not read, so that the others can finish; while one waits, messages
	 * that are unfinished after 5 s are refused (UNAVAILABLE), those first that hold the most for the longest.
	 */
	size_t max_unfinished_bytes;
	size_t window_bytes; /* of each stream, received and not consumed; 4 MiB; at most 1 GiB */
	/*
	 * 4096; one more takes the place of the one by which nobody has asked for anything (no byte, no handshake, no call, or
	 * a call without a message) for the longest, or is closed at once.
	 */
	uint32_t max_connections;
	/*
	 * Over TLS, by the first name of the certificate; 7/8 of max_connections, so that there is room for others. One more
	 * takes the place of one of that name by which nobody asks for anything, or is closed.
	 */
	uint32_t max_connections_per_name;
	/* What a call's headers hold stays as long as the call: at most max_connections × max_streams × max_header_bytes. */
	uint32_t max_streams;          /* of one connection at a time; 100 */
	size_t max_header_bytes;       /* of one call, as RFC 9113, 6.5.2 counts; 16 KiB; at most 1 MiB */
	uint32_t handshake_timeout_ms; /* TLS, preface and SETTINGS together; 10 s */
	uint32_t header_timeout_ms;    /* from a header block's first frame to its last; 10 s */
	uint32_t
		message_timeout_ms; /* from a message's first byte to its last, while nothing waits to be consumed; 60 s */
	uint32_t first_message_timeout_ms; /* from SETTINGS to the first message of any call; 10 s; or GRPC_NEVER */
	uint32_t idle_timeout_ms;          /* a connection without a stream; 5 min; or GRPC_NEVER */
	uint32_t keepalive_ms; /* PING after so long without a byte while streams are open; 60 s; or GRPC_NEVER */
	uint32_t keepalive_timeout_ms;    /* without an answer to it the connection is closed; 20 s */
	uint32_t max_connection_age_ms;   /* then GOAWAY and on_drain (each connection a random tenth less); 0: none */
	uint32_t max_connection_grace_ms; /* after that the connection is closed; 30 s */
	struct grpc_tls *tls;             /* NULL: plain text; else it must outlive the server */
	bool insecure;                    /* allow plain text on any address; else loopback and unix sockets only */
};

/* A server that does not listen yet. `options` are copied. 0, -EINVAL, -ENOMEM. */
int grpc_server_open(struct event_base *base, const struct grpc_server_options *options, struct grpc_server **server);

/*
 * Listen on one address more (16 sockets at most). A name is looked up here and now: the one thing that may block, so
 * call it at start. A unix socket is made with `mode` 0660; a dead one of the same path is replaced, a live one never
 * (-EADDRINUSE). On an error a sentence stands in `error`; -EPERM: plain text on an address that is not loopback.
 * `bound` (may be NULL) becomes the address with the port that the kernel chose.
 */
int grpc_server_listen(struct grpc_server *server, const struct grpc_address *address, struct grpc_address *bound,
	char *error, size_t error_size);

/*
 * Serve a byte stream that is connected already (one end of a bufferevent pair in tests and fuzzers); `peer` is its
 * name, copied. Takes ownership of `stream` if it returns 0. -ENOMEM, -EMFILE (max_connections).
 */
int grpc_server_attach(struct grpc_server *server, struct bufferevent *stream, const char *peer);

/* Another max_connection_age_ms, of connections from now on. */
void grpc_server_age(struct grpc_server *server, uint32_t max_connection_age_ms);

void grpc_server_counters(const struct grpc_server *server, struct grpc_server_counters *counters);

/*
 * Stop gently: no new connection, GOAWAY, on_drain for every stream; a connection closes when its last stream is done,
 * at the latest after `grace_ms`. `on_stopped` (may be NULL) is called once, when no connection is left.
 */
void grpc_server_stop(struct grpc_server *server, uint32_t grace_ms, void (*on_stopped)(void *context), void *context);

/*
 * Close at once: streams still open get their on_close with GRPC_UNAVAILABLE from inside this function; unix sockets
 * are removed; a pending on_stopped is not called. NULL is allowed. The pointer is dead afterwards.
 */
void grpc_server_close(struct grpc_server *server);

/* --- streams ---------------------------------------------------------------------------------------------------- */

void grpc_stream_set_data(struct grpc_stream *stream, void *data);

/*
 * Who calls: "192.0.2.1:40312", "unix:pid=7,uid=0" (the kernel's word, SO_PEERCRED), or the name given to attach; over TLS
 * with the first name of its certificate behind it: "192.0.2.1:40312 (sensor.example)".
 */
const char *grpc_stream_peer(const struct grpc_stream *stream);
/* Over TLS: who its certificate says it is. NULL in plain text. Valid as long as the stream. */
const struct grpc_identity *grpc_stream_identity(const struct grpc_stream *stream);
const char *grpc_stream_path(const struct grpc_stream *stream);

/* The peer's metadata: the first value of `name` (lower case), or NULL. Valid as long as the stream. */
const char *grpc_stream_header(const struct grpc_stream *stream, const char *name);

/* Milliseconds until the peer's own deadline; GRPC_NO_DEADLINE without one. */
#define GRPC_NO_DEADLINE UINT64_MAX
uint64_t grpc_stream_remaining_ms(const struct grpc_stream *stream);

/*
 * Queue one message; the bytes are copied. The queue's limit is the caller's: see grpc_stream_queued and on_writable.
 * -EPIPE after grpc_stream_finish or when the peer is gone; -EMSGSIZE above 4 GiB - 1; -ENOMEM.
 */
int grpc_stream_send(struct grpc_stream *stream, const void *bytes, size_t length);

/* The same without the copy: on 0 the bytes are the stream's; see grpc_call_send_owned. */
int grpc_stream_send_owned(struct grpc_stream *stream, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context);

/* Bytes accepted and not yet framed for the peer (what waits for its window). Another 256 KiB may be on the socket. */
size_t grpc_stream_queued(const struct grpc_stream *stream);

/* With manual_consume: `bytes` of message payload are done with. More than was delivered is taken as all of it. */
void grpc_stream_consume(struct grpc_stream *stream, size_t bytes);

/*
 * Answer: what is queued goes first, then the trailers. on_message does not come any more; on_close comes when the peer
 * has been sent all of it. `message` may be NULL. Only the first call counts.
 */
void grpc_stream_finish(struct grpc_stream *stream, enum grpc_status status, const char *message);

#endif
