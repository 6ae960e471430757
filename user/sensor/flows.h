/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of containers as the records tell them, put together: who, from where to where, how far, how much, by which name;
 * and the first bytes of their messages, which are read for names and handed on to whoever watches (the detectors).
 *
 * A flow is found by its kernel_flow.connection. At most FLOWS_MAX are kept; the one of which nothing was heard longest makes
 * room, and is counted. One that has ended is kept for FLOWS_KEPT_NS, for its last record may still wait for names.
 */
#ifndef TAFFRAIL_SENSOR_FLOWS_H
#define TAFFRAIL_SENSOR_FLOWS_H

#include "detect/flow.h"
#include "sensor/record.h"

enum { FLOWS_MAX = 65536, FLOWS_EARLY_MAX = 1024 };
#define FLOWS_KEPT_NS (5ull * 1000 * 1000 * 1000)

struct flows;

/* Whose a flow is. */
struct flows_owner {
	const uint8_t *container_id; /* NULL: none */
	const struct event_process
		*image; /* NULL: not known: nobody has accepted it, or its socket is older than the sensor */
};

/*
 * Who is told of flows. `flow` is the table's, good until `over`; its notes are the watcher's. Messages come in the order of
 * their directions; of a connection that comes from outside they wait until somebody accepts it (those of FLOWS_EARLY_MAX
 * connections at most: else they come at once, without an image). All functions may be NULL.
 */
struct flows_watcher {
	/* It began, its state or its numbers changed, or it has an owner now. Times of flows are Unix time. */
	void (*flow)(void *context, struct flow *flow, const struct flows_owner *owner, uint64_t now_ns);
	void (*message)(
		void *context, struct flow *flow, const struct flows_owner *owner, const struct flow_message *message);
	/* It has ended, or makes room: the pointer is not good any more. */
	void (*over)(void *context, struct flow *flow, const struct flows_owner *owner);
	void *context;
};

struct flows_ops {
	const struct event_process *(*hold)(const struct event_process *image);
	void (*release)(const struct event_process *image);
};

/* `ops` is copied. 0 or -ENOMEM. */
int flows_open(struct flows **flows, const struct flows_ops *ops);

/* From now on; copied. */
void flows_watch(struct flows *flows, const struct flows_watcher *watcher);

/*
 * Takes CONNECT, CONNECT_DONE, ACCEPT, DISCONNECT, FLOW, SAMPLE and ANSWER records, in the order in which they came; others say
 * nothing. `image` may be NULL. `now_ns` is boot time. False: no event comes of the record, which is a sample without an answer
 * of DNS.
 */
bool flows_take(struct flows *flows, const struct record *record, const struct event_process *image,
	uint64_t boot_unix_ns, uint64_t now_ns);

/* The answer of DNS that a SAMPLE or ANSWER has, good until the next call of any function, or NULL. */
const struct event_dns *flows_answer(struct flows *flows, const struct record *record);

/* Adds to an event of a record what is known of its flow: domain and server_name. They are good until the next flows_take. */
void flows_describe(
	const struct flows *flows, const struct record *record, uint64_t now_ns, struct event_network *network);

/* Does the table know the flow of a record of the bulk ring? Else what began it may still wait in the critical ring. */
bool flows_knows(const struct flows *flows, const struct kernel_header *header);

/* Forgets what ended long enough before `now_ns`. */
void flows_expire(struct flows *flows, uint64_t now_ns);

size_t flows_count(const struct flows *flows);
/* How many made room for others. */
uint64_t flows_pushed_out(const struct flows *flows);

/* NULL is allowed. */
void flows_close(struct flows *flows);

#endif
