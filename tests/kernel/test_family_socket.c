/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets by need: every socket that is made, and the first datagram from each sender. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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
