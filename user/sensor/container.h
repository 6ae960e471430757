/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a container's id to its names, on the event thread: a table, without any I/O.
 *
 * An id that is new is asked for (container_ops.ask), and the container's events wait in a queue of its own, in order,
 * until container_answer brings the names: at most as long as they may, and at most so many that the queue holds. Then
 * all that waits leaves as pending, and what follows leaves at once as pending, until the names come after all.
 *
 * `pending` says: the names may still become known. A sensor on a machine without any container runtime has nothing to
 * wait for: its events leave at once with the id alone and are not pending (CONTAINER_ALONE).
 */
#ifndef TAFFRAIL_SENSOR_CONTAINER_H
#define TAFFRAIL_SENSOR_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/container_meta.h"

enum {
	CONTAINER_MAX = 4096,               /* containers in the table; the one that was longest not met makes room */
	CONTAINER_QUEUE_MAX = 1024,         /* events that wait for one container's names … */
	CONTAINER_QUEUE_BYTES = 1 << 20,    /* … and their bytes */
	CONTAINER_WAITING_BYTES = 32 << 20, /* bytes that wait in all queues together */
};
#define CONTAINER_WAIT_NS (1000ull * 1000 * 1000)
/* What the runtime itself does in the container's cgroup comes before the runtime can say anything of it. */
#define CONTAINER_SETUP_WAIT_NS (10 * CONTAINER_WAIT_NS)
#define CONTAINER_KEEP_NS (600ull * 1000 * 1000 * 1000) /* one that was not met for so long is forgotten */

struct container_table;
struct container;

enum container_state {
	CONTAINER_KNOWN,   /* send it, with `names` */
	CONTAINER_WAITING, /* let it wait: container_wait */
	CONTAINER_PENDING, /* send it, as pending, with `names` */
};

struct container_ops {
	/* Wants names for an id; the answer comes by container_answer. -EAGAIN: asked again when it is next met. */
	int (*ask)(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
	/* What has waited leaves: `item` as container_wait was given it, now the receiver's. `names` as container_find. */
	void (*send)(void *context, void *item, const struct event_container *names, bool pending);
	void *context;
	/* May be NULL. A container's names were told, or changed: before what waits for them leaves. */
	void (*named)(void *context, const struct event_container *names);
	/* May be NULL. A container is forgotten: after what waited has left. */
	void (*forgotten)(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
	/* May be NULL. Names that are complete, of a container whose events left as pending before. */
	void (*completed)(void *context, const struct event_container *names);
};

/* `ops` is copied. 0 or -ENOMEM. */
int container_open(struct container_table **table, const struct container_ops *ops);

/*
 * The container of that id, made and asked for if it is new; `*state` says what to do with its event. `*names` always
 * becomes a view with at least the id, good until the next call that changes the table. Returns NULL only without
 * memory: then `*state` is CONTAINER_PENDING and `*names` has the id alone, good until the next container_find.
 */
struct container *container_find(struct container_table *table, const uint8_t id[EVENT_CONTAINER_ID_SIZE],
	enum container_state *state, const struct event_container **names);

/*
 * Puts an item of `bytes` behind those that wait, for at most `patience_ns`; with it leaves all that waits. It is the
 * table's until ops.send gets it. 0, or -ENOBUFS or -ENOMEM and it stays the caller's: then container_flush, and send it.
 */
int container_wait(struct container *container, void *item, size_t bytes, uint64_t patience_ns, uint64_t now_ns);

/* All that waits for this container leaves now, as pending; later events do not wait any more. */
void container_flush(struct container *container);

/*
 * Names for an id, or better or newer ones; takes the reference. What waits for them leaves, in order. `now_ns`: boot
 * time.
 */
void container_answer(struct container_table *table, struct container_meta *meta, uint64_t now_ns);

/*
 * Flushes the containers whose deadline has passed at `now_ns`, and forgets those not met for CONTAINER_KEEP_NS.
 * UINT64_MAX: flushes all.
 */
void container_expire(struct container_table *table, uint64_t now_ns);

/* Calls ops.named for each container whose names are known: somebody has forgotten them. */
void container_name_all(struct container_table *table);

/* Items that wait, of all containers. */
size_t container_waiting(const struct container_table *table);

struct container_counters {
	size_t containers;        /* gauge */
	size_t waiting;           /* gauge: items */
	uint64_t named;           /* items that left a queue with their names */
	uint64_t pending_late;    /* items that left a queue as pending at their deadline … */
	uint64_t pending_full;    /* … or because the queue was full */
	uint64_t pending_at_once; /* events found CONTAINER_PENDING */
	size_t late;              /* gauge: containers whose events leave as pending */
	uint64_t completed_late;  /* containers whose names came after their deadline … */
	uint64_t never;           /* … and those that were forgotten before their names came */
	uint64_t evicted;         /* containers that made room for others */
};
void container_counters(const struct container_table *table, struct container_counters *counters);

/* Flushes all and frees the table. NULL is allowed. */
void container_close(struct container_table *table);

#endif
