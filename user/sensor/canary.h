/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The canary: a child of the sensor's loader that does one deed for each promise, so that the records which come of them prove
 * that the promise is kept. What it does stays on this machine: loopback, abstract socket names, memory files; it
 * leaves no file, socket or zombie behind, and has no module loaded for what the kernel has not got yet. What needs a right that
 * the sensor has not (CAP_NET_RAW), or what is switched off (io_uring), is refused, and told as that.
 *
 * What the child knows of a deed (ports, names) it leaves, once it is done, in memory that it shares with the sensor: so even
 * one that is killed in the middle has told how far it came. It reads nothing there: the sensor may be anybody's.
 */
#ifndef TAFFRAIL_SENSOR_CANARY_H
#define TAFFRAIL_SENSOR_CANARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/record.h"

enum { CANARY_DEADLINE_MS = 2000 }; /* of one deed */

struct canary;

/* --- where it starts from: the process whose child it is --------------------------------------------------------------- */

/* The memory that it shares with both, made before these become two. */
struct canary_nest;

struct canary_nest_ops {
	void (*expect)(void *context); /* before the child is made */
	int (*enter)(void *context);   /* in the child: makes it known to the programs. 0 or -errno */
	void (*leave)(void *context);  /* before the child is reaped */
	void *context;
};

/* 0 or -ENOMEM. */
int canary_nest_open(struct canary_nest **nest);
/* Starts the child, if none flies. 0 or -errno. `ops` is copied. */
int canary_nest_start(struct canary_nest *nest, const struct canary_nest_ops *ops);
/* Has it ended? Then it is reaped. Never waits. */
bool canary_nest_landed(struct canary_nest *nest);
/* Kills it, if it still flies: it lands soon. */
void canary_nest_end(struct canary_nest *nest);
/* Ends it, if it still flies and is this process's. NULL is allowed. */
void canary_nest_close(struct canary_nest *nest);

/* --- who watches it ------------------------------------------------------------------------------------------------------ */

/* What reaches the nest, in another process or in this one. */
struct canary_ops {
	struct canary_nest *nest;
	int (*start)(void *context);
	bool (*landed)(void *context);
	void (*end)(void *context);
	void *context;
};

enum canary_state { CANARY_FLIES, CANARY_LANDED };

/* How a deed went. */
enum canary_outcome {
	CANARY_DONE,
	CANARY_REFUSED,     /* by the kernel, or by what confines this process: the error tells */
	CANARY_HUNG,        /* it did not return within the deadline */
	CANARY_NOT_REACHED, /* one before it hung, or the child was not known to the programs: the error tells */
};

/* Promises there are, and their names. */
size_t canary_count(void);
const char *canary_promise(size_t promise);

/* Names under which the loader may have a hook for it. NULL: there is none of this sort. */
enum canary_served {
	CANARY_SERVED,
	CANARY_OTHERWISE,   /* where there is no hook for that */
	CANARY_BY_FUNCTION, /* before both, where it is a function hook */
	CANARY_SERVED_END,
};
const char *canary_served(size_t promise, enum canary_served which);

/* Starts the child. 0 or -errno. `ops` is copied. */
int canary_start(struct canary **canary, const struct canary_ops *ops);

/* Looks after it: has it killed past the deadline. Never waits. */
enum canary_state canary_poll(struct canary *canary, uint64_t now_ns);

/* How the deed of a promise went; `*error` is a positive errno, or 0. */
enum canary_outcome canary_outcome(const struct canary *canary, size_t promise, int *error);

/*
 * Does the record prove that the promise is kept? Returns NULL if it does; `canary_other` if it is of another deed; else
 * the name of the field that is wrong.
 */
extern const char canary_other[];
const char *canary_differs(const struct canary *canary, size_t promise, const struct record *record);

/* Ends it, if it still flies. NULL is allowed. */
void canary_close(struct canary *canary);

#endif
