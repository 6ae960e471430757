/* SPDX-License-Identifier: Apache-2.0 */
/* Flows: how far, how much each way. Over loopback alone. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static socklen_t loopback(struct sockaddr_storage *address, int family)
{
	memset(address, 0, sizeof(*address));
	address->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(struct sockaddr_in);
	}
	((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
	return sizeof(struct sockaddr_in6);
}

/* A socket of this type at a port that the kernel chose; its address is there. -1: there is none. */
static int bound(int family, int type, struct sockaddr_storage *address)
{
	const struct timeval patience = {2, 0};
	socklen_t length = loopback(address, family);
	int fd = socket(family, type | SOCK_CLOEXEC, 0);

	if (bind(fd, (void *)address, length) || getsockname(fd, (void *)address, &length) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return -1;
	return fd;
}

static socklen_t size_of(int family)
{
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Three datagrams of 100 bytes and an empty one there, two of 50 back. */
static int exchange(int family, bool connected)
{
	struct sockaddr_storage address, from = {0};
	socklen_t length = sizeof(from);
	int server = bound(family, SOCK_DGRAM, &address), client = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const struct timeval patience = {2, 0};
	char bytes[100] = "";

	if (server < 0 || setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		return 1;
	if (connected && connect(client, (void *)&address, size_of(family)))
		return 2;
	for (size_t i = 0; i < 4; i++) {
		size_t size = i < 3 ? sizeof(bytes) : 0;
		ssize_t sent = connected ? send(client, bytes, size, 0)
					 : sendto(client, bytes, size, 0, (void *)&address, size_of(family));

		if (sent != (ssize_t)size ||
			recvfrom(server, bytes, sizeof(bytes), 0, (void *)&from, &length) != (ssize_t)size)
			return 3;
	}
	for (size_t i = 0; i < 2; i++)
		if (sendto(server, bytes, 50, 0, (void *)&from, length) != 50 ||
			recv(client, bytes, sizeof(bytes), 0) != 50)
			return 4;
	close(client);
	close(server);
	return 0;
}

static int exchange_v4(void *argument)
{
	(void)argument;
	return exchange(AF_INET, false);
}

static int exchange_v6(void *argument)
{
	(void)argument;
	return exchange(AF_INET6, false);
}

static int exchange_connected(void *argument)
{
	(void)argument;
	return exchange(AF_INET, true);
}

static void expect_exchange(const char *ip, const char *type)
{
	struct json_object *out = one("flow", "network.direction", "egress");
	struct json_object *in = one("flow", "network.direction", "ingress"), *both[] = {out, in};

	for (size_t i = 0; i < 2; i++) {
		expect(both[i], "source.ip", ip);
		expect(both[i], "destination.ip", ip);
		expect(both[i], "source.port", at(out, "source.port"));
		expect(both[i], "destination.port", at(in, "destination.port"));
		expect(both[i], "source.bytes", "300");
		expect(both[i], "source.packets", "4");
		expect(both[i], "destination.bytes", "100");
		expect(both[i], "destination.packets", "2");
		expect(both[i], "network.bytes", "400");
		expect(both[i], "network.packets", "6");
		expect(both[i], "network.transport", "udp");
		expect(both[i], "network.type", type);
		expect(both[i], "network.community_id", at(out, "network.community_id"));
		expect(both[i], "event.type.0", "connection");
		expect(both[i], "event.type.1", "end");
		expect(both[i], "taffrail.flow.state", "open");
		expect(both[i], "@timestamp", at(both[i], "event.end"));
		cr_assert_gt(atoll(at(both[i], "event.duration")), 0);
		cr_assert_lt(strcmp(at(both[i], "event.start"), at(both[i], "event.end")), 0);
		cr_assert_str_neq(at(both[i], "process.entity_id"), "");
	}
}

Test(kernel_flow, datagrams_both_ways_are_a_flow_of_either_socket_and_counted_exactly)
{
	cr_assert_eq(watch(exchange_v4, NULL), 0);
	expect_exchange("127.0.0.1", "ipv4");
	cr_assert_eq(count("send", "event.action", "send"), 2, "each to its peer, as before");
}

Test(kernel_flow, so_they_are_over_ipv6)
{
	cr_assert_eq(watch(exchange_v6, NULL), 0);
	expect_exchange("::1", "ipv6");
}

Test(kernel_flow, so_they_are_of_a_socket_that_is_connected)
{
	cr_assert_eq(watch(exchange_connected, NULL), 0);
	expect_exchange("127.0.0.1", "ipv4");
}

static int connect_only(void *argument)
{
	struct sockaddr_storage address;
	int server = bound(AF_INET, SOCK_DGRAM, &address), client = socket(AF_INET, SOCK_DGRAM, 0);

	(void)argument;
	return server < 0 || connect(client, (void *)&address, size_of(AF_INET));
}

Test(kernel_flow, a_connect_without_a_datagram_is_no_flow)
{
	cr_assert_eq(watch(connect_only, NULL), 0);
	one("connection_attempted", "network.transport", "udp");
	cr_assert_eq(count("flow", "event.action", "flow"), 0);
}

static int to_many(void *argument)
{
	struct sockaddr_storage address;
	int client = socket(AF_INET, SOCK_DGRAM, 0), sent = 0;
	struct sockaddr_in *to = (void *)&address;

	(void)argument;
	loopback(&address, AF_INET);
	for (int round = 0; round < 2; round++)
		for (uint16_t port = 40101; port <= 40105; port++) {
			to->sin_port = htons(port);
			/* A refusal that came back for an earlier datagram is told by the next. */
			sent += sendto(client, "1234567", 7, 0, (void *)to, sizeof(*to)) == 7;
		}
	close(client);
	return sent == 0;
}

Test(kernel_flow, a_socket_has_a_flow_for_each_peer)
{
	cr_assert_eq(watch(to_many, NULL), 0);
	cr_assert_eq(count("flow", "event.action", "flow"), 5);
	for (int port = 40101; port <= 40105; port++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", port);
		cr_assert_gt(atoi(at(one("flow", "destination.port", text), "source.packets")), 0);
	}
}

/* --- idleness, and reports in between -------------------------------------------------------------------------------------- */

static int pause_between(void *argument)
{
	struct sockaddr_storage address;
	int server = bound(AF_INET, SOCK_DGRAM, &address), client = socket(AF_INET, SOCK_DGRAM, 0);

	(void)argument;
	if (server < 0 || sendto(client, "one", 3, 0, (void *)&address, size_of(AF_INET)) != 3)
		return 1;
	usleep(4500 * 1000);
	return sendto(client, "three", 5, 0, (void *)&address, size_of(AF_INET)) != 5;
}

Test(kernel_flow, a_flow_without_packets_ends_and_what_follows_is_another)
{
	const char *const words[] = {"--set", "flows.idle=1s", NULL};
	struct json_object *found[8];

	sensor_arguments(words);
	cr_assert_eq(watch(pause_between, NULL), 0);
	cr_assert_eq(count("flow", "network.direction", "egress"), 2);
	cr_assert_eq(documents("flow", found, 8), 4);
	cr_assert_eq(count("flow", "source.bytes", "3"), 2);
	cr_assert_eq(count("flow", "source.bytes", "5"), 2);
}

static int talk_long(void *argument)
{
	struct sockaddr_storage address;
	int server = bound(AF_INET, SOCK_STREAM, &address), client = socket(AF_INET, SOCK_STREAM, 0), accepted;
	char bytes[100] = "";

	(void)argument;
	if (server < 0 || listen(server, 1) || connect(client, (void *)&address, size_of(AF_INET)))
		return 1;
	accepted = accept(server, NULL, NULL);
	for (int i = 0; i < 35; i++) {
		if (write(client, bytes, sizeof(bytes)) != sizeof(bytes) ||
			recv(accepted, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
			return 2;
		usleep(100 * 1000);
	}
	close(client);
	while (read(accepted, bytes, sizeof(bytes)) > 0)
		;
	close(accepted);
	usleep(50 * 1000);
	return 0;
}

Test(kernel_flow, a_long_connection_is_told_at_intervals_and_its_end_once)
{
	const char *const words[] = {"--set", "flows.interval=1s", NULL};
	struct json_object *found[16], *end;
	long before = 0, told = 0;
	size_t number;

	sensor_arguments(words);
	cr_assert_eq(watch(talk_long, NULL), 0);
	number = documents("flow", found, 16);
	for (size_t i = 0; i < number; i++) {
		long bytes = atol(at(found[i], "source.bytes"));

		if (strcmp(at(found[i], "network.direction"), "egress") != 0)
			continue;
		expect(found[i], "event.type.1", "info");
		expect(found[i], "taffrail.flow.state", "established");
		cr_assert(bytes > before && bytes <= 3500, "%ld behind %ld", bytes, before);
		before = bytes;
		told++;
	}
	cr_assert(told >= 2 && told <= 8, "%ld", told);
	end = one("disconnect_received", "network.direction", "egress");
	expect(end, "source.bytes", "3500");
	expect(end, "taffrail.flow.state", "established");
	cr_assert_geq(atol(at(end, "source.packets")), 36);
}

/* --- how far connections come ------------------------------------------------------------------------------------------------ */

static int talk_short(void *argument)
{
	struct sockaddr_storage address;
	int server = bound(AF_INET, SOCK_STREAM, &address), client = socket(AF_INET, SOCK_STREAM, 0), accepted;
	char bytes[100] = "";

	(void)argument;
	if (server < 0 || listen(server, 1) || connect(client, (void *)&address, size_of(AF_INET)))
		return 1;
	accepted = accept(server, NULL, NULL);
	if (write(client, bytes, 10) != 10 || recv(accepted, bytes, 10, MSG_WAITALL) != 10)
		return 2;
	close(client);
	while (read(accepted, bytes, sizeof(bytes)) > 0)
		;
	close(accepted);
	usleep(50 * 1000);
	return 0;
}

Test(kernel_flow, the_end_of_a_connection_is_told_by_its_disconnect_alone)
{
	struct json_object *out, *in;

	cr_assert_eq(watch(talk_short, NULL), 0);
	cr_assert_eq(count("flow", "event.action", "flow"), 0);
	out = one("disconnect_received", "network.direction", "egress");
	in = one("disconnect_received", "network.direction", "ingress");
	expect(out, "source.bytes", "10");
	expect(in, "source.bytes", "10");
	/* SYN, its acknowledgement, the message, FIN and their acknowledgements: four at least that way. */
	cr_assert_geq(atol(at(out, "source.packets")), 4);
	cr_assert_geq(atol(at(out, "destination.packets")), 2);
	cr_assert_eq(atol(at(out, "network.packets")),
		atol(at(out, "source.packets")) + atol(at(out, "destination.packets")));
}

static int refused(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};

	(void)argument;
	return connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)) == 0;
}

Test(kernel_flow, a_refused_connect_says_so)
{
	cr_assert_eq(watch(refused, NULL), 0);
	expect(one("connection_attempted", "error.code", "ECONNREFUSED"), "taffrail.flow.state", "refused");
	cr_assert_eq(count("flow", "event.action", "flow"), 0);
}

/* A listener whose queue is full drops what comes: nobody answers. */
static int timed_out(void *argument)
{
	struct sockaddr_storage address;
	int server = bound(AF_INET, SOCK_STREAM, &address), tries = 1, last = -1, error = 0;
	socklen_t size = sizeof(error);

	(void)argument;
	if (server < 0 || listen(server, 0))
		return 1;
	for (int i = 0; i < 4; i++) {
		struct pollfd wait = {.events = POLLOUT};

		last = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		wait.fd = last;
		if (setsockopt(last, IPPROTO_TCP, TCP_SYNCNT, &tries, sizeof(tries)))
			return 2;
		(void)connect(last, (void *)&address, size_of(AF_INET));
		if (poll(&wait, 1, 500) == 0)
			break;
	}
	usleep(4000 * 1000);
	getsockopt(last, SOL_SOCKET, SO_ERROR, &error, &size);
	return error != ETIMEDOUT;
}

Test(kernel_flow, a_connect_that_nobody_answers_says_so)
{
	cr_assert_eq(watch(timed_out, NULL), 0);
	expect(one("connection_attempted", "error.code", "ETIMEDOUT"), "taffrail.flow.state", "timed_out");
}

static int never_accepted(void *argument)
{
	struct sockaddr_storage address;
	int server = bound(AF_INET, SOCK_STREAM, &address), client = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (server < 0 || listen(server, 1) || connect(client, (void *)&address, size_of(AF_INET)) ||
		write(client, "0123456789", 10) != 10)
		return 1;
	usleep(100 * 1000);
	close(server);
	close(client);
	usleep(100 * 1000);
	return 0;
}

Test(kernel_flow, a_connection_that_nobody_accepts_is_a_flow_of_its_container_and_of_no_process)
{
	struct json_object *flow;

	if (getenv("TAFFRAIL_CGROUP"))
		cr_skip_test("who is in v1 cgroups alone is known by the process that accepts");
	cr_assert_eq(watch(never_accepted, NULL), 0);
	flow = one("flow", "network.transport", "tcp");
	expect(flow, "network.direction", "ingress");
	expect(flow, "container.id", place_id(PLACE_CONTAINER));
	expect(flow, "process.pid", "");
	expect(flow, "source.bytes", "10");
	expect(flow, "event.type.1", "end");
	expect(flow, "taffrail.flow.state", "established");
}
