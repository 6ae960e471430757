/* SPDX-License-Identifier: Apache-2.0 */
/* A flood of opens in one container hides nothing that another executes, and hides none of its own opens in silence. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

enum { FLOODS = 2, EXECS = 1000, SECONDS = 30 /* a slow guest executes fewer in that time, and says how many */ };

struct made {
	long opens[FLOODS];
	long execs;
	atomic_bool done;
};

static struct made *made;
static long opens_told, opens_lost, execs_told, critical_lost;
static unsigned char told[EXECS];

static void prepare(void)
{
	scratch_make();
	made = shared(sizeof(*made));
}

TestSuite(flood, .init = prepare, .fini = scratch_remove);

/* Two files by turns, each twice: repeats, and what is none. */
static int flood(int which)
{
	char paths[2][320];

	place_enter(PLACE_CONTAINER);
	for (int i = 0; i < 2; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s-%d-%d", scratch("flood"), which, i);
		close(open(paths[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		made->opens[which]++;
	}
	for (unsigned int i = 0; !atomic_load_explicit(&made->done, memory_order_relaxed); i++) {
		int fd = open(paths[i >> 1 & 1], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return 1;
		close(fd);
		made->opens[which]++;
	}
	return 0;
}

static int execute(void)
{
	const char *program = scratch("program");
	time_t end = time(NULL) + SECONDS;

	place_enter(PLACE_SECOND);
	for (int i = 0; i < EXECS && time(NULL) < end; i++) {
		char number[16];
		char *const argv[] = {"short", number, NULL}, *const environment[] = {NULL};
		pid_t child;

		snprintf(number, sizeof(number), "%d", i);
		child = vfork();
		if (child == 0) {
			execve(program, argv, environment);
			_exit(99);
		}
		if (child_end(child) != 0)
			return 1;
		made->execs++;
	}
	return 0;
}

/* From outside: each goes into its container, where it stays. */
static int flood_and_execute(void *argument)
{
	pid_t floods[FLOODS], second;
	int result;

	(void)argument;
	for (int i = 0; i < FLOODS; i++) {
		floods[i] = fork();
		if (floods[i] == 0)
			_exit(flood(i));
	}
	second = fork();
	if (second == 0)
		_exit(execute());
	result = child_end(second);
	atomic_store(&made->done, true);
	for (int i = 0; i < FLOODS; i++)
		result |= child_end(floods[i]);
	return result;
}

static long number_at(struct json_object *document, const char *path, long otherwise)
{
	const char *text = at(document, path);

	return *text ? atol(text) : otherwise;
}

static bool look(struct json_object *document)
{
	const char *action = at(document, "event.action");

	if (strcmp(action, "events_lost") == 0) {
		if (strcmp(at(document, "taffrail.lost.stage"), "ring-critical") == 0)
			critical_lost += number_at(document, "taffrail.lost.count", 0);
		else
			opens_lost += number_at(document, "taffrail.lost.count", 0);
	} else if (strcmp(action, "open") == 0) {
		if (strncmp(at(document, "file.path"), scratch("flood"), strlen(scratch("flood"))) == 0)
			opens_told += number_at(document, "taffrail.count", 1);
	} else if (strcmp(at(document, "container.id"), place_id(PLACE_SECOND)) == 0 && strcmp(action, "exec") == 0) {
		long number = number_at(document, "process.args.1", EXECS);

		execs_told++;
		if (number < EXECS)
			told[number]++;
	}
	return false;
}

Test(flood, every_exec_beside_it_is_told_once_and_no_open_is_missing_in_silence, .timeout = 300)
{
	long opens;

	cr_assert_eq(program_make(scratch("program")), 0);
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	watch_filter(look);
	cr_assert_eq(watch_in(WATCH_OUTSIDE, flood_and_execute, NULL), 0);
	opens = made->opens[0] + made->opens[1];
	cr_log_info("%ld opens, %ld told and %ld lost; %ld execs, %ld told", opens, opens_told, opens_lost, made->execs,
		execs_told);
	cr_assert_gt(made->execs, 0);
	cr_assert_eq(critical_lost, 0);
	cr_assert(watch_all_told(execs_told, made->execs));
	for (long i = 0; i < made->execs; i++)
		cr_assert(told[i] == 1 || (told[i] == 0 && watch_passed_over() > 0), "exec %ld is told %d times", i,
			told[i]);
	cr_assert(watch_all_told(opens_told + opens_lost, opens), "%ld opens, %ld told and %ld lost", opens, opens_told,
		opens_lost);
}
