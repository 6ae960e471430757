/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of grpc/: one HTTP/2 connection (link) and the messages of one stream on it (exchange). All that client and
 * server have in common: nghttp2 over a bufferevent, flow control, keep-alive, time-outs, limits. What they do
 * differently stands in struct grpc_role.
 *
 * Lifetimes. A link is freed by grpc_link_close, later if one of its own callbacks is running. An exchange is embedded in a
 * call or a server's stream and counted: whoever works on one across a callback holds it.
 */
#ifndef TAFFRAIL_GRPC_LINK_H
#define TAFFRAIL_GRPC_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <nghttp2/nghttp2.h>

#include "grpc/message.h"
#include "grpc/status.h"

struct bufferevent;
struct event_base;
struct grpc_exchange;
struct grpc_link;

TAILQ_HEAD(grpc_exchanges, grpc_exchange);

/* The messages of one call, both ways. */
struct grpc_exchange {
	TAILQ_ENTRY(grpc_exchange) entry;     /* of its link */
	TAILQ_ENTRY(grpc_exchange) due_entry; /* of the link's due list, while `due` */
	struct grpc_link *link;               /* NULL before attach and after detach: nothing can be sent */
	int32_t id;                           /* HTTP/2's; 0 before it has one */
	unsigned references;
	void (*destroy)(struct grpc_exchange *exchange);

	/* Set by its owner before attach. */
	bool manual_consume;
	size_t max_message_bytes;
	size_t writable_below;

	/* Out. */
	struct grpc_outbox out;
	bool last;     /* what is queued is all: then END_STREAM, or trailers (role->trailers) */
	bool deferred; /* ... which waits for grpc_exchange_wake */
	bool above;    /* queued was above writable_below */
	bool due;

	/* In. */
	struct grpc_inbox in;
	bool deaf;           /* no message is wanted any more: bytes are counted and dropped */
	bool encoded;        /* the peer named a grpc-encoding other than identity */
	size_t header_bytes; /* of the header block at hand */
	size_t held;         /* payload delivered, not consumed, owed to the stream's window */
	uint64_t message_ms; /* since when a message is unfinished; 0: none is */
	size_t counted;      /* in the link's `buffered` */
	size_t prepaid;      /* payload delivered, not consumed, already given back (messages over half a window) */
};

/* What a link tells its owner. Every callback may close the link, and end any exchange. */
struct grpc_role {
	bool server;
	/* Over TLS: it is known who the peer is. May be NULL. */
	void (*secured)(void *context);
	/* The peer's first SETTINGS. */
	void (*ready)(void *context);
	/* GOAWAY; `text` is clean for a log. */
	void (*goaway)(void *context, uint32_t error_code, const char *text);
	/* Server: a request begins. Attach an exchange for it, or return -1 to reset it. */
	int (*begin)(void *context, int32_t id);
	/* Bytes have come: may they be taken now? If not they wait, for grpc_link_resume. May be NULL: they may. */
	bool (*has_room)(void *context);
	/* One header or trailer. */
	void (*header)(struct grpc_exchange *exchange, const uint8_t *name, size_t name_length, const uint8_t *value,
		size_t value_length);
	/* A header block is complete; `last`: nothing follows. */
	void (*headers)(struct grpc_exchange *exchange, bool last);
	void (*message)(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length);
	/* The peer broke a limit of this stream (message too large or compressed, headers); the exchange is deaf now. */
	void (*fault)(struct grpc_exchange *exchange, enum grpc_status status, const char *reason);
	/* The last DATA frame. */
	void (*half_closed)(struct grpc_exchange *exchange);
	/* Server: everything queued is framed and `last` is set: submit the trailers. */
	void (*trailers)(struct grpc_exchange *exchange);
	/* Queued bytes fell to writable_below. */
	void (*writable)(struct grpc_exchange *exchange);
	/* The stream is gone on HTTP/2's level; the exchange is detached already. */
	void (*closed)(struct grpc_exchange *exchange, uint32_t error_code);
	/*
	 * The connection is over: 0 orderly, or -errno, see client.h; -EPROTO and -ETIMEDOUT are the peer's fault.
	 * Exchanges are still attached. The owner ends them and closes the link.
	 */
	void (*down)(void *context, int error, const char *reason);
};

struct grpc_link_limits {
	size_t window_bytes;
	size_t max_buffered_bytes; /* of unfinished messages of all exchanges */
	size_t *together;          /* what all links that share it hold of such messages; NULL: nobody asks */
	size_t max_header_bytes;   /* of one header block */
	uint32_t max_streams;      /* server */
	uint32_t handshake_timeout_ms;
	uint32_t header_timeout_ms;
	uint32_t message_timeout_ms;
	uint32_t first_message_timeout_ms; /* server */
	uint32_t idle_timeout_ms;
	uint32_t keepalive_ms;
	uint32_t keepalive_timeout_ms;
};

/* What bytes go over. */
enum grpc_carrier {
	GRPC_OVER_STREAM, /* a bufferevent that somebody else made */
	GRPC_OVER_SOCKET, /* a bare socket: large reads may go past the bufferevent */
	GRPC_OVER_TLS,    /* tls_inside.h */
};

struct grpc_link {
	struct event_base *base;
	struct bufferevent *stream;
	nghttp2_session *session;
	const struct grpc_role *role;
	void *context;
	struct grpc_link_limits limits;
	enum grpc_carrier carrier;
	struct grpc_exchanges exchanges;
	struct grpc_exchanges due; /* role->writable is owed to these */

	int busy;  /* callbacks that are running: a close inside them frees later */
	bool dead; /* closed: no callback any more */
	bool over; /* role->down was called, or will be with nothing else before it */
	bool ready;
	bool paused; /* nothing is read: role->has_room said no */
	bool draining;
	bool ended;            /* the final GOAWAY is submitted */
	bool failed;           /* ... for something that the peer did wrong */
	struct event *pump;    /* sends in the next turn of the loop */
	struct event *timer;   /* the earliest of the times below, or earlier */
	uint64_t timer_ms;     /* 0: not set */
	uint64_t open_ms;      /* since when it is */
	uint64_t heard_ms;     /* the last byte of the peer's */
	uint64_t ping_ms;      /* our PING that has no answer; 0: none */
	uint64_t headers_ms;   /* a header block began and has not ended; 0: none */
	uint64_t message_ms;   /* since when at the earliest a message is unfinished; 0: none is */
	uint64_t alone_ms;     /* since when there is no exchange; 0: there is */
	uint64_t mute_ms;      /* server: since when it has waited for the first message of all; 0: one came */
	uint64_t drain_ms;     /* when the first of two GOAWAYs was submitted; 0: the second was, or none */
	uint64_t ended_ms;     /* when the final GOAWAY was submitted */
	size_t buffered;       /* bytes allocated for unfinished messages */
	double control_credit; /* control frames that the peer may still send */
	uint64_t control_ms;
	char complaint[200]; /* what nghttp2 or we found wrong with the peer; "": nothing */
};

/* libevent writes without MSG_NOSIGNAL: where SIGPIPE would end the process, it is ignored from now on. */
void grpc_ignore_broken_pipes(void);

/* Takes ownership of `stream` if it returns 0 (-ENOMEM). SETTINGS are sent from the next turn of the loop on. */
int grpc_link_open(struct event_base *base, struct bufferevent *stream, const struct grpc_role *role, void *context,
	const struct grpc_link_limits *limits, enum grpc_carrier carrier, struct grpc_link **link);
/* An exchange joined or left. */
void grpc_link_note_exchanges(struct grpc_link *link);
/* Send what was submitted to the session, in the next turn of the loop. */
void grpc_link_wake(struct grpc_link *link);
/* There may be room again: role->has_room is asked anew, in a later turn of the loop. */
void grpc_link_resume(struct grpc_link *link);
/*
 * Say GOAWAY, let exchanges finish, then role->down with 0. A server's first says so without refusing what is under
 * way (RFC 9113, 6.8).
 */
void grpc_link_drain(struct grpc_link *link);
/* No callback any more. What is in the socket's buffer is lost. NULL is allowed. */
void grpc_link_close(struct grpc_link *link);

/* --- between link.c and session.c ---------------------------------------------------------------------------------- */

#define GRPC_FRAME_BYTES (64 * 1024) /* of a DATA frame, both ways, where the peer agrees */
extern const uint8_t grpc_drain_ping[8];

/* Set link->session, with every callback and limit. -ENOMEM. */
int grpc_link_new_session(struct grpc_link *link);
/* The connection is over; the first reason counts. */
void grpc_link_down(struct grpc_link *link, int error, const char *reason);
/* Keep what is wrong with the peer for the reason. */
void grpc_link_complain(struct grpc_link *link, const char *text, size_t length);
/* One of the link's times was set: see that the timer fires by then. */
void grpc_link_arm(struct grpc_link *link, uint64_t now);
/* The GOAWAY that says which streams were taken. */
void grpc_link_say_goaway(struct grpc_link *link);

/* --- exchanges: owned by their call or stream, which starts with one reference ------------------------------------- */

void grpc_exchange_init(struct grpc_exchange *exchange, void (*destroy)(struct grpc_exchange *exchange));
void grpc_exchange_hold(struct grpc_exchange *exchange);
void grpc_exchange_release(struct grpc_exchange *exchange);
/* Join the stream `id` of the link's session. */
void grpc_exchange_attach(struct grpc_exchange *exchange, struct grpc_link *link, int32_t id);
/* Leave it: no callback any more, queued messages are dropped. Twice is once. */
void grpc_exchange_detach(struct grpc_exchange *exchange);
/* RST_STREAM, and leave. */
void grpc_exchange_reset(struct grpc_exchange *exchange, uint32_t error_code);

/* For nghttp2_submit_request and _response: DATA from the exchange that is the stream's user data. */
extern const nghttp2_data_provider grpc_exchange_provider;
/* See grpc_call_send. Before attach the message waits. */
int grpc_exchange_send(struct grpc_exchange *exchange, const void *bytes, size_t length);
int grpc_exchange_send_owned(struct grpc_exchange *exchange, void *bytes, size_t length,
	void (*release)(void *bytes, void *release_context), void *release_context);
/* Nothing more will be sent. */
void grpc_exchange_finish(struct grpc_exchange *exchange);
void grpc_exchange_consume(struct grpc_exchange *exchange, size_t bytes);

/* The peer broke a limit: no message is wanted any more, and role->fault. */
void grpc_exchange_fault(struct grpc_exchange *exchange, enum grpc_status status, const char *reason);

/* For link.c. */
int grpc_exchange_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_header, size_t length,
	nghttp2_data_source *source, void *link);
/* `length` bytes of DATA have come. Returns -ENOMEM if the connection cannot go on. */
int grpc_exchange_receive(struct grpc_exchange *exchange, const uint8_t *bytes, size_t length);

#endif
