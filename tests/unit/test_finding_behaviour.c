/* SPDX-License-Identifier: Apache-2.0 */
/* What a detector of behaviour has found, in its faces: on the wire, as ECS, as a line. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "event/ecs.h"
#include "event/falco.h"
#include "event/line.h"
#include "event/wire.h"
#include "test_document.h"

static const struct text tags[] = {TEXT_STATIC("network"), TEXT_STATIC("T1496"), TEXT_STATIC("T1090")};
static const struct text samples[] = {TEXT_STATIC("udp 198.18.0.1:6881"), TEXT_STATIC("udp 198.18.0.2:\xff")};
static struct event_reason reasons[EVENT_REASONS_MAX + 1] = {
	{80, TEXT_STATIC("2 DHT nodes that answered queries"), samples, 2}, {10, TEXT_STATIC("20 hosts"), NULL, 0}};
static const struct text peers[] = {TEXT_STATIC("udp 198.18.0.1:6881")};
static const struct event_touched files[] = {
	{TEXT_STATIC("/data/film.part"), true}, {TEXT_STATIC("/data/x.torrent"), false}};
static struct event_detector detector;
static struct event_rule rule;

static struct event finding(void)
{
	struct event event = document_event(EVENT_VERDICT);

	detector = (struct event_detector){.key = TEXT_LITERAL("p2p"),
		.verdict = TEXT_LITERAL("confirmed"),
		.family = TEXT_LITERAL("bittorrent"),
		.score = 90,
		.reasons = reasons,
		.reason_count = 2,
		.peers = peers,
		.peer_count = 1,
		.files = files,
		.file_count = 2,
		.bytes_out = 1ull << 40,
		.bytes_in = 7,
		.first_ns = 1767323045000000000};
	rule = (struct event_rule){.name = TEXT_LITERAL("Peer-to-peer traffic"),
		.ruleset = TEXT_LITERAL("taffrail"),
		.message = TEXT_LITERAL("Peer-to-peer traffic (bittorrent) confirmed"),
		.severity = EVENT_WARNING,
		.priority = TEXT_LITERAL("Warning"),
		.tags = tags,
		.tag_count = 3,
		.cause = 41,
		.suppressed = 3,
		.detector = &detector};
	event.network = (struct event_network){.family = 0};
	event.sequence = 42;
	event.rule = &rule;
	return event;
}

static struct json_object *own(struct json_object *document, const char *key)
{
	struct json_object *taffrail, *found = NULL;

	cr_assert(json_object_object_get_ex(document, "taffrail", &taffrail));
	json_object_object_get_ex(taffrail, key, &found);
	return found;
}

Test(finding_behaviour, of_peers)
{
	struct event event = finding();
	struct json_object *document = document_written(&event), *part;

	cr_assert_str_eq(document_at(document, "event", "kind", NULL), "alert");
	cr_assert_str_eq(document_at(document, "event", "action", NULL), "traffic_judged");
	cr_assert_str_eq(document_at(document, "event", "category", NULL), "[ \"network\", \"intrusion_detection\" ]");
	cr_assert_str_eq(document_at(document, "rule", "name", NULL), "Peer-to-peer traffic");
	cr_assert_str_eq(document_at(document, "threat", "technique", "id"), "[ \"T1496\", \"T1090\" ]");
	cr_assert_str_eq(document_at(document, "taffrail", "p2p", "verdict"), "confirmed");
	cr_assert_str_eq(document_at(document, "taffrail", "p2p", "family"), "bittorrent");
	cr_assert_str_eq(document_at(document, "taffrail", "p2p", "score"), "90");
	cr_assert_str_eq(document_at(document, "taffrail", "p2p", "reasons"),
		"[ { \"points\": 80, \"what\": \"2 DHT nodes that answered queries\", \"samples\": [ \"udp "
		"198.18.0.1:6881\", \"udp 198.18.0.2:\\\\xff\" ] }, { \"points\": 10, \"what\": \"20 hosts\", "
		"\"samples\": [ "
		"] } ]");
	cr_assert_str_eq(document_at(document, "taffrail", "p2p", "files"),
		"{ \"written\": [ \"\\/data\\/film.part\" ], \"opened\": [ \"\\/data\\/x.torrent\" ] }");
	cr_assert_str_eq(document_at(document, "taffrail", "p2p", "bytes_out"), "1099511627776");
	cr_assert_str_eq(document_at(document, "taffrail", "rule", "suppressed"), "3");
	cr_assert(strstr(document_at(document, "taffrail", "escaped", NULL), "taffrail.detector"));
	cr_assert_null(own(document, "detector"));
	part = own(document, "evidence");
	cr_assert(part && json_object_array_length(part) == 3, "the event, wget and its shell");
	cr_assert_str_eq(document_at(document, "container", "name", NULL), "main");
	cr_assert(falco_has(&event));
	json_object_put(document);
}

Test(finding_behaviour, of_others_and_of_who_may)
{
	struct event event = finding();
	struct json_object *document;
	struct buffer line = {0};
	const struct line_style style = {0};

	detector.key = TEXT_LITERAL("scan");
	detector.family = (struct text){0};
	rule.allowed = true;
	document = document_written(&event);
	cr_assert_str_eq(document_at(document, "event", "kind", NULL), "event");
	cr_assert_str_eq(document_at(document, "taffrail", "detector", "name"), "scan");
	cr_assert_str_eq(document_at(document, "taffrail", "rule", "allowed"), "true");
	cr_assert_null(own(document, "p2p"));
	json_object_put(document);
	line_write(&line, &event, &style);
	buffer_append(&line, "", 1);
	cr_assert(strstr(line.data, "judged") && strstr(line.data, "(allowed) Peer-to-peer traffic"), "%s", line.data);
	buffer_free(&line);
}

Test(finding_behaviour, on_the_wire)
{
	struct event event = finding();
	struct wire_events events;

	for (int i = 0; i < 3; i++) {
		struct json_object *before, *after;

		rule.allowed = i == 1;
		if (i == 2)
			detector = (struct event_detector){
				.key = TEXT_LITERAL("egress"), .verdict = TEXT_LITERAL("suspected")};
		before = document_written(&event);
		cr_assert_eq(document_travelled(&event, &events), 0);
		after = document_written(&events.events[0]);
		cr_assert_str_eq(json_object_to_json_string(before), json_object_to_json_string(after));
		json_object_put(before);
		json_object_put(after);
		wire_free(&events);
	}
	detector.score = 101;
	cr_assert_eq(document_travelled(&event, &events), -EBADMSG, "no score is more than 100");
}

Test(finding_behaviour, more_than_travels_is_left_out)
{
	struct event event = finding();
	struct wire_events events;

	for (size_t i = 2; i <= EVENT_REASONS_MAX; i++)
		reasons[i] = reasons[1];
	detector.reason_count = EVENT_REASONS_MAX + 1;
	cr_assert_eq(document_travelled(&event, &events), 0);
	cr_assert_eq(events.events[0].rule->detector->reason_count, EVENT_REASONS_MAX);
	wire_free(&events);
}
