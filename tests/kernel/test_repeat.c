/* SPDX-License-Identifier: Apache-2.0 */
/* Equal opens are one record and a count; what differs in anything is a record of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

enum { MANY = 5000 };

static char directory[] = "/tmp/taffrail-repeat-XXXXXX";
static char first_path[64], second_path[64];

static void make_files(void)
{
	cr_assert_not_null(mkdtemp(directory));
	snprintf(first_path, sizeof(first_path), "%s/first", directory);
	snprintf(second_path, sizeof(second_path), "%s/second", directory);
	close(open(first_path, O_WRONLY | O_CREAT, 0600));
	cr_assert_eq(link(first_path, second_path), 0);
}

static void remove_files(void)
{
	unlink(first_path);
	unlink(second_path);
	rmdir(directory);
}

TestSuite(kernel_repeat, .init = make_files, .fini = remove_files);

/* Opens with `value` at `path` and this outcome, repeats counted. */
static unsigned long opens(const char *path, const char *value, const char *outcome, size_t *number)
{
	static struct json_object *found[5 * MANY]; /* the classic programs make a record of each */
	size_t all = documents("open", found, 5 * MANY);
	unsigned long sum = 0;

	cr_assert_leq(all, 5 * MANY);
	*number = 0;
	for (size_t i = 0; i < all; i++) {
		const char *repeats = at(found[i], "taffrail.count");

		if (strcmp(at(found[i], path), value) != 0 || strcmp(at(found[i], "event.outcome"), outcome) != 0)
			continue;
		sum += *repeats ? strtoul(repeats, NULL, 10) : 1;
		++*number;
	}
	return sum;
}

static int open_and_close(const char *path, int flags)
{
	int fd = open(path, flags);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static int open_many(void *argument)
{
	char missing[80];

	(void)argument;
	snprintf(missing, sizeof(missing), "%s/missing", directory);
	for (int i = 0; i < MANY; i++)
		if (open_and_close(first_path, O_RDONLY) || !open_and_close(missing, O_RDONLY) || errno != ENOENT)
			return 1;
	return 0;
}

Test(kernel_repeat, equal_opens_are_counted_exactly_and_before_the_end)
{
	static struct json_object *all[5 * MANY];
	size_t number, total;
	bool ended = false;
	char missing[80];

	cr_assert_eq(watch(open_many, NULL), 0);
	cr_assert_eq(opens("file.path", first_path, "success", &number), MANY);
	cr_assert_lt(number, MANY / 20, "%zu documents", number); /* one a window: an emulated machine takes many */
	snprintf(missing, sizeof(missing), "%s/missing", directory);
	cr_assert_eq(opens("file.path", missing, "failure", &number), MANY);
	cr_assert_lt(number, MANY / 20, "%zu documents", number);
	cr_assert_eq(count("open", "error.code", "ENOENT"), number);

	total = documents(NULL, all, 5 * MANY);
	for (size_t i = 0; i < total; i++) {
		ended |= strcmp(at(all[i], "event.action"), "end") == 0;
		cr_assert(
			!ended || strcmp(at(all[i], "event.action"), "open") != 0, "an open behind its process's end");
	}
}

static int open_differently(void *argument)
{
	(void)argument;
	if (chdir(directory) < 0)
		return 1;
	for (int i = 0; i < 3; i++) {
		if (open_and_close(first_path, O_RDONLY) || open_and_close(first_path, O_WRONLY) ||
			open_and_close(second_path, O_RDONLY) || open_and_close("first", O_RDONLY))
			return 2;
		if (fork() == 0)
			_exit(open_and_close(first_path, O_RDONLY));
		wait(NULL);
	}
	return 0;
}

Test(kernel_repeat, what_differs_is_counted_apart)
{
	size_t number;

	cr_assert_eq(watch(open_differently, NULL), 0);
	cr_assert_eq(opens("taffrail.file.argument", "first", "success", &number), 3);
	cr_assert_geq(number, 2);
	cr_assert_eq(opens("file.path", second_path, "success", &number), 3);
	/* By its full name: to read and to write by one process, and once by each of three others. */
	cr_assert_eq(opens("taffrail.file.argument", first_path, "success", &number), 9);
	cr_assert_geq(number, 7);
	cr_assert_eq(opens("taffrail.file.flags.0", "O_WRONLY", "success", &number), 3);
}

static int replace_between(void *argument)
{
	struct stat before, after;

	(void)argument;
	for (int i = 0; i < 2; i++)
		if (open_and_close(first_path, O_RDONLY))
			return 1;
	if (stat(first_path, &before) < 0 || unlink(first_path) < 0)
		return 2;
	close(open(first_path, O_WRONLY | O_CREAT, 0644));
	for (int i = 0; i < 2; i++)
		if (open_and_close(first_path, O_RDONLY))
			return 3;
	return stat(first_path, &after) < 0;
}

Test(kernel_repeat, another_file_of_the_same_name_is_no_repeat)
{
	size_t number;

	cr_assert_eq(watch(replace_between, NULL), 0);
	cr_assert_eq(opens("file.path", first_path, "success", &number), 5);
	cr_assert_eq(opens("file.mode", "0600", "success", &number), 2);
	cr_assert_eq(opens("event.type.0", "creation", "success", &number), 1);
}

static int wait_for_the_window(void *argument)
{
	(void)argument;
	for (int i = 0; i < 10; i++)
		if (open_and_close(first_path, O_RDONLY))
			return 1;
	sleep(2);
	return 0;
}

Test(kernel_repeat, a_process_that_goes_on_is_told_after_the_window)
{
	struct json_object *found[8], *end;
	size_t number;

	cr_assert_eq(watch(wait_for_the_window, NULL), 0);
	cr_assert_eq(opens("file.path", first_path, "success", &number), 10);
	cr_assert_eq(number, 2);
	documents("open", found, 8);
	end = one("end", "process.exit_code", "0");
	/* The count came a second before the end. */
	cr_assert_str_neq(at(found[1], "taffrail.count"), "");
	cr_assert_lt(strtoul(at(found[1], "event.sequence"), NULL, 10), strtoul(at(end, "event.sequence"), NULL, 10));
	cr_assert_lt(strcmp(at(found[1], "@timestamp"), at(end, "@timestamp")), 0);
}

static void *open_in_thread(void *argument)
{
	(void)argument;
	for (int i = 0; i < MANY; i++)
		if (open_and_close(first_path, O_RDONLY))
			return first_path;
	return NULL;
}

static int open_in_threads(void *argument)
{
	pthread_t threads[4];
	void *failed;
	int result = 0;

	(void)argument;
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, open_in_thread, NULL) != 0)
			return 1;
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &failed);
		result |= failed ? 2 : 0;
	}
	return result;
}

Test(kernel_repeat, threads_that_count_at_once_lose_nothing)
{
	size_t number;

	setenv("TAFFRAIL_OWN_SENSOR", "1", 1);
	cr_assert_eq(watch(open_in_threads, NULL), 0);
	cr_assert(watch_all_told((long)opens("file.path", first_path, "success", &number), 4 * MANY));
}
