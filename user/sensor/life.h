/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of containers: the end of a container's first process is the container's end. The runtime, which knows why,
 * learns of it a little later; so the end waits for its word, at most LIFE_WAIT_NS. (A start waits for nothing: it is the
 * exec with which the first process came in.)
 */
#ifndef TAFFRAIL_SENSOR_LIFE_H
#define TAFFRAIL_SENSOR_LIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/record.h"

enum { LIFE_MAX = 4096 }; /* ends that wait; of more the oldest leaves without the runtime's word */
#define LIFE_WAIT_NS (1500ull * 1000 * 1000)

struct life;

struct life_ops {
	/* Asks the runtime how the container ended: 0, and life_named brings the answer; negative: nobody is there to answer. */
	int (*ask)(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
	/* A container has ended: `record` is its first process's EXIT. */
	void (*send)(void *context, const struct record *record, const struct event_process *image);
	const struct event_process *(*hold)(const struct event_process *image);
	void (*release)(const struct event_process *image);
	void *context;
};

/* `ops` is copied. 0 or -ENOMEM. */
int life_open(struct life **life, const struct life_ops *ops);

/* Is this exec the start of its container? */
bool life_begins(const struct record *record, const struct event_process *image);

/*
 * Takes an EXIT; if it is its container's end it waits. Not where nobody is there who could confirm what has to be (see
 * life_expire).
 */
void life_ends(struct life *life, const struct record *record, const struct event_process *image, uint64_t now_ns);

/* A container's names were told: if they say that it has ended, its end leaves. */
void life_named(struct life *life, const struct event_container *names);

/*
 * What has waited too long leaves: UINT64_MAX: all. Not what the runtime does not confirm, where the process was not the
 * first of a pid namespace: its container may go on without it.
 */
void life_expire(struct life *life, uint64_t now_ns);

/* Ends that wait. */
size_t life_waiting(const struct life *life);

/* Leaves what waits where it is. NULL is allowed. */
void life_close(struct life *life);

#endif
