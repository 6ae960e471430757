/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the canary does with sockets of rare kinds. All of it runs in the child. A socket of a family that the kernel has not
 * got yet would have it load a module, so the kernel's list is asked before.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* Older headers of it need sys/socket.h before. */
#include <linux/vm_sockets.h>

#include "sensor/canary_inside.h"

enum {
	PROTOCOL_FOR_TESTS = 253,     /* RFC 3692 */
	ETHERTYPE_FOR_TESTS = 0x88b5, /* IEEE 802: local experiments */
	LOOPBACK_DEVICE = 1,          /* the kernel's own rule, in each network namespace */
	PROTOCOLS_SIZE = 16384,
};

/* Has the kernel got the protocol already? */
static bool is_there(const char *line)
{
	char protocols[PROTOCOLS_SIZE];
	size_t length = 0;
	ssize_t got = 1;
	int fd = open("/proc/net/protocols", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (got > 0 && length < sizeof(protocols) - 1) {
		got = read(fd, protocols + length, sizeof(protocols) - 1 - length);
		length += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	protocols[length] = '\0';
	return strstr(protocols, line) != NULL;
}

/* A socket that itself is what the record tells. */
static int make(struct canary_deed *deed, int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);

	deed->family = (uint16_t)family;
	deed->flags = (uint32_t)type;
	deed->number = protocol;
	return fd < 0 ? -errno : fd;
}

int deed_raw(struct canary_place *place, struct canary_deed *deed, int variant)
{
	(void)variant;
	place->raw = make(deed, AF_INET, SOCK_RAW, PROTOCOL_FOR_TESTS);
	return place->raw < 0 ? place->raw : 0;
}

/* The socket gets its own packet: so the kernel does not answer that nobody wants it. */
int deed_raw_send(struct canary_place *place, struct canary_deed *deed, int variant)
{
	const struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)variant;
	if (place->raw < 0)
		return place->raw;
	deed->number = PROTOCOL_FOR_TESTS;
	memcpy(deed->address, &to.sin_addr, sizeof(to.sin_addr));
	return sendto(place->raw, "", 1, 0, (const void *)&to, sizeof(to)) < 0 ? -errno : 0;
}

/* Protocol 0: it hears nothing. */
int deed_packet(struct canary_place *place, struct canary_deed *deed, int variant)
{
	(void)variant;
	place->packet = is_there("\nPACKET ") ? make(deed, AF_PACKET, SOCK_DGRAM, 0) : -EAFNOSUPPORT;
	return place->packet < 0 ? place->packet : 0;
}

int deed_packet_send(struct canary_place *place, struct canary_deed *deed, int variant)
{
	const struct sockaddr_ll to = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETHERTYPE_FOR_TESTS),
		.sll_ifindex = LOOPBACK_DEVICE,
		.sll_halen = 6};

	(void)variant;
	if (place->packet < 0)
		return place->packet;
	deed->number = LOOPBACK_DEVICE;
	return sendto(place->packet, "", 1, 0, (const void *)&to, sizeof(to)) < 0 ? -errno : 0;
}

/* To this machine itself, where nobody is at that port. It is tried whether or not there is a way to get there. */
int deed_vsock_connect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	struct sockaddr_vm to = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_LOCAL};
	int fd;

	(void)variant;
	if (!is_there("\nAF_VSOCK "))
		return -EAFNOSUPPORT;
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	to.svm_port = place->random | 0x80000000;
	memcpy(deed->address, &to.svm_cid, sizeof(to.svm_cid));
	memcpy(deed->address + sizeof(to.svm_cid), &to.svm_port, sizeof(to.svm_port));
	(void)connect(fd, (const void *)&to, sizeof(to));
	close(fd);
	return 0;
}
