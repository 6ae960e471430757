/* SPDX-License-Identifier: Apache-2.0 */
/* Rules over several events: thresholds, sequences, hours; at their bounds. */
#include <unistd.h>

#include "test_rules.h"

#define RULE "- rule: r\n  desc: d\n  output: o\n  priority: info\n  condition: evt.type=connect\n"

static const uint64_t second_ns = 1000000000u;

struct watcher {
	struct rules *rules;
	struct rules_evaluator *evaluator;
	size_t count;
};

static struct watcher watch(const char *yaml)
{
	struct watcher watcher = {0};
	const char *said;

	watcher.rules = test_load(yaml, NULL, &said);
	cr_assert(watcher.rules, "%s", said);
	cr_assert_eq(rules_evaluator_open(&watcher.evaluator, watcher.rules, NULL), 0);
	return watcher;
}

static void end(struct watcher *watcher)
{
	rules_evaluator_close(watcher->evaluator);
	rules_free(watcher->rules);
}

static void seen(void *context, const struct rules_rule *rule)
{
	(void)rule;
	++*(size_t *)context;
}

/* How many rules the event meets, as if it happened at this second, by this process. */
static size_t at(
	struct watcher *watcher, const struct event *event, uint64_t time_ns, const struct event_process *process)
{
	struct event moved = *event;
	size_t count = 0;

	moved.time_ns = time_ns;
	moved.process = process;
	rules_evaluate(watcher->evaluator, &moved, seen, &count);
	return count;
}

Test(rules_windows, a_threshold_is_met_by_the_last_of_its_count)
{
	struct watcher watcher = watch(RULE "  threshold: {count: 3, within: 10s, by: [proc.name]}\n");

	cr_expect_eq(at(&watcher, &test_connect, 100 * second_ns, &test_curl), 0);
	cr_expect_eq(at(&watcher, &test_connect, 105 * second_ns, &test_curl), 0);
	cr_expect_eq(at(&watcher, &test_exec, 106 * second_ns, &test_curl), 0, "another event does not count");
	cr_expect_eq(at(&watcher, &test_connect, 110 * second_ns, &test_curl), 1, "ten seconds are within ten seconds");
	cr_expect_eq(at(&watcher, &test_connect, 110 * second_ns, &test_curl), 0, "then it begins anew");
	cr_expect_eq(at(&watcher, &test_connect, 111 * second_ns, &test_curl), 0);
	cr_expect_eq(at(&watcher, &test_connect, 120 * second_ns + 1, &test_curl), 0, "a nanosecond too late");
	cr_expect_eq(at(&watcher, &test_connect, 121 * second_ns, &test_curl), 1, "the window slides");
	end(&watcher);
}

Test(rules_windows, a_threshold_counts_each_value_by_itself)
{
	struct watcher watcher = watch(RULE "  threshold: {count: 2, within: 1m, by: [proc.name, fd.sport]}\n");

	cr_expect_eq(at(&watcher, &test_connect, second_ns, &test_curl), 0);
	cr_expect_eq(at(&watcher, &test_connect, second_ns, &test_bash), 0);
	cr_expect_eq(at(&watcher, &test_connect6, second_ns, &test_curl), 0, "another port");
	cr_expect_eq(at(&watcher, &test_connect, second_ns, NULL), 0, "no value is one, too");
	cr_expect_eq(at(&watcher, &test_connect, second_ns, NULL), 1);
	cr_expect_eq(at(&watcher, &test_connect, second_ns, &test_curl), 1);
	cr_expect_eq(at(&watcher, &test_connect, second_ns, &test_bash), 1);
	end(&watcher);
}

Test(rules_windows, a_containers_flood_makes_no_others_count_forgotten)
{
	struct watcher watcher = watch(RULE "  threshold: {count: 2, within: 1h, by: process}\n");
	struct event_container container = test_container;
	struct event_process process = test_bash;
	struct event flood = test_connect;

	container.id[0] ^= 1;
	flood.container = &container;
	cr_expect_eq(at(&watcher, &test_connect, second_ns, &test_curl), 0);
	for (uint32_t number = 1; number <= 50000; number++) {
		memcpy(process.entity, &number, sizeof(number));
		cr_assert_eq(at(&watcher, &flood, 2 * second_ns + number, &process), 0);
	}
	cr_expect_eq(at(&watcher, &test_connect, 3 * second_ns, &test_curl), 1);
	end(&watcher);
}

Test(rules_windows, keys_have_a_bound_and_what_is_forgotten_is_counted)
{
	struct watcher watcher = watch(RULE "  threshold: {count: 2, within: 1h, by: [proc.pid]}\n");
	struct rules_counters counters;
	size_t met = 0;

	for (uint32_t pid = 1; pid <= 50000; pid++) {
		struct event_process process = test_curl;

		process.pid = pid;
		cr_assert_eq(at(&watcher, &test_connect, second_ns + pid, &process), 0);
	}
	rules_evaluator_counters(watcher.evaluator, &counters);
	cr_expect_geq(counters.windows_full, 50000 - 1024);
	cr_assert_not_null(counters.windows_rule);
	cr_expect_eq(counters.windows_rule->number, 0);
	/* The last ones are still there. */
	for (uint32_t pid = 49991; pid <= 50000; pid++) {
		struct event_process process = test_curl;

		process.pid = pid;
		met += at(&watcher, &test_connect, 2 * second_ns, &process);
	}
	cr_expect_geq(met, 9, "%zu", met);
	end(&watcher);
}

Test(rules_windows, a_sequence_is_of_a_process_and_what_comes_from_it)
{
	struct event_process shell = test_bash, tool = test_curl, other = test_cron;
	struct watcher watcher = watch("- macro: begun\n  condition: evt.type=execve\n" RULE
				       "  sequence: {after: begun, within: 10s, by: process}\n");

	shell.entity[0] = 1;
	tool.entity[0] = 2;
	tool.parent = &shell;
	other.entity[0] = 3;
	cr_expect_eq(rules_calls(watcher.rules), 1ull << EVENT_CALL_CONNECT | 1ull << EVENT_CALL_EXECVE);
	cr_expect_eq(at(&watcher, &test_connect, 10 * second_ns, &tool), 0, "nothing came before");
	cr_expect_eq(at(&watcher, &test_exec, 20 * second_ns, &shell), 0);
	cr_expect_eq(at(&watcher, &test_connect, 21 * second_ns, &other), 0, "of another tree");
	cr_expect_eq(at(&watcher, &test_connect, 30 * second_ns, &tool), 1, "by a child, at the last moment");
	cr_expect_eq(at(&watcher, &test_connect, 30 * second_ns, &tool), 0, "once");
	cr_expect_eq(at(&watcher, &test_exec, 40 * second_ns, &tool), 0);
	cr_expect_eq(at(&watcher, &test_connect, 50 * second_ns + 1, &tool), 0, "too late");
	cr_expect_eq(at(&watcher, &test_exec, 60 * second_ns, &tool), 0);
	cr_expect_eq(at(&watcher, &test_connect, 61 * second_ns, &shell), 0, "a child's deed is not its parent's");
	end(&watcher);
}

Test(rules_windows, a_sequence_can_be_of_a_container)
{
	struct watcher watcher = watch(RULE "  sequence: {after: evt.type=execve, within: 10s, by: container}\n");
	struct event elsewhere = test_connect;

	elsewhere.container = NULL;
	cr_expect_eq(at(&watcher, &test_exec, second_ns, &test_curl), 0);
	cr_expect_eq(at(&watcher, &elsewhere, second_ns, &test_bash), 0);
	cr_expect_eq(at(&watcher, &test_connect, second_ns, &test_bash), 1);
	end(&watcher);
}

/* 2023-11-14 was a Tuesday. */
Test(rules_windows, hours_are_of_a_zone)
{
	static const uint64_t tuesday_ns = 1699920000ull * 1000000000u;
	struct watcher watcher = watch(RULE "  hours: {outside: \"08:00-18:00\", zone: \"+01:00\"}\n");

	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + 7 * 3600 * second_ns - 1, &test_curl), 1, "07:59:59");
	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + 7 * 3600 * second_ns, &test_curl), 0, "08:00:00");
	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + 17 * 3600 * second_ns - 1, &test_curl), 0, "17:59:59");
	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + 17 * 3600 * second_ns, &test_curl), 1, "18:00:00");
	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + (5 * 24 - 24 + 12) * 3600 * second_ns, &test_curl), 1,
		"Saturday");
	end(&watcher);
	watcher = watch(RULE "  hours: {outside: \"22:00-06:00\", days: [tue]}\n");
	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + 23 * 3600 * second_ns, &test_curl), 0, "over midnight");
	cr_expect_eq(at(&watcher, &test_connect, tuesday_ns + 12 * 3600 * second_ns, &test_curl), 1);
	end(&watcher);
}

Test(rules_windows, a_zone_has_its_summer)
{
	struct watcher watcher;
	const char *said;

	if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0)
		cr_skip_test("this machine has no time zones");
	watcher = watch(RULE "  hours: {outside: \"08:00-18:00\", days: [sun, mon, tue, wed, thu, fri, sat], zone: "
			     "Europe/Berlin}\n");
	/* 06:30 UTC: half past eight in July, half past seven in January. */
	cr_expect_eq(at(&watcher, &test_connect, 1689143400ull * 1000000000u, &test_curl), 0);
	cr_expect_eq(at(&watcher, &test_connect, 1673505000ull * 1000000000u, &test_curl), 1);
	end(&watcher);
	cr_expect_null(test_load(RULE "  hours: {outside: \"08:00-18:00\", zone: ../../etc/passwd}\n", NULL, &said));
}

Test(rules_windows, what_is_wrong_does_not_load)
{
	static const char *const wrong[] = {"threshold: {count: 0, within: 1s}", "threshold: {count: 4097, within: 1s}",
		"threshold: {count: x, within: 1s}", "threshold: {count: 1}", "threshold: {within: 1s}",
		"threshold: {count: 1, within: 1}", "threshold: {count: 1, within: 0s}",
		"threshold: {count: 1, within: 8d}", "threshold: {count: 1, within: 1s, by: [nosuch.field]}",
		"threshold: {count: 1, within: 1s, nosuch: 1}", "threshold: 3",
		"threshold: {count: 1, within: 1s, by: [proc.name, proc.pid, fd.name, fd.sip, fd.num]}",
		"sequence: {within: 1s}", "sequence: {after: nosuch, within: 1s}",
		"sequence: {after: proc.nosuch=1, within: 1s}", "sequence: {after: (, within: 1s}",
		"hours: {outside: x}", "hours: {outside: \"08:00-25:00\"}",
		"hours: {outside: \"08:00-18:00\", days: [someday]}",
		"hours: {outside: \"08:00-18:00\", zone: Nowhere/None}"};
	char yaml[512];
	const char *said;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		snprintf(yaml, sizeof(yaml), RULE "  %s\n", wrong[i]);
		cr_expect_null(test_load(yaml, NULL, &said), "%s", wrong[i]);
		cr_expect(strstr(said, "error: "), "%s: %s", wrong[i], said);
	}
}
