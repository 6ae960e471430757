/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "sensor/loss.h"

static const uint64_t second = 1000ull * 1000 * 1000;

static struct event_lost reports[16];
static size_t report_count;

static void report(void *context, const struct event_lost *lost)
{
	(void)context;
	reports[report_count++] = *lost;
}

static void see(struct loss *loss, uint16_t cpu, enum kernel_ring ring, uint64_t sequence, uint64_t time_ns)
{
	struct kernel_header header = {.cpu = cpu, .ring = (uint8_t)ring, .sequence = sequence, .time_ns = time_ns};

	cr_assert_eq(loss_seen(loss, &header), cpu < 2 || cpu == 1 << KERNEL_LANE_SHIFT);
}

static struct loss *opened(void)
{
	struct loss *loss;

	report_count = 0;
	cr_assert_eq(loss_open(&loss, 2, 1), 0);
	return loss;
}

Test(loss, nothing_lost_is_nothing_said)
{
	struct loss *loss = opened();

	for (uint64_t i = 1; i <= 100; i++)
		see(loss, i % 2, KERNEL_RING_BULK, (i + 1) / 2, i);
	loss_declare(loss, NULL, 100 * second, true, report, NULL);
	cr_assert_eq(report_count, 0);
	loss_close(loss);
}

Test(loss, a_gap_is_declared_once_exactly_and_after_its_grace)
{
	struct loss *loss = opened();

	see(loss, 1, KERNEL_RING_BULK, 1, 10);
	see(loss, 1, KERNEL_RING_BULK, 7, 20);
	loss_declare(loss, NULL, second / 2, false, report, NULL);
	cr_assert_eq(report_count, 0, "too early: the records may still come");
	loss_declare(loss, NULL, 2 * second, false, report, NULL);
	cr_assert_eq(report_count, 1);
	cr_assert_eq(reports[0].count, 5);
	cr_assert_eq(reports[0].first, 2);
	cr_assert_eq(reports[0].last, 6);
	cr_assert_eq(reports[0].cpu, 1);
	cr_assert_eq(reports[0].start_ns, 10);
	cr_assert_eq(reports[0].end_ns, 20);
	cr_assert(text_equal(reports[0].stage, TEXT_LITERAL("ring-bulk")));
	loss_declare(loss, NULL, 9 * second, true, report, NULL);
	cr_assert_eq(report_count, 1, "told twice");
	loss_close(loss);
}

Test(loss, a_record_that_comes_late_was_not_lost)
{
	struct loss *loss = opened();

	see(loss, 0, KERNEL_RING_CRITICAL, 2, 5); /* interrupted 1 between its number and its record */
	see(loss, 0, KERNEL_RING_CRITICAL, 1, 4);
	see(loss, 0, KERNEL_RING_CRITICAL, 6, 8);
	see(loss, 0, KERNEL_RING_CRITICAL, 4, 7);
	loss_declare(loss, NULL, 0, true, report, NULL);
	cr_assert_eq(report_count, 1);
	cr_assert_eq(reports[0].count, 2, "3 and 5 are missing, 4 came");
	cr_assert_eq(loss_total(loss, KERNEL_RING_CRITICAL), 2);
	loss_close(loss);
}

Test(loss, what_the_kernel_counted_and_never_came_is_lost_too)
{
	struct loss *loss = opened();
	struct kernel_counters counters[2] = {{.sequence = {0, 9}}, {.sequence = {0, 0}}};

	counters[0].lost[KERNEL_OPEN] = 4;
	for (uint64_t i = 1; i <= 5; i++)
		see(loss, 0, KERNEL_RING_BULK, i, i);
	loss_declare(loss, counters, 10, true, report, NULL);
	cr_assert_eq(report_count, 1);
	cr_assert_eq(reports[0].count, 4);
	cr_assert_eq(reports[0].first, 6);
	cr_assert_eq(reports[0].last, 9);
	cr_assert_eq(reports[0].kinds, 1ull << EVENT_OPEN);
	loss_close(loss);
}

Test(loss, many_gaps_are_summed_without_losing_count)
{
	struct loss *loss = opened();
	uint64_t sequence = 0, lost = 0;

	for (int i = 0; i < 500; i++) {
		sequence += 1 + (uint64_t)i % 3;
		lost += (uint64_t)i % 3;
		see(loss, 0, KERNEL_RING_BULK, sequence, sequence);
	}
	loss_declare(loss, NULL, second, true, report, NULL);
	cr_assert_eq(report_count, 1);
	cr_assert_eq(reports[0].count, lost);
	loss_close(loss);
}

Test(loss, a_cpu_beyond_those_there_are_is_not_trusted)
{
	struct loss *loss = opened();

	see(loss, 2, KERNEL_RING_BULK, 77, 1);
	loss_declare(loss, NULL, 0, true, report, NULL);
	cr_assert_eq(report_count, 0);
	loss_close(loss);
}

Test(loss, lanes_of_one_cpu_have_numbers_of_their_own)
{
	struct kernel_counters counters[4] = {{.sequence = {2, 0}}, {.sequence = {0, 0}}, {.sequence = {3, 0}}};
	const uint16_t second_lane = 1 << KERNEL_LANE_SHIFT;
	struct loss *loss;

	report_count = 0;
	cr_assert_eq(loss_open(&loss, 2, 2), 0);
	see(loss, 0, KERNEL_RING_CRITICAL, 1, 1);
	see(loss, second_lane, KERNEL_RING_CRITICAL, 1, 1);
	see(loss, 0, KERNEL_RING_CRITICAL, 2, 2);
	see(loss, second_lane, KERNEL_RING_CRITICAL, 3, 3);
	see(loss, 2 << KERNEL_LANE_SHIFT, KERNEL_RING_CRITICAL, 9, 9); /* there is no such lane */
	loss_declare(loss, counters, 10, true, report, NULL);
	cr_assert_eq(report_count, 1);
	cr_assert_eq(reports[0].count, 1);
	cr_assert_eq(reports[0].first, 2);
	cr_assert_eq(reports[0].last, 2);
	cr_assert_eq(reports[0].cpu, second_lane);
	loss_close(loss);
}

Test(loss, the_books_know_what_is_not_declared_yet)
{
	struct kernel_counters counters[2] = {{.sequence = {0, 9}, .lost_repeats = 3}, {.sequence = {0, 0}}};
	struct loss *loss = opened();

	see(loss, 0, KERNEL_RING_BULK, 1, 1);
	see(loss, 0, KERNEL_RING_BULK, 5, 2);
	cr_assert(loss_known(loss) == 5 && loss_undeclared(loss) == 3);
	see(loss, 0, KERNEL_RING_BULK, 3, 1);
	cr_assert(loss_known(loss) == 5 && loss_undeclared(loss) == 2, "it came late");
	loss_declare(loss, counters, 2 * second, false, report, NULL);
	cr_assert(report_count == 1 && reports[0].count == 2 + 3, "%llu", (unsigned long long)reports[0].count);
	cr_assert(loss_known(loss) == 9 + 3 && loss_undeclared(loss) == 4, "what the counters tell of is new");
	see(loss, 0, KERNEL_RING_BULK, 4, 1);
	cr_assert(loss_known(loss) == 9 + 3 + 1 && loss_late(loss) == 1, "4 was declared lost: it counts as come, too");
	loss_declare(loss, counters, 2 * second, true, report, NULL);
	cr_assert(report_count == 2 && loss_undeclared(loss) == 0);
	cr_assert_eq(reports[0].count + reports[1].count + 4, loss_known(loss), "1, 3, 4 and 5 came");
	loss_close(loss);
}
