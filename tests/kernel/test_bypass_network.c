/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to reach a peer so that the address is not seen, or seems to be somebody else's: over loopback alone. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

/* What a way tells its test. */
struct note {
	pid_t pid;
	int port;
};

enum {
	CHILD,
	PASSED,
	FAST_OPEN,
	FAST_CONNECT,
	ACCEPTING_CHILD,
	AGAIN,
	ITSELF,
	MULTIPATH,
	NOTES,
};

static struct note *notes;
static int outside_socket = -1;

static void make_notes(void)
{
	notes = shared(NOTES * sizeof(*notes));
}

TestSuite(bypass_network, .init = make_notes);

static struct sockaddr_in peer(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct sockaddr_in6 peer6(const char *ip, int port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

	inet_pton(AF_INET6, ip, &address.sin6_addr);
	return address;
}

static int connect_to(int fd, int port)
{
	struct sockaddr_in address = peer(port);

	return connect(fd, (void *)&address, sizeof(address));
}

static int let_go(int fd)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	return connect(fd, &nobody, sizeof(nobody));
}

static int listening(int protocol, int *port)
{
	struct sockaddr_in address = peer(0);
	socklen_t length = sizeof(address);
	int queue = 5, fd = socket(AF_INET, SOCK_STREAM, protocol);

	if (fd < 0 || bind(fd, (void *)&address, sizeof(address)) || listen(fd, 5) ||
		getsockname(fd, (void *)&address, &length))
		return -1;
	if (protocol == 0 && setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)))
		return -1;
	*port = ntohs(address.sin_port);
	return fd;
}

/* --- datagrams ------------------------------------------------------------------------------------------------------------ */

static int udp_mapped(const char *name)
{
	struct sockaddr_in6 to = peer6("::ffff:127.0.0.1", 41001);

	return sendto(socket(AF_INET6, SOCK_DGRAM, 0), name, 1, 0, (void *)&to, sizeof(to)) != 1;
}

static int udp_six(const char *name)
{
	struct sockaddr_in6 to = peer6("::1", 41002);

	return sendto(socket(AF_INET6, SOCK_DGRAM, 0), name, 1, 0, (void *)&to, sizeof(to)) != 1;
}

static int many_at_once(const char *name)
{
	struct sockaddr_in to[] = {peer(41003), peer(41004), peer(41005)};
	struct iovec bytes = {(void *)(uintptr_t)name, 1};
	struct mmsghdr messages[3] = {0};
	int sent = 0, fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (size_t i = 0; i < 3; i++)
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &to[i], .msg_namelen = sizeof(to[i]), .msg_iov = &bytes, .msg_iovlen = 1};
	/* A refusal of an earlier one ends the call: then it goes on behind that. */
	for (int tries = 0; sent < 3 && tries < 10; tries++) {
		int now = sendmmsg(fd, messages + sent, (unsigned int)(3 - sent), 0);

		sent += now > 0 ? now : 0;
	}
	return sent != 3;
}

static int besides_the_peer(const char *name)
{
	struct sockaddr_in other = peer(41007);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	return connect_to(fd, 41006) || sendto(fd, name, 1, 0, (void *)&other, sizeof(other)) != 1;
}

static int udp_again(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)name;
	return connect_to(fd, 41008) || connect_to(fd, 41009) || let_go(fd) || connect_to(fd, 41010);
}

static int udp_lite(const char *name)
{
	struct sockaddr_in to = peer(41016);
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);

	if (fd < 0) /* gone from new kernels */
		fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (sendto(fd, name, 1, 0, (void *)&to, sizeof(to)) != 1)
		return 1;
	to = peer(41018);
	return connect(fd, (void *)&to, sizeof(to)) || send(fd, name, 1, 0) != 1;
}

/* --- somebody else's sockets ------------------------------------------------------------------------------------------------ */

static int by_child(const char *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	pid_t child = fork();

	(void)name;
	if (child == 0) {
		notes[CHILD].pid = getpid();
		_exit(connect_to(dup(fd), 41011));
	}
	return child_end(child);
}

static int passed(const char *name)
{
	int pair[2];
	pid_t child = socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -1 : fork();

	(void)name;
	if (child == 0)
		_exit(descriptor_send(pair[0], socket(AF_INET, SOCK_DGRAM, 0)) != 0);
	notes[PASSED].pid = getpid();
	return child_end(child) != 0 || connect_to(descriptor_receive(pair[1]), 41012);
}

static int from_outside(const char *name)
{
	struct sockaddr_in to = peer(41017);

	return connect_to(outside_socket, 41013) || let_go(outside_socket) ||
	       sendto(outside_socket, name, 1, 0, (void *)&to, sizeof(to)) != 1;
}

static int other_namespace(const char *name)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};

	(void)name;
	if (unshare(CLONE_NEWNET) || ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &loopback) ||
		connect_to(socket(AF_INET, SOCK_DGRAM, 0), 41014))
		return 1;
	return setns(home, CLONE_NEWNET) || connect_to(socket(AF_INET, SOCK_DGRAM, 0), 41015);
}

/* --- TCP ------------------------------------------------------------------------------------------------------------------- */

static int fast_open(const char *name)
{
	int server = listening(0, &notes[FAST_OPEN].port), client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = peer(notes[FAST_OPEN].port);

	return server < 0 || sendto(client, name, 1, MSG_FASTOPEN, (void *)&to, sizeof(to)) != 1 ||
	       accept4(server, NULL, NULL, SOCK_CLOEXEC) < 0;
}

static int fast_connect(const char *name)
{
	int server = listening(0, &notes[FAST_CONNECT].port), client = socket(AF_INET, SOCK_STREAM, 0), yes = 1;

	return server < 0 || setsockopt(client, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &yes, sizeof(yes)) ||
	       connect_to(client, notes[FAST_CONNECT].port) || write(client, name, 1) != 1 ||
	       accept4(server, NULL, NULL, 0) < 0;
}

static int accepting_child(const char *name)
{
	int server = listening(0, &notes[ACCEPTING_CHILD].port), client = socket(AF_INET, SOCK_STREAM, 0);
	pid_t child;

	(void)name;
	if (server < 0 || connect_to(client, notes[ACCEPTING_CHILD].port))
		return 1;
	child = fork();
	if (child == 0) {
		notes[ACCEPTING_CHILD].pid = getpid();
		_exit(accept(server, NULL, NULL) < 0);
	}
	return child_end(child);
}

static int tcp_again(const char *name)
{
	int server = listening(0, &notes[AGAIN].port), client = socket(AF_INET, SOCK_STREAM, 0);

	(void)name;
	return server < 0 || connect_to(client, notes[AGAIN].port) || let_go(client) ||
	       connect_to(client, notes[AGAIN].port);
}

static int to_itself(const char *name)
{
	struct sockaddr_in address = peer(0);
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)name;
	if (bind(fd, (void *)&address, sizeof(address)) || getsockname(fd, (void *)&address, &length))
		return 1;
	notes[ITSELF].port = ntohs(address.sin_port);
	return connect(fd, (void *)&address, sizeof(address));
}

static int multipath(const char *name)
{
	int server = listening(IPPROTO_MPTCP, &notes[MULTIPATH].port),
	    client = socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);

	(void)name;
	if (server < 0 || client < 0) { /* then nobody can hide behind it */
		notes[MULTIPATH].port = 0;
		return 0;
	}
	return connect_to(client, notes[MULTIPATH].port) || accept(server, NULL, NULL) < 0;
}

static const struct way ways[] = {
	{"udp-mapped", udp_mapped},
	{"udp-six", udp_six},
	{"many-at-once", many_at_once},
	{"besides-the-peer", besides_the_peer},
	{"udp-again", udp_again},
	{"udp-lite", udp_lite},
	{"by-child", by_child},
	{"passed", passed},
	{"from-outside", from_outside},
	{"other-namespace", other_namespace},
	{"fast-open", fast_open},
	{"fast-connect", fast_connect},
	{"accepting-child", accepting_child},
	{"tcp-again", tcp_again},
	{"to-itself", to_itself},
	{"multipath", multipath},
	{NULL, NULL},
};

static int run_all(void *argument)
{
	return run_ways(argument);
}

static const char *text_of_number(int number)
{
	static char texts[4][12];
	static unsigned int next;
	char *text = texts[next++ % 4];

	snprintf(text, sizeof(texts[0]), "%d", number);
	return text;
}

static struct json_object *reached(const char *action, int port, const char *ip)
{
	struct json_object *document = one(action, "destination.port", text_of_number(port));

	expect(document, "destination.ip", ip);
	expect(document, "event.outcome", "success");
	expect(document, "network.type", strchr(ip, ':') ? "ipv6" : "ipv4");
	return document;
}

static void expect_tcp(int port, size_t connects)
{
	cr_assert_gt(port, 0);
	cr_assert_eq(count("connection_attempted", "destination.port", text_of_number(port)), connects);
	one("listen", "destination.port", text_of_number(port));
}

Test(bypass_network, every_peer_is_told_and_who_reached_it)
{
	outside_socket = socket(AF_INET, SOCK_DGRAM, 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)ways), 0);

	expect(reached("send", 41001, "127.0.0.1"), "source.ip", "127.0.0.1");
	reached("send", 41002, "::1");
	for (int port = 41003; port <= 41005; port++)
		reached("send", port, "127.0.0.1");
	reached("connection_attempted", 41006, "127.0.0.1");
	reached("send", 41007, "127.0.0.1");
	for (int port = 41008; port <= 41010; port++)
		reached("connection_attempted", port, "127.0.0.1");
	reached("send", 41016, "127.0.0.1");
	reached("connection_attempted", 41018, "127.0.0.1");

	expect(reached("connection_attempted", 41011, "127.0.0.1"), "process.pid", text_of_number(notes[CHILD].pid));
	expect(reached("connection_attempted", 41012, "127.0.0.1"), "process.pid", text_of_number(notes[PASSED].pid));
	reached("connection_attempted", 41013, "127.0.0.1");
	reached("send", 41017, "127.0.0.1");
	reached("connection_attempted", 41014, "127.0.0.1");
	reached("connection_attempted", 41015, "127.0.0.1");

	expect_tcp(notes[FAST_OPEN].port, 1);
	reached("connection_attempted", notes[FAST_OPEN].port, "127.0.0.1");
	reached("connection_accepted", notes[FAST_OPEN].port, "127.0.0.1");
	expect_tcp(notes[FAST_CONNECT].port, 1);
	reached("connection_attempted", notes[FAST_CONNECT].port, "127.0.0.1");
	reached("connection_accepted", notes[FAST_CONNECT].port, "127.0.0.1");

	expect_tcp(notes[ACCEPTING_CHILD].port, 1);
	expect(reached("connection_accepted", notes[ACCEPTING_CHILD].port, "127.0.0.1"), "process.pid",
		text_of_number(notes[ACCEPTING_CHILD].pid));

	expect_tcp(notes[AGAIN].port, 2);
	cr_assert_eq(count("disconnect_received", "destination.port", text_of_number(notes[AGAIN].port)), 2);

	struct json_object *itself = reached("connection_attempted", notes[ITSELF].port, "127.0.0.1");

	expect(itself, "source.port", text_of_number(notes[ITSELF].port));
	if (notes[MULTIPATH].port) {
		expect_tcp(notes[MULTIPATH].port, 1);
		expect(reached("connection_attempted", notes[MULTIPATH].port, "127.0.0.1"), "network.transport", "tcp");
		expect(reached("connection_accepted", notes[MULTIPATH].port, "127.0.0.1"), "network.transport", "tcp");
	}
}
