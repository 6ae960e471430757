/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool over several lives of a sensor, each killed at a change of the directory that chance chooses, amid a write or before it,
 * while batches are put, sent, acknowledged or not, and the disk fails now and then. In the end each number of each life that
 * was put is an event's or within the count of one record, once; where there is room and the disk works, no record but of the
 * batch that was being written.
 */
#include "test_spool.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { CASES = 600, KILLED_LIVES = 5 };

/* What outlives a life: what the collector has, and how much was put in each. */
struct outside {
	struct stored stored[LIVES];
	uint64_t made[LIVES];
};

struct chance {
	struct world *world;
	unsigned kill_after; /* changes of the directory */
	unsigned part;       /* of the write that is the last: none of it, half, all but a byte */
	bool fails;          /* now and then a change fails, and the sensor lives on */
};

static int at_change(void *context, const char *what, size_t *length)
{
	struct chance *chance = context;

	(void)what;
	if (chance->kill_after-- > 0)
		return chance->fails && draw(chance->world, 25) == 0 ? -EIO : 0;
	if (length && chance->part > 0) {
		*length = chance->part == 1 ? *length / 2 : *length - 1;
		chance->kill_after = chance->part = 0;
		return -EIO;
	}
	(void)kill(getpid(), SIGKILL);
	return 0;
}

static void live(struct world *world, struct outside *outside, struct chance chance)
{
	chance.world = world;
	world->faults = (struct spool_faults){at_change, &chance};
	open_life(world);
	for (int i = 0; i < 60; i++) {
		put(world, 1 + draw(world, 40), draw(world, 600));
		outside->made[world->life] = world->made[world->life];
		if (draw(world, 3) == 0)
			send(world, outside->stored, (unsigned)draw(world, 8), draw(world, 3) > 0);
		if (draw(world, 10) == 0)
			world->connected = false;
	}
	_exit(0);
}

/* Whether it was killed. */
static bool live_and_die(struct world *world, struct outside *outside, struct chance chance)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0)
		live(world, outside, chance);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(
		WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL, "it ended with %x", status);
	world->life++;
	return WIFSIGNALED(status);
}

static unsigned run_case(uint64_t seed, struct outside *outside, unsigned *rooms)
{
	uint64_t lasts[LIVES] = {0};
	bool fails = seed % 3 == 0;
	unsigned kills = 0;
	struct world world;

	memset(outside, 0, sizeof(*outside));
	open_world(&world, seed);
	world.max_bytes = seed % 2 ? 300 << 10 : 64 << 20;
	for (int life = 1; life <= KILLED_LIVES; life++) {
		struct chance chance = {
			.kill_after = (unsigned)draw(&world, 250), .part = (unsigned)draw(&world, 3), .fails = fails};

		kills += live_and_die(&world, outside, chance);
	}
	world.faults = (struct spool_faults){0};
	open_life(&world);
	for (int life = 1; life <= KILLED_LIVES; life++)
		lasts[life] = spool_last(world.spool, (uint8_t[EVENT_EPOCH_SIZE]){(uint8_t)life});
	put(&world, 3, 10);
	send_all(&world, outside->stored);
	for (int life = 1; life <= KILLED_LIVES; life++) {
		const struct stored *stored = &outside->stored[life];
		uint64_t last = lasts[life] > stored->last ? lasts[life] : stored->last;

		if (!fails) /* else what waited in memory went with the life */
			cr_assert_geq(last, outside->made[life], "seed %llu, life %d: %llu of %llu",
				(unsigned long long)seed, life, (unsigned long long)last,
				(unsigned long long)outside->made[life]);
		if (!fails && world.max_bytes > 32 << 20)
			cr_assert_leq(stored->lost, last - outside->made[life]);
		assert_exact(stored, last);
		*rooms += stored->records > 0;
	}
	close_life(&world);
	cr_assert_eq(files_in(&world), 0);
	close_world(&world);
	return kills;
}

/* TAFFRAIL_KILLS: so many cases, each of five lives. */
Test(spool_random, killed_in_life_after_life_nothing_is_lost_in_silence, .timeout = 600)
{
	struct outside *outside =
		mmap(NULL, sizeof(*outside), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const char *wanted = getenv("TAFFRAIL_KILLS");
	uint64_t cases = wanted ? strtoull(wanted, NULL, 10) : CASES;
	unsigned kills = 0, rooms = 0;

	cr_assert_neq(outside, MAP_FAILED);
	(void)!freopen("/dev/null", "w", stderr);
	for (uint64_t seed = 1; seed <= cases; seed++)
		kills += run_case(seed, outside, &rooms);
	cr_assert_gt(
		kills, cases * 2, "only %u lives of %llu were killed", kills, (unsigned long long)cases * KILLED_LIVES);
	cr_assert_gt(rooms, cases / 10, "room was made in %u", rooms);
	munmap(outside, sizeof(*outside));
}
