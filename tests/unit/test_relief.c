/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/relief.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

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

	cr_assert_geq(waiting, 0);
	cr_assert(relief_tell(folder, 1234567890123));
	cr_assert_eq(relief_take(waiting, folder), 1234567890123);
	cr_assert_eq(access(path, F_OK), -1, "it is gone");
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
