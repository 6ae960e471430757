/* SPDX-License-Identifier: Apache-2.0 */
/* Whose it is: cgroups inside a container's, numbers that come back, processes that others move. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(attribution, .init = scratch_make, .fini = scratch_remove);

enum { DEPTH = 60, THREADS = 1000, MOVES = 100, MOVES_SECONDS = 20 };

static const char inner_id[] = "5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed5eed";

static int touch(void *name)
{
	return text_make(scratch(name), "", 0644);
}

static struct json_object *opened(const char *name)
{
	return one("open", "file.path", scratch(name));
}

/* Moves a process (0: this one) into the cgroup of this directory. */
static int enter(const char *directory, pid_t pid)
{
	char path[4096], text[16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	snprintf(text, sizeof(text), "%d", pid);
	return text_make(path, text, 0);
}

/* --- cgroups inside ------------------------------------------------------------------------------------------------------- */

/* A cgroup below the container's is named like another container, as that of a runtime in a container, or of a liar. */
static int act_inside(void *argument)
{
	char inner[512], leaf[600];
	pid_t child;

	(void)argument;
	snprintf(inner, sizeof(inner), "%s/cri-containerd-%s.scope", place_cgroup(PLACE_CONTAINER), inner_id);
	snprintf(leaf, sizeof(leaf), "%s/payload", inner);
	if (mkdir(inner, 0755) || mkdir(leaf, 0755))
		return 1;
	child = fork();
	if (child == 0)
		_exit(enter(inner, 0) || touch("in-the-inner") || enter(leaf, 0) || touch("below-the-inner"));
	if (child_end(child) || rmdir(leaf) || rmdir(inner))
		return 2;
	return touch("outside-of-it");
}

Test(attribution, the_outermost_name_counts_and_the_inner_one_is_told)
{
	cr_assert_eq(watch(act_inside, NULL), 0);
	expect(opened("in-the-inner"), "container.id", place_id(PLACE_CONTAINER));
	expect(opened("in-the-inner"), "taffrail.container.nested_id", inner_id);
	expect(opened("below-the-inner"), "container.id", place_id(PLACE_CONTAINER));
	expect(opened("below-the-inner"), "taffrail.container.nested_id", inner_id);
	expect(opened("outside-of-it"), "taffrail.container.nested_id", "");
	cr_assert_eq(count("cgroup_left", "container.id", place_id(PLACE_CONTAINER)), 0);
}

/* So far below that a walk of few steps does not come to the container's own cgroup. */
static int act_far_below(void *argument)
{
	char path[4096];
	int length = snprintf(path, sizeof(path), "%s", place_cgroup(PLACE_CONTAINER)), result = 0;
	pid_t child;

	(void)argument;
	for (int i = 0; i < DEPTH; i++) {
		length += snprintf(path + length, sizeof(path) - (size_t)length, "/%d", i);
		if (mkdir(path, 0755))
			return 1;
	}
	child = fork();
	if (child == 0)
		_exit(enter(path, 0) || touch("far-below") || in_child(touch, "a-child-of-it"));
	result = child_end(child);
	for (int i = 0; i < DEPTH; i++) {
		(void)rmdir(path);
		*strrchr(path, '/') = '\0';
	}
	return result;
}

Test(attribution, a_cgroup_far_below_is_the_containers)
{
	cr_assert_eq(watch(act_far_below, NULL), 0);
	expect(opened("far-below"), "container.id", place_id(PLACE_CONTAINER));
	expect(opened("a-child-of-it"), "container.id", place_id(PLACE_CONTAINER));
	cr_assert_eq(count("cgroup_left", "container.id", place_id(PLACE_CONTAINER)), 0);
}

/* --- moved by others ------------------------------------------------------------------------------------------------------ */

/* One process moves another, which only waits. */
static int act_moved(void *argument)
{
	int begin[2];
	pid_t child = pipe(begin) ? -1 : fork();
	char byte;

	(void)argument;
	if (child == 0) {
		close(begin[1]);
		_exit(read(begin[0], &byte, 1) != 1 || touch("by-the-moved"));
	}
	if (child < 0 || enter(place_cgroup(PLACE_SECOND), child))
		return 1;
	return write(begin[1], "", 1) == 1 ? child_end(child) : 2;
}

Test(attribution, who_is_moved_by_another_stays_the_containers)
{
	struct json_object *left;

	cr_assert_eq(watch(act_moved, NULL), 0);
	expect(opened("by-the-moved"), "container.id", place_id(PLACE_CONTAINER));
	left = one("cgroup_left", "process.entity_id", at(opened("by-the-moved"), "process.entity_id"));
	expect(left, "taffrail.cgroup.other_id", place_id(PLACE_SECOND));
	cr_assert_str_neq(at(left, "taffrail.cgroup.actor.pid"), at(left, "process.pid"));
}

/* --- threads -------------------------------------------------------------------------------------------------------------- */

/* Moves one thread (0: this one); of v1. */
static int enter_thread(enum place place, pid_t thread)
{
	char path[4096], text[16];

	snprintf(path, sizeof(path), "%s/tasks", place_cgroup(place));
	snprintf(text, sizeof(text), "%d", thread);
	return text_make(path, text, 0);
}

static int in_a_thread(void *(*run)(void *argument), void *argument)
{
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, run, argument) || pthread_join(thread, &result))
		return 1;
	return result ? 2 : 0;
}

/* Has gone to another container's alone, and its process's leader moves where they came from. */
static void *stay_away(void *argument)
{
	const bool gone = enter_thread(PLACE_SECOND, 0) == 0 && enter_thread(PLACE_CONTAINER, getpid()) == 0;

	return gone && touch("by-who-stayed-away") == 0 && in_child(touch, "by-its-child") == 0 ? NULL : argument;
}

static int act_stay_away(void *argument)
{
	return in_a_thread(stay_away, argument ? argument : "");
}

Test(attribution, a_thread_that_stays_away_is_the_containers_when_another_comes_back)
{
	if (access("/sys/fs/cgroup/pids/cgroup.procs", F_OK) != 0)
		cr_skip_test("no cgroup v1 here");
	cr_assert_eq(watch_in(WATCH_V1, act_stay_away, NULL), 0);
	expect(opened("by-who-stayed-away"), "container.id", place_id(PLACE_CONTAINER));
	expect(opened("by-who-stayed-away"), "taffrail.left_cgroup", "true");
	expect(opened("by-its-child"), "container.id", place_id(PLACE_CONTAINER));
	expect(opened("by-its-child"), "taffrail.left_cgroup", "true");
}

static volatile bool moved;
static int gate[2]; /* a pipe that nobody ever writes to */

static void *wait_moved(void *argument)
{
	char byte;

	(void)!read(gate[0], &byte, 1);
	return argument;
}

static void *open_until_moved(void *argument)
{
	while (!moved)
		close(open(scratch("in-between"), O_RDONLY | O_CLOEXEC));
	return argument;
}

/* Many threads take long to move; one of them does not wait for the end. */
static int act_move_about(void *argument)
{
	time_t end = time(NULL) + MOVES_SECONDS;
	pthread_attr_t attributes;
	pthread_t thread;

	(void)argument;
	if (pipe(gate) || touch("in-between") || pthread_attr_init(&attributes) ||
		pthread_attr_setstacksize(&attributes, 256 << 10))
		return 1;
	for (int i = 0; i <= THREADS; i++)
		if (pthread_create(&thread, &attributes, i ? wait_moved : open_until_moved, NULL))
			return 2;
	for (int i = 0; i < MOVES && time(NULL) < end; i++)
		if (enter(place_cgroup(PLACE_SECOND), 0) || enter(place_cgroup(PLACE_CONTAINER), 0))
			return 3;
	moved = true;
	return 0;
}

static bool of_the_second(struct json_object *document)
{
	return strcmp(at(document, "container.id"), place_id(PLACE_SECOND)) == 0;
}

Test(attribution, nothing_is_another_containers_while_a_move_goes_on)
{
	watch_filter(of_the_second);
	cr_assert_eq(watch(act_move_about, NULL), 0);
	cr_assert_eq(count("open", "container.id", place_id(PLACE_SECOND)), 0);
}

/* --- numbers that come back ------------------------------------------------------------------------------------------------ */

/* The next process gets this number, if it is free (CONFIG_CHECKPOINT_RESTORE). 0 or -1. */
static int next_pid(pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid - 1);
	return text_make("/proc/sys/kernel/ns_last_pid", text, 0);
}

/* Another process of the machine may get the number first: then once more, with files of other names. */
struct
try {
	int number;
	char files[2][32];
};

static int same_number(void *argument)
{
	struct try *try = argument;

	for (try->number = 0; try->number < 100; try->number++) {
		pid_t numbers[2] = {0};

		for (int i = 0; i < 2; i++) {
			pid_t child;

			snprintf(try->files[i], sizeof(try->files[i]), "%s-of-try-%d", i == 0 ? "first" : "second",
				try->number);

			if (i == 1 && next_pid(numbers[0]) < 0)
				return 77;
			child = fork();
			if (child == 0) {
				if (i == 1)
					(void)enter(place_cgroup(PLACE_OUTSIDE), 0);
				_exit(i == 1 && getpid() != numbers[0] ? 3 : touch(try->files[i]));
			}
			numbers[i] = child;
			if (child_end(child) != 0 && i == 0)
				return 1;
		}
		if (numbers[0] == numbers[1])
			return 0;
	}
	return 2;
}

/* One number, two processes: the second is neither the first again, nor is it where that one was. */
Test(attribution, a_pid_that_comes_back_is_another_process)
{
	struct try *try = shared(sizeof(*try));
	int result = watch(same_number, try);
	struct json_object *first, *second;

	if (result == 77)
		cr_skip_test("this kernel lets nobody choose the next pid");
	cr_assert_eq(result, 0);
	second = opened(try->files[1]);
	expect(second, "taffrail.left_cgroup", "true");
	first = one("open", "file.path", scratch(try->files[0]));
	expect(first, "process.pid", at(second, "process.pid"));
	expect(first, "taffrail.left_cgroup", "");
	cr_assert_str_neq(at(first, "process.entity_id"), at(second, "process.entity_id"));
	expect(one("end", "process.entity_id", at(first, "process.entity_id")), "process.exit_code", "0");
	expect(one("end", "process.entity_id", at(second, "process.entity_id")), "process.exit_code", "0");
}
