/* SPDX-License-Identifier: Apache-2.0 */
#include "event/ecs.h"

#include <fcntl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "event/ecs_document.h"
#include "event/names.h"

void document_escaped(struct document *document, const char *field)
{
	for (size_t i = 0; i < document->escaped_count; i++)
		if (document->escaped[i] == field)
			return;
	if (document->escaped_count < ESCAPED_MAX)
		document->escaped[document->escaped_count++] = field;
}

void put_text_raw(struct document *document, const char *quoted, size_t length, const char *field, struct text value)
{
	if (value.length == 0)
		return;
	json_key_raw(&document->json, quoted, length);
	if (json_string(&document->json, value))
		document_escaped(document, field);
}
void put_number_text(struct json *json, uint64_t number)
{
	char digits[20];

	json_plain(json, digits, json_digits(digits, number));
}

void put_time(struct json *json, uint64_t unix_ns)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(text, unix_ns);
	json_plain(json, text, CLOCK_TEXT_SIZE - 1);
}

void put_name(void *json, const char *name)
{
	json_plain(json, name, strlen(name));
}

void ecs_hex(char *text, const uint8_t *bytes, size_t count)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
}

void ecs_entity(char text[ECS_ENTITY_TEXT], const uint8_t entity[EVENT_ENTITY_SIZE])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < EVENT_ENTITY_SIZE / 3; i++) {
		uint32_t three = (uint32_t)entity[3 * i] << 16 | (uint32_t)entity[3 * i + 1] << 8 | entity[3 * i + 2];

		for (size_t j = 0; j < 4; j++)
			text[4 * i + j] = digits[three >> (18 - 6 * j) & 63];
	}
}

void put_true_raw(struct json *json, const char *quoted, size_t length, bool value)
{
	if (!value)
		return;
	json_key_raw(json, quoted, length);
	json_boolean(json, true);
}
/* --- event, host ------------------------------------------------------------------------------------------------------ */

static void put_types(struct json *json, const struct event *event)
{
	json_array_begin(json);
	switch (event->action) {
	case EVENT_EXEC:
	case EVENT_FORK:
	case EVENT_CONTAINER_STARTED: json_literal(json, "start"); break;
	case EVENT_END:
	case EVENT_CONTAINER_STOPPED: json_literal(json, "end"); break;
	case EVENT_OPEN:
		if (event->file.created)
			json_literal(json, "creation");
		else if ((event->file.flags & O_ACCMODE) != O_RDONLY || event->file.flags & O_TRUNC)
			json_literal(json, "change");
		else
			json_literal(json, "access");
		break;
	case EVENT_LINK:
	case EVENT_SYMLINK:
	case EVENT_MKDIR: json_literal(json, "creation"); break;
	case EVENT_UNLINK:
	case EVENT_RMDIR: json_literal(json, "deletion"); break;
	case EVENT_RENAME:
	case EVENT_CHMOD:
	case EVENT_SETUID:
	case EVENT_SETNS:
	case EVENT_UNSHARE:
	case EVENT_MOUNT: json_literal(json, "change"); break;
	case EVENT_PTRACE: json_literal(json, "access"); break;
	case EVENT_MODULE: json_literal(json, "start"); break;
	case EVENT_CONNECT:
	case EVENT_ACCEPT:
	case EVENT_SEND:
	case EVENT_RECEIVE:
		json_literal(json, "connection");
		json_literal(json, "start");
		break;
	case EVENT_DISCONNECT:
		json_literal(json, "connection");
		json_literal(json, "end");
		break;
	case EVENT_FLOW:
		json_literal(json, "connection");
		put_name(json, event->network.going_on ? "info" : "end");
		break;
	case EVENT_DNS:
		json_literal(json, "protocol");
		json_literal(json, "info");
		break;
	default: json_literal(json, "info"); break;
	}
	json_array_end(json);
}

void put_event_id(struct document *document, uint64_t sequence, const char *field)
{
	const struct event *event = document->event;
	struct json *json = &document->json;
	struct buffer *out = json->out;
	char tail[1 + 2 * EVENT_EPOCH_SIZE + 1 + 20] = "-";
	size_t length = 1 + 2 * EVENT_EPOCH_SIZE;

	ecs_hex(tail + 1, event->host->epoch, EVENT_EPOCH_SIZE);
	tail[length++] = '-';
	length += json_digits(tail + length, sequence);
	if (json_string(json, event->host->id))
		document_escaped(document, field);
	if (out->failed)
		return;
	out->length--; /* the closing quote */
	buffer_append(out, tail, length);
	buffer_append(out, "\"", 1);
}

static void put_period(struct json *json, uint64_t start_ns, uint64_t end_ns)
{
	json_key(json, "start");
	put_time(json, start_ns);
	json_key(json, "end");
	put_time(json, end_ns);
}

static void put_event(struct document *document)
{
	static const char *const categories[] = {"process", "file", "network", "host", "host", "file", "process"};
	static const char *const datasets[] = {"taffrail.process", "taffrail.file", "taffrail.network",
		"taffrail.health", "taffrail.container", "taffrail.file", "taffrail.process"};
	static const char *const outcomes[] = {"success", "failure", "unknown"};
	const struct event *event = document->event;
	enum event_category category = event_action_category(event->action);
	struct json *json = &document->json;

	json_key(json, "event");
	json_object_begin(json);
	json_key(json, "id");
	put_event_id(document, event->sequence, "event.id");
	json_key(json, "kind");
	put_name(json, event->rule && !event->rule->allowed        ? "alert"
		       : category == EVENT_HEALTH && event->action ? "metric"
								   : "event");
	json_key(json, "category");
	json_array_begin(json);
	put_name(json, event->action == EVENT_MODULE ? "driver" : categories[category]);
	if (event->action == EVENT_TAMPER || event->action == EVENT_CGROUP_LEFT || event->action == EVENT_VERDICT)
		put_name(json, "intrusion_detection");
	json_array_end(json);
	json_key(json, "type");
	put_types(json, event);
	json_key(json, "action");
	put_name(json, event->action ? event_action_name(event->action) : "unknown");
	json_key(json, "outcome");
	put_name(json, outcomes[event->outcome]);
	if (event->error &&
		event->outcome != EVENT_FAILURE) { /* a connection that did end, but by a reset or a time-out */
		char room[16];

		json_key(json, "reason");
		put_name(json, name_of_error(event->error, room));
	}
	if (event->rule)
		json_member_unsigned(json, "severity", event->rule->severity);
	json_member_unsigned(json, "sequence", event->sequence);
	json_key(json, "module");
	json_literal(json, "taffrail");
	json_key(json, "dataset");
	put_name(json, event->action ? datasets[category] : "taffrail.unknown");
	if ((event->action == EVENT_DISCONNECT || event->action == EVENT_FLOW) && event->network.duration_ns)
		json_member_unsigned(json, "duration", event->network.duration_ns);
	if (event->action == EVENT_FLOW)
		put_period(json, event->time_ns - event->network.duration_ns, event->time_ns);
	if (event->action == EVENT_LOST)
		put_period(json, event->lost.start_ns, event->lost.end_ns);
	if (event->action == EVENT_FILTERED)
		put_period(json, event->filtered.start_ns, event->filtered.end_ns);
	if (event->action == EVENT_BUDGET)
		put_period(json, event->budget.start_ns, event->budget.end_ns);
	if (event->action == EVENT_ATTRIBUTION)
		put_period(json, event->attribution.start_ns, event->attribution.end_ns);
	json_object_end(json);
}

static void put_host(struct document *document)
{
	const struct event_host *host = document->event->host;
	struct json *json = &document->json;

	json_key(json, "host");
	json_object_begin(json);
	put_text(document, "id", "host.id", host->id);
	put_text(document, "name", "host.name", host->name);
	if (host->boot_id.length > 0) {
		json_key(json, "boot");
		json_object_begin(json);
		put_text(document, "id", "host.boot.id", host->boot_id);
		json_object_end(json);
	}
	json_key(json, "os");
	json_object_begin(json);
	json_key(json, "type");
	json_literal(json, "linux");
	json_object_end(json);
	json_object_end(json);
}

/* --- taffrail's own ------------------------------------------------------------------------------------------------- */

static void put_lists(struct document *document)
{
	const struct event *event = document->event;
	uint32_t truncated = event->truncated | (event->process ? event->process->truncated : 0);
	struct json *json = &document->json;

	if (truncated) {
		json_key(json, "truncated");
		json_array_begin(json);
		for (uint32_t bit = 1; bit && bit <= truncated; bit <<= 1)
			if (truncated & bit && event_cut_name(bit))
				put_name(json, event_cut_name(bit));
		json_array_end(json);
	}
	if (document->escaped_count > 0) {
		json_key(json, "escaped");
		json_array_begin(json);
		for (size_t i = 0; i < document->escaped_count; i++)
			put_name(json, document->escaped[i]);
		json_array_end(json);
	}
}

static bool is_by_need(enum event_action action)
{
	enum event_category category = event_action_category(action);

	return category == EVENT_CHANGE || category == EVENT_DEED || action == EVENT_SOCKET || action == EVENT_RECEIVE;
}

static void put_own(struct document *document)
{
	const struct event *event = document->event;
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "taffrail");

	if (!event->action)
		json_member_unsigned(json, "action", event->newer);
	if (event->action == EVENT_LOST)
		put_own_lost(document);
	if (event->action == EVENT_COVERAGE)
		put_own_coverage(document);
	if (event->action == EVENT_FILTERED)
		put_own_filtered(document);
	if (event->action == EVENT_ATTRIBUTION)
		put_own_attribution(document);
	if (event->action == EVENT_BUDGET)
		put_own_budget(document);
	if (event->rule)
		put_own_rule(document);
	put_own_container(document);
	put_own_workload(document);
	if (event->action == EVENT_CGROUP_LEFT)
		put_own_cgroup(document);
	if (event->process)
		put_own_process(document);
	/* How a program was named that was executed is the process's: its arguments and executable. */
	if (event->action == EVENT_OPEN ||
		(event->action == EVENT_EXEC && event->outcome != EVENT_SUCCESS && event->file.argument.length > 0))
		put_own_file(document);
	if (event_action_category(event->action) == EVENT_CHANGE)
		put_own_change(document);
	if (event_action_category(event->action) == EVENT_DEED)
		put_own_deed(document);
	if (event->action == EVENT_SOCKET ||
		((event->action == EVENT_SEND || event->action == EVENT_RECEIVE) &&
			(event->network.type == SOCK_RAW || event->network.family == AF_PACKET)))
		put_own_socket(document);
	if (event_action_category(event->action) == EVENT_NETWORK && event_flow_state_name(event->network.state))
		put_own_flow(document);
	/* Of what everybody does the usual call says no more than the action. */
	if (event_call_name(event->call) &&
		(is_by_need(event->action) || event->call != event_call_usual(event->action))) {
		json_key(json, "call");
		put_name(json, event_call_name(event->call));
	}
	put_true(json, "io_uring", event->io_uring);
	put_true(json, "runtime_setup", event->runtime_setup);
	put_true(json, "left_cgroup", event->left_cgroup);
	if (event->count > 1)
		json_member_unsigned(json, "count", event->count);
	put_true(json, "pending", event->pending);
	put_lists(document);
	json_optional_end(json, mark);
}

void ecs_write(struct buffer *out, const struct event *event)
{
	struct document document = {.json = json_begin(out), .event = event};
	struct json *json = &document.json;

	json_object_begin(json);
	json_key(json, "@timestamp");
	put_time(json, event->time_ns);
	if (event->rule)
		put_text(&document, "message", "message", event->rule->message);
	put_event(&document);
	if (event->rule)
		put_tags(&document);
	put_host(&document);
	if (event->container) {
		put_container(&document);
		put_orchestrator(&document);
		put_labels(&document);
	}
	if (event->process)
		put_process(&document);
	if (event->error && event->outcome == EVENT_FAILURE) {
		char room[16];

		json_key(json, "error");
		json_object_begin(json);
		json_key(json, "code");
		put_name(json, name_of_error(event->error, room));
		json_object_end(json);
	}
	if (event->action == EVENT_OPEN || event->action == EVENT_EXEC)
		put_file(&document);
	switch (event_action_category(event->action)) {
	case EVENT_NETWORK:
		/* A verdict need not be of a flow. */
		if (event->action != EVENT_VERDICT || event->network.family != 0)
			put_network(&document, &event->network);
		break;
	case EVENT_CHANGE: put_change(&document); break;
	case EVENT_DEED: put_deed(&document); break;
	default: break;
	}
	if (event->rule) {
		put_rule(&document);
		put_threat(&document);
	}
	put_own(&document);
	json_object_end(json);
}
