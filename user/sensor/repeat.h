/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeats of opens. The kernel sends the first of equal opens as a record and only counts those that follow
 * (kernel_open.repeat). Here the record is kept, until the window has passed or its process has ended; then the count is
 * taken from the kernel and leaves as the same record once more, with that count.
 *
 * So the end of a process must not leave before its opens have been read, which travel in another ring: it is held here.
 */
#ifndef TAFFRAIL_SENSOR_REPEAT_H
#define TAFFRAIL_SENSOR_REPEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/record.h"

struct repeat_table;

struct repeat_ops {
	uint64_t (*take)(void *context, uint64_t number); /* the kernel's count of that number, which is free then */
	/* A record leaves; both are good until it returns. */
	void (*send)(void *context, const struct record *record, const struct event_process *image);
	const struct event_process *(*hold)(const struct event_process *image);
	void (*release)(const struct event_process *image);
	void *context;
};

/* `ops` is copied. `window_ns`: how long equal opens are one count at the most. 0 or -ENOMEM. */
int repeat_open(struct repeat_table **table, const struct repeat_ops *ops, uint64_t window_ns);

/* An OPEN record that has left and has a number: keeps a copy. `image` may be NULL. */
void repeat_begin(struct repeat_table *table, const struct record *record, const struct event_process *image);

/* Holds an EXIT record until repeat_ends. Without memory it leaves at once. */
void repeat_end(struct repeat_table *table, const struct record *record, const struct event_process *image);

/* The bulk ring has been read up to `read_ns` (boot time): what ended before leaves, behind its opens' counts. */
void repeat_ends(struct repeat_table *table, uint64_t read_ns);

/* Has any window passed at `now_ns`? */
bool repeat_due(const struct repeat_table *table, uint64_t now_ns);

/* Takes and sends the counts whose window has passed, at most `limit` of them: the rings wait meanwhile. */
void repeat_expire(struct repeat_table *table, uint64_t now_ns, size_t limit);

/* Every end that is held, and every count. */
void repeat_finish(struct repeat_table *table, uint64_t now_ns);

/* Is any end held? */
bool repeat_holds(const struct repeat_table *table);

/* Opens that are kept. */
size_t repeat_count(const struct repeat_table *table);

/* Frees what is kept, without sending it: repeat_finish comes first. NULL is allowed. */
void repeat_close(struct repeat_table *table);

#endif
