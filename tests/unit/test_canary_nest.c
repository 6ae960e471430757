/* SPDX-License-Identifier: Apache-2.0 */
/* The canary beside somebody who writes into the memory that it leaves its words in. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "sensor/canary_inside.h"

enum { FLIGHTS = 10 };

static struct {
	struct canary_nest *nest;
	char directory[32], script[48], mark[48];
	_Atomic bool over;
} test;

static void nothing(void *context)
{
	(void)context;
}

static int enter(void *context)
{
	(void)context;
	return 0;
}

static void set_up(void)
{
	FILE *file;

	strcpy(test.directory, "/tmp/tf-canary-XXXXXX");
	cr_assert_not_null(mkdtemp(test.directory));
	snprintf(test.script, sizeof(test.script), "%s/s", test.directory);
	snprintf(test.mark, sizeof(test.mark), "%s/m", test.directory);
	file = fopen(test.script, "w");
	cr_assert_not_null(file);
	fprintf(file, "#!/bin/sh\n: >%s\n", test.mark);
	fclose(file);
	chmod(test.script, 0700);
	cr_assert_eq(canary_nest_open(&test.nest), 0);
}

static void tear_down(void)
{
	canary_nest_close(test.nest);
	unlink(test.script);
	unlink(test.mark);
	rmdir(test.directory);
}

TestSuite(canary_nest, .init = set_up, .fini = tear_down, .timeout = 120);

/* Every text becomes the path of a script, again and again. */
static void *scribble(void *context)
{
	struct canary_flight *flight = canary_flight(test.nest);

	(void)context;
	while (!test.over)
		for (size_t i = 0; canary_rows[i].promise; i++) {
			volatile char *text = flight->deeds[i].text;

			for (size_t at = 0; at == 0 || test.script[at - 1]; at++)
				text[at] = test.script[at];
		}
	return NULL;
}

static size_t fly(void)
{
	const struct canary_nest_ops ops = {.expect = nothing, .enter = enter, .leave = nothing};
	size_t done = 0;

	memset(canary_flight(test.nest), 0, sizeof(struct canary_flight));
	cr_assert_eq(canary_nest_start(test.nest, &ops), 0);
	while (!canary_nest_landed(test.nest))
		(void)poll(NULL, 0, 1);
	for (size_t i = 0; canary_rows[i].promise; i++)
		done += canary_flight(test.nest)->deeds[i].state == DEED_DONE;
	return done;
}

Test(canary_nest, what_others_write_is_not_executed)
{
	size_t usual = fly();
	pthread_t thread;

	cr_assert_gt(usual, 0);
	cr_assert_eq(pthread_create(&thread, NULL, scribble, NULL), 0);
	for (int i = 0; i < FLIGHTS; i++)
		cr_expect_eq(fly(), usual, "flight %d", i);
	test.over = true;
	pthread_join(thread, NULL);
	cr_expect(access(test.mark, F_OK) < 0, "the script has run");
}

Test(canary_nest, what_a_deed_is_known_by_is_told)
{
	const struct canary_deed *deed;
	size_t i = 0;

	(void)fly();
	while (strcmp(canary_rows[i].promise, "failed exec") != 0)
		i++;
	deed = &canary_flight(test.nest)->deeds[i];
	cr_expect_eq(deed->state, DEED_DONE);
	cr_expect(strncmp(deed->text, "/proc/self/tf-", 14) == 0 && deed->text_length == strlen(deed->text), "%s",
		deed->text);
}

/* It ends in the middle of a deed: a child of its own is there still, and becomes this process's. */
static int leave_a_child(void *context)
{
	pid_t child = fork();

	(void)context;
	if (child == 0)
		_exit(0);
	(void)waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT);
	return -EIO;
}

Test(canary_nest, a_child_of_one_that_crashed_is_reaped)
{
	const struct canary_nest_ops ops = {.expect = nothing, .enter = leave_a_child, .leave = nothing};

	cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	memset(canary_flight(test.nest), 0, sizeof(struct canary_flight));
	cr_assert_eq(canary_nest_start(test.nest, &ops), 0);
	while (!canary_nest_landed(test.nest))
		(void)poll(NULL, 0, 1);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "somebody is there to be reaped");
	cr_assert_eq(errno, ECHILD);
}
