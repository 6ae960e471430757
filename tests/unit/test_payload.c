/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as the specifications have them, each with one that is much like it. */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "detect/payload.h"

#define ID20 "abcdefghij0123456789"
#define HASH20 "mnopqrstuvwxyz123456"
#define HANDSHAKE                                                                                                      \
	"\x13"                                                                                                         \
	"BitTorrent protocol"
#define ZERO8 "\0\0\0\0\0\0\0\0"

struct sample {
	enum payload_kind kind;
	uint8_t transport;
	uint16_t port;
	const char *bytes;
	size_t length, whole; /* whole 0: `length` */
};

#define TCP(kind, string)                                                                                              \
	{                                                                                                              \
		PAYLOAD_##kind, IPPROTO_TCP, 6881, string, sizeof(string) - 1, 0                                       \
	}
#define UDP(kind, string)                                                                                              \
	{                                                                                                              \
		PAYLOAD_##kind, IPPROTO_UDP, 6881, string, sizeof(string) - 1, 0                                       \
	}
#define UDP_TO(kind, port, string)                                                                                     \
	{                                                                                                              \
		PAYLOAD_##kind, IPPROTO_UDP, port, string, sizeof(string) - 1, 0                                       \
	}

static struct payload payload_of(const struct sample *sample)
{
	return (struct payload){.bytes = (const uint8_t *)sample->bytes,
		.length = sample->length,
		.whole = sample->whole ? sample->whole : sample->length,
		.transport = sample->transport,
		.from_port = 40000,
		.to_port = sample->port};
}

static void expect_kinds(const struct sample *samples, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct payload payload = payload_of(&samples[i]);

		cr_expect_eq(payload_look(&payload), samples[i].kind, "sample %zu: %s, not %s", i,
			payload_kind_name(payload_look(&payload)), payload_kind_name(samples[i].kind));
	}
}
#define expect_all(samples) expect_kinds(samples, sizeof(samples) / sizeof((samples)[0]))

Test(payload, bittorrent_peers)
{
	static const struct sample samples[] = {
		TCP(BT_HANDSHAKE, HANDSHAKE ZERO8 HASH20 "-TR3000-abcdefghijkl"),
		TCP(BT_HANDSHAKE, HANDSHAKE),
		TCP(UNKNOWN, "\x13"
			     "BitTorrent protoco"),
		TCP(BT_HANDSHAKE_INSIDE, "\0\0\0\0\0\0\0\0\0\0\0\x01\0\0" HANDSHAKE ZERO8),
		TCP(BT_EXTENSION, "\0\0\0\x50\x14\0d1:ei0e1:md11:ut_metadatai3e6:ut_pexi1ee"),
		TCP(BT_EXTENSION, "\0\0\0\x40\x14\x01"
				  "d5:added6:abcdef7:added.f1:x"),
		TCP(BT_PIECE, "\0\0\0\x0d\x06\0\0\0\x07\0\0\x40\0\0\0\x40\0"),
		TCP(UNKNOWN, "\0\0\0\x0d\x06\0\0\0\x07\0\0\x40\x01\0\0\x40\0"),
		TCP(BT_PIECE, "\0\0\x40\x09\x07\0\0\0\x07\0\0\x80\0data"),
		TCP(UNKNOWN, "\0\0\x40\x09\x08\0\0\0\x07\0\0\x80\0data"),
		TCP(UNKNOWN, "\0\0\0\x50\x15\0d1:ei0e1:md11:ut_metadatai3e6:ut_pexi1ee"),
		/* uTP data, sequence 2, and the handshake behind its 20 bytes; then behind an extension, too */
		UDP(BT_HANDSHAKE, "\x01\0\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\0\x02\0\x01" HANDSHAKE ZERO8),
		UDP(BT_HANDSHAKE, "\x01\x02\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\0\x02\0\x01\0\x08" ZERO8 HANDSHAKE),
		UDP(BT_UTP_SYN, "\x41\0\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0"),
		UDP(BT_UTP_SYN, "\x41\x02\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0\0\x08" ZERO8),
		UDP(BT_UTP_SYN, "\x41\0\xce\xa5\x7f\xbe\x41\x83\0\0\0\0\0\0\0\0\xe4\xd9\0\0"), /* libtorrent's */
		UDP(BT_UTP_STATE, "\x21\0\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\x7a\x11\0\x01"),
		UDP(UNKNOWN, "\x42\0\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0"),     /* version 2 */
		UDP(UNKNOWN, "\x41\0\x12\x34\0\0\0\x01\0\0\0\x09\0\x10\0\0\0\x01\0\0"),   /* has measured */
		UDP(UNKNOWN, "\x41\0\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0more"), /* with data */
		UDP(UNKNOWN,
			"\x41\x02\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0\0\xff" ZERO8), /* an extension past the end */
		UDP(BT_LSD, "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\n"),
		UDP(UNKNOWN, "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n"),
	};

	expect_all(samples);
}

Test(payload, bittorrent_trackers)
{
	static const struct sample samples[] = {
		TCP(BT_TRACKER_HTTP, "GET /announce?info_hash=%12%34xxxxxxxxxxxxxxxxxx&peer_id=-TR3000-"),
		TCP(BT_TRACKER_HTTP, "GET /0123456789abcdef0123456789abcdef/announce?info_hash=%12"),
		TCP(BT_TRACKER_HTTP, "GET /scrape?info_hash=%12%34 HTTP/1.1"),
		TCP(BT_TRACKER_HTTP, "GET /announce.php?passkey=0123&info_hash=%12%34 HTTP/1.1"),
		TCP(BT_TRACKER_HTTP, "GET /announce.php?passkey=0123456789abcdef0123456789abcdef&info_"),
		TCP(BT_TRACKER_HTTP, "GET /0123456789abcdef0123456789abcdef0123456789ab/announce?info"),
		TCP(HTTP, "GET /0123456789abcdef0123456789abcdef0123456789ab/announce?item"),
		TCP(HTTP, "GET /0123456789abcdef0123456789abcdef0123456789abcd/announce?"),
		TCP(HTTP, "GET /announce HTTP/1.1\r\nHost: x\r\nReferer: ?info_hash=x\r\n"),
		TCP(HTTP, "GET /announcements?page=2 HTTP/1.1\r\n"),
		TCP(HTTP, "GET /search?info_hash=12 HTTP/1.1\r\n"),
		TCP(BT_METAINFO, "GET /debian-12.iso.torrent HTTP/1.1\r\n"),
		TCP(HTTP, "GET /what-is-a.torrent.html HTTP/1.1\r\n"),
		UDP(BT_TRACKER_CONNECT, "\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04"),
		UDP(UNKNOWN, "\0\0\x04\x17\x27\x10\x19\x81\0\0\0\0\x01\x02\x03\x04"),
		UDP(BT_TRACKER_ANSWER, "\0\0\0\0\x01\x02\x03\x04"
				       "connecti"),
		UDP(UNKNOWN, "\0\0\0\0\x01\x02\x03\x04"
			     "connectio"),
	};

	expect_all(samples);
}

Test(payload, bittorrent_dht)
{
	static const struct sample samples[] = {
		UDP(BT_DHT_PING, "d1:ad2:id20:" ID20 "e1:q4:ping1:t2:aa1:y1:qe"),
		UDP(BT_DHT_QUERY, "d1:ad2:id20:" ID20 "6:target20:" HASH20 "e1:q9:find_node1:t2:aa1:y1:qe"),
		UDP(BT_DHT_QUERY, "d1:ad2:id20:" ID20 "9:info_hash20:" HASH20 "e1:q9:get_peers1:t2:aa1:y1:qe"),
		UDP(BT_DHT_ANSWER, "d1:rd2:id20:" HASH20 "e1:t2:aa1:y1:re"),
		UDP(BT_DHT_ANSWER, "d2:ip6:abcdef1:rd2:id20:" HASH20 "5:nodes0:e1:t2:aa1:y1:re"),
		UDP(BT_DHT_ANSWER, "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"),
		UDP(UNKNOWN, "d1:ad2:ie20:" ID20 "e1:q4:ping1:t2:aa1:y1:qe"),
		UDP(UNKNOWN, "d8:intervali900e5:peers0:e"),
	};

	expect_all(samples);
}

Test(payload, other_peers)
{
	static const struct sample samples[] = {
		TCP(EDONKEY_HELLO,
			"\xe3\x20\0\0\0\x01\x10\x01\x02\x03\x04\x05\x0e\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x6f\x10"
			"\x01\x02\x03\x04\x36\x12\0\0\0\0\x01\x02\x03\x04"),
		TCP(UNKNOWN, "\xe3\x20\0\0\1\x01\x10\x01\x02\x03\x04\x05\x0e\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x6f\x10"
			     "\x01\x02\x03\x04\x36\x12\0\0\0\0\x01\x02\x03\x04"),
		UDP(EDONKEY_KAD, "\xe4\x21\x0b" ID20 "0123456789ab"),
		UDP(EDONKEY_KAD, "\xe4\x60"),
		UDP(UNKNOWN, "\xe4\x60\0"),
		TCP(GNUTELLA, "GNUTELLA CONNECT/0.6\r\nUser-Agent: x\r\n"),
		TCP(LIBP2P, "\x13/multistream/1.0.0\n\x07/noise\n"),
		TCP(IPFS_NAMES, "\x13/multistream/1.0.0\n\x15/ipfs/bitswap/1.2.0\n"),
		TCP(UNKNOWN, "\x12/multistream/1.0.0\n"),
		UDP(SYNCTHING_DISCOVERY, "\x2e\xa7\xd9\x0b\x0a\x20" ID20 "0123456789ab\x12\x15tcp://0.0.0.0:22000"),
		TCP(SYNCTHING_HELLO, "\x2e\xa7\xd9\x0b\0\x20\x0a\x04host\x12\x09syncthing"),
		TCP(BITCOIN, "\xf9\xbe\xb4\xd9version\0\0\0\0\0\x66\0\0\0\x01\x02\x03\x04\x80\x11\x01\0"),
		TCP(BITCOIN, "\xfb\xc0\xb6\xdbversion\0\0\0\0\0\x66\0\0\0\x01\x02\x03\x04\x80\x11\x01\0"),
		TCP(UNKNOWN, "\xf9\xbe\xb4\xd9version 1.2\0\x66\0\0\0\x01\x02\x03\x04\x80\x11\x01\0"),
		TCP(MONERO, "\x01\x21\x01\x01\x01\x01\x01\x01\xe2\0\0\0\0\0\0\0\x01\xe9\x03\0\0"),
		TCP(STRATUM, "{\"id\": 1, \"method\": \"mining.subscribe\", \"params\": [\"cpuminer\"]}\n"),
		TCP(STRATUM, "{\"id\":1,\"jsonrpc\":\"2.0\",\"method\":\"login\",\"params\":{\"login\":\"4"),
		TCP(UNKNOWN, "{\"id\": 1, \"method\": \"status\", \"params\": []}\n"),
		TCP(TOR_CELL, "\0\0\x07\0\x08\0\x03\0\x04\0\x05\0\x06"),
	};

	expect_all(samples);
}

Test(payload, what_stands_deeper_than_a_sample)
{
	uint8_t bytes[200] = {0};
	struct payload payload = {.bytes = bytes,
		.length = sizeof(bytes),
		.whole = sizeof(bytes),
		.transport = IPPROTO_UDP,
		.to_port = 30303};

	memset(bytes, 0xab, sizeof(bytes));
	bytes[96] = 1;
	bytes[97] = 2;
	bytes[98] = 0xe0;
	cr_assert_eq(payload_look(&payload), PAYLOAD_ETHEREUM_DISCOVERY);
	payload.length = 64;
	cr_assert_eq(payload_look(&payload), PAYLOAD_UNKNOWN);
	payload.transport = IPPROTO_TCP;
	payload.whole = 402;
	bytes[0] = 0x01;
	bytes[1] = 0x90;
	bytes[2] = 0x04;
	cr_assert_eq(payload_look(&payload), PAYLOAD_ETHEREUM_RLPX);
}

Test(payload, services)
{
	static const struct sample samples[] = {
		UDP(STUN, "\0\x01\0\0\x21\x12\xa4\x42"
			  "0123456789ab"),
		UDP(UNKNOWN, "\0\x01\0\0\x21\x12\xa4\x43"
			     "0123456789ab"),
		UDP(QUIC, "\xc3\0\0\0\x01\x08" ID20),
		UDP(DTLS, "\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x80\x01"),
		UDP(MEMBERLIST, "\0\x82\xa4Node\xa2n1\xa5SeqNo\x01"),
		TCP(TLS, "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
		TCP(SSH, "SSH-2.0-OpenSSH_9.2\r\n"),
		TCP(HTTP, "HTTP/1.1 200 OK\r\n"),
		UDP_TO(DNS, 53,
			"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07"
			"example\x03"
			"com\0\0\x01\0\x01"),
		UDP_TO(UNKNOWN, 54,
			"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07"
			"example\x03"
			"com\0\0\x01\0\x01"),
	};

	expect_all(samples);
}

Test(payload, encrypted_peers_look_random_and_have_their_length)
{
	uint8_t bytes[64];
	struct payload payload = {
		.bytes = bytes, .length = sizeof(bytes), .whole = 300, .transport = IPPROTO_TCP, .to_port = 51413};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 37 + 11);
	cr_assert(payload_looks_mse(&payload));
	payload.whole = 95;
	cr_assert_not(payload_looks_mse(&payload));
	payload.whole = 700;
	cr_assert_not(payload_looks_mse(&payload));
	memset(bytes, 'a', sizeof(bytes));
	payload.whole = 300;
	cr_assert_not(payload_looks_mse(&payload));
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

#define QUESTION                                                                                                       \
	"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x06"                                                                     \
	"router\x0A"                                                                                                   \
	"bittorrent\x03"                                                                                               \
	"COM\0\0\x01\0\x01"
#define ANSWERS                                                                                                        \
	"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x12\0\x07"                                                           \
	"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x09"

static bool read_dns(const char *bytes, size_t length, uint8_t transport, struct payload_dns *dns)
{
	struct payload payload = {.bytes = (const uint8_t *)bytes,
		.length = length,
		.whole = length,
		.transport = transport,
		.from_port = 53,
		.to_port = 40000};

	return payload_dns_read(&payload, dns);
}
#define dns_of(string, transport, dns) read_dns(string, sizeof(string) - 1, transport, dns)

Test(payload, dns_answers)
{
	struct payload_dns dns;

	cr_assert(dns_of(QUESTION ANSWERS, IPPROTO_UDP, &dns));
	cr_assert(dns.answer && dns.id == 0x1234 && dns.response_code == 0 && dns.type == 1 && !dns.cut);
	cr_assert_str_eq(dns.question.text, "router.bittorrent.com");
	cr_assert_eq(dns.address_count, 2);
	cr_assert(dns.addresses[0].family == AF_INET && dns.addresses[0].bytes[3] == 7);
	cr_assert(dns.addresses[1].family == AF_INET6 && dns.addresses[1].bytes[15] == 9);
	cr_assert(dns_of("\0\x58" QUESTION ANSWERS, IPPROTO_TCP, &dns));
	cr_assert_eq(dns.address_count, 2);
}

Test(payload, dns_that_is_cut_says_so)
{
	static const char whole[] = QUESTION ANSWERS;
	struct payload_dns dns;

	for (size_t length = 12; length < sizeof(whole) - 1; length++) {
		cr_assert(read_dns(whole, length, IPPROTO_UDP, &dns));
		cr_assert(dns.cut, "%zu bytes", length);
	}
	cr_assert_not(read_dns(whole, 11, IPPROTO_UDP, &dns));
}

Test(payload, dns_names_that_lead_astray)
{
	struct payload_dns dns;

	/* a pointer to itself, one forwards, one into a circle, and a label of a kind that there is not */
	cr_assert_not(dns_of("\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", IPPROTO_UDP, &dns));
	cr_assert_not(dns_of("\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x10\0\1\0\1\1x\0", IPPROTO_UDP, &dns));
	cr_assert_not(dns_of("\0\1\1\0\0\1\0\0\0\0\0\0\1a\xc0\x0c\0\1\0\1", IPPROTO_UDP, &dns));
	cr_assert_not(dns_of("\0\1\1\0\0\1\0\0\0\0\0\0\x41"
			     "a\0\0\1\0\1",
		IPPROTO_UDP, &dns));
	/* an answer that says it has more addresses than it has */
	cr_assert(dns_of(
		"\0\1\x81\x80\0\1\0\x50\0\0\0\0\1a\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4", IPPROTO_UDP, &dns));
	cr_assert(dns.cut && dns.address_count == 1);
}

/* A ClientHello of which the name is the first extension. */
#define HELLO                                                                                                          \
	"\x16\x03\x01\0\x4b\x01\0\0\x47\x03\x03" ID20 "0123456789ab\0\0\x02\x13\x01\x01\0\0\x1c"                       \
	"\0\0\0\x12\0\x10\0\0\x0d"                                                                                     \
	"www.Ab2cd.com\0\x2b\0\x03\x02\x03\x04"

Test(payload, tls_names)
{
	static const char hello[] = HELLO;
	struct payload payload = {.bytes = (const uint8_t *)hello,
		.length = sizeof(hello) - 1,
		.whole = sizeof(hello) - 1,
		.transport = IPPROTO_TCP,
		.to_port = 443};
	struct payload_name name;

	cr_assert(payload_tls_read(&payload, &name));
	cr_assert_str_eq(name.text, "www.ab2cd.com");
	cr_assert(payload_name_looks_tor(&name));
	payload.length = 64; /* the name has begun: half of it is no name */
	cr_assert(payload_tls_read(&payload, &name));
	cr_assert_eq(name.length, 0);
	payload.length = 10;
	cr_assert_not(payload_tls_read(&payload, &name));
}

Test(payload, nothing_is_nothing)
{
	struct payload payload = {.transport = IPPROTO_UDP};
	struct payload_dns dns;

	cr_assert_eq(payload_look(&payload), PAYLOAD_UNKNOWN);
	cr_assert_not(payload_dns_read(&payload, &dns));
	for (int kind = PAYLOAD_UNKNOWN; kind < PAYLOAD_KINDS_END; kind++)
		cr_assert(payload_kind_name((enum payload_kind)kind)[0]);
}
