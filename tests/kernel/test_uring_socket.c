/* SPDX-License-Identifier: Apache-2.0 */
/* Connects, accepts, sends and sockets through io_uring are told like those by system calls. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "uring.h"

/* In headers younger than Debian 12's. */
enum { OP_LISTEN = 57 };

static void set_up(void)
{
	struct uring ring;

	if (uring_open(&ring, 4, 0, 0) < 0)
		cr_skip_test("io_uring cannot be used here: %s", strerror(errno));
	close(ring.fd);
}

TestSuite(kernel_uring_socket, .init = set_up);

static int listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(fd, (void *)address, length) || listen(fd, 8) || getsockname(fd, (void *)address, &length))
		return -1;
	return fd;
}

static int connect_through(struct uring *ring, int fd, const void *address, socklen_t length, unsigned int flags)
{
	struct io_uring_sqe *sqe = uring_take(ring, IORING_OP_CONNECT, fd, flags, 50);

	sqe->addr = (uintptr_t)address;
	sqe->off = length;
	return uring_do(ring);
}

static int tcp_both_ends(void *argument)
{
	struct sockaddr_in address;
	struct uring ring;
	int server = listener(&address), client = socket(AF_INET, SOCK_STREAM, 0), accepted;
	char byte = 'x';

	if (server < 0 || uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (connect_through(&ring, client, &address, sizeof(address), argument ? IOSQE_ASYNC : 0) != 0)
		return 2;
	uring_take(&ring, IORING_OP_ACCEPT, server, argument ? IOSQE_ASYNC : 0, 51);
	accepted = uring_do(&ring);
	if (accepted < 0 || write(client, &byte, 1) != 1 || read(accepted, &byte, 1) != 1)
		return 3;
	close(client);
	close(accepted);
	usleep(100 * 1000);
	return 0;
}

static void expect_tcp(void)
{
	struct json_object *connected = one("connection_attempted", "network.transport", "tcp");
	struct json_object *accepted = one("connection_accepted", "network.transport", "tcp");

	expect(connected, "taffrail.io_uring", "true");
	expect(connected, "event.outcome", "success");
	expect(connected, "destination.ip", "127.0.0.1");
	expect(accepted, "taffrail.io_uring", "true");
	expect(accepted, "event.outcome", "success");
	expect(accepted, "source.port", at(connected, "source.port"));
	expect(accepted, "destination.port", at(connected, "destination.port"));
	cr_assert_str_neq(at(connected, "source.port"), "0");
	cr_assert_eq(count("disconnect_received", "source.port", at(connected, "source.port")), 2);
}

Test(kernel_uring_socket, tcp_connect_and_accept)
{
	cr_assert_eq(watch(tcp_both_ends, NULL), 0);
	expect_tcp();
}

Test(kernel_uring_socket, tcp_connect_and_accept_by_worker_threads)
{
	cr_assert_eq(watch(tcp_both_ends, "by workers"), 0);
	expect_tcp();
}

static int connects_that_fail(void *argument)
{
	struct sockaddr_in nobody = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(1)};
	struct sockaddr_un missing = {.sun_family = AF_UNIX, .sun_path = "/tmp/taffrail-no-such-socket"};
	struct uring ring;
	int tcp = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (connect_through(&ring, tcp, &nobody, sizeof(nobody), 0) != -ECONNREFUSED)
		return 2;
	return connect_through(&ring, local, &missing, sizeof(missing), 0) != -ENOENT;
}

Test(kernel_uring_socket, failing_connects_have_their_address_and_error)
{
	struct json_object *document;

	cr_assert_eq(watch(connects_that_fail, NULL), 0);
	document = one("connection_attempted", "error.code", "ECONNREFUSED");
	expect(document, "destination.port", "1");
	expect(document, "taffrail.io_uring", "true");
	document = one("connection_attempted", "error.code", "ENOENT");
	expect(document, "destination.address", "/tmp/taffrail-no-such-socket");
	expect(document, "taffrail.io_uring", "true");
	cr_assert_eq(count("connection_attempted", "event.outcome", "failure"), 2);
}

static int connects_of_other_kinds(void *argument)
{
	struct sockaddr_in udp = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(40011)};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0taffrail-uring"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 15;
	struct uring ring;
	int server = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0 || bind(server, (void *)&name, length) || listen(server, 4))
		return 1;
	if (connect_through(&ring, socket(AF_INET, SOCK_DGRAM, 0), &udp, sizeof(udp), 0) != 0)
		return 2;
	if (connect_through(&ring, socket(AF_UNIX, SOCK_STREAM, 0), &name, length, 0) != 0)
		return 3;
	uring_take(&ring, IORING_OP_ACCEPT, server, 0, 9);
	return uring_do(&ring) < 0 ? 4 : 0;
}

Test(kernel_uring_socket, udp_and_unix_connects)
{
	struct json_object *document;

	cr_assert_eq(watch(connects_of_other_kinds, NULL), 0);
	document = one("connection_attempted", "network.transport", "udp");
	expect(document, "destination.port", "40011");
	expect(document, "event.outcome", "success");
	expect(document, "taffrail.io_uring", "true");
	document = one("connection_attempted", "network.transport", "unix");
	expect(document, "destination.address", "@taffrail-uring");
	expect(document, "event.outcome", "success");
	expect(document, "taffrail.io_uring", "true");
	document = one("connection_accepted", "network.transport", "unix");
	expect(document, "destination.address", "@taffrail-uring");
	expect(document, "taffrail.io_uring", "true");
}

static int accept_many(void *argument)
{
	struct sockaddr_in address;
	struct uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe event;
	int server = listener(&address), empty[4] = {-1, -1, -1, -1};

	if (server < 0 || uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (argument && syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, empty, 4) < 0)
		return 2;
	sqe = uring_take(&ring, IORING_OP_ACCEPT, server, 0, 77);
	sqe->ioprio = IORING_ACCEPT_MULTISHOT;
	if (argument)
		sqe->file_index = (uint32_t)IORING_FILE_INDEX_ALLOC;
	if (uring_submit(&ring, 0) < 0)
		return 3;
	for (int i = 0; i < 3; i++) {
		if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)))
			return 4;
		if (!uring_completion(&ring, &event) || event.res < 0 || event.user_data != 77)
			return 5;
	}
	return 0;
}

static void expect_three_accepts(void)
{
	struct json_object *connects[4], *document;

	cr_assert_eq(documents("connection_attempted", connects, 4), 3);
	for (int i = 0; i < 3; i++) {
		expect(connects[i], "taffrail.io_uring", "");
		document = one("connection_accepted", "source.port", at(connects[i], "source.port"));
		expect(document, "taffrail.io_uring", "true");
		expect(document, "destination.port", at(connects[i], "destination.port"));
		expect(document, "event.outcome", "success");
	}
}

Test(kernel_uring_socket, one_request_that_accepts_many)
{
	cr_assert_eq(watch(accept_many, NULL), 0);
	expect_three_accepts();
}

Test(kernel_uring_socket, one_request_that_accepts_many_into_slots)
{
	cr_assert_eq(watch(accept_many, "into slots"), 0);
	expect_three_accepts();
}

static int accept_silently(void *argument)
{
	struct sockaddr_in address;
	struct uring ring;
	int server = listener(&address);

	(void)argument;
	if (server < 0 || uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	if (connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&address, sizeof(address)))
		return 2;
	uring_take(&ring, IORING_OP_ACCEPT, server, IOSQE_CQE_SKIP_SUCCESS, 1);
	if (uring_submit(&ring, 0) < 0)
		return 3;
	usleep(100 * 1000);
	return 0;
}

Test(kernel_uring_socket, an_accept_that_is_kept_silent_is_told)
{
	struct json_object *document;

	cr_assert_eq(watch(accept_silently, NULL), 0);
	document = one("connection_accepted", "taffrail.io_uring", "true");
	expect(document, "event.outcome", watch_by_function() ? "success" : "unknown");
	expect(document, "destination.ip", "127.0.0.1");
	expect(document, "destination.port",
		at(one("connection_attempted", "network.transport", "tcp"), "destination.port"));
	expect(document, "source.ip", watch_by_function() ? "127.0.0.1" : "");
}

static int send_datagrams(void *argument)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(40021)};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0taffrail-uring-dgram"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 21;
	struct iovec bytes = {"x", 1};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &bytes, .msg_iovlen = 1};
	struct uring ring;
	struct io_uring_sqe *sqe;
	int udp = socket(AF_INET, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0 || bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&name, length))
		return 1;
	for (int i = 0; i < 3; i++) {
		sqe = uring_take(&ring, IORING_OP_SENDMSG, udp, i ? IOSQE_ASYNC : 0, 1);
		sqe->addr = (uintptr_t)&message;
		sqe->len = 1;
		if (uring_do(&ring) < 0)
			return 2;
		to.sin_port = htons(40022);
	}
	sqe = uring_take(&ring, IORING_OP_SEND, udp, 0, 1);
	to.sin_port = htons(40023);
	sqe->addr = (uintptr_t) "y";
	sqe->len = 1;
	sqe->addr2 = (uintptr_t)&to;
	sqe->addr_len = sizeof(to);
	if (uring_do(&ring) < 0)
		return 3;
	message.msg_name = &name;
	message.msg_namelen = length;
	sqe = uring_take(&ring, IORING_OP_SENDMSG, local, 0, 1);
	sqe->addr = (uintptr_t)&message;
	sqe->len = 1;
	return uring_do(&ring) < 0 ? 4 : 0;
}

Test(kernel_uring_socket, the_first_datagram_to_each_peer)
{
	static const char *const ports[] = {"40021", "40022", "40023"};

	cr_assert_eq(watch(send_datagrams, NULL), 0);
	for (int i = 0; i < 3; i++)
		expect(one("send", "destination.port", ports[i]), "taffrail.io_uring", "true");
	expect(one("send", "destination.address", "@taffrail-uring-dgram"), "taffrail.io_uring", "true");
	cr_assert_eq(count("send", "event.action", "send"), 4);
}

/* By a packet socket that is bound to no device. */
static int frames_sent_by_ring(void *argument)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6};
	struct iovec bytes = {"frame", 5};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &bytes, .msg_iovlen = 1};
	struct io_uring_sqe *sqe;
	struct uring ring;

	(void)argument;
	if (unshare(CLONE_NEWNET) || ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &up) ||
		uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	to.sll_ifindex = (int)if_nametoindex("lo");
	sqe = uring_take(&ring, IORING_OP_SENDMSG, socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP)), 0, 1);
	sqe->addr = (uintptr_t)&message;
	sqe->len = 1;
	return uring_do(&ring) == 5 ? 0 : 2;
}

Test(kernel_uring_socket, the_first_frame_of_a_packet_socket)
{
	struct json_object *document;

	cr_assert_eq(watch(frames_sent_by_ring, NULL), 0);
	document = one("send", "network.transport", "packet");
	expect(document, "taffrail.io_uring", "true");
	expect(document, "taffrail.socket.interface", "1");
}

/* Raw, and one that does not exist: silent where they succeed. */
static int silent_sockets(void *argument)
{
	struct uring ring;
	struct io_uring_sqe *sqe;

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	sqe = uring_take(&ring, IORING_OP_SOCKET, AF_INET, IOSQE_CQE_SKIP_SUCCESS, 1);
	sqe->off = SOCK_RAW;
	sqe->len = 9999;
	return uring_do(&ring) < 0 ? 0 : 2;
}

Test(kernel_uring_socket, a_socket_that_is_made_in_silence_is_told_without_its_outcome)
{
	cr_assert_eq(watch(silent_sockets, NULL), 0);
	expect(one("socket", "taffrail.socket.type", "raw"), "event.outcome", "unknown");
}

static int sockets_made_by_ring(void *argument)
{
	struct uring ring;
	struct io_uring_sqe *sqe;
	int fd;

	(void)argument;
	if (uring_open(&ring, 4, 0, 0) < 0)
		return 1;
	sqe = uring_take(&ring, IORING_OP_SOCKET, AF_INET, 0, 1);
	sqe->off = SOCK_RAW;
	sqe->len = IPPROTO_ICMP;
	if (uring_do(&ring) < 0)
		return 2;
	sqe = uring_take(&ring, IORING_OP_SOCKET, AF_INET, 0, 2);
	sqe->off = SOCK_STREAM | SOCK_CLOEXEC;
	fd = uring_do(&ring);
	if (fd < 0)
		return 3;
	sqe = uring_take(&ring, OP_LISTEN, fd, 0, 3);
	sqe->len = 4;
	fd = uring_do(&ring);
	return fd == -EINVAL ? 40 : fd;
}

Test(kernel_uring_socket, sockets_that_are_made_and_listen)
{
	struct json_object *document;
	int result = watch(sockets_made_by_ring, NULL);

	if (result != 40) /* listening came with 6.11 */
		cr_assert_eq(result, 0);
	document = one("socket", "taffrail.socket.type", "raw");
	expect(document, "taffrail.io_uring", "true");
	expect(document, "network.transport", "icmp");
	cr_assert_eq(count("socket", "event.action", "socket"), 1, "an ordinary one is not told");
	if (result != 0)
		return;
	document = one("listen", "network.transport", "tcp");
	expect(document, "taffrail.io_uring", "true");
	cr_assert_gt(atoi(at(document, "destination.port")), 0);
}
