/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sensor/container.h"

static const uint64_t second = 1000ull * 1000 * 1000;
static const uint64_t start = 5000000ull * 1000 * 1000 * 1000; /* a machine that has been up for two months */

struct left {
	uintptr_t item;
	uint8_t container;
	bool pending;
	char name[24];
};

static struct {
	struct container_table *table;
	struct left left[200000];
	size_t left_count;
	uint8_t asked[20000][EVENT_CONTAINER_ID_SIZE];
	size_t asked_count;
	int refuse;
	size_t named, forgotten, completed; /* … and what had left by then */
	unsigned int forgotten_ids;
	size_t left_at_named, left_at_forgotten, left_at_completed;
	char told[16];
} world;

static int ask(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	cr_assert_eq(context, &world);
	if (world.refuse)
		return world.refuse;
	memcpy(world.asked[world.asked_count++], id, EVENT_CONTAINER_ID_SIZE);
	return 0;
}

static void note(void *context, void *item, const struct event_container *names, bool pending)
{
	struct left *left = &world.left[world.left_count++];

	cr_assert_eq(context, &world);
	cr_assert_not_null(names);
	left->item = (uintptr_t)item;
	left->container = names->id[0];
	left->pending = pending;
	snprintf(left->name, sizeof(left->name), "%.*s", (int)names->name.length,
		names->name.data ? names->name.data : "");
}

static void named(void *context, const struct event_container *names)
{
	cr_assert_eq(context, &world);
	world.named++;
	world.left_at_named = world.left_count;
	snprintf(world.told, sizeof(world.told), "%.*s", (int)names->name.length, names->name.data);
}

static void forgotten(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	cr_assert_eq(context, &world);
	world.forgotten_ids += id[0];
	world.forgotten++;
	world.left_at_forgotten = world.left_count;
}

static void completed(void *context, const struct event_container *names)
{
	(void)context;
	cr_assert_gt(names->name.length, 0);
	world.completed++;
	world.left_at_completed = world.left_count;
}

static void open_world(void)
{
	const struct container_ops ops = {ask, note, &world, named, forgotten, completed};

	memset(&world, 0, sizeof(world));
	cr_assert_eq(container_open(&world.table, &ops), 0);
}

static const uint8_t *id_of(unsigned int number)
{
	static uint8_t id[EVENT_CONTAINER_ID_SIZE];

	memset(id, 0, sizeof(id));
	id[0] = (uint8_t)number;
	memcpy(id + 8, &number, sizeof(number));
	return id;
}

static struct container *find(unsigned int number, enum container_state expected)
{
	const struct event_container *names;
	enum container_state state;
	struct container *container = container_find(world.table, id_of(number), &state, &names);

	cr_assert_not_null(container);
	cr_assert_eq(state, expected, "state %d of container %u, not %d", state, number, expected);
	cr_assert_arr_eq(names->id, id_of(number), EVENT_CONTAINER_ID_SIZE);
	return container;
}

static void wait_for(unsigned int number, uintptr_t item, uint64_t now_ns)
{
	struct container *container = find(number, CONTAINER_WAITING);

	cr_assert_eq(container_wait(container, (void *)item, 100, CONTAINER_WAIT_NS, now_ns), 0);
}

static void answer(unsigned int number, const char *name, enum container_standing standing, uint64_t now_ns)
{
	struct event_container view = {.name = text_of(name)};

	memcpy(view.id, id_of(number), sizeof(view.id));
	container_answer(world.table, container_meta_make(&view, standing), now_ns);
}

static void expect_left(size_t index, uintptr_t item, bool pending, const char *name)
{
	cr_assert_lt(index, world.left_count, "only %zu have left", world.left_count);
	cr_assert_eq(world.left[index].item, item, "item %zu is %zu, not %zu", index, (size_t)world.left[index].item,
		(size_t)item);
	cr_assert_eq(world.left[index].pending, pending, "item %zu", (size_t)item);
	cr_assert_str_eq(world.left[index].name, name);
}

static struct container_counters counters(void)
{
	struct container_counters now;

	container_counters(world.table, &now);
	return now;
}

Test(container, what_waits_leaves_in_order_with_its_names)
{
	open_world();
	for (uintptr_t i = 1; i <= 500; i++)
		wait_for(1 + i % 2, i, start);
	cr_assert_eq(world.asked_count, 2, "each is asked for once");
	cr_assert_eq(container_waiting(world.table), 500);
	answer(2, "two", CONTAINER_COMPLETE, start + 1);
	cr_assert_eq(world.left_count, 250);
	for (size_t i = 0; i < 250; i++)
		expect_left(i, 2 * i + 1, false, "two");
	answer(1, "one", CONTAINER_COMPLETE, start + 2);
	for (size_t i = 0; i < 250; i++)
		expect_left(250 + i, 2 * i + 2, false, "one");
	find(1, CONTAINER_KNOWN);
	cr_assert_eq(counters().named, 500);
	cr_assert_eq(counters().waiting, 0);
	cr_assert_eq(counters().containers, 2);
	container_close(world.table);
	cr_assert_eq(world.left_count, 500);
}

Test(container, names_are_told_before_what_waits_leaves_and_the_end_after)
{
	open_world();
	wait_for(1, 10, start);
	cr_assert_eq(world.named, 0);
	answer(1, "some", CONTAINER_PARTIAL, start + 1);
	cr_assert_eq(world.named, 1);
	cr_assert_str_eq(world.told, "some");
	answer(1, "all", CONTAINER_COMPLETE, start + 2);
	cr_assert_eq(world.named, 2);
	cr_assert_eq(world.left_at_named, 0);
	cr_assert_eq(world.left_count, 1);
	answer(1, "less", CONTAINER_PARTIAL, start + 3);
	cr_assert_eq(world.named, 2, "names that were not taken");
	answer(1, "other", CONTAINER_COMPLETE, start + 4);
	cr_assert_str_eq(world.told, "other");
	wait_for(2, 20, start + 5);
	cr_assert_eq(world.forgotten, 0);
	container_close(world.table);
	cr_assert_eq(world.forgotten, 2);
	cr_assert_eq(world.forgotten_ids, 1 + 2);
	cr_assert_eq(world.left_at_forgotten, 2);
}

Test(container, at_the_deadline_all_leaves_as_pending_and_nobody_waits_any_more)
{
	open_world();
	wait_for(1, 1, start);
	wait_for(1, 2, start + second / 2);
	container_expire(world.table, start + second - 1);
	cr_assert_eq(world.left_count, 0, "the deadline has not come");
	container_expire(world.table, start + second);
	expect_left(0, 1, true, "");
	expect_left(1, 2, true, "");
	find(1, CONTAINER_PENDING);
	for (int i = 2; i < 10; i++)
		container_expire(world.table, start + (uint64_t)i * second);
	find(1, CONTAINER_PENDING);
	cr_assert_eq(world.asked_count, 1);
	cr_assert_eq(counters().pending_late, 2);
	cr_assert_eq(counters().pending_at_once, 2);
	answer(1, "late", CONTAINER_COMPLETE, start + 100 * second);
	find(1, CONTAINER_KNOWN);
	cr_assert_eq(counters().completed_late, 1);
	cr_assert_eq(world.completed, 1);
	cr_assert_eq(world.left_at_completed, world.left_count);
	cr_assert_eq(counters().late, 0);
	cr_assert_eq(counters().named, 0);
	container_close(world.table);
}

Test(container, partial_names_do_not_end_the_waiting_but_are_there_at_its_deadline)
{
	open_world();
	wait_for(1, 1, start);
	answer(1, "from its bundle", CONTAINER_PARTIAL, start + 1);
	cr_assert_eq(world.left_count, 0);
	wait_for(1, 2, start + 2);
	container_expire(world.table, start + second);
	expect_left(0, 1, true, "from its bundle");
	expect_left(1, 2, true, "from its bundle");
	container_close(world.table);
}

Test(container, a_full_queue_refuses_and_what_waited_leaves_first)
{
	struct container *container;

	open_world();
	for (uintptr_t i = 1; i <= CONTAINER_QUEUE_MAX; i++)
		wait_for(1, i, start);
	container = find(1, CONTAINER_WAITING);
	cr_assert_eq(container_wait(container, (void *)1, 1, CONTAINER_WAIT_NS, start), -ENOBUFS);
	container_flush(container);
	cr_assert_eq(world.left_count, CONTAINER_QUEUE_MAX);
	for (uintptr_t i = 1; i <= CONTAINER_QUEUE_MAX; i++)
		expect_left(i - 1, i, true, "");
	find(1, CONTAINER_PENDING);
	cr_assert_eq(counters().pending_full, CONTAINER_QUEUE_MAX);
	wait_for(2, 1, start); /* another one's queue is its own */
	container_close(world.table);
}

Test(container, bytes_are_bounded_for_each_and_for_all)
{
	const size_t big = CONTAINER_QUEUE_BYTES / 2;
	size_t taken = 0;
	unsigned int number = 1;

	open_world();
	cr_assert_eq(container_wait(find(1, CONTAINER_WAITING), (void *)1, big, CONTAINER_WAIT_NS, start), 0);
	cr_assert_eq(container_wait(find(1, CONTAINER_WAITING), (void *)2, big, CONTAINER_WAIT_NS, start), 0);
	cr_assert_eq(container_wait(find(1, CONTAINER_WAITING), (void *)3, 1, CONTAINER_WAIT_NS, start), -ENOBUFS);
	cr_assert_eq(
		container_wait(find(1, CONTAINER_WAITING), (void *)3, SIZE_MAX, CONTAINER_WAIT_NS, start), -ENOBUFS);
	for (taken = 2 * big;
		container_wait(find(++number, CONTAINER_WAITING), (void *)4, big, CONTAINER_WAIT_NS, start) == 0;
		taken += big)
		cr_assert_leq(taken, CONTAINER_WAITING_BYTES);
	cr_assert_eq(taken, CONTAINER_WAITING_BYTES);
	answer(1, "one", CONTAINER_COMPLETE, start);
	cr_assert_eq(container_wait(find(number, CONTAINER_WAITING), (void *)5, big, CONTAINER_WAIT_NS, start), 0,
		"what has left gives room");
	container_close(world.table);
}

Test(container, a_runtime_that_is_not_there_keeps_nobody)
{
	open_world();
	wait_for(1, 1, start);
	wait_for(2, 2, start);
	answer(1, "", CONTAINER_ALONE, start);
	expect_left(0, 1, false, "");
	find(1, CONTAINER_KNOWN);
	answer(2, "of its bundle", CONTAINER_ABANDONED, start);
	expect_left(1, 2, true, "of its bundle");
	find(2, CONTAINER_PENDING);
	answer(2, "whole", CONTAINER_COMPLETE, start);
	find(2, CONTAINER_KNOWN);
	container_close(world.table);
}

Test(container, complete_names_are_not_taken_back_by_lesser_ones)
{
	const struct event_container *names;
	enum container_state state;

	open_world();
	answer(1, "whole", CONTAINER_COMPLETE, start);
	answer(1, "half", CONTAINER_PARTIAL, start);
	answer(1, "", CONTAINER_ABANDONED, start);
	answer(1, "", CONTAINER_ALONE, start);
	container_find(world.table, id_of(1), &state, &names);
	cr_assert_eq(state, CONTAINER_KNOWN);
	cr_assert(text_equal(names->name, TEXT_LITERAL("whole")));
	answer(1, "renamed", CONTAINER_COMPLETE, start);
	container_find(world.table, id_of(1), &state, &names);
	cr_assert(text_equal(names->name, TEXT_LITERAL("renamed")));
	cr_assert_eq(world.asked_count, 0, "nobody had to ask");
	container_close(world.table);
}

Test(container, who_could_not_be_asked_is_asked_again)
{
	open_world();
	world.refuse = -EAGAIN;
	wait_for(1, 1, start);
	wait_for(1, 2, start);
	cr_assert_eq(world.asked_count, 0);
	world.refuse = 0;
	find(1, CONTAINER_WAITING);
	cr_assert_eq(world.asked_count, 1);
	find(1, CONTAINER_WAITING);
	cr_assert_eq(world.asked_count, 1);
	container_close(world.table);
}

Test(container, one_not_met_for_long_is_forgotten_and_one_just_met_is_not)
{
	open_world();
	/* Before anything else told the table what time it is. */
	wait_for(1, 1, start);
	container_expire(world.table, start + second);
	cr_assert_eq(world.left_count, 1);
	container_expire(world.table, start + 2 * second);
	cr_assert_eq(counters().containers, 1, "met two seconds ago");
	find(1, CONTAINER_PENDING);
	container_expire(world.table, start + CONTAINER_KEEP_NS);
	cr_assert_eq(counters().containers, 1);
	find(1, CONTAINER_PENDING);
	container_expire(world.table, start + CONTAINER_KEEP_NS + CONTAINER_KEEP_NS - 1);
	cr_assert_eq(counters().containers, 1);
	container_expire(world.table, start + CONTAINER_KEEP_NS + CONTAINER_KEEP_NS);
	cr_assert_eq(counters().containers, 0);
	find(1, CONTAINER_WAITING);
	cr_assert_eq(world.asked_count, 2);
	container_close(world.table);
}

Test(container, the_table_is_bounded_and_rather_forgets_who_does_not_wait)
{
	open_world();
	wait_for(7, 1, start);
	for (unsigned int i = 0; i < 2 * CONTAINER_MAX; i++)
		answer(100 + i, "x", CONTAINER_COMPLETE, start + i);
	cr_assert_eq(counters().containers, CONTAINER_MAX);
	cr_assert_eq(counters().evicted, CONTAINER_MAX + 1);
	cr_assert_eq(world.left_count, 0, "the one that waits is still there");
	find(100 + 2 * CONTAINER_MAX - 1, CONTAINER_KNOWN);
	find(7, CONTAINER_WAITING);
	container_close(world.table);
	expect_left(0, 1, true, "");
}

Test(container, when_all_wait_the_oldest_leaves_as_pending_and_nothing_is_lost)
{
	open_world();
	for (unsigned int i = 0; i < CONTAINER_MAX + 10; i++)
		wait_for(i, i + 1, start);
	cr_assert_eq(world.left_count, 10);
	for (size_t i = 0; i < 10; i++)
		expect_left(i, i + 1, true, "");
	container_expire(world.table, UINT64_MAX);
	cr_assert_eq(world.left_count, CONTAINER_MAX + 10);
	cr_assert_eq(container_waiting(world.table), 0);
	container_close(world.table);
	container_close(NULL);
}

/* Random doings against the promise: each item leaves exactly once, in its container's order. */
Test(container, whatever_happens_each_item_leaves_once_and_in_order)
{
	static uintptr_t last[256];
	static bool seen[100001];
	uint64_t now = start;
	size_t sent = 0;

	open_world();
	srand(11);
	for (uintptr_t item = 1; item <= 100000; item++) {
		const struct event_container *names;
		enum container_state state;
		unsigned int number = (unsigned int)(rand() % 40);
		struct container *container = container_find(world.table, id_of(number), &state, &names);

		now += (uint64_t)(rand() % 1000) * 10000;
		if (state != CONTAINER_WAITING ||
			container_wait(container, (void *)item, (size_t)rand() % 4000, CONTAINER_WAIT_NS, now) < 0) {
			if (state == CONTAINER_WAITING) {
				container_flush(container);
				container_find(world.table, id_of(number), &state, &names);
				cr_assert_eq(state, CONTAINER_PENDING);
			}
			note(&world, (void *)item, names, state == CONTAINER_PENDING);
		}
		switch (rand() % 300) {
		case 0: answer((unsigned int)(rand() % 40), "x", CONTAINER_COMPLETE, now); break;
		case 1: answer((unsigned int)(rand() % 40), "y", rand() % 4, now); break;
		case 2: container_expire(world.table, now); break;
		case 3:
			if (rand() % 10 == 0)
				container_expire(world.table, now += CONTAINER_KEEP_NS);
			break;
		default: break;
		}
		world.refuse = rand() % 50 ? 0 : -EAGAIN;
		world.asked_count = 0;
	}
	container_close(world.table);
	sent = world.left_count;
	cr_assert_eq(sent, 100000);
	for (size_t i = 0; i < sent; i++) {
		cr_assert_not(seen[world.left[i].item]);
		seen[world.left[i].item] = true;
		cr_assert_gt(world.left[i].item, last[world.left[i].container], "out of order");
		last[world.left[i].container] = world.left[i].item;
	}
}
