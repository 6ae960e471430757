/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/check_calls.h"

#include <stdio.h>

#include "bpf/kernel_event.h"
#include "sensor/detect.h"

/* Who wants a call. */
struct want {
	bool record;
	size_t rules;
	struct text first; /* rule */
};

uint64_t check_calls_wanted(const struct policy_rules *record, const struct rules *rules)
{
	return record->calls | (rules ? detect_wants(rules) : 0);
}

/* Calls that are told anyway are nobody's need; of sockets the ordinary ones are. */
static bool is_by_need(enum event_call call)
{
	uint64_t kinds = policy_kinds_by_need() | 1ull << EVENT_SOCKET;

	return kinds >> event_call_action(call) & 1;
}

/* Does somebody want what was received, too? */
static bool with_data(enum event_call call, uint64_t wanted)
{
	return wanted & KERNEL_WANT_DATA && event_call_action(call) == EVENT_RECEIVE;
}

static struct want who_wants(enum event_call call, const struct policy_rules *record, const struct rules *rules)
{
	struct want want = {.record = record->calls >> call & 1};

	for (size_t i = 0; rules && i < rules_count(rules); i++) {
		const struct rules_rule *rule = rules_at(rules, i);

		if (!rule->enabled || !(rules_wants_of(rules, rule) >> call & 1))
			continue;
		if (want.rules++ == 0)
			want.first = rule->name;
	}
	return want;
}

void check_calls_json(struct json *json, const struct policy_rules *record, const struct rules *rules)
{
	uint64_t wanted = check_calls_wanted(record, rules);

	json_array_begin(json);
	for (int call = 1; call < EVENT_CALLS_END; call++) {
		struct want want;

		if (!(wanted >> call & 1) || !is_by_need(call))
			continue;
		want = who_wants(call, record, rules);
		json_object_begin(json);
		json_key(json, "call");
		(void)json_string(json, text_of(event_call_name(call)));
		json_member_boolean(json, "record", want.record);
		json_member_unsigned(json, "rules", want.rules);
		if (with_data(call, wanted))
			json_member_boolean(json, "data", true);
		json_key(json, "first");
		(void)json_string(json, want.first);
		json_object_end(json);
	}
	json_array_end(json);
}

void check_calls_print(const struct policy_rules *record, const struct rules *rules)
{
	uint64_t wanted = check_calls_wanted(record, rules);

	puts("\nCalls that are watched by need, and who needs them:");
	if (!wanted)
		puts("  none");
	for (int call = 1; call < EVENT_CALLS_END; call++) {
		struct want want;

		if (!(wanted >> call & 1) || !is_by_need(call))
			continue;
		want = who_wants(call, record, rules);
		printf("  %-14s%s%s", event_call_name(call), with_data(call, wanted) ? "with its data " : "",
			want.record ? "record " : "");
		if (want.rules > 0)
			printf("%zu %s: %.*s", want.rules, want.rules == 1 ? "rule" : "rules, the first",
				(int)(want.first.length < 40 ? want.first.length : 40), want.first.data);
		puts("");
	}
}
