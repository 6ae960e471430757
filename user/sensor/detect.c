/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/detect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/kernel_event.h"

#define COSTLY_TOLD_NS (60 * 1000000000ull)

struct detect {
	struct detect_ops ops;
	struct rules_names names;
	struct rules *rules;
	struct rules_evaluator *evaluator;
	struct suppress *suppress;
	uint64_t boot_unix_ns;
	/* Regular expressions that were given up: of this evaluator, not told yet, the last one's container, and when they were told. */
	uint64_t regex_limits, costly, costly_ns, costly_told_ns;
	uint8_t costly_id[EVENT_CONTAINER_ID_SIZE];
	bool costly_inside;
	/* Of the finding that is being made. */
	const struct event *event;
	uint64_t cause, now_ns;
	struct buffer message;
	struct rules_outputs outputs;
};

/* --- what was held back ------------------------------------------------------------------------------------------------ */

static void tell_held(void *context, const struct suppress_held *held)
{
	struct detect *detect = context;
	struct event_container container = {0};
	char message[200];
	struct event_rule rule = {
		.name = held->rule,
		.ruleset = held->ruleset,
		.severity = held->severity,
		.priority = held->priority,
		.suppressed = held->count,
	};
	struct event event = {
		.action = EVENT_SUPPRESSED,
		.time_ns = detect->boot_unix_ns + held->last_ns,
		.count = 1,
		.rule = &rule,
	};

	snprintf(message, sizeof(message), "%" PRIu64 " more findings of one rule in one container were held back",
		held->count);
	rule.message = text_of(message);
	if (held->container_id) {
		memcpy(container.id, held->container_id, sizeof(container.id));
		event.container = &container;
	}
	detect->ops.send(detect->ops.context, &event);
}

/* --- findings ----------------------------------------------------------------------------------------------------------- */

static void on_match(void *context, const struct rules_rule *met)
{
	struct detect *detect = context;
	struct event finding = *detect->event;
	struct event_rule rule = {
		.name = met->name,
		.description = met->description,
		.ruleset = met->file,
		.severity = (uint8_t)met->priority,
		.priority = text_of(rules_priority_name(met->priority)),
		.tags = met->tags,
		.tag_count = met->tag_count < EVENT_TAGS_MAX ? met->tag_count : EVENT_TAGS_MAX,
		.cause = detect->cause,
	};

	if (!suppress_allows(detect->suppress, finding.container ? finding.container->id : NULL, &rule, detect->now_ns,
		    &rule.suppressed))
		return;
	buffer_clear(&detect->message);
	rules_output(detect->evaluator, met, &detect->message);
	rules_outputs_take(&detect->outputs, detect->evaluator, met);
	/* For want of memory there is none: the finding itself is told. */
	rule.message = (struct text){detect->message.data, detect->message.failed ? 0 : detect->message.length};
	rule.outputs = detect->outputs.items;
	rule.output_count = detect->outputs.count;
	finding.rule = &rule;
	detect->ops.send(detect->ops.context, &finding);
}

static void note_costly(struct detect *detect, const struct event *event)
{
	struct rules_counters counters;

	rules_evaluator_counters(detect->evaluator, &counters);
	if (counters.regex_limits == detect->regex_limits)
		return;
	detect->costly += counters.regex_limits - detect->regex_limits;
	detect->regex_limits = counters.regex_limits;
	detect->costly_ns = detect->now_ns;
	detect->costly_inside = event->container != NULL;
	if (event->container)
		memcpy(detect->costly_id, event->container->id, sizeof(detect->costly_id));
}

void detect_event(struct detect *detect, const struct event *event, uint64_t cause, uint64_t now_ns)
{
	detect->event = event;
	detect->cause = cause;
	detect->now_ns = now_ns;
	(void)rules_evaluate(detect->evaluator, event, on_match, detect);
	note_costly(detect, event);
}

/* Whoever chooses the arguments may do it thousands of times: once a minute is often enough. */
static void tell_costly(struct detect *detect, uint64_t now_ns)
{
	struct event_container container = {0};
	char message[200];
	struct event_rule rule = {
		.name = TEXT_LITERAL("A rule's regular expression is too costly"),
		.ruleset = TEXT_LITERAL("taffrail"),
		.severity = EVENT_ERROR,
	};
	struct event event = {.action = EVENT_RULES,
		.outcome = EVENT_FAILURE,
		.time_ns = detect->boot_unix_ns + detect->costly_ns,
		.count = 1,
		.rule = &rule};

	if (detect->costly == 0 || (detect->costly_told_ns && now_ns - detect->costly_told_ns < COSTLY_TOLD_NS))
		return;
	snprintf(message, sizeof(message),
		"%" PRIu64
		" matches of regular expressions were given up at their limit and count as not met, the last "
		"one here: somebody pads his words, or an expression is to be simplified",
		detect->costly);
	rule.message = text_of(message);
	log_limited("%s", message);
	if (detect->costly_inside) {
		memcpy(container.id, detect->costly_id, sizeof(container.id));
		event.container = &container;
	}
	detect->costly = 0;
	detect->costly_told_ns = now_ns;
	detect->ops.send(detect->ops.context, &event);
}

void detect_tick(struct detect *detect, uint64_t now_ns, uint64_t boot_unix_ns)
{
	detect->boot_unix_ns = boot_unix_ns;
	suppress_expire(detect->suppress, now_ns);
	tell_costly(detect, now_ns);
}

/* --- the set ------------------------------------------------------------------------------------------------------------ */

int detect_replace(struct detect *detect, struct rules *rules)
{
	struct rules_evaluator *evaluator;

	if (rules_evaluator_open(&evaluator, rules, &detect->names) < 0)
		return -ENOMEM;
	rules_evaluator_close(detect->evaluator);
	rules_free(detect->rules);
	detect->evaluator = evaluator;
	detect->rules = rules;
	detect->regex_limits = 0;
	return 0;
}

int detect_open(struct detect **out, struct rules *rules, const struct rules_names *names,
	const struct suppress_limit *limit, const struct detect_ops *ops)
{
	struct detect *detect = calloc(1, sizeof(*detect));
	const struct suppress_ops held = {tell_held, detect};

	if (!detect)
		return -ENOMEM;
	detect->ops = *ops;
	detect->names = *names;
	if (suppress_open(&detect->suppress, limit, &held) < 0 || detect_replace(detect, rules) < 0) {
		detect_close(detect);
		return -ENOMEM;
	}
	*out = detect;
	return 0;
}

uint64_t detect_wants(const struct rules *rules)
{
	const uint64_t receive = 1ull << EVENT_CALL_RECVFROM | 1ull << EVENT_CALL_RECVMSG | 1ull << EVENT_CALL_RECVMMSG;

	if (!rules)
		return 0;
	return rules_wants(rules) | (rules_data_calls(rules) & receive ? KERNEL_WANT_DATA : 0);
}

uint64_t detect_calls(const struct detect *detect)
{
	return detect_wants(detect->rules);
}

void detect_close(struct detect *detect)
{
	if (!detect)
		return;
	suppress_close(detect->suppress);
	rules_evaluator_close(detect->evaluator);
	rules_free(detect->rules);
	buffer_free(&detect->message);
	rules_outputs_free(&detect->outputs);
	free(detect);
}
