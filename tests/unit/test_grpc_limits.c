/* SPDX-License-Identifier: Apache-2.0 */
/* Peers that hold on to what is the server's: a stream beside them goes on. */
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
