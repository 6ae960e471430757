/* SPDX-License-Identifier: Apache-2.0 */
#include "test_spool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* --- the ordinary way ------------------------------------------------------------------------------------------------ */

Test(spool, what_is_acknowledged_leaves_nothing_behind)
{
	static struct stored stored[LIVES];
	struct world world;

	open_world(&world, 1);
	open_life(&world);
	for (int i = 0; i < 500; i++) {
		put(&world, 1 + draw(&world, 50), 200);
		send(&world, stored, 10, false);
		cr_assert_leq(spool_bytes(world.spool), 3 * 2 << 20);
	}
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_eq(stored[1].lost, 0);
	close_life(&world);
	cr_assert_eq(files_in(&world), 0);
	close_world(&world);
}

Test(spool, the_next_life_sends_what_the_one_before_could_not)
{
	static struct stored stored[LIVES];
	struct world world;

	open_world(&world, 2);
	for (int life = 1; life <= 4; life++) {
		open_life(&world);
		for (int i = 0; i < 100; i++)
			put(&world, 1 + draw(&world, 20), 300);
		if (life == 2)
			send(&world, stored, 130, false); /* all of the first, some of the second */
		close_life(&world);
	}
	open_life(&world);
	cr_assert_eq(spool_last(world.spool, (uint8_t[EVENT_EPOCH_SIZE]){3}), world.made[3]);
	cr_assert_eq(spool_last(world.spool, (uint8_t[EVENT_EPOCH_SIZE]){9}), 0);
	put(&world, 5, 10);
	send_all(&world, stored);
	for (int life = 1; life <= 5; life++) {
		assert_exact(&stored[life], world.made[life]);
		cr_assert_eq(stored[life].lost, 0);
	}
	close_life(&world);
	cr_assert_eq(files_in(&world), 0);
	close_world(&world);
}

/* Another collector has nothing, and is told that it misses nothing. */
Test(spool, a_second_collector_goes_on_where_the_first_acknowledged)
{
	static struct stored first[LIVES], second[LIVES];
	struct world world;

	open_world(&world, 3);
	open_life(&world);
	for (int i = 0; i < 60; i++)
		put(&world, 10, 100);
	send(&world, first, 30, false);
	send(&world, first, 5, true); /* it has these, and nobody knows */
	close_life(&world);
	open_life(&world); /* the next life knows it, too */
	cr_assert_eq(backlog_acknowledged(world.backlog), 300);
	send_all(&world, second);
	cr_assert_eq(first[1].events, 350);
	cr_assert_eq(second[1].events, 300);
	cr_assert_eq(second[1].last, world.made[1]);
	close_life(&world);
	close_world(&world);
}

Test(spool, two_sensors_never_share_a_directory_and_strangers_are_refused)
{
	struct world world;
	struct spool *other = NULL;
	char why[300];

	open_world(&world, 4);
	open_life(&world);

	const struct spool_options options = {world.path, 64 << 20, SPOOL_NEVER, &world.host, NULL};
	struct stat stat_of;

	cr_assert_eq(stat(world.path, &stat_of), 0);
	cr_assert_eq(stat_of.st_mode & 0777, 0700);
	cr_assert_eq(spool_open(&other, &options, why, sizeof(why)), -EBUSY);
	cr_assert(strstr(why, "another sensor uses it"), "%s", why);
	close_life(&world);
	cr_assert_eq(chmod(world.path, 0777), 0);
	cr_assert_eq(spool_open(&other, &options, why, sizeof(why)), -EPERM);
	cr_assert(strstr(why, "others may write there"), "%s", why);
	cr_assert_eq(rmdir(world.path), 0);
	close(open(world.path, O_CREAT | O_WRONLY, 0600));
	cr_assert_lt(spool_open(&other, &options, why, sizeof(why)), 0);
	cr_assert(strstr(why, world.path), "%s", why);
	close_world(&world);
}

/* --- no room --------------------------------------------------------------------------------------------------------- */

Test(spool, above_its_limit_it_gives_up_the_oldest_bulk_first)
{
	static struct stored stored[LIVES];
	struct world world;

	open_world(&world, 5);
	world.max_bytes = 4 << 20;
	open_life(&world);
	while (world.made[1] < 40000) { /* some 12 MB, a fifth of it critical */
		put(&world, 1 + draw(&world, 100), 260);
		cr_assert_leq(spool_bytes(world.spool), world.max_bytes);
	}
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_gt(stored[1].lost, 20000);
	cr_assert_eq(stored[1].critical_lost, 0);
	for (uint64_t number = 5; number <= world.made[1]; number += 5)
		cr_assert(stored[1].seen[number / 8] >> number % 8 & 1, "exec %llu", (unsigned long long)number);
	/* The newest bulk is there. */
	cr_assert(stored[1].seen[39999 / 8] >> 39999 % 8 & 1);
	cr_assert_eq(stored[1].seen[1 / 8] >> 1 % 8 & 1, 0);
	close_life(&world);
	close_world(&world);
}

Test(spool, without_any_bulk_left_it_gives_up_the_oldest_of_all)
{
	static struct stored stored[LIVES];
	struct world world;

	open_world(&world, 6);
	world.max_bytes = 2 << 20;
	for (int life = 0; life < 2; life++) {
		open_life(&world);
		while (world.made[world.life] < 60000) {
			put(&world, 1 + draw(&world, 200), 260);
			cr_assert_leq(spool_bytes(world.spool), world.max_bytes);
		}
		close_life(&world);
	}
	open_life(&world);
	send_all(&world, stored);
	for (int life = 1; life <= 2; life++)
		assert_exact(&stored[life], world.made[life]);
	cr_assert_gt(stored[1].critical_lost, 0);
	cr_assert_gt(stored[2].events, 0);
	cr_assert_lt(stored[1].records, 1000, "records of one life's own losses become one");
	close_life(&world);
	close_world(&world);
}

/* What the collector has already is not declared as lost, though its batches lose their bulk afterwards. */
Test(spool, what_was_sent_and_not_acknowledged_is_counted_once)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		static struct stored stored[LIVES];
		struct world world;

		memset(stored, 0, sizeof(stored));
		open_world(&world, seed);
		world.max_bytes = 2 << 20;
		open_life(&world);
		for (int i = 0; i < 400; i++) {
			put(&world, 1 + draw(&world, 40), 300);
			if (draw(&world, 3) == 0)
				send(&world, stored, (unsigned)draw(&world, 8), draw(&world, 8) > 0);
			if (draw(&world, 20) == 0)
				world.connected = false;
			if (draw(&world, 150) == 0 && world.life < 4) {
				close_life(&world);
				open_life(&world);
			}
		}
		world.connected = false;
		send_all(&world, stored);
		for (unsigned life = 1; life <= world.life; life++)
			assert_exact(&stored[life], world.made[life]);
		close_life(&world);
		close_world(&world);
	}
}

/* Everything goes but the records: those of batches that the collector may have stay apart, for it may have some of them. */
Test(spool, records_of_what_was_sent_stay_apart)
{
	static struct stored stored[LIVES];
	struct world world;

	open_world(&world, 31);
	world.max_bytes = 2 << 20;
	open_life(&world);
	for (int i = 0; i < 60; i++)
		put(&world, 3, 100);
	send(&world, stored, 30, true); /* half of the first file */
	world.connected = false;
	cr_assert_eq(stored[1].events, 90);
	while (world.made[1] < 60000)
		put(&world, 1 + draw(&world, 200), 260);
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_gt(stored[1].critical_lost, 0);
	close_life(&world);
	close_world(&world);
}

Test(spool, memory_without_a_spool_gives_up_bulk_and_stays_within_its_limit)
{
	static struct stored stored[LIVES];
	struct world world;

	open_world(&world, 7);
	world.life = 1;
	world.host.epoch[0] = 1;

	const struct backlog_options options = {&world.host, NULL, 4 << 20, NULL};

	cr_assert_eq(backlog_open(&world.backlog, &options), 0);
	while (world.made[1] < 30000 && backlog_bytes(world.backlog) < 4 << 20)
		put(&world, 1 + draw(&world, 100), 260);
	cr_assert_gt(world.made[1], 20000);
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_gt(stored[1].lost, 0);
	cr_assert_eq(stored[1].critical_lost, 0);
	(void)backlog_close(world.backlog, false);
	close_world(&world);
}

/* --- a disk that fails ----------------------------------------------------------------------------------------------- */

struct disk {
	int error;      /* of everything that changes something; 0: it works */
	unsigned after; /* deeds that still work */
	bool torn;      /* half of a write is written */
};

static int ask_disk(void *context, const char *what, size_t *length)
{
	struct disk *disk = context;

	(void)what;
	if (!disk->error)
		return 0;
	if (disk->after > 0) {
		disk->after--;
		return 0;
	}
	if (length)
		*length = disk->torn ? *length / 2 : 0;
	return disk->error;
}

Test(spool, a_failing_disk_is_memory_until_it_works_again)
{
	const int errors[] = {-ENOSPC, -EIO, -EROFS};

	for (uint64_t seed = 0; seed < 30; seed++) {
		static struct stored stored[LIVES];
		struct disk disk = {0};
		struct world world;

		memset(stored, 0, sizeof(stored));
		open_world(&world, 100 + seed);
		world.faults = (struct spool_faults){ask_disk, &disk};
		open_life(&world);
		for (int i = 0; i < 150; i++) {
			if (i == 50)
				disk = (struct disk){errors[seed % 3], (unsigned)draw(&world, 20), seed % 2};
			if (i == 100) {
				disk.error = 0;
				usleep(1050000); /* it is not asked for a second */
			}
			put(&world, 1 + draw(&world, 30), 300);
			if (draw(&world, 4) == 0)
				send(&world, stored, 3, draw(&world, 2));
			if (draw(&world, 30) == 0)
				world.connected = false;
			if (seed >= 3 && i == 110)
				break;
		}
		/* Everything is on the disk again: a kill would lose nothing. */
		backlog_tick(world.backlog, 0);
		cr_assert_eq(spool_last(world.spool, world.host.epoch), world.made[1]);
		close_life(&world);
		open_life(&world);
		send_all(&world, stored);
		assert_exact(&stored[1], world.made[1]);
		cr_assert_eq(stored[1].lost, 0);
		close_life(&world);
		close_world(&world);
		if (seed >= 5)
			break;
	}
}

Test(spool, a_directory_that_was_removed_is_made_again)
{
	static struct stored stored[LIVES];
	struct world world;
	char command[100];

	open_world(&world, 8);
	open_life(&world);
	for (int i = 0; i < 20; i++)
		put(&world, 10, 300);
	send(&world, stored, 10, false);
	snprintf(command, sizeof(command), "rm -rf '%s'", world.path);
	cr_assert_eq(system(command), 0);
	for (int i = 0; i < 20; i++)
		put(&world, 10, 300);
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_leq(stored[1].lost, 100); /* those that were in it, unless its file was just being read */
	close_life(&world);
	close_world(&world);
}

/* A real limit of the system's: no file may become longer. */
Test(spool, a_write_that_the_kernel_refuses)
{
	static struct stored stored[LIVES];
	const struct rlimit limit = {100 << 10, RLIM_INFINITY};
	struct world world;

	signal(SIGXFSZ, SIG_IGN);
	open_world(&world, 9);
	open_life(&world);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 100; i++)
		put(&world, 10, 300);
	cr_assert_gt(backlog_bytes(world.backlog), 100 << 10);
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_eq(stored[1].lost, 0);
	close_life(&world);
	close_world(&world);
}

/* --- kill -9 --------------------------------------------------------------------------------------------------------- */

struct killer {
	unsigned after; /* changes of the directory */
	unsigned part;  /* of a write that is still done: none, half, all but a byte */
};

static int kill_at(void *context, const char *what, size_t *length)
{
	struct killer *killer = context;

	(void)what;
	if (killer->after-- > 0)
		return 0;
	if (length && killer->part > 0) { /* this much of it is the last thing that is done */
		*length = killer->part == 1 ? *length / 2 : *length - 1;
		killer->after = killer->part = 0;
		return -EIO;
	}
	(void)kill(getpid(), SIGKILL);
	return 0;
}

/* A life that ends at one change of the directory. What it had put and what the collector has are in shared memory. */
static bool live_until_killed(struct world *world, struct stored *stored, uint64_t *made, struct killer killer)
{
	pid_t pid = fork();
	int status;

	cr_assert_geq(pid, 0);
	if (pid == 0) {
		world->faults = (struct spool_faults){kill_at, &killer};
		open_life(world);
		for (int i = 0; i < 100; i++) {
			put(world, 1 + draw(world, 40), 400);
			*made = world->made[world->life];
			if (draw(world, 3) == 0)
				send(world, stored, (unsigned)draw(world, 6), draw(world, 3) > 0);
			if (draw(world, 10) == 0)
				world->connected = false;
		}
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	world->life++;
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

/*
 * Killed before each change in turn, the next life finds everything that had been put when the one before ended but the
 * batch that was being written, of which it is known that it was there or nothing.
 */
static unsigned kill_everywhere(uint64_t seed, uint64_t max_bytes)
{
	unsigned kills = 0, rooms = 0;
	struct stored *stored = mmap(NULL, LIVES * sizeof(*stored) + sizeof(uint64_t), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t *made = (uint64_t *)(void *)(stored + LIVES);

	cr_assert_neq(stored, MAP_FAILED);
	for (unsigned after = 1; after < 2000; after++) {
		struct world world;
		bool killed;

		memset(stored, 0, LIVES * sizeof(*stored) + sizeof(uint64_t));
		open_world(&world, seed);
		world.max_bytes = max_bytes;
		killed = live_until_killed(&world, stored, made, (struct killer){after, after % 3});
		world.faults = (struct spool_faults){0};
		open_life(&world);

		uint64_t last = spool_last(world.spool, (uint8_t[EVENT_EPOCH_SIZE]){1});

		if (*made > 0)
			cr_assert_geq(last, *made, "%u: of %llu", after, (unsigned long long)*made);
		put(&world, 3, 10);
		send_all(&world, stored);
		if (last > 0)
			assert_exact(&stored[1], last);
		if (max_bytes > 32 << 20)
			cr_assert_leq(stored[1].lost, last - *made, "only what was being written");
		cr_assert_leq(
			stored[1].critical_lost, last - *made, "bulk makes room, and nothing goes but by its record");
		assert_exact(&stored[2], 3);
		close_life(&world);
		cr_assert_eq(files_in(&world), 0);
		close_world(&world);
		if (!killed)
			break;
		kills++;
		rooms += stored[1].records > 0;
	}
	munmap(stored, LIVES * sizeof(*stored) + sizeof(uint64_t));
	cr_assert(max_bytes > 32 << 20 || rooms > 20, "room was made in %u of %u", rooms, kills);
	return kills;
}

Test(spool, a_kill_before_any_change_loses_nothing_that_was_put)
{
	cr_assert_gt(kill_everywhere(11, 64 << 20), 100);
}

Test(spool, a_kill_while_room_is_made_loses_nothing_twice)
{
	cr_assert_gt(kill_everywhere(12, 300 << 10), 100);
}
