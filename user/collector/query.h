/* SPDX-License-Identifier: Apache-2.0 */
/* Query.Watch: live events to whoever watches. A watcher that is too slow misses events, and is told how many. */
#ifndef TAFFRAIL_COLLECTOR_QUERY_H
#define TAFFRAIL_COLLECTOR_QUERY_H

#include "event/wire.h"
#include "grpc/server.h"

enum {
	QUERY_WATCHERS_MAX = 64,
	QUERY_QUEUED_MAX = 4 << 20, /* bytes that wait for one watcher; beyond, events are passed over */
	QUERY_WORDS_MAX = 256,      /* in each list of a filter */
};

struct query;

/* 0 or -errno. */
int query_open(struct query **query);

/* The row for the server's table; the query outlives the server. */
struct grpc_handler query_watch_handler(struct query *query);

/* Events to all watchers that they match, without those before `first`. */
void query_events(struct query *query, const struct wire_events *events, uint64_t first);

/* So many events cannot be read back: all watchers have missed them. */
void query_missed(struct query *query, uint64_t events);

/* After the server is closed. NULL is allowed. */
void query_close(struct query *query);

#endif
