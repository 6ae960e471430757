/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "bpf/kernel_event.h"
#include "event/event.h"
#include "event/names.h"

static void join(void *context, const char *name)
{
	char *list = context;
	size_t length = strlen(list);

	snprintf(list + length, 2000 - length, "%s%s", length ? " " : "", name);
}

static const char *flags(uint32_t value)
{
	static char list[2000];

	list[0] = '\0';
	name_open_flags(value, join, list);
	return list;
}

static const char *capabilities(uint64_t set)
{
	static char list[2000];

	list[0] = '\0';
	name_capabilities(set, join, list);
	return list;
}

Test(event_names, open_flags_come_with_the_mode_first_and_none_twice)
{
	cr_assert_str_eq(flags(O_RDONLY), "O_RDONLY");
	cr_assert_str_eq(flags(O_WRONLY | O_CREAT | O_TRUNC), "O_WRONLY O_CREAT O_TRUNC");
	cr_assert_str_eq(flags(O_RDWR | O_CLOEXEC), "O_RDWR O_CLOEXEC");
	cr_assert_str_eq(flags(O_SYNC), "O_RDONLY O_SYNC");
	cr_assert_str_eq(flags(O_DSYNC), "O_RDONLY O_DSYNC");
	cr_assert_str_eq(flags(O_RDWR | O_TMPFILE), "O_RDWR O_TMPFILE");
	cr_assert_str_eq(flags(O_DIRECTORY), "O_RDONLY O_DIRECTORY");
	cr_assert_str_eq(flags(O_PATH | O_NOFOLLOW), "O_RDONLY O_NOFOLLOW O_PATH");
	cr_assert_str_eq(flags(0100000), "O_RDONLY O_LARGEFILE");
	cr_assert_str_eq(flags(3), "O_ACCMODE");
	cr_assert_str_eq(flags(0x40000000), "O_RDONLY 0x40000000");
	cr_assert_str_eq(flags(O_SYNC & ~O_DSYNC), "O_RDONLY 0x100000");
}

Test(event_names, every_bit_of_the_flags_is_told)
{
	for (int bit = 2; bit < 32; bit++) {
		const char *list = flags(1u << bit);

		cr_assert_eq(strncmp(list, "O_RDONLY ", 9), 0, "bit %d: %s", bit, list);
		cr_assert_null(strchr(list + 9, ' '), "bit %d: %s", bit, list);
	}
}

Test(event_names, errors_by_name_or_number)
{
	char room[16];

	cr_assert_str_eq(name_of_error(ENOENT, room), "ENOENT");
	cr_assert_str_eq(name_of_error(EAGAIN, room), "EAGAIN");
	cr_assert_str_eq(name_of_error(4711, room), "E4711");
	cr_assert_str_eq(name_of_error(512, room), "E512");
	cr_assert_str_eq(name_of_error(INT_MIN, room), "E-2147483648");
	cr_assert_str_eq(name_of_error(INT_MAX, room), "E2147483647");
}

Test(event_names, capabilities_by_name_or_number)
{
	cr_assert_str_eq(capabilities(0), "");
	cr_assert_str_eq(capabilities(1), "CAP_CHOWN");
	cr_assert_str_eq(capabilities(1ull << 13 | 1ull << 21), "CAP_NET_RAW CAP_SYS_ADMIN");
	cr_assert_str_eq(
		capabilities(1ull << 38 | 1ull << 39 | 1ull << 40), "CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE");
	cr_assert_str_eq(capabilities(1ull << 41 | 1ull << 63), "CAP_41 CAP_63");
}

Test(event_names, namespaces_and_what_is_known_of_a_container)
{
	char list[2000] = "";

	name_namespaces(UINT32_MAX, join, list);
	cr_assert_str_eq(list, "pid network ipc uts mount");
	list[0] = '\0';
	name_namespaces(EVENT_NAMESPACE_NETWORK | 1u << 31, join, list);
	cr_assert_str_eq(list, "network");
	cr_assert_str_eq(name_of_qos(EVENT_GUARANTEED), "guaranteed");
	cr_assert_str_eq(name_of_qos(EVENT_BURSTABLE), "burstable");
	cr_assert_str_eq(name_of_qos(EVENT_BEST_EFFORT), "besteffort");
	cr_assert_null(name_of_qos(EVENT_QOS_UNKNOWN));
	cr_assert_null(name_of_qos(-1));
	cr_assert_str_eq(name_of_source(EVENT_SOURCE_CRI), "cri");
	cr_assert_str_eq(name_of_source(EVENT_SOURCE_BUNDLE), "bundle");
	cr_assert_str_eq(name_of_source(EVENT_SOURCE_STATE), "state");
	cr_assert_null(name_of_source(EVENT_SOURCE_NONE));
}

Test(event_names, types_of_files_transports_and_descriptors)
{
	cr_assert_str_eq(name_of_file_type(S_IFREG | 0644), "file");
	cr_assert_str_eq(name_of_file_type(S_IFDIR | S_ISVTX), "dir");
	cr_assert_str_eq(name_of_file_type(S_IFSOCK), "socket");
	cr_assert_null(name_of_file_type(0));
	cr_assert_null(name_of_file_type(0xf000));
	cr_assert_str_eq(name_of_transport(AF_UNIX, 0), "unix");
	cr_assert_str_eq(name_of_transport(AF_INET6, IPPROTO_TCP), "tcp");
	cr_assert_str_eq(name_of_transport(AF_INET, IPPROTO_MPTCP), "mptcp");
	cr_assert_null(name_of_transport(AF_INET, 253));
	cr_assert_str_eq(name_of_transport(AF_VSOCK, 0), "vsock");
	cr_assert_null(name_of_transport(AF_NETLINK, IPPROTO_TCP), "its protocols are its own");
	cr_assert_str_eq(name_of_descriptor(KERNEL_FD_CLOSED), "closed");
	cr_assert_str_eq(name_of_descriptor(KERNEL_FD_UNIX), "unix");
	cr_assert_str_eq(name_of_descriptor(KERNEL_FD_OTHER), "other");
	cr_assert_str_eq(name_of_descriptor(255), "other");
}

Test(event_names, sockets)
{
	char room[16];

	cr_assert_str_eq(name_of_socket_family(AF_PACKET, room), "packet");
	cr_assert_str_eq(name_of_socket_family(200, room), "200");
	cr_assert_str_eq(name_of_socket_type(SOCK_RAW, room), "raw");
	cr_assert_str_eq(name_of_socket_type(15, room), "15");
	cr_assert_str_eq(name_of_socket_protocol(AF_INET6, IPPROTO_ICMPV6, room), "ipv6-icmp");
	cr_assert_str_eq(name_of_socket_protocol(AF_INET, 255, room), "255");
	cr_assert_str_eq(name_of_socket_protocol(AF_PACKET, htons(0x0806), room), "0x0806");
	cr_assert_str_eq(name_of_socket_protocol(AF_NETLINK, 9, room), "audit");
	cr_assert_str_eq(name_of_socket_protocol(AF_NETLINK, 200, room), "200");
	cr_assert_str_eq(name_of_socket_protocol(AF_VSOCK, 0, room), "0");
	cr_assert(name_has_ports(IPPROTO_SCTP));
	cr_assert_not(name_has_ports(IPPROTO_ICMP));
}

Test(event_names, actions_by_number_and_back)
{
	for (int action = 1; action < EVENT_ACTIONS_END; action++) {
		const char *name = event_action_name(action);

		if (!name) /* a number that is given out, but not built in here */
			continue;
		cr_assert_eq(event_action_find(text_of(name)), action);
	}
	cr_assert_null(event_action_name(0));
	cr_assert_null(event_action_name(EVENT_ACTIONS_END));
	cr_assert_null(event_action_name(-1));
	cr_assert_eq(event_action_find(TEXT_LITERAL("")), 0);
	cr_assert_eq(event_action_find(TEXT_LITERAL("exe")), 0);
	cr_assert_eq(event_action_find(TEXT_LITERAL("exec\0")), 0);
	cr_assert_eq(event_action_find((struct text){NULL, 0}), 0);
	cr_assert_str_eq(event_cut_name(EVENT_CUT_ARGS), "process.args");
	cr_assert_null(event_cut_name(0));
	cr_assert_null(event_cut_name(EVENT_CUT_ARGS | EVENT_CUT_FILE_PATH));
	cr_assert_null(event_cut_name(1u << 31));
}

Test(event_names, container_ids_are_64_lower_case_digits_exactly)
{
	char digits[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", back[65];
	uint8_t id[EVENT_CONTAINER_ID_SIZE];

	cr_assert(event_container_id_parse(text_of(digits), id));
	cr_assert_eq(id[15], 0xff);
	event_container_id_format(id, back);
	cr_assert_str_eq(back, digits);
	cr_assert_not(event_container_id_parse((struct text){digits, 63}, id));
	cr_assert_not(event_container_id_parse((struct text){digits, 65}, id));
	cr_assert_not(event_container_id_parse((struct text){NULL, 0}, id));
	for (int i = 0; i < 64; i++)
		for (int byte = 0; byte < 256; byte++) {
			char saved = digits[i];
			bool fits = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');

			digits[i] = (char)byte;
			cr_assert_eq(event_container_id_parse((struct text){digits, 64}, id), fits, "byte %d at %d",
				byte, i);
			digits[i] = saved;
		}
}

Test(event_names, every_call_makes_an_action_and_is_found_by_its_name)
{
	for (int call = 1; call < EVENT_CALLS_END; call++) {
		enum event_action action = event_call_action((enum event_call)call);
		struct event event = {.action = action};

		cr_assert_not_null(event_action_name(action), "%s", event_call_name((enum event_call)call));
		cr_assert_eq(event_call_find(text_of(event_call_name((enum event_call)call))), call);
		cr_assert_eq(event_call_action(event_call_of(&event)), action, "the usual call is one of its own");
	}
	cr_assert_eq(event_call_action(EVENT_CALL_NONE), 0);
	cr_assert_null(event_call_name(EVENT_CALLS_END));
}
