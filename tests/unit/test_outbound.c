/* SPDX-License-Identifier: Apache-2.0 */
/* What the outbound detectors find, how often they tell it, and what they remember. */
#include "test_outbound.h"

#define ID20 "abcdefghij0123456789"
#define HANDSHAKE                                                                                                      \
	"\x13"                                                                                                         \
	"BitTorrent protocol\0\0\0\0\0\0\0\0" ID20
#define DHT_QUERY "d1:ad2:id20:" ID20 "9:info_hash20:" ID20 "e1:q9:g"
#define DHT_ANSWER "d1:rd2:id20:" ID20 "e1:t2:aa1:y1:re"
#define STRATUM "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n"

static void expect(struct world *world, enum outbound_rule rule, enum p2p_verdict verdict, const char *text)
{
	const struct found *last = world_last(world, rule);

	cr_assert_not_null(last, "no finding of %s", outbound_rule_name(rule));
	cr_expect_eq(last->verdict, verdict, "%s", last->text);
	cr_expect(strstr(last->text, text) != NULL, "\"%s\" is not in: %s", text, last->text);
}

/* --- peers ---------------------------------------------------------------------------------------------------------------- */

Test(outbound, a_peer_is_told_when_suspected_and_when_confirmed)
{
	struct world *world = world_open();
	struct flow flow;

	world_program(world, "/usr/bin/client");
	outbound_file(world->outbound, &world->who, TEXT_LITERAL("/data/early.torrent"), false, world->now_ns);
	flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 1, 51413), NULL);
	outbound_file(world->outbound, &world->who, TEXT_LITERAL("/usr/lib/libc.so.6"), false, world->now_ns);
	outbound_file(world->outbound, &world->who, TEXT_LITERAL("/data/x.torrent"), false, ++world->now_ns);
	outbound_file(world->outbound, &world->who, TEXT_LITERAL("/data/film.part"), true, ++world->now_ns);
	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	flow_says(world, &flow, true, 0, HANDSHAKE);
	cr_assert_eq(world->found_count, 1);
	expect(world, OUTBOUND_P2P, P2P_SUSPECTED, "bittorrent");
	flow_carries(world, &flow, 5000, 100);
	flow_says(world, &flow, false, 0, HANDSHAKE);
	cr_assert_eq(world->found_count, 2);
	expect(world, OUTBOUND_P2P, P2P_CONFIRMED, "tcp 198.18.0.2:51413");
	cr_assert_str_eq(world->found[1].family, "bittorrent");
	cr_assert_str_eq(world->found[1].files, "w:/data/film.part r:/data/x.torrent r:/data/early.torrent ");
	cr_assert_eq(world->found[1].bytes_out, 5000);
	/* More of it is counted, and told of at the end. */
	for (unsigned int i = 0; i < 7; i++) {
		flow = flow_begin(world, IPPROTO_UDP, end_at("198.18", 10 + i, 6881), NULL);
		flow_says(world, &flow, true, 0, DHT_QUERY);
	}
	cr_assert_eq(world->found_count, 2);
	outbound_forget(world->outbound, world->container_id);
	cr_assert_eq(world->held[OUTBOUND_P2P], 7);
	world_close(world);
}

Test(outbound, it_is_told_again_after_a_day_with_the_count)
{
	struct world *world = world_open();
	struct flow flow;

	for (unsigned int i = 0; i < 12; i++) {
		flow = flow_begin(world, IPPROTO_UDP, end_at("198.18", i, 6881), NULL);
		flow_says(world, &flow, true, 0, DHT_QUERY);
		flow_says(world, &flow, false, 0, DHT_ANSWER);
		world_tick(world, i < 10 ? 3600 * second : 20 * 3600 * second);
	}
	cr_assert_eq(world->found_count, 3, "suspected, confirmed, and again");
	cr_assert_eq(world->found[1].suppressed, 0);
	cr_assert_gt(world->found[2].suppressed, 0);
	cr_assert_eq(world->found[2].verdict, P2P_CONFIRMED);
	world_close(world);
}

/* Only behaviour: no message is known. What was kept before the detector was made counts, too. */
Test(outbound, peers_by_behaviour_and_their_command)
{
	struct world *world = world_open();

	world_execs(world, "/usr/bin/aria2c", "aria2c\0magnet:?xt=urn:btih:0123\0");
	cr_assert_eq(world->found_count, 0, "nothing has been sent yet");
	for (unsigned int i = 0; i < 40; i++) {
		struct event_address peer = end_at("198.18", i, (uint16_t)(10000 + i * 311));
		struct flow flow = flow_begin(world, IPPROTO_TCP, peer, NULL);

		flow_becomes(world, &flow, i % 3 ? FLOW_REFUSED : FLOW_ESTABLISHED);
		flow = flow_begin(world, IPPROTO_UDP, peer, NULL);
		if (i % 3)
			flow_becomes(world, &flow, FLOW_OPEN);
		world_tick(world, second / 5);
	}
	expect(world, OUTBOUND_P2P, P2P_SUSPECTED, "commands with a magnet link");
	cr_assert_leq(world_last(world, OUTBOUND_P2P)->ns, world->start_ns + 10 * second);
	cr_assert_null(world_last(world, OUTBOUND_SCAN), "a search for peers is no scan");
	world_close(world);
}

Test(outbound, hard_evidence_counts_inside)
{
	struct world *world = world_open();
	struct flow flow = flow_begin(world, IPPROTO_TCP, end_at("10.2", 1, 6881), NULL);

	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	flow_says(world, &flow, true, 0, HANDSHAKE);
	flow_says(world, &flow, false, 0, HANDSHAKE);
	expect(world, OUTBOUND_P2P, P2P_CONFIRMED, "bittorrent");
	world_close(world);
}

/* --- miners --------------------------------------------------------------------------------------------------------------- */

Test(outbound, miners)
{
	struct world *world = world_open();
	struct flow flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 1, 3333), NULL);

	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	flow_says(world, &flow, true, 0, STRATUM);
	expect(world, OUTBOUND_MINING, P2P_CONFIRMED, "1 Stratum messages that it sent");
	cr_assert_eq(world->found_count, 1);
	world_close(world);

	world = world_open();
	world_execs(world, "/tmp/x", "x\0-o\0stratum+tcp://pool.example:3333\0-u\0wallet\0");
	cr_assert_eq(world->found_count, 0, "a command alone is not told");
	world_asks(world, "xmr-eu1.nanopool.org", 1, "198.18.7.7");
	expect(world, OUTBOUND_MINING, P2P_CONFIRMED, "xmr-eu1.nanopool.org");
	world_close(world);

	world = world_open();
	world_execs(world, "/opt/xmrig", "/opt/xmrig\0--donate-level\0001\0");
	expect(world, OUTBOUND_MINING, P2P_CONFIRMED, "a program that is a miner");
	world_close(world);
}

Test(outbound, what_is_about_mining_and_does_not_mine)
{
	struct world *world = world_open();
	struct flow flow;

	world_execs(world, "/usr/bin/grep", "grep\0-r\0stratum+tcp://\0/var/log\0");
	world_execs(world, "/usr/bin/curl", "curl\0https://supportxmr.com/\0");
	world_asks(world, "www.supportxmr.com", 1, "198.18.7.7");
	flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 1, 443), "www.supportxmr.com");
	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	world_program(world, "/usr/bin/wallet");
	world_asks(world, "xmr.example.org", 1, "198.18.7.7");
	flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 1, 9999), NULL);
	flow_becomes(world, &flow, FLOW_OPEN);
	flow_says(world, &flow, true, 0, "{\"jsonrpc\":\"2.0\",\"method\":\"eth_subscribe\",\"id\":1}");
	world_expect_nothing(world);
}

/* --- Tor ------------------------------------------------------------------------------------------------------------------ */

static size_t hello(uint8_t bytes[256], const char *name)
{
	size_t length = strlen(name), at = 43;

	memset(bytes, 0, 256);
	bytes[0] = 22;
	bytes[1] = 3;
	bytes[2] = 1;
	bytes[5] = 1;
	bytes[9] = 3;
	bytes[10] = 3;
	bytes[at++] = 0; /* no session */
	bytes[at + 1] = 2;
	at += 4;
	bytes[at++] = 1;
	at++;
	at += 2;
	at += 2; /* the extension is that of type 0 */
	bytes[at + 1] = (uint8_t)(length + 5);
	bytes[at + 3] = (uint8_t)(length + 3);
	bytes[at + 6] = (uint8_t)length;
	memcpy(bytes + at + 7, name, length);
	return at + 7 + length;
}

static void says_hello(struct world *world, struct flow *flow, const char *name)
{
	uint8_t bytes[256];
	struct flow_message message = {.time_ns = world->now_ns, .out = true};

	/* As if the name stood in the first bytes: what is sampled has not so many. */
	message.payload = (struct payload){.bytes = bytes,
		.length = hello(bytes, name),
		.transport = IPPROTO_TCP,
		.from_port = 40000,
		.to_port = 443};
	message.payload.whole = message.payload.length;
	outbound_message(world->outbound, &world->who, flow, &message);
}

Test(outbound, tor)
{
	static const char *const names[] = {"www.q2w3e4rt5.com", "www.ab3cd4ef.net", "www.zz2yy3xx4.com"};
	struct world *world = world_open();
	struct flow flow;

	for (unsigned int i = 0; i < 3; i++) {
		flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", i, i ? 443 : 9001), NULL);
		flow_becomes(world, &flow, FLOW_ESTABLISHED);
		says_hello(world, &flow, names[i]);
	}
	expect(world, OUTBOUND_TOR, P2P_SUSPECTED, "TLS names such as Tor makes up");
	flow = flow_begin(world, IPPROTO_TCP, end_at("193.23", 0, 443), NULL);
	memcpy(flow.remote.bytes, "\xc1\x17\xf4\xf4", 4); /* 193.23.244.244 */
	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	expect(world, OUTBOUND_TOR, P2P_CONFIRMED, "Tor's directory authorities");
	world_close(world);
}

Test(outbound, what_has_names_like_tors)
{
	struct world *world = world_open();
	struct flow flow;

	for (unsigned int i = 0; i < 20; i++) {
		flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", i, 443), "www.24h2.com");
		flow_becomes(world, &flow, FLOW_ESTABLISHED);
		says_hello(world, &flow, "www.24h2.com"); /* it was looked up */
	}
	world_asks(world, "www.torproject.org", 1, "198.18.1.1");
	flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 99, 9001), "minio.example");
	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	world_expect_nothing(world);
}

/* --- scans ---------------------------------------------------------------------------------------------------------------- */

Test(outbound, scans)
{
	struct world *world = world_open();

	for (unsigned int i = 0; i < 300; i++) { /* one port of each, inside */
		struct flow flow = flow_begin(world, IPPROTO_TCP, end_at("10.3", i, 22), NULL);

		if (i % 10 == 0)
			flow_becomes(world, &flow, FLOW_ESTABLISHED);
		world_tick(world, second / 20);
	}
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	expect(world, OUTBOUND_SCAN, P2P_SUSPECTED, "hosts tried on port 22/tcp");
	cr_assert_leq(world->found[0].ns, world->start_ns + 15 * second);
	world_close(world);

	world = world_open();
	world_execs(world, "/usr/bin/nmap", "nmap\000198.18.0.9\0");
	for (unsigned int i = 0; i < 1000; i++) { /* all ports of one */
		struct flow flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 8, (uint16_t)(1 + i)), NULL);

		flow_becomes(world, &flow, FLOW_REFUSED);
	}
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	expect(world, OUTBOUND_SCAN, P2P_CONFIRMED, "ports tried of 198.18.0.9");
	cr_assert_not_null(strstr(world->found[0].text, "a program that scans"));
	world_close(world);

	world = world_open();
	for (unsigned int i = 0; i < 800; i++) { /* many of both */
		flow_begin(world, IPPROTO_TCP, end_at("10.3", i % 40, (uint16_t)(1000 + i / 40)), NULL);
		world_tick(world, second / 50);
	}
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	cr_assert_neq(world_verdict(world, OUTBOUND_SCAN), P2P_NONE);
	world_close(world);
}

/* nmap as root: packets of its own making, by a raw socket, that no flow tells of. */
Test(outbound, a_scan_by_raw_packets)
{
	struct world *world = world_open();
	struct event_address end;

	world_execs(world, "/usr/bin/nmap", "nmap\0-sS\000198.18.0.0/28\0");
	for (unsigned int i = 0; i < 12 * 200; i++) {
		end = end_at("198.18", i % 12, (uint16_t)(1 + i / 12));
		outbound_raw(world->outbound, &world->who, IPPROTO_TCP, &end, world->now_ns);
	}
	world_tick(world, 4 * second);
	world_tick(world, 4 * second);
	expect(world, OUTBOUND_SCAN, P2P_CONFIRMED, "packets that it made itself");
	cr_assert_null(strstr(world->found[0].text, "in vain"), "nobody knows: %s", world->found[0].text);
	cr_assert_eq(world->found_count, 1);
	world_close(world);

	world = world_open(); /* as many, but pings: no ports */
	for (unsigned int i = 0; i < 300; i++) {
		end = end_at("198.18", i, 0);
		outbound_raw(world->outbound, &world->who, IPPROTO_ICMP, &end, world->now_ns);
	}
	end = end_at("198.18", 1, 80); /* and one end, again and again */
	for (unsigned int i = 0; i < 300; i++)
		outbound_raw(world->outbound, &world->who, IPPROTO_TCP, &end, world->now_ns);
	world_expect_nothing(world);
}

/* Who has scanned is named, not who came after it. */
Test(outbound, a_scan_is_its_processs)
{
	struct world *world = world_open();

	world_program(world, "/bin/busybox");
	world->process->pid = 7;
	for (unsigned int i = 0; i < 60; i++) {
		struct flow flow = flow_begin(world, IPPROTO_TCP, end_at("10.3", 8, (uint16_t)(1 + i)), NULL);

		flow_becomes(world, &flow, FLOW_REFUSED);
	}
	world_program(world, "/bin/busybox");
	world->process->pid = 8;
	outbound_exec(world->outbound, &world->who, world->now_ns);
	flow_whole(world, end_at("10.3", 9, 80), NULL, 1, 1);
	for (int i = 0; i < 3; i++)
		world_tick(world, 4 * second);
	expect(world, OUTBOUND_SCAN, P2P_SUSPECTED, "process=busybox[7]");
	world_close(world);
}

/* --- beacons -------------------------------------------------------------------------------------------------------------- */

static unsigned int next_random(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* `jitter`: percent of the interval to both sides. */
static void beats(struct world *world, struct event_address end, const char *name, unsigned int count,
	unsigned int seconds, unsigned int jitter)
{
	unsigned int seed = 7;

	for (unsigned int i = 0; i < count; i++) {
		uint64_t range = seconds * second / 100 * jitter * 2;

		flow_whole(world, end, name, 300 + next_random(&seed) % 20, 500);
		world_tick(world,
			seconds * second - range / 2 + (range ? next_random(&seed) * (second / 1000) % range : 0));
	}
}

Test(outbound, beacons)
{
	struct world *world = world_open();

	beats(world, end_at("198.18", 1, 443), NULL, 100, 60, 0);
	expect(world, OUTBOUND_BEACON, P2P_SUSPECTED, "every 60.0 s as a rule");
	cr_assert_leq(world->found[0].ns, world->start_ns + 3600 * second + 300 * second);
	world_close(world);

	world = world_open(); /* with jitter, on a port of its own */
	beats(world, end_at("198.18", 1, 4444), NULL, 400, 60, 20);
	expect(world, OUTBOUND_BEACON, P2P_SUSPECTED, "port 4444 is not the web's");
	world_close(world);
}

Test(outbound, what_comes_regularly_and_is_no_beacon)
{
	struct world *world = world_open();
	unsigned int seed = 3;

	for (unsigned int i = 0; i < 500; i++) {
		/* The inside: health checks, scrapes, metrics. */
		flow_whole(world, end_at("10.3", 1, 8080), NULL, 300, 100);
		/* A service by its name: metrics, keep-alive polls. */
		flow_whole(world, end_at("198.18", i % 5, 443), "metrics.example", 2000, 100);
		/* Clocks. */
		flow_begin(world, IPPROTO_UDP, end_at("198.18", 9, 123), NULL);
		/* A person, or a queue: whenever there is something to do. */
		if (next_random(&seed) % 7 == 0)
			flow_whole(world, end_at("198.18", 10, 443), NULL, next_random(&seed) % 100000, 100);
		world_tick(world, 30 * second);
	}
	world_expect_nothing(world);
}

/* --- tunnels in DNS ------------------------------------------------------------------------------------------------------- */

static void random_label(char *to, size_t length, unsigned int *seed)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

	for (size_t i = 0; i < length; i++)
		to[i] = letters[next_random(seed) % 32];
	to[length] = '\0';
}

Test(outbound, tunnels_in_dns)
{
	struct world *world = world_open();
	char label[64], other[64], name[200];
	unsigned int seed = 1;

	for (unsigned int i = 0; i < 400; i++) {
		random_label(label, 60, &seed);
		random_label(other, 30, &seed);
		snprintf(name, sizeof(name), "%s.%s.t.evil.example", label, other);
		world_asks(world, name, 16, NULL);
		world_tick(world, second / 10);
	}
	expect(world, OUTBOUND_TUNNEL, P2P_CONFIRMED, "different names below evil.example");
	cr_assert_leq(world->found_count, 2);
	world_close(world);
}

Test(outbound, long_names_that_are_no_tunnel)
{
	struct world *world = world_open();
	char label[64], name[200];
	unsigned int seed = 1;

	for (unsigned int i = 0; i < 1000; i++) {
		random_label(label, 14, &seed);
		snprintf(name, sizeof(name), "d%s.cloudfront.net", label); /* a network that delivers contents */
		world_asks(world, name, 1, "198.18.1.1");
		snprintf(name, sizeof(name), "%s.cdn.example", label);
		world_asks(world, name, 1, "198.18.1.1");
		random_label(label, 50, &seed);
		snprintf(name, sizeof(name), "%s.reputation.example", label); /* is this file bad? */
		world_asks(world, name, 1, "127.0.0.2");
		snprintf(name, sizeof(name), "%u.%u.18.198.list.example", i % 250,
			i / 250); /* a mail server asks lists, */
		world_asks(world, name, 1, i % 9 ? NULL : "127.0.0.4");
		snprintf(name, sizeof(name), "%u.%u.18.198.in-addr.arpa", i % 250, i / 250); /* names of its peers, */
		world_asks(world, name, 12, NULL);
		snprintf(name, sizeof(name), "selector-2026-long-one._domainkey.sender%u.example", i); /* and keys */
		world_asks(world, name, 16, NULL);
		snprintf(name, sizeof(name), "very-long-name-of-a-service-%u.some-namespace.svc.cluster.local", i);
		world_asks(world, name, 1, NULL);
		world_tick(world, second / 2);
	}
	world_expect_nothing(world);
}

/* Who asks for others is none of them. */
Test(outbound, a_resolver_asks_for_its_clients)
{
	struct world *world = world_open();
	char label[64], name[200];
	unsigned int seed = 1;
	struct flow flow = {.inbound = true,
		.transport = IPPROTO_UDP,
		.local = end_at("10.1", 1, 53),
		.remote = end_at("10.1", 9, 40000)};

	outbound_flow(world->outbound, &world->who, &flow, world->now_ns);
	flow_says(world, &flow, false, 0, "\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01x\x04test\0\0\x01\0\x01");
	flow_says(world, &flow, true, 0, "\x12\x34\x81\0\0\x01\0\0\0\0\0\0\x01x\x04test\0\0\x01\0\x01");
	for (unsigned int i = 0; i < 400; i++) {
		random_label(label, 60, &seed);
		snprintf(name, sizeof(name), "%s.t.evil.example", label);
		world_asks(world, name, 16, NULL);
		world_asks(world, "xmr.nanopool.org", 1, NULL);
	}
	world_expect_nothing(world);
}

/* --- egress --------------------------------------------------------------------------------------------------------------- */

#define MIB (1024ull * 1024)

static void ordinary_day(struct world *world, unsigned int windows)
{
	for (unsigned int i = 0; i < windows; i++) {
		flow_whole(world, end_at("198.18", i % 7, 443), "api.example", (20 + i % 5) * MIB, MIB);
		world_tick(world, 600 * second);
	}
}

Test(outbound, unusual_egress)
{
	struct world *world = world_open();
	struct flow flow;

	ordinary_day(world, 144);
	cr_assert_eq(world->found_count, 0);
	flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 99, 443), NULL);
	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	outbound_file(world->outbound, &world->who, TEXT_LITERAL("/var/lib/db/customers.sql"), false, world->now_ns);
	for (unsigned int i = 0; i < 40; i++) {
		flow_carries(world, &flow, 32 * MIB, 1000);
		world_tick(world, second);
	}
	cr_assert_eq(world->found_count, 1);
	expect(world, OUTBOUND_EGRESS, P2P_SUSPECTED, "usual are 2");
	cr_assert(strstr(world->found[0].files, "r:/var/lib/db/customers.sql"));
	world_close(world);
}

/* The first night is told, for nobody knows better; the nights after it are usual. */
Test(outbound, a_backup_each_night)
{
	struct world *world = world_open();

	for (unsigned int night = 0; night < 5; night++) {
		ordinary_day(world, 144);
		for (unsigned int i = 0; i < 60; i++) {
			flow_whole(world, end_at("198.18", 99, 443), "backup.example", 200 * MIB, MIB);
			world_tick(world, 10 * second);
		}
		cr_assert_eq(world->found_count, 1, "night %u", night);
	}
	world_close(world);
}

Test(outbound, who_sends_much_to_the_inside)
{
	struct world *world = world_open();

	ordinary_day(world, 40);
	for (unsigned int i = 0; i < 60; i++) {
		flow_whole(world, end_at("10.2", 1, 9000), NULL, 1024 * MIB, MIB);
		world_tick(world, 10 * second);
	}
	world_expect_nothing(world);
}

/* --- what is remembered --------------------------------------------------------------------------------------------------- */

Test(outbound, memory_is_bounded)
{
	struct world *world = calloc(1, sizeof(*world));
	struct outbound_counters counters;
	char paths[100][16];

	cr_assert_not_null(world);
	outbound_settings_default(&world->settings);
	world->settings.values[OUTBOUND_SET_ACTIVE] = 8;
	world->settings.values[OUTBOUND_SET_IDLE] = 16;
	world->settings.values[OUTBOUND_SET_DETECTORS] = 4;
	world_open_set(world);
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/bin/x%u", i);
		world_program(world, paths[i]);
		outbound_exec(world->outbound, &world->who, world->now_ns);
		if (i % 2)
			for (unsigned int j = 0; j < 30; j++)
				flow_begin(world, IPPROTO_TCP, end_at("198.18", j, (uint16_t)(5000 + 13 * j)), NULL);
	}
	outbound_counters(world->outbound, &counters);
	cr_assert_eq(counters.active, 8);
	cr_assert_eq(counters.idle, 15, "the last one that came made room for itself");
	cr_assert_eq(counters.detectors, 4);
	cr_assert_eq(counters.active_pushed_out, 50 - 8);
	cr_assert_eq(counters.idle_pushed_out, 50 - 15);
	cr_assert_eq(counters.detectors_pushed_out, 50 - 4);
	cr_assert_eq(world->references, 2 * 8 + 15, "of active ones also who opens most flows");
	outbound_forget(world->outbound, world->container_id);
	outbound_counters(world->outbound, &counters);
	cr_assert_eq(counters.active + counters.idle + counters.detectors, 0);
	world_close(world);
}

Test(outbound, programs_of_containers_are_told_apart)
{
	struct world *world = world_open();
	struct flow flow = flow_begin(world, IPPROTO_TCP, end_at("198.18", 1, 6881), NULL);

	flow_becomes(world, &flow, FLOW_ESTABLISHED);
	flow_says(world, &flow, true, 0, HANDSHAKE);
	memset(world->container_id, 8, sizeof(world->container_id));
	flow.notes = (struct flow_notes){0};
	flow_says(world, &flow, true, 0, HANDSHAKE);
	cr_assert_eq(world->found_count, 2, "each is suspected by itself");
	world->who.container_id = NULL;
	flow.notes = (struct flow_notes){0};
	flow_says(world, &flow, true, 0, HANDSHAKE);
	cr_assert_eq(world->found_count, 3);
	world_close(world);
}

Test(outbound, a_workload_may)
{
	struct event_label label = {TEXT_STATIC("taffrail.io/allow"), TEXT_STATIC("scan, p2p")};
	struct event_container container = {.annotations = &label, .annotation_count = 1};

	cr_assert(outbound_is_allowed(&container, OUTBOUND_P2P));
	cr_assert(outbound_is_allowed(&container, OUTBOUND_SCAN));
	cr_assert_not(outbound_is_allowed(&container, OUTBOUND_TOR));
	container = (struct event_container){.labels = &label, .label_count = 1};
	label.value = TEXT_LITERAL("dns_tunnel.egress");
	cr_assert(outbound_is_allowed(&container, OUTBOUND_TUNNEL));
	cr_assert_not(outbound_is_allowed(&container, OUTBOUND_P2P));
	label.value = TEXT_LITERAL("all");
	cr_assert(outbound_is_allowed(&container, OUTBOUND_MINING));
	label.value = TEXT_LITERAL("p2");
	cr_assert_not(outbound_is_allowed(&container, OUTBOUND_P2P));
	cr_assert_not(outbound_is_allowed(NULL, OUTBOUND_P2P));
}
