/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the stream: stream.c hands batches over and keeps them, stream_call.c speaks with the collector. */
#ifndef TAFFRAIL_SENSOR_STREAM_INSIDE_H
#define TAFFRAIL_SENSOR_STREAM_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "grpc/client.h"
#include "grpc/trust.h"
#include "sensor/backlog.h"
#include "sensor/ledger.h"
#include "sensor/refusal.h"
#include "sensor/stream.h"
#include "sensor/window.h"

enum { STREAM_RETRY_MIN_MS = 100 };

struct stream {
	const struct event_host *host;
	struct grpc_address *addresses; /* of the collectors */
	size_t address_count, address;  /* the one that is talked to, or tried */
	struct store_id *stores;        /* which one each of them had, when it answered last */
	char name[GRPC_ADDRESS_TEXT_SIZE];
	uint64_t memory_bytes;
	struct spool *spool;   /* NULL: none; the caller's */
	struct ledger *ledger; /* so */
	struct mailbox *sent;  /* batches: event thread → here */
	int room_fd, stop_fd;
	pthread_t thread;
	bool started;

	/* Both threads'. */
	_Atomic uint64_t last;         /* sequence that was handed over */
	_Atomic uint64_t acknowledged; /* of this life */
	_Atomic bool former;           /* what a former life left is being sent */
	_Atomic bool wants_room;
	_Atomic uint64_t unmade; /* stream_unmade */
	_Atomic bool closing;    /* the word that the closing batch is stored is still to come */
	_Atomic bool greeted;    /* the collector's hello has come: batches may go */
	_Atomic uint64_t greetings, failures, refused, taken, spool_bytes;
	_Atomic int64_t spool_since_s;
	_Atomic bool spool_works;
	pthread_mutex_t build_lock;
	struct stream_build build;
	struct window window; /* how much of this life's may be under way */

	/* The stream's thread's. */
	struct event_base *base;
	struct grpc_trust trust;
	struct event *sent_event, *stop_event, *retry_event, *answer_event, *tick_event, *sync_event;
	struct backlog *backlog;
	struct refusal *refusal;
	struct grpc_client *client;
	struct grpc_call *call;
	bool orderly;  /* the call ends because it should: the next one goes to the same collector */
	bool retrying; /* retry_event is due */
	bool said_down;
	bool said_unmade;
	struct batch *closing_batch; /* waits for a collector that has greeted and has all the rest; NULL: none */
	bool closed;                 /* the call ends with it */
	unsigned retry_ms;
};

/* stream.c: hands batches to the connection, as many as it takes without piling up. */
void stream_send_batches(struct stream *stream);
/* The epoch is not closed by this life: there is no collector. */
void stream_leave_open(struct stream *stream);
/* Tells the event thread of room that it waits for. */
void stream_call_for_more(struct stream *stream);

/* stream_call.c: this collector does not do: on to the next one of the list. */
void stream_fail(struct stream *stream, const char *why);
/* Another epoch may be to be sent: then this call ends, and the next one speaks of that. */
void stream_turn(struct stream *stream);
/* Timers, with the stream as context: a new connection to whichever collector is the next; a hello that did not come. */
void stream_on_retry(int fd, short what, void *context);
void stream_on_no_answer(int fd, short what, void *context);

#endif
