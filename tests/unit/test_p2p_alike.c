/* SPDX-License-Identifier: Apache-2.0 */
/* What looks like peers, in one way or another, and is not called so. */
#include "test_p2p.h"

static void expect_none(struct judged *judged)
{
	const struct p2p_report *report = judged_report(judged);

	cr_expect_eq(report->verdict, P2P_NONE, "%s, score %u", p2p_verdict_name(report->verdict), report->score);
	cr_expect_eq(report->family, FAMILY_NONE);
	cr_expect_leq(report->score, 45);
	p2p_close(judged->p2p);
}

/* Members on one port, over TCP and UDP, without names, from one socket; a third of them is gone. */
static void gossip(struct judged *judged, bool clear)
{
	judged_open(judged);
	for (unsigned int i = 0; i < 300; i++) {
		struct event_address member = end_at("198.18", i % 60, 7946);
		struct flow flow = flow_to(judged, IPPROTO_UDP, 7946, member);

		judged->now_ns += second / 5;
		if (clear)
			flow_says(judged, &flow, true, 0, "\0\x82\xa4Node\xa2n1\xa5SeqNo\x01");
		if (i % 3)
			flow_becomes(judged, &flow, FLOW_OPEN);
		flow = flow_to(judged, IPPROTO_TCP, 0, member);
		flow_becomes(judged, &flow, i % 3 ? FLOW_ESTABLISHED : FLOW_TIMED_OUT);
	}
}

Test(p2p_alike, serf)
{
	struct judged judged;

	gossip(&judged, true);
	expect_none(&judged);
	gossip(&judged, false);
	expect_none(&judged);
}

Test(p2p_alike, a_crawler_of_300_hosts)
{
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 300; i++) {
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i, i % 4 ? 443 : 80));

		judged.now_ns += second / 10;
		flow_becomes(&judged, &flow, i % 3 ? FLOW_ESTABLISHED : FLOW_TIMED_OUT);
		if (i % 3)
			flow_says(&judged, &flow, true, 0, "GET /announcements/ HTTP/1.1\r\nHost: tracker.example\r\n");
		flow = flow_to(&judged, IPPROTO_UDP, 0, end_at("198.18", i, 443));
		flow_becomes(&judged, &flow, FLOW_OPEN);
	}
	expect_none(&judged);
}

/* It asks on behalf of others, also for what peers ask for. */
Test(p2p_alike, a_resolver)
{
	static const char question[] = "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06"
				       "router\x0A"
				       "bittorrent\x03"
				       "com\0\0\x01\0\x01";
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 300; i++) {
		struct flow flow = flow_to(&judged, IPPROTO_UDP, 0, end_at("198.18", i, 53));

		judged.now_ns += second / 20;
		flow_says(&judged, &flow, true, 0, question);
		if (i % 10)
			flow_becomes(&judged, &flow, FLOW_OPEN);
		if (i % 7 == 0) {
			flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i, 53));
			flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		}
	}
	expect_none(&judged);
}

static void scan(struct judged *judged, unsigned int hosts, unsigned int ports, bool both)
{
	judged_open(judged);
	for (unsigned int i = 0; i < hosts; i++)
		for (unsigned int j = 0; j < ports; j++) {
			struct event_address target =
				end_at("198.18", i, (uint16_t)(1024 + (i * ports + j) * 61 % 60000));
			struct flow flow = flow_to(judged, IPPROTO_TCP, 0, target);

			judged->now_ns += second / 100;
			flow_becomes(judged, &flow, (i + j) % 50 == 7 ? FLOW_ESTABLISHED : FLOW_REFUSED);
			if (both)
				flow_to(judged, IPPROTO_UDP, 40000, target);
		}
	judged->now_ns += 4 * second;
}

Test(p2p_alike, scanners)
{
	struct judged judged;

	scan(&judged, 1, 1000, false); /* one host, all its ports */
	expect_none(&judged);
	scan(&judged, 1000, 1, false); /* each host at another port, and few answer */
	expect_none(&judged);
	scan(&judged, 40, 20, true); /* many of both, over both transports */
	expect_none(&judged);
	judged_open(&judged);
	for (unsigned int i = 0; i < 1000; i++) { /* one port of each */
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i, 8333));

		flow_becomes(&judged, &flow, i % 10 ? FLOW_REFUSED : FLOW_ESTABLISHED);
		judged.now_ns += second / 100;
	}
	expect_none(&judged);
}

/* One socket, many candidates on ports of their own: each begins with STUN. */
Test(p2p_alike, webrtc)
{
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 60; i++) {
		struct event_address peer = end_at("198.18", i, (uint16_t)(10000 + i * 311));
		struct flow flow = flow_to(&judged, IPPROTO_UDP, 50000, peer);

		flow_says(&judged, &flow, true, 0,
			"\0\x01\0\0\x21\x12\xa4\x42"
			"0123456789ab");
		if (i % 2)
			flow_says(&judged, &flow, false, 0,
				"\x01\x01\0\0\x21\x12\xa4\x42"
				"0123456789ab");
		flow_becomes(&judged, &flow, FLOW_OPEN);
		judged.now_ns += second / 10;
	}
	expect_none(&judged);
}

Test(p2p_alike, a_mail_server)
{
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 120; i++) {
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i, 25));

		flow_becomes(&judged, &flow, i % 5 < 3 ? FLOW_TIMED_OUT : FLOW_ESTABLISHED);
		flow = flow_to(&judged, IPPROTO_TCP, 25, end_at("203.0", i, (uint16_t)(30000 + i)));
		flow.inbound = true;
		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		judged.now_ns += second / 4;
	}
	expect_none(&judged);
}

Test(p2p_alike, prometheus_with_200_targets)
{
	static const uint16_t ports[] = {9100, 9090, 8080, 9256, 9187, 9121, 10250};
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 800; i++) {
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i % 200, ports[i % 200 % 7]));

		flow_becomes(&judged, &flow, i % 9 ? FLOW_ESTABLISHED : FLOW_REFUSED);
		flow_says(&judged, &flow, true, 0, "GET /metrics HTTP/1.1\r\n");
		judged.now_ns += second / 13;
	}
	expect_none(&judged);
}

Test(p2p_alike, a_ring_of_cassandra_in_private_space)
{
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 200; i++) {
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("10.20", i, (uint16_t)(7000 + i * 37)));

		flow_becomes(&judged, &flow, i % 2 ? FLOW_ESTABLISHED : FLOW_REFUSED);
		flow = flow_to(&judged, IPPROTO_UDP, 7000, flow.remote);
		flow = flow_to(&judged, IPPROTO_TCP, 7000, end_at("10.20", i, 40000));
		flow.inbound = true;
		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		judged.now_ns += second / 10;
	}
	expect_none(&judged);
}

Test(p2p_alike, downloads_and_git)
{
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 40; i++) {
		struct flow flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i % 6, i % 2 ? 80 : 443));

		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		flow_says(&judged, &flow, true, 0,
			"GET /pool/main/t/transmission/transmission-cli_3.00.deb HTTP/1.1\r\n");
		flow = flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", 7, i % 2 ? 9418 : 22));
		flow_becomes(&judged, &flow, FLOW_ESTABLISHED);
		flow_says(&judged, &flow, true, 0, "0039git-upload-pack /bittorrent.git\0host=git.example\0");
	}
	expect_none(&judged);
}

/* A hub whose partners sit behind translators of addresses: one socket, many hosts, each on another port. */
Test(p2p_alike, wireguard)
{
	static const char data[32] = "\x04\0\0\0";
	struct judged judged;

	judged_open(&judged);
	for (unsigned int i = 0; i < 100; i++) {
		struct flow flow =
			flow_to(&judged, IPPROTO_UDP, 51820, end_at("198.18", i, (uint16_t)(1024 + i * 601 % 60000)));

		flow_becomes(&judged, &flow, FLOW_OPEN);
		flow_says_bytes(&judged, &flow, true, 0, data, sizeof(data));
		judged.now_ns += second / 10;
	}
	expect_none(&judged);
}

/* It is peer to peer, and it is not BitTorrent, whatever else it does. */
Test(p2p_alike, a_node_of_a_block_chain)
{
	struct judged judged;
	const struct p2p_report *report;

	judged_open(&judged);
	for (unsigned int i = 0; i < 60; i++) {
		struct flow flow =
			flow_to(&judged, IPPROTO_TCP, 0, end_at("198.18", i, i % 4 ? 18080 : (uint16_t)(20000 + i)));

		flow_becomes(&judged, &flow, i % 2 ? FLOW_ESTABLISHED : FLOW_TIMED_OUT);
		if (i % 2)
			flow_says(&judged, &flow, true, 0,
				"\x01\x21\x01\x01\x01\x01\x01\x01\xe2\0\0\0\0\0\0\0\x01\xe9\x03\0\0");
		judged.now_ns += second / 10;
	}
	report = judged_report(&judged);
	cr_assert_eq(report->verdict, P2P_CONFIRMED);
	cr_assert_eq(report->family, FAMILY_BLOCKCHAIN);
	p2p_close(judged.p2p);
}
