/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/life.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct end {
	TAILQ_ENTRY(end) next;
	struct kernel_exit exit;
	const struct event_process *image; /* held */
	uint64_t deadline_ns;
};

struct life {
	struct life_ops ops;
	TAILQ_HEAD(ends, end) waiting; /* the oldest first */
	size_t count;
};

int life_open(struct life **out, const struct life_ops *ops)
{
	struct life *life = calloc(1, sizeof(*life));

	if (!life)
		return -ENOMEM;
	life->ops = *ops;
	TAILQ_INIT(&life->waiting);
	*out = life;
	return 0;
}

bool life_begins(const struct record *record, const struct event_process *image)
{
	return record->header->kind == KERNEL_EXEC && image && image->entering && image->in_container &&
	       image->entry == EVENT_ENTRY_CONTAINER;
}

/* The first process of its container, itself. */
static bool is_first(const struct event_process *image)
{
	return image->in_container && image->entry == EVENT_ENTRY_CONTAINER && image->entry_leader == image;
}

/* The end of a pid namespace's first process is one whatever a runtime says. */
static bool is_certain(const struct end *end)
{
	return end->image->vpid == 1;
}

static void leave(struct life *life, struct end *end, bool told)
{
	const struct record record = {.exit = &end->exit};

	TAILQ_REMOVE(&life->waiting, end, next);
	life->count--;
	if (told)
		life->ops.send(life->ops.context, &record, end->image);
	life->ops.release(end->image);
	free(end);
}

void life_ends(struct life *life, const struct record *record, const struct event_process *image, uint64_t now_ns)
{
	struct end *end;

	if (!is_first(image))
		return;
	if (life->count >= LIFE_MAX)
		leave(life, TAILQ_FIRST(&life->waiting), true);
	end = calloc(1, sizeof(*end));
	if (!end) {
		life->ops.send(life->ops.context, record, image);
		return;
	}
	end->exit = *record->exit;
	end->image = life->ops.hold(image);
	end->deadline_ns = now_ns + LIFE_WAIT_NS;
	TAILQ_INSERT_TAIL(&life->waiting, end, next);
	life->count++;
	if (life->ops.ask(life->ops.context, record->header->container_id) < 0 && !is_certain(end))
		leave(life, end, false);
}

void life_named(struct life *life, const struct event_container *names)
{
	struct end *end, *next;

	if (!names->exited)
		return;
	for (end = TAILQ_FIRST(&life->waiting); end; end = next) {
		next = TAILQ_NEXT(end, next);
		if (memcmp(end->exit.header.container_id, names->id, sizeof(names->id)) == 0)
			leave(life, end, true);
	}
}

void life_expire(struct life *life, uint64_t now_ns)
{
	struct end *end;

	while ((end = TAILQ_FIRST(&life->waiting)) && end->deadline_ns <= now_ns)
		leave(life, end, is_certain(end));
}

size_t life_waiting(const struct life *life)
{
	return life->count;
}

void life_close(struct life *life)
{
	struct end *end;

	if (!life)
		return;
	while ((end = TAILQ_FIRST(&life->waiting)))
		leave(life, end, false);
	free(life);
}
