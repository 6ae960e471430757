/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first bytes of a message say: pure functions over bytes that a stranger chose. Nothing is allocated, nothing
 * is kept, and nothing is read past the bytes that were given. A reader that is not sure says that it knows nothing.
 */
#ifndef TAFFRAIL_DETECT_PAYLOAD_H
#define TAFFRAIL_DETECT_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

/* The first bytes of a datagram, or of a run of a TCP stream in one direction. */
struct payload {
	const uint8_t *bytes;
	size_t length;     /* of what is here */
	size_t whole;      /* of what was sent, as far as it has come; more than `length`: the rest was not kept */
	uint8_t transport; /* IPPROTO_TCP or IPPROTO_UDP */
	uint16_t from_port, to_port; /* the sender's and the receiver's */
};

/* What takes part in a network without a middle, and what only looks like it. */
enum payload_family {
	FAMILY_NONE, /* not peer to peer */
	FAMILY_BITTORRENT,
	FAMILY_IPFS,
	FAMILY_SYNCTHING,
	FAMILY_BLOCKCHAIN,
	FAMILY_EDONKEY,
	FAMILY_GNUTELLA,
	FAMILY_OTHER,
	FAMILIES,
};

/* "bittorrent", …, "other"; NULL for FAMILY_NONE. */
const char *payload_family_name(enum payload_family family);

/*
 * Each protocol, or each of its messages that means something else than the others.
 *   KIND(NAME, FAMILY, "what a person calls it")
 */
#define PAYLOAD_KINDS(KIND)                                                                                            \
	KIND(BT_HANDSHAKE, BITTORRENT, "peer handshake")                                                               \
	KIND(BT_HANDSHAKE_INSIDE, BITTORRENT, "peer handshake behind other bytes")                                     \
	KIND(BT_EXTENSION, BITTORRENT, "extension handshake or peer exchange")                                         \
	KIND(BT_PIECE, BITTORRENT, "request for a piece, or a piece")                                                  \
	KIND(BT_TRACKER_HTTP, BITTORRENT, "announce or scrape to an HTTP tracker")                                     \
	KIND(BT_TRACKER_CONNECT, BITTORRENT, "connect to a UDP tracker")                                               \
	KIND(BT_TRACKER_ANSWER, BITTORRENT, "a UDP tracker's answer to a connect")                                     \
	KIND(BT_DHT_PING, BITTORRENT, "DHT ping")                                                                      \
	KIND(BT_DHT_QUERY, BITTORRENT, "DHT query")                                                                    \
	KIND(BT_DHT_ANSWER, BITTORRENT, "DHT answer")                                                                  \
	KIND(BT_UTP_SYN, BITTORRENT, "uTP connect")                                                                    \
	KIND(BT_UTP_STATE, BITTORRENT, "uTP acknowledgement")                                                          \
	KIND(BT_LSD, BITTORRENT, "local service discovery")                                                            \
	KIND(BT_METAINFO, BITTORRENT, "download of a .torrent file")                                                   \
	KIND(EDONKEY_HELLO, EDONKEY, "eDonkey hello")                                                                  \
	KIND(EDONKEY_KAD, EDONKEY, "Kad query")                                                                        \
	KIND(GNUTELLA, GNUTELLA, "Gnutella handshake")                                                                 \
	KIND(LIBP2P, IPFS, "libp2p's multistream handshake")                                                           \
	KIND(IPFS_NAMES, IPFS, "names of IPFS protocols")                                                              \
	KIND(SYNCTHING_DISCOVERY, SYNCTHING, "Syncthing's local discovery")                                            \
	KIND(SYNCTHING_HELLO, SYNCTHING, "Syncthing hello")                                                            \
	KIND(BITCOIN, BLOCKCHAIN, "version message of the Bitcoin family")                                             \
	KIND(MONERO, BLOCKCHAIN, "levin message of the Monero family")                                                 \
	KIND(ETHEREUM_DISCOVERY, BLOCKCHAIN, "Ethereum node discovery")                                                \
	KIND(ETHEREUM_RLPX, BLOCKCHAIN, "Ethereum RLPx authentication")                                                \
	KIND(STRATUM, NONE, "Stratum: a miner's words")                                                                \
	KIND(TOR_CELL, NONE, "Tor link cell")                                                                          \
	KIND(DNS, NONE, "DNS")                                                                                         \
	KIND(TLS, NONE, "TLS")                                                                                         \
	KIND(DTLS, NONE, "DTLS")                                                                                       \
	KIND(HTTP, NONE, "HTTP")                                                                                       \
	KIND(SSH, NONE, "SSH")                                                                                         \
	KIND(STUN, NONE, "STUN")                                                                                       \
	KIND(QUIC, NONE, "QUIC")                                                                                       \
	KIND(WIREGUARD, NONE, "WireGuard")                                                                             \
	KIND(MEMBERLIST, NONE, "gossip of a cluster (memberlist)")

enum payload_kind {
	PAYLOAD_UNKNOWN,
#define KIND(name, family, text) PAYLOAD_##name,
	PAYLOAD_KINDS(KIND)
#undef KIND
		PAYLOAD_KINDS_END,
};

/* As the table says; "unknown" for PAYLOAD_UNKNOWN. */
const char *payload_kind_name(enum payload_kind kind);
enum payload_family payload_kind_family(enum payload_kind kind);

/* What the bytes are. One answer: the most telling one. */
enum payload_kind payload_look(const struct payload *payload);

/* --- by protocol; payload_look asks them all ------------------------------------------------------------------------------ */

/* payload_bittorrent.c */
enum payload_kind payload_look_bittorrent(const struct payload *payload);
/* payload_peers.c: the other networks of peers */
enum payload_kind payload_look_peers(const struct payload *payload);
/* payload_service.c: what is ordinary */
enum payload_kind payload_look_service(const struct payload *payload);

/* The header of uTP, version 1 (BEP 29). */
struct payload_utp {
	uint8_t type; /* 0 data, 1 fin, 2 state, 3 reset, 4 syn */
	uint16_t connection, sequence, acknowledged;
	size_t data; /* where the data begins, behind the header and its extensions */
};

/* False where the bytes are no such header, or end in it. Its 20 bytes have little that is fixed: ask for an exchange. */
bool payload_utp_read(const uint8_t *bytes, size_t length, struct payload_utp *utp);

/*
 * May this be the first message of a peer whose words are encrypted (Message Stream Encryption)? A key of 96 bytes and up
 * to 512 of padding, all random. So may be the first message of many a private protocol: a hint, not more.
 */
bool payload_looks_mse(const struct payload *payload);

/* --- names ---------------------------------------------------------------------------------------------------------------- */

enum { PAYLOAD_NAME_MAX = 253, PAYLOAD_ANSWERS_MAX = 16 };

/* A name as DNS and TLS have it: lower case, no dot at the end; bytes that no host name has are '?'. */
struct payload_name {
	char text[PAYLOAD_NAME_MAX + 1]; /* with a NUL */
	size_t length;                   /* 0: none */
};

struct payload_dns {
	bool answer;
	uint16_t id;
	uint8_t response_code; /* RFC 1035, 4.1.1; of answers */
	struct payload_name question;
	uint16_t type; /* of the question */
	/* The addresses of the A and AAAA records among the answers, without ports, that stood whole in the bytes. */
	struct event_address addresses[PAYLOAD_ANSWERS_MAX];
	size_t address_count;
	bool cut; /* there was more than the bytes, or the room, held */
};

/*
 * A DNS message (RFC 1035) of one question, over UDP, or over TCP with its length before it (RFC 7766). False where it is
 * none. Compression is followed backwards only, so that it ends.
 */
bool payload_dns_read(const struct payload *payload, struct payload_dns *dns);

/*
 * The server's name in a TLS ClientHello (RFC 8446, RFC 6066). True if the bytes are the beginning of one; the name is
 * empty if there is none, or if it stood behind what was kept: of the first 64 bytes it nearly always does.
 */
bool payload_tls_read(const struct payload *payload, struct payload_name *name);

/* Does the name look like those that Tor makes up for its TLS: www., 4 to 25 letters and digits of base 32, .com or .net? */
bool payload_name_looks_tor(const struct payload_name *name);

/* --- reading, for those above --------------------------------------------------------------------------------------------- */

static inline uint16_t payload_u16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t payload_u32(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline uint32_t payload_u32_little(const uint8_t *bytes)
{
	return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/* Does `text`, which may hold NUL bytes, stand at `offset`, whole? */
#define payload_has(payload, offset, string) payload_has_bytes(payload, offset, string, sizeof(string) - 1)
static inline bool payload_has_bytes(const struct payload *payload, size_t offset, const char *bytes, size_t length)
{
	return offset <= payload->length && length <= payload->length - offset &&
	       memcmp(payload->bytes + offset, bytes, length) == 0;
}

/* Does it stand anywhere? */
#define payload_holds(payload, string) payload_holds_bytes(payload, string, sizeof(string) - 1)
static inline bool payload_holds_bytes(const struct payload *payload, const char *bytes, size_t length)
{
	return payload->length >= length && memmem(payload->bytes, payload->length, bytes, length) != NULL;
}

#endif
