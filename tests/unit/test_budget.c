/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "event/ecs.h"
#include "event/wire.h"
#include "sensor/budget.h"

static const uint64_t second = 1000000000;

/* A window of one second in which so many thousandths of a CPU were used. */
static bool pass(struct budget *budget, uint64_t *now_ns, uint64_t *cpu_ns, uint64_t millicpu)
{
	*now_ns += second;
	*cpu_ns += millicpu * 1000000;
	return budget_look(budget, *cpu_ns, *now_ns);
}

Test(budget, over_it_a_step_each_window_and_no_further_than_the_last)
{
	uint64_t now_ns = 5 * second, cpu_ns = 7;
	struct budget budget;

	budget_open(&budget, 50, second, cpu_ns, now_ns);
	cr_assert_not(budget_look(&budget, cpu_ns + second, now_ns + second - 1), "no window is over");
	for (unsigned int step = 1; step <= BUDGET_STEPS; step++) {
		cr_assert(pass(&budget, &now_ns, &cpu_ns, 80));
		cr_assert_eq(budget.step, step);
		cr_assert_eq(budget.used_millicpu, 80);
	}
	cr_assert_not(pass(&budget, &now_ns, &cpu_ns, 80));
	cr_assert_eq(budget.step, BUDGET_STEPS);
	cr_assert_eq(budget.changes, BUDGET_STEPS);
}

Test(budget, back_only_after_calm_and_later_each_time_that_it_led_nowhere)
{
	uint64_t now_ns = 0, cpu_ns = 0;
	struct budget budget;

	budget_open(&budget, 100, second, 0, 0);
	pass(&budget, &now_ns, &cpu_ns, 200);
	cr_assert_eq(budget.step, 1);
	for (int i = 0; i < 20; i++)
		cr_assert_not(pass(&budget, &now_ns, &cpu_ns, 90), "it is near it, and stays");
	for (unsigned int needed = BUDGET_CALM; needed <= BUDGET_CALM_MAX; needed *= 2) {
		for (unsigned int i = 1; i < needed; i++)
			cr_assert_not(pass(&budget, &now_ns, &cpu_ns, 10), "%u of %u", i, needed);
		cr_assert(pass(&budget, &now_ns, &cpu_ns, 10));
		cr_assert_eq(budget.step, 0);
		cr_assert(pass(&budget, &now_ns, &cpu_ns, 200));
		cr_assert_eq(budget.step, 1);
	}
	cr_assert_eq(budget.needed, BUDGET_CALM_MAX);
	for (int i = 0; i < 2 * BUDGET_CALM_MAX; i++)
		pass(&budget, &now_ns, &cpu_ns, 10);
	cr_assert_eq(budget.step, 0);
	cr_assert_eq(budget.needed, BUDGET_CALM, "it is over");
}

Test(budget, without_one_nothing_is_left_out)
{
	uint64_t now_ns = 0, cpu_ns = 0;
	struct budget budget;

	budget_open(&budget, 0, second, 0, 0);
	cr_assert_not(budget_due(&budget, 100 * second), "nobody has to read what was used");
	for (int i = 0; i < 10; i++)
		cr_assert_not(pass(&budget, &now_ns, &cpu_ns, 5000));
	cr_assert_eq(budget.step, 0);
}

Test(budget, each_step_leaves_out_what_the_one_before_does)
{
	cr_assert(budget_measure(0)->samples && !budget_measure(0)->reads && !budget_measure(0)->others);
	for (unsigned int step = 1; step <= BUDGET_STEPS; step++) {
		const struct budget_measure *before = budget_measure(step - 1), *here = budget_measure(step);

		cr_assert(here->samples <= before->samples && here->reads >= before->reads &&
			  here->others >= before->others);
		cr_assert(here->samples != before->samples || here->reads > before->reads ||
			  here->others > before->others);
	}
}

Test(budget, its_record_travels_and_is_shown)
{
	const struct event_host host = {.id = TEXT_LITERAL("h")};
	struct event event = {.action = EVENT_BUDGET, .sequence = 1, .count = 1, .host = &host};
	struct wire_events read;
	struct wire_batch *batch;
	struct buffer *up, out = {0};
	char why[WIRE_WHY_SIZE];

	event.budget = (struct event_budget){2, 1, 81, 50, text_of(budget_measure(2)->what), 1000000000, 3000000000};
	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_add(batch, &event);
	up = wire_batch_finish(batch, &host, 1, 1);
	cr_assert_eq(wire_read(&read, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why), 0, "%s", why);
	ecs_write(&out, &read.events[0]);
	buffer_append(&out, "", 1);
	cr_assert(strstr(out.data, "\"budget\":{\"step\":2,\"before\":1,\"used_millicpu\":81,\"limit_millicpu\":50,"
				   "\"measure\":\"besides, of opens that only read 1 of 8 is told\"}"),
		"%s", out.data);
	cr_assert(strstr(out.data, "\"start\":\"1970-01-01T00:00:01"), "%s", out.data);
	wire_free(&read);
	wire_bytes_free(up);
	wire_batch_close(batch);
	buffer_free(&out);
}

Test(budget, words)
{
	static const char *const wrong[] = {
		"", "5", "%", "m", "-5%", "0%", "0.5m", "5%%", "5 %", "1e9m", "0x5%", "nan%", "inf%", "2000000m"};
	uint32_t millicpu;

	cr_assert(budget_parse("5%", &millicpu) && millicpu == 50);
	cr_assert(budget_parse("0.1%", &millicpu) && millicpu == 1);
	cr_assert(budget_parse("250m", &millicpu) && millicpu == 250);
	cr_assert(budget_parse("150%", &millicpu) && millicpu == 1500);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_not(budget_parse(wrong[i], &millicpu), "%s", wrong[i]);
}
