/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of the rule that makes an alert of an event. */
#include "event/ecs.h"

#include "event/ecs_document.h"
#include "event/names.h"

enum { EVIDENCE_PROCESSES_MAX = 16 }; /* of the lineage, from the process itself on */

void put_rule(struct document *document)
{
	const struct event_rule *rule = document->event->rule;
	struct json_mark mark = json_optional_begin(&document->json, "rule");

	put_text(document, "name", "rule.name", rule->name);
	put_text(document, "description", "rule.description", rule->description);
	put_text(document, "ruleset", "rule.ruleset", rule->ruleset);
	json_optional_end(&document->json, mark);
}

void put_tags(struct document *document)
{
	const struct event_rule *rule = document->event->rule;
	struct json *json = &document->json;

	if (rule->tag_count == 0)
		return;
	json_key(json, "tags");
	json_array_begin(json);
	for (size_t i = 0; i < rule->tag_count; i++)
		if (json_string(json, rule->tags[i]))
			document_escaped(document, "tags");
	json_array_end(json);
}

void put_threat(struct document *document)
{
	const struct event_rule *rule = document->event->rule;
	struct json *json = &document->json;
	bool begun = false;

	for (size_t i = 0; i < rule->tag_count; i++) {
		if (!name_is_technique(rule->tags[i]))
			continue;
		if (!begun) {
			json_key(json, "threat");
			json_object_begin(json);
			json_key(json, "framework");
			json_literal(json, "MITRE ATT&CK");
			json_key(json, "technique");
			json_object_begin(json);
			json_key(json, "id");
			json_array_begin(json);
			begun = true;
		}
		json_plain(json, rule->tags[i].data, rule->tags[i].length);
	}
	if (!begun)
		return;
	json_array_end(json);
	json_object_end(json);
	json_object_end(json);
}

void put_output_fields(struct json *json, const struct event_rule *rule, const char **escaped)
{
	json_object_begin(json);
	for (size_t i = 0; i < rule->output_count; i++) {
		const struct event_output *output = &rule->outputs[i];

		if (json_key_text(json, output->name))
			*escaped = "taffrail.rule.output_fields";
		switch (output->type) {
		case EVENT_OUTPUT_NUMBER:
		case EVENT_OUTPUT_BOOLEAN: json_raw(json, output->value.data, output->value.length); break;
		case EVENT_OUTPUT_MISSING: json_raw(json, "null", sizeof("null") - 1); break;
		case EVENT_OUTPUT_TEXT:
			if (json_string(json, output->value))
				*escaped = "taffrail.rule.output_fields";
			break;
		}
	}
	json_object_end(json);
}

/* The event that met the rule, and the images of its process and those above it. */
static void put_evidence(struct document *document)
{
	const struct event *event = document->event;
	const struct event_process *process = event->process;
	struct json *json = &document->json;

	json_key(json, "evidence");
	json_array_begin(json);
	if (event->rule->cause)
		put_event_id(document, event->rule->cause, "taffrail.evidence");
	for (int i = 0; process && i < EVIDENCE_PROCESSES_MAX; i++, process = process->parent)
		put_exec_id(json, process);
	json_array_end(json);
}

void put_own_rule(struct document *document)
{
	const struct event_rule *rule = document->event->rule;
	struct json *json = &document->json;
	const char *escaped = NULL;

	if (rule->priority.length == 0)
		return;
	json_key(json, "rule");
	json_object_begin(json);
	put_text(document, "priority", "taffrail.rule.priority", rule->priority);
	json_key(json, "output_fields");
	put_output_fields(json, rule, &escaped);
	if (escaped)
		document_escaped(document, escaped);
	if (rule->suppressed)
		json_member_unsigned(json, "suppressed", rule->suppressed);
	put_true(json, "allowed", rule->allowed);
	json_object_end(json);
	if (rule->detector)
		put_own_detector(document);
	put_evidence(document);
}
