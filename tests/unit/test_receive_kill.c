/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A collector that is killed at random, or whose power fails, while sensors send at random: batches, again, too late, with gaps,
 * over connections that come and go. After each: what was acknowledged is stored, each sequence up to the last is an event's or
 * within the count of one record, once, and nothing is stored that nobody sent. The next life goes on from there.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_collector.h"

enum { SENSORS = 3, LIVES = 4, TURNS = 100, SEQUENCES = 1 << 14 };

/* What a sensor did, as both processes see it. */
struct sensor {
	uint8_t epoch[EVENT_EPOCH_SIZE];
	uint64_t acked, most; /* the last that was acknowledged, and that was sent */
	bool sent[SEQUENCES];
};

/* Shared by the life and by who looks after it. */
static struct sensor *sensors;
static struct store_position *synced;
static uint64_t random_state;
static unsigned steps_left;

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

/* Each may be the last that it did. */
static void step(void)
{
	if (steps_left-- == 0)
		(void)kill(getpid(), SIGKILL);
}

/* --- a life ------------------------------------------------------------------------------------------------------------- */

/* The next ones as a rule; or again, or too late, with more behind, with some left out before. */
static void send_some(struct sensor *sensor, struct peer *peer)
{
	uint64_t first = sensor->most + 1, last = first + draw(20);
	struct buffer *bytes;

	if (draw(4) == 0)
		first = 1 + draw(first);
	if (draw(3) == 0 && first <= sensor->most)
		last = first + draw(sensor->most - first + 1);
	if (draw(8) == 0) {
		first += 1 + draw(5);
		last += 6;
	}
	step();
	bytes = make_batch(sensor->epoch, first, last, draw(300));
	/* Noted first: what is noted and was not sent is as what did not arrive. */
	for (uint64_t i = first; i <= last; i++)
		sensor->sent[i] = true;
	sensor->most = last > sensor->most ? last : sensor->most;
	cr_assert_eq(grpc_call_send(peer->call, bytes->data, bytes->length), 0);
	wire_bytes_free(bytes);
}

static void do_something(struct room *room, struct sensor *sensor, struct peer *peer)
{
	uint64_t acked = peer->acked > peer->stored ? peer->acked : peer->stored;

	*synced = store_end(room->store); /* before it is noted what may have been acknowledged by it */
	sensor->acked = acked > sensor->acked ? acked : sensor->acked;
	if (draw(40) == 0 || !peer->call) {
		grpc_client_close(peer->client);
		connect_sensor(room, peer);
		say_hello(peer, host_id.data, sensor->epoch, sizeof(sensor->epoch));
	} else if (draw(2) == 0 && peer->hellos > 0) {
		send_some(sensor, peer);
	}
}

static void live(struct room *room)
{
	struct peer peers[SENSORS] = {0};

	(void)!freopen("/dev/null", "w", stderr);
	room->base = event_base_new();
	open_store(room);
	*synced = store_end(room->store);
	serve(room);
	for (int turns = 0; turns < TURNS; turns++) {
		for (int i = 0; i < SENSORS; i++)
			do_something(room, &sensors[i], &peers[i]);
		for (uint64_t i = 1 + draw(4); i > 0; i--) {
			step();
			event_base_loop(room->base, EVLOOP_NONBLOCK);
		}
		if (draw(4) == 0)
			usleep((useconds_t)draw(1000));
	}
	_exit(0);
}

/* --- what must hold ----------------------------------------------------------------------------------------------------- */

static struct sensor *sensor_of(const struct segment_frame *frame)
{
	for (int i = 0; i < SENSORS; i++)
		if (memcmp(frame->epoch, sensors[i].epoch, EVENT_EPOCH_SIZE) == 0)
			return &sensors[i];
	cr_assert_fail("an epoch of nobody's");
	return NULL;
}

/* The frame's sequences, from its first on: each has an event that its sensor sent, or one record counts it. */
static void check_frame(const struct sensor *sensor, const struct segment_frame *frame)
{
	uint64_t covered = 0;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(wire_read(&events, frame->batch.data, frame->batch.length, why), 0, "%s", why);
	for (size_t i = 0; i < events.count; i++) {
		const struct event *event = &events.events[i];

		if (event->sequence < frame->first)
			continue;
		covered += event->action == EVENT_LOST ? event->lost.count : 1;
		cr_assert(event->action == EVENT_LOST || sensor->sent[event->sequence], "%llu was not sent",
			(unsigned long long)event->sequence);
	}
	cr_assert_eq(covered, frame->last - frame->first + 1, "%llu of %llu to %llu", (unsigned long long)covered,
		(unsigned long long)frame->first, (unsigned long long)frame->last);
	wire_free(&events);
}

static bool take_frame(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct sensor *sensor = sensor_of(frame);
	uint64_t *last = (uint64_t *)context + (sensor - sensors);

	(void)end;
	cr_assert_eq(frame->first, *last + 1, "%llu to %llu behind %llu", (unsigned long long)frame->first,
		(unsigned long long)frame->last, (unsigned long long)*last);
	*last = frame->last;
	check_frame(sensor, frame);
	return true;
}

static void check_store(struct room *room)
{
	struct store_position position = {0};
	uint64_t last[SENSORS] = {0};
	const struct store_reader reader = {take_frame, last};

	open_store(room);
	cr_assert_eq(store_read(room->store, &position, &reader), 0);
	for (int i = 0; i < SENSORS; i++) {
		cr_assert_eq(store_synced(room->store, host_id, sensors[i].epoch), last[i]);
		cr_assert_geq(last[i], sensors[i].acked, "what was acknowledged is gone");
		cr_assert_leq(last[i], sensors[i].most);
	}
	store_close(room->store);
}

/* Of what was not synced a part is left, or nothing. */
static void fail_power(const struct room *room)
{
	uint64_t segment = synced->segment ? synced->segment : 1, from = synced->segment ? synced->offset : 0;
	struct stat stat_of;
	char path[160];

	for (;; segment++, from = 0) {
		snprintf(path, sizeof(path), "%s/data/segments/%016llu.seg", room->folder, (unsigned long long)segment);
		if (stat(path, &stat_of) < 0)
			return;
		cr_assert_geq((uint64_t)stat_of.st_size, from);
		from += draw((uint64_t)stat_of.st_size - from + 1);
		cr_assert_eq(truncate(path, draw(3) ? (off_t)from : stat_of.st_size), 0);
	}
}

static bool live_and_check(struct room *room)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0)
		live(room);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(
		WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL, "it ended with %x", status);
	if (WIFSIGNALED(status) && draw(2))
		fail_power(room);
	check_store(room);
	return WIFSIGNALED(status);
}

/* A few lives over one store; how many of them were killed. */
static unsigned live_on(uint64_t seed)
{
	/* A real disk takes its time for a sync: other things happen meanwhile than where that costs nothing. */
	const char *folder = seed % 8 && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	struct room room = {.step = step};
	char command[100];
	unsigned kills = 0;

	snprintf(room.folder, sizeof(room.folder), "%s/taffrail-kill-XXXXXX", folder);
	cr_assert_not_null(mkdtemp(room.folder));
	memset(sensors, 0, SENSORS * sizeof(*sensors));
	for (int i = 0; i < SENSORS; i++)
		sensors[i].epoch[0] = (uint8_t)(i + 1);
	for (int life = 0; life < LIVES; life++) {
		random_state = (seed * LIVES + (uint64_t)life) * 2654435761u + 88172645463325252ull;
		steps_left = (unsigned)draw(TURNS * 4);
		kills += live_and_check(&room);
	}
	snprintf(command, sizeof(command), "rm -r '%s'", room.folder);
	cr_assert_eq(system(command), 0);
	return kills;
}

/* TAFFRAIL_KILLS: so many at least. */
Test(receive_kill, what_is_acknowledged_is_stored_and_nothing_twice, .timeout = 600)
{
	const char *wanted = getenv("TAFFRAIL_KILLS");
	unsigned kills = 0, least = wanted ? (unsigned)atoi(wanted) : 400;

	sensors = mmap(NULL, SENSORS * sizeof(*sensors) + sizeof(*synced), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert_neq(sensors, MAP_FAILED);
	synced = (struct store_position *)(void *)(sensors + SENSORS);
	for (uint64_t seed = 1; kills < least; seed++) {
		cr_assert_lt(seed, 100 + least, "only %u were killed", kills);
		kills += live_on(seed);
	}
	munmap(sensors, SENSORS * sizeof(*sensors) + sizeof(*synced));
}
