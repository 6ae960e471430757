/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/relief.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

static char folder[64], path[96];

static void set_up(void)
{
	snprintf(folder, sizeof(folder), "%s", "/tmp/taffrail-relief-XXXXXX");
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/relief", folder);
}

static void tear_down(void)
{
	(void)unlink(path);
	(void)rmdir(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(relief, .init = set_up, .fini = tear_down);

Test(relief, who_waits_is_told_the_time)
{
	int waiting = relief_wait(folder);
	uint64_t now_ns = clock_boottime_ns();

	cr_assert_geq(waiting, 0);
	cr_assert(relief_tell(folder, now_ns));
	cr_assert_eq(relief_take(waiting, folder), now_ns);
	cr_assert_eq(access(path, F_OK), -1, "it is gone");
}

Test(relief, a_time_that_is_still_to_come_is_not_believed)
{
	const uint64_t later[] = {UINT64_MAX, clock_boottime_ns() + 60000000000};

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
		int waiting = relief_wait(folder);

		cr_assert(relief_tell(folder, later[i]));
		cr_assert_eq(relief_take(waiting, folder), 0);
	}
}

Test(relief, nobody_waits)
{
	cr_assert_not(relief_tell(folder, 1));
	cr_assert_eq(access(path, F_OK), -1, "and nothing is made");

	/* A file of one that waited, and was killed. */
	int waiting = relief_wait(folder);

	close(waiting);
	cr_assert_not(relief_tell(folder, 1));
}

Test(relief, who_was_not_told_knows_no_time)
{
	int waiting = relief_wait(folder);

	cr_assert(relief_tell(folder, 5));
	close(waiting); /* killed before it took it */
	waiting = relief_wait(folder);
	cr_assert_geq(waiting, 0);
	cr_assert_eq(relief_take(waiting, folder), 0);
}

Test(relief, one_at_a_time)
{
	int waiting = relief_wait(folder);

	cr_assert_eq(relief_wait(folder), -EBUSY);
	cr_assert_eq(relief_take(waiting, folder), 0);
	waiting = relief_wait(folder);
	cr_assert_geq(waiting, 0);
	(void)relief_take(waiting, folder);
}

Test(relief, a_link_or_a_pipe_is_not_followed)
{
	cr_assert_eq(symlink("/dev/null", path), 0);
	cr_assert_eq(relief_wait(folder), -ELOOP);
	cr_assert_not(relief_tell(folder, 1));
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(relief_wait(folder), -EINVAL);
	cr_assert_not(relief_tell(folder, 1));
	cr_assert_eq(relief_wait("/nowhere/at/all"), -ENOENT);
}

/* The lock of one who tells, where nobody waits, is held for a moment alone. */
static void *let_go(void *lock)
{
	usleep(30000);
	close(*(int *)lock);
	return NULL;
}

Test(relief, a_moment_of_the_teller_is_no_queue)
{
	int lock, waiting = relief_wait(folder);
	pthread_t thread;

	close(waiting); /* killed */
	lock = open(path, O_RDWR);
	cr_assert_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
	cr_assert_eq(pthread_create(&thread, NULL, let_go, &lock), 0);
	waiting = relief_wait(folder);
	cr_assert_geq(waiting, 0, "%d", waiting);
	pthread_join(thread, NULL);
	cr_assert(relief_tell(folder, 7));
	cr_assert_eq(relief_take(waiting, folder), 7);
}

/* Who waited before takes its file away while the next one tries: that one waits in a file that can be told in. */
static void *take_and_go(void *waiting)
{
	usleep(30000);
	(void)relief_take(*(int *)waiting, folder);
	return NULL;
}

Test(relief, the_next_one_waits_where_it_can_be_told)
{
	int first = relief_wait(folder), second;
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, take_and_go, &first), 0);
	second = relief_wait(folder);
	pthread_join(thread, NULL);
	cr_assert_geq(second, 0, "%d", second);
	cr_assert(relief_tell(folder, 8));
	cr_assert_eq(relief_take(second, folder), 8);
}
