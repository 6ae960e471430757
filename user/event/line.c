/* SPDX-License-Identifier: Apache-2.0 */
#include "event/line.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/utf8.h"
#include "event/command_line.h"
#include "event/names.h"

/* Columns; on a narrow terminal the first two are smaller, so that something is left for what happened. */
enum { WHERE_WIDTH = 36, WHO_WIDTH = 20, ACTION_WIDTH = 10, WIDE = 120, WHERE_NARROW = 18, WHO_NARROW = 16 };

/* A line being written: what stands in it, and how many columns it fills. */
struct line {
	struct buffer *out;
	const struct line_style *style;
	size_t columns;
	bool full;
};

/* One character of `bytes`, or its \xHH, if there is room left of it. */
static void put_character(struct line *line, const char *bytes, size_t length, size_t columns)
{
	size_t last = line->style->width;

	if (line->full)
		return;
	if (last && line->columns + columns >= last) { /* the last column says that there is more */
		buffer_append(line->out, "\xe2\x80\xa6", 3);
		line->columns++;
		line->full = true;
		return;
	}
	buffer_append(line->out, bytes, length);
	line->columns += columns;
}

/*
 * Columns that a terminal gives to a character: two to what East Asian scripts write wide and to pictures (UAX #11, by
 * blocks). Marks that take none count as one: a line is cut early then, never late.
 */
static size_t columns_of(const unsigned char *bytes, size_t length)
{
	static const struct {
		uint32_t first, last;
	} wide[] = {{0x1100, 0x115f}, {0x231a, 0x231b}, {0x23e9, 0x23f3}, {0x25fd, 0x25fe}, {0x2614, 0x2615},
		{0x2648, 0x2653}, {0x267f, 0x26fd}, {0x2705, 0x27bf}, {0x2b1b, 0x2b55}, {0x2e80, 0x303e},
		{0x3041, 0x4dbf}, {0x4e00, 0xa4cf}, {0xa960, 0xa97f}, {0xac00, 0xd7a3}, {0xf900, 0xfaff},
		{0xfe10, 0xfe19}, {0xfe30, 0xfe6f}, {0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x16fe0, 0x18cff},
		{0x1aff0, 0x1b2ff}, {0x1f004, 0x1f9ff}, {0x1fa70, 0x1faff}, {0x20000, 0x3fffd}};
	uint32_t value;

	if (length < 3) /* all before U+0800 */
		return 1;
	value = length == 3 ? (bytes[0] & 0x0fu) : (bytes[0] & 0x07u);
	for (size_t i = 1; i < length; i++)
		value = value << 6 | (bytes[i] & 0x3fu);
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]) && value >= wide[i].first; i++)
		if (value <= wide[i].last)
			return 2;
	return 1;
}

static void put_text(struct line *line, struct text text)
{
	const unsigned char *bytes = (const unsigned char *)text.data;

	for (size_t i = 0; i < text.length;) {
		size_t length = utf8_length(bytes + i, text.length - i);

		/* C0, DEL and C1 (two bytes, c2 80 to c2 9f) all drive terminals. */
		bool control = length == 0 || bytes[i] < ' ' || bytes[i] == 127 ||
			       (length == 2 && bytes[i] == 0xc2 && bytes[i + 1] < 0xa0);

		if (control) {
			for (size_t j = 0; j < (length ? length : 1); j++) {
				char shown[8];

				snprintf(shown, sizeof(shown), "\\x%02x", bytes[i + j]);
				put_character(line, shown, 4, 4);
			}
		} else {
			put_character(line, text.data + i, length, columns_of(bytes + i, length));
		}
		i += length ? length : 1;
	}
}

static void put(struct line *line, const char *string)
{
	put_text(line, text_of(string));
}

__attribute__((format(printf, 2, 3))) static void put_format(struct line *line, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put(line, text);
}

/* Fills with spaces up to a column, at least one. */
static void pad(struct line *line, size_t column)
{
	do
		put_character(line, " ", 1, 1);
	while (line->columns < column && !line->full);
}

static void colour(struct line *line, const char *code)
{
	if (line->style->colour)
		buffer_append(line->out, code, strlen(code));
}

static void put_time(struct line *line, uint64_t unix_ns)
{
	time_t second = (time_t)(unix_ns / 1000000000);
	struct tm parts;

	localtime_r(&second, &parts);
	put_format(line, "%02d:%02d:%02d.%03d", parts.tm_hour, parts.tm_min, parts.tm_sec,
		(int)(unix_ns / 1000000 % 1000));
}

static void put_short_id(struct line *line, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	put_format(line, "%02x%02x%02x%02x%02x%02x", id[0], id[1], id[2], id[3], id[4], id[5]);
}

static void put_where(struct line *line, const struct event_container *container)
{
	if (!container) {
		put(line, "host");
		return;
	}
	if (container->pod_name.length == 0) {
		put_short_id(line, container->id);
		return;
	}
	put_text(line, container->pod_namespace);
	put(line, "/");
	put_text(line, container->pod_name);
	if (container->name.length > 0) {
		put(line, ":");
		put_text(line, container->name);
	}
}

/* The arguments as one would type them, or `instead` where there are none. */
static void put_command(struct line *line, struct text args, struct text instead)
{
	char room[4096];
	struct text command = command_line(args, room, sizeof(room));

	put_text(line, command.length > 0 ? command : instead);
	if (command.data && command.data != room)
		free((void *)(uintptr_t)command.data);
}

static void put_address(struct line *line, const struct event_address *address, bool ports)
{
	char text[INET6_ADDRSTRLEN] = "?";

	if (!address->family) {
		put(line, "?");
		return;
	}
	if (address->family == AF_VSOCK) {
		put_format(line, "%u:%u", event_vsock_id(address), address->port);
		return;
	}
	inet_ntop(address->family, address->bytes, text, sizeof(text));
	if (!ports) {
		put(line, text);
		return;
	}
	put_format(line, address->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, address->port);
}

static void put_socket(struct line *line, const struct event_network *network)
{
	char room[16];

	put(line, name_of_socket_family(network->family, room));
	put(line, " ");
	put(line, name_of_socket_type(network->type, room));
	put(line, " ");
	put(line, name_of_socket_protocol(network->family, network->protocol, room));
}

static void put_network(struct line *line, const struct event *event)
{
	const struct event_network *network = &event->network;
	const char *transport = name_of_transport(network->family, network->protocol);

	bool ports = name_has_ports(network->protocol);

	if (event->action == EVENT_SOCKET || network->family == AF_PACKET) {
		put_socket(line, network);
		if (network->interface)
			put_format(line, " device %u", network->interface);
		return;
	}
	put(line, transport ? transport : "?");
	put(line, " ");
	if (network->family == AF_UNIX) {
		struct text name = network->unix_name;

		if (name.length > 0 && name.data[0] == '\0') {
			put(line, "@");
			name.data++;
			name.length--;
		}
		put_text(line, name.length > 0 ? name : TEXT_LITERAL("(unnamed)"));
		return;
	}
	if (event->action != EVENT_LISTEN) {
		put_address(line, &network->source, ports);
		put(line, " \xe2\x86\x92 ");
	}
	put_address(line, &network->destination, ports);
	if (network->domain.length > 0) {
		put(line, " (");
		put_text(line, network->domain);
		put(line, ")");
	}
	if (event->action == EVENT_DISCONNECT || event->action == EVENT_FLOW)
		put_format(line, " %llu B \xe2\x86\x92, %llu B \xe2\x86\x90, %.3f s",
			(unsigned long long)network->source_bytes, (unsigned long long)network->destination_bytes,
			(double)network->duration_ns / 1e9);
}

/* What was asked, and what came of it. */
static void put_dns(struct line *line, const struct event_dns *dns)
{
	char room[16], text[INET6_ADDRSTRLEN];

	put_text(line, dns->question);
	put(line, " ");
	put(line, name_of_dns_type(dns->type, room));
	put(line, " ");
	put(line, name_of_dns_response(dns->response_code, room));
	for (size_t i = 0; i < dns->address_count; i++) {
		inet_ntop(dns->addresses[i].family, dns->addresses[i].bytes, text, sizeof(text));
		put(line, " ");
		put(line, text);
	}
}

static void put_flag(void *context, const char *name)
{
	struct line *line = context;

	put(line, " ");
	put(line, name);
}

/* How many promises were kept, and which were not. */
static void put_coverage(struct line *line, const struct event_coverage *coverage)
{
	size_t counts[EVENT_UNSUPPORTED + 1] = {0};

	for (size_t i = 0; i < coverage->count; i++)
		counts[coverage->promises[i].state]++;
	put_format(line, "%zu seen, %zu missed, %zu unsupported", counts[EVENT_SEEN], counts[EVENT_MISSED],
		counts[EVENT_UNSUPPORTED]);
	for (size_t i = 0, missed = 0; i < coverage->count; i++)
		if (coverage->promises[i].state == EVENT_MISSED) {
			put(line, missed++ ? ", " : ": ");
			put_text(line, coverage->promises[i].promise);
		}
}

static void put_rule(struct line *line, const struct event_rule *rule)
{
	put(line, rule->allowed ? " (allowed) " : " ! ");
	put_text(line, rule->message.length > 0 ? rule->message : rule->name);
}

static void put_filtered(struct line *line, const struct event_filtered *filtered)
{
	const char *before = " left out: ";

	put_format(line, "%llu events", (unsigned long long)filtered->count);
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (filtered->counts[action]) {
			put(line, before);
			put_format(line, "%llu %s", (unsigned long long)filtered->counts[action],
				event_action_name(action));
			before = ", ";
		}
}

static void put_image(struct line *line, const struct event_container *container)
{
	if (!container || (container->image_name.length == 0 && container->image_digest.length == 0))
		return;
	put(line, ", image ");
	put_text(line, container->image_name.length > 0 ? container->image_name : container->image_digest);
	if (container->image_name.length > 0 && container->image_tag.length > 0) {
		put(line, ":");
		put_text(line, container->image_tag);
	}
}

static void put_started(struct line *line, const struct event *event)
{
	const struct event_spec *spec = event->life.spec;

	put(line, event->container && event->container->sandbox ? "sandbox started" : "container started");
	put_image(line, event->container);
	if (!spec)
		return;
	if (spec->privileged)
		put(line, ", privileged");
	if (spec->host_namespaces) {
		put(line, ", host");
		name_namespaces(spec->host_namespaces, put_flag, line);
	}
	if (spec->args.length > 0) {
		put(line, ": ");
		put_command(line, spec->args, (struct text){0});
	}
}

static void put_stopped(struct line *line, const struct event_life *life)
{
	put_format(line, "exit code %d", life->exit_code);
	if (life->exit_reason.length > 0) {
		put(line, ", ");
		put_text(line, life->exit_reason);
	}
}

static void put_named(struct line *line, const struct event_container *container)
{
	const char *source = container ? name_of_source((int)container->source) : NULL;

	put_format(line, "names known%s%s", source ? " by " : "", source ? source : "");
	put_image(line, container);
}

/* Where to, and by whom if that was another. */
static void put_cgroup(struct line *line, const struct event *event)
{
	const struct event_cgroup *cgroup = &event->cgroup;

	put(line, "left \xe2\x86\x92 ");
	put_text(line, cgroup->path);
	if (cgroup->has_other) {
		put(line, " of container ");
		put_short_id(line, cgroup->other_id);
	}
	if (cgroup->actor_pid && (!event->process || cgroup->actor_pid != event->process->pid)) {
		put(line, ", moved by ");
		put_text(line, cgroup->actor_name);
		put_format(line, "[%u]", cgroup->actor_pid);
	}
}

static void put_attribution(struct line *line, const struct event_attribution *attribution)
{
	put_format(line, "%llu events without all names; containers: %llu named late, %llu never, %llu wait",
		(unsigned long long)attribution->pending, (unsigned long long)attribution->completed_late,
		(unsigned long long)attribution->never, (unsigned long long)attribution->unnamed);
}

static void put_change(struct line *line, const struct event *event)
{
	const struct event_change *change = &event->change;
	struct text to = event->action == EVENT_SYMLINK ? change->target : change->new_path;

	put_text(line, change->path.length > 0 ? change->path : change->argument);
	if (event->action == EVENT_CHMOD || event->action == EVENT_MKDIR)
		put_format(line, " %04o", change->mode & 07777u);
	if (to.length == 0)
		to = change->new_argument;
	if (to.length > 0) {
		put(line, " \xe2\x86\x92 ");
		put_text(line, to);
	}
}

/* Which descriptor became which, and what it is. */
static void put_dup(struct line *line, const struct event *event)
{
	const struct event_deed *deed = &event->deed;

	put_format(line, "%llu", (unsigned long long)deed->request);
	if (event->outcome == EVENT_SUCCESS)
		put_format(line, " \xe2\x86\x92 %d", event->descriptor);
	put(line, " ");
	put(line, name_of_descriptor((uint8_t)deed->descriptor_type));
	if (deed->path.length > 0) {
		put(line, " ");
		put_text(line, deed->path);
	}
	if (deed->socket.source.family) {
		put(line, " ");
		put_address(line, &deed->socket.source, name_has_ports((int)deed->socket.protocol));
		put(line, " \xe2\x86\x92 ");
		put_address(line, &deed->socket.destination, name_has_ports((int)deed->socket.protocol));
	}
}

static void put_mount(struct line *line, const struct event_deed *deed)
{
	if (deed->source.length > 0) {
		put_text(line, deed->source);
		put(line, " \xe2\x86\x92 ");
	}
	put_text(line, deed->path);
	if (deed->type.length > 0) {
		put(line, " ");
		put_text(line, deed->type);
	}
}

static void put_deed(struct line *line, const struct event *event)
{
	const struct event_deed *deed = &event->deed;
	char room[24];

	switch (event->action) {
	case EVENT_DUP: put_dup(line, event); return;
	case EVENT_PTRACE:
		put_format(line, "%s ", name_of_request(event, room));
		put_text(line, deed->other_name);
		put_format(line, "[%u]", deed->other);
		return;
	case EVENT_SETUID:
		put(line, event_call_name(event_call_of(event)));
		if (deed->id != UINT32_MAX)
			put_format(line, " %u", deed->id);
		return;
	case EVENT_BPF:
	case EVENT_SETNS: put(line, name_of_request(event, room)); return;
	case EVENT_MODULE:
		put_text(line, deed->path.length > 0 ? deed->path : TEXT_LITERAL("(from memory)"));
		if (deed->data.length > 0)
			put(line, " ");
		put_text(line, deed->data);
		return;
	case EVENT_MOUNT: put_mount(line, deed); break;
	default: break;
	}
	name_deed_flags(event, put_flag, line);
}

static void put_what(struct line *line, const struct event *event)
{
	switch (event->action) {
	case EVENT_EXEC:
		if (event->outcome == EVENT_FAILURE)
			put_text(line, event->file.argument.length > 0 ? event->file.argument : event->file.path);
		else if (event->process)
			put_command(line, event->process->args, event->process->executable);
		break;
	case EVENT_END:
		if (event->end.signal)
			put_format(line, "killed by signal %d", event->end.signal);
		else
			put_format(line, "exit %d", event->end.code);
		break;
	case EVENT_OPEN:
		put_text(line, event->file.path.length > 0 ? event->file.path : event->file.argument);
		name_open_flags(event->file.flags & ~(uint32_t)(O_CLOEXEC | 0100000), put_flag, line);
		if (event->file.created)
			put(line, " (created)");
		break;
	case EVENT_LOST:
		put_format(line, "%llu events lost in %.*s", (unsigned long long)event->lost.count,
			(int)event->lost.stage.length, event->lost.stage.data);
		break;
	case EVENT_COVERAGE: put_coverage(line, &event->coverage); break;
	case EVENT_FILTERED: put_filtered(line, &event->filtered); break;
	case EVENT_CONTAINER_STARTED: put_started(line, event); break;
	case EVENT_CONTAINER_STOPPED: put_stopped(line, &event->life); break;
	case EVENT_CONTAINER_NAMED: put_named(line, event->container); break;
	case EVENT_CGROUP_LEFT: put_cgroup(line, event); break;
	case EVENT_ATTRIBUTION: put_attribution(line, &event->attribution); break;
	case EVENT_BUDGET: put_text(line, event->budget.measure); break;
	case EVENT_FORK: break;
	default:
		if (event->action == EVENT_VERDICT)
			break; /* its sentence says with whom */
		if (event->action == EVENT_DNS && event->network.dns)
			put_dns(line, event->network.dns);
		else if (event_action_category(event->action) == EVENT_NETWORK)
			put_network(line, event);
		else if (event_action_category(event->action) == EVENT_CHANGE)
			put_change(line, event);
		else if (event_action_category(event->action) == EVENT_DEED)
			put_deed(line, event);
		break;
	}
	if (event->rule)
		put_rule(line, event->rule);
	if (event->count > 1)
		put_format(line, " (%llu times)", (unsigned long long)event->count);
}

static void put_marks(struct line *line, const struct event *event)
{
	if (event->io_uring)
		put(line, " (io_uring)");
	if (event->runtime_setup)
		put(line, " (runtime)");
	if (event->left_cgroup)
		put(line, " (outside its cgroup)");
	if (event->nested_id) {
		put(line, " (nested ");
		put_short_id(line, event->nested_id);
		put(line, ")");
	}
	if (event->pending)
		put(line, " (names pending)");
}

void line_write(struct buffer *out, const struct event *event, const struct line_style *style)
{
	static const char *const actions[EVENT_ACTIONS_END] = {
		[EVENT_EXEC] = "exec",
		[EVENT_FORK] = "fork",
		[EVENT_END] = "end",
		[EVENT_OPEN] = "open",
		[EVENT_CONNECT] = "connect",
		[EVENT_ACCEPT] = "accept",
		[EVENT_LISTEN] = "listen",
		[EVENT_SEND] = "send",
		[EVENT_DISCONNECT] = "disconnect",
		[EVENT_LOST] = "lost",
		[EVENT_COVERAGE] = "coverage",
		[EVENT_SOCKET] = "socket",
		[EVENT_FILTERED] = "filtered",
		[EVENT_TAMPER] = "tamper",
		[EVENT_CONTAINER_STARTED] = "start",
		[EVENT_CONTAINER_STOPPED] = "stop",
		[EVENT_CONTAINER_NAMED] = "named",
		[EVENT_CGROUP_LEFT] = "cgroup",
		[EVENT_ATTRIBUTION] = "names",
		[EVENT_RULES] = "rules",
		[EVENT_SUPPRESSED] = "held back",
		[EVENT_FLOW] = "flow",
		[EVENT_DNS] = "dns",
		[EVENT_VERDICT] = "judged",
	};
	struct line line = {.out = out, .style = style};
	bool narrow = style->width && style->width < WIDE;
	size_t column;
	bool bad = event->outcome == EVENT_FAILURE || (event->rule && !event->rule->allowed) ||
		   event->action == EVENT_LOST || event->action == EVENT_CGROUP_LEFT ||
		   (event->action == EVENT_END && event->end.signal);
	char room[16];

	colour(&line, "\033[2m");
	put_time(&line, event->time_ns);
	colour(&line, "\033[0m");
	pad(&line, 0);
	column = line.columns;
	put_where(&line, event->container);
	pad(&line, column += narrow ? WHERE_NARROW : WHERE_WIDTH);
	if (event->process) {
		put_text(&line, event->process->name);
		put_format(&line, "[%u]", event->process->pid);
	}
	pad(&line, column += narrow ? WHO_NARROW : WHO_WIDTH);
	colour(&line, bad ? "\033[31m" : event->action == EVENT_EXEC ? "\033[32m" : "\033[36m");
	put(&line, actions[event->action] ? actions[event->action]
		   : event->action        ? event_action_name(event->action)
					  : "unknown");
	colour(&line, "\033[0m");
	pad(&line, column + ACTION_WIDTH);
	put_what(&line, event);
	if (event->error) {
		colour(&line, "\033[31m");
		put(&line, " ");
		put(&line, name_of_error(event->error, room));
		colour(&line, "\033[0m");
	} else if (event->outcome == EVENT_UNKNOWN) {
		put(&line, " (no answer)");
	}
	put_marks(&line, event);
	buffer_append(out, "\n", 1);
}
