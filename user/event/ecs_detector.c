/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of a detector of behaviour: below taffrail.p2p, or for the others below taffrail.detector. */
#include "event/ecs_document.h"

/* A text of an array; bytes that are no UTF-8 are named. */
static void put_item(struct document *document, struct text text)
{
	if (json_string(&document->json, text))
		document_escaped(document, "taffrail.detector");
}

static void put_items(struct document *document, const struct text *texts, size_t count)
{
	json_array_begin(&document->json);
	for (size_t i = 0; i < count; i++)
		put_item(document, texts[i]);
	json_array_end(&document->json);
}

static void put_reasons(struct document *document, const struct event_detector *detector)
{
	struct json *json = &document->json;

	json_key(json, "reasons");
	json_array_begin(json);
	for (size_t i = 0; i < detector->reason_count; i++) {
		const struct event_reason *reason = &detector->reasons[i];

		json_object_begin(json);
		json_member_unsigned(json, "points", reason->points);
		json_key(json, "what");
		put_item(document, reason->what);
		json_key(json, "samples");
		put_items(document, reason->samples, reason->sample_count);
		json_object_end(json);
	}
	json_array_end(json);
}

static void put_files(struct document *document, const struct event_detector *detector, bool written)
{
	struct json *json = &document->json;

	json_array_begin(json);
	for (size_t i = 0; i < detector->file_count; i++)
		if (detector->files[i].written == written)
			put_item(document, detector->files[i].path);
	json_array_end(json);
}

void put_own_detector(struct document *document)
{
	const struct event_detector *detector = document->event->rule->detector;
	struct json *json = &document->json;
	bool peers = text_equal(detector->key, TEXT_LITERAL("p2p"));

	if (peers)
		json_key(json, "p2p");
	else
		json_key(json, "detector");
	json_object_begin(json);
	if (!peers)
		put_text(document, "name", "taffrail.detector", detector->key);
	put_text(document, "verdict", "taffrail.detector", detector->verdict);
	put_text(document, "family", "taffrail.detector", detector->family);
	json_member_unsigned(json, "score", detector->score);
	put_reasons(document, detector);
	json_key(json, "peers");
	put_items(document, detector->peers, detector->peer_count);
	if (detector->file_count > 0) {
		json_key(json, "files");
		json_object_begin(json);
		json_key(json, "written");
		put_files(document, detector, true);
		json_key(json, "opened");
		put_files(document, detector, false);
		json_object_end(json);
	}
	json_member_unsigned(json, "bytes_out", detector->bytes_out);
	json_member_unsigned(json, "bytes_in", detector->bytes_in);
	if (detector->first_ns) {
		json_key(json, "first_flow");
		put_time(json, detector->first_ns);
	}
	json_object_end(json);
}
