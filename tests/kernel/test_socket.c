/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that say something by being there, and sends that no address hook sees. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

/* --- sockets ------------------------------------------------------------------------------------------------------------ */

static int make_sockets(void *argument)
{
	(void)argument;
	/* What is told. */
	if (socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP) < 0 || socket(AF_INET6, SOCK_RAW, IPPROTO_UDP) < 0)
		return 1;
	if (socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)) < 0)
		return 2;
	(void)socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER); /* these two not every kernel has */
	(void)socket(AF_ALG, SOCK_SEQPACKET, 0);
	/* What is not. */
	if (socket(AF_INET, SOCK_STREAM, 0) < 0 || socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP) < 0)
		return 5;
	return socket(AF_UNIX, SOCK_STREAM, 0) < 0 || socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0;
}

Test(kernel_socket, raw_packet_and_guarding_netlink_sockets_are_told_and_ordinary_ones_not)
{
	struct json_object *document;

	cr_assert_eq(watch(make_sockets, NULL), 0);
	document = one("socket", "network.transport", "icmp");
	expect(document, "event.category.0", "network");
	expect(document, "event.type.0", "info");
	expect(document, "event.outcome", "success");
	expect(document, "network.type", "ipv4");
	expect(document, "taffrail.socket.family", "inet");
	expect(document, "taffrail.socket.type", "raw");
	expect(document, "taffrail.socket.protocol", "icmp");
	expect(document, "taffrail.io_uring", "");
	document = one("socket", "taffrail.socket.family", "inet6");
	expect(document, "taffrail.socket.type", "raw");
	expect(document, "taffrail.socket.protocol", "udp");
	document = one("socket", "taffrail.socket.family", "packet");
	expect(document, "taffrail.socket.type", "raw");
	expect(document, "taffrail.socket.protocol", "0x0003");
	expect(document, "network.transport", "packet");
	expect(one("socket", "taffrail.socket.family", "netlink"), "taffrail.socket.protocol", "netfilter");
	document = one("socket", "taffrail.socket.family", "alg"); /* whether this kernel has it or not */
	expect(document, "taffrail.socket.type", "seqpacket");
	cr_assert_eq(count("socket", "event.action", "socket"), 5);
}

static int refused_socket(void *argument)
{
	(void)argument;
	return setresuid(65534, 65534, 65534) || socket(AF_INET, SOCK_RAW, IPPROTO_TCP) >= 0;
}

Test(kernel_socket, a_refused_raw_socket_is_told_too)
{
	struct json_object *document;

	cr_assert_eq(watch(refused_socket, NULL), 0);
	document = one("socket", "error.code", "EPERM");
	expect(document, "event.outcome", "failure");
	expect(document, "taffrail.socket.protocol", "tcp");
}

/* --- raw sends ---------------------------------------------------------------------------------------------------------- */

static struct sockaddr_in loopback(const char *address, uint16_t port)
{
	struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &made.sin_addr);
	return made;
}

static uint16_t checksum(const void *bytes, size_t length)
{
	const uint16_t *words = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i < length / 2; i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static int ping(void *argument)
{
	struct sockaddr_in first = loopback("127.0.0.1", 0), second = loopback("127.0.0.2", 0);
	struct icmphdr request;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	(void)argument;
	memset(&request, 0, sizeof(request));
	request.type = ICMP_ECHO;
	request.checksum = checksum(&request, sizeof(request));
	for (int i = 0; i < 5; i++)
		if (sendto(fd, &request, sizeof(request), 0, (void *)&first, sizeof(first)) < 0)
			return 1;
	if (connect(fd, (void *)&second, sizeof(second)))
		return 2;
	return write(fd, &request, sizeof(request)) < 0 ? 3 : 0;
}

Test(kernel_socket, the_first_raw_packet_to_each_peer_is_told_whatever_call_sent_it)
{
	struct json_object *document;

	cr_assert_eq(watch(ping, NULL), 0);
	document = one("send", "destination.ip", "127.0.0.1");
	expect(document, "source.ip", "127.0.0.1");
	expect(document, "destination.port", "");
	expect(document, "network.transport", "icmp");
	expect(document, "network.direction", "egress");
	expect(document, "taffrail.socket.type", "raw");
	expect(document, "event.type.0", "connection");
	one("send", "destination.ip", "127.0.0.2");
	expect(one("connection_attempted", "network.transport", "icmp"), "destination.ip", "127.0.0.2");
	cr_assert_eq(count("send", "event.action", "send"), 2, "the kernel's own answers are nobody's");
}

/* SYNs of its own making, as a scanner sends them. */
static int scan(void *argument)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP}, .tcp = {.syn = 1, .doff = 5}};
	struct sockaddr_in to = loopback("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);

	(void)argument;
	packet.ip.daddr = packet.ip.saddr = htonl(INADDR_LOOPBACK);
	packet.tcp.source = htons(54321);
	for (uint16_t port = 1; port <= 3; port++) {
		packet.tcp.dest = htons(port);
		if (sendto(fd, &packet, sizeof(packet), 0, (void *)&to, sizeof(to)) < 0)
			return 1;
	}
	return 0;
}

Test(kernel_socket, a_scan_with_packets_of_its_own_shows_its_ports)
{
	struct json_object *document;

	cr_assert_eq(watch(scan, NULL), 0);
	for (int port = 1; port <= 3; port++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", port);
		document = one("send", "destination.port", text);
		expect(document, "destination.ip", "127.0.0.1");
		expect(document, "source.port", "54321");
		expect(document, "network.transport", "tcp");
		expect(document, "taffrail.socket.type", "raw");
	}
	expect(one("socket", "event.action", "socket"), "taffrail.socket.protocol", "255");
}

static int ping_v6(void *argument)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_RAW, 253);

	(void)argument;
	return sendto(fd, "x", 1, 0, (void *)&to, sizeof(to)) != 1;
}

Test(kernel_socket, raw_packets_over_ipv6)
{
	struct json_object *document;

	cr_assert_eq(watch(ping_v6, NULL), 0);
	document = one("send", "destination.ip", "::1");
	expect(document, "network.type", "ipv6");
	expect(document, "taffrail.socket.protocol", "253");
}

static int send_frames(void *argument)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6};
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct iovec bytes = {"frame of no use whatever", 24};
	struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &bytes, .msg_iovlen = 1};
	int fd;

	(void)argument;
	if (unshare(CLONE_NEWNET) || ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &up))
		return 1;
	to.sll_ifindex = (int)if_nametoindex("lo");
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	for (int i = 0; i < 3; i++)
		if (sendto(fd, "frame", 5, 0, (void *)&to, sizeof(to)) != 5)
			return 2;
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	if (sendmsg(fd, &message, 0) != 24)
		return 3;
	fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	return bind(fd, (void *)&to, sizeof(to)) ? 4 : 0;
}

Test(kernel_socket, the_first_frame_of_a_packet_socket_is_told_with_its_device)
{
	struct json_object *found[4];

	cr_assert_eq(watch(send_frames, NULL), 0);
	cr_assert_eq(count("socket", "taffrail.socket.family", "packet"), 3);
	cr_assert_eq(documents("send", found, 4), 2);
	for (int i = 0; i < 2; i++) {
		expect(found[i], "network.transport", "packet");
		expect(found[i], "taffrail.socket.family", "packet");
		expect(found[i], "taffrail.socket.interface", "1");
	}
}

/* A packet socket as Linux 2.0 had it: of the inet family, and each frame names its device. */
static int send_old_frame(void *argument)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct sockaddr to = {.sa_family = AF_PACKET, .sa_data = "lo"};
	char frame[60] = {[12] = 0x08};
	int fd;

	(void)argument;
	if (unshare(CLONE_NEWNET) || ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &up))
		return 1;
	fd = socket(AF_INET, SOCK_PACKET, htons(ETH_P_ALL));
	for (int i = 0; i < 2; i++)
		if (sendto(fd, frame, sizeof(frame), 0, &to, sizeof(to)) != sizeof(frame))
			return 2;
	return 0;
}

Test(kernel_socket, a_packet_socket_of_the_old_kind_is_one_too)
{
	setenv("TAFFRAIL_OWN_SENSOR", "1", 1); /* one that has seen no other packet socket */
	cr_assert_eq(watch(send_old_frame, NULL), 0);
	one("socket", "taffrail.socket.type", "packet");
	expect(one("send", "network.transport", "packet"), "taffrail.socket.interface", "");
}

enum { NO_BRIDGE = 77, MANY_FRAMES = 20 };

/* The last of many frames that one call sends goes another way. */
static int send_many_frames(void *argument)
{
	struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	struct sockaddr_ll to[2] = {{.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6}};
	struct iovec bytes = {"frame", 5};
	struct mmsghdr frames[MANY_FRAMES];
	int control, fd;

	(void)argument;
	if (unshare(CLONE_NEWNET))
		return 1;
	control = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(control, SIOCSIFFLAGS, &up))
		return 2;
	if (ioctl(control, SIOCBRADDBR, "taffrail0"))
		return NO_BRIDGE;
	snprintf(up.ifr_name, sizeof(up.ifr_name), "taffrail0");
	if (ioctl(control, SIOCSIFFLAGS, &up))
		return 3;
	to[1] = to[0];
	to[0].sll_ifindex = (int)if_nametoindex("lo");
	to[1].sll_ifindex = (int)if_nametoindex("taffrail0");
	for (int i = 0; i < MANY_FRAMES; i++)
		frames[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &to[i == MANY_FRAMES - 1],
						     .msg_namelen = sizeof(to[0]),
						     .msg_iov = &bytes,
						     .msg_iovlen = 1}};
	fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	return sendmmsg(fd, frames, MANY_FRAMES, 0) == MANY_FRAMES ? 0 : 4;
}

Test(kernel_socket, the_last_of_many_frames_is_looked_at_like_the_first)
{
	int result = watch(send_many_frames, NULL);

	if (result == NO_BRIDGE)
		cr_skip_test("no bridges here, so no second device");
	cr_assert_eq(result, 0);
	cr_assert_eq(count("send", "network.transport", "packet"), 2);
}

/* --- unix datagrams -------------------------------------------------------------------------------------------------------- */

static int unix_datagrams(void *argument)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX},
			   abstract = {.sun_family = AF_UNIX, .sun_path = "\0taffrail-dgram"};
	socklen_t length = offsetof(struct sockaddr_un, sun_path) + 15;
	struct iovec bytes = {"x", 1};
	struct mmsghdr many[2] = {
		{.msg_hdr = {.msg_name = &path, .msg_namelen = sizeof(path), .msg_iov = &bytes, .msg_iovlen = 1}},
		{.msg_hdr = {.msg_name = &abstract, .msg_namelen = length, .msg_iov = &bytes, .msg_iovlen = 1}}};
	char directory[] = "/tmp/taffrail-dgram-XXXXXX";
	int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0), result = 0;

	(void)argument;
	if (!mkdtemp(directory))
		return 1;
	snprintf(path.sun_path, sizeof(path.sun_path), "%s/log", directory);
	if (bind(server, (void *)&path, sizeof(path)) ||
		bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&abstract, length))
		result = 2;
	for (int i = 0; i < 3 && !result; i++)
		if (sendto(client, "x", 1, 0, (void *)&path, sizeof(path)) != 1)
			result = 3;
	/* The same name, given shorter: no second record. */
	if (!result && sendto(client, "x", 1, 0, (void *)&path,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path.sun_path))) != 1)
		result = 4;
	if (!result && sendmsg(client, &many[1].msg_hdr, 0) != 1)
		result = 5;
	client = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (!result && sendmmsg(client, many, 2, 0) != 2)
		result = 6;
	unlink(path.sun_path);
	rmdir(directory);
	return result;
}

Test(kernel_socket, the_first_unix_datagram_of_each_socket_to_each_name)
{
	struct json_object *found[8];
	size_t paths = 0;

	cr_assert_eq(watch(unix_datagrams, NULL), 0);
	cr_assert_eq(documents("send", found, 8), 4);
	for (int i = 0; i < 4; i++) {
		expect(found[i], "network.transport", "unix");
		expect(found[i], "event.outcome", "success");
		if (strncmp(at(found[i], "destination.address"), "/tmp/taffrail-dgram-", 20) == 0)
			paths++;
	}
	cr_assert_eq(paths, 2);
	cr_assert_eq(count("send", "destination.address", "@taffrail-dgram"), 2);
}

/* One name in two directories is two sockets. */
static int unix_datagrams_by_relative_name(void *argument)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "log"};
	char places[2][32] = {"/tmp/taffrail-dgram-a-XXXXXX", "/tmp/taffrail-dgram-b-XXXXXX"};
	int client = socket(AF_UNIX, SOCK_DGRAM, 0), result = 0;

	(void)argument;
	for (int i = 0; i < 2; i++) {
		if (!mkdtemp(places[i]) || chdir(places[i]))
			return 1;
		if (bind(socket(AF_UNIX, SOCK_DGRAM, 0), (void *)&name, sizeof(name)) ||
			sendto(client, "x", 1, 0, (void *)&name, sizeof(name)) != 1 ||
			sendto(client, "x", 1, 0, (void *)&name, sizeof(name)) != 1)
			result = 2;
		unlink("log");
		rmdir(places[i]);
	}
	return result;
}

Test(kernel_socket, one_name_in_two_directories_is_two_peers)
{
	cr_assert_eq(watch(unix_datagrams_by_relative_name, NULL), 0);
	cr_assert_eq(count("send", "destination.address", "log"), 2);
}

/* --- connects without connect(2) ------------------------------------------------------------------------------------------- */

static int listener(struct sockaddr_in *address)
{
	socklen_t length = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = loopback("127.0.0.1", 0);
	if (bind(fd, (void *)address, length) || listen(fd, 8) || getsockname(fd, (void *)address, &length))
		return -1;
	return fd;
}

static int fast_open(void *argument)
{
	struct sockaddr_in address, nobody = loopback("127.0.0.1", 1);
	struct iovec bytes = {"x", 1};
	struct msghdr message = {
		.msg_name = &nobody, .msg_namelen = sizeof(nobody), .msg_iov = &bytes, .msg_iovlen = 1};
	int server = listener(&address), fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (server < 0 || sendto(fd, "x", 1, MSG_FASTOPEN, (void *)&address, sizeof(address)) != 1)
		return errno == EOPNOTSUPP ? 40 : 1;
	close(accept(server, NULL, NULL));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (sendmsg(fd, &message, MSG_FASTOPEN) >= 0 || errno != ECONNREFUSED)
		return 2;
	usleep(50 * 1000);
	return 0;
}

Test(kernel_socket, a_connect_by_the_first_bytes_is_a_connect)
{
	struct json_object *document;
	int result = watch(fast_open, NULL);

	if (result == 40)
		cr_skip_test("TCP fast open is switched off here");
	cr_assert_eq(result, 0);
	document = one("connection_attempted", "event.outcome", "success");
	expect(document, "network.transport", "tcp");
	expect(document, "destination.ip", "127.0.0.1");
	expect(document, "destination.port",
		at(one("connection_accepted", "network.transport", "tcp"), "destination.port"));
	expect(one("connection_attempted", "error.code", "ECONNREFUSED"), "destination.port", "1");
	cr_assert_eq(count("connection_attempted", "event.action", "connection_attempted"), 2);
}

static int dissolve(void *argument)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct sockaddr_in first = loopback("127.0.0.1", 40031), second = loopback("127.0.0.1", 40032), address;
	int fd = socket(AF_INET, SOCK_DGRAM, 0), server = listener(&address), tcp = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (connect(fd, (void *)&first, sizeof(first)) || connect(fd, &none, sizeof(none)) ||
		connect(fd, (void *)&second, sizeof(second)) || connect(fd, &none, sizeof(none)))
		return 1;
	/* The kernel takes this family for IPv4. */
	first.sin_family = AF_UNSPEC;
	first.sin_port = htons(40033);
	if (sendto(fd, "x", 1, 0, (void *)&first, sizeof(first)) != 1)
		return 2;
	for (int i = 0; i < 2; i++)
		if (connect(tcp, (void *)&address, sizeof(address)) || connect(tcp, &none, sizeof(none)))
			return 3;
	close(server);
	usleep(50 * 1000);
	return 0;
}

Test(kernel_socket, a_socket_that_is_dissolved_and_connected_anew_is_told_anew)
{
	cr_assert_eq(watch(dissolve, NULL), 0);
	expect(one("connection_attempted", "destination.port", "40031"), "event.outcome", "success");
	expect(one("connection_attempted", "destination.port", "40032"), "event.outcome", "success");
	one("send", "destination.port", "40033");
	cr_assert_eq(count("connection_attempted", "network.transport", "tcp"), 2);
	cr_assert_eq(count("connection_attempted", "event.outcome", "success"), 4);
	cr_assert_eq(count("disconnect_received", "network.direction", "egress"), 2);
}

/* --- vsock ------------------------------------------------------------------------------------------------------------------ */

static int vsock_alone(void *argument)
{
	struct sockaddr_vm nobody = {.svm_family = AF_VSOCK, .svm_cid = 4711, .svm_port = 70000};
	int fd = socket(AF_VSOCK, SOCK_STREAM, 0);

	(void)argument;
	if (fd < 0)
		return 40;
	return connect(fd, (void *)&nobody, sizeof(nobody)) == 0;
}

Test(kernel_socket, a_failing_vsock_connect_has_its_address)
{
	struct json_object *document;
	int result = watch(vsock_alone, NULL);

	if (result == 40)
		cr_skip_test("this kernel has no vsock");
	cr_assert_eq(result, 0);
	document = one("connection_attempted", "network.transport", "vsock");
	expect(document, "destination.address", "4711:70000");
	expect(document, "event.outcome", "failure");
	expect(one("socket", "taffrail.socket.family", "vsock"), "taffrail.socket.type", "stream");
}

static int vsock_talk(void *argument)
{
	struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = 70001};
	int server = socket(AF_VSOCK, SOCK_STREAM, 0), client = socket(AF_VSOCK, SOCK_STREAM, 0);

	(void)argument;
	if (server < 0 || bind(server, (void *)&address, sizeof(address)) || listen(server, 1))
		return 40;
	address.svm_cid = VMADDR_CID_LOCAL;
	if (connect(client, (void *)&address, sizeof(address)))
		return 40;
	return accept(server, NULL, NULL) < 0;
}

Test(kernel_socket, a_vsock_conversation)
{
	struct json_object *document;
	int result = watch(vsock_talk, NULL);

	if (result == 40)
		cr_skip_test("no vsock over loopback here (module vsock_loopback)");
	cr_assert_eq(result, 0);
	document = one("connection_attempted", "network.transport", "vsock");
	expect(document, "destination.address", "1:70001");
	expect(document, "event.outcome", "success");
	document = one("listen", "network.transport", "vsock");
	expect(document, "destination.address", "4294967295:70001");
	document = one("connection_accepted", "network.transport", "vsock");
	expect(document, "destination.address", "1:70001");
}
