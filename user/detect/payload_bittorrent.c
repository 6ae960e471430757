/* SPDX-License-Identifier: Apache-2.0 */
/* BitTorrent: peers (BEP 3, 10, 11), trackers (BEP 3, 15, 48), DHT (BEP 5), uTP (BEP 29), local discovery (BEP 14). */
#include <netinet/in.h>

#include "detect/payload.h"

/* BEP 3: 19, the name, eight reserved bytes, the hash of what is wanted, the peer's id. */
#define HANDSHAKE                                                                                                      \
	"\x13"                                                                                                         \
	"BitTorrent protocol"

enum {
	UTP_HEADER = 20,
	UTP_SYN = 4,
	UTP_STATE = 2,
	UTP_EXTENSIONS_MAX = 4,   /* one after another; clients send one or two */
	UTP_WINDOW_MAX = 1 << 26, /* bytes: clients offer one MiB or less, the kernel's own buffers bound it */
	MSE_KEY = 96,             /* a public key of 768 bits */
	MSE_PADDING_MAX = 512,
};

bool payload_utp_read(const uint8_t *bytes, size_t length, struct payload_utp *utp)
{
	size_t at = UTP_HEADER;
	uint8_t extension;

	if (length < UTP_HEADER || (bytes[0] & 0x0f) != 1 || bytes[0] >> 4 > UTP_SYN)
		return false;
	extension = bytes[1];
	for (int i = 0; extension; i++) {
		/* Extensions 1 (selective acknowledgement) and 2 (bits that name further ones) are known to BEP 29; 3 is used. */
		if (i == UTP_EXTENSIONS_MAX || extension > 3 || length - at < 2)
			return false;
		extension = bytes[at];
		if (bytes[at + 1] > length - at - 2)
			return false;
		at += 2u + bytes[at + 1];
	}
	*utp = (struct payload_utp){.type = bytes[0] >> 4,
		.connection = payload_u16(bytes + 2),
		.sequence = payload_u16(bytes + 16),
		.acknowledged = payload_u16(bytes + 18),
		.data = at};
	return true;
}

/*
 * The messages without data of a beginning. Who connects has got nothing yet, so its time difference is none; libtorrent's
 * has a window of none as well, libutp's has one.
 */
static enum payload_kind look_utp(const struct payload *payload)
{
	struct payload_utp utp;

	if (!payload_utp_read(payload->bytes, payload->length, &utp) || utp.data != payload->whole ||
		payload_u32(payload->bytes + 12) > UTP_WINDOW_MAX)
		return PAYLOAD_UNKNOWN;
	if (utp.type == UTP_SYN && payload_u32(payload->bytes + 8) == 0)
		return PAYLOAD_BT_UTP_SYN;
	return utp.type == UTP_STATE ? PAYLOAD_BT_UTP_STATE : PAYLOAD_UNKNOWN;
}

/* BEP 5. Keys of bencode are in order, so what begins a message is fixed: a(rguments), e(rror), ip (BEP 42), r(esponse). */
static enum payload_kind look_dht(const struct payload *payload)
{
	if (payload_has(payload, 0, "d1:rd2:id20:") ||
		(payload_has(payload, 0, "d2:ip6:") && payload_has(payload, 13, "1:rd2:id20:")) ||
		(payload_has(payload, 0, "d2:ip18:") && payload_has(payload, 26, "1:rd2:id20:")))
		return PAYLOAD_BT_DHT_ANSWER;
	if (payload_has(payload, 0, "d1:ad2:id20:"))
		return payload_has(payload, 32, "e1:q4:ping") ? PAYLOAD_BT_DHT_PING : PAYLOAD_BT_DHT_QUERY;
	if (payload_has(payload, 0, "d1:eli2") && payload_holds(payload, "1:y1:e"))
		return PAYLOAD_BT_DHT_ANSWER;
	return PAYLOAD_UNKNOWN;
}

static enum payload_kind look_udp(const struct payload *payload)
{
	struct payload_utp utp;
	enum payload_kind kind;

	/* BEP 15: a connect is a magic number of 64 bits, action 0 and the transaction; the answer has 16 bytes, too. */
	if (payload->whole >= 16 && payload_has(payload, 0, "\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00"))
		return PAYLOAD_BT_TRACKER_CONNECT;
	if (payload->whole == 16 && payload->length == 16 && payload_has(payload, 0, "\x00\x00\x00\x00"))
		return PAYLOAD_BT_TRACKER_ANSWER;
	if (payload_has(payload, 0, "BT-SEARCH * HTTP/1."))
		return PAYLOAD_BT_LSD;
	kind = look_dht(payload);
	if (kind != PAYLOAD_UNKNOWN)
		return kind;
	if (payload_utp_read(payload->bytes, payload->length, &utp) && payload_has(payload, utp.data, HANDSHAKE))
		return PAYLOAD_BT_HANDSHAKE;
	return look_utp(payload);
}

/* Where the request's path ends: at a blank, or where the bytes do. */
static size_t path_end(const struct payload *payload)
{
	const uint8_t *end = payload->length > 4 ? memchr(payload->bytes + 4, ' ', payload->length - 4) : NULL;

	return end ? (size_t)(end - payload->bytes) : payload->length;
}

/* The sample ends within "…/announce?info_hash=": what is there of it is at least one byte. */
static bool ends_in_hash(const struct payload *path)
{
	static const char word[] = "/announce?", hash[] = "info_hash=";
	const uint8_t *at = path->length ? memmem(path->bytes, path->length, word, sizeof(word) - 1) : NULL;
	size_t left;

	if (!at)
		return false;
	at += sizeof(word) - 1;
	left = path->length - (size_t)(at - path->bytes);
	return left > 0 && left < sizeof(hash) && memcmp(at, hash, left) == 0;
}

/*
 * BEP 3 and 48: GET /announce?info_hash=…; trackers of closed groups have a key in the path, before or behind the word, which
 * can push the hash out of the sample.
 */
static enum payload_kind look_http(const struct payload *payload)
{
	static const char *const words[] = {
		"?info_hash=", "&info_hash=", "?peer_id=", "&peer_id=", "?passkey=", "?authkey="};
	struct payload path = *payload;

	if (!payload_has(payload, 0, "GET /"))
		return PAYLOAD_UNKNOWN;
	path.length = path_end(payload);
	if (payload_holds(&path, "/announce") || payload_holds(&path, "/scrape"))
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (payload_holds_bytes(&path, words[i], strlen(words[i])))
				return PAYLOAD_BT_TRACKER_HTTP;
	if (path.length == payload->length && ends_in_hash(&path))
		return PAYLOAD_BT_TRACKER_HTTP;
	if (path.length >= 8 && memcmp(path.bytes + path.length - 8, ".torrent", 8) == 0)
		return PAYLOAD_BT_METAINFO;
	return PAYLOAD_UNKNOWN;
}

/* BEP 10: length, 20, 0 for the handshake or the peer's number of an extension, then a dictionary. */
static bool is_extension(const struct payload *payload)
{
	if (payload->length < 12 || payload_u32(payload->bytes) < 4 || payload_u32(payload->bytes) > 1 << 20 ||
		payload->bytes[4] != 20)
		return false;
	if (payload_has(payload, 5,
		    "\x00"
		    "d") &&
		(payload_holds(payload, "1:md") || payload_holds(payload, "1:ei") ||
			payload_holds(payload, "12:complete_ago")))
		return true;
	/* BEP 11 (peer exchange), BEP 9 (metadata). */
	return payload_has(payload, 6, "d5:added") || payload_has(payload, 6, "d8:msg_typei");
}

/*
 * BEP 3: a request (6) for a block, or the block (7): of 16 KiB, at a multiple of that. They are seen where a connection's
 * beginning was not.
 */
static bool is_piece(const struct payload *payload)
{
	if (payload_has(payload, 0, "\0\0\0\x0d\x06"))
		return payload_has(payload, 13, "\0\0\x40\0") && payload_u32(payload->bytes + 9) % 16384 == 0;
	return payload_has(payload, 0, "\0\0\x40\x09\x07") && payload->length >= 13 &&
	       payload_u32(payload->bytes + 9) % 16384 == 0;
}

static enum payload_kind look_tcp(const struct payload *payload)
{
	enum payload_kind kind = look_http(payload);

	if (kind != PAYLOAD_UNKNOWN)
		return kind;
	if (payload_has(payload, 0, HANDSHAKE))
		return PAYLOAD_BT_HANDSHAKE;
	if (is_extension(payload))
		return PAYLOAD_BT_EXTENSION;
	if (is_piece(payload))
		return PAYLOAD_BT_PIECE;
	/* A message of Message Stream Encryption can run into the handshake, where plain text was chosen. */
	return payload_holds(payload, HANDSHAKE) ? PAYLOAD_BT_HANDSHAKE_INSIDE : PAYLOAD_UNKNOWN;
}

enum payload_kind payload_look_bittorrent(const struct payload *payload)
{
	return payload->transport == IPPROTO_UDP ? look_udp(payload) : look_tcp(payload);
}

bool payload_looks_mse(const struct payload *payload)
{
	size_t printable = 0, high = 0;

	if (payload->transport != IPPROTO_TCP || payload->whole < MSE_KEY ||
		payload->whole > MSE_KEY + MSE_PADDING_MAX || payload->length < 32 ||
		payload_look(payload) != PAYLOAD_UNKNOWN)
		return false;
	for (size_t i = 0; i < payload->length; i++) {
		printable += payload->bytes[i] >= ' ' && payload->bytes[i] < 127;
		high += payload->bytes[i] >= 128;
	}
	/* Of random bytes 37 in 100 are printable and 50 have the high bit: four deviations of 64 leave room for chance. */
	return printable * 100 < payload->length * 62 && high * 100 > payload->length * 25;
}
