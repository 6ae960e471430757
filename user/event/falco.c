/* SPDX-License-Identifier: Apache-2.0 */
#include "event/falco.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "event/ecs_document.h"

bool falco_has(const struct event *event)
{
	return event->rule && event->rule->priority.length > 0;
}

void falco_write(struct buffer *out, const struct event *event)
{
	const struct event_rule *rule = event->rule;
	struct json json = json_begin(out);
	const char *escaped;

	json_object_begin(&json);
	json_member_string(&json, "hostname", event->host->name);
	json_member_string(&json, "output", rule->message);
	json_key(&json, "output_fields");
	put_output_fields(&json, rule, &escaped);
	json_member_string(&json, "priority", rule->priority);
	json_member_string(&json, "rule", rule->name);
	json_key(&json, "source");
	json_literal(&json, "syscall");
	json_key(&json, "tags");
	json_array_begin(&json);
	for (size_t i = 0; i < rule->tag_count; i++)
		json_string(&json, rule->tags[i]);
	json_array_end(&json);
	json_key(&json, "time");
	put_time(&json, event->time_ns);
	json_object_end(&json);
}

void falco_write_line(struct buffer *out, const struct event *event)
{
	const struct event_rule *rule = event->rule;
	char time[CLOCK_TEXT_SIZE];
	size_t at;

	clock_format(time, event->time_ns);
	buffer_append(out, time, CLOCK_TEXT_SIZE - 1);
	buffer_append(out, ": ", 2);
	buffer_append(out, rule->priority.data, rule->priority.length);
	buffer_append(out, " ", 1);
	at = out->length;
	buffer_append(out, rule->message.data, rule->message.length);
	/* A program chose parts of it, and it goes to a terminal. */
	if (!out->failed)
		utf8_defuse(out->data + at, out->length - at);
}
