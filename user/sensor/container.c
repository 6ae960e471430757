/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/container.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/table.h"

enum phase {
	PHASE_ASKING, /* its events wait */
	PHASE_NAMED,
	PHASE_LATE,  /* not named in time, or its queue was full: its events leave as pending */
	PHASE_ALONE, /* nobody could name it */
};

struct container {
	struct table_node node;
	TAILQ_ENTRY(container) met; /* in the order in which they were met */
	struct container_table *table;
	struct container_meta *meta; /* or NULL */
	struct event_container bare; /* the id alone */
	enum phase phase;
	bool asked;
	uint64_t met_ns;
	uint64_t deadline_ns; /* of what waits */
	void **items;
	size_t item_count, item_room, item_bytes;
};
TAILQ_HEAD(containers, container);

struct container_table {
	struct container_ops ops;
	struct table by_id;
	struct containers by_met; /* first: not met for longest; last: the one that was met last */
	uint64_t now_ns;          /* as of the last answer or expire */
	size_t waiting, waiting_bytes;
	struct container_counters counters;
	struct event_container nobody; /* for want of memory */
};

int container_open(struct container_table **table, const struct container_ops *ops)
{
	*table = calloc(1, sizeof(**table));
	if (!*table)
		return -ENOMEM;
	(*table)->ops = *ops;
	table_init(&(*table)->by_id);
	TAILQ_INIT(&(*table)->by_met);
	return 0;
}

static const struct event_container *names_of(const struct container *container)
{
	return container->meta ? container_meta_view(container->meta) : &container->bare;
}

static void set_phase(struct container *container, enum phase phase)
{
	container->table->counters.late += phase == PHASE_LATE;
	container->table->counters.late -= container->phase == PHASE_LATE;
	container->phase = phase;
}

/* All that waits leaves, in order. */
static void leave(struct container *container, bool pending)
{
	struct container_table *table = container->table;
	void **items = container->items;
	size_t count = container->item_count;

	table->waiting -= count;
	table->waiting_bytes -= container->item_bytes;
	container->items = NULL;
	container->item_count = container->item_room = container->item_bytes = 0;
	for (size_t i = 0; i < count; i++)
		table->ops.send(table->ops.context, items[i], names_of(container), pending);
	free(items);
}

static void forget(struct container *container)
{
	struct container_table *table = container->table;

	leave(container, container->phase != PHASE_NAMED);
	table->counters.never += container->phase == PHASE_LATE;
	set_phase(container, PHASE_NAMED);
	if (table->ops.forgotten)
		table->ops.forgotten(table->ops.context, container->bare.id);
	table_remove(&table->by_id, &container->node);
	TAILQ_REMOVE(&table->by_met, container, met);
	container_meta_release(container->meta);
	free(container);
}

static void make_room(struct container_table *table)
{
	struct container *oldest;

	if (table_count(&table->by_id) < CONTAINER_MAX)
		return;
	/* Rather one that is not being asked for; they are few. */
	TAILQ_FOREACH(oldest, &table->by_met, met)
	if (oldest->item_count == 0)
		break;
	if (!oldest)
		oldest = TAILQ_FIRST(&table->by_met); /* there is one: the table is full */
	table->counters.pending_full += oldest->item_count;
	table->counters.evicted++;
	forget(oldest);
}

static bool matches(const struct table_node *node, const void *id)
{
	return memcmp(table_entry(node, struct container, node)->bare.id, id, EVENT_CONTAINER_ID_SIZE) == 0;
}

/* The container of that id, and that it was met; NULL without memory. */
static struct container *meet(struct container_table *table, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct container *container = TAILQ_LAST(&table->by_met, containers);
	struct table_node *node;
	uint64_t hash;

	/* Events of one container come in runs. */
	if (container && memcmp(container->bare.id, id, EVENT_CONTAINER_ID_SIZE) == 0) {
		container->met_ns = table->now_ns;
		return container;
	}
	hash = hash_bytes(id, EVENT_CONTAINER_ID_SIZE);
	node = table_find(&table->by_id, hash, matches, id);
	if (node) {
		container = table_entry(node, struct container, node);
		if (container->met_ns == table->now_ns) /* in its place already, as far as the clock tells */
			return container;
		TAILQ_REMOVE(&table->by_met, container, met);
	} else {
		make_room(table);
		container = calloc(1, sizeof(*container));
		if (!container || table_insert(&table->by_id, &container->node, hash) < 0) {
			free(container);
			return NULL;
		}
		container->table = table;
		memcpy(container->bare.id, id, sizeof(container->bare.id));
	}
	container->met_ns = table->now_ns;
	TAILQ_INSERT_TAIL(&table->by_met, container, met);
	return container;
}

static void ask(struct container *container)
{
	struct container_table *table = container->table;

	if (!container->asked && container->phase == PHASE_ASKING)
		container->asked = table->ops.ask(table->ops.context, container->bare.id) == 0;
}

struct container *container_find(struct container_table *table, const uint8_t id[EVENT_CONTAINER_ID_SIZE],
	enum container_state *state, const struct event_container **names)
{
	static const enum container_state states[] = {
		[PHASE_ASKING] = CONTAINER_WAITING,
		[PHASE_NAMED] = CONTAINER_KNOWN,
		[PHASE_LATE] = CONTAINER_PENDING,
		[PHASE_ALONE] = CONTAINER_KNOWN,
	};
	struct container *container = meet(table, id);

	if (!container) {
		memcpy(table->nobody.id, id, sizeof(table->nobody.id));
		*names = &table->nobody;
		*state = CONTAINER_PENDING;
		table->counters.pending_at_once++;
		return NULL;
	}
	ask(container);
	*names = names_of(container);
	*state = states[container->phase];
	table->counters.pending_at_once += *state == CONTAINER_PENDING;
	return container;
}

int container_wait(struct container *container, void *item, size_t bytes, uint64_t patience_ns, uint64_t now_ns)
{
	struct container_table *table = container->table;

	if (container->item_count >= CONTAINER_QUEUE_MAX || bytes > CONTAINER_QUEUE_BYTES - container->item_bytes ||
		bytes > CONTAINER_WAITING_BYTES - table->waiting_bytes)
		return -ENOBUFS;
	if (container->item_count == container->item_room) {
		size_t room = container->item_room ? 2 * container->item_room : 16;
		void **items = realloc(container->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		container->items = items;
		container->item_room = room;
	}
	if (container->item_count == 0 || now_ns + patience_ns < container->deadline_ns)
		container->deadline_ns = now_ns + patience_ns;
	container->items[container->item_count++] = item;
	container->item_bytes += bytes;
	/* At start nothing else may have told the time yet, and what seems not met since boot is forgotten at once. */
	if (now_ns > container->met_ns)
		container->met_ns = now_ns;
	table->waiting++;
	table->waiting_bytes += bytes;
	return 0;
}

void container_flush(struct container *container)
{
	container->table->counters.pending_full += container->item_count;
	set_phase(container, PHASE_LATE);
	leave(container, true);
}

void container_answer(struct container_table *table, struct container_meta *meta, uint64_t now_ns)
{
	struct container *container;

	table->now_ns = now_ns;
	container = meet(table, container_meta_view(meta)->id);
	/* Names that were complete do not become less: they may be all that is left of a container that is gone. */
	if (!container || (container->phase == PHASE_NAMED && container_meta_standing(meta) != CONTAINER_COMPLETE)) {
		container_meta_release(meta);
		return;
	}

	struct container_meta *before = container->meta;

	container->meta = meta;
	if (table->ops.named)
		table->ops.named(table->ops.context, names_of(container));
	switch (container_meta_standing(meta)) {
	case CONTAINER_COMPLETE:
		table->counters.named += container->item_count;
		if (container->phase == PHASE_LATE) {
			table->counters.completed_late++;
			if (table->ops.completed)
				table->ops.completed(table->ops.context, names_of(container));
		}
		set_phase(container, PHASE_NAMED);
		leave(container, false);
		break;
	case CONTAINER_ALONE:
		set_phase(container, PHASE_ALONE);
		leave(container, false);
		break;
	case CONTAINER_ABANDONED:
		table->counters.pending_late += container->item_count;
		set_phase(container, PHASE_LATE);
		leave(container, true);
		break;
	case CONTAINER_PARTIAL: break;
	}
	container_meta_release(before);
}

void container_expire(struct container_table *table, uint64_t now_ns)
{
	if (now_ns != UINT64_MAX)
		table->now_ns = now_ns;
	/* In an order that is the same in a replay, which that of a seeded table is not. */
	for (struct container *container = TAILQ_FIRST(&table->by_met), *next; container; container = next) {
		next = TAILQ_NEXT(container, met);
		if (container->item_count > 0 && now_ns >= container->deadline_ns) {
			table->counters.pending_late += container->item_count;
			set_phase(container, PHASE_LATE);
			leave(container, true);
		} else if (container->item_count == 0 && now_ns != UINT64_MAX &&
			   now_ns - container->met_ns >= CONTAINER_KEEP_NS && now_ns >= container->met_ns) {
			forget(container);
		} else {
			ask(container);
		}
	}
}

void container_name_all(struct container_table *table)
{
	struct container *container;

	TAILQ_FOREACH(container, &table->by_met, met)
	if (container->meta && table->ops.named)
		table->ops.named(table->ops.context, names_of(container));
}

size_t container_waiting(const struct container_table *table)
{
	return table->waiting;
}

void container_counters(const struct container_table *table, struct container_counters *counters)
{
	*counters = table->counters;
	counters->containers = table_count(&table->by_id);
	counters->waiting = table->waiting;
}

void container_close(struct container_table *table)
{
	struct container *container;

	if (!table)
		return;
	while ((container = TAILQ_FIRST(&table->by_met)))
		forget(container);
	table_free(&table->by_id);
	free(table);
}
