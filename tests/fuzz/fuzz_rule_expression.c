/* SPDX-License-Identifier: Apache-2.0 */
/* A condition: parsed and compiled; and `not not` of it is true of the same events. */
#include "fuzz_rules.h"

static void matched(void *context, const struct rules_rule *rule)
{
	(void)rule;
	++*(size_t *)context;
}

static size_t matches(const struct rules *rules, const struct event *event)
{
	struct rules_evaluator *evaluator;
	size_t count = 0;

	fuzz_expect(rules_evaluator_open(&evaluator, rules, NULL) == 0);
	rules_evaluate(evaluator, event, matched, &count);
	rules_evaluator_close(evaluator);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const struct event_process process = {
		.name = TEXT_STATIC("sh"), .args = TEXT_STATIC("sh\0-c\0id"), .image_known = true, .pid = 5};
	static const struct event event = {
		.action = EVENT_EXEC, .call = EVENT_CALL_EXECVE, .process = &process, .descriptor = -1, .sequence = 1};
	struct rules *rules = fuzz_rule(bytes, length), *doubled;
	struct buffer twice = {0};

	if (!rules)
		return 0;
	buffer_append(&twice, "not not(", 8);
	buffer_append(&twice, bytes, length);
	buffer_append(&twice, ")", 1);
	doubled = fuzz_rule((const uint8_t *)twice.data, twice.length);
	/* At the limit of depth the longer one may be too deep. */
	fuzz_expect(doubled || length > 900);
	if (doubled)
		fuzz_expect(matches(rules, &event) == matches(doubled, &event));
	rules_free(doubled);
	rules_free(rules);
	buffer_free(&twice);
	return 0;
}
