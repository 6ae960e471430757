/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "test_capture.h"

static char text[1 << 16];

Test(log, lines_say_who_and_how_urgent)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	log_open("taffrail-test", LOG_INFO);
	log_error("%s %d", "broken", 7);
	log_warning("odd");
	log_info("ready");
	log_debug("not wanted");
	log_at("/etc/x.yaml", 12, "no key %s", "a");
	log_at("x", 0, "early");
	cr_assert_str_eq(capture_end(&capture, text, sizeof(text)),
		"taffrail-test: error: broken 7\ntaffrail-test: warning: odd\ntaffrail-test: ready\n"
		"/etc/x.yaml:12: no key a\nx:1: early\n");
}

Test(log, debug_shows_only_where_it_is_wanted)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	log_open("t", LOG_DEBUG);
	log_debug("here");
	log_open("t", LOG_ERROR);
	log_warning("no");
	log_info("no");
	log_error("yes");
	cr_assert_str_eq(capture_end(&capture, text, sizeof(text)), "t: debug: here\nt: error: yes\n");
}

Test(log, a_line_too_long_is_cut_and_shows_it)
{
	static char word[8000];
	struct capture capture;

	memset(word, 'x', sizeof(word) - 1);
	for (size_t length = 4070; length <= sizeof(word) - 1; length = length < 4110 ? length + 1 : length + 1971) {
		size_t got;

		capture = capture_begin(STDERR_FILENO);
		log_info("%.*s", (int)length, word);
		got = strlen(capture_end(&capture, text, sizeof(text)));
		cr_assert_leq(got, 4096);
		cr_assert_eq(text[got - 1], '\n');
		cr_assert_eq(strchr(text, '\n'), text + got - 1, "one line");
		cr_assert(
			got == length + strlen("taffrail: \n") || strcmp(text + got - 4, "...\n") == 0, "%zu", length);
	}
	capture = capture_begin(STDERR_FILENO);
	log_at(word, 1, "%s", word);
	cr_assert_eq(strlen(capture_end(&capture, text, sizeof(text))), 4096);
}

static void limited(int i)
{
	log_limited("it happened, %d of %d%%", i, 100);
}

Test(log, what_comes_often_is_said_once_a_second_with_the_number_held_back)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	struct log_limit limit = {0};
	uint64_t start = clock_boottime_ns();

	for (int i = 0; i < 1000; i++)
		log_limited_at(&limit, "at %d", i);
	cr_assert_lt(clock_boottime_ns() - start, 900000000ull, "the machine is too slow for this test");
	limit.next_ns = 0; /* the second is over */
	log_limited_at(&limit, "at %d%%", 5);
	limit.next_ns = 0;
	log_limited_at(&limit, "at %d", 6);
	limited(1); /* a place of its own has a second of its own */
	limited(2);
	cr_assert_str_eq(capture_end(&capture, text, sizeof(text)),
		"taffrail: warning: at 0\ntaffrail: warning: at 5% (and 999 more like it)\ntaffrail: warning: at 6\n"
		"taffrail: warning: it happened, 1 of 100%\n");
}

static struct log_limit shared;

static void *hammer(void *unused)
{
	for (int i = 0; i < 5000; i++)
		log_limited_at(&shared, "hammered");
	return unused;
}

Test(log, threads_share_one_limit)
{
	struct capture capture = capture_begin(STDERR_FILENO);
	unsigned long held_back;
	pthread_t threads[4];
	int lines = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	held_back = shared.held_back;
	capture_end(&capture, text, sizeof(text));
	for (const char *c = text; (c = strchr(c, '\n')); c++)
		lines++;
	cr_assert_eq(lines, 1, "%s", text);
	cr_assert_eq(held_back, 4 * 5000 - 1);
}
