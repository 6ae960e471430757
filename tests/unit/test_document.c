/* SPDX-License-Identifier: Apache-2.0 */
#include "test_document.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/ecs.h"

struct event_host document_host = {
	.id = TEXT_STATIC("4c4c4544004b"),
	.name = TEXT_STATIC("node-1"),
	.boot_id = TEXT_STATIC("0f6c2f0e-7d8e-4c0a-9a30-5b7e1e0d7f11"),
	.cluster = TEXT_STATIC("prod"),
};
static const struct text pod_ip = TEXT_STATIC("10.97.0.12");
static const struct event_label labels[] = {
	{TEXT_STATIC("app"), TEXT_STATIC("web")},
	{TEXT_STATIC("app.kubernetes.io/part-of"), TEXT_STATIC("shop")},
};
struct event_container document_container = {
	.name = TEXT_STATIC("main"),
	.image_name = TEXT_STATIC("registry.example/shop/web"),
	.image_tag = TEXT_STATIC("1.4"),
	.image_digest = TEXT_STATIC("sha256:8e109c9c95eb238199e43def4b71dd6354bef1c270b8efffcf0d4cc51d076585"),
	.pod_name = TEXT_STATIC("web-9dbc998d6-fddvs"),
	.pod_namespace = TEXT_STATIC("shop"),
	.pod_uid = TEXT_STATIC("545dffc5-e6c9-49c5-9538-47fab22a8cea"),
	.pod_ips = &pod_ip,
	.pod_ip_count = 1,
	.labels = labels,
	.label_count = 2,
};
static struct event_process shell = {
	.entity = {1},
	.pid = 2311,
	.start_ns = 1,
	.name = TEXT_STATIC("sh"),
	.executable = TEXT_STATIC("/bin/busybox"),
	.args = TEXT_STATIC("/bin/sh\0-c\0wget http://x/\0"),
	.entry = EVENT_ENTRY_CONTAINER,
	.image_known = true,
};
struct event_process document_process = {
	.entity = {2},
	.exec_counter = 2,
	.pid = 2317,
	.vpid = 7,
	.start_ns = 1767323045120000000ull,
	.name = TEXT_STATIC("wget"),
	.executable = TEXT_STATIC("/bin/busybox"),
	.args = TEXT_STATIC("wget\0http://x/\0"),
	.args_count = 2,
	.working_directory = TEXT_STATIC("/"),
	.image_known = true,
	.login_uid = UINT32_MAX,
	.session_id = UINT32_MAX,
	.parent = &shell,
	.entry_leader = &shell,
};

struct event document_event(enum event_action action)
{
	shell.entry_leader = &shell;
	for (int i = 0; i < EVENT_CONTAINER_ID_SIZE; i++) {
		unsigned int byte;

		sscanf("7d16dfe5e07b92cd02f6ec15acb3bf05bd2c806193006917d6f80d6ff35d829e" + 2 * i, "%2x", &byte);
		document_container.id[i] = (uint8_t)byte;
	}
	return (struct event){.action = action,
		.time_ns = DOCUMENT_TIME,
		.count = 1,
		.host = &document_host,
		.container = &document_container,
		.process = &document_process};
}

struct json_object *document_written(const struct event *event)
{
	struct buffer out = {0};
	struct json_object *document;

	ecs_write(&out, event);
	buffer_append(&out, "", 1);
	cr_assert_not(out.failed);
	document = json_tokener_parse(out.data);
	cr_assert_not_null(document, "%s", out.data);
	buffer_free(&out);
	return document;
}

/* The example document with this event.sequence. */
struct json_object *document_example(uint64_t sequence)
{
	FILE *file = fopen("tests/unit/events.ndjson", "re");
	struct json_object *document = NULL, *event, *number;
	char *line = NULL;
	size_t room = 0;

	cr_assert_not_null(file, "run from the project's root");
	while (!document && getline(&line, &room, file) > 0) {
		document = json_tokener_parse(line);
		json_object_object_get_ex(document, "event", &event);
		json_object_object_get_ex(event, "sequence", &number);
		if ((uint64_t)json_object_get_int64(number) != sequence) {
			json_object_put(document);
			document = NULL;
		}
	}
	free(line);
	fclose(file);
	cr_assert_not_null(document);
	return document;
}

/* Ids are made otherwise than in the examples; and more may stand in our documents, but never less, or another type. */
static void compare(struct json_object *expected, struct json_object *found, const char *path)
{
	const char *last = strrchr(path, '.');

	cr_assert_not_null(found, "%s is missing", path);
	cr_assert_eq(json_object_get_type(expected), json_object_get_type(found), "%s is %s", path,
		json_object_get_string(found));
	if (json_object_is_type(expected, json_type_object)) {
		json_object_object_foreach(expected, key, value)
		{
			struct json_object *child = NULL;
			char below[256];

			snprintf(below, sizeof(below), "%s.%s", path, key);
			json_object_object_get_ex(found, key, &child);
			compare(value, child, below);
		}
		return;
	}
	if (strcmp(path, ".event.id") == 0 ||
		(last && (strcmp(last, ".entity_id") == 0 || strcmp(last, ".exec_id") == 0 ||
				 strcmp(last, ".community_id") == 0)))
		return;
	cr_assert_str_eq(json_object_get_string(found), json_object_get_string(expected), "%s: %s, expected %s", path,
		json_object_get_string(found), json_object_get_string(expected));
}

/* Nothing may stand in our document, outside "taffrail" and the exec's own credentials, that the example has not. */
static void no_more(struct json_object *expected, struct json_object *found, const char *path)
{
	if (!json_object_is_type(found, json_type_object))
		return;
	json_object_object_foreach(found, key, value)
	{
		struct json_object *child = NULL;
		char below[256];

		snprintf(below, sizeof(below), "%s.%s", path, key);
		if (strcmp(below, ".taffrail") == 0 || strcmp(below, ".process.real_user") == 0 ||
			strcmp(below, ".process.real_group") == 0 || strcmp(below, ".process.thread") == 0)
			continue;
		cr_assert(json_object_object_get_ex(expected, key, &child), "%s is too much", below);
		no_more(child, value, below);
	}
}

void document_check(struct event *event, uint64_t sequence)
{
	struct json_object *found, *expected = document_example(sequence);

	event->sequence = sequence;
	found = document_written(event);
	compare(expected, found, "");
	no_more(expected, found, "");
	json_object_put(found);
	json_object_put(expected);
}

int document_travelled(struct event *event, struct wire_events *events)
{
	struct wire_batch *batch;
	struct buffer *up;
	char why[WIRE_WHY_SIZE];
	int error;

	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_add(batch, event);
	up = wire_batch_finish(batch, event->host, event->sequence, event->sequence);
	cr_assert_not_null(up);
	error = wire_read(events, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why);
	wire_bytes_free(up);
	wire_batch_close(batch);
	return error;
}

const char *document_at(struct json_object *document, const char *first, const char *second, const char *third)
{
	const char *const keys[] = {first, second, third};

	for (size_t i = 0; i < 3 && keys[i]; i++)
		if (!json_object_object_get_ex(document, keys[i], &document))
			return "";
	return json_object_get_string(document);
}
