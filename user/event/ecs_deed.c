/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of changed names and modes, and of deeds. */
#include <stdio.h>
#include <sys/socket.h>

#include "event/ecs_document.h"
#include "event/names.h"

enum { ID_UNCHANGED = -1 };

static void put_mode(struct json *json, uint32_t mode)
{
	char text[8];

	snprintf(text, sizeof(text), "%04o", mode & 07777u);
	json_key(json, "mode");
	put_name(json, text);
}

void put_change(struct document *document)
{
	const struct event *event = document->event;
	const struct event_change *change = &event->change;
	struct json *json = &document->json;

	if (change->path.length == 0)
		return;
	json_key(json, "file");
	json_object_begin(json);
	put_path(document, change->path);
	put_text(document, "target_path", "file.target_path",
		event->action == EVENT_SYMLINK ? change->target : change->new_path);
	if (change->inode) {
		json_key(json, "inode");
		put_number_text(json, change->inode);
	}
	if (event->action == EVENT_CHMOD || event->action == EVENT_MKDIR)
		put_mode(json, change->mode);
	json_object_end(json);
}

void put_own_change(struct document *document)
{
	const struct event_change *change = &document->event->change;
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "file");

	put_text(document, "argument", "taffrail.file.argument", change->argument);
	if (!text_equal(change->named, change->path))
		put_text(document, "named", "taffrail.file.named", change->named);
	put_text(document, "new_argument", "taffrail.file.new_argument", change->new_argument);
	if (!text_equal(change->new_named, change->new_path))
		put_text(document, "new_named", "taffrail.file.new_named", change->new_named);
	if (change->flags) {
		json_key(json, "flags");
		json_array_begin(json);
		name_change_flags(document->event, put_name, json);
		json_array_end(json);
	}
	json_optional_end(json, mark);
}

/* Is the id that changed a group's? */
static bool is_group(enum event_call call)
{
	return call == EVENT_CALL_SETGID || call == EVENT_CALL_SETREGID || call == EVENT_CALL_SETRESGID ||
	       call == EVENT_CALL_SETFSGID;
}

/* The user whom the process was, and whom it became. */
static void put_user(struct document *document)
{
	const struct event *event = document->event;
	struct json *json = &document->json;
	bool group = is_group(event->call);

	if (event->deed.id == (uint32_t)ID_UNCHANGED)
		return;
	json_key(json, "user");
	json_object_begin(json);
	if (event->process && event->process->image_known) {
		json_key(json, "id");
		put_number_text(json, event->process->uid);
	}
	json_key(json, "changes");
	json_object_begin(json);
	if (group) {
		json_key(json, "group");
		json_object_begin(json);
	}
	json_key(json, "id");
	put_number_text(json, event->deed.id);
	if (group)
		json_object_end(json);
	json_object_end(json);
	json_object_end(json);
}

void put_deed(struct document *document)
{
	const struct event_deed *deed = &document->event->deed;
	struct json *json = &document->json;

	if (document->event->action == EVENT_SETUID)
		put_user(document);
	if (deed->path.length > 0 && deed->path.data[0] == '/') {
		json_key(json, "file");
		json_object_begin(json);
		put_path(document, deed->path);
		json_object_end(json);
	}
	if (deed->socket.family == AF_INET || deed->socket.family == AF_INET6)
		put_network(document, &deed->socket);
}

static void put_tracee(struct document *document)
{
	const struct event_deed *deed = &document->event->deed;
	struct json *json = &document->json;

	json_key(json, "tracee");
	json_object_begin(json);
	json_member_unsigned(json, "pid", deed->other);
	put_text(document, "name", "taffrail.deed.tracee.name", deed->other_name);
	json_object_end(json);
}

/* What a descriptor is, that was doubled. */
static void put_descriptor(struct document *document)
{
	const struct event_deed *deed = &document->event->deed;
	struct json *json = &document->json;

	json_member_unsigned(json, "old_descriptor", deed->request);
	if (!deed->descriptor_type)
		return;
	json_key(json, "descriptor_type");
	put_name(json, name_of_descriptor((uint8_t)deed->descriptor_type));
	if (deed->path.length > 0 && deed->path.data[0] != '/')
		put_text(document, "descriptor_name", "taffrail.deed.descriptor_name", deed->path);
}

void put_own_deed(struct document *document)
{
	const struct event *event = document->event;
	const struct event_deed *deed = &event->deed;
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "deed");
	char room[24];

	switch (event->action) {
	case EVENT_PTRACE:
	case EVENT_BPF:
	case EVENT_SETNS:
		json_key(json, "request");
		put_name(json, name_of_request(event, room));
		break;
	case EVENT_DUP: put_descriptor(document); break;
	default: break;
	}
	if (event->action == EVENT_PTRACE)
		put_tracee(document);
	if (event->descriptor >= 0)
		json_member_unsigned(json, "descriptor", (uint64_t)event->descriptor);
	if (deed->flags) {
		json_key(json, "flags");
		json_array_begin(json);
		name_deed_flags(event, put_name, json);
		json_array_end(json);
	}
	put_text(document, "source", "taffrail.deed.source", deed->source);
	put_text(document, "type", "taffrail.deed.type", deed->type);
	put_text(document, "data", "taffrail.deed.data", deed->data);
	json_optional_end(json, mark);
}
