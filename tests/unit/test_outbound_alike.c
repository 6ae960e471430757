/* SPDX-License-Identifier: Apache-2.0 */
/* What looks like a bad deed of one kind or another, and is none: of each nothing is told. */
#include "test_outbound.h"

static struct flow answered(struct world *world, struct event_address remote, const char *name, bool answer)
{
	struct flow flow = flow_begin(world, IPPROTO_TCP, remote, name);

	flow_becomes(world, &flow, answer ? FLOW_ESTABLISHED : FLOW_TIMED_OUT);
	return flow;
}

Test(outbound_alike, a_cluster_that_gossips)
{
	struct world *world = world_open();

	for (unsigned int i = 0; i < 600; i++) {
		struct event_address member = end_at(i % 2 ? "198.18" : "10.5", i % 60, 7946);
		struct flow flow = flow_begin(world, IPPROTO_UDP, member, NULL);

		flow_says(world, &flow, true, 0, "\0\x82\xa4Node\xa2n1\xa5SeqNo\x01");
		if (i % 3)
			flow_becomes(world, &flow, FLOW_OPEN);
		answered(world, member, NULL, i % 3);
		world_tick(world, second / 5);
	}
	world_expect_nothing(world);
}

Test(outbound_alike, a_crawler_of_300_hosts)
{
	struct world *world = world_open();
	char name[32];

	for (unsigned int i = 0; i < 300; i++) {
		struct flow flow;

		snprintf(name, sizeof(name), "host%u.example", i);
		world_asks(world, name, 1, "198.18.0.1");
		flow = answered(world, end_at("198.18", i, i % 4 ? 443 : 80), name, i % 3);
		if (i % 3)
			flow_says(world, &flow, true, 0, "GET /tracker/ HTTP/1.1\r\nHost: tracker.example\r\n");
		flow_carries(world, &flow, 2000, 1 << 20);
		world_tick(world, second / 10);
	}
	world_expect_nothing(world);
}

Test(outbound_alike, a_resolver_that_walks_the_tree)
{
	static const char question[] = "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x06"
				       "router\x0a"
				       "bittorrent\x03"
				       "com\0\0\x01\0\x01";
	struct world *world = world_open();
	struct flow flow = {.inbound = true,
		.transport = IPPROTO_UDP,
		.local = end_at("10.1", 1, 53),
		.remote = end_at("10.1", 9, 40000)};

	outbound_flow(world->outbound, &world->who, &flow, world->now_ns);
	flow_says(world, &flow, true, 0, "\x12\x34\x81\0\0\x01\0\0\0\0\0\0\x01x\x04test\0\0\x01\0\x01");
	for (unsigned int i = 0; i < 300; i++) {
		flow = flow_begin(world, IPPROTO_UDP, end_at("198.18", i, 53), NULL);
		flow_says(world, &flow, true, 0, question);
		if (i % 10)
			flow_becomes(world, &flow, FLOW_OPEN);
		world_tick(world, second / 20);
	}
	world_expect_nothing(world);
}

Test(outbound_alike, webrtc)
{
	struct world *world = world_open();

	for (unsigned int i = 0; i < 60; i++) {
		struct flow flow =
			flow_begin(world, IPPROTO_UDP, end_at("198.18", i, (uint16_t)(10000 + i * 311)), NULL);

		flow_says(world, &flow, true, 0,
			"\0\x01\0\0\x21\x12\xa4\x42"
			"0123456789ab");
		if (i % 2)
			flow_becomes(world, &flow, FLOW_OPEN);
		world_tick(world, second / 10);
	}
	world_expect_nothing(world);
}

/* Many servers of others, many of which do not answer: by their names. Lists of senders are asked of each. */
Test(outbound_alike, a_mail_server)
{
	struct world *world = world_open();
	char name[64];

	for (unsigned int i = 0; i < 400; i++) {
		struct flow flow;

		snprintf(name, sizeof(name), "mx.domain%u.example", i);
		world_asks(world, name, 1, "198.18.0.1");
		answered(world, end_at("198.18", i, 25), name, i % 5 > 2);
		flow = (struct flow){.inbound = true,
			.transport = IPPROTO_TCP,
			.state = FLOW_ESTABLISHED,
			.local = end_at("10.1", 1, 25),
			.remote = end_at("203.0", i, (uint16_t)(30000 + i))};
		outbound_flow(world->outbound, &world->who, &flow, world->now_ns);
		snprintf(name, sizeof(name), "%u.%u.0.203.zen.list.example", i % 250, i / 250);
		world_asks(world, name, 1, i % 4 ? NULL : "127.0.0.2");
		snprintf(name, sizeof(name), "_dmarc.domain%u.example", i);
		world_asks(world, name, 16, NULL);
		world_tick(world, second / 4);
	}
	world_expect_nothing(world);
}

/* 200 targets every 15 seconds for hours, some of them gone: inside, and at addresses outside. */
Test(outbound_alike, prometheus_with_200_targets)
{
	static const uint16_t ports[] = {9100, 9090, 8080, 9256, 9187, 9121, 10250};
	struct world *world = world_open();

	for (unsigned int i = 0; i < 200 * 100; i++) {
		struct flow flow = answered(
			world, end_at(i % 2 ? "10.6" : "198.18", i % 200, ports[i % 200 % 7]), NULL, i % 200 % 9);

		flow_says(world, &flow, true, 0, "GET /metrics HTTP/1.1\r\n");
		flow_carries(world, &flow, 300, 50000);
		world_tick(world, 15 * second / 200);
	}
	world_expect_nothing(world);
}

Test(outbound_alike, a_ring_of_cassandra_in_private_space)
{
	struct world *world = world_open();

	for (unsigned int i = 0; i < 200; i++) {
		answered(world, end_at("10.20", i, (uint16_t)(7000 + i * 37)), NULL, i % 2);
		flow_begin(world, IPPROTO_UDP, end_at("10.20", i, (uint16_t)(7000 + i * 37)), NULL);
		world_tick(world, second / 10);
	}
	world_expect_nothing(world);
}

Test(outbound_alike, downloads_and_git)
{
	struct world *world = world_open();

	world_execs(world, "/usr/bin/git", "git\0clone\0https://git.example/bittorrent.git\0");
	for (unsigned int i = 0; i < 200; i++) {
		struct flow flow = answered(world, end_at("198.18", i % 6, i % 2 ? 80 : 443), "deb.example", true);

		flow_says(
			world, &flow, true, 0, "GET /pool/main/t/transmission/transmission-cli_3.00.deb HTTP/1.1\r\n");
		flow_carries(world, &flow, 400, 64 << 20);
		flow = answered(world, end_at("198.18", 7, i % 2 ? 9418 : 22), "git.example", true);
		flow_says(world, &flow, true, 0, "0039git-upload-pack /bittorrent.git\0host=git.example\0");
		world_tick(world, second);
	}
	world_expect_nothing(world);
}

/* A node of a block chain is one of peers, and neither BitTorrent, nor a miner, nor a scan. */
Test(outbound_alike, a_node_of_a_block_chain)
{
	struct world *world = world_open();

	world_execs(world, "/usr/bin/monerod", "monerod\0");
	for (unsigned int i = 0; i < 400; i++) {
		struct flow flow =
			answered(world, end_at("198.18", i, i % 4 ? 18080 : (uint16_t)(20000 + i)), NULL, i % 5 == 0);

		if (i % 5 == 0)
			flow_says(world, &flow, true, 0,
				"\x01\x21\x01\x01\x01\x01\x01\x01\xe2\0\0\0\0\0\0\0\x01\xe9\x03\0\0");
		world_tick(world, second / 10);
	}
	world_tick(world, 4 * second);
	cr_assert_eq(world_verdict(world, OUTBOUND_P2P), P2P_CONFIRMED);
	for (size_t i = 0; i < world->found_count; i++) {
		cr_expect_eq(world->found[i].rule, OUTBOUND_P2P, "%s", world->found[i].text);
		cr_expect_str_eq(world->found[i].family, "blockchain");
	}
	world_close(world);
}

/* A deployment comes back: each of its clients tries all of it until it is there. */
Test(outbound_alike, a_service_that_is_restarted)
{
	struct world *world = world_open();

	for (unsigned int i = 0; i < 2000; i++) {
		answered(world, end_at("10.7", i % 30, 8080), "shop.example", i > 1000);
		answered(world, end_at("10.8", 1, 6379), NULL, i > 1000);
		world_tick(world, second / 20);
	}
	world_expect_nothing(world);
}

/* Active FTP and its like: many ports of one host, and all of them answer. */
Test(outbound_alike, many_ports_that_answer)
{
	struct world *world = world_open();

	for (unsigned int i = 0; i < 400; i++) {
		answered(world, end_at("198.18", 1, (uint16_t)(40000 + i)), NULL, true);
		world_tick(world, second / 5);
	}
	world_expect_nothing(world);
}

/* Another port for each probe, and nobody there: that is how routes are traced. A scan has other ports. */
Test(outbound_alike, routes_that_are_traced)
{
	static const struct {
		uint16_t first, count;
		bool raw;
	} tracers[] = {{33434, 90, false}, {44444, 90, false}, {33000, 1000, true}};
	struct world *world;

	for (size_t each = 0; each < sizeof(tracers) / sizeof(tracers[0]); each++) {
		world = world_open();
		for (unsigned int i = 0; i < tracers[each].count; i++) {
			struct event_address end = end_at("198.18", 8, (uint16_t)(tracers[each].first + i));

			if (tracers[each].raw)
				outbound_raw(world->outbound, &world->who, IPPROTO_UDP, &end, world->now_ns);
			else
				flow_begin(world, IPPROTO_UDP, end, NULL);
			world_tick(world, second / 20);
		}
		world_expect_nothing(world);
	}
	world = world_open();
	for (unsigned int i = 0; i < 200; i++)
		flow_begin(world, IPPROTO_UDP, end_at("198.18", 8, (uint16_t)(1000 + i)), NULL);
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	cr_assert_eq(world_verdict(world, OUTBOUND_SCAN), P2P_CONFIRMED);
	world_close(world);
}
