/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/watch.h"

static char folder[] = "/tmp/taffrail-watch-XXXXXX";

static const char *in_folder(const char *name)
{
	static char paths[4][256];
	static int at;
	char *path = paths[at++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(in_folder(name), "we");

	cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static uint64_t look(const char *name)
{
	const char *path = in_folder(name);

	return watch_look(&path, 1);
}

Test(watch, files_directories_and_links_have_states)
{
	uint64_t absent, first, there, within;

	cr_assert(mkdtemp(folder));
	absent = look("a");
	cr_assert_eq(look("a"), absent);
	write_file("a", "one");
	first = look("a");
	cr_assert_neq(first, absent);
	cr_assert_eq(look("a"), first);
	write_file("a", "other");
	cr_assert_neq(look("a"), first);
	mkdir(in_folder("d"), 0700);
	there = look("d");
	write_file("d/x", "x");
	within = look("d");
	cr_assert_neq(within, there);
	unlink(in_folder("d/x"));
	cr_assert_eq(look("d"), there);
	/* As a ConfigMap changes: what is watched stands behind a link that is swapped, and is the same name. */
	write_file("b", "one");
	cr_assert_eq(symlink("a", in_folder("link")), 0);
	first = look("link");
	cr_assert_eq(symlink("b", in_folder("new")), 0);
	cr_assert_eq(rename(in_folder("new"), in_folder("link")), 0);
	cr_assert_neq(look("link"), first);
}

Test(watch, a_change_counts_once_when_it_has_lasted)
{
	struct watch watch;

	watch_begin(&watch, 1);
	cr_assert_not(watch_settled(&watch, 1));
	cr_assert_not(watch_settled(&watch, 2), "it may be half written");
	cr_assert_not(watch_settled(&watch, 3));
	cr_assert(watch_settled(&watch, 3));
	cr_assert_not(watch_settled(&watch, 3));
	cr_assert_not(watch_settled(&watch, 4));
	cr_assert_not(watch_settled(&watch, 3), "it is as it was");
	cr_assert_not(watch_settled(&watch, 3));
}

static atomic_int state, loads, discards;

static uint64_t look_at_state(void *context)
{
	cr_assert_eq(context, &state);
	return (uint64_t)state;
}

static void *load(void *context)
{
	(void)context;
	loads++;
	return state == 13 ? NULL : malloc(1);
}

static void discard(void *loaded)
{
	discards++;
	free(loaded);
}

static void *wait_for(struct watcher *watcher)
{
	uint64_t until = clock_boottime_ns() + 10000000000ull;
	void *loaded;

	while (!(loaded = watcher_take(watcher)) && clock_boottime_ns() < until)
		usleep(1000);
	return loaded;
}

Test(watch, a_thread_loads_what_has_changed_and_when_it_is_told_to)
{
	const struct watcher_ops ops = {look_at_state, load, discard, &state};
	struct watcher *watcher;
	void *loaded;

	state = 1;
	cr_assert_eq(watcher_open(&watcher, &ops, 1), 0);
	cr_assert_null(watcher_take(watcher));
	watcher_hurry(watcher);
	loaded = wait_for(watcher);
	cr_assert(loaded);
	free(loaded);
	cr_assert_eq(loads, 1);
	state = 2;
	loaded = wait_for(watcher);
	cr_assert(loaded, "by itself");
	free(loaded);
	cr_assert_eq(loads, 2);
	state = 13; /* nothing comes of it */
	watcher_hurry(watcher);
	while (loads < 3)
		usleep(1000);
	cr_assert_null(watcher_take(watcher));
	state = 3;
	watcher_hurry(watcher);
	while (loads < 4)
		usleep(1000);
	watcher_hurry(watcher);
	while (loads < 5)
		usleep(1000);
	watcher_close(watcher);
	cr_assert_eq(discards, 2, "the one that a newer one replaced, and the one that nobody took");
	watcher_close(NULL);
}
