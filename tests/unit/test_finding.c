/* SPDX-License-Identifier: Apache-2.0 */
/* A finding in its faces: on the wire, as ECS, as Falco's JSON. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "event/ecs.h"
#include "event/falco.h"
#include "event/names.h"
#include "event/wire.h"
#include "test_document.h"

static const struct text tags[] = {TEXT_STATIC("container"), TEXT_STATIC("mitre_execution"), TEXT_STATIC("T1059"),
	TEXT_STATIC("T1059.004"), TEXT_STATIC("T105"), TEXT_STATIC("T1059.4")};
static struct event_output outputs[] = {{TEXT_STATIC("proc.cmdline"), TEXT_STATIC("sh \"-c\" \xff"), EVENT_OUTPUT_TEXT},
	{TEXT_STATIC("proc.pid"), TEXT_STATIC("42"), EVENT_OUTPUT_NUMBER},
	{TEXT_STATIC("fd.name"), TEXT_STATIC(""), EVENT_OUTPUT_MISSING},
	{TEXT_STATIC("container.privileged"), TEXT_STATIC("true"), EVENT_OUTPUT_BOOLEAN}};
static struct event_rule rule = {
	.name = TEXT_STATIC("Shell in a server"),
	.description = TEXT_STATIC("A server starts no shell."),
	.ruleset = TEXT_STATIC("own.yaml"),
	.message = TEXT_STATIC("a shell: sh"),
	.severity = EVENT_WARNING,
	.priority = TEXT_STATIC("Warning"),
	.tags = tags,
	.tag_count = sizeof(tags) / sizeof(tags[0]),
	.outputs = outputs,
	.output_count = sizeof(outputs) / sizeof(outputs[0]),
	.cause = 41,
	.suppressed = 7,
};

static struct event finding(void)
{
	struct event event = document_event(EVENT_EXEC);

	event.sequence = 42;
	event.rule = &rule;
	return event;
}

Test(finding, as_a_document)
{
	struct event event = finding();
	struct json_object *document = document_written(&event);

	cr_assert_str_eq(document_at(document, "event", "kind", NULL), "alert");
	cr_assert_str_eq(document_at(document, "event", "action", NULL), "exec");
	cr_assert_str_eq(document_at(document, "event", "severity", NULL), "4");
	cr_assert_str_eq(document_at(document, "message", NULL, NULL), "a shell: sh");
	cr_assert_str_eq(document_at(document, "rule", "ruleset", NULL), "own.yaml");
	cr_assert_str_eq(document_at(document, "threat", "technique", "id"), "[ \"T1059\", \"T1059.004\" ]");
	cr_assert(strstr(document_at(document, "tags", NULL, NULL), "\"mitre_execution\""));
	cr_assert_str_eq(document_at(document, "taffrail", "rule", "priority"), "Warning");
	cr_assert_str_eq(document_at(document, "taffrail", "rule", "suppressed"), "7");
	cr_assert_str_eq(document_at(document, "taffrail", "rule", "output_fields"),
		"{ \"proc.cmdline\": \"sh \\\"-c\\\" \\\\xff\", \"proc.pid\": 42, \"fd.name\": null, "
		"\"container.privileged\": true }");
	cr_assert(strstr(document_at(document, "taffrail", "escaped", NULL), "taffrail.rule.output_fields"));
	cr_assert_str_eq(document_at(document, "container", "name", NULL), "main");
	json_object_put(document);
}

Test(finding, its_evidence_is_the_event_and_the_lineage)
{
	struct event event = finding();
	struct json_object *document = document_written(&event), *own, *evidence;
	struct event cause = event;

	cause.sequence = rule.cause;
	cause.rule = NULL;
	cr_assert(json_object_object_get_ex(document, "taffrail", &own));
	cr_assert(json_object_object_get_ex(own, "evidence", &evidence));
	cr_assert_eq(json_object_array_length(evidence), 3, "the event, wget and its shell");

	struct json_object *of_cause = document_written(&cause);

	cr_assert_str_eq(json_object_get_string(json_object_array_get_idx(evidence, 0)),
		document_at(of_cause, "event", "id", NULL));
	cr_assert_str_eq(json_object_get_string(json_object_array_get_idx(evidence, 1)),
		document_at(of_cause, "taffrail", "process", "exec_id"));
	json_object_put(of_cause);
	json_object_put(document);
}

Test(finding, as_falco_prints_it)
{
	struct event event = finding();
	struct buffer out = {0};

	cr_assert(falco_has(&event));
	falco_write(&out, &event);
	buffer_append(&out, "", 1);
	cr_assert_str_eq(out.data,
		"{\"hostname\":\"node-1\",\"output\":\"a shell: sh\",\"output_fields\":{\"proc.cmdline\":\"sh "
		"\\\"-c\\\" \\\\xff\","
		"\"proc.pid\":42,\"fd.name\":null,\"container.privileged\":true},\"priority\":\"Warning\",\"rule\":"
		"\"Shell in a "
		"server\",\"source\":\"syscall\","
		"\"tags\":[\"container\",\"mitre_execution\",\"T1059\",\"T1059.004\",\"T105\",\"T1059.4\"],"
		"\"time\":\"2026-01-02T03:04:05.123456789Z\"}");
	buffer_free(&out);
	event.rule = NULL;
	cr_assert_not(falco_has(&event));
}

Test(finding, on_the_wire)
{
	struct event event = finding();
	struct json_object *before = document_written(&event), *after;
	struct wire_events events;

	cr_assert_eq(document_travelled(&event, &events), 0);
	cr_assert_eq(events.count, 1);
	after = document_written(&events.events[0]);
	cr_assert_str_eq(json_object_to_json_string(before), json_object_to_json_string(after));
	json_object_put(before);
	json_object_put(after);
	wire_free(&events);
}

Test(finding, what_was_received_stays_here_unless_the_output_quotes_it)
{
	static const struct text secret = TEXT_STATIC("SECRET-WORDS");
	struct event event = finding();
	struct json_object *document;
	struct wire_events events;

	event.action = EVENT_RECEIVE;
	event.network = (struct event_network){.family = AF_INET, .data = secret, .connected = true, .again = true};
	for (int quoted = 0; quoted < 2; quoted++) {
		rule.message = quoted ? secret : TEXT_LITERAL("bytes");
		document = document_written(&event);
		cr_assert_eq(strstr(json_object_to_json_string(document), "SECRET") != NULL, quoted);
		json_object_put(document);
		cr_assert_eq(document_travelled(&event, &events), 0);
		cr_assert_eq(events.events[0].network.data.length, 0);
		cr_assert(!events.events[0].network.connected && !events.events[0].network.again);
		document = document_written(&events.events[0]);
		cr_assert_eq(strstr(json_object_to_json_string(document), "SECRET") != NULL, quoted);
		json_object_put(document);
		wire_free(&events);
	}
}

Test(finding, a_number_that_is_none_is_refused)
{
	const char *const wrong[] = {"", "-", "4 2", "042", "0x1", "1e9", "{}", "9999999999999999999999"};
	const char *const right[] = {"0", "-1", "18446744073709551615", "-9223372036854775808"};
	struct event event = finding();
	struct wire_events events;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		outputs[1].value = text_of(wrong[i]);
		cr_assert_eq(document_travelled(&event, &events), -EBADMSG, "'%s' was taken", wrong[i]);
	}
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		outputs[1].value = text_of(right[i]);
		cr_assert_eq(document_travelled(&event, &events), 0, "'%s' was refused", right[i]);
		wire_free(&events);
	}
	outputs[3].value = TEXT_LITERAL("yes");
	cr_assert_eq(document_travelled(&event, &events), -EBADMSG);
}

Test(finding, techniques)
{
	cr_assert(name_is_technique(TEXT_LITERAL("T1059")));
	cr_assert(name_is_technique(TEXT_LITERAL("T1059.001")));
	cr_assert_not(name_is_technique(TEXT_LITERAL("T105")));
	cr_assert_not(name_is_technique(TEXT_LITERAL("t1059")));
	cr_assert_not(name_is_technique(TEXT_LITERAL("T1059.01")));
	cr_assert_not(name_is_technique(TEXT_LITERAL("T1059-001")));
	cr_assert_not(name_is_technique((struct text){0}));
}
