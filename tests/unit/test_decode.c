/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "sensor/decode.h"

static _Alignas(8) char bytes[KERNEL_RECORD_MAX];
static size_t length;
static struct buffer scratch;
static struct event event;

/* Starts a record of that kind, empty but for its header. */
static void *start(enum kernel_kind kind, size_t size)
{
	struct kernel_header *header = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	length = size;
	header->kind = (uint16_t)kind;
	header->cpu = 3;
	header->ring = KERNEL_RING_CRITICAL;
	header->sequence = 17;
	header->time_ns = 1000;
	return header;
}

static struct kernel_string add(const char *string)
{
	struct kernel_string added = {(uint16_t)length, (uint16_t)strlen(string)};

	memcpy(bytes + length, string, added.length);
	length += added.length;
	return added;
}

static int checked(struct record *record)
{
	const char *why;

	((struct kernel_header *)(void *)bytes)->size = (uint32_t)length;
	return record_check(record, bytes, length, &why);
}

static void decode(void)
{
	struct record record;

	cr_assert_eq(checked(&record), 0);
	memset(&event, 0xee, sizeof(event));
	decode_event(&record, 5000000, &scratch, &event);
	cr_assert_eq(event.time_ns, 5001000);
	cr_assert_eq(event.cpu, 3);
	cr_assert_eq(event.ring, KERNEL_RING_CRITICAL);
	cr_assert_eq(event.ring_sequence, 17);
	cr_assert_null(event.process);
	cr_assert_null(event.container);
	cr_assert_geq(event.count, 1);
}

#define EXPECT_TEXT(text, expected)                                                                                    \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

Test(decode, an_exit_tells_its_code_or_its_signal)
{
	static const struct {
		int status, code, signal;
	} cases[] = {
		{0, 0, 0}, {3 << 8, 3, 0}, {255 << 8, 255, 0}, {9, 137, 9}, {11 | 0x80, 139, 11}, {6 | 0x80, 134, 6}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kernel_exit *exit = start(KERNEL_EXIT, sizeof(*exit));

		exit->status = cases[i].status;
		decode();
		cr_assert_eq(event.action, EVENT_END);
		cr_assert_eq(event.end.code, cases[i].code, "status %x", cases[i].status);
		cr_assert_eq(event.end.signal, cases[i].signal, "status %x", cases[i].status);
		cr_assert_eq(event.outcome, EVENT_SUCCESS);
	}
}

Test(decode, an_exec_and_a_fork_have_only_their_action)
{
	start(KERNEL_EXEC, sizeof(struct kernel_exec));
	decode();
	cr_assert_eq(event.action, EVENT_EXEC);
	cr_assert_eq(event.outcome, EVENT_SUCCESS);
	start(KERNEL_FORK, sizeof(struct kernel_fork));
	decode();
	cr_assert_eq(event.action, EVENT_FORK);
	start(KERNEL_PROCESS, sizeof(struct kernel_exec));
	decode();
	cr_assert_eq(event.action, 0, "a process that is there already is no event");
}

Test(decode, a_failed_exec_tells_its_argument_and_error)
{
	struct kernel_exec_failed *failed = start(KERNEL_EXEC_FAILED, sizeof(*failed));

	failed->result = -ENOEXEC;
	failed->truncated = KERNEL_CUT_ARGUMENT;
	failed->argument = add("./x y");
	decode();
	cr_assert_eq(event.action, EVENT_EXEC);
	cr_assert_eq(event.outcome, EVENT_FAILURE);
	cr_assert_eq(event.error, ENOEXEC);
	failed->directory = add("/srv/data");
	decode();
	EXPECT_TEXT(event.file.argument, "./x y");
	EXPECT_TEXT(event.file.path, "/srv/data/x y");
	cr_assert_eq(event.truncated, EVENT_CUT_FILE_ARGUMENT | EVENT_CUT_FILE_PATH);
}

Test(decode, a_failed_exec_by_descriptor_tells_the_descriptors_file)
{
	struct kernel_exec_failed *failed = start(KERNEL_EXEC_FAILED, sizeof(*failed));

	failed->result = -EACCES;
	failed->directory = add("/tmp/x");
	decode();
	EXPECT_TEXT(event.file.argument, "");
	EXPECT_TEXT(event.file.path, "/tmp/x");
	failed->directory = (struct kernel_string){0};
	decode();
	EXPECT_TEXT(event.file.path, "");
}

Test(decode, an_open_tells_all_that_the_kernel_said)
{
	struct kernel_open *open = start(KERNEL_OPEN, sizeof(*open));

	open->result = 5;
	open->flags = O_RDWR | O_CREAT;
	open->inode = 1ull << 40;
	open->mode = 0100644;
	open->file_flags = KERNEL_FILE_CREATED | KERNEL_FILE_UPPER | KERNEL_FILE_UNSURE;
	open->truncated = KERNEL_CUT_PATH;
	open->path = add("/data/x");
	open->argument = add("../x");
	decode();
	cr_assert_eq(event.action, EVENT_OPEN);
	cr_assert_eq(event.outcome, EVENT_SUCCESS);
	cr_assert_eq(event.error, 0);
	EXPECT_TEXT(event.file.path, "/data/x");
	EXPECT_TEXT(event.file.argument, "../x");
	cr_assert_eq(event.file.flags, O_RDWR | O_CREAT);
	cr_assert_eq(event.file.inode, 1ull << 40);
	cr_assert_eq(event.file.mode, 0100644);
	cr_assert(event.file.created && event.file.upper && event.file.unsure);
	cr_assert_not(event.file.foreign || event.file.deleted || event.file.copied_up);
	cr_assert_eq(event.truncated, EVENT_CUT_FILE_PATH);
	cr_assert_eq(event.count, 1, "a record that tells no count stands for one");
	open->count = 9;
	open->file_flags = KERNEL_FILE_FOREIGN | KERNEL_FILE_DELETED | KERNEL_FILE_COPIED_UP;
	decode();
	cr_assert_eq(event.count, 9);
	cr_assert(event.file.foreign && event.file.deleted && event.file.copied_up);
	cr_assert_not(event.file.created || event.file.upper || event.file.unsure);
}

Test(decode, a_failed_open_has_the_arguments_normal_form_for_its_path)
{
	static const struct {
		const char *directory, *argument, *path;
	} cases[] = {{"/srv", "a", "/srv/a"}, {"/srv", "/etc//./x/../passwd", "/etc/passwd"},
		{"/a/b", "../../../c", "/c"}, {"/a", "..", "/"}, {"", "x", ""}, {"/", "./", "/"}, {"/a/", "b/", "/a/b"},
		{"/a", "/", "/"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kernel_open *open = start(KERNEL_OPEN, sizeof(*open));

		open->result = -ENOENT;
		open->argument = add(cases[i].argument);
		open->directory = add(cases[i].directory);
		decode();
		EXPECT_TEXT(event.file.path, cases[i].path);
		EXPECT_TEXT(event.file.argument, cases[i].argument);
		cr_assert_eq(event.error, ENOENT);
		cr_assert_eq(event.truncated, 0);
		open->truncated = KERNEL_CUT_DIRECTORY;
		decode();
		cr_assert_eq(event.truncated, EVENT_CUT_FILE_PATH);
	}
}

Test(decode, an_open_without_path_and_argument_has_neither)
{
	struct kernel_open *open = start(KERNEL_OPEN, sizeof(*open));

	open->result = -EFAULT;
	open->directory = add("/srv");
	decode();
	cr_assert_eq(event.file.path.length, 0);
	cr_assert_eq(event.error, EFAULT);
}

Test(decode, normal_forms_come_behind_what_is_there_and_do_not_eat_it)
{
	struct buffer out = {0};

	buffer_append(&out, "/keep", 5);
	decode_normalise(&out, TEXT_LITERAL("/a"), TEXT_LITERAL("../../../b"));
	buffer_append(&out, "|", 1);
	decode_normalise(&out, TEXT_LITERAL(""), TEXT_LITERAL(""));
	buffer_append(&out, "|", 1);
	decode_normalise(&out, TEXT_LITERAL("/a/b"), TEXT_LITERAL(".../..c/.d"));
	EXPECT_TEXT(((struct text){out.data, out.length}), "/keep/b|/|/a/b/.../..c/.d");
	buffer_free(&out);
}

static struct kernel_network *network(enum kernel_kind kind)
{
	struct kernel_network *record = start(kind, sizeof(*record));

	record->tuple.family = AF_INET;
	record->tuple.protocol = IPPROTO_TCP;
	record->tuple.type = SOCK_STREAM;
	inet_pton(AF_INET, "10.0.0.1", record->tuple.local.bytes);
	inet_pton(AF_INET, "192.0.2.7", record->tuple.remote.bytes);
	record->tuple.local_port_be = htons(40000);
	record->tuple.remote_port_be = htons(443);
	return record;
}

static void expect_ends(const char *source, const char *destination)
{
	char text[2][INET6_ADDRSTRLEN + 8];
	const struct event_address *ends[] = {&event.network.source, &event.network.destination};

	for (int i = 0; i < 2; i++) {
		text[i][0] = '\0';
		if (ends[i]->family) {
			cr_assert_not_null(inet_ntop(ends[i]->family, ends[i]->bytes, text[i], INET6_ADDRSTRLEN));
			snprintf(text[i] + strlen(text[i]), 8, " %u", ends[i]->port);
		}
	}
	cr_assert_str_eq(text[0], source);
	cr_assert_str_eq(text[1], destination);
}

Test(decode, the_client_is_the_source_whoever_tells)
{
	network(KERNEL_CONNECT_DONE);
	decode();
	cr_assert_eq(event.action, EVENT_CONNECT);
	cr_assert_eq(event.outcome, EVENT_SUCCESS);
	cr_assert_not(event.network.ingress);
	expect_ends("10.0.0.1 40000", "192.0.2.7 443");
	network(KERNEL_ACCEPT)->result = 8;
	decode();
	cr_assert_eq(event.action, EVENT_ACCEPT);
	cr_assert_eq(event.error, 0);
	cr_assert(event.network.ingress);
	expect_ends("192.0.2.7 443", "10.0.0.1 40000");
	network(KERNEL_LISTEN);
	decode();
	cr_assert_eq(event.action, EVENT_LISTEN);
	cr_assert(event.network.ingress);
	expect_ends("", "10.0.0.1 40000");
	network(KERNEL_SEND);
	decode();
	cr_assert_eq(event.action, EVENT_SEND);
	expect_ends("10.0.0.1 40000", "192.0.2.7 443");
}

Test(decode, a_connects_outcome_is_unknown_until_it_is_told)
{
	network(KERNEL_CONNECT);
	decode();
	cr_assert_eq(event.action, EVENT_CONNECT);
	cr_assert_eq(event.outcome, EVENT_UNKNOWN);
	network(KERNEL_CONNECT_DONE)->result = -ECONNREFUSED;
	decode();
	cr_assert_eq(event.outcome, EVENT_FAILURE);
	cr_assert_eq(event.error, ECONNREFUSED);
	network(KERNEL_CONNECT_DONE)->result_unknown = 1;
	decode();
	cr_assert_eq(event.outcome, EVENT_UNKNOWN);
}

Test(decode, unix_sockets_have_a_name_and_no_addresses)
{
	struct kernel_network *record = network(KERNEL_CONNECT_DONE);

	record->tuple.family = AF_UNIX;
	record->tuple.protocol = 0;
	record->unix_name = add("/run/x.sock");
	decode();
	EXPECT_TEXT(event.network.unix_name, "/run/x.sock");
	cr_assert_eq(event.network.family, AF_UNIX);
	expect_ends("", "");
}

Test(decode, ipv6_has_all_its_bytes)
{
	struct kernel_network *record = network(KERNEL_SEND);

	record->tuple.family = AF_INET6;
	inet_pton(AF_INET6, "2001:db8::1", record->tuple.local.bytes);
	inet_pton(AF_INET6, "2001:db8:1:2:3:4:5:6", record->tuple.remote.bytes);
	decode();
	expect_ends("2001:db8::1 40000", "2001:db8:1:2:3:4:5:6 443");
}

Test(decode, a_disconnect_counts_each_ends_bytes_at_its_end)
{
	for (int accepted = 0; accepted < 2; accepted++) {
		struct kernel_disconnect *record = start(KERNEL_DISCONNECT, sizeof(*record));

		record->tuple.family = AF_INET;
		record->tuple.local_port_be = htons(1);
		record->tuple.remote_port_be = htons(2);
		record->bytes_sent = 100;
		record->bytes_received = 7;
		record->established_ns = 400;
		record->accepted = (uint8_t)accepted;
		record->error = ECONNRESET;
		decode();
		cr_assert_eq(event.action, EVENT_DISCONNECT);
		cr_assert_eq(event.network.source.port, accepted ? 2 : 1);
		cr_assert_eq(event.network.source_bytes, accepted ? 7 : 100);
		cr_assert_eq(event.network.destination_bytes, accepted ? 100 : 7);
		cr_assert_eq(event.network.duration_ns, 600);
		cr_assert_eq(event.error, ECONNRESET);
		record->established_ns = 1001;
		decode();
		cr_assert_eq(event.network.duration_ns, 0, "an end before its start");
	}
}

Test(decode, a_flow_ends_with_its_last_packet)
{
	for (int inbound = 0; inbound < 2; inbound++) {
		struct kernel_flow *record = start(KERNEL_FLOW, sizeof(*record));

		record->tuple.family = AF_INET;
		record->tuple.protocol = IPPROTO_UDP;
		record->tuple.local_port_be = htons(1);
		record->tuple.remote_port_be = htons(2);
		record->start_ns = 400;
		record->last_ns = 1000; /* what the helper expects of every event */
		record->bytes_sent = 100;
		record->bytes_received = 7;
		record->packets_sent = 10;
		record->packets_received = 3;
		record->inbound = (uint8_t)inbound;
		decode();
		cr_assert_eq(event.action, EVENT_FLOW);
		cr_assert_eq(event.network.source.port, inbound ? 2 : 1);
		cr_assert_eq(event.network.source_bytes, inbound ? 7 : 100);
		cr_assert_eq(event.network.destination_packets, inbound ? 10 : 3);
		cr_assert_eq(event.network.duration_ns, 600);
		cr_assert_eq(event.network.state, EVENT_FLOW_OPEN);
		cr_assert(event.network.going_on);
		record->final = 1;
		record->start_ns = 1001;
		decode();
		cr_assert_not(event.network.going_on);
		cr_assert_eq(event.network.duration_ns, 0, "an end before its start");
	}
}

Test(decode, how_far_a_connect_came)
{
	static const struct {
		int result;
		enum event_flow_state state;
	} ways[] = {{0, EVENT_FLOW_NONE}, {-ECONNREFUSED, EVENT_FLOW_REFUSED}, {-EHOSTUNREACH, EVENT_FLOW_REFUSED},
		{-ETIMEDOUT, EVENT_FLOW_TIMED_OUT}, {-EPERM, EVENT_FLOW_FAILED}};
	struct kernel_network *record = start(KERNEL_CONNECT_DONE, sizeof(*record));

	record->tuple.family = AF_INET;
	record->tuple.protocol = IPPROTO_TCP;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		record->result = ways[i].result;
		decode();
		cr_assert_eq(event.network.state, ways[i].state, "%d", ways[i].result);
	}
	record->result = 0;
	record->result_unknown = 1;
	decode();
	cr_assert_eq(event.network.state, EVENT_FLOW_SYN_SENT);
	record->tuple.protocol = IPPROTO_UDP;
	decode();
	cr_assert_eq(event.network.state, EVENT_FLOW_NONE, "datagrams have no states");
}

Test(decode, a_socket_tells_what_it_is)
{
	struct kernel_socket *record = start(KERNEL_SOCKET, sizeof(*record));

	record->header.flags = KERNEL_URING;
	record->family = AF_INET6;
	record->type = SOCK_RAW;
	record->protocol = IPPROTO_ICMPV6;
	record->result = -EPERM;
	decode();
	cr_assert_eq(event.action, EVENT_SOCKET);
	cr_assert_eq(event.outcome, EVENT_FAILURE);
	cr_assert_eq(event.error, EPERM);
	cr_assert_eq(event.network.family, AF_INET6);
	cr_assert_eq(event.network.type, SOCK_RAW);
	cr_assert_eq(event.network.protocol, IPPROTO_ICMPV6);
	cr_assert(event.io_uring);
}

Test(decode, vsock_ends_are_context_id_and_port)
{
	struct kernel_network *record = network(KERNEL_CONNECT_DONE);

	record->tuple = (struct kernel_tuple){.family = AF_VSOCK, .type = SOCK_STREAM};
	memcpy(record->tuple.local.bytes, (uint32_t[]){3, UINT32_MAX}, 8);
	memcpy(record->tuple.remote.bytes, (uint32_t[]){2, 70000}, 8);
	decode();
	cr_assert_eq(event.network.source.family, AF_VSOCK);
	cr_assert_eq(event_vsock_id(&event.network.source), 3);
	cr_assert_eq(event.network.source.port, UINT32_MAX);
	cr_assert_eq(event_vsock_id(&event.network.destination), 2);
	cr_assert_eq(event.network.destination.port, 70000);
}

Test(decode, what_io_uring_keeps_silent_has_no_outcome)
{
	struct kernel_network *record = network(KERNEL_ACCEPT);
	struct kernel_open *open;

	record->result_unknown = 1;
	decode();
	cr_assert_eq(event.outcome, EVENT_UNKNOWN);
	expect_ends("", "10.0.0.1 40000");
	open = start(KERNEL_OPEN, sizeof(*open));
	open->file_flags = KERNEL_FILE_UNKNOWN;
	open->argument = add("../x");
	open->directory = add("/a/b");
	decode();
	cr_assert_eq(event.outcome, EVENT_UNKNOWN);
	EXPECT_TEXT(event.file.path, "/a/x");
}

/* By a link it is another as well: doubt costs little there. */
Test(decode, a_path_that_io_uring_was_not_asked_for_is_in_doubt)
{
	static const struct {
		const char *argument, *directory, *path;
		bool uring, unsure;
	} cases[] = {
		{"/etc/shadow", NULL, "/etc/shadow", true, false},
		{"/etc/../etc//shadow", NULL, "/etc/shadow", true, false},
		{"shadow", "/etc", "/etc/shadow", true, false},
		{"/etc/shadow", NULL, "/tmp/decoy", true, true},
		{"shadow", "/etc", "/tmp/shadow", true, true},
		{"/etc/shadow", NULL, "/tmp/decoy", false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct kernel_open *open = start(KERNEL_OPEN, sizeof(*open));

		open->header.flags = cases[i].uring ? KERNEL_URING : 0;
		open->result = 5;
		open->path = add(cases[i].path);
		open->argument = add(cases[i].argument);
		if (cases[i].directory)
			open->directory = add(cases[i].directory);
		decode();
		EXPECT_TEXT(event.file.path, cases[i].path);
		cr_assert_eq(event.file.unsure, cases[i].unsure, "case %zu", i);
	}
}

Test(decode, results_that_are_no_errno_are_refused)
{
	static const int wrong[] = {INT_MIN, INT_MIN + 1, -4096};
	struct record record;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		((struct kernel_open *)start(KERNEL_OPEN, sizeof(struct kernel_open)))->result = wrong[i];
		cr_assert_eq(checked(&record), -EBADMSG, "open %d", wrong[i]);
		((struct kernel_exec_failed *)start(KERNEL_EXEC_FAILED, sizeof(struct kernel_exec_failed)))->result =
			wrong[i];
		cr_assert_eq(checked(&record), -EBADMSG, "exec %d", wrong[i]);
		for (enum kernel_kind kind = KERNEL_CONNECT; kind <= KERNEL_SEND; kind++) {
			network(kind)->result = wrong[i];
			cr_assert_eq(checked(&record), -EBADMSG, "kind %u: %d", kind, wrong[i]);
		}
		((struct kernel_disconnect *)start(KERNEL_DISCONNECT, sizeof(struct kernel_disconnect)))->error =
			wrong[i];
		cr_assert_eq(checked(&record), -EBADMSG, "disconnect %d", wrong[i]);
	}
	((struct kernel_open *)start(KERNEL_OPEN, sizeof(struct kernel_open)))->result = -4095;
	decode();
	cr_assert_eq(event.error, 4095);
	for (int restarts = 512; restarts <= 516; restarts++) {
		((struct kernel_open *)start(KERNEL_OPEN, sizeof(struct kernel_open)))->result = -restarts;
		decode();
		cr_assert_eq(event.error, EINTR, "the kernel's own numbers of a call that may start again");
	}
	((struct kernel_open *)start(KERNEL_OPEN, sizeof(struct kernel_open)))->result = INT_MAX;
	decode();
	cr_assert_eq(event.outcome, EVENT_SUCCESS);
}

Test(decode, cuts_of_an_exec_keep_their_names)
{
	struct kernel_exec exec = {.truncated = 0};

	cr_assert_eq(decode_exec_truncated(&exec), 0);
	exec.truncated = KERNEL_CUT_ARGS;
	cr_assert_eq(decode_exec_truncated(&exec), EVENT_CUT_ARGS);
	exec.truncated = KERNEL_CUT_ENVIRONMENT | KERNEL_CUT_PATH;
	cr_assert_eq(decode_exec_truncated(&exec), EVENT_CUT_ENVIRONMENT | EVENT_CUT_EXECUTABLE);
	exec.truncated = KERNEL_CUT_DIRECTORY;
	cr_assert_eq(decode_exec_truncated(&exec), EVENT_CUT_WORKING_DIRECTORY);
}

Test(decode, open_flags_of_arm64_become_those_of_x86)
{
	cr_assert_eq(decode_arm64_open_flags(0101), 0101);
	cr_assert_eq(decode_arm64_open_flags(02000000 | 040000), 02000000 | EVENT_OPEN_DIRECTORY);
	cr_assert_eq(decode_arm64_open_flags(0100000 | 0400000), EVENT_OPEN_NO_FOLLOW | EVENT_OPEN_LARGE);
	cr_assert_eq(decode_arm64_open_flags(0200000), EVENT_OPEN_DIRECT);
	cr_assert_eq(decode_arm64_open_flags(020040000), EVENT_OPEN_TEMPORARY);
}
