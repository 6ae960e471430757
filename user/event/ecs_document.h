/* SPDX-License-Identifier: Apache-2.0 */
/* A document while it is being written: what the parts of the ECS face share with one another, and nobody else. */
#ifndef TAFFRAIL_EVENT_ECS_DOCUMENT_H
#define TAFFRAIL_EVENT_ECS_DOCUMENT_H

#include "base/json.h"
#include "event/event.h"

enum { ESCAPED_MAX = 32 };

struct document {
	struct json json;
	const struct event *event;
	const char *escaped[ESCAPED_MAX]; /* names of fields that held bytes which are not UTF-8 */
	size_t escaped_count;
};

/* Notes that the field of this name (a literal) was escaped. */
void document_escaped(struct document *document, const char *field);

/* A string under `key`, left out when empty; `field` is its full name. */
#define put_text(document, key, field, value)                                                                          \
	put_text_raw(document, "\"" key "\":", sizeof("\"" key "\":") - 1, field, value)
void put_text_raw(struct document *document, const char *quoted, size_t length, const char *field, struct text value);

/* `true` under `key`, left out when false. */
#define put_true(json, key, value) put_true_raw(json, "\"" key "\":", sizeof("\"" key "\":") - 1, value)
void put_true_raw(struct json *json, const char *quoted, size_t length, bool value);

/* A number as a string; a time as RFC 3339; a name that needs no escape (`json` is void * for the name tables). */
void put_number_text(struct json *json, uint64_t number);
void put_time(struct json *json, uint64_t unix_ns);
void put_name(void *json, const char *name);

/* The id of this host's event of that number, the id of a process image; as values. `field` as put_text. */
void put_event_id(struct document *document, uint64_t sequence, const char *field);
void put_exec_id(struct json *json, const struct event_process *process);

/* A path with its parts, into the object "file" that is begun. */
void put_path(struct document *document, struct text path);

/* The strings of a NUL-separated block as an array. */
void put_block(struct document *document, struct text block, const char *field);

/* The members of the document, each with its key. */
void put_container(struct document *document);
void put_orchestrator(struct document *document);
void put_labels(struct document *document);
void put_process(struct document *document);
void put_file(struct document *document);
void put_network(struct document *document, const struct event_network *network);
void put_change(struct document *document);
void put_deed(struct document *document);
void put_rule(struct document *document);
void put_tags(struct document *document);
void put_threat(struct document *document);

/* The same below "taffrail". */
void put_own_container(struct document *document);
void put_own_workload(struct document *document);
void put_own_cgroup(struct document *document);
void put_own_process(struct document *document);
void put_own_file(struct document *document);
void put_own_lost(struct document *document);
void put_own_coverage(struct document *document);
void put_own_filtered(struct document *document);
void put_own_budget(struct document *document);
void put_own_attribution(struct document *document);
void put_own_socket(struct document *document);
void put_own_flow(struct document *document);
/* With the evidence, and what a detector of behaviour says. */
void put_own_rule(struct document *document);
void put_own_detector(struct document *document);

/* What a rule's output names, as an object. `*escaped` becomes the field's name if bytes were not UTF-8. */
void put_output_fields(struct json *json, const struct event_rule *rule, const char **escaped);
void put_own_change(struct document *document);
void put_own_deed(struct document *document);

#endif
