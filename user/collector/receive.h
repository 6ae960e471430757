/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collector.Stream: sensors' connections. A batch is checked, appended to the store, and synced together with all that
 * came in the same turn of the loop; then it is handed on, acknowledged, and its sensor may send as much again. Where
 * sequences did not come a record of the collector's own tells it (receive_gap.c), and is handed on as what came is.
 */
#ifndef TAFFRAIL_COLLECTOR_RECEIVE_H
#define TAFFRAIL_COLLECTOR_RECEIVE_H

#include "collector/store.h"
#include "event/wire.h"
#include "grpc/server.h"

struct access;
struct event_base;
struct receiver;

/* What is stored now, in the store's order. */
struct received {
	const struct wire_events *events;
	uint64_t first;            /* older sequences of the batch are an earlier one's */
	struct store_position end; /* the place in the store behind it */
};

struct receiver_options {
	struct event_base *base;
	struct store *store;
	/* For each batch that brought something new, once it is synced. */
	void (*on_stored)(void *context, const struct received *received);
	/* One is synced and cannot be read back now, for want of descriptors, memory or a disk: whoever wants it asks the store. */
	void (*on_missed)(void *context, uint64_t events);
	/* After the last of those that one sync brought, before they are acknowledged. */
	void (*on_synced)(void *context);
	void *context;
	const struct access *access; /* which hosts a peer may write */
};

/* Counted since receiver_open. */
struct receiver_counters {
	uint64_t batches_stored, events_stored, bytes_stored; /* that are synced */
	uint64_t syncs, syncs_failed, sync_ns;                /* sync_ns: of all that have ended */
	uint64_t store_failures;   /* batches that could not be stored: their streams were ended */
	uint64_t messages_refused; /* no message, batch or hello of this sensor's: their streams were ended */
	uint64_t hosts_refused;    /* that belong to another name, or found no room */
	uint64_t
		epochs_refused; /* new ones, for which there is no room; batches that came behind the end of a folded one */
	uint64_t batches_again; /* all of it had been stored, or something behind it: replayed, or too late */
	uint64_t gaps;          /* in what came: each became an events_lost */
	uint64_t store_losses;  /* of what this store had acknowledged once: each became an events_lost, too */
	uint64_t not_kept;      /* batches whose events were read from the store again, for many waited for the disk */
};

/* 0 or -errno. */
int receiver_open(struct receiver **receiver, const struct receiver_options *options);

/* The row for the server's table; the receiver outlives the server. */
struct grpc_handler receiver_handler(struct receiver *receiver);

/* What the sensor that speaks for this host's epoch now has said of its program; NULL: none does. */
const struct account_build *receiver_build(const struct receiver *receiver, const struct event_host *host);

void receiver_counters(const struct receiver *receiver, struct receiver_counters *counters);

/* Sensors that are connected: epochs for which somebody speaks. */
size_t receiver_sessions(const struct receiver *receiver);

/* What the disk said to the last that failed, -errno, and when (boot time); 0: it has taken everything since. */
int receiver_fault(const struct receiver *receiver, uint64_t *when_ns);

/* Waits until all that was received is synced, and hands it on. */
void receiver_finish(struct receiver *receiver);

/* After the server is closed. NULL is allowed. */
void receiver_close(struct receiver *receiver);

#endif
