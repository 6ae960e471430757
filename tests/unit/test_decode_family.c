/* SPDX-License-Identifier: Apache-2.0 */
/* Records of the families, and how calls, results and names come to events. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sensor/decode.h"

static _Alignas(8) char bytes[KERNEL_RECORD_MAX];
static size_t length;
static struct buffer scratch;
static struct event event;

static void *start(enum kernel_kind kind, enum kernel_call call, size_t size)
{
	struct kernel_header *header = (void *)bytes;

	memset(bytes, 0, sizeof(bytes));
	length = size;
	header->kind = (uint16_t)kind;
	header->call = (uint8_t)call;
	return header;
}

static struct kernel_string add(const char *string)
{
	struct kernel_string added = {(uint16_t)length, (uint16_t)strlen(string)};

	memcpy(bytes + length, string, added.length);
	length += added.length;
	return added;
}

static void decode(void)
{
	struct record record;
	const char *why;

	((struct kernel_header *)(void *)bytes)->size = (uint32_t)length;
	cr_assert_eq(record_check(&record, bytes, length, &why), 0, "%s", why);
	memset(&event, 0xee, sizeof(event));
	decode_event(&record, 1, &scratch, &event);
	cr_assert_eq(event.action, record_action(record.header->kind));
}

#define EXPECT_TEXT(text, expected)                                                                                    \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

/* --- names ------------------------------------------------------------------------------------------------------------ */

Test(decode_family, a_rename_has_two_names_from_two_folders)
{
	struct kernel_change *change = start(KERNEL_RENAME, KERNEL_CALL_RENAMEAT2, sizeof(*change));

	change->flags = 1;
	change->argument = add("a/./b");
	change->directory = add("/from");
	change->new_argument = add("../c//d");
	change->new_directory = add("/to/x");
	decode();
	cr_assert_eq(event.call, EVENT_CALL_RENAMEAT2);
	cr_assert_eq(event.outcome, EVENT_SUCCESS);
	cr_assert_eq(event.descriptor, -1);
	EXPECT_TEXT(event.change.path, "/from/a/b");
	EXPECT_TEXT(event.change.named, "/from/a/b");
	EXPECT_TEXT(event.change.argument, "a/./b");
	EXPECT_TEXT(event.change.new_path, "/to/c/d");
	EXPECT_TEXT(event.change.new_named, "/to/c/d");
	EXPECT_TEXT(event.change.new_argument, "../c//d");
	cr_assert_eq(event.change.flags, 1);
}

Test(decode_family, a_name_without_a_folder_is_not_known)
{
	struct kernel_change *change = start(KERNEL_LINK, KERNEL_CALL_LINKAT, sizeof(*change));

	change->result = -EBADF;
	change->argument = add("a");
	change->new_argument = add("/b");
	change->truncated = KERNEL_CUT_NEW;
	decode();
	cr_assert_eq(event.error, EBADF);
	cr_assert_eq(event.result, -EBADF);
	cr_assert_eq(event.change.path.length, 0);
	EXPECT_TEXT(event.change.new_path, "/b");
	cr_assert_eq(event.truncated, EVENT_CUT_TARGET_PATH);
}

Test(decode_family, a_mode_changed_by_descriptor_has_the_kernels_path)
{
	struct kernel_change *change = start(KERNEL_CHMOD, KERNEL_CALL_FCHMOD, sizeof(*change));

	change->mode = 04755;
	change->inode = 7;
	change->path = add("/real/file");
	decode();
	EXPECT_TEXT(event.change.path, "/real/file");
	EXPECT_TEXT(event.change.named, "/real/file");
	cr_assert_eq(event.change.argument.length, 0);
	cr_assert_eq(event.change.mode, 04755);
	cr_assert_eq(event.change.inode, 7);
}

Test(decode_family, a_symbolic_link_keeps_its_text)
{
	struct kernel_change *change = start(KERNEL_SYMLINK, KERNEL_CALL_SYMLINK, sizeof(*change));

	change->argument = add("/l");
	change->target = add("../../etc//shadow");
	decode();
	EXPECT_TEXT(event.change.path, "/l");
	EXPECT_TEXT(event.change.target, "../../etc//shadow");
	cr_assert_eq(event.change.new_path.length, 0);
}

Test(decode_family, an_open_keeps_its_name_beside_the_kernels_path)
{
	struct kernel_open *open = start(KERNEL_OPEN, KERNEL_CALL_OPENAT, sizeof(*open));

	open->result = 5;
	open->created_mode = 0640;
	open->path = add("/usr/lib/x");
	open->argument = add("lib/./x");
	open->directory = add("/");
	decode();
	EXPECT_TEXT(event.file.path, "/usr/lib/x");
	EXPECT_TEXT(event.file.named, "/lib/x");
	cr_assert_eq(event.descriptor, 5);
	cr_assert_eq(event.result, 5);
	cr_assert_eq(event.file.created_mode, 0640);
	open = start(KERNEL_OPEN, KERNEL_CALL_OPENAT, sizeof(*open));
	open->path = add("/usr/lib/x");
	open->argument = add("x");
	decode();
	cr_assert_eq(event.file.named.length, 0, "nobody asked where it starts");
	open = start(KERNEL_OPEN, KERNEL_CALL_OPENAT, sizeof(*open));
	open->result = -ENOENT;
	open->argument = add("/no/../x");
	decode();
	EXPECT_TEXT(event.file.named, "/x");
	EXPECT_TEXT(event.file.path, "/x");
	cr_assert_eq(event.descriptor, -1);
}

Test(decode_family, an_exec_is_named_from_its_working_directory)
{
	struct kernel_exec *exec = start(KERNEL_EXEC, KERNEL_CALL_EXECVEAT, sizeof(*exec));

	exec->filename = add("./run/../x.sh");
	exec->cwd = add("/srv");
	exec->executable = add("/bin/sh");
	decode();
	cr_assert_eq(event.call, EVENT_CALL_EXECVEAT);
	EXPECT_TEXT(event.file.argument, "./run/../x.sh");
	EXPECT_TEXT(event.file.named, "/srv/x.sh");
	cr_assert_eq(event.file.path.length, 0, "that is the process's");
}

/* --- deeds ------------------------------------------------------------------------------------------------------------ */

Test(decode_family, a_doubled_socket_has_the_side_that_is_its_own)
{
	struct kernel_deed *deed = start(KERNEL_DUP, KERNEL_CALL_DUP2, sizeof(*deed));

	deed->result = 0;
	deed->descriptor = 1;
	deed->request = 4;
	deed->descriptor_type = KERNEL_FD_INET;
	deed->tuple.family = AF_INET;
	deed->tuple.protocol = IPPROTO_TCP;
	deed->tuple.local.bytes[0] = 10;
	deed->tuple.local_port_be = htons(22);
	deed->tuple.remote.bytes[0] = 11;
	deed->accepted = 1;
	decode();
	cr_assert_eq(event.descriptor, 0);
	cr_assert_eq(event.deed.request, 4);
	cr_assert_eq(event.deed.socket.destination.port, 22, "the server's");
	cr_assert(event.deed.socket.ingress);
	deed->accepted = 0;
	decode();
	cr_assert_eq(event.deed.socket.source.port, 22);
	deed->tuple.family = 0;
	decode();
	cr_assert_eq(event.deed.socket.family, 0, "no socket");
}

Test(decode_family, a_mount_is_where_it_is_named)
{
	struct kernel_deed *deed = start(KERNEL_MOUNT, KERNEL_CALL_MOVE_MOUNT, sizeof(*deed));

	deed->argument = add("m");
	deed->directory = add("/x");
	deed->source = add("claimed");
	deed->type = add("tmpfs");
	deed->data = add("size=1m");
	decode();
	EXPECT_TEXT(event.deed.path, "/x/m");
	EXPECT_TEXT(event.deed.source, "claimed");
	EXPECT_TEXT(event.deed.type, "tmpfs");
	EXPECT_TEXT(event.deed.data, "size=1m");
	deed->path = add("/by/descriptor");
	decode();
	EXPECT_TEXT(event.deed.path, "/x/m");
	EXPECT_TEXT(event.deed.source, "/by/descriptor");
}

Test(decode_family, others_keep_their_numbers)
{
	struct kernel_deed *deed = start(KERNEL_PTRACE, KERNEL_CALL_PTRACE, sizeof(*deed));

	deed->request = 16;
	deed->other = 77;
	memcpy(deed->other_name, "sixteen-letters.", sizeof(deed->other_name)); /* no NUL */
	decode();
	cr_assert_eq(event.deed.request, 16);
	cr_assert_eq(event.deed.other, 77);
	cr_assert_eq(event.deed.other_name.length, 16);
	deed = start(KERNEL_SETUID, KERNEL_CALL_SETRESUID, sizeof(*deed));
	deed->result = -EPERM;
	deed->id = UINT32_MAX;
	decode();
	cr_assert_eq(event.deed.id, UINT32_MAX);
	cr_assert_eq(event.error, EPERM);
	deed = start(KERNEL_MODULE, KERNEL_CALL_FINIT_MODULE, sizeof(*deed));
	deed->path = add("/x.ko");
	deed->flags = 2;
	decode();
	EXPECT_TEXT(event.deed.path, "/x.ko");
	cr_assert_eq(event.deed.flags, 2);
}

/* --- all -------------------------------------------------------------------------------------------------------------- */

Test(decode_family, a_receiver_is_the_destination)
{
	struct kernel_received *received = start(KERNEL_RECEIVE, KERNEL_CALL_RECVMSG, sizeof(*received));
	struct kernel_network *network = &received->network;

	network->result = 12;
	network->descriptor = 4;
	network->tuple.family = AF_INET;
	network->tuple.protocol = IPPROTO_UDP;
	network->tuple.remote_port_be = htons(5353);
	network->tuple.local_port_be = htons(53);
	decode();
	cr_assert_eq(event.result, 12);
	cr_assert_eq(event.descriptor, 3);
	cr_assert_eq(event.network.source.port, 5353);
	cr_assert_eq(event.network.destination.port, 53);
	cr_assert(event.network.ingress);
	cr_assert(event.network.data.length == 0 && !event.network.connected && !event.network.again);
}

Test(decode_family, what_was_received_by_a_connection_has_its_data_and_may_be_the_clients)
{
	struct kernel_received *received = start(KERNEL_RECEIVE, KERNEL_CALL_RECVFROM, sizeof(*received));
	struct kernel_network *network = &received->network;

	network->header.marks = KERNEL_RULES_ALONE;
	network->result = 300;
	network->connected = network->client = 1;
	network->tuple.family = AF_INET;
	network->tuple.protocol = IPPROTO_TCP;
	network->tuple.remote_port_be = htons(80);
	network->tuple.local_port_be = htons(40000);
	received->data = add("HTTP/1.1 200");
	decode();
	EXPECT_TEXT(event.network.data, "HTTP/1.1 200");
	cr_assert(event.network.connected && event.network.again && !event.network.ingress);
	cr_assert_eq(event.network.source.port, 40000);
	cr_assert_eq(event.network.destination.port, 80);
	cr_assert_eq(event.result, 300);
}

Test(decode_family, a_connect_in_progress_is_told_as_that)
{
	struct kernel_network *network = start(KERNEL_CONNECT_RETURNED, KERNEL_CALL_CONNECT, sizeof(*network));

	network->result = -EINPROGRESS;
	network->descriptor = 1;
	decode();
	cr_assert_eq(event.action, EVENT_CONNECT);
	cr_assert_eq(event.error, EINPROGRESS);
	cr_assert_eq(event.descriptor, 0);
}

Test(decode_family, every_kind_decodes_when_it_is_empty_and_its_strings_are_checked)
{
	for (int kind = KERNEL_LINK; kind < KERNEL_KINDS_END; kind++) {
		struct kernel_change *change;
		struct record record;
		const char *why;
		size_t size = kind <= KERNEL_MKDIR     ? sizeof(struct kernel_change)
			      : kind <= KERNEL_MOUNT   ? sizeof(struct kernel_deed)
			      : kind == KERNEL_RECEIVE ? sizeof(struct kernel_received)
			      : kind == KERNEL_FLOW    ? sizeof(struct kernel_flow)
			      : kind >= KERNEL_SAMPLE  ? sizeof(struct kernel_sample)
						       : sizeof(struct kernel_network);

		change = start((enum kernel_kind)kind, 255, size);
		decode();
		cr_assert_eq(event.call, EVENT_CALL_NONE, "a number that this build does not know");
		cr_assert_eq(record_check(&record, bytes, size - 1, &why), -EBADMSG);
		if (size != sizeof(*change))
			continue;
		change->target = (struct kernel_string){(uint16_t)size, 1};
		cr_assert_eq(record_check(&record, bytes, size, &why), -EBADMSG, "its last string");
		change->target = (struct kernel_string){0, 0};
		change->result = -4096;
		cr_assert_eq(record_check(&record, bytes, size, &why), -EBADMSG, "no errno");
	}
}
