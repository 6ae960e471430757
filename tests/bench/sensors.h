/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated sensors, any number in one thread and one event loop: each speaks Collector.Stream over the project's own client
 * as a real one does, with a host and an epoch of its own. It says hello, sends batches that are made of real events, sends on
 * from what is stored, and comes back after a random wait that doubles. And those that misbehave beside them.
 */
#ifndef TAFFRAIL_BENCH_SENSORS_H
#define TAFFRAIL_BENCH_SENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "grpc/address.h"

struct event_base;
struct grpc_tls;

enum sensor_kind {
	SENSOR_ORDINARY,
	SENSOR_DEAF,    /* sends a batch a second and gives no acknowledgement's bytes back */
	SENSOR_BLOCKED, /* sends as many and reads nothing from its socket, whose buffer is small */
	SENSOR_TRICKLE, /* sends a batch, a byte a second */
	SENSOR_KINDS,
};

struct crowd_options {
	struct event_base *base;
	struct grpc_address address;
	struct grpc_tls *tls;          /* NULL: plain text */
	const char *prefix;            /* of the hosts' ids */
	uint64_t sensors;              /* ordinary ones */
	uint64_t events;               /* of a batch */
	uint64_t batches;              /* of a sensor; UINT64_MAX: no end */
	uint64_t window;               /* batches of a sensor under way, at most SENSOR_WINDOW_MAX */
	uint64_t interval_us;          /* between two batches of a sensor; 0: as fast as they are acknowledged */
	void (*on_up)(void *context);  /* all ordinary sensors were answered: at first, and after each loss */
	void (*on_all)(void *context); /* all their batches are acknowledged */
	void *context;
};

enum { SENSOR_WINDOW_MAX = 64, LATENCY_PLACES = 64 * 40 };

/* Of ordinary sensors, since the last crowd_measure. */
struct crowd_figures {
	uint64_t batches, events, bytes; /* acknowledged; bytes of their messages */
	uint64_t p50_us, p99_us, max_us; /* from when a batch was due, or sent, to its acknowledgement */
	uint64_t least, median, most;    /* events of one sensor */
};

/* Since crowd_open. */
struct crowd_counters {
	uint64_t greeted; /* gauge: of the ordinary ones */
	uint64_t whole;   /* gauge: ordinary ones of which everything is acknowledged */
	uint64_t losses;  /* connections or calls of ordinary ones that ended */
	uint64_t
		forgotten; /* hellos that told less than had been acknowledged, or more than was sent: there are none */
	uint64_t slow_ended;
	char said[300]; /* what ended the last ordinary one */
};

struct crowd;

/* Starts to connect all ordinary sensors. 0, -ENOMEM, -errno. `options` are copied. */
int crowd_open(struct crowd **crowd, const struct crowd_options *options);

/* Slow ones beside them: `kind`, or of each kind in turn (SENSOR_KINDS). 0 or -errno. */
int crowd_add_slow(struct crowd *crowd, uint64_t count, enum sensor_kind kind);
/* They go, all of them. */
void crowd_remove_slow(struct crowd *crowd);

/* All ordinary connections end at once, and come back as after any loss. */
void crowd_cut(struct crowd *crowd);

/* The figures since the last time. */
void crowd_measure(struct crowd *crowd, struct crowd_figures *figures);
void crowd_counters(const struct crowd *crowd, struct crowd_counters *counters);

/* NULL is allowed. */
void crowd_close(struct crowd *crowd);

/* --- batches (sensors_batch.c) ------------------------------------------------------------------------------------------ */

struct batches;
struct buffer;
struct event_host;

/* 0 or -ENOMEM. */
int batches_open(struct batches **batches);
/*
 * Up{batch} of events first to last as a busy node has them: of 100 there are 90 opens, 6 of connections, 4 of short
 * processes, in 10 containers. The caller's (wire_bytes_free); NULL without memory.
 */
struct buffer *batches_make(struct batches *batches, const struct event_host *host, uint64_t first, uint64_t last);
void batches_close(struct batches *batches);

#endif
