/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/decode.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

void decode_normalise(struct buffer *out, struct text directory, struct text path)
{
	size_t base = out->length;
	bool absolute = path.length > 0 && path.data[0] == '/';

	for (int pass = absolute; pass < 2; pass++) {
		struct text rest = pass ? path : directory;

		while (rest.length > 0) {
			const char *slash = memchr(rest.data, '/', rest.length);
			struct text part = {rest.data, slash ? (size_t)(slash - rest.data) : rest.length};
			size_t skip = part.length + (slash != NULL);

			rest.data += skip;
			rest.length -= skip;
			if (part.length == 0 || text_equal(part, TEXT_LITERAL(".")))
				continue;
			if (text_equal(part, TEXT_LITERAL(".."))) {
				while (out->length > base && out->data[--out->length] != '/')
					;
				continue;
			}
			buffer_append(out, "/", 1);
			buffer_append(out, part.data, part.length);
		}
	}
	if (out->length == base)
		buffer_append(out, "/", 1);
}

uint32_t decode_exec_truncated(const struct kernel_exec *exec)
{
	uint32_t cuts = 0;

	if (exec->truncated & KERNEL_CUT_ARGS)
		cuts |= EVENT_CUT_ARGS;
	if (exec->truncated & KERNEL_CUT_ENVIRONMENT)
		cuts |= EVENT_CUT_ENVIRONMENT;
	if (exec->truncated & KERNEL_CUT_PATH)
		cuts |= EVENT_CUT_EXECUTABLE;
	if (exec->truncated & KERNEL_CUT_DIRECTORY)
		cuts |= EVENT_CUT_WORKING_DIRECTORY;
	return cuts;
}

/* A call that a signal interrupted has the kernel's own number, for it may start again: that is nobody else's. */
static void set_result(struct event *event, int result)
{
	enum { RESTARTS = 512, RESTARTS_LAST = 516 };

	if (result <= -RESTARTS && result >= -RESTARTS_LAST)
		result = -EINTR;
	event->outcome = result < 0 ? EVENT_FAILURE : EVENT_SUCCESS;
	event->error = result < 0 ? -result : 0;
	event->result = result;
}

/* Can the argument be made absolute? */
static bool is_placed(struct text directory, struct text argument)
{
	return directory.length > 0 || (argument.length > 0 && argument.data[0] == '/');
}

/* The path of a call that opened nothing: the argument, made absolute. */
static struct text claimed_path(struct buffer *scratch, struct text directory, struct text argument)
{
	buffer_clear(scratch);
	if (!is_placed(directory, argument))
		return (struct text){0};
	decode_normalise(scratch, directory, argument);
	return (struct text){scratch->data, scratch->length};
}

/* The same of the path as the program named it: where the kernel's is that already, nothing is built. */
static struct text named_path(struct buffer *scratch, struct text directory, struct text argument, struct text kernels)
{
	if (argument.length == 0 || text_equal(argument, kernels))
		return kernels;
	return claimed_path(scratch, directory, argument);
}

/* A successful exec: what is executed is the process image's, how it was named is the event's. */
static void decode_exec(const struct record *record, struct buffer *scratch, struct event *event)
{
	const struct kernel_exec *exec = record->exec;

	event->action = EVENT_EXEC;
	event->file.argument = record_text(record, exec->filename);
	event->file.named = named_path(
		scratch, record_text(record, exec->cwd), event->file.argument, record_text(record, exec->executable));
}

static void decode_exec_failed(const struct record *record, struct buffer *scratch, struct event *event)
{
	const struct kernel_exec_failed *failed = record->exec_failed;

	event->action = EVENT_EXEC;
	set_result(event, failed->result);
	event->file.argument = record_text(record, failed->argument);
	/* Without an argument the program was named by its descriptor, and `directory` is that. */
	event->file.path = claimed_path(scratch, record_text(record, failed->directory), event->file.argument);
	event->file.named = event->file.path;
	if (failed->truncated & KERNEL_CUT_ARGUMENT)
		event->truncated |= EVENT_CUT_FILE_ARGUMENT;
	if (failed->truncated & (KERNEL_CUT_ARGUMENT | KERNEL_CUT_DIRECTORY))
		event->truncated |= EVENT_CUT_FILE_PATH;
}

static void decode_exit(const struct record *record, struct event *event)
{
	int status = record->exit->status;

	event->action = EVENT_END;
	event->end.signal = status & 0x7f;
	event->end.code = event->end.signal ? 128 + event->end.signal : (status >> 8) & 0xff;
}

/* include/uapi/asm/fcntl.h of arm64 (and arm), beside those of x86-64. */
uint32_t decode_arm64_open_flags(uint32_t flags)
{
	const struct {
		uint32_t arm64, event;
	} bits[] = {
		{040000, EVENT_OPEN_DIRECTORY},
		{0100000, EVENT_OPEN_NO_FOLLOW},
		{0200000, EVENT_OPEN_DIRECT},
		{0400000, EVENT_OPEN_LARGE},
	};
	uint32_t out = flags & ~0740000u;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (flags & bits[i].arm64)
			out |= bits[i].event;
	return out;
}

static uint32_t native_open_flags(uint32_t flags)
{
#if defined(__aarch64__)
	return decode_arm64_open_flags(flags);
#else
	return flags;
#endif
}

static void decode_open(const struct record *record, struct buffer *scratch, struct event *event)
{
	const struct kernel_open *open = record->open;
	struct event_file *file = &event->file;

	event->action = EVENT_OPEN;
	set_result(event, open->result);
	if (open->result >= 0 && !(open->file_flags & KERNEL_FILE_UNKNOWN))
		event->descriptor = open->result;
	event->count = open->count ? open->count : 1;
	file->path = record_text(record, open->path);
	file->argument = record_text(record, open->argument);
	file->flags = native_open_flags(open->flags);
	file->inode = open->inode;
	file->mode = open->mode;
	file->created_mode = open->created_mode;
	/* The kernel does not count a file without a name as created; but nobody had it before. */
	file->created =
		open->file_flags & KERNEL_FILE_CREATED || (open->result >= 0 && (open->flags & O_TMPFILE) == O_TMPFILE);
	file->foreign = open->file_flags & KERNEL_FILE_FOREIGN;
	file->deleted = open->file_flags & KERNEL_FILE_DELETED;
	file->upper = open->file_flags & KERNEL_FILE_UPPER;
	file->copied_up = open->file_flags & KERNEL_FILE_COPIED_UP;
	file->unsure = open->file_flags & KERNEL_FILE_UNSURE;
	if (open->truncated & KERNEL_CUT_PATH)
		event->truncated |= EVENT_CUT_FILE_PATH;
	if (open->truncated & KERNEL_CUT_ARGUMENT)
		event->truncated |= EVENT_CUT_FILE_ARGUMENT;
	if (open->file_flags & KERNEL_FILE_UNKNOWN)
		event->outcome = EVENT_UNKNOWN;
	file->named = named_path(scratch, record_text(record, open->directory), file->argument, file->path);
	if (file->argument.length == 0)
		return;
	if (file->path.length > 0) {
		/*
		 * A batch can open a file, close it and put another in its place before the completion is seen. What
		 * was asked for is the kernel's own copy: so a path that is another, by a link or by this, is in doubt.
		 */
		if (open->header.flags & KERNEL_URING && !(open->file_flags & KERNEL_FILE_EXACT))
			file->unsure |= !text_equal(file->path, file->named);
		return;
	}
	/* The kernel has no file: the argument. Where that was cut, so is this. */
	file->path = file->named;
	if (open->truncated & (KERNEL_CUT_ARGUMENT | KERNEL_CUT_DIRECTORY))
		event->truncated |= EVENT_CUT_FILE_PATH;
}

static struct event_address address_of(
	const struct kernel_tuple *tuple, const struct kernel_address *address, uint16_t port_be)
{
	struct event_address out = {.port = ntohs(port_be)};
	uint32_t words[2];

	if (tuple->family == AF_VSOCK) {
		memcpy(words, address->bytes, sizeof(words));
		out.family = AF_VSOCK;
		words[0] = htonl(words[0]);
		memcpy(out.bytes, words, sizeof(words[0]));
		out.port = words[1];
		return out;
	}
	if (tuple->family != AF_INET && tuple->family != AF_INET6)
		return out;
	out.family = (uint8_t)tuple->family;
	memcpy(out.bytes, address->bytes, tuple->family == AF_INET ? 4 : 16);
	return out;
}

/* The client is the source, the server the destination, whichever of them this process is. */
static void set_ends(struct event_network *network, const struct kernel_tuple *tuple, bool server)
{
	struct event_address local = address_of(tuple, &tuple->local, tuple->local_port_be);
	struct event_address remote = address_of(tuple, &tuple->remote, tuple->remote_port_be);

	network->source = server ? remote : local;
	network->destination = server ? local : remote;
	network->family = tuple->family;
	network->protocol = tuple->protocol;
	network->type = tuple->type;
	network->ingress = server;
}

/* A path ends at its NUL, if it has one; an abstract name starts with one and has the length that it was given. */
static struct text socket_name(struct text name)
{
	if (name.length > 0 && name.data[0] != '\0')
		name.length = strnlen(name.data, name.length);
	return name;
}

/* What an outcome says of how far a TCP connection came, where nothing that follows will. */
static enum event_flow_state state_of_failure(const struct event *event)
{
	if (event->outcome == EVENT_UNKNOWN)
		return EVENT_FLOW_SYN_SENT;
	if (event->outcome == EVENT_SUCCESS)
		return EVENT_FLOW_NONE;
	switch (event->error) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENOPROTOOPT: return EVENT_FLOW_REFUSED;
	case ETIMEDOUT: return EVENT_FLOW_TIMED_OUT;
	default: return EVENT_FLOW_FAILED;
	}
}

static void decode_network(const struct record *record, struct event *event)
{
	const struct kernel_network *from = record->network;
	struct event_network *network = &event->network;
	bool server = from->header.kind == KERNEL_ACCEPT || from->header.kind == KERNEL_LISTEN ||
		      (from->header.kind == KERNEL_RECEIVE && !from->client);

	set_result(event, from->result);
	if (from->descriptor)
		event->descriptor = (int32_t)(from->descriptor - 1);
	set_ends(network, &from->tuple, server);
	/* A runtime talks to nobody on its way in but by a unix socket: whoever makes it do so is not to hide behind its mark. */
	event->runtime_setup &= from->tuple.family == AF_UNIX;
	network->interface = from->interface;
	network->unix_name = socket_name(record_text(record, from->unix_name));
	switch (from->header.kind) {
	case KERNEL_CONNECT:
		event->action = EVENT_CONNECT;
		event->outcome = EVENT_UNKNOWN;
		break;
	case KERNEL_CONNECT_DONE:
	case KERNEL_CONNECT_RETURNED:
		event->action = EVENT_CONNECT;
		if (from->result_unknown)
			event->outcome = EVENT_UNKNOWN;
		break;
	case KERNEL_ACCEPT:
		event->action = EVENT_ACCEPT;
		event->descriptor = from->result >= 0 && !from->result_unknown ? from->result : -1;
		if (from->result_unknown) { /* a listening socket's own record: who came is not known */
			event->outcome = EVENT_UNKNOWN;
			network->source = (struct event_address){0};
		}
		break;
	case KERNEL_LISTEN:
		event->action = EVENT_LISTEN;
		if (from->result_unknown)
			event->outcome = EVENT_UNKNOWN;
		network->source = (struct event_address){0};
		break;
	case KERNEL_RECEIVE:
		event->action = EVENT_RECEIVE;
		network->data = record_text(record, record->received->data);
		network->connected = from->connected;
		network->again = from->header.marks & KERNEL_RULES_ALONE;
		break;
	default: event->action = EVENT_SEND; break;
	}
	if (event->action == EVENT_CONNECT && from->tuple.protocol == IPPROTO_TCP &&
		(from->tuple.family == AF_INET || from->tuple.family == AF_INET6))
		network->state = state_of_failure(event);
}

static void decode_disconnect(const struct record *record, struct event *event)
{
	const struct kernel_disconnect *from = record->disconnect;
	struct event_network *network = &event->network;

	event->action = EVENT_DISCONNECT;
	event->error = from->error;
	set_ends(network, &from->tuple, from->accepted);
	network->source_bytes = from->accepted ? from->bytes_received : from->bytes_sent;
	network->destination_bytes = from->accepted ? from->bytes_sent : from->bytes_received;
	network->source_packets = from->accepted ? from->packets_received : from->packets_sent;
	network->destination_packets = from->accepted ? from->packets_sent : from->packets_received;
	network->state = EVENT_FLOW_ESTABLISHED;
	if (from->established_ns && from->header.time_ns > from->established_ns)
		network->duration_ns = from->header.time_ns - from->established_ns;
}

/* Its time is that of its last packet, so that it ends there and not when that was noticed. */
static void decode_flow(const struct record *record, uint64_t boot_unix_ns, struct event *event)
{
	const struct kernel_flow *from = record->flow;
	struct event_network *network = &event->network;

	event->action = EVENT_FLOW;
	event->runtime_setup = false; /* as above */
	event->time_ns = boot_unix_ns + from->last_ns;
	event->error = from->error < 0 ? -from->error : from->error;
	set_ends(network, &from->tuple, from->inbound);
	network->source_bytes = from->inbound ? from->bytes_received : from->bytes_sent;
	network->destination_bytes = from->inbound ? from->bytes_sent : from->bytes_received;
	network->source_packets = from->inbound ? from->packets_received : from->packets_sent;
	network->destination_packets = from->inbound ? from->packets_sent : from->packets_received;
	network->state = from->tuple.protocol == IPPROTO_TCP ? EVENT_FLOW_ESTABLISHED : EVENT_FLOW_OPEN;
	network->going_on = !from->final;
	if (from->start_ns && from->last_ns > from->start_ns)
		network->duration_ns = from->last_ns - from->start_ns;
}

/* What it says is the caller's to add. */
static void decode_sample(const struct record *record, struct event *event)
{
	const struct kernel_sample *from = record->sample;

	event->action = EVENT_DNS;
	set_ends(&event->network, &from->tuple, from->inbound);
}

static void decode_socket(const struct record *record, struct event *event)
{
	const struct kernel_socket *from = record->socket;

	event->action = EVENT_SOCKET;
	set_result(event, from->result);
	event->runtime_setup = false; /* as above */
	if (from->result_unknown)
		event->outcome = EVENT_UNKNOWN;
	else if (from->result >= 0)
		event->descriptor = from->result;
	event->network.family = from->family;
	event->network.type = from->type;
	event->network.protocol = from->protocol;
}

static void decode_cgroup_left(const struct record *record, struct event *event)
{
	const struct kernel_cgroup_left *from = record->cgroup_left;

	event->action = EVENT_CGROUP_LEFT;
	event->cgroup.path = record_text(record, from->path);
	event->cgroup.actor_pid = from->actor_tgid;
	event->cgroup.actor_name = (struct text){from->actor_name, strnlen(from->actor_name, sizeof(from->actor_name))};
	event->cgroup.has_other = from->in_other;
	memcpy(event->cgroup.other_id, from->other_id, sizeof(event->cgroup.other_id));
}

/* Appends a path as the program named it, or nothing. Returns where what follows will begin. */
static size_t append_named(struct buffer *scratch, struct text directory, struct text argument)
{
	if (is_placed(directory, argument))
		decode_normalise(scratch, directory, argument);
	return scratch->length;
}

static struct text part_of(const struct buffer *scratch, size_t from, size_t to)
{
	return from < to ? (struct text){scratch->data + from, to - from} : (struct text){0};
}

static void decode_change(const struct record *record, struct buffer *scratch, struct event *event)
{
	const struct kernel_change *from = record->change;
	struct event_change *change = &event->change;
	size_t first, second;

	event->action = record_action(from->header.kind);
	set_result(event, from->result);
	change->argument = record_text(record, from->argument);
	change->new_argument = record_text(record, from->new_argument);
	change->target = record_text(record, from->target);
	change->mode = from->mode;
	change->flags = from->flags;
	change->inode = from->inode;
	buffer_clear(scratch);
	first = append_named(scratch, record_text(record, from->directory), change->argument);
	second = append_named(scratch, record_text(record, from->new_directory), change->new_argument);
	change->named = part_of(scratch, 0, first);
	change->new_named = change->new_path = part_of(scratch, first, second);
	change->path = record_text(record, from->path);
	if (change->path.length == 0)
		change->path = change->named;
	else
		change->named = change->path; /* by descriptor */
	if (from->truncated & (KERNEL_CUT_PATH | KERNEL_CUT_ARGUMENT | KERNEL_CUT_DIRECTORY))
		event->truncated |= EVENT_CUT_FILE_PATH;
	if (from->truncated & KERNEL_CUT_NEW)
		event->truncated |= EVENT_CUT_TARGET_PATH;
}

static void decode_deed(const struct record *record, struct buffer *scratch, struct event *event)
{
	const struct kernel_deed *from = record->deed;
	struct event_deed *deed = &event->deed;
	struct text kernels = record_text(record, from->path);

	event->action = record_action(from->header.kind);
	set_result(event, from->result);
	if (from->descriptor)
		event->descriptor = (int32_t)(from->descriptor - 1);
	deed->request = from->request;
	deed->flags = from->flags;
	deed->id = from->id;
	deed->other = from->other;
	deed->other_name = (struct text){from->other_name, strnlen(from->other_name, sizeof(from->other_name))};
	deed->source = record_text(record, from->source);
	deed->type = record_text(record, from->type);
	deed->data = record_text(record, from->data);
	deed->descriptor_type = from->descriptor_type;
	if (event->action == EVENT_MOUNT) {
		deed->path = claimed_path(
			scratch, record_text(record, from->directory), record_text(record, from->argument));
		if (kernels.length > 0) /* moved by its descriptor */
			deed->source = kernels;
	} else {
		deed->path = kernels;
	}
	if (from->tuple.family)
		set_ends(&deed->socket, &from->tuple, from->accepted);
	if (from->truncated & (KERNEL_CUT_PATH | KERNEL_CUT_ARGUMENT | KERNEL_CUT_DIRECTORY))
		event->truncated |= EVENT_CUT_FILE_PATH;
}

void decode_event(const struct record *record, uint64_t boot_unix_ns, struct buffer *scratch, struct event *event)
{
	const struct kernel_header *header = record->header;

	memset(event, 0, sizeof(*event));
	event->time_ns = boot_unix_ns + header->time_ns;
	event->count = 1;
	event->call = header->call < KERNEL_CALLS_END ? (enum event_call)header->call : EVENT_CALL_NONE;
	event->descriptor = -1;
	event->ring = header->ring;
	event->cpu = header->cpu;
	event->ring_sequence = header->sequence;
	event->io_uring = header->flags & KERNEL_URING;
	event->runtime_setup = header->marks & KERNEL_SETUP;
	event->left_cgroup = header->marks & KERNEL_LEFT_CGROUP;
	switch ((enum kernel_kind)header->kind) {
	case KERNEL_EXEC: decode_exec(record, scratch, event); break;
	case KERNEL_EXEC_FAILED: decode_exec_failed(record, scratch, event); break;
	case KERNEL_FORK: event->action = EVENT_FORK; break;
	case KERNEL_EXIT: decode_exit(record, event); break;
	case KERNEL_OPEN: decode_open(record, scratch, event); break;
	case KERNEL_CONNECT:
	case KERNEL_CONNECT_DONE:
	case KERNEL_ACCEPT:
	case KERNEL_LISTEN:
	case KERNEL_SEND:
	case KERNEL_RECEIVE:
	case KERNEL_CONNECT_RETURNED: decode_network(record, event); break;
	case KERNEL_DISCONNECT: decode_disconnect(record, event); break;
	case KERNEL_FLOW: decode_flow(record, boot_unix_ns, event); break;
	case KERNEL_SAMPLE:
	case KERNEL_ANSWER: decode_sample(record, event); break;
	case KERNEL_SOCKET: decode_socket(record, event); break;
	case KERNEL_TAMPER: event->action = EVENT_TAMPER; break;
	case KERNEL_CGROUP_LEFT: decode_cgroup_left(record, event); break;
	case KERNEL_LINK:
	case KERNEL_SYMLINK:
	case KERNEL_UNLINK:
	case KERNEL_RMDIR:
	case KERNEL_RENAME:
	case KERNEL_CHMOD:
	case KERNEL_MKDIR: decode_change(record, scratch, event); break;
	case KERNEL_DUP:
	case KERNEL_PTRACE:
	case KERNEL_SETUID:
	case KERNEL_SETNS:
	case KERNEL_UNSHARE:
	case KERNEL_BPF:
	case KERNEL_MODULE:
	case KERNEL_USERFAULTFD:
	case KERNEL_MOUNT: decode_deed(record, scratch, event); break;
	case KERNEL_NESTED:
	case KERNEL_PROCESS:
	case KERNEL_KINDS_END: break;
	}
}
