/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the two records of a connect to its one document.
 *
 * The kernel tells when it was asked to connect (CONNECT) and when the outcome is there (CONNECT_DONE), in either order
 * or minutes apart. The first is held back here until the second comes, at most CONNECTION_WAIT_NS; then the document
 * leaves with outcome unknown, and the late outcome is no document any more. A connection that is open also keeps the
 * process image that opened it: its end may come long after that process's.
 */
#ifndef TAFFRAIL_SENSOR_CONNECTION_H
#define TAFFRAIL_SENSOR_CONNECTION_H

#include <stddef.h>
#include <stdint.h>

#include "sensor/record.h"

enum { CONNECTION_MAX = 65536 };
#define CONNECTION_WAIT_NS (5ull * 1000 * 1000 * 1000)

struct connection_table;

/* What to do with a record. */
enum connection_verdict {
	CONNECTION_SEND,   /* it is a document, now */
	CONNECTION_JOINED, /* so it is, and also for the CONNECT that was held for it */
	CONNECTION_HELD,   /* it is kept here; it leaves by connection_expire if nothing else comes */
	CONNECTION_DROP,   /* its document has left already */
};

/* How the table keeps images and sends what it held back. */
struct connection_ops {
	const struct event_process *(*hold)(const struct event_process *image);
	void (*release)(const struct event_process *image);
	/* A CONNECT whose outcome is not known in time; the record and the image are good until it returns. */
	void (*send)(void *context, const struct record *record, const struct event_process *image);
	void *context;
};

/* `ops` is copied. 0 or -ENOMEM. */
int connection_open(struct connection_table **table, const struct connection_ops *ops);

/*
 * Judges a CONNECT, CONNECT_DONE, ACCEPT or DISCONNECT record. `*image` is the record's process image, or NULL; on
 * return it is the image to use for the document: that which opened the connection, where it is known, good until the
 * next call.
 */
enum connection_verdict connection_judge(
	struct connection_table *table, const struct record *record, const struct event_process **image);

/* The end of the connection that this record has established will not be told: nothing is kept for it. */
void connection_forget(struct connection_table *table, const struct record *record);

/* Sends each CONNECT record that is older than CONNECTION_WAIT_NS at `now_ns` (boot time), or all with UINT64_MAX. */
void connection_expire(struct connection_table *table, uint64_t now_ns);

/* Connections being made and open ones. */
size_t connection_count(const struct connection_table *table);

void connection_close(struct connection_table *table);

#endif
