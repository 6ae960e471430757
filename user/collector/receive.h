/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collector.Stream: sensors' connections. A batch is checked, appended to the store, and synced together with all that
 * came in the same turn of the loop; then it is handed on, acknowledged, and its sensor may send as much again.
 */
#ifndef TAFFRAIL_COLLECTOR_RECEIVE_H
#define TAFFRAIL_COLLECTOR_RECEIVE_H

#include "collector/store.h"
#include "event/wire.h"
#include "grpc/server.h"

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
	/* After the last of those that one sync brought, before they are acknowledged. */
	void (*on_synced)(void *context);
	void *context;
};

/* 0 or -errno. */
int receiver_open(struct receiver **receiver, const struct receiver_options *options);

/* The row for the server's table; the receiver outlives the server. */
struct grpc_handler receiver_handler(struct receiver *receiver);

/* Waits until all that was received is synced, and hands it on. */
void receiver_finish(struct receiver *receiver);

/* After the server is closed. NULL is allowed. */
void receiver_close(struct receiver *receiver);

#endif
