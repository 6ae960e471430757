/* SPDX-License-Identifier: Apache-2.0 */
/* What is ordinary, or only looks like peers. */
#include <netinet/in.h>

#include "detect/payload.h"

enum { PORT_DNS = 53, PORT_MDNS = 5353, PORT_LLMNR = 5355 };

static bool is_port(const struct payload *payload, uint16_t port)
{
	return payload->from_port == port || payload->to_port == port;
}

static enum payload_kind look_dns(const struct payload *payload)
{
	struct payload_dns dns;

	if (!is_port(payload, PORT_DNS) && !is_port(payload, PORT_MDNS) && !is_port(payload, PORT_LLMNR))
		return PAYLOAD_UNKNOWN;
	return payload_dns_read(payload, &dns) ? PAYLOAD_DNS : PAYLOAD_UNKNOWN;
}

/* RFC 8489: two bits of zero, the length of what follows the header, a multiple of four, and the magic cookie. */
static bool is_stun(const struct payload *payload)
{
	return payload->length >= 20 && (payload->bytes[0] & 0xc0) == 0 &&
	       payload_has(payload, 4, "\x21\x12\xa4\x42") && payload_u16(payload->bytes + 2) % 4 == 0 &&
	       (payload->transport == IPPROTO_TCP || payload->whole == 20u + payload_u16(payload->bytes + 2));
}

/* RFC 9000: the long header with its fixed bit, version 1 or 2 (RFC 9369), or a draft, and ids of at most 20 bytes. */
static bool is_quic(const struct payload *payload)
{
	const uint8_t *bytes = payload->bytes;
	uint32_t version;

	if (payload->length < 7 || (bytes[0] & 0xc0) != 0xc0)
		return false;
	version = payload_u32(bytes + 1);
	return (version == 1 || version == 0x6b3343cf || version >> 8 == 0xff0000) && bytes[5] <= 20;
}

/* Types 1 to 4 in the first byte, three bytes of zero, and each handshake's own length. */
static bool is_wireguard(const struct payload *payload)
{
	if (payload->length < 4 || memcmp(payload->bytes + 1, "\0\0\0", 3) != 0)
		return false;
	switch (payload->bytes[0]) {
	case 1: return payload->whole == 148;
	case 2: return payload->whole == 92;
	case 3: return payload->whole == 64;
	case 4: return payload->whole >= 32 && payload->whole % 16 == 0;
	default: return false;
	}
}

/*
 * hashicorp/memberlist, net.go: a type of one byte, then MessagePack; compound messages hold others. The names of the
 * fields tell it: SeqNo of ping and acknowledgement, Incarnation and Node of news.
 */
static bool is_memberlist(const struct payload *payload)
{
	return payload->length > 4 && payload->bytes[0] <= 14 &&
	       (payload_holds(payload, "\xa5SeqNo") || payload_holds(payload, "\xabIncarnation") ||
		       (payload->bytes[0] == 6 && payload_holds(payload, "\xa5Nodes")));
}

static enum payload_kind look_udp(const struct payload *payload)
{
	/* RFC 9147: a record of DTLS 1.0 or 1.2, of which a handshake, an alert or data begins. */
	if (payload->length >= 13 && payload->bytes[0] >= 20 && payload->bytes[0] <= 23 && payload->bytes[1] == 0xfe &&
		(payload->bytes[2] == 0xff || payload->bytes[2] == 0xfd))
		return PAYLOAD_DTLS;
	if (is_quic(payload))
		return PAYLOAD_QUIC;
	return is_wireguard(payload) ? PAYLOAD_WIREGUARD : PAYLOAD_UNKNOWN;
}

static enum payload_kind look_tcp(const struct payload *payload)
{
	static const char *const methods[] = {"GET ", "POST ", "HEAD ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ",
		"PATCH ", "HTTP/1.", "PRI * HTTP/2"};

	/* A TLS record: a handshake of version 3.0 to 3.3. */
	if (payload->length >= 5 && payload->bytes[0] == 22 && payload->bytes[1] == 3 && payload->bytes[2] <= 4)
		return PAYLOAD_TLS;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (payload_has_bytes(payload, 0, methods[i], strlen(methods[i])))
			return PAYLOAD_HTTP;
	return payload_has(payload, 0, "SSH-") ? PAYLOAD_SSH : PAYLOAD_UNKNOWN;
}

enum payload_kind payload_look_service(const struct payload *payload)
{
	enum payload_kind kind = look_dns(payload);

	if (kind != PAYLOAD_UNKNOWN || payload->length == 0)
		return kind;
	if (is_stun(payload))
		return PAYLOAD_STUN;
	if (is_memberlist(payload))
		return PAYLOAD_MEMBERLIST;
	return payload->transport == IPPROTO_UDP ? look_udp(payload) : look_tcp(payload);
}
