/* SPDX-License-Identifier: Apache-2.0 */
/* IP (RFC 791, RFC 8200), TCP, UDP and the errors of ICMP, of packets that may be cut anywhere. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "cli/capture.h"
#include "detect/payload.h"

enum {
	EXTENSIONS_MAX = 16, /* headers of IPv6, one after another */
	IPV6_HOPS = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_AUTHENTICATION = 51,
	IPV6_OPTIONS = 60,
	IPV6_MOBILITY = 135,
	ICMP_UNREACHABLE = 3,
	ICMP6_UNREACHABLE = 1,
};

/* What is left of a packet: `length` bytes here, `whole` on the wire. */
struct rest {
	const uint8_t *bytes;
	size_t length, whole;
};

static bool skip(struct rest *rest, size_t count)
{
	if (count > rest->length || count > rest->whole)
		return false;
	rest->bytes += count;
	rest->length -= count;
	rest->whole -= count;
	return true;
}

/* What IP says that it holds; what is behind is the link's padding. 0: the card had yet to say it. */
static void trim(struct rest *rest, size_t whole)
{
	if (whole == 0)
		return;
	rest->whole = whole;
	if (rest->length > whole)
		rest->length = whole;
}

static void read_tcp(struct packet *packet, struct rest *rest, bool quoted)
{
	size_t header;

	if (rest->length < 4)
		return;
	packet->source.port = payload_u16(rest->bytes);
	packet->destination.port = payload_u16(rest->bytes + 2);
	packet->transport = IPPROTO_TCP;
	if (quoted) {
		packet->kind = PACKET_UNREACHABLE;
		return;
	}
	if (rest->length < 14)
		return;
	header = (size_t)(rest->bytes[12] >> 4) * 4;
	if (header < 20 || header > rest->whole)
		return;
	packet->kind = PACKET_TCP;
	packet->sequence = payload_u32(rest->bytes + 4);
	packet->flags = rest->bytes[13];
	packet->whole = rest->whole - header;
	if (skip(rest, header)) {
		packet->bytes = rest->bytes;
		packet->length = rest->length;
	}
}

static void read_udp(struct packet *packet, struct rest *rest, bool quoted)
{
	size_t whole;

	if (rest->length < 8)
		return;
	packet->source.port = payload_u16(rest->bytes);
	packet->destination.port = payload_u16(rest->bytes + 2);
	packet->transport = IPPROTO_UDP;
	packet->kind = quoted ? PACKET_UNREACHABLE : PACKET_UDP;
	whole = payload_u16(rest->bytes + 4);
	skip(rest, 8);
	packet->whole = whole >= 8 ? whole - 8 : rest->whole;
	packet->bytes = rest->bytes;
	packet->length = rest->length < packet->whole ? rest->length : packet->whole;
}

static void read_packet(struct packet *packet, struct rest rest, bool quoted);

static void read_transport(struct packet *packet, uint8_t protocol, struct rest *rest, bool quoted)
{
	bool unreachable = (protocol == IPPROTO_ICMP && rest->length > 8 && rest->bytes[0] == ICMP_UNREACHABLE) ||
			   (protocol == IPPROTO_ICMPV6 && rest->length > 8 && rest->bytes[0] == ICMP6_UNREACHABLE);

	if (protocol == IPPROTO_TCP)
		read_tcp(packet, rest, quoted);
	else if (protocol == IPPROTO_UDP)
		read_udp(packet, rest, quoted);
	else if (unreachable && !quoted && skip(rest, 8))
		read_packet(packet, *rest, true);
}

static void read_ipv4(struct packet *packet, struct rest rest, bool quoted)
{
	const uint8_t *bytes = rest.bytes;
	size_t header;

	if (rest.length < 20)
		return;
	header = (size_t)(bytes[0] & 15) * 4;
	trim(&rest, payload_u16(bytes + 2));
	packet->source.family = packet->destination.family = AF_INET;
	memcpy(packet->source.bytes, bytes + 12, 4);
	memcpy(packet->destination.bytes, bytes + 16, 4);
	/* Only a first fragment has ports. */
	if (header < 20 || (payload_u16(bytes + 6) & 0x1fff) != 0 || !skip(&rest, header))
		return;
	read_transport(packet, bytes[9], &rest, quoted);
}

static void read_ipv6(struct packet *packet, struct rest rest, bool quoted)
{
	uint8_t next;
	size_t size;

	if (rest.length < 40)
		return;
	next = rest.bytes[6];
	size = payload_u16(rest.bytes + 4);
	packet->source.family = packet->destination.family = AF_INET6;
	memcpy(packet->source.bytes, rest.bytes + 8, 16);
	memcpy(packet->destination.bytes, rest.bytes + 24, 16);
	skip(&rest, 40);
	trim(&rest, size);
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		switch (next) {
		case IPV6_HOPS:
		case IPV6_ROUTING:
		case IPV6_OPTIONS:
		case IPV6_MOBILITY: size = 8; break;
		case IPV6_FRAGMENT:
			if (rest.length < 8 || (payload_u16(rest.bytes + 2) & 0xfff8) != 0)
				return;
			size = 0;
			break;
		case IPV6_AUTHENTICATION: size = 4; break;
		default: read_transport(packet, next, &rest, quoted); return;
		}
		if (rest.length < 8)
			return;
		next = rest.bytes[0];
		/* The length is of units of eight bytes behind the first; of four in an authentication, behind two. */
		if (!skip(&rest, size == 0 ? 8 : size == 4 ? (rest.bytes[1] + 2u) * 4 : (rest.bytes[1] + 1u) * 8))
			return;
	}
}

static void read_packet(struct packet *packet, struct rest rest, bool quoted)
{
	if (rest.length == 0)
		return;
	if (rest.bytes[0] >> 4 == 4)
		read_ipv4(packet, rest, quoted);
	else if (rest.bytes[0] >> 4 == 6)
		read_ipv6(packet, rest, quoted);
}

void capture_ip_read(struct packet *packet, const uint8_t *bytes, size_t length, size_t whole)
{
	read_packet(packet, (struct rest){bytes, length, whole}, false);
}
