/* SPDX-License-Identifier: Apache-2.0 */
/* fd.*: the descriptor that a call was about or that it made, as far as it is a file; field_network.c has the rest. */
#include <sys/socket.h>
#include <sys/stat.h>

#include "detect/field.h"

enum which {
	NUMBER,
	TYPE,
	TYPE_CHARACTER,
	NAME,
	RAW_NAME,
	KERNEL_PATH,
	DIRECTORY,
	FILE_NAME,
	INODE,
	UPPER,
	LOWER,
	ABSOLUTE,
	ABSOLUTE_OLD,
	ABSOLUTE_NEW
};

enum path { PATH, RAW_PATH, SOURCE_PATH, RAW_SOURCE_PATH, TARGET_PATH, RAW_TARGET_PATH };

/* What the kernel's side says of a descriptor: event_deed.descriptor_type. */
enum { OF_FILE = 1, OF_DIRECTORY, OF_CHAR, OF_BLOCK, OF_PIPE, OF_UNIX, OF_INET };

struct descriptor_type {
	char character;
	struct text name;
};

const struct event_network *field_socket(const struct event *event)
{
	switch (event->action) {
	case EVENT_CONNECT:
	case EVENT_ACCEPT:
	case EVENT_LISTEN:
	case EVENT_SEND:
	case EVENT_RECEIVE:
	case EVENT_SOCKET: return &event->network;
	case EVENT_DUP: return event->deed.socket.family ? &event->deed.socket : NULL;
	default: return NULL;
	}
}

bool field_descriptor(const struct event *event, int64_t *number)
{
	bool failed = event->outcome == EVENT_FAILURE;

	*number = event->descriptor;
	switch (event->action) {
	case EVENT_OPEN:
	case EVENT_SOCKET:
	case EVENT_ACCEPT:
	case EVENT_DUP:
		/* It is what the call made. */
		if (failed)
			*number = -1;
		else if (event->action == EVENT_DUP || event->descriptor < 0)
			*number = event->result;
		return true;
	case EVENT_CONNECT:
	case EVENT_LISTEN:
	case EVENT_SEND:
	case EVENT_RECEIVE:
	case EVENT_CHMOD:
	case EVENT_SETNS:
	case EVENT_BPF:
	case EVENT_MODULE:
	case EVENT_USERFAULTFD: return event->descriptor >= 0;
	default: return false;
	}
}

static struct text first_of(struct text a, struct text b, struct text c)
{
	return a.length > 0 ? a : b.length > 0 ? b : c;
}

/* The file that the descriptor is, as the program named it; empty if it is none. */
static struct text file_named(const struct event *event)
{
	const struct event_file *file = &event->file;
	int64_t number;

	switch (event->action) {
	case EVENT_OPEN: return first_of(file->named, file->path, file->argument);
	case EVENT_CHMOD:
		if (field_descriptor(event, &number))
			return first_of(event->change.named, event->change.path, event->change.argument);
		return (struct text){0};
	case EVENT_DUP:
	case EVENT_MODULE:
	case EVENT_SETNS: return event->deed.path;
	default: return (struct text){0};
	}
}

struct text field_descriptor_name(struct extraction *extraction)
{
	const struct event *event = extraction->event;
	const struct event_network *network = field_socket(event);
	const struct event_address *ends[2];
	struct field_text text;

	if (!network)
		return file_named(event);
	if (network->family == AF_UNIX)
		return network->unix_name;
	ends[0] = &network->source;
	ends[1] = &network->destination;
	text = field_text_begin(extraction);
	for (int i = event->action == EVENT_LISTEN; i < 2; i++) {
		if (ends[0]->family == 0 && ends[1]->family == 0)
			break;
		if (ends[i]->family == 0)
			field_text_add(
				&text, ends[!i]->family == AF_INET6 ? TEXT_LITERAL("::") : TEXT_LITERAL("0.0.0.0"));
		else
			field_text_address(&text, ends[i]);
		field_text_byte(&text, ':');
		field_text_number(&text, ends[i]->port);
		if (i == 0)
			field_text_add(&text, TEXT_LITERAL("->"));
	}
	return field_text_end(&text);
}

static struct descriptor_type family_type(unsigned int family)
{
	switch (family) {
	case AF_INET: return (struct descriptor_type){'4', TEXT_LITERAL("ipv4")};
	case AF_INET6: return (struct descriptor_type){'6', TEXT_LITERAL("ipv6")};
	case AF_UNIX: return (struct descriptor_type){'u', TEXT_LITERAL("unix")};
	case AF_NETLINK: return (struct descriptor_type){'n', TEXT_LITERAL("netlink")};
	default: return (struct descriptor_type){'o', TEXT_LITERAL("other")};
	}
}

static bool descriptor_type(const struct event *event, struct descriptor_type *type)
{
	static const struct descriptor_type types[] = {
		[OF_FILE] = {'f', TEXT_STATIC("file")},
		[OF_DIRECTORY] = {'d', TEXT_STATIC("directory")},
		[OF_CHAR] = {'f', TEXT_STATIC("file")},
		[OF_BLOCK] = {'f', TEXT_STATIC("file")},
		[OF_PIPE] = {'p', TEXT_STATIC("pipe")},
		[OF_UNIX] = {'u', TEXT_STATIC("unix")},
	};

	if (field_socket(event)) {
		*type = family_type(field_socket(event)->family);
		return true;
	}
	if (event->action == EVENT_OPEN) {
		*type = types[event->file.flags & EVENT_OPEN_DIRECTORY ? OF_DIRECTORY : OF_FILE];
		if ((event->file.flags & EVENT_OPEN_TEMPORARY) == EVENT_OPEN_TEMPORARY)
			*type = types[OF_FILE];
		return true;
	}
	if (event->action == EVENT_DUP) {
		uint32_t of = event->deed.descriptor_type;

		if (of >= OF_FILE && of <= OF_UNIX)
			*type = types[of];
		return of >= OF_FILE && of <= OF_UNIX;
	}
	if (file_named(event).length == 0)
		return false;
	*type = types[OF_FILE];
	return true;
}

static struct text raw_name(const struct event *event)
{
	switch (event_action_category(event->action)) {
	case EVENT_FILE: return event->file.argument;
	case EVENT_CHANGE: return event->action == EVENT_CHMOD ? event->change.argument : (struct text){0};
	default: return (struct text){0};
	}
}

static struct text kernel_path(const struct event *event)
{
	switch (event_action_category(event->action)) {
	case EVENT_FILE: return event->file.path;
	case EVENT_CHANGE: return event->change.path;
	default: return event->action == EVENT_EXEC && event->process ? event->process->executable : (struct text){0};
	}
}

/* evt.abspath: the path that a call was given, whatever it was to do with it; of two the one before, or the one after. */
static struct text absolute_path(const struct event *event, enum which which)
{
	const struct event_change *change = &event->change;

	switch (event_action_category(event->action)) {
	case EVENT_FILE: return which == ABSOLUTE ? file_named(event) : (struct text){0};
	case EVENT_CHANGE:
		return which == ABSOLUTE_NEW ? first_of(change->new_named, change->new_path, change->new_argument)
					     : first_of(change->named, change->path, change->argument);
	default: return (struct text){0};
	}
}

/* What stands before the last `/`, or behind it; of the root "/" itself. */
static struct text split(struct text path, bool directory)
{
	const char *slash = path.length > 0 ? memrchr(path.data, '/', path.length) : NULL;
	size_t before = slash ? (size_t)(slash - path.data) : 0;

	if (!slash)
		return directory ? (struct text){0} : path;
	if (directory)
		return (struct text){path.data, before ? before : 1};
	return (struct text){slash + 1, path.length - before - 1};
}

static void file_fields(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event *event = extraction->event;
	bool file = event_action_category(event->action) == EVENT_FILE;
	struct descriptor_type type;
	int64_t number;

	switch ((enum which)use->field->which) {
	case NUMBER:
		if (field_descriptor(event, &number))
			field_give_number(values, number);
		break;
	case TYPE:
		if (descriptor_type(event, &type))
			field_give_text(values, type.name);
		break;
	case TYPE_CHARACTER:
		if (descriptor_type(event, &type)) {
			struct field_text text = field_text_begin(extraction);

			field_text_byte(&text, type.character);
			field_give_text(values, field_text_end(&text));
		}
		break;
	case NAME: field_give_text(values, field_descriptor_name(extraction)); break;
	case RAW_NAME: field_give_text(values, raw_name(event)); break;
	case KERNEL_PATH: field_give_text(values, kernel_path(event)); break;
	case ABSOLUTE:
	case ABSOLUTE_OLD:
	case ABSOLUTE_NEW: field_give_text(values, absolute_path(event, (enum which)use->field->which)); break;
	case DIRECTORY: field_give_text(values, split(file_named(event), true)); break;
	case FILE_NAME: field_give_text(values, split(file_named(event), false)); break;
	case INODE:
		if (file && event->file.inode)
			field_give_number(values, (int64_t)event->file.inode);
		break;
	case UPPER:
		if (file && event->file.mode)
			field_give_boolean(values, event->file.upper);
		break;
	case LOWER:
		if (file && event->file.mode)
			field_give_boolean(values, !event->file.upper);
		break;
	}
}

/* fs.path.*: what a call of one path, or of two, is about. A symbolic link's source is what it leads to, as it was given. */
static void path_fields(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	const struct event *event = extraction->event;
	const struct event_change *change = &event->change;
	bool link = event->action == EVENT_SYMLINK;
	bool two = link || event->action == EVENT_RENAME || event->action == EVENT_LINK;
	struct text named = first_of(change->named, change->path, change->argument);
	struct text new_named = first_of(change->new_named, change->new_path, change->new_argument);

	if (event->action == EVENT_OPEN && use->field->which == PATH)
		field_give_text(values, file_named(event));
	else if (event->action == EVENT_OPEN && use->field->which == RAW_PATH)
		field_give_text(values, event->file.argument);
	if (event_action_category(event->action) != EVENT_CHANGE || two == (use->field->which <= RAW_PATH))
		return;
	switch ((enum path)use->field->which) {
	case PATH: field_give_text(values, named); break;
	case RAW_PATH: field_give_text(values, change->argument); break;
	case SOURCE_PATH: field_give_text(values, link ? change->target : named); break;
	case RAW_SOURCE_PATH: field_give_text(values, link ? change->target : change->argument); break;
	case TARGET_PATH: field_give_text(values, link ? named : new_named); break;
	case RAW_TARGET_PATH: field_give_text(values, link ? change->argument : change->new_argument); break;
	}
}

static void unknown(struct extraction *extraction, const struct field_use *use, struct values *values)
{
	(void)extraction;
	(void)use;
	(void)values;
}

const struct field field_file[] = {
	{"fd.num", FIELD_NUMBER, 0, 0, file_fields, NUMBER, "the descriptor; -1 where an open failed"},
	{"fd.type", FIELD_TEXT, 0, 0, file_fields, TYPE, "file, directory, ipv4, ipv6, unix, pipe, netlink, other"},
	{"fd.typechar", FIELD_TEXT, 0, 0, file_fields, TYPE_CHARACTER, "f, d, 4, 6, u, p, n, o"},
	{"fd.name", FIELD_TEXT, 0, 0, file_fields, NAME,
		"a file's absolute path as it was named, links not followed; a socket's client:port->server:port"},
	{"fd.nameraw", FIELD_TEXT, 0, 0, file_fields, RAW_NAME, "a file's path as the program gave it"},
	{"taffrail.fd.path", FIELD_TEXT, 0, 0, file_fields, KERNEL_PATH,
		"a file's path as the kernel has it, links followed"},
	{"evt.abspath", FIELD_TEXT, 0, 0, file_fields, ABSOLUTE, "the absolute path that the call was given"},
	{"evt.abspath.src", FIELD_TEXT, 0, 0, file_fields, ABSOLUTE_OLD, "of two paths the one that was there"},
	{"evt.abspath.dst", FIELD_TEXT, 0, 0, file_fields, ABSOLUTE_NEW, "of two paths the one that was made"},
	{"fd.directory", FIELD_TEXT, 0, 0, file_fields, DIRECTORY, "the directory of fd.name"},
	{"fd.filename", FIELD_TEXT, 0, 0, file_fields, FILE_NAME, "fd.name without its directory"},
	{"fd.ino", FIELD_NUMBER, 0, 0, file_fields, INODE, "the file's inode"},
	{"fd.is_upper_layer", FIELD_BOOLEAN, 0, 0, file_fields, UPPER, "is the file not of the container's image?"},
	{"fd.is_lower_layer", FIELD_BOOLEAN, 0, 0, file_fields, LOWER, "is the file of the container's image?"},
	{"fs.path.name", FIELD_TEXT, 0, 0, path_fields, PATH, "the absolute path that a call was given, if it was one"},
	{"fs.path.nameraw", FIELD_TEXT, 0, 0, path_fields, RAW_PATH, "the same as the program gave it"},
	{"fs.path.source", FIELD_TEXT, 0, 0, path_fields, SOURCE_PATH, "of a rename or link the path that was there"},
	{"fs.path.sourceraw", FIELD_TEXT, 0, 0, path_fields, RAW_SOURCE_PATH, "the same as the program gave it"},
	{"fs.path.target", FIELD_TEXT, 0, 0, path_fields, TARGET_PATH, "of a rename or link the path that was made"},
	{"fs.path.targetraw", FIELD_TEXT, 0, 0, path_fields, RAW_TARGET_PATH, "the same as the program gave it"},
	{"fd.dev", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"fd.dev.major", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"fd.dev.minor", FIELD_NUMBER, 0, 0, unknown, 0, "not recorded"},
	{"fd.uid", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"fd.containername", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"fd.containerdirectory", FIELD_TEXT, 0, 0, unknown, 0, "not recorded"},
	{"fd.types", FIELD_TEXT, FIELD_LIST, ARGUMENT_KEY_OR_NONE, unknown, 0, "of poll: not recorded"},
	{"fd.fd1", FIELD_NUMBER, 0, 0, unknown, 0, "of pipe: not recorded"},
	{0},
};
