/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the spool: lives of a sensor that write batches of known events, and a collector that stores what comes
 * as the real one does. In the end each number of each epoch is an event's or within the count of one record, once.
 */
#ifndef TAFFRAIL_TEST_SPOOL_H
#define TAFFRAIL_TEST_SPOOL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "event/wire.h"
#include "sensor/backlog.h"
#include "sensor/spool.h"

enum { LIVES = 8, EVENTS = 200000 };

/* What a collector has of one life. */
struct stored {
	uint64_t last;                /* up to here */
	uint64_t events, lost;        /* single ones, and those that records count */
	uint64_t critical_lost;       /* of the lost: not bulk */
	uint8_t seen[EVENTS / 8 + 1]; /* numbers that came as an event */
	unsigned records;             /* of what was taken out */
};

struct world {
	char folder[64], path[80];
	struct event_host host;
	struct spool *spool;
	struct backlog *backlog;
	uint64_t max_bytes, memory_bytes;
	enum spool_fsync fsync;
	struct spool_faults faults;
	unsigned life;        /* of the sensor, from 1; in the epoch's first byte */
	uint64_t made[LIVES]; /* events */
	uint64_t random;
	bool connected;
};

static inline uint64_t draw(struct world *world, uint64_t below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return below ? world->random % below : 0;
}

static inline bool is_bulk(uint64_t number)
{
	return number % 5 != 0;
}

static inline void open_world(struct world *world, uint64_t seed)
{
	*world = (struct world){.folder = "/tmp/taffrail-spool-XXXXXX",
		.host = {.id = TEXT_STATIC("node-1"), .name = TEXT_STATIC("node")},
		.max_bytes = 64 << 20,
		.memory_bytes = 64 << 20,
		.fsync = SPOOL_NEVER,
		.random = seed * 2654435761u + 88172645463325252ull};
	cr_assert_not_null(mkdtemp(world->folder));
	snprintf(world->path, sizeof(world->path), "%s/spool", world->folder);
}

static inline void open_life(struct world *world)
{
	const struct spool_options options = {
		world->path, world->max_bytes, world->fsync, &world->host, &world->faults};
	char why[300];

	world->host.epoch[0] = (uint8_t)++world->life;
	cr_assert_lt(world->life, LIVES);
	cr_assert_eq(spool_open(&world->spool, &options, why, sizeof(why)), 0, "%s", why);

	const struct backlog_options backlog = {&world->host, world->spool, world->memory_bytes, NULL};

	cr_assert_eq(backlog_open(&world->backlog, &backlog), 0);
}

static inline void close_life(struct world *world)
{
	(void)backlog_close(world->backlog, false);
	spool_close(world->spool);
	world->backlog = NULL;
	world->spool = NULL;
	world->connected = false;
}

static inline void close_world(struct world *world)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", world->folder);
	cr_assert_eq(system(command), 0);
}

/* One batch of so many events: four opens, then an exec, and so on, each with a path of some length. */
static inline struct buffer *make_events(const struct event_host *host, uint64_t first, uint64_t last, size_t size)
{
	static char path[4096];
	struct wire_batch *batch;
	struct buffer *bytes;

	memset(path, 'x', sizeof(path));
	cr_assert_eq(wire_batch_open(&batch), 0);
	for (uint64_t number = first; number <= last; number++) {
		struct event event = {.action = is_bulk(number) ? EVENT_OPEN : EVENT_EXEC,
			.sequence = number,
			.time_ns = 1700000000000000000ull + number,
			.count = 1};

		event.file.path = (struct text){path, size < sizeof(path) ? size : sizeof(path)};
		wire_batch_add(batch, &event);
	}
	bytes = wire_batch_finish(batch, host, first, last);
	cr_assert_not_null(bytes);
	wire_batch_close(batch);
	return bytes;
}

static inline void put(struct world *world, uint64_t count, size_t size)
{
	uint64_t first = world->made[world->life] + 1, last = first + count - 1;
	struct buffer *bytes = make_events(&world->host, first, last, size);
	struct batch *batch = backlog_batch(world->backlog, bytes, first, last);

	cr_assert_not_null(batch);
	world->made[world->life] = last;
	backlog_put(world->backlog, batch);
}

/* --- the collector --------------------------------------------------------------------------------------------------- */

static inline void store_event(struct stored *stored, const struct event *event)
{
	if (event->action == EVENT_LOST) {
		cr_assert(text_equal(event->lost.stage, text_of("spool")));
		cr_assert_geq(event->lost.count, 1);
		cr_assert(event->lost.start_ns <= event->lost.end_ns);
		cr_assert_leq(event->lost.last - event->lost.first + 1, EVENTS);
		stored->records++;
		stored->lost += event->lost.count;
		if (event->lost.kinds != 1ull << EVENT_OPEN)
			stored->critical_lost += event->lost.count;
		return;
	}
	cr_assert_eq(event->action, is_bulk(event->sequence) ? EVENT_OPEN : EVENT_EXEC);
	cr_assert_lt(event->sequence, EVENTS);
	cr_assert_eq(stored->seen[event->sequence / 8] >> event->sequence % 8 & 1, 0, "%llu came twice",
		(unsigned long long)event->sequence);
	stored->seen[event->sequence / 8] |= (uint8_t)(1 << event->sequence % 8);
	stored->events++;
}

/* As receive.c: what is older than `stored` is a duplicate, and nothing may be missing before the batch. */
static inline void store_batch(struct stored *stored, const struct batch *batch, uint64_t acknowledged)
{
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(
		wire_read(&events, batch->bytes->data + WIRE_UP_HEADER, batch->bytes->length - WIRE_UP_HEADER, why), 0,
		"%s", why);
	cr_assert(events.first == batch->first && events.last == batch->last);
	if (stored->last < acknowledged)
		stored->last = acknowledged;
	cr_assert_leq(events.first, stored->last + 1, "%llu to %llu did not come", (unsigned long long)stored->last + 1,
		(unsigned long long)events.first - 1);
	for (size_t i = 0; i < events.count; i++)
		if (events.events[i].sequence > stored->last)
			store_event(stored, &events.events[i]);
	if (events.last > stored->last)
		stored->last = events.last;
	wire_free(&events);
}

/* Of which life the batches are that are sent now. */
static inline unsigned sent_life(struct world *world)
{
	return backlog_host(world->backlog)->epoch[0];
}

/* At most so many batches go to the collector; it acknowledges them, or `deaf` does not. */
static inline void send(struct world *world, struct stored stored[LIVES], unsigned batches, bool deaf)
{
	if (!world->connected)
		backlog_rewind(world->backlog, stored[sent_life(world)].last, NULL);
	world->connected = true;
	while (batches-- > 0) {
		struct stored *of = &stored[sent_life(world)];
		struct batch *batch = backlog_next(world->backlog);

		if (batch) {
			store_batch(of, batch, backlog_acknowledged(world->backlog));
			backlog_release(batch);
		}
		if (!deaf)
			backlog_acknowledge(world->backlog, of->last);
		if (backlog_turn(world->backlog))
			backlog_rewind(world->backlog, stored[sent_life(world)].last, NULL);
		else if (!batch)
			break;
	}
}

static inline void send_all(struct world *world, struct stored stored[LIVES])
{
	for (int i = 0; i < 1000 && !backlog_is_empty(world->backlog); i++)
		send(world, stored, 1000, false);
	cr_assert(backlog_is_empty(world->backlog));
}

/* Each of the numbers up to `last` came, or is counted as lost, once. */
static inline void assert_exact(const struct stored *stored, uint64_t last)
{
	cr_assert_eq(
		stored->last, last, "%llu of %llu came", (unsigned long long)stored->last, (unsigned long long)last);
	cr_assert_eq(stored->events + stored->lost, last, "%llu came and %llu are declared, of %llu",
		(unsigned long long)stored->events, (unsigned long long)stored->lost, (unsigned long long)last);
}

static inline unsigned files_in(const struct world *world)
{
	char command[120];
	unsigned count = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "ls '%s' | wc -l", world->path);
	pipe = popen(command, "r");
	cr_assert_eq(fscanf(pipe, "%u", &count), 1);
	pclose(pipe);
	return count;
}

#endif
