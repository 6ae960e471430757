/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/detect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bpf/kernel_event.h"

#define TROUBLE_TOLD_NS (60 * 1000000000ull)

/* What went wrong while rules were asked, and is told now and then. */
struct trouble {
	uint64_t counted; /* by this evaluator */
	uint64_t waiting; /* not told yet */
	uint64_t last_ns, told_ns;
	char rule[128]; /* that the last one was for */
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	bool inside; /* in a container */
};

struct detect {
	struct detect_ops ops;
	struct rules_names names;
	struct rules *rules;
	struct rules_evaluator *evaluator;
	struct suppress *suppress;
	uint64_t boot_unix_ns;
	struct trouble costly, forgotten; /* expressions that were given up; what windows had no room for */
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

static void note_trouble(
	struct detect *detect, struct trouble *trouble, uint64_t counted, const struct rules_rule *rule)
{
	const struct event_container *container = detect->event->container;

	if (counted == trouble->counted)
		return;
	trouble->waiting += counted - trouble->counted;
	trouble->counted = counted;
	trouble->last_ns = detect->now_ns;
	snprintf(trouble->rule, sizeof(trouble->rule), "%.*s", (int)(rule ? rule->name.length : 0),
		rule ? rule->name.data : "");
	trouble->inside = container != NULL;
	if (container)
		memcpy(trouble->container_id, container->id, sizeof(trouble->container_id));
}

size_t detect_rules(const struct detect *detect)
{
	return rules_count(detect->rules);
}

void detect_event(struct detect *detect, const struct event *event, uint64_t cause, uint64_t now_ns)
{
	struct rules_counters counters;

	detect->event = event;
	detect->cause = cause;
	detect->now_ns = now_ns;
	(void)rules_evaluate(detect->evaluator, event, on_match, detect);
	rules_evaluator_counters(detect->evaluator, &counters);
	note_trouble(detect, &detect->costly, counters.regex_limits, counters.regex_rule);
	note_trouble(detect, &detect->forgotten, counters.windows_full, counters.windows_rule);
}

/*
 * Whoever chooses the arguments may do it thousands of times: once a minute is often enough. `what`, with its number, and
 * the last rule's name.
 */
static void tell_trouble(
	struct detect *detect, struct trouble *trouble, uint64_t now_ns, const char *name, const char *what)
{
	struct event_container container = {0};
	char message[480];
	struct event_rule rule = {
		.name = text_of(name),
		.ruleset = TEXT_LITERAL("taffrail"),
		.severity = EVENT_ERROR,
	};
	struct event event = {.action = EVENT_RULES,
		.outcome = EVENT_FAILURE,
		.time_ns = detect->boot_unix_ns + trouble->last_ns,
		.count = 1,
		.rule = &rule};

	if (trouble->waiting == 0 || (trouble->told_ns && now_ns - trouble->told_ns < TROUBLE_TOLD_NS))
		return;
	snprintf(message, sizeof(message), "%" PRIu64 " %s; the last one was for the rule \"%s\"", trouble->waiting,
		what, trouble->rule);
	rule.message = text_of(message);
	log_limited("%s", message);
	if (trouble->inside) {
		memcpy(container.id, trouble->container_id, sizeof(container.id));
		event.container = &container;
	}
	trouble->waiting = 0;
	trouble->told_ns = now_ns;
	detect->ops.send(detect->ops.context, &event);
}

static void tell_troubles(struct detect *detect, uint64_t now_ns)
{
	tell_trouble(detect, &detect->costly, now_ns, "A rule's regular expression is too costly",
		"matches of regular expressions were given up at their limit and count as not met: somebody pads his "
		"words, or an expression is to be simplified");
	tell_trouble(detect, &detect->forgotten, now_ns, "A rule's window is full",
		"keys of thresholds and sequences were forgotten for want of room, and what they had counted is "
		"gone: somebody makes many of them, or `by` takes too many values");
}

void detect_tick(struct detect *detect, uint64_t now_ns, uint64_t boot_unix_ns)
{
	detect->boot_unix_ns = boot_unix_ns;
	suppress_expire(detect->suppress, now_ns);
	tell_troubles(detect, now_ns);
}

/* --- the set ------------------------------------------------------------------------------------------------------------ */

void detect_limit(struct detect *detect, const struct suppress_limit *limit)
{
	suppress_limit_set(detect->suppress, limit);
}

int detect_replace(struct detect *detect, struct rules *rules)
{
	struct rules_evaluator *evaluator;

	if (rules_evaluator_open(&evaluator, rules, &detect->names) < 0)
		return -ENOMEM;
	rules_evaluator_close(detect->evaluator);
	rules_free(detect->rules);
	detect->evaluator = evaluator;
	detect->rules = rules;
	detect->costly.counted = detect->forgotten.counted = 0;
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
