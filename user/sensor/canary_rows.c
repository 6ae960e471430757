/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The promises, one row each: the deed, and what proves it. To add one: a deed in canary_deeds.c, canary_network.c,
 * canary_socket.c or canary_uring.c, a proof here, and a row.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "sensor/canary_inside.h"

static bool text_of_deed(const struct record *record, struct kernel_string string, const struct canary_deed *deed)
{
	return text_equal(record_text(record, string), (struct text){deed->text, deed->text_length});
}

/* The kernel's path goes on above this process's root, if that is another than the mount namespace's. */
static bool path_ends(const struct record *record, struct kernel_string string, const struct canary_deed *deed)
{
	struct text path = record_text(record, string);
	size_t length = strlen(deed->path);

	return path.length >= length && memcmp(path.data + path.length - length, deed->path, length) == 0;
}

/* --- processes -------------------------------------------------------------------------------------------------------- */

static const char *exec_differs(const struct record *record, const struct canary_deed *deed)
{
	if (!text_starts_with(
		    record_text(record, record->exec->args), (struct text){deed->text, deed->text_length + 1}))
		return canary_other;
	return path_ends(record, record->exec->executable, deed) ? NULL : "executable";
}

static const char *exec_failed_differs(const struct record *record, const struct canary_deed *deed)
{
	if (!text_of_deed(record, record->exec_failed->argument, deed))
		return canary_other;
	return record->exec_failed->result == -ENOENT ? NULL : "result";
}

static const char *fork_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_fork *fork = record->fork;

	if (strnlen(fork->name, sizeof(fork->name)) != deed->text_length ||
		memcmp(fork->name, deed->text, deed->text_length) != 0)
		return canary_other;
	return fork->vpid == (__u32)deed->number ? NULL : "pid";
}

static const char *end_differs(const struct record *record, const struct canary_deed *deed)
{
	(void)deed;
	return record->exit->status == CANARY_FORK_CODE << 8 ? NULL : canary_other;
}

static const char *signal_differs(const struct record *record, const struct canary_deed *deed)
{
	return record->tamper->signal == deed->number ? NULL : canary_other;
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

static const char *open_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_open *open = record->open;

	if (!text_of_deed(record, open->argument, deed))
		return canary_other;
	if (open->result < 0)
		return "result";
	if (!path_ends(record, open->path, deed))
		return "path";
	return (open->flags & deed->flags) == deed->flags ? NULL : "flags";
}

static const char *open_failed_differs(const struct record *record, const struct canary_deed *deed)
{
	if (!text_of_deed(record, record->open->argument, deed))
		return canary_other;
	return record->open->result == -ENOENT ? NULL : "result";
}

/* By handle there is no argument; its flags make it known. The path may be another of the file's names. */
static const char *handle_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_open *open = record->open;

	if (open->argument.length > 0 || open->result < 0 || (open->flags & deed->flags) != deed->flags)
		return canary_other;
	return open->inode == deed->inode && open->path.length > 0 ? NULL : "file";
}

#if defined(__x86_64__)
static const char *compat_differs(const struct record *record, const struct canary_deed *deed)
{
	const char *differs = open_differs(record, deed);

	return !differs && !(record->header->flags & KERNEL_COMPAT) ? "table of system calls" : differs;
}
#endif

/* --- sockets ---------------------------------------------------------------------------------------------------------- */

static const char *remote_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_tuple *tuple = &record->network->tuple;

	if (tuple->family != deed->family || tuple->remote_port_be != deed->remote_port_be)
		return canary_other;
	if (memcmp(tuple->remote.bytes, deed->address, sizeof(deed->address)) != 0)
		return "address";
	return NULL;
}

static const char *connected_differs(const struct record *record, const struct canary_deed *deed)
{
	const char *differs = remote_differs(record, deed);

	if (differs)
		return differs;
	if (record->network->result != 0 || record->network->result_unknown)
		return "result";
	return record->network->tuple.local_port_be == deed->local_port_be ? NULL : "port";
}

static const char *sent_differs(const struct record *record, const struct canary_deed *deed)
{
	const char *differs = remote_differs(record, deed);

	if (differs)
		return differs;
	/* To loopback it goes from loopback. */
	return memcmp(record->network->tuple.local.bytes, deed->address, sizeof(deed->address)) == 0 ? NULL : "source";
}

static const char *local_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_tuple *tuple = &record->network->tuple;

	if (tuple->family != deed->family || tuple->local_port_be != deed->local_port_be)
		return canary_other;
	if (record->network->result < 0)
		return "result";
	return memcmp(tuple->local.bytes, deed->address, sizeof(deed->address)) == 0 ? NULL : "address";
}

static const char *accepted_differs(const struct record *record, const struct canary_deed *deed)
{
	const char *differs = local_differs(record, deed);

	if (differs)
		return differs;
	return record->network->tuple.remote_port_be == deed->remote_port_be ? NULL : "port";
}

static const char *ended_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_tuple *tuple = &record->disconnect->tuple;

	return tuple->family == deed->family && tuple->local_port_be == deed->local_port_be &&
			       tuple->remote_port_be == deed->remote_port_be
		       ? NULL
		       : canary_other;
}

static const char *flow_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_flow *flow = record->flow;

	if (flow->tuple.family != deed->family || flow->tuple.remote_port_be != deed->remote_port_be || flow->inbound)
		return canary_other;
	if (flow->packets_sent != 2 || flow->packets_received != 1)
		return "number of packets";
	return flow->bytes_sent == 2 * deed->text_length && flow->bytes_received == deed->text_length ? NULL : "size";
}

/* The same bytes, seen as they came in: the first message of either side. */
static const char *sample_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_sample *sample = record->sample;

	if (sample->tuple.family != deed->family || sample->tuple.remote_port_be != deed->remote_port_be ||
		sample->number > 0)
		return canary_other;
	return text_of_deed(record, sample->data, deed) ? NULL : "content";
}

static const char *came_differs(const struct record *record, const struct canary_deed *deed)
{
	return record->sample->out ? canary_other : sample_differs(record, deed);
}

static const char *words_differ(const struct record *record, const struct canary_deed *deed)
{
	return record->sample->out ? sample_differs(record, deed) : canary_other;
}

static const char *unix_differs(const struct record *record, const struct canary_deed *deed)
{
	if (record->network->tuple.family != AF_UNIX || !text_of_deed(record, record->network->unix_name, deed))
		return canary_other;
	return record->network->result >= 0 ? NULL : "result";
}

static const char *refused_differs(const struct record *record, const struct canary_deed *deed)
{
	const char *differs = remote_differs(record, deed);

	if (differs)
		return differs;
	return record->network->result == deed->number && !record->network->result_unknown ? NULL : "result";
}

/* How a connection to the machine itself by vsock ends depends on whether there is a way to it. */
static const char *vsock_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_tuple *tuple = &record->network->tuple;

	if (tuple->family != AF_VSOCK)
		return canary_other;
	return memcmp(tuple->remote.bytes, deed->address, sizeof(deed->address)) == 0 ? NULL : "address";
}

static const char *socket_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_socket *socket = record->socket;

	if (socket->family != deed->family || socket->type != deed->flags)
		return canary_other;
	if (socket->protocol != (__u32)deed->number)
		return "protocol";
	return socket->result >= 0 ? NULL : "result";
}

static const char *raw_sent_differs(const struct record *record, const struct canary_deed *deed)
{
	const struct kernel_tuple *tuple = &record->network->tuple;

	if (tuple->family != AF_INET || tuple->type != SOCK_RAW)
		return canary_other;
	if (tuple->protocol != deed->number)
		return "protocol";
	return memcmp(tuple->remote.bytes, deed->address, sizeof(deed->address)) == 0 ? NULL : "address";
}

static const char *packet_sent_differs(const struct record *record, const struct canary_deed *deed)
{
	if (record->network->tuple.family != AF_PACKET)
		return canary_other;
	return record->network->interface == (__u32)deed->number ? NULL : "interface";
}

/* --- io_uring --------------------------------------------------------------------------------------------------------- */

/*
 * Without the mark it is of another deed: on a kernel without the hooks that set it, other hooks still see the call, and
 * that is no alarm.
 */
static bool by_ring(const struct record *record)
{
	return record->header->flags & KERNEL_URING;
}

static const char *ring_open_differs(const struct record *record, const struct canary_deed *deed)
{
	return by_ring(record) ? open_differs(record, deed) : canary_other;
}

static const char *ring_connect_differs(const struct record *record, const struct canary_deed *deed)
{
	return by_ring(record) ? remote_differs(record, deed) : canary_other;
}

static const char *ring_accept_differs(const struct record *record, const struct canary_deed *deed)
{
	return by_ring(record) ? accepted_differs(record, deed) : canary_other;
}

/* --- the table -------------------------------------------------------------------------------------------------------- */

/*
 * Every promise of attach.c has a row here but "arrivals in containers": for that the canary would have to make a cgroup that
 * looks like a container's.
 */
const struct canary_row canary_rows[] = {
	{"exec", {"exec"}, deed_exec, 0, KERNEL_EXEC, exec_differs},
	{"failed exec", {"failed exec"}, deed_exec_failed, 0, KERNEL_EXEC_FAILED, exec_failed_differs},
	{"fork", {"fork"}, deed_fork, 0, KERNEL_FORK, fork_differs},
	{"end", {"end"}, deed_same, 0, KERNEL_EXIT, end_differs},
#if defined(__x86_64__)
	{"open", {"open"}, deed_open, DEED_OPEN, KERNEL_OPEN, open_differs},
	{"creat", {"open"}, deed_open, DEED_CREAT, KERNEL_OPEN, open_differs},
#endif
	{"openat", {"open"}, deed_open, DEED_OPENAT, KERNEL_OPEN, open_differs},
	{"openat2", {"open"}, deed_open, DEED_OPENAT2, KERNEL_OPEN, open_differs},
	{"open by handle", {"open"}, deed_open, DEED_HANDLE, KERNEL_OPEN, handle_differs},
#if defined(__x86_64__)
	{"open by a 32-bit call", {"open"}, deed_open, DEED_COMPAT, KERNEL_OPEN, compat_differs},
#endif
	{"failed open", {"open"}, deed_open_failed, 0, KERNEL_OPEN, open_failed_differs},
	{"open by io_uring", {"what comes of io_uring", [CANARY_BY_FUNCTION] = "open"}, deed_uring_open, 0, KERNEL_OPEN,
		ring_open_differs},
	{"open by io_uring, its queue full", {"io_uring with a full queue", [CANARY_BY_FUNCTION] = "open"},
		deed_uring_overflow, 0, KERNEL_OPEN, ring_open_differs},
	{"TCP listen", {"listen"}, deed_listen, AF_INET, KERNEL_LISTEN, local_differs},
	{"TCP connect over IPv4", {"connect over IPv4"}, deed_connect, AF_INET, KERNEL_CONNECT, remote_differs},
	{"outcome of a TCP connect", {"TCP connect"}, deed_same, 0, KERNEL_CONNECT_DONE, connected_differs},
	{"TCP accept", {"accept"}, deed_accept, AF_INET, KERNEL_ACCEPT, accepted_differs},
	{"first bytes over TCP", {"the source of a UDP send"}, deed_words, AF_INET, KERNEL_SAMPLE, words_differ},
	{"TCP disconnect", {"disconnect"}, deed_disconnect, AF_INET, KERNEL_DISCONNECT, ended_differs},
	{"TCP listen over IPv6", {"listen"}, deed_listen, AF_INET6, KERNEL_LISTEN, local_differs},
	{"TCP connect over IPv6", {"connect over IPv6"}, deed_connect, AF_INET6, KERNEL_CONNECT, remote_differs},
	{"outcome of a TCP connect over IPv6", {"TCP connect"}, deed_same, 0, KERNEL_CONNECT_DONE, connected_differs},
	{"TCP accept over IPv6", {"accept"}, deed_accept, AF_INET6, KERNEL_ACCEPT, accepted_differs},
	{"TCP disconnect over IPv6", {"disconnect"}, deed_disconnect, AF_INET6, KERNEL_DISCONNECT, ended_differs},
	{"refused TCP connect", {"TCP connect"}, deed_refused, AF_INET, KERNEL_CONNECT_DONE, refused_differs},
	{"failed TCP fast open", {"fast open"}, deed_fast_open, 0, KERNEL_CONNECT_DONE, refused_differs},
	{"connect by io_uring", {"io_uring"}, deed_uring_connect, AF_INET, KERNEL_CONNECT, ring_connect_differs},
	{"accept by io_uring", {"io_uring"}, deed_uring_accept, AF_INET, KERNEL_ACCEPT, ring_accept_differs},
	{"UDP send over IPv4", {"UDP send over IPv4"}, deed_send, AF_INET, KERNEL_SEND, sent_differs},
	{"UDP send over IPv6", {"UDP send over IPv6"}, deed_send, AF_INET6, KERNEL_SEND, sent_differs},
	{"source of a UDP send", {"the source of a UDP send"}, deed_send, AF_INET, KERNEL_SEND, sent_differs},
	{"UDP send without a packet", {"the end of a socket"}, deed_send_nothing, AF_INET, KERNEL_SEND, remote_differs},
	{"flow", {"flow"}, deed_flow, AF_INET, KERNEL_FLOW, flow_differs},
	{"flow over IPv6", {"flow"}, deed_flow, AF_INET6, KERNEL_FLOW, flow_differs},
	{"dns", {"dns"}, deed_same, 0, KERNEL_SAMPLE, came_differs},
	{"raw socket", {"socket"}, deed_raw, 0, KERNEL_SOCKET, socket_differs},
	{"raw send", {"the source of a UDP send"}, deed_raw_send, 0, KERNEL_SEND, raw_sent_differs},
	{"packet socket", {"socket"}, deed_packet, 0, KERNEL_SOCKET, socket_differs},
	{"packet send", {"packets sent"}, deed_packet_send, 0, KERNEL_SEND, packet_sent_differs},
	{"vsock connect", {"connect"}, deed_vsock_connect, 0, KERNEL_CONNECT_DONE, vsock_differs},
	{"unix listen", {"listen"}, deed_unix_listen, 0, KERNEL_LISTEN, unix_differs},
	{"unix connect", {"connect"}, deed_unix_connect, 0, KERNEL_CONNECT_DONE, unix_differs},
	{"unix accept", {"accept"}, deed_unix_accept, 0, KERNEL_ACCEPT, unix_differs},
	{"unix send", {"datagrams to unix sockets", [CANARY_OTHERWISE] = "packets sent"}, deed_unix_send, 0,
		KERNEL_SEND, unix_differs},
	{"signal to the sensor", {"signals to the sensor"}, deed_signal, 0, KERNEL_TAMPER, signal_differs},
	{0},
};

_Static_assert(sizeof(canary_rows) / sizeof(canary_rows[0]) <= CANARY_PROMISES_MAX + 1, "too many promises");
