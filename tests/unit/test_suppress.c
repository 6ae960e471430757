/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "sensor/suppress.h"

enum { LIMIT = 3 };
#define SECOND 1000000000ull
#define WINDOW (60 * SECOND)

static struct suppress *suppress;
static uint64_t held, held_calls;
static const uint8_t one[EVENT_CONTAINER_ID_SIZE] = {1}, other[EVENT_CONTAINER_ID_SIZE] = {2};
static const struct event_rule shell = {.name = TEXT_STATIC("Shell"), .priority = TEXT_STATIC("Warning")};
static const struct event_rule scan = {.name = TEXT_STATIC("Scan"), .priority = TEXT_STATIC("Notice")};

static void on_held(void *context, const struct suppress_held *what)
{
	(void)context;
	cr_assert(text_equal(what->rule, shell.name) || text_equal(what->rule, scan.name));
	cr_assert_leq(what->first_ns, what->last_ns);
	held += what->count;
	held_calls++;
}

static void open_it(void)
{
	const struct suppress_limit limit = {LIMIT, WINDOW};
	const struct suppress_ops ops = {on_held, NULL};

	held = held_calls = 0;
	cr_assert_eq(suppress_open(&suppress, &limit, &ops), 0);
}

static void close_it(void)
{
	suppress_close(suppress);
}

/* How many of `count` findings are told, and in `*before` what they say of those before. */
static int told(const uint8_t *id, const struct event_rule *rule, int count, uint64_t now_ns, uint64_t *before)
{
	int number = 0;

	*before = 0;
	for (int i = 0; i < count; i++) {
		uint64_t more;

		if (suppress_allows(suppress, id, rule, now_ns, &more)) {
			number++;
			*before += more;
		}
	}
	return number;
}

Test(suppress, each_rule_has_its_limit_in_each_container, .init = open_it, .fini = close_it)
{
	uint64_t before;

	cr_assert_eq(told(one, &shell, 10, SECOND, &before), LIMIT);
	cr_assert_eq(told(other, &shell, 2, SECOND, &before), 2);
	cr_assert_eq(told(one, &scan, 10, SECOND, &before), LIMIT);
	cr_assert_eq(told(NULL, &shell, 10, SECOND, &before), LIMIT);
	cr_assert_eq(before, 0);
}

Test(suppress, the_next_that_is_told_says_how_many_were_not, .init = open_it, .fini = close_it)
{
	uint64_t before;

	told(one, &shell, 10, SECOND, &before);
	cr_assert_eq(told(one, &shell, 5, WINDOW, &before), 0, "the window began at the first");
	cr_assert_eq(told(one, &shell, 10, SECOND + WINDOW, &before), LIMIT);
	cr_assert_eq(before, 10 - LIMIT + 5);
	suppress_expire(suppress, UINT64_MAX);
	cr_assert_eq(held, 10 - LIMIT);
}

Test(suppress, what_nothing_follows_is_told_when_the_window_is_over, .init = open_it, .fini = close_it)
{
	uint64_t before;

	told(one, &shell, 10, SECOND, &before);
	told(other, &shell, LIMIT, SECOND, &before);
	suppress_expire(suppress, WINDOW);
	cr_assert_eq(held_calls, 0);
	suppress_expire(suppress, SECOND + WINDOW);
	cr_assert_eq(held_calls, 1, "of what was not held back there is nothing to tell");
	cr_assert_eq(held, 10 - LIMIT);
}

Test(suppress, who_makes_room_is_told_of, .init = open_it, .fini = close_it)
{
	uint8_t id[EVENT_CONTAINER_ID_SIZE] = {0};
	uint64_t before, all = 0, out = 0;

	for (unsigned int i = 0; i < 2 * SUPPRESS_MAX; i++) {
		memcpy(id, &i, sizeof(i));
		all += 5;
		out += (uint64_t)told(id, &shell, 5, SECOND, &before);
	}
	cr_assert_eq(held_calls, SUPPRESS_MAX);
	suppress_expire(suppress, UINT64_MAX);
	cr_assert_eq(out + held, all, "%lu told and %lu held back are not %lu", out, held, all);
}

Test(suppress, no_limit)
{
	const struct suppress_limit limit = {0};
	const struct suppress_ops ops = {on_held, NULL};
	uint64_t before;

	cr_assert_eq(suppress_open(&suppress, &limit, &ops), 0);
	cr_assert_eq(told(one, &shell, 1000, SECOND, &before), 1000);
	suppress_close(suppress);
	suppress_close(NULL);
}
