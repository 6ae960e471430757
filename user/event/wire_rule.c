/* SPDX-License-Identifier: Apache-2.0 */
/* Rules on the wire: findings are rare, and may take memory for their strings. */
#include <errno.h>
#include <stdlib.h>

#include "event/wire_inside.h"

static size_t size_of(const struct event_rule *rule, size_t tags, size_t outputs)
{
	size_t size = rule->name.length + rule->description.length + rule->ruleset.length + rule->priority.length + 4;

	for (size_t i = 0; i < tags; i++)
		size += rule->tags[i].length + 1;
	for (size_t i = 0; i < outputs; i++)
		size += rule->outputs[i].name.length + 1;
	return size;
}

void wire_set_rule(Taffrail__V1__Event *message, struct wire_rule *parts, const struct event_rule *rule)
{
	size_t tags = rule->tag_count < EVENT_TAGS_MAX ? rule->tag_count : EVENT_TAGS_MAX;
	size_t outputs = rule->output_count < EVENT_OUTPUTS_MAX ? rule->output_count : EVENT_OUTPUTS_MAX;
	size_t size = size_of(rule, tags, outputs);
	struct wire_strings strings = {.room = malloc(size), .size = size};
	Taffrail__V1__Rule *to = &parts->rule;

	parts->room = strings.room;
	taffrail__v1__rule__init(to);
	parts->detector = rule->detector ? wire_set_detector(to, rule->detector) : NULL;
	to->allowed = rule->allowed;
	to->severity = rule->severity;
	to->message = bytes_of(rule->message);
	to->cause = rule->cause;
	to->suppressed = rule->suppressed;
	message->rule = to;
	if (!strings.room)
		return;
	to->name = wire_string(&strings, rule->name);
	to->description = wire_string(&strings, rule->description);
	to->ruleset = wire_string(&strings, rule->ruleset);
	to->priority = wire_string(&strings, rule->priority);
	for (size_t i = 0; i < tags; i++)
		parts->tags[i] = wire_string(&strings, rule->tags[i]);
	to->n_tag = tags;
	to->tag = parts->tags;
	for (size_t i = 0; i < outputs; i++) {
		Taffrail__V1__Output *output = &parts->outputs[i];

		taffrail__v1__output__init(output);
		output->name = wire_string(&strings, rule->outputs[i].name);
		output->value = bytes_of(rule->outputs[i].value);
		output->type = (Taffrail__V1__OutputType)rule->outputs[i].type;
		parts->output_list[i] = output;
	}
	to->n_output = outputs;
	to->output = parts->output_list;
}

/* JSON takes the digits as they are. */
static bool is_number(struct text value)
{
	bool negative = text_starts_with(value, TEXT_LITERAL("-"));

	if (value.length <= negative || value.length > 21)
		return false;
	for (size_t i = negative; i < value.length; i++)
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
	return value.length == (size_t)negative + 1 || value.data[negative] != '0';
}

static bool read_output(struct event_output *output, const Taffrail__V1__Output *message)
{
	*output = (struct event_output){
		text_of(message->name), text_of_bytes(message->value), (enum event_output_type)message->type};
	switch (message->type) {
	case TAFFRAIL__V1__OUTPUT_TYPE__OUTPUT_TEXT:
	case TAFFRAIL__V1__OUTPUT_TYPE__OUTPUT_MISSING: return true;
	case TAFFRAIL__V1__OUTPUT_TYPE__OUTPUT_NUMBER: return is_number(output->value);
	case TAFFRAIL__V1__OUTPUT_TYPE__OUTPUT_BOOLEAN:
		return text_equal(output->value, TEXT_LITERAL("true")) ||
		       text_equal(output->value, TEXT_LITERAL("false"));
	default: return false;
	}
}

int wire_read_rule(struct wire_arena *arena, struct event_rule *rule, const Taffrail__V1__Rule *message)
{
	struct event_output *outputs = wire_arena_zeroed(arena, message->n_output, sizeof(*outputs));
	struct text *tags = wire_arena_zeroed(arena, message->n_tag, sizeof(*tags));
	struct event_detector *detector = wire_arena_zeroed(arena, 1, sizeof(*detector));
	int error;

	if (!outputs || !tags || !detector)
		return -ENOMEM;
	if (message->severity > EVENT_DEBUG || message->n_tag > EVENT_TAGS_MAX || message->n_output > EVENT_OUTPUTS_MAX)
		return -EBADMSG;
	for (size_t i = 0; i < message->n_tag; i++)
		tags[i] = text_of(message->tag[i]);
	for (size_t i = 0; i < message->n_output; i++)
		if (!read_output(&outputs[i], message->output[i]))
			return -EBADMSG;
	error = message->detector ? wire_read_detector(arena, detector, message->detector) : 0;
	if (error)
		return error;
	*rule = (struct event_rule){
		.name = text_of(message->name),
		.description = text_of(message->description),
		.ruleset = text_of(message->ruleset),
		.message = text_of_bytes(message->message),
		.severity = (uint8_t)message->severity,
		.priority = text_of(message->priority),
		.tags = tags,
		.tag_count = message->n_tag,
		.outputs = outputs,
		.output_count = message->n_output,
		.cause = message->cause,
		.suppressed = message->suppressed,
		.detector = message->detector ? detector : NULL,
		.allowed = message->allowed,
	};
	return 0;
}
