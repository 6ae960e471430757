/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that hold on to what is the server's: a stream beside them goes on. */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "test_grpc.h"
#include "test_tls.h"

static struct world world;

/* The rest of a message does not come: its stream ends, its connection and its other stream go on. */
Test(grpc_limits, a_message_has_a_limit_of_time)
{
	struct grpc_server_options options = world_server_options(&world);
	struct grpc_server_counters counters;
	static const uint8_t begun[] = {0, 0, 0, 1, 0, 'x'};
	uint64_t start;
	int fd;

	options.message_timeout_ms = 200;
	world_serve(&world, "unix", &options);
	fd = raw_connect(&world);
	raw_hello(fd);
	raw_headers(fd, 1, 0, RAW_REQUEST("/t.T/Sink"));
	raw_headers(fd, 3, 0, RAW_REQUEST("/t.T/Sink"));
	raw_frame(fd, RAW_DATA, 0, 1, begun, sizeof(begun));
	start = test_now_ms();
	while (world.served.closed == 0) {
		cr_assert_lt(test_now_ms() - start, 3000);
		raw_frame(fd, RAW_DATA, 0, 1, "t", 1);
		raw_frame(fd, RAW_DATA, 0, 3, "\0\0\0\0\1m", 6);
		world_for(&world, 20);
	}
	cr_expect_geq(test_now_ms() - start, 190);
	cr_expect_eq(world.served.status, GRPC_DEADLINE_EXCEEDED);
	cr_expect(strstr(world.trouble, "a message was not finished in time"), "%s", world.trouble);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.streams_faulted, 1);
	size_t before = world.served.messages;
	raw_frame(fd, RAW_DATA, 0, 3, "\0\0\0\0\1m", 6);
	world_until(&world, world.served.messages == before + 1);
	close(fd);
	world_until(&world, world.served.closed == 2);
	world_close(&world);
}

/* Where we do not take what came before, the peer is not to blame. */
Test(grpc_limits, a_message_that_waits_for_our_window_has_its_time)
{
	struct grpc_server_options options = world_server_options(&world);
	static const uint8_t begun[] = {0, 0, 0, 0, 4, 'x'};
	int fd;

	options.message_timeout_ms = 100;
	world_serve(&world, "unix", &options);
	fd = raw_connect(&world);
	raw_hello(fd);
	raw_headers(fd, 1, 0, RAW_REQUEST("/t.T/Manual"));
	raw_frame(fd, RAW_DATA, 0, 1, "\0\0\0\0\1m", 6);
	raw_frame(fd, RAW_DATA, 0, 1, begun, sizeof(begun));
	world_until(&world, world.served.messages == 1);
	world_for(&world, 400);
	cr_expect_eq(world.served.closed, 0);
	grpc_stream_consume(world.served.stream, 1);
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.served.status, GRPC_DEADLINE_EXCEEDED);
	close(fd);
	world_close(&world);
}

/* Each is one in a counter, is said with its name, and ends alone: the call beside it goes on. */
Test(grpc_limits, what_is_no_http_ends_its_own_connection)
{
	static const struct {
		const char *bytes;
		size_t length;
	} said[] = {
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 26},
		{RAW_PREFACE "\xff\xff\xff\4\0\0\0\0\0", 33},               /* a frame of 16 MiB */
		{RAW_PREFACE "\0\0\4\0\0\0\0\0\0abcd", 37},                 /* DATA of no stream */
		{RAW_PREFACE "\0\0\0\4\0\0\0\0\0\0\0\4\3\0\0\0\1abcd", 46}, /* RST_STREAM of one that never was */
		{RAW_PREFACE "\0\0\0\4\0\0\0\0\0\0\0\4\1\4\0\0\0\1\xff\xff\xff\xff", 46}, /* no HPACK */
	};
	struct grpc_server_counters counters;
	int beside, fd;

	world_serve(&world, "unix", NULL);
	beside = raw_connect(&world);
	raw_hello(beside);
	raw_headers(beside, 1, 0, RAW_REQUEST("/t.T/Sink"));
	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		world.trouble[0] = '\0';
		fd = raw_connect(&world);
		raw_send(fd, said[i].bytes, said[i].length);
		world_until(&world, raw_is_closed(fd));
		close(fd);
		cr_expect(world.trouble[0], "%zu is said", i);
		grpc_server_counters(world.server, &counters);
		cr_expect_eq(
			counters.protocol_errors, i + 1, "%zu: %llu", i, (unsigned long long)counters.protocol_errors);
		raw_frame(beside, RAW_DATA, 0, 1, "\0\0\0\0\1m", 6);
		world_until(&world, world.served.messages == i + 1);
	}
	close(beside);
	world_until(&world, world.served.closed == 1);
	world_close(&world);
}

/* However many come at once: between each few of them everybody else gets a turn. */
Test(grpc_limits, a_crowd_is_let_in_a_few_at_a_time)
{
	struct grpc_server_options options = world_server_options(&world);
	struct grpc_server_counters before = {0}, now;
	struct papers papers;
	int peers[60];

	papers_open(&papers);
	options.tls = papers_load(&papers, "ca.pem", "server");
	world_serve(&world, "tcp", &options);
	for (int i = 0; i < 60; i++) {
		peers[i] = raw_connect(&world);
		raw_send(peers[i], "\x16\3\1\2", 4);
	}
	for (int turns = 0; before.connections_open < 60; turns++) {
		cr_assert_lt(turns, 1000);
		event_base_loop(world.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		grpc_server_counters(world.server, &now);
		cr_assert_leq(now.connections_open, before.connections_open + 4, "in one turn");
		before = now;
	}
	cr_expect_eq(now.connections_waiting, 0);
	for (int i = 0; i < 60; i++)
		close(peers[i]);
	world_close(&world);
	grpc_tls_close((struct grpc_tls *)options.tls);
	papers_close(&papers);
}

/* --- the memory of all unfinished messages --------------------------------------------------------------------------- */

#define LIMIT (1U << 20)
#define PIECE (16U << 10)
#define PEERS 24

/* A peer with a call of /t.T/Sink, and a message of it that comes piece by piece. */
struct teller {
	int fd;
	size_t whole, sent;
};

static void teller_open(struct teller *teller, size_t whole)
{
	int opened = world.served.opened;

	*teller = (struct teller){.fd = raw_connect(&world), .whole = whole};
	raw_hello(teller->fd);
	raw_headers(teller->fd, 1, 0, RAW_REQUEST("/t.T/Sink"));
	world_until(&world, world.served.opened == opened + 1);
	raw_frame(teller->fd, RAW_SETTINGS, 1, 0, NULL, 0); /* seen: only now its windows are as large as it was told */
}

/* Up to `until` bytes of the message; where the server does not read, less. */
static void teller_send(struct teller *teller, size_t until)
{
	static const uint8_t zeros[PIECE];
	const size_t whole = teller->whole;
	const uint8_t prefix[] = {
		0, (uint8_t)(whole >> 24), (uint8_t)(whole >> 16), (uint8_t)(whole >> 8), (uint8_t)whole};
	int waiting;

	while (teller->sent < until) {
		size_t piece = until - teller->sent < PIECE ? until - teller->sent : PIECE;

		if (ioctl(teller->fd, SIOCOUTQ, &waiting) < 0 || waiting > (int)(2 * PIECE))
			break;
		if (teller->sent == 0)
			raw_frame(teller->fd, RAW_DATA, 0, 1, prefix, sizeof(prefix));
		raw_frame(teller->fd, RAW_DATA, 0, 1, zeros, piece);
		teller->sent += piece;
	}
	world_turn(&world);
}

static void tellers_close(struct teller *tellers, int count)
{
	for (int i = 0; i < count; i++)
		close(tellers[i].fd);
	world_until(&world, world.served.closed == world.served.opened);
}

static struct grpc_server_counters counted(void)
{
	struct grpc_server_counters counters;

	grpc_server_counters(world.server, &counters);
	return counters;
}

static void serve_limited(uint32_t message_timeout_ms)
{
	struct grpc_server_options options = world_server_options(&world);

	options.max_unfinished_bytes = LIMIT;
	options.message_timeout_ms = message_timeout_ms;
	world_serve(&world, "unix", &options);
}

/* It is what is allocated that counts, and nothing is once a message is whole, or its peer gone. */
Test(grpc_limits, unfinished_messages_are_counted_as_what_they_take)
{
	struct teller tellers[8];

	serve_limited(0);
	for (int i = 0; i < 8; i++) {
		teller_open(&tellers[i], 2 * PIECE);
		teller_send(&tellers[i], 1);
	}
	world_until(&world, counted().unfinished_bytes == 8 * 4096UL);
	for (int i = 0; i < 4; i++)
		teller_send(&tellers[i], PIECE + 1);
	world_until(&world, counted().unfinished_bytes == 4 * 4096UL + 4 * 2UL * PIECE);
	for (int i = 0; i < 4; i++)
		teller_send(&tellers[i], 2 * PIECE);
	world_until(&world, world.served.messages == 4);
	cr_expect_eq(counted().unfinished_bytes, 4 * 4096UL);
	tellers_close(tellers, 8);
	cr_expect_eq(counted().unfinished_bytes, 0);
	cr_expect_eq(world.troubles, 0, "%s", world.trouble);
	world_close(&world);
}

/* Where memory is short, some begin later: nobody is refused, and nobody waits for one who waits. */
Test(grpc_limits, messages_wait_for_one_another)
{
	struct teller tellers[PEERS];
	const size_t whole = 8 * PIECE;
	size_t most = 0;

	serve_limited(0);
	for (int i = 0; i < PEERS; i++)
		teller_open(&tellers[i], whole);
	/* No last piece comes before all have sent as much as they can: all together three times the limit. */
	for (uint64_t end = test_now_ms() + 10000; world.served.messages < PEERS && test_now_ms() < end;) {
		bool full = counted().reads_paused >= PEERS / 2;

		for (int i = 0; i < PEERS; i++) {
			for (int turn = 0; turn < 4; turn++)
				teller_send(&tellers[i], full ? whole : whole - PIECE);
			most = counted().unfinished_bytes > most ? counted().unfinished_bytes : most;
		}
	}
	cr_expect_eq(world.served.messages, PEERS);
	cr_expect_gt(most, LIMIT / 2);
	cr_expect_leq(most, LIMIT);
	cr_expect_geq(counted().reads_paused, PEERS / 2);
	cr_expect_eq(counted().streams_evicted, 0);
	cr_expect_eq(world.troubles, 0, "%s", world.trouble);
	tellers_close(tellers, PEERS);
	world_close(&world);
}

/* Those who do not finish keep the others waiting for a moment only: they are refused by name, and who waited is served. */
Test(grpc_limits, messages_that_keep_others_waiting_are_refused)
{
	struct teller tellers[PEERS], honest;
	uint64_t start;
	int holding = 0;

	serve_limited(6000);
	teller_open(&honest, PIECE);
	for (int i = 0; i < PEERS; i++)
		teller_open(&tellers[i], 8 * PIECE);
	for (; counted().unfinished_bytes <= LIMIT / 2; holding++) {
		cr_assert_lt(holding, PEERS);
		teller_send(&tellers[holding], 4 * PIECE);
		for (int turn = 0; turn < 20; turn++)
			world_turn(&world);
	}
	start = test_now_ms();
	teller_send(&honest, PIECE);
	world_until(&world, counted().reads_paused > 0);
	cr_expect_eq(world.served.messages, 0);
	world_until(&world, world.served.messages == 1);
	cr_expect_geq(test_now_ms() - start, 300, "they have their time: a twelfth of a message's");
	cr_expect_lt(test_now_ms() - start, 2000);
	cr_expect_leq(counted().unfinished_bytes, LIMIT / 2);
	cr_expect_geq(counted().streams_evicted, 1);
	cr_expect_lt(counted().streams_evicted, (uint64_t)holding, "no more of them than there must");
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	cr_expect_eq(world.troubles, (int)counted().streams_evicted);
	cr_expect(strstr(world.trouble, "unix:pid="), "%s", world.trouble);
	cr_expect(strstr(world.trouble, "unfinished messages take too much memory"), "%s", world.trouble);
	close(honest.fd);
	tellers_close(tellers, PEERS);
	world_close(&world);
}

#ifndef __SANITIZE_ADDRESS__ /* swift is what takes less than two seconds, and sanitizers take their time */
/* However many have begun in time to be read: together they never have more, and the one that comes swiftly is not refused. */
Test(grpc_limits, messages_of_all_connections_have_one_limit)
{
	struct teller tellers[PEERS], swift;
	size_t most = 0;

	serve_limited(24000);
	teller_open(&swift, 16 * PIECE);
	for (int i = 0; i < PEERS; i++) {
		teller_open(&tellers[i], 16 * PIECE);
		teller_send(&tellers[i], 1);
	}
	world_for(&world, 2100);
	for (size_t sent = PIECE; sent < 16 * PIECE; sent += PIECE)
		for (int i = 0; i < PEERS; i++) {
			teller_send(&tellers[i], sent);
			if (i == PEERS / 2)
				teller_send(&swift, sent);
			most = counted().unfinished_bytes > most ? counted().unfinished_bytes : most;
		}
	cr_expect_gt(most, LIMIT / 2);
	cr_expect_leq(most, LIMIT + 4 * PIECE, "%zu: one read more, then it is looked at", most);
	cr_expect_geq(counted().streams_evicted, 3);
	cr_expect(strstr(world.trouble, "unfinished messages take too much memory"), "<%s>", world.trouble);
	for (uint64_t end = test_now_ms() + 5000; world.served.messages == 0 && test_now_ms() < end;)
		teller_send(&swift, swift.whole);
	cr_expect_eq(world.served.messages, 1);
	cr_expect_eq(world.served.last_length, 16UL * PIECE);
	close(swift.fd);
	tellers_close(tellers, PEERS);
	world_close(&world);
}

#endif

/* Nobody waits for it, and it goes all the same: the limit is one. */
Test(grpc_limits, what_is_more_than_the_whole_limit_is_refused_at_once)
{
	struct teller teller;
	size_t most = 0;

	serve_limited(0);
	teller_open(&teller, 4UL * LIMIT);
	for (uint64_t end = test_now_ms() + 3000; world.served.closed == 0 && test_now_ms() < end;) {
		teller_send(&teller, 3UL * LIMIT);
		most = counted().unfinished_bytes > most ? counted().unfinished_bytes : most;
	}
	cr_expect_eq(world.served.closed, 1);
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	cr_expect_leq(most, 2 * LIMIT, "%zu", most);
	cr_expect_eq(counted().streams_evicted, 1);
	cr_expect_eq(counted().streams_faulted, 1);
	cr_expect_eq(counted().unfinished_bytes, 0);
	tellers_close(&teller, 1);
	world_close(&world);
}

/* What waits because the server itself takes nothing is not to blame, over TLS too; when it does, all goes on by itself. */
Test(grpc_limits, messages_that_wait_for_our_window_are_not_refused)
{
	struct grpc_server_options options = world_server_options(&world);
	struct grpc_client_options joins = world_client_options(&world);
	struct papers papers;
	struct grpc_client *slow;
	struct grpc_call *call;
	struct grpc_stream *held;
	static const uint8_t zeros[23U << 10];

	papers_open(&papers);
	papers_issue(&papers, "peer", "DNS:peer.example");
	options.tls = papers_load(&papers, "ca.pem", "server");
	joins.tls = papers_load(&papers, "ca.pem", "peer");
	options.window_bytes = 64U << 10;
	options.max_unfinished_bytes = 40U << 10;
	options.message_timeout_ms = 2400;
	world_serve(&world, "tcp", &options);
	world_connect(&world, &joins);
	call = world_call(&world, "/t.T/Manual");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(grpc_call_send(call, zeros, sizeof(zeros)), 0);
	world_until(&world, world.served.messages == 2 && counted().unfinished_bytes > 20U << 10);
	held = world.served.stream;
	slow = world.client;
	world_connect(&world, &joins);
	world_unary(&world, "/t.T/Sink", "x", 1);
	world_until(&world, counted().reads_paused > 0);
	world_for(&world, 1500);
	cr_expect_eq(world.served.messages, 2);
	cr_expect_eq(world.troubles, 0, "%s", world.trouble);
	grpc_stream_consume(held, 2 * sizeof(zeros));
	world_until(&world, world.served.messages == 4 && world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	cr_expect_eq(counted().streams_evicted, 0);
	cr_expect_eq(counted().unfinished_bytes, 0);
	grpc_client_close(slow);
	world_close(&world);
	grpc_tls_close((struct grpc_tls *)joins.tls);
	grpc_tls_close((struct grpc_tls *)options.tls);
	papers_close(&papers);
}

/* --- a server that is asked too often -------------------------------------------------------------------------------- */

/* Pings (not their answers) among the frames behind `skip` bytes. */
static int count_pings(const uint8_t *bytes, size_t length, size_t skip)
{
	int pings = 0;

	for (size_t at = skip; at + 9 <= length;
		at += 9 + ((size_t)bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2]))
		pings += bytes[at + 3] == RAW_PING && bytes[at + 4] == 0;
	return pings;
}

static int take_client(int listener)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0)
		world_turn(&world);
	raw_frame(fd, RAW_SETTINGS, 0, 0, NULL, 0);
	return fd;
}

/* grpc/proposal/A8: it is said once, and the next connection keeps to it. */
Test(grpc_limits, a_client_that_is_told_to_calm_down_does)
{
	struct grpc_client_options options = world_client_options(&world);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), fd;
	uint8_t bytes[4096];
	ssize_t length;

	world_serve(&world, "unix", NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/other", world.folder);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	world.address = test_address(address.sun_path);
	options.keepalive_ms = 50;
	options.retry_min_ms = 10;
	world_connect(&world, &options);
	world_call(&world, "/t.T/Slow");
	fd = take_client(listener);
	world_for(&world, 200);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_assert_gt(length, 24);
	cr_expect_eq(count_pings(bytes, (size_t)length, strlen(RAW_PREFACE)), 1, "it asks");
	raw_frame(fd, RAW_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\x0btoo_many_pings", 22);
	world_until(&world, world.draining == 1);
	close(fd);
	world_until(&world, world.down == 1);
	fd = take_client(listener);
	world_until(&world, world.up == 2);
	world_call(&world, "/t.T/Slow");
	world_for(&world, 400);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_assert_gt(length, 24);
	cr_expect_eq(count_pings(bytes, (size_t)length, strlen(RAW_PREFACE)), 0, "it has learned");
	close(fd);
	close(listener);
	unlink(address.sun_path);
	world_close(&world);
}

/* A connection without a call is nobody's business: others' servers count pings on it. */
Test(grpc_limits, a_client_without_a_call_does_not_ask)
{
	struct grpc_client_options options = world_client_options(&world);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), fd;
	uint8_t bytes[4096];
	ssize_t length;

	world_serve(&world, "unix", NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/other", world.folder);
	cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(listener, 1), 0);
	world.address = test_address(address.sun_path);
	options.keepalive_ms = 30;
	world_connect(&world, &options);
	fd = take_client(listener);
	world_until(&world, world.up == 1);
	world_for(&world, 300);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_assert_gt(length, 24);
	cr_expect_eq(count_pings(bytes, (size_t)length, strlen(RAW_PREFACE)), 0);
	world_call(&world, "/t.T/Slow");
	world_for(&world, 200);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_assert_gt(length, 9);
	cr_expect_eq(count_pings(bytes, (size_t)length, 0), 1, "with one it does");
	close(fd);
	close(listener);
	unlink(address.sun_path);
	world_close(&world);
}
