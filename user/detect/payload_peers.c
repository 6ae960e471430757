/* SPDX-License-Identifier: Apache-2.0 */
/* Other networks of peers: eDonkey and Kad, Gnutella, libp2p, Syncthing, block chains; and what miners and Tor say. */
#include <netinet/in.h>

#include "detect/payload.h"

enum {
	EDONKEY = 0xe3, /* and the extended protocol of eMule, and the packed one, in front of a message */
	EDONKEY_EMULE = 0xc5,
	EDONKEY_PACKED = 0xd4,
	KAD = 0xe4,
	EDONKEY_LENGTH_MAX = 4096, /* of a hello: a hash, an address, a few tags */
	DISCV4_TYPE = 97,          /* where the type stands: behind a hash of 32 and a signature of 65 bytes */
	RLPX_MIN = 282,
	RLPX_MAX = 800, /* EIP-8: the body, its encryption's overhead, up to 300 bytes of padding */
};

/* As in eMule's opcodes.h: protocol, length (little endian) behind it, opcode. */
static enum payload_kind look_edonkey_tcp(const struct payload *payload)
{
	const uint8_t *bytes = payload->bytes;
	uint32_t length;

	if (payload->length < 6 || (bytes[0] != EDONKEY && bytes[0] != EDONKEY_EMULE && bytes[0] != EDONKEY_PACKED))
		return PAYLOAD_UNKNOWN;
	length = payload_u32_little(bytes + 1);
	if (length < 2 || length > EDONKEY_LENGTH_MAX || 5ull + length > payload->whole)
		return PAYLOAD_UNKNOWN;
	/* Hello (its hash's size is 16) and its answer; login at a server, which has the hash at once: a user's hash of
	   eMule has 14 and 111 at fixed places. eMule's info request has its version. */
	if (bytes[0] == EDONKEY && bytes[5] == 0x01 && payload->length >= 22 && length >= 29 &&
		(bytes[6] == 16 || (bytes[6 + 5] == 14 && bytes[6 + 14] == 111)))
		return PAYLOAD_EDONKEY_HELLO;
	if (bytes[0] == EDONKEY && bytes[5] == 0x4c && payload->length >= 21 && length >= 29 && bytes[6 + 5] == 14 &&
		bytes[6 + 14] == 111)
		return PAYLOAD_EDONKEY_HELLO;
	return PAYLOAD_UNKNOWN;
}

static enum payload_kind look_kad(const struct payload *payload)
{
	const uint8_t *bytes = payload->bytes;

	if (payload->length < 2 || bytes[0] != KAD)
		return PAYLOAD_UNKNOWN;
	switch (bytes[1]) {
	case 0x01: /* bootstrap */
	case 0x60: /* ping */ return payload->whole == 2 ? PAYLOAD_EDONKEY_KAD : PAYLOAD_UNKNOWN;
	case 0x20: /* request: its kind (2 find a value, 4 store, 11 find a node), two ids of 16 bytes */
	case 0x21:
		return payload->whole == 35 && payload->length > 2 &&
				       ((bytes[2] & 31) == 2 || (bytes[2] & 31) == 4 || (bytes[2] & 31) == 11)
			       ? PAYLOAD_EDONKEY_KAD
			       : PAYLOAD_UNKNOWN;
	case 0x11: /* hello: id, port, version 1 to 10, count of tags */
	case 0x19:
		return payload->whole >= 22 && payload->length >= 22 && bytes[20] >= 1 && bytes[20] <= 10 &&
				       bytes[21] <= 8
			       ? PAYLOAD_EDONKEY_KAD
			       : PAYLOAD_UNKNOWN;
	default: return PAYLOAD_UNKNOWN;
	}
}

static enum payload_kind look_gnutella(const struct payload *payload)
{
	if (payload_has(payload, 0, "GNUTELLA CONNECT/") || payload_has(payload, 0, "GNUTELLA/0.") ||
		payload_has(payload, 0, "GET /uri-res/N2R?urn:sha1:") || payload_has(payload, 0, "GIV 0:"))
		return PAYLOAD_GNUTELLA;
	return PAYLOAD_UNKNOWN;
}

/* libp2p's connections begin with multistream-select; each line has its length before it, as a varint. */
static enum payload_kind look_libp2p(const struct payload *payload)
{
	if (!payload_has(payload, 0, "\x13/multistream/1.0.0\n"))
		return PAYLOAD_UNKNOWN;
	return payload_holds(payload, "/ipfs/") ? PAYLOAD_IPFS_NAMES : PAYLOAD_LIBP2P;
}

/*
 * The Bitcoin family's header: a magic number of the network, a command of 12 bytes padded with NUL, a length, a checksum.
 * Each has another magic; the padded command is what they share.
 */
static enum payload_kind look_bitcoin(const struct payload *payload)
{
	if (payload->length < 24 || payload_u32_little(payload->bytes + 16) > 4096)
		return PAYLOAD_UNKNOWN;
	return payload_has(payload, 4, "version\0\0\0\0\0") || payload_has(payload, 4, "verack\0\0\0\0\0\0")
		       ? PAYLOAD_BITCOIN
		       : PAYLOAD_UNKNOWN;
}

/* devp2p's discv4 and RLPx (EIP-8). Of discv5 nothing is in clear. */
static enum payload_kind look_ethereum(const struct payload *payload)
{
	const uint8_t *bytes = payload->bytes;

	if (payload->transport == IPPROTO_UDP)
		return payload->length > DISCV4_TYPE + 1 && payload->whole <= 1280 && bytes[DISCV4_TYPE] >= 1 &&
				       bytes[DISCV4_TYPE] <= 6 && bytes[DISCV4_TYPE + 1] >= 0xc0 &&
				       bytes[DISCV4_TYPE - 1] <= 1 /* the signature's recovery id */
			       ? PAYLOAD_ETHEREUM_DISCOVERY
			       : PAYLOAD_UNKNOWN;
	return payload->length > 2 && bytes[2] == 0x04 && payload_u16(bytes) >= RLPX_MIN &&
			       payload_u16(bytes) <= RLPX_MAX && payload->whole == 2u + payload_u16(bytes)
		       ? PAYLOAD_ETHEREUM_RLPX
		       : PAYLOAD_UNKNOWN;
}

/* JSON-RPC of one line; of login, which other services have too, only with what miners send. */
static enum payload_kind look_stratum(const struct payload *payload)
{
	if (!payload_has(payload, 0, "{"))
		return PAYLOAD_UNKNOWN;
	if (payload_holds(payload, "\"mining.") || payload_holds(payload, "\"eth_submitLogin\"") ||
		payload_holds(payload, "\"eth_getWork\""))
		return PAYLOAD_STRATUM;
	if (payload_holds(payload, "\"login\"") &&
		(payload_holds(payload, "\"jsonrpc\"") || payload_holds(payload, "\"params\"")))
		return PAYLOAD_STRATUM;
	return PAYLOAD_UNKNOWN;
}

/* tor-spec, 4.1: a VERSIONS cell: circuit 0 of two bytes, command 7, a length, versions of two bytes from 3 on. */
static bool is_tor_cell(const struct payload *payload)
{
	const uint8_t *bytes = payload->bytes;
	size_t length;

	if (!payload_has(payload, 0, "\x00\x00\x07\x00") || payload->length < 7)
		return false;
	length = bytes[4];
	if (length == 0 || length % 2 || length > 16 || payload->whole != 5 + length || payload->length < 5 + length)
		return false;
	for (size_t i = 5; i < 5 + length; i += 2)
		if (bytes[i] != 0 || bytes[i + 1] < 3 || bytes[i + 1] > 9)
			return false;
	return true;
}

static enum payload_kind look_tcp(const struct payload *payload)
{
	static enum payload_kind (*const looks[])(const struct payload *payload) = {
		look_gnutella, look_libp2p, look_bitcoin, look_stratum, look_edonkey_tcp, look_ethereum};

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		enum payload_kind kind = looks[i](payload);

		if (kind != PAYLOAD_UNKNOWN)
			return kind;
	}
	/* The header of levin: its signature, which both ends send. */
	if (payload->length >= 16 && payload_has(payload, 0, "\x01\x21\x01\x01\x01\x01\x01\x01"))
		return PAYLOAD_MONERO;
	/* Block Exchange Protocol: a magic number, the length of a hello of a few words. */
	if (payload->length >= 6 && payload_has(payload, 0, "\x2e\xa7\xd9\x0b") &&
		payload_u16(payload->bytes + 4) < 1024)
		return PAYLOAD_SYNCTHING_HELLO;
	return is_tor_cell(payload) ? PAYLOAD_TOR_CELL : PAYLOAD_UNKNOWN;
}

enum payload_kind payload_look_peers(const struct payload *payload)
{
	enum payload_kind kind;

	if (payload->transport != IPPROTO_UDP)
		return look_tcp(payload);
	/* Local Discovery, version 4: the magic number, then a device's id as field 1 of protobuf. */
	if (payload_has(payload, 0, "\x2e\xa7\xd9\x0b\x0a\x20"))
		return PAYLOAD_SYNCTHING_DISCOVERY;
	kind = look_kad(payload);
	return kind != PAYLOAD_UNKNOWN ? kind : look_ethereum(payload);
}
