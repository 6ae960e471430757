/* SPDX-License-Identifier: Apache-2.0 */
/* The process of an ECS document: its own fields, its parent, its entry leader. */
#include <stdlib.h>

#include "event/command_line.h"
#include "event/ecs.h"
#include "event/ecs_document.h"
#include "event/names.h"

static void put_entity(struct json *json, const struct event_process *process)
{
	char text[ECS_ENTITY_TEXT];

	ecs_entity(text, process->entity);
	json_plain(json, text, sizeof(text));
}

void put_block(struct document *document, struct text block, const char *field)
{
	struct json *json = &document->json;

	json_array_begin(json);
	while (block.length > 0) {
		const char *end = memchr(block.data, '\0', block.length);
		struct text one = {block.data, end ? (size_t)(end - block.data) : block.length};
		size_t skip = one.length + (end != NULL);

		if (json_string(json, one))
			document_escaped(document, field);
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
		document_escaped(document, field);
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
	json_member_unsigned(json, "pid", parent->pid);
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
	json_member_unsigned(json, "pid", leader->pid);
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
	if (process->args_count > 0)
		json_member_unsigned(json, "args_count", process->args_count);
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
		json_member_unsigned(json, "major", process->tty_major);
		json_member_unsigned(json, "minor", process->tty_minor);
		json_object_end(json);
		json_object_end(json);
	}
}

/* An empty set is an absent field. */
static void put_capabilities(struct json *json, const char *key, uint64_t set)
{
	if (!set)
		return;
	json_key_text(json, text_of(key));
	json_array_begin(json);
	name_capabilities(set, put_name, json);
	json_array_end(json);
}

/* Only an exec tells all of the credentials: they are its own, and the other documents stay small. */
static void put_exec_credentials(struct json *json, const struct event_process *process)
{
	put_id_object(json, "real_user", process->real_uid);
	put_id_object(json, "real_group", process->real_gid);
	if (!process->cap_effective && !process->cap_permitted)
		return;
	json_key(json, "thread");
	json_object_begin(json);
	json_key(json, "capabilities");
	json_object_begin(json);
	put_capabilities(json, "effective", process->cap_effective);
	put_capabilities(json, "permitted", process->cap_permitted);
	json_object_end(json);
	json_object_end(json);
}

void put_process(struct document *document)
{
	const struct event *event = document->event;
	const struct event_process *process = event->process;
	struct json *json = &document->json;

	json_key(json, "process");
	json_object_begin(json);
	json_key(json, "entity_id");
	put_entity(json, process);
	json_member_unsigned(json, "pid", process->pid);
	if (process->vpid)
		json_member_unsigned(json, "vpid", process->vpid);
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
	if (event->action == EVENT_END)
		json_member_signed(json, "exit_code", event->end.code);
	if (event->action == EVENT_EXEC && event->outcome == EVENT_SUCCESS && process->image_known)
		put_exec_credentials(json, process);
	json_object_end(json);
}

void put_exec_id(struct json *json, const struct event_process *process)
{
	char id[ECS_ENTITY_TEXT + 1 + 20];
	size_t length = ECS_ENTITY_TEXT;

	ecs_entity(id, process->entity);
	id[length++] = '.';
	length += json_digits(id + length, process->exec_counter);
	json_plain(json, id, length);
}

void put_own_process(struct document *document)
{
	const struct event *event = document->event;
	const struct event_process *process = event->process;
	struct json *json = &document->json;

	json_key(json, "process");
	json_object_begin(json);
	json_key(json, "exec_id");
	put_exec_id(json, process);
	put_text(document, "script", "taffrail.process.script", process->script);
	put_true(json, "deleted", process->deleted);
	put_true(json, "memfd", process->memfd);
	put_true(json, "upper_layer", process->upper);
	put_true(json, "copied_up", process->copied_up);
	put_true(json, "foreign", process->foreign);
	if (event->action == EVENT_END && event->end.signal)
		json_member_signed(json, "exit_signal", event->end.signal);
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
		if (process->ctime_ns || process->mtime_ns) {
			json_key(json, "executable_ctime");
			put_time(json, process->ctime_ns);
			json_key(json, "executable_mtime");
			put_time(json, process->mtime_ns);
		}
		if (process->namespace_ns) {
			json_key(json, "namespace_start");
			put_time(json, process->namespace_ns);
		}
		json_key(json, "descriptors");
		json_array_begin(json);
		for (size_t i = 0; i < sizeof(process->fd_types); i++)
			put_name(json, name_of_descriptor(process->fd_types[i]));
		json_array_end(json);
	}
	json_object_end(json);
}
