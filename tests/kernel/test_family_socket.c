/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets by need: every socket that is made, the first datagram from each sender, and what was received. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "family.h"
#include "harness.h"

TestSuite(family_socket, .init = family_set_up, .fini = family_tear_down);

static int make_sockets(void *argument)
{
	(void)argument;
	if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 || socket(AF_UNIX, SOCK_DGRAM, 0) < 0)
		return 1;
	return socket(AF_INET6, SOCK_STREAM, 254) >= 0;
}

Test(family_socket, every_socket_where_it_is_asked_for)
{
	struct json_object *document;

	family_ask("socket");
	cr_assert_eq(watch(make_sockets, NULL), 0);
	document = one("socket", "taffrail.socket.family", "inet");
	expect(document, "taffrail.socket.type", "stream");
	expect(document, "taffrail.call", "socket");
	expect(one("socket", "taffrail.socket.family", "unix"), "taffrail.socket.type", "dgram");
	expect(one("socket", "taffrail.socket.family", "inet6"), "event.outcome", "failure");
}

/* By its own number: libc may make recvmsg of recvfrom. */
static int receive(int fd, int flags)
{
	struct sockaddr_in from;
	char text[16];
	struct iovec part = {text, sizeof(text)};
	struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1};
	socklen_t length = sizeof(from);

	if (flags & 1)
		return recvmsg(fd, &message, 0) != 1;
	return recvfrom(fd, text, sizeof(text), 0, (void *)&from, &length) != 1;
}

static int hear(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_DGRAM, 0);

	(void)argument;
	if (bind(server, (void *)&address, sizeof(address)) || getsockname(server, (void *)&address, &length))
		return 1;
	for (int i = 0; i < 2; i++) {
		int client = socket(AF_INET, SOCK_DGRAM, 0);

		for (int j = 0; j < 3; j++)
			if (sendto(client, "x", 1, 0, (void *)&address, sizeof(address)) != 1 || receive(server, i))
				return 2;
		close(client);
	}
	return recv(server, &length, 1, MSG_DONTWAIT) != -1;
}

Test(family_socket, the_first_datagram_from_each_sender)
{
	struct json_object *document, *sent[2];

	family_ask("receive");
	cr_assert_eq(watch(hear, NULL), 0);
	cr_assert_eq(documents("receive", NULL, 0), 2);
	cr_assert_eq(documents("send", sent, 2), 2);
	document = by_call("receive", "recvfrom");
	expect(document, "network.transport", "udp");
	expect(document, "network.direction", "ingress");
	expect(document, "source.port", at(sent[0], "source.port"));
	expect(document, "destination.port", at(sent[0], "destination.port"));
	expect(by_call("receive", "recvmsg"), "source.port", at(sent[1], "source.port"));
}

/* --- what was received ------------------------------------------------------------------------------------------------- */

static const char bytes_rules[] =
	"- rule: bytes\n"
	"  desc: d\n"
	"  priority: info\n"
	"  condition: evt.type in (recvfrom, recvmsg, recvmmsg) and evt.buffer bcontains cafebabe\n"
	"  output: \"%evt.type %fd.l4proto %fd.connected %evt.rawres %fd.name\"\n"
	"- rule: words\n"
	"  desc: d\n"
	"  priority: info\n"
	"  condition: evt.type=recvfrom and evt.buffer startswith PLAIN\n"
	"  output: \"quoted %evt.buffer of %evt.buflen\"\n";

/* Two ends of a connection of this type (TCP, UDP) on the loopback: what is sent at the first is received at the second. */
static int connect_ends(int type, int ends[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
			   other = address;
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, type, 0);

	ends[0] = socket(AF_INET, type, 0);
	if (bind(server, (void *)&address, sizeof(address)) || getsockname(server, (void *)&address, &length) ||
		(type == SOCK_STREAM && listen(server, 1)) || connect(ends[0], (void *)&address, sizeof(address)))
		return -1;
	if (type == SOCK_STREAM) {
		ends[1] = accept(server, NULL, NULL);
		return close(server) || ends[1] < 0;
	}
	ends[1] = server;
	return getsockname(ends[0], (void *)&other, &length) || connect(server, (void *)&other, sizeof(other));
}

enum how { FROM, MESSAGE, MESSAGES };

/* Sends the bytes and receives them: by recvfrom, by recvmsg into pieces of 1, 2, 0 and more bytes, or by recvmmsg. */
static int pass(const int ends[2], const char *bytes, size_t length, enum how how)
{
	char room[3][512];
	struct iovec pieces[4] = {{room[0], 1}, {room[1], 2}, {NULL, 0}, {room[2], sizeof(room[2])}};
	struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = pieces, .msg_iovlen = 4}},
		{.msg_hdr = {.msg_iov = pieces + 3, .msg_iovlen = 1}}};

	if (send(ends[0], bytes, length, 0) != (ssize_t)length)
		return 1;
	switch (how) {
	case FROM: return recvfrom(ends[1], room[0], sizeof(room[0]), 0, NULL, NULL) != (ssize_t)length;
	case MESSAGE: return recvmsg(ends[1], &messages[0].msg_hdr, 0) != (ssize_t)length;
	default: return recvmmsg(ends[1], messages, 2, MSG_WAITFORONE, NULL) != 1;
	}
}

#define PASS(ends, bytes, how) pass(ends, bytes, sizeof(bytes) - 1, how)

static int exchange(void *argument)
{
	char filled[200];
	int tcp[2], udp[2];

	(void)argument;
	memset(filled, 'x', sizeof(filled));
	if (connect_ends(SOCK_STREAM, tcp) || connect_ends(SOCK_DGRAM, udp))
		return 1;
	if (PASS(tcp, "\xca\xfe\xba\xbe", FROM) || PASS(tcp, "ab\xca\xfe\xba\xbe--", MESSAGE) ||
		PASS(udp, "\xca\xfe\xba\xbe.", MESSAGES) || PASS(tcp, "PLAIN\n\x01", FROM))
		return 2;
	/* The bytes must be among the first 80, whole. */
	memcpy(filled + 76, "\xca\xfe\xba\xbe", 4);
	if (pass(tcp, filled, sizeof(filled), FROM))
		return 3;
	memcpy(filled + 76, "x\xca\xfe\xba\xbe", 5);
	if (pass(tcp, filled, sizeof(filled), FROM) || pass(tcp, filled, sizeof(filled), MESSAGE))
		return 4;
	if (PASS(tcp, "\xca\xfe\xba\xbf", FROM) || PASS(udp, "\xca\xfe\xbe\xba", MESSAGE))
		return 5;
	/* The other way, at the client's end. */
	return PASS(((const int[]){tcp[1], tcp[0]}), "\xca\xfe\xba\xbe\xca\xfe", FROM) ? 6 : 0;
}

/* How many findings say this at their message's start. */
static size_t said(const char *start)
{
	struct json_object *found[32];
	size_t told = documents("receive", found, 32), number = 0;

	for (size_t i = 0; i < told && i < 32; i++)
		number += strncmp(at(found[i], "message"), start, strlen(start)) == 0;
	return number;
}

Test(family_socket, what_was_received_where_a_rule_asks_for_it)
{
	struct json_object *found[8];
	char client[64], server[64];

	family_judge("receive", bytes_rules);
	cr_assert_eq(watch(exchange, NULL), 0);
	cr_expect_eq(said("recvfrom tcp true 4 127.0.0.1:"), 1);
	cr_expect_eq(said("recvmsg tcp true 8 127.0.0.1:"), 1);
	cr_expect_eq(said("recvmmsg udp true 1 127.0.0.1:"), 1);
	cr_expect_eq(said("recvfrom tcp true 200 127.0.0.1:"), 1);
	cr_expect_eq(said("recvfrom tcp true 6 127.0.0.1:"), 1);
	cr_expect_eq(said("quoted PLAIN\n\x01 of 7"), 1);
	cr_assert_eq(documents("receive", found, 8), 6, "these, and nothing is recorded, though receive is");
	/* Whichever end received: the client is the one that connected. */
	snprintf(client, sizeof(client), "%s",
		at(one("connection_accepted", "network.transport", "tcp"), "source.port"));
	snprintf(server, sizeof(server), "%s",
		at(one("connection_accepted", "network.transport", "tcp"), "destination.port"));
	for (int i = 0; i < 6; i++)
		if (strcmp(at(found[i], "network.transport"), "tcp") == 0) {
			expect(found[i], "source.port", client);
			expect(found[i], "destination.port", server);
		}
}

Test(family_socket, datagrams_are_judged_each_and_recorded_once)
{
	static const char rule[] = "- rule: x\n"
				   "  desc: d\n"
				   "  priority: info\n"
				   "  condition: evt.type in (recvfrom, recvmsg) and evt.buffer = x\n"
				   "  output: \"%fd.name_changed\"\n";

	family_judge("receive", rule);
	cr_assert_eq(watch(hear, NULL), 0);
	cr_expect_eq(count("receive", "event.kind", "event"), 2);
	cr_expect_eq(said("true"), 2);
	cr_expect_eq(said("false"), 4);
}

/* --- connects that failed ---------------------------------------------------------------------------------------------- */

static const char connect_rules[] = "- rule: connects\n"
				    "  desc: d\n"
				    "  priority: info\n"
				    "  condition: evt.type=connect and fd.l4proto=tcp\n"
				    "  output: \"%evt.res %fd.name\"\n";

static int connect_refused(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};

	(void)argument;
	return connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)) == 0 ||
	       errno != ECONNREFUSED;
}

static void expect_own_end(struct json_object *finding)
{
	expect(finding, "source.ip", "127.0.0.1");
	cr_assert_str_neq(at(finding, "source.port"), "");
	cr_assert_str_neq(at(finding, "source.port"), "0");
}

/* Ends a refused connect has had, although the socket forgets its own. */
Test(family_socket, a_finding_of_a_refused_connect_has_both_ends)
{
	struct json_object *finding;

	family_judge("receive", connect_rules);
	cr_assert_eq(watch(connect_refused, NULL), 0);
	finding = one("connection_attempted", "event.kind", "alert");
	expect(finding, "error.code", "ECONNREFUSED");
	expect_own_end(finding);
	expect(finding, "source.port", at(one("connection_attempted", "event.kind", "event"), "source.port"));
}

static void on_alarm(int number)
{
	(void)number;
}

/* To a listener whose queue is full: it drops what comes, and a signal ends the wait. */
static int connect_interrupted(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval soon = {.it_value.tv_usec = 300 * 1000};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (bind(server, (void *)&address, sizeof(address)) || getsockname(server, (void *)&address, &length) ||
		listen(server, 0) || connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)))
		return 1;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	return connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)) == 0 || errno != EINTR;
}

Test(family_socket, a_finding_of_an_interrupted_connect_has_both_ends)
{
	struct json_object *finding;

	family_judge("receive", connect_rules);
	cr_assert_eq(watch(connect_interrupted, NULL), 0);
	finding = one("connection_attempted", "error.code", "EINTR");
	expect(finding, "event.kind", "alert");
	expect_own_end(finding);
}

Test(family_socket, connections_are_silent_where_no_rule_asks)
{
	static const char rule[] = "- rule: all\n"
				   "  desc: d\n"
				   "  priority: info\n"
				   "  condition: evt.type in (recvfrom, recvmsg, recvmmsg)\n"
				   "  output: received\n"
				   "- rule: bytes\n"
				   "  desc: d\n"
				   "  priority: info\n"
				   "  condition: evt.type=recvfrom and evt.buffer bcontains cafebabe\n"
				   "  output: received\n"
				   "  enabled: false\n";

	family_judge("receive", rule);
	cr_assert_eq(watch(exchange, NULL), 0);
	cr_assert_eq(documents("receive", NULL, 0), 0);
}
