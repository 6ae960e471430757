/* SPDX-License-Identifier: Apache-2.0 */
/* Events and the documents that events.ndjson has for them: what the tests of the ECS face share. */
#ifndef TAFFRAIL_TEST_DOCUMENT_H
#define TAFFRAIL_TEST_DOCUMENT_H

#include <json-c/json.h>

#include "event/event.h"
#include "event/wire.h"

#define DOCUMENT_TIME 1767323045123456789ull /* 2026-01-02T03:04:05.123456789Z */

extern struct event_host document_host;
extern struct event_container document_container;
extern struct event_process document_process; /* wget, started by a shell, its entry leader */

/* An event of that process, in that container, at that time. */
struct event document_event(enum event_action action);

/* The event's document, and the example with this event.sequence: json_object_put it. */
struct json_object *document_written(const struct event *event);
struct json_object *document_example(uint64_t sequence);

/* Writes the event with this sequence, and compares it with its example. */
void document_check(struct event *event, uint64_t sequence);

/* What the wire makes of it: as wire_read returns. */
int document_travelled(struct event *event, struct wire_events *events);

/* The value under up to three keys as a string; "" where there is none. */
const char *document_at(struct json_object *document, const char *first, const char *second, const char *third);

#endif
