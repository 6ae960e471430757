/* SPDX-License-Identifier: Apache-2.0 */
/* The P2P detector: what is peers, and how it is told. */
#include "test_p2p.h"

static void expect(struct judged *judged, enum p2p_verdict verdict, enum payload_family family)
{
	const struct p2p_report *report = judged_report(judged);

	cr_expect_eq(report->verdict, verdict, "%s, score %u", p2p_verdict_name(report->verdict), report->score);
	cr_expect_eq(report->family, family);
	cr_expect_eq(report->decided_ns > 0, verdict != P2P_NONE);
	p2p_close(judged->p2p);
}

static struct flow connected(struct judged *judged, unsigned int host, uint16_t port)
{
	struct flow flow = flow_to(judged, IPPROTO_TCP, 0, end_at("198.18", host, port));

	flow_becomes(judged, &flow, FLOW_ESTABLISHED);
	return flow;
}

Test(p2p, handshakes)
{
	struct judged judged;
	struct flow flow;
	const struct p2p_report *report;

	judged_open(&judged);
	flow = connected(&judged, 1, 51413);
	flow_says(&judged, &flow, true, 0, HANDSHAKE);
	report = judged_report(&judged);
	cr_assert_eq(report->verdict, P2P_SUSPECTED);
	judged.now_ns += 2 * second;
	flow_says(&judged, &flow, false, 0, HANDSHAKE);
	report = judged_report(&judged);
	cr_assert_eq(report->first_ns, judged.start_ns);
	cr_assert_eq(report->decided_ns, judged.start_ns + 2 * second);
	cr_assert_eq(report->reason_count, 1);
	cr_assert_str_eq(report->reasons[0].samples[0], "tcp 198.18.0.2:51413");
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

/* aria2: behind the header of Message Stream Encryption the third message is the handshake in clear. */
Test(p2p, a_handshake_in_the_third_message)
{
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = connected(&judged, 1, 6881);
	flow_says(&judged, &flow, true, 0, "\x80\x91\xa2\xb3");
	flow_says(&judged, &flow, false, 0, "\x80\x91\xa2\xb3");
	flow_says(&judged, &flow, true, 1, "\x80\x91\xa2\xb3");
	flow_says(&judged, &flow, false, 1, "\x80\x91\xa2\xb3");
	flow_says(&judged, &flow, true, 2, HANDSHAKE);
	flow_says(&judged, &flow, false, 2, HANDSHAKE);
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

/* libtorrent: the handshake of who connects is hidden, the answer behind the two keys is not. */
Test(p2p, half_a_handshake_behind_two_keys)
{
	char key[300];
	struct judged judged;
	struct flow flow;

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (char)(i * 37 + 11);
	for (int opened = 0; opened <= 1; opened++) {
		judged_open(&judged);
		flow = connected(&judged, 1, 6881);
		flow.inbound = !opened;
		flow_says_bytes(&judged, &flow, opened, 0, key, sizeof(key));
		flow_says_bytes(&judged, &flow, !opened, 0, key, sizeof(key));
		cr_assert_eq(judged_report(&judged)->verdict, P2P_NONE);
		flow_says(&judged, &flow, !opened, 1, HANDSHAKE);
		expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
	}
	/* A stranger who says it behind the keys of a service proves nothing. */
	judged_open(&judged);
	flow = connected(&judged, 1, 6881);
	flow.inbound = true;
	flow_says_bytes(&judged, &flow, false, 0, key, sizeof(key));
	flow_says_bytes(&judged, &flow, true, 0, key, sizeof(key));
	flow_says(&judged, &flow, false, 1, HANDSHAKE);
	expect(&judged, P2P_NONE, FAMILY_NONE);
}

/* What strangers send proves nothing, unless it is answered. */
Test(p2p, strangers_words_prove_nothing)
{
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	for (unsigned int i = 0; i < 50; i++) {
		flow = flow_to(&judged, IPPROTO_TCP, 8081, end_at("198.18", i, 40000));
		flow.inbound = true;
		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		flow_says(&judged, &flow, false, 0, HANDSHAKE);
		flow = (struct flow){
			.local = flow.local, .remote = flow.remote, .transport = IPPROTO_UDP, .inbound = true};
		flow.remote.port = 6881;
		p2p_flow(judged.p2p, &flow, judged.now_ns);
		flow_says(&judged, &flow, false, 0, DHT_QUERY);
		flow_says(&judged, &flow, false, 1, DHT_ANSWER);
	}
	expect(&judged, P2P_NONE, FAMILY_NONE);

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 6881, end_at("198.18", 1, 6881));
	flow.inbound = true;
	flow_says(&judged, &flow, false, 0, DHT_QUERY);
	flow_says(&judged, &flow, true, 0, DHT_ANSWER);
	expect(&judged, P2P_SUSPECTED, FAMILY_BITTORRENT);
}

Test(p2p, trackers)
{
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 6881, end_at("198.18", 1, 6969));
	flow_says(&judged, &flow, true, 0, "\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04");
	flow_says(&judged, &flow, false, 0,
		"\0\0\0\0\x01\x02\x03\x05"
		"connecti");
	cr_assert_eq(judged_report(&judged)->verdict, P2P_SUSPECTED);
	flow_says(&judged, &flow, false, 1,
		"\0\0\0\0\x01\x02\x03\x04"
		"connecti");
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);

	judged_open(&judged);
	flow = connected(&judged, 1, 6969);
	flow_says(&judged, &flow, true, 0, "GET /announce?info_hash=%12%34&peer_id=-TR3000-x HTTP/1.1\r\n");
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

Test(p2p, the_distributed_hash_table)
{
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 6881, end_at("198.18", 1, 6881));
	flow_says(&judged, &flow, true, 0, DHT_QUERY);
	cr_assert_eq(judged_report(&judged)->verdict, P2P_SUSPECTED);
	flow_says(&judged, &flow, false, 0, DHT_ANSWER);
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);

	/* A prober of many services pings, is answered at times, and asks for nothing. */
	judged_open(&judged);
	for (unsigned int i = 0; i < 200; i++) {
		flow = flow_to(&judged, IPPROTO_UDP, 6881, end_at("198.18", i, 6881));
		flow_says(&judged, &flow, true, 0, DHT_PING);
		if (i % 20 == 0)
			flow_says(&judged, &flow, false, 0, DHT_ANSWER);
	}
	expect(&judged, P2P_NONE, FAMILY_NONE);
}

Test(p2p, utp_is_told_by_its_answer)
{
	static const char syn[] = "\x41\0\x12\x34\0\0\0\x01\0\0\0\0\0\x10\0\0\0\x01\0\0";
	static const char state[] = "\x21\0\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\x7a\x11\0\x01";
	static const char other[] = "\x21\0\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\x7a\x11\0\x02";
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 51413, end_at("198.18", 1, 51413));
	flow_says(&judged, &flow, true, 0, syn);
	flow_says(&judged, &flow, false, 0, other);
	cr_assert_eq(judged_report(&judged)->verdict, P2P_NONE);
	flow_says(&judged, &flow, false, 1, state);
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 51413, end_at("198.18", 1, 51413));
	flow.inbound = true;
	flow_says(&judged, &flow, false, 0, syn);
	cr_assert_eq(judged_report(&judged)->verdict, P2P_NONE);
	flow_says(&judged, &flow, true, 0, state);
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

/* Ids one apart, and what one sent last is acknowledged: the beginning is not needed. */
Test(p2p, utp_in_the_middle)
{
	static const char data[] = "\x01\0\x12\x35\0\0\0\x01\0\0\0\x02\0\x10\0\0\x10\x01\x7a\x11some data";
	static const char state[] = "\x21\0\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\x7a\x12\x10\x01";
	static const char far[] = "\x21\0\x12\x34\0\0\0\x01\0\0\0\x02\0\x10\0\0\x0a\x12\x20\x01";
	static const char stranger[] = "\x21\0\x12\x37\0\0\0\x01\0\0\0\x02\0\x10\0\0\x7a\x12\x10\x01";
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 51413, end_at("198.18", 1, 51413));
	flow_says(&judged, &flow, true, 0, data);
	flow_says(&judged, &flow, true, 1, state); /* of the same end */
	flow_says(&judged, &flow, true, 2, data);
	flow_says(&judged, &flow, false, 0, far);
	flow_says(&judged, &flow, true, 3, data);
	flow_says(&judged, &flow, false, 1, stranger);
	cr_assert_eq(judged_report(&judged)->verdict, P2P_NONE);
	flow_says(&judged, &flow, true, 3, data);
	flow_says(&judged, &flow, false, 2, state);
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

Test(p2p, pieces_in_the_middle)
{
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = connected(&judged, 1, 51413);
	flow.partial = true;
	flow_says(&judged, &flow, true, 0, "\0\0\0\x0d\x06\0\0\0\x07\0\x01\x40\0\0\0\x40\0");
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

/* Inside ranges silence behaviour, and no evidence: local service discovery is multicast. */
Test(p2p, evidence_counts_inside)
{
	struct judged judged;
	struct flow flow;

	judged_open(&judged);
	flow = flow_to(&judged, IPPROTO_UDP, 6771, end_at("239.192", 0, 6771));
	flow_says(&judged, &flow, true, 0, "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\n");
	expect(&judged, P2P_CONFIRMED, FAMILY_BITTORRENT);
}

Test(p2p, other_families)
{
	static const struct {
		enum payload_family family;
		uint8_t transport;
		const char *bytes;
		size_t length;
	} samples[] = {
#define SAMPLE(family, transport, string) {FAMILY_##family, transport, string, sizeof(string) - 1}
		SAMPLE(IPFS, IPPROTO_TCP, "\x13/multistream/1.0.0\n\x07/noise\n"),
		SAMPLE(SYNCTHING, IPPROTO_UDP, "\x2e\xa7\xd9\x0b\x0a\x20" ID20),
		SAMPLE(BLOCKCHAIN, IPPROTO_TCP,
			"\xf9\xbe\xb4\xd9version\0\0\0\0\0\x66\0\0\0\x01\x02\x03\x04\x80\x11\x01\0"),
		SAMPLE(BLOCKCHAIN, IPPROTO_TCP, "\x01\x21\x01\x01\x01\x01\x01\x01\xe2\0\0\0\0\0\0\0\x01\xe9\x03\0\0"),
		SAMPLE(GNUTELLA, IPPROTO_TCP, "GNUTELLA CONNECT/0.6\r\n"),
		SAMPLE(EDONKEY, IPPROTO_TCP,
			"\xe3\x20\0\0\0\x01\x10\x01\x02\x03\x04\x05\x0e\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x6f\x10"
			"\x01\x02\x03\x04\x36\x12\0\0\0\0\x01\x02\x03\x04"),
#undef SAMPLE
	};

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct judged judged;
		struct flow flow;

		judged_open(&judged);
		flow = flow_to(&judged, samples[i].transport, 0, end_at("198.18", 1, 5000));
		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		flow_says_bytes(&judged, &flow, true, 0, samples[i].bytes, samples[i].length);
		expect(&judged, P2P_CONFIRMED, samples[i].family);
	}
}

/* All that has a signature is taken away: the list of peers is tried over both transports, and half of it does not answer. */
static void a_swarm(struct judged *judged, const char *prefix, bool udp)
{
	for (unsigned int i = 0; i < 60; i++) {
		struct event_address peer = end_at(prefix, i, (uint16_t)(1024 + i * 997 % 60000));
		struct flow flow = flow_to(judged, IPPROTO_TCP, 0, peer);

		judged->now_ns += second / 10;
		if (i % 3 == 0)
			flow_becomes(judged, &flow, FLOW_ESTABLISHED);
		else if (i % 3 == 1)
			flow_becomes(judged, &flow, FLOW_REFUSED);
		if (udp) {
			flow = flow_to(judged, IPPROTO_UDP, 51413, peer);
			if (i % 2)
				flow_becomes(judged, &flow, FLOW_OPEN);
		}
	}
	judged->now_ns += 4 * second;
}

Test(p2p, behaviour_alone_is_a_suspicion)
{
	struct judged judged;
	const struct p2p_report *report;

	judged_open(&judged);
	a_swarm(&judged, "198.18", true);
	report = judged_report(&judged);
	cr_assert_lt(report->decided_ns - report->first_ns, 10 * second);
	cr_assert_geq(report->score, 80);
	expect(&judged, P2P_SUSPECTED, FAMILY_OTHER);

	judged_open(&judged);
	a_swarm(&judged, "10.18", true);
	expect(&judged, P2P_NONE, FAMILY_NONE);
}

Test(p2p, the_window_slides)
{
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 60; i++) {
		struct event_address peer = end_at("198.18", i, (uint16_t)(1024 + i * 997 % 60000));
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, peer);

		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		flow = flow_to(&judged, IPPROTO_UDP, 51413, peer);
		judged.now_ns += 30 * second;
	}
	expect(&judged, P2P_NONE, FAMILY_NONE);
}
