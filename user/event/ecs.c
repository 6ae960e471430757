/* SPDX-License-Identifier: Apache-2.0 */
#include "event/ecs.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/json.h"
#include "event/command_line.h"
#include "event/community.h"
#include "event/names.h"

enum { ESCAPED_MAX = 16 };

/* A document being written. */
struct document {
	struct json json;
	const struct event *event;
	const char *escaped[ESCAPED_MAX]; /* names of fields that held bytes which are not UTF-8 */
	size_t escaped_count;
};

static void note_escaped(struct document *document, const char *field)
{
	for (size_t i = 0; i < document->escaped_count; i++)
		if (document->escaped[i] == field)
			return;
	if (document->escaped_count < ESCAPED_MAX)
		document->escaped[document->escaped_count++] = field;
}

static void put_text_raw(struct document *document, const char *quoted, size_t length, const char *field,
	struct text value)
{
	if (value.length == 0)
		return;
	json_key_raw(&document->json, quoted, length);
	if (json_string(&document->json, value))
		note_escaped(document, field);
}
/* A string under `key`, left out when empty; `field` is its full name. */
#define put_text(document, key, field, value)                                                                          \
	put_text_raw(document, "\"" key "\":", sizeof("\"" key "\":") - 1, field, value)

static void put_number_text(struct json *json, uint64_t number)
{
	char digits[20];

	json_plain(json, digits, json_digits(digits, number));
}

static void put_time(struct json *json, uint64_t unix_ns)
{
	char text[CLOCK_TEXT_SIZE];

	clock_format(text, unix_ns);
	json_plain(json, text, CLOCK_TEXT_SIZE - 1);
}

static void put_name(void *json, const char *name)
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

static void put_entity(struct json *json, const struct event_process *process)
{
	char text[ECS_ENTITY_TEXT];

	ecs_entity(text, process->entity);
	json_plain(json, text, sizeof(text));
}

/* --- event, host ------------------------------------------------------------------------------------------------------ */

static void put_types(struct json *json, const struct event *event)
{
	json_array_begin(json);
	switch (event->action) {
	case EVENT_EXEC:
	case EVENT_FORK: json_literal(json, "start"); break;
	case EVENT_END: json_literal(json, "end"); break;
	case EVENT_OPEN:
		if (event->file.created)
			json_literal(json, "creation");
		else if ((event->file.flags & O_ACCMODE) != O_RDONLY || event->file.flags & O_TRUNC)
			json_literal(json, "change");
		else
			json_literal(json, "access");
		break;
	case EVENT_CONNECT:
	case EVENT_ACCEPT:
	case EVENT_SEND:
		json_literal(json, "connection");
		json_literal(json, "start");
		break;
	case EVENT_DISCONNECT:
		json_literal(json, "connection");
		json_literal(json, "end");
		break;
	default: json_literal(json, "info"); break;
	}
	json_array_end(json);
}

static void put_id(struct document *document)
{
	const struct event *event = document->event;
	struct json *json = &document->json;
	struct buffer *out = json->out;
	char tail[1 + 2 * EVENT_EPOCH_SIZE + 1 + 20] = "-";
	size_t length = 1 + 2 * EVENT_EPOCH_SIZE;

	ecs_hex(tail + 1, event->host->epoch, EVENT_EPOCH_SIZE);
	tail[length++] = '-';
	length += json_digits(tail + length, event->sequence);
	json_key(json, "id");
	if (json_string(json, event->host->id))
		note_escaped(document, "event.id");
	if (out->failed)
		return;
	out->length--; /* the closing quote */
	buffer_append(out, tail, length);
	buffer_append(out, "\"", 1);
}

static void put_event(struct document *document)
{
	static const char *const categories[] = {"process", "file", "network", "host"};
	static const char *const datasets[] = {
		"taffrail.process", "taffrail.file", "taffrail.network", "taffrail.health"};
	static const char *const outcomes[] = {"success", "failure", "unknown"};
	const struct event *event = document->event;
	enum event_category category = event_action_category(event->action);
	struct json *json = &document->json;

	json_key(json, "event");
	json_object_begin(json);
	put_id(document);
	json_key(json, "kind");
	put_name(json, category == EVENT_HEALTH ? "metric" : "event");
	json_key(json, "category");
	json_array_begin(json);
	put_name(json, categories[category]);
	json_array_end(json);
	json_key(json, "type");
	put_types(json, event);
	json_key(json, "action");
	put_name(json, event_action_name(event->action));
	json_key(json, "outcome");
	put_name(json, outcomes[event->outcome]);
	json_key(json, "sequence");
	json_unsigned(json, event->sequence);
	json_key(json, "module");
	json_literal(json, "taffrail");
	json_key(json, "dataset");
	put_name(json, datasets[category]);
	if (event->action == EVENT_DISCONNECT && event->network.duration_ns) {
		json_key(json, "duration");
		json_unsigned(json, event->network.duration_ns);
	}
	if (event->action == EVENT_LOST) {
		json_key(json, "start");
		put_time(json, event->lost.start_ns);
		json_key(json, "end");
		put_time(json, event->lost.end_ns);
	}
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

/* --- container, pod --------------------------------------------------------------------------------------------------- */

static void put_one_in_array(struct document *document, struct text text, const char *field)
{
	json_array_begin(&document->json);
	if (json_string(&document->json, text))
		note_escaped(document, field);
	json_array_end(&document->json);
}

static void put_container(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;
	struct json_mark image, hash;
	char id[2 * EVENT_CONTAINER_ID_SIZE];

	ecs_hex(id, container->id, sizeof(container->id));
	json_key(json, "container");
	json_object_begin(json);
	json_key(json, "id");
	json_plain(json, id, sizeof(id));
	put_text(document, "name", "container.name", container->name);
	image = json_optional_begin(json, "image");
	put_text(document, "name", "container.image.name", container->image_name);
	if (container->image_tag.length > 0) {
		json_key(json, "tag");
		put_one_in_array(document, container->image_tag, "container.image.tag");
	}
	hash = json_optional_begin(json, "hash");
	if (container->image_digest.length > 0) {
		json_key(json, "all");
		put_one_in_array(document, container->image_digest, "container.image.hash.all");
	}
	json_optional_end(json, hash);
	json_optional_end(json, image);
	json_object_end(json);
}

static void put_orchestrator(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;

	if (container->pod_name.length == 0)
		return;
	json_key(json, "orchestrator");
	json_object_begin(json);
	json_key(json, "type");
	json_literal(json, "kubernetes");
	if (document->event->host->cluster.length > 0) {
		json_key(json, "cluster");
		json_object_begin(json);
		put_text(document, "name", "orchestrator.cluster.name", document->event->host->cluster);
		json_object_end(json);
	}
	put_text(document, "namespace", "orchestrator.namespace", container->pod_namespace);
	json_key(json, "resource");
	json_object_begin(json);
	json_key(json, "type");
	json_literal(json, "pod");
	put_text(document, "name", "orchestrator.resource.name", container->pod_name);
	put_text(document, "id", "orchestrator.resource.id", container->pod_uid);
	if (container->pod_ip_count > 0) {
		json_key(json, "ip");
		json_array_begin(json);
		for (size_t i = 0; i < container->pod_ip_count; i++)
			json_string(json, container->pod_ips[i]);
		json_array_end(json);
	}
	json_object_end(json);
	json_object_end(json);
}

static void put_labels(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;

	if (container->label_count == 0)
		return;
	json_key(json, "kubernetes");
	json_object_begin(json);
	json_key(json, "labels");
	json_object_begin(json);
	for (size_t i = 0; i < container->label_count; i++) {
		bool key = json_key_text(json, container->labels[i].key);

		if (json_string(json, container->labels[i].value) || key)
			note_escaped(document, "kubernetes.labels");
	}
	json_object_end(json);
	json_object_end(json);
}

/* --- process ---------------------------------------------------------------------------------------------------------- */

/* The strings of a NUL-separated block as an array. */
static void put_block(struct document *document, struct text block, const char *field)
{
	struct json *json = &document->json;

	json_array_begin(json);
	while (block.length > 0) {
		const char *end = memchr(block.data, '\0', block.length);
		struct text one = {block.data, end ? (size_t)(end - block.data) : block.length};
		size_t skip = one.length + (end != NULL);

		if (json_string(json, one))
			note_escaped(document, field);
		block.data += skip;
		block.length -= skip;
	}
	json_array_end(json);
}

static void put_command_line(struct document *document, struct text args, const char *field)
{
	char room[4096];
	struct text line;

	if (args.length == 0)
		return;
	line = command_line(args, room, sizeof(room));
	if (!line.data) {
		document->json.out->failed = true;
		return;
	}
	json_key(&document->json, "command_line");
	if (json_string(&document->json, line))
		note_escaped(document, field);
	if (line.data != room)
		free((void *)(uintptr_t)line.data);
}

static void put_parent(struct document *document, const struct event_process *parent)
{
	struct json *json = &document->json;

	json_key(json, "parent");
	json_object_begin(json);
	json_key(json, "entity_id");
	put_entity(json, parent);
	json_key(json, "pid");
	json_unsigned(json, parent->pid);
	put_text(document, "name", "process.parent.name", parent->name);
	put_text(document, "executable", "process.parent.executable", parent->executable);
	put_command_line(document, parent->args, "process.parent.command_line");
	json_object_end(json);
}

static void put_entry_leader(struct document *document, const struct event_process *leader)
{
	static const char *const entries[] = {"unknown", "container", "runtime-exec"};
	struct json *json = &document->json;

	json_key(json, "entry_leader");
	json_object_begin(json);
	json_key(json, "entity_id");
	put_entity(json, leader);
	json_key(json, "pid");
	json_unsigned(json, leader->pid);
	put_text(document, "name", "process.entry_leader.name", leader->name);
	json_key(json, "entry_meta");
	json_object_begin(json);
	json_key(json, "type");
	put_name(json, entries[leader->entry]);
	json_object_end(json);
	json_object_end(json);
}

/* An object that holds a number as its id: user, group. */
#define put_id_object(json, key, number)                                                                               \
	do {                                                                                                           \
		json_key(json, key);                                                                                   \
		json_object_begin(json);                                                                               \
		json_key(json, "id");                                                                                  \
		put_number_text(json, number);                                                                         \
		json_object_end(json);                                                                                 \
	} while (0)

/* What the image is known to hold: not for a process that was seen as an ancestor only. */
static void put_image(struct document *document, const struct event_process *process)
{
	struct json *json = &document->json;

	if (process->args.length > 0) {
		json_key(json, "args");
		put_block(document, process->args, "process.args");
	}
	if (process->args_count > 0) {
		json_key(json, "args_count");
		json_unsigned(json, process->args_count);
	}
	put_command_line(document, process->args, "process.command_line");
	if (process->environment.length > 0 && document->event->action == EVENT_EXEC) {
		json_key(json, "env_vars");
		put_block(document, process->environment, "process.env_vars");
	}
	put_text(document, "working_directory", "process.working_directory", process->working_directory);
	put_id_object(json, "user", process->uid);
	put_id_object(json, "group", process->gid);
	if (process->tty_major || process->tty_minor) {
		json_key(json, "tty");
		json_object_begin(json);
		json_key(json, "char_device");
		json_object_begin(json);
		json_key(json, "major");
		json_unsigned(json, process->tty_major);
		json_key(json, "minor");
		json_unsigned(json, process->tty_minor);
		json_object_end(json);
		json_object_end(json);
	}
}

/* Only an exec tells all of the credentials: they are its own, and the other documents stay small. */
static void put_exec_credentials(struct json *json, const struct event_process *process)
{
	put_id_object(json, "real_user", process->real_uid);
	put_id_object(json, "real_group", process->real_gid);
	json_key(json, "thread");
	json_object_begin(json);
	json_key(json, "capabilities");
	json_object_begin(json);
	json_key(json, "effective");
	json_array_begin(json);
	name_capabilities(process->cap_effective, put_name, json);
	json_array_end(json);
	json_key(json, "permitted");
	json_array_begin(json);
	name_capabilities(process->cap_permitted, put_name, json);
	json_array_end(json);
	json_object_end(json);
	json_object_end(json);
}

static void put_process(struct document *document)
{
	const struct event *event = document->event;
	const struct event_process *process = event->process;
	struct json *json = &document->json;

	json_key(json, "process");
	json_object_begin(json);
	json_key(json, "entity_id");
	put_entity(json, process);
	json_key(json, "pid");
	json_unsigned(json, process->pid);
	if (process->vpid) {
		json_key(json, "vpid");
		json_unsigned(json, process->vpid);
	}
	put_text(document, "name", "process.name", process->name);
	put_text(document, "executable", "process.executable", process->executable);
	if (process->image_known)
		put_image(document, process);
	json_key(json, "start");
	put_time(json, process->start_ns);
	if (process->parent)
		put_parent(document, process->parent);
	if (process->entry_leader)
		put_entry_leader(document, process->entry_leader);
	if (event->action == EVENT_END) {
		json_key(json, "exit_code");
		json_signed(json, event->end.code);
	}
	if (event->action == EVENT_EXEC && event->outcome == EVENT_SUCCESS && process->image_known)
		put_exec_credentials(json, process);
	json_object_end(json);
}

/* --- file, network ---------------------------------------------------------------------------------------------------- */

static void put_file(struct document *document)
{
	const struct event_file *file = &document->event->file;
	struct json *json = &document->json;
	const char *slash = file->path.length > 0 ? memrchr(file->path.data, '/', file->path.length) : NULL;
	struct text path = file->path, name = path, directory = {0}, extension = {0};
	const char *type = name_of_file_type(file->mode), *dot;

	if (path.length == 0)
		return;
	if (slash) {
		name = (struct text){slash + 1, path.length - (size_t)(slash - path.data) - 1};
		directory = (struct text){path.data, slash > path.data ? (size_t)(slash - path.data) : 1};
	}
	dot = name.length > 0 ? memrchr(name.data, '.', name.length) : NULL;
	if (dot && dot > name.data)
		extension = (struct text){dot + 1, name.length - (size_t)(dot - name.data) - 1};
	json_key(json, "file");
	json_object_begin(json);
	put_text(document, "path", "file.path", path);
	put_text(document, "name", "file.name", name);
	put_text(document, "directory", "file.directory", directory);
	put_text(document, "extension", "file.extension", extension);
	if (type) {
		char mode[8];

		snprintf(mode, sizeof(mode), "%04o", file->mode & 07777u);
		json_key(json, "inode");
		put_number_text(json, file->inode);
		json_key(json, "mode");
		put_name(json, mode);
		json_key(json, "type");
		put_name(json, type);
	}
	json_object_end(json);
}

static void put_end(struct document *document, bool server, const struct event_address *address, uint64_t bytes)
{
	struct json *json = &document->json;
	const struct event_network *network = &document->event->network;
	char text[INET6_ADDRSTRLEN];

	if (address->family) {
		inet_ntop(address->family, address->bytes, text, sizeof(text));
		json_key(json, "ip");
		put_name(json, text);
		json_key(json, "port");
		json_unsigned(json, address->port);
	} else if (server && network->unix_name.length > 0) {
		struct text name = network->unix_name;
		char abstract[256] = "@";

		if (name.data[0] == '\0') {
			size_t length = name.length < sizeof(abstract) ? name.length : sizeof(abstract);

			memcpy(abstract + 1, name.data + 1, length - 1);
			name = (struct text){abstract, length};
		}
		put_text(document, "address", "destination.address", name);
	}
	if (document->event->action == EVENT_DISCONNECT) {
		json_key(json, "bytes");
		json_unsigned(json, bytes);
	}
}

static void put_network(struct document *document)
{
	const struct event_network *network = &document->event->network;
	const char *transport = name_of_transport(network->family, network->protocol);
	bool inet = network->family == AF_INET || network->family == AF_INET6;
	struct json *json = &document->json;
	struct json_mark mark;
	char id[COMMUNITY_TEXT];

	mark = json_optional_begin(json, "source");
	put_end(document, false, &network->source, network->source_bytes);
	json_optional_end(json, mark);
	mark = json_optional_begin(json, "destination");
	put_end(document, true, &network->destination, network->destination_bytes);
	json_optional_end(json, mark);
	mark = json_optional_begin(json, "network");
	if (transport) {
		json_key(json, "transport");
		put_name(json, transport);
	}
	if (inet) {
		json_key(json, "type");
		put_name(json, network->family == AF_INET ? "ipv4" : "ipv6");
		json_key(json, "direction");
		put_name(json, network->ingress ? "ingress" : "egress");
	}
	if (document->event->action != EVENT_LISTEN && community_id(id, network)) {
		json_key(json, "community_id");
		json_plain(json, id, sizeof(id));
	}
	if (document->event->action == EVENT_DISCONNECT) {
		json_key(json, "bytes");
		json_unsigned(json, network->source_bytes + network->destination_bytes);
	}
	json_optional_end(json, mark);
}

/* --- taffrail's own --------------------------------------------------------------------------------------------------- */

static void put_flag(struct json *json, const char *quoted, size_t length, bool value)
{
	if (!value)
		return;
	json_key_raw(json, quoted, length);
	json_boolean(json, true);
}
#define put_true(json, key, value) put_flag(json, "\"" key "\":", sizeof("\"" key "\":") - 1, value)

static void put_own_process(struct document *document)
{
	const struct event *event = document->event;
	const struct event_process *process = event->process;
	struct json *json = &document->json;
	char id[ECS_ENTITY_TEXT + 1 + 20];
	size_t length = ECS_ENTITY_TEXT;

	json_key(json, "process");
	json_object_begin(json);
	ecs_entity(id, process->entity);
	id[length++] = '.';
	length += json_digits(id + length, process->exec_counter);
	json_key(json, "exec_id");
	json_plain(json, id, length);
	put_text(document, "script", "taffrail.process.script", process->script);
	put_true(json, "deleted", process->deleted);
	put_true(json, "memfd", process->memfd);
	put_true(json, "upper_layer", process->upper);
	put_true(json, "copied_up", process->copied_up);
	put_true(json, "foreign", process->foreign);
	if (event->action == EVENT_END && event->end.signal) {
		json_key(json, "exit_signal");
		json_signed(json, event->end.signal);
	}
	if (event->action == EVENT_EXEC && event->outcome == EVENT_SUCCESS && process->image_known) {
		put_text(document, "tty", "taffrail.process.tty", process->tty);
		if (process->login_uid != UINT32_MAX) {
			json_key(json, "login_uid");
			put_number_text(json, process->login_uid);
		}
		if (process->session_id != UINT32_MAX) {
			json_key(json, "session_id");
			put_number_text(json, process->session_id);
		}
		json_key(json, "descriptors");
		json_array_begin(json);
		for (size_t i = 0; i < sizeof(process->fd_types); i++)
			put_name(json, name_of_descriptor(process->fd_types[i]));
		json_array_end(json);
	}
	json_object_end(json);
}

static void put_own_file(struct document *document)
{
	const struct event_file *file = &document->event->file;
	struct json *json = &document->json;

	json_key(json, "file");
	json_object_begin(json);
	put_text(document, "argument", "taffrail.file.argument", file->argument);
	if (document->event->action == EVENT_OPEN) {
		json_key(json, "flags");
		json_array_begin(json);
		name_open_flags(file->flags, put_name, json);
		json_array_end(json);
	}
	put_true(json, "foreign", file->foreign);
	put_true(json, "deleted", file->deleted);
	put_true(json, "upper_layer", file->upper);
	put_true(json, "copied_up", file->copied_up);
	put_true(json, "unsure", file->unsure);
	json_object_end(json);
}

static void put_lost(struct document *document)
{
	const struct event_lost *lost = &document->event->lost;
	struct json *json = &document->json;

	json_key(json, "lost");
	json_object_begin(json);
	json_key(json, "count");
	json_unsigned(json, lost->count);
	json_key(json, "kinds");
	json_array_begin(json);
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (lost->kinds >> action & 1)
			put_name(json, event_action_name(action));
	json_array_end(json);
	put_text(document, "stage", "taffrail.lost.stage", lost->stage);
	if (lost->cpu >= 0) {
		json_key(json, "cpu");
		json_signed(json, lost->cpu);
	}
	if (lost->last > 0) {
		json_key(json, "first");
		put_number_text(json, lost->first);
		json_key(json, "last");
		put_number_text(json, lost->last);
	}
	json_object_end(json);
}

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

static void put_own(struct document *document)
{
	const struct event *event = document->event;
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "taffrail");

	if (event->action == EVENT_LOST)
		put_lost(document);
	if (event->process)
		put_own_process(document);
	if (event->action == EVENT_OPEN || (event->action == EVENT_EXEC && event->file.argument.length > 0))
		put_own_file(document);
	if (event->count > 1) {
		json_key(json, "count");
		json_unsigned(json, event->count);
	}
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
	put_event(&document);
	put_host(&document);
	if (event->container) {
		put_container(&document);
		put_orchestrator(&document);
		put_labels(&document);
	}
	if (event->process)
		put_process(&document);
	if (event->error) {
		char room[16];

		json_key(json, "error");
		json_object_begin(json);
		json_key(json, "code");
		put_name(json, name_of_error(event->error, room));
		json_object_end(json);
	}
	if (event->action == EVENT_OPEN)
		put_file(&document);
	if (event_action_category(event->action) == EVENT_NETWORK)
		put_network(&document);
	put_own(&document);
	json_object_end(json);
}
