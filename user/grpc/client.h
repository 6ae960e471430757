/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gRPC client: one HTTP/2 connection to one peer, any number of calls at a time
 * (grpc/doc/PROTOCOL-HTTP2.md). It lives in the caller's event base and thread, never blocks, starts no thread.
 * Opening one ignores SIGPIPE from then on, if the process has not decided otherwise.
 *
 * When callbacks run: only from the event loop, never inside a function of this header (grpc_client_close is the one
 * exception, and says so). Inside a callback every function may be called, grpc_call_cancel and grpc_client_close too.
 */
#ifndef TAFFRAIL_GRPC_CLIENT_H
#define TAFFRAIL_GRPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/address.h"
#include "grpc/status.h"

struct bufferevent;
struct event_base;
struct grpc_tls;

struct grpc_client; /* a connection, or the attempt at one */
struct grpc_call;   /* valid from grpc_call_open until on_done returns, or until grpc_call_cancel */

/* Zero in a field means the default that stands beside it. Strings are copied. */
struct grpc_client_options {
	void *context; /* handed to the three callbacks below */

	/* Connected, and the peer's SETTINGS have come: it speaks HTTP/2. May be NULL. */
	void (*on_up)(void *context);
	/*
	 * The peer wants to be rid of this connection (GOAWAY): running calls go on, new ones are refused with
	 * -ESHUTDOWN. A long stream should half-close now. on_down follows when the last
	 * call is done. May be NULL.
	 */
	void (*on_draining)(void *context, const char *reason);
	/*
	 * No connection any more, or none came about. Every call's on_done has been called. `error` is 0 after an
	 * orderly end (drained), else -errno: -ECONNREFUSED, -ENOENT (no such socket), -ETIMEDOUT (connect or
	 * keep-alive), -ECONNRESET (the peer went away), -EPROTO (it does not speak HTTP/2 as it should),
	 * -EHOSTUNREACH (the name is not known), -EPERM (plain text to an address that is not loopback),
	 * -EKEYREJECTED (either side refuses the other's certificate).
	 * `reason` is a sentence for the log. May be NULL.
	 */
	void (*on_down)(void *context, int error, const char *reason);

	size_t max_message_bytes; /* of a message received; 4 MiB */
	size_t window_bytes;      /* of each stream, received and not consumed; 4 MiB; at most 1 GiB */
	size_t max_buffered_bytes; /* of unfinished messages of all calls; no limit: who calls decides how many there are */
	uint32_t connect_timeout_ms;   /* name, TCP, TLS and SETTINGS together; 10 s */
	uint32_t keepalive_ms;         /* PING after so long without a byte while calls are open; 30 s; or GRPC_NEVER */
	uint32_t keepalive_timeout_ms; /* without an answer to it: down, -ETIMEDOUT; 20 s */
	uint32_t retry_min_ms;         /* connect again by itself after on_down, first after this; 0: never */
	uint32_t retry_max_ms;         /* ... doubling up to this, each time a random half to the whole of it; 30 s */
	const char *authority;         /* the :authority header; the address's text, "localhost" for a unix socket */
	const char *user_agent;        /* "taffrail-grpc-c" */
	struct grpc_tls *tls;          /* NULL: plain text; else it must outlive the client */
	const char *
		tls_name; /* what the server's certificate must be for; the address's host, "localhost" for a unix socket */
	bool insecure; /* allow plain text to any address; else loopback and unix sockets only */
};

/*
 * Start to connect. `address` and `options` are copied (options may be NULL). Returns 0 with *client set; the outcome
 * comes as on_up or on_down. -ENOMEM; -EINVAL (no port, options out of range); -EPERM: plain text to an address that
 * is known not to be loopback.
 */
int grpc_client_open(struct event_base *base, const struct grpc_address *address,
	const struct grpc_client_options *options, struct grpc_client **client);

/*
 * The same over a byte stream that is connected already (one end of a bufferevent pair in tests and fuzzers). Takes
 * ownership of `stream` if it returns 0. Such a client cannot reconnect.
 */
int grpc_client_open_on(struct event_base *base, struct bufferevent *stream, const struct grpc_client_options *options,
	struct grpc_client **client);

/* Between on_up and on_draining or on_down. */
bool grpc_client_is_up(const struct grpc_client *client);

/* After on_down: try again, `delay_ms` from now. -EALREADY unless it is down; a pending retry is moved. */
int grpc_client_reconnect(struct grpc_client *client, uint32_t delay_ms);

/* Let running calls finish, refuse new ones, then on_down with error 0 (and no retry). */
void grpc_client_drain(struct grpc_client *client);

/*
 * Close at once. Calls still open get their on_done with GRPC_CANCELLED from inside this function; on_down is not
 * called. NULL is allowed. The pointer is dead afterwards.
 */
void grpc_client_close(struct grpc_client *client);

/* --- calls ------------------------------------------------------------------------------------------------------ */

/* Metadata to send: lower-case name, printable ASCII value. Names of HTTP/2 and gRPC itself are refused. */
struct grpc_header {
	const char *name;
	const char *value;
};

struct grpc_call_options {
	void *context; /* handed to the callbacks below */

	/*
	 * A whole message; `bytes` are valid until it returns. Returning consumes it (the peer may send as much
	 * again), unless manual_consume is set.
	 */
	void (*on_message)(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length);
	/* grpc_call_queued has fallen to writable_below or less after it had been above. May be NULL. */
	void (*on_writable)(void *context, struct grpc_call *call);
	/*
	 * The end, exactly once, last of all; the call is gone when it returns. `message` is never NULL. A status other than
	 * the peer's own: UNAVAILABLE (connection lost or refused before an answer), DEADLINE_EXCEEDED, CANCELLED
	 * (grpc_client_close, or the peer's RST_STREAM), RESOURCE_EXHAUSTED (message over max_message_bytes),
	 * INTERNAL or UNKNOWN (the answer is no gRPC). Required.
	 */
	void (*on_done)(void *context, struct grpc_call *call, enum grpc_status status, const char *message);

	const struct grpc_header *metadata; /* copied */
	size_t metadata_count;
	uint32_t deadline_ms;  /* from now, connecting included; sent as grpc-timeout and held here; 0: none */
	size_t writable_below; /* bytes; 256 KiB */
	bool manual_consume;   /* only grpc_call_consume gives the peer room again */
};

/*
 * Open a call to `path` ("/package.Service/Method", copied). While the client still connects, the call waits for it.
 * Returns 0 with *call set, and on_done will come; or -ENOTCONN (down), -ESHUTDOWN (draining), -EINVAL, -ENOMEM, and
 * it will not.
 */
int grpc_call_open(
	struct grpc_client *client, const char *path, const struct grpc_call_options *options, struct grpc_call **call);

/*
 * Queue one message; the bytes are copied. The queue's limit is the caller's: see grpc_call_queued and on_writable.
 * -EPIPE after grpc_call_half_close; -EMSGSIZE above 4 GiB - 1; -ENOMEM.
 */
int grpc_call_send(struct grpc_call *call, const void *bytes, size_t length);

/*
 * The same without the copy: on 0 the bytes are the call's, which calls release(bytes, release_context) once, when the
 * kernel has them or the call is gone (it may then run inside cancel or close). On an error they stay the caller's.
 */
int grpc_call_send_owned(struct grpc_call *call, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context);

/* Bytes accepted and not yet framed for the peer (what waits for its window). Another 256 KiB may be on the socket. */
size_t grpc_call_queued(const struct grpc_call *call);

/* Nothing more will be sent; messages still come in. Twice is once. */
void grpc_call_half_close(struct grpc_call *call);

/* With manual_consume: `bytes` of message payload are done with. More than was delivered is taken as all of it. */
void grpc_call_consume(struct grpc_call *call, size_t bytes);

/* Drop the call (RST_STREAM CANCEL). No callback comes any more, on_done neither; the pointer is dead. */
void grpc_call_cancel(struct grpc_call *call);

#endif
