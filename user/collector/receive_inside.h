/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the receiver: receive.c takes batches and hands them on, receive_session.c knows who speaks, receive_gap.c tells gaps. */
#ifndef TAFFRAIL_COLLECTOR_RECEIVE_INSIDE_H
#define TAFFRAIL_COLLECTOR_RECEIVE_INSIDE_H

#include <sys/queue.h>

#include "base/table.h"
#include "collector/account_wire.h"
#include "collector/receive.h"

struct event;

enum {
	ACKS_QUEUED_MAX = 16 << 10, /* bytes: a sensor that does not read gets one acknowledgement for many */
	/*
	 * Bytes of memory of the events on their way to the disk that are kept for those that want them then. They are about ten
	 * times as much as their messages, and up to 64 times; each of thousands of sensors has a window: beyond this they are
	 * read from the store.
	 */
	KEPT_MAX = 64 << 20,
};

/* One call. It outlives its stream while batches of it are being synced. */
struct session {
	struct table_node node; /* of the receiver's, while it is the one that speaks for its sensor and epoch */
	struct receiver *receiver;
	struct grpc_stream *stream; /* NULL: gone */
	unsigned references;        /* of the stream, of batches on their way */
	unsigned batches;           /* on their way */
	bool greeted, listed;
	bool owned;                 /* its host is known to be this peer's */
	bool draining, half_closed; /* it ends when its last batch is acknowledged: we stop, the sensor does */
	bool ack_due;
	uint8_t epoch[EVENT_EPOCH_SIZE];
	/* Up to here another collector has everything, and up to there this store had, as the sensor says. */
	uint64_t elsewhere, here;
	struct account_build build;
	size_t host_length;
	char host[SEGMENT_HOST_MAX + 1];
	char name[SEGMENT_HOST_MAX + 1]; /* the host's id, harmless to logs */
};

/* A message between its coming and its sync. */
struct batch {
	STAILQ_ENTRY(batch) entry;
	struct session *session;
	size_t message_bytes; /* to give back to the flow; 0: it is our own, of a gap */
	uint64_t after;       /* done once so many frames are synced */
	bool is_new;          /* false: a duplicate, of one that may still be on its way to the disk; no events then */
	bool kept;            /* of a new one: its events are here; else they are only in the store */
	size_t kept_bytes;
	struct wire_events events;
	uint64_t first, last; /* sequences that it brings */
	size_t count;         /* of its events, those with these */
	struct store_position end;
};
STAILQ_HEAD(batches, batch);

struct receiver {
	struct receiver_options options;
	struct event *sync_due, *synced;
	struct table sessions; /* by epoch and host */
	struct batches batches;
	size_t kept_bytes;        /* of the events that are kept */
	struct store_position at; /* behind what was handed on */
	struct wire_batch *own;   /* empty but while a gap is told */
	struct receiver_counters counters;
	uint64_t sync_began_ns;
	bool unowned; /* whose the hosts are did not reach the disk, the last time */
	int fault;    /* -errno of the store; 0: it works */
	uint64_t fault_ns;
};

static inline struct text session_host(const struct session *session)
{
	return (struct text){session->host, session->host_length};
}

/* --- receive.c -------------------------------------------------------------------------------------------------------- */

/* A batch that was appended or passed over, which is the receiver's now: from here on its message is on its way. */
void receiver_queue(struct session *session, struct batch *batch);

/* --- receive_gap.c ---------------------------------------------------------------------------------------------------- */

/*
 * Stores what tells of the sequences between what is appended and the batch `behind`, if there are any. 0, or -errno: the
 * batch cannot be stored now either; what is stored already is true.
 */
int gap_fill(struct session *session, const struct wire_events *behind);

/* --- receive_session.c ------------------------------------------------------------------------------------------------ */

/* NULL without memory. The stream has one reference. */
struct session *session_open(struct receiver *receiver, struct grpc_stream *stream);

/* The Hello's bytes: answers it, or ends the stream. */
void session_hello(struct session *session, struct text bytes);

/*
 * Over TLS a host belongs to a certificate's name, from the first thing on that is stored of it (`claim`). False: it is
 * another's, and the stream was ended.
 */
bool session_may_write(struct session *session, bool claim);

/* Everything up to what is synced is acknowledged: one message for all that a sync brought. */
void session_acknowledge(struct session *session);

/* It does not speak for its sensor any more; the stream is ended. */
void session_finish(struct session *session, enum grpc_status status, const char *message);
/* The same, once nothing of it is on its way any more and one of the two sides wants an end. */
void session_drain(struct session *session);
/* The peer did what a sensor does not do: said, counted, ended. */
void session_refuse(struct session *session, const char *why);

/* Its stream is gone. */
void session_close(struct session *session);
void session_release(struct session *session);

#endif
