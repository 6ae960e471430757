/* SPDX-License-Identifier: Apache-2.0 */
/* connect, accept, listen, send, disconnect: over loopback alone. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* What a deed tells its test: shared memory would be more than that needs, a port fits into a file of its own. */
static int listener(int family, struct sockaddr_storage *address, socklen_t *length)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(address, 0, sizeof(*address));
	address->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		*length = sizeof(struct sockaddr_in);
	} else {
		((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
		*length = sizeof(struct sockaddr_in6);
	}
	if (bind(fd, (void *)address, *length) || listen(fd, 5) || getsockname(fd, (void *)address, length))
		return -1;
	return fd;
}

static int talk(int family)
{
	struct sockaddr_storage address;
	socklen_t length;
	int server = listener(family, &address, &length), client = socket(family, SOCK_STREAM, 0), accepted;
	char bytes[4096] = "";

	if (server < 0 || connect(client, (void *)&address, length))
		return 1;
	accepted = accept(server, NULL, NULL);
	if (accepted < 0 || write(client, bytes, 1000) != 1000 || recv(accepted, bytes, 1000, MSG_WAITALL) != 1000)
		return 2;
	for (int i = 0; i < 5; i++)
		if (write(accepted, bytes, sizeof(bytes)) != sizeof(bytes) ||
			recv(client, bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
			return 3;
	close(client);
	while (read(accepted, bytes, sizeof(bytes)) > 0)
		;
	close(accepted);
	close(server);
	usleep(50 * 1000);
	return 0;
}

static int talk_v4(void *argument)
{
	(void)argument;
	return talk(AF_INET);
}

static int talk_v6(void *argument)
{
	(void)argument;
	return talk(AF_INET6);
}

static void expect_conversation(const char *ip, const char *type)
{
	struct json_object *listen_document = one("listen", "network.transport", "tcp");
	struct json_object *connect_document = one("connection_attempted", "network.transport", "tcp");
	struct json_object *accept_document = one("connection_accepted", "network.transport", "tcp");
	struct json_object *sent = one("disconnect_received", "network.direction", "egress");
	struct json_object *received = one("disconnect_received", "network.direction", "ingress");
	const char *server_port = at(listen_document, "destination.port");
	const char *client_port = at(connect_document, "source.port");

	expect(listen_document, "destination.ip", ip);
	expect(listen_document, "network.direction", "ingress");
	expect(listen_document, "source.ip", "");
	expect(listen_document, "event.type.0", "info");
	cr_assert_str_neq(server_port, "0");
	struct json_object *both[] = {connect_document, accept_document, sent, received};

	for (size_t i = 0; i < 4; i++) {
		expect(both[i], "source.ip", ip);
		expect(both[i], "destination.ip", ip);
		expect(both[i], "source.port", client_port);
		expect(both[i], "destination.port", server_port);
		expect(both[i], "network.type", type);
		expect(both[i], "network.community_id", at(connect_document, "network.community_id"));
		expect(both[i], "event.outcome", "success");
	}
	expect(connect_document, "network.direction", "egress");
	expect(accept_document, "network.direction", "ingress");
	for (size_t i = 2; i < 4; i++) {
		expect(both[i], "source.bytes", "1000");
		expect(both[i], "destination.bytes", "20480");
		expect(both[i], "network.bytes", "21480");
		cr_assert_gt(atoll(at(both[i], "event.duration")), 0);
	}
}

Test(kernel_network, a_tcp_conversation_has_five_documents_with_the_same_two_ends)
{
	cr_assert_eq(watch(talk_v4, NULL), 0);
	expect_conversation("127.0.0.1", "ipv4");
}

Test(kernel_network, so_has_one_over_ipv6)
{
	cr_assert_eq(watch(talk_v6, NULL), 0);
	expect_conversation("::1", "ipv6");
}

static int connect_refused(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	return connect(fd, (void *)&address, sizeof(address)) == 0 || errno != ECONNREFUSED;
}

Test(kernel_network, a_refused_connect_is_one_failure_and_has_no_end)
{
	cr_assert_eq(watch(connect_refused, NULL), 0);

	struct json_object *document = one("connection_attempted", "error.code", "ECONNREFUSED");

	expect(document, "event.outcome", "failure");
	expect(document, "destination.ip", "127.0.0.1");
	expect(document, "destination.port", "1");
	cr_assert_eq(count("connection_attempted", "event.action", "connection_attempted"), 1);
	cr_assert_eq(count("disconnect_received", "event.action", "disconnect_received"), 0);
}

static int connect_later(void *argument)
{
	struct sockaddr_storage address;
	socklen_t length, size = sizeof(int);
	int error = -1, server = listener(AF_INET, &address, &length);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};

	(void)argument;
	if (server < 0 || connect(fd, (void *)&address, length) == 0 || errno != EINPROGRESS)
		return 1;
	poll(&wait, 1, 1000);
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	return error;
}

Test(kernel_network, a_connect_in_progress_is_one_document_with_its_outcome)
{
	cr_assert_eq(watch(connect_later, NULL), 0);
	expect(one("connection_attempted", "network.transport", "tcp"), "event.outcome", "success");
}

/* Over loopback the refusal is there before the call has returned; it is told then, and the program fetches it later. */
static int connect_refused_later(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};

	(void)argument;
	if (connect(fd, (void *)&address, sizeof(address)) == 0 || errno != EINPROGRESS || poll(&wait, 1, 1000) != 1)
		return 1;
	return connect(fd, (void *)&address, sizeof(address)) == 0 || errno != ECONNREFUSED;
}

Test(kernel_network, a_refusal_that_a_second_connect_fetches_is_one_document)
{
	cr_assert_eq(watch(connect_refused_later, NULL), 0);
	expect(one("connection_attempted", "destination.port", "1"), "error.code", "ECONNREFUSED");
}

enum { INTERRUPTED_MIN = 20, INTERRUPTED_TRIES = 5000 };

static void on_alarm(int number)
{
	(void)number;
}

/*
 * A signal comes while a connect is being refused, until it has come often enough: each has an address of its own, and what
 * the signal cut short fetches its refusal as the kernel does for SA_RESTART.
 */
static int connect_interrupted(void *argument)
{
	struct sigaction action = {.sa_handler = on_alarm};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1)};
	int *tries = argument, interrupted = 0;

	sigaction(SIGALRM, &action, NULL);
	for (*tries = 0; interrupted < INTERRUPTED_MIN && *tries < INTERRUPTED_TRIES; ++*tries) {
		struct itimerval soon = {.it_value.tv_usec = 1 + *tries % 200};
		int fd = socket(AF_INET, SOCK_STREAM, 0), failed;

		address.sin_addr.s_addr = htonl(0x7f020000u + (unsigned int)*tries);
		setitimer(ITIMER_REAL, &soon, NULL);
		failed = connect(fd, (void *)&address, sizeof(address));
		if (failed && errno == EINTR) {
			interrupted++;
			failed = connect(fd, (void *)&address, sizeof(address));
		}
		if (!failed || errno != ECONNREFUSED)
			return 1;
		close(fd);
	}
	return interrupted < INTERRUPTED_MIN ? 2 : 0;
}

Test(kernel_network, a_refused_connect_that_a_signal_cuts_short_is_one_document)
{
	int *tries = mmap(NULL, sizeof(*tries), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(tries, MAP_FAILED);
	cr_assert_eq(watch(connect_interrupted, tries), 0);
	cr_assert_eq(count("connection_attempted", "error.code", "ECONNREFUSED"), (size_t)*tries);
}

static int connect_mapped(void *argument)
{
	struct sockaddr_storage address;
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
	socklen_t length;
	int fd = socket(AF_INET6, SOCK_STREAM, 0), server = listener(AF_INET, &address, &length);

	(void)argument;
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	mapped.sin6_port = ((struct sockaddr_in *)&address)->sin_port;
	return server < 0 || connect(fd, (void *)&mapped, sizeof(mapped));
}

Test(kernel_network, a_v4_mapped_address_is_ipv4)
{
	cr_assert_eq(watch(connect_mapped, NULL), 0);

	struct json_object *document = one("connection_attempted", "network.transport", "tcp");

	expect(document, "network.type", "ipv4");
	expect(document, "destination.ip", "127.0.0.1");
}

/* A network namespace without any route: IPv4 finds no way, IPv6 not even an address to start from. */
static int connect_unreachable(void *argument)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};

	(void)argument;
	inet_pton(AF_INET, "192.0.2.1", &v4.sin_addr);
	inet_pton(AF_INET6, "3fff:ffff::1", &v6.sin6_addr);
	if (unshare(CLONE_NEWNET))
		return 1;
	if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&v4, sizeof(v4)) == 0 || errno != ENETUNREACH)
		return 2;
	return connect(socket(AF_INET6, SOCK_STREAM, 0), (void *)&v6, sizeof(v6)) == 0 || errno != EADDRNOTAVAIL;
}

Test(kernel_network, a_connect_that_no_route_serves_is_a_failure)
{
	cr_assert_eq(watch(connect_unreachable, NULL), 0);
	expect(one("connection_attempted", "error.code", "ENETUNREACH"), "destination.ip", "192.0.2.1");
	expect(one("connection_attempted", "error.code", "ENETUNREACH"), "event.outcome", "failure");
	expect(one("connection_attempted", "error.code", "EADDRNOTAVAIL"), "destination.ip", "3fff:ffff::1");
	expect(one("connection_attempted", "error.code", "EADDRNOTAVAIL"), "destination.port", "80");
}

static int unix_pair(const char *name, socklen_t length)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path, name, length);
	length += (socklen_t)offsetof(struct sockaddr_un, sun_path);
	if (bind(server, (void *)&address, length) || listen(server, 1) || connect(client, (void *)&address, length))
		return 1;
	return accept(server, NULL, NULL) < 0;
}

static int unix_abstract(void *argument)
{
	(void)argument;
	return unix_pair("\0taffrail-test", 14);
}

Test(kernel_network, an_abstract_unix_socket_is_named_with_an_at)
{
	cr_assert_eq(watch(unix_abstract, NULL), 0);
	expect(one("connection_attempted", "network.transport", "unix"), "destination.address", "@taffrail-test");
	expect(one("connection_accepted", "network.transport", "unix"), "destination.address", "@taffrail-test");
	expect(one("listen", "network.transport", "unix"), "destination.address", "@taffrail-test");
	expect(one("connection_attempted", "network.transport", "unix"), "source.ip", "");
}

static int unix_path(void *argument)
{
	char path[] = "/tmp/taffrail-unix-XXXXXX";
	int result = mkdtemp(path) == NULL;
	char name[64];

	(void)argument;
	snprintf(name, sizeof(name), "%s/s", path);
	result = result || unix_pair(name, (socklen_t)strlen(name) + 1);
	unlink(name);
	rmdir(path);
	return result;
}

Test(kernel_network, a_unix_socket_is_named_by_its_path)
{
	cr_assert_eq(watch(unix_path, NULL), 0);

	const char *name = at(one("connection_attempted", "network.transport", "unix"), "destination.address");

	cr_assert(strncmp(name, "/tmp/taffrail-unix-", 19) == 0, "%s", name);
	expect(one("listen", "network.transport", "unix"), "destination.address", name);
}

static int unix_missing(void *argument)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/tmp/taffrail-no-such-socket"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	return connect(fd, (void *)&address, sizeof(address)) == 0 || errno != ENOENT;
}

Test(kernel_network, a_failed_unix_connect_names_where_it_wanted_to_go)
{
	cr_assert_eq(watch(unix_missing, NULL), 0);
	expect(one("connection_attempted", "error.code", "ENOENT"), "destination.address",
		"/tmp/taffrail-no-such-socket");
}

static const struct sockaddr_un busy = {.sun_family = AF_UNIX, .sun_path = "\0taffrail-busy"};

static int accept_when_it_rings(void *argument)
{
	int server = *(int *)argument;

	usleep(600 * 1000);
	while (accept(server, NULL, NULL) >= 0)
		;
	return 0;
}

/* To a listener whose queue is full; a signal comes while it waits, and the kernel starts the call again. */
static int unix_restarted(void *argument)
{
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval soon = {.it_value.tv_usec = 200 * 1000};
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t child;
	int failed;

	(void)argument;
	if (bind(server, (void *)&busy, sizeof(busy)) || listen(server, 0) ||
		connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&busy, sizeof(busy)))
		return 1;
	child = fork();
	if (child == 0)
		_exit(accept_when_it_rings(&server));
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	failed = connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&busy, sizeof(busy));
	kill(child, SIGKILL);
	return waitpid(child, NULL, 0) != child || failed;
}

/* No hook is there when it begins, so its return tells of it; whether it starts anew is decided behind that. */
Test(kernel_network, a_unix_connect_that_starts_again_is_told_as_interrupted_too)
{
	cr_assert_eq(watch(unix_restarted, NULL), 0);
	cr_assert_eq(count("connection_attempted", "destination.address", "@taffrail-busy"), 3);
	cr_assert_eq(count("connection_attempted", "event.outcome", "success"), 2);
	expect(one("connection_attempted", "event.outcome", "failure"), "error.code", "EINTR");
}

static struct sockaddr_in udp_peer(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
}

static int udp_to_three(void *argument)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)argument;
	for (int round = 0; round < 10; round++)
		for (uint16_t port = 40001; port <= 40003; port++) {
			struct sockaddr_in to = udp_peer(port);

			/* A refusal that came back for an earlier datagram is told by the next: not this one's. */
			if (sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)) != 1 && errno != ECONNREFUSED)
				return 1;
		}
	return 0;
}

Test(kernel_network, the_first_datagram_to_each_peer_is_told_once)
{
	cr_assert_eq(watch(udp_to_three, NULL), 0);
	cr_assert_eq(count("send", "event.action", "send"), 3);

	struct json_object *document = one("send", "destination.port", "40002");

	expect(document, "destination.ip", "127.0.0.1");
	expect(document, "source.ip", "127.0.0.1");
	expect(document, "network.transport", "udp");
	expect(document, "network.direction", "egress");
	expect(document, "event.outcome", "success");
	cr_assert_gt(atoi(at(document, "source.port")), 0);
	expect(one("send", "destination.port", "40003"), "source.port", at(document, "source.port"));
}

/* Held back, sent to one, and let go after a connect to another: over IPv6 it goes where it was sent to. */
static int udp_held_back(void *argument)
{
	struct sockaddr_in6 to = {
		.sin6_family = AF_INET6, .sin6_port = htons(40011), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in6 other = to;
	int server = socket(AF_INET6, SOCK_DGRAM, 0), client = socket(AF_INET6, SOCK_DGRAM, 0);
	const struct timeval patience = {1, 0}; /* a packet may arrive behind the call's back */
	char got[8] = "";

	(void)argument;
	other.sin6_port = htons(40012);
	if (setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return 4;
	if (bind(server, (void *)&to, sizeof(to)) || sendto(client, "held", 4, MSG_MORE, (void *)&to, sizeof(to)) != 4)
		return 1;
	if (connect(client, (void *)&other, sizeof(other)) || send(client, "!", 1, 0) != 1)
		return 2;
	if (recv(server, got, sizeof(got), 0) == 5)
		return 0;
	return errno == EAGAIN ? 77 : 3;
}

Test(kernel_network, a_datagram_that_was_held_back_is_told_though_its_socket_connects)
{
	int result = watch(udp_held_back, NULL);

	if (result == 77)
		cr_skip_test("a socket of this kernel that connects sends its first peer nothing more");
	cr_assert_eq(result, 0, "step %d", result);
	expect(one("send", "destination.port", "40011"), "destination.ip", "::1");
	one("connection_attempted", "destination.port", "40012");
}

/* Options with a message take the kernel the way of messages with an address. */
static int udp_with_options(void *argument)
{
	struct sockaddr_in to = udp_peer(40013);
	char room[CMSG_SPACE(sizeof(int))] = "";
	struct iovec bytes = {"x", 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *option = CMSG_FIRSTHDR(&message);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), hops = 9;

	(void)argument;
	*option = (struct cmsghdr){.cmsg_level = IPPROTO_IP, .cmsg_type = IP_TTL, .cmsg_len = CMSG_LEN(sizeof(int))};
	memcpy(CMSG_DATA(option), &hops, sizeof(hops));
	return connect(fd, (void *)&to, sizeof(to)) || sendmsg(fd, &message, 0) != 1;
}

Test(kernel_network, what_a_connected_socket_sends_with_options_has_no_peer_of_its_own)
{
	cr_assert_eq(watch(udp_with_options, NULL), 0);
	one("connection_attempted", "destination.port", "40013");
	cr_assert_eq(count("send", "event.action", "send"), 0);
}

static int udp_connect(void *argument)
{
	struct sockaddr_in to = udp_peer(40007);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	(void)argument;
	return connect(fd, (void *)&to, sizeof(to)) || send(fd, "x", 1, 0) != 1;
}

Test(kernel_network, a_udp_connect_is_a_connection_attempted)
{
	cr_assert_eq(watch(udp_connect, NULL), 0);

	struct json_object *document = one("connection_attempted", "network.transport", "udp");

	expect(document, "event.outcome", "success");
	expect(document, "destination.port", "40007");
	expect(document, "source.ip", "127.0.0.1");
	cr_assert_eq(count("disconnect_received", "event.action", "disconnect_received"), 0);
}

static int hand_over(void *argument)
{
	struct sockaddr_storage address;
	socklen_t length;
	int status, server = listener(AF_INET, &address, &length), fd = socket(AF_INET, SOCK_STREAM, 0);
	pid_t child;

	(void)argument;
	if (server < 0 || connect(fd, (void *)&address, length))
		return 1;
	child = fork(); /* the child ends the connection; who opened it is another */
	if (child == 0) {
		usleep(100 * 1000);
		_exit(0);
	}
	close(fd);
	close(accept(server, NULL, NULL));
	waitpid(child, &status, 0);
	usleep(50 * 1000);
	return 0;
}

Test(kernel_network, the_end_belongs_to_the_process_that_opened_it)
{
	cr_assert_eq(watch(hand_over, NULL), 0);

	struct json_object *connect_document = one("connection_attempted", "network.transport", "tcp");

	expect(one("disconnect_received", "network.direction", "egress"), "process.entity_id",
		at(connect_document, "process.entity_id"));
}

static int listen_twice(void *argument)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	return listen(fd, 1) ||
	       listen(fd, 20); /* unbound: the kernel chooses the port; then only the backlog changes */
}

Test(kernel_network, listening_without_bind_tells_the_port_and_a_new_backlog_is_no_event)
{
	cr_assert_eq(watch(listen_twice, NULL), 0);

	struct json_object *document = one("listen", "event.action", "listen");

	expect(document, "destination.ip", "0.0.0.0");
	cr_assert_gt(atoi(at(document, "destination.port")), 0);
}
