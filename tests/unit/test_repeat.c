/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "sensor/repeat.h"

enum { OPENS = 1000 };

static const uint64_t second = 1000ull * 1000 * 1000;

static struct event_process image;
static int holds;
static uint64_t taken, sent, ended;
static uint32_t last_count;

static uint64_t take(void *context, uint64_t number)
{
	(void)context;
	(void)number;
	taken++;
	return 3;
}

static void send(void *context, const struct record *record, const struct event_process *of)
{
	(void)context;
	cr_assert_eq(of, &image);
	if (record->header->kind == KERNEL_EXIT) {
		ended++;
		return;
	}
	sent++;
	last_count = record->open->count;
}

static const struct event_process *hold(const struct event_process *of)
{
	holds++;
	return of;
}

static void release(const struct event_process *of)
{
	if (of)
		holds--;
}

static struct repeat_table *opened(void)
{
	const struct repeat_ops ops = {take, send, hold, release, NULL};
	struct repeat_table *table;

	cr_assert_eq(repeat_open(&table, &ops, second), 0);
	return table;
}

static void closed(struct repeat_table *table)
{
	repeat_close(table);
	cr_assert_eq(holds, 0);
}

static void begin(struct repeat_table *table, uint64_t number, uint32_t tgid, uint64_t time_ns)
{
	struct kernel_open open = {.repeat = number, .count = 1};
	struct record record = {.open = &open};

	open.header = (struct kernel_header){
		.kind = KERNEL_OPEN, .size = sizeof(open), .time_ns = time_ns, .tgid = tgid, .start_ns = 1};
	repeat_begin(table, &record, &image);
}

static void end(struct repeat_table *table, uint32_t tgid, uint64_t time_ns)
{
	struct kernel_exit exit = {
		.header = {.kind = KERNEL_EXIT, .size = sizeof(exit), .time_ns = time_ns, .tgid = tgid, .start_ns = 1}};
	struct record record = {.exit = &exit};

	repeat_end(table, &record, &image);
}

Test(repeat, counts_leave_after_their_window_and_at_most_so_many_at_once)
{
	struct repeat_table *table = opened();

	for (uint64_t i = 1; i <= OPENS; i++)
		begin(table, i << KERNEL_REPEAT_SHIFT, 7, i);
	cr_assert_not(repeat_due(table, second));
	repeat_expire(table, second, OPENS);
	cr_assert_eq(sent, 0);
	cr_assert(repeat_due(table, 2 * second));
	repeat_expire(table, 2 * second, OPENS / 4);
	cr_assert_eq(sent, OPENS / 4);
	cr_assert_eq(last_count, 3);
	cr_assert(repeat_due(table, 2 * second));
	repeat_expire(table, 2 * second, OPENS);
	cr_assert_eq(sent, OPENS);
	cr_assert_not(repeat_due(table, UINT64_MAX));
	cr_assert_eq(taken, OPENS);
	closed(table);
}

Test(repeat, an_end_waits_for_its_own_opens_alone)
{
	struct repeat_table *table = opened();

	begin(table, 1ull << KERNEL_REPEAT_SHIFT, 7, 10);
	begin(table, 2ull << KERNEL_REPEAT_SHIFT, 8, 10);
	end(table, 7, 20);
	cr_assert(repeat_holds(table));
	repeat_ends(table, 19);
	cr_assert_eq(ended, 0);
	repeat_ends(table, 20);
	cr_assert_eq(ended, 1);
	cr_assert_eq(sent, 1, "the other process's open goes on being counted");
	cr_assert_eq(repeat_count(table), 1);
	closed(table);
}

Test(repeat, nothing_stays_behind_at_the_last)
{
	struct repeat_table *table = opened();

	begin(table, 1ull << KERNEL_REPEAT_SHIFT, 7, 10);
	begin(table, 2ull << KERNEL_REPEAT_SHIFT, 8, 10);
	end(table, 8, 30);
	repeat_finish(table, 40);
	cr_assert_eq(sent, 2);
	cr_assert_eq(ended, 1);
	cr_assert_eq(repeat_count(table), 0);
	cr_assert_eq(holds, 0);
	closed(table);
}

Test(repeat, two_claims_of_one_number_are_one)
{
	struct repeat_table *table = opened();

	begin(table, 1ull << KERNEL_REPEAT_SHIFT, 7, 10);
	begin(table, 1ull << KERNEL_REPEAT_SHIFT, 7, 11);
	cr_assert_eq(repeat_count(table), 1);
	repeat_finish(table, 40);
	cr_assert_eq(taken, 1);
	closed(table);
}
