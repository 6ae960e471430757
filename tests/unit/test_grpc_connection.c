/* SPDX-License-Identifier: Apache-2.0 */
/* The connection's life on both sides: up, draining, down, again; sockets that are bound and removed. */
#include "test_grpc.h"

static struct world world;

/* --- down --------------------------------------------------------------------------------------------------------- */

static void check_refused(const char *address, int error, const char *word)
{
	world_serve(&world, "tcp", NULL);
	world.address = test_address(address);
	world_connect(&world, NULL);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, error, "%d %s", world.down_error, world.down_reason);
	cr_expect_not_null(strstr(world.down_reason, word), "%s", world.down_reason);
	cr_expect_eq(world.called.status, GRPC_UNAVAILABLE);
	cr_expect_eq(world.up, 0);
	world_for(&world, 50);
	cr_expect_eq(world.down, 1, "it does not try again unasked");
	world_close(&world);
}

Test(grpc_connection, no_such_socket)
{
	check_refused("/nonexistent/taffrail.sock", -ENOENT, "unix:/nonexistent/taffrail.sock: No such file");
}

Test(grpc_connection, nobody_listens)
{
	check_refused("localhost:1", -ECONNREFUSED, "[::1]:1: Connection refused");
}

Test(grpc_connection, plain_text_stays_on_the_machine)
{
	struct grpc_client_options options = world_client_options(&world);
	struct grpc_address address = test_address("192.0.2.1:4317"), all = test_address(":0");
	char error[400];

	world_serve(&world, "tcp", NULL);
	cr_expect_eq(grpc_client_open(world.base, &address, &options, &world.client), -EPERM);
	cr_expect_eq(grpc_server_listen(world.server, &all, NULL, error, sizeof(error)), -EPERM);
	cr_expect_not_null(strstr(error, "0.0.0.0:0 is not a loopback address"), "%s", error);
	world_close(&world);
}

/* A name is looked up without blocking; one of this machine's own file needs no network. */
Test(grpc_connection, a_name_that_is_not_known)
{
	check_refused("no-such-host.invalid:4317", -EHOSTUNREACH, "cannot look up no-such-host.invalid");
}

Test(grpc_connection, peer_that_dies)
{
	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_call(&world, "/t.T/Slow");
	world_until(&world, world.served.opened == 1);
	grpc_server_close(world.server);
	world.server = NULL;
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, -ECONNRESET);
	cr_expect_eq(world.called.status, GRPC_UNAVAILABLE);
	cr_expect_not(grpc_client_is_up(world.client));
	struct grpc_call_options options = {.on_done = called_done};
	struct grpc_call *call;
	cr_expect_eq(grpc_call_open(world.client, "/t.T/Slow", &options, &call), -ENOTCONN);
	world_close(&world);
}

Test(grpc_connection, client_that_dies)
{
	int fd;

	world_serve(&world, "unix", NULL);
	fd = raw_connect(&world);
	raw_hello(fd);
	raw_headers(fd, 1, 0, RAW_REQUEST("/t.T/Slow"));
	world_until(&world, world.served.opened == 1);
	close(fd);
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	cr_expect_str_eq(world.served.reason, "the peer closed the connection");
	cr_expect_eq(world.troubles, 0, "a peer may go");
	world_close(&world);
}

Test(grpc_connection, something_else_answers)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), peer;

	world_serve(&world, "tcp", NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/http", world.folder);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	world.address = test_address(address.sun_path);
	world_connect(&world, NULL);
	while ((peer = accept(fd, NULL, NULL)) < 0)
		world_turn(&world);
	raw_send(peer, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, -EPROTO, "%d %s", world.down_error, world.down_reason);
	cr_expect_eq(world.up, 0);
	close(peer);
	close(fd);
	unlink(address.sun_path);
	world_close(&world);
}

/* --- again -------------------------------------------------------------------------------------------------------- */

Test(grpc_connection, reconnect_when_asked)
{
	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	cr_expect_eq(grpc_client_reconnect(world.client, 0), -EALREADY);
	world_until(&world, world.up == 1);
	grpc_server_close(world.server);
	world_until(&world, world.down == 1);

	struct world again;
	char folder[64];
	snprintf(folder, sizeof(folder), "%s", world.folder);
	cr_assert_eq(grpc_client_reconnect(world.client, 10), 0);
	world_until(&world, world.down == 2);
	cr_expect_eq(world.down_error, -ENOENT);
	world_serve(&again, "tcp", NULL);
	cr_assert_eq(grpc_server_listen(again.server, &world.address, NULL, again.trouble, sizeof(again.trouble)), 0);
	cr_assert_eq(grpc_client_reconnect(world.client, 0), 0);
	for (int i = 0; i < 200 && world.up < 2; i++) {
		world_turn(&world);
		world_turn(&again);
	}
	cr_expect_eq(world.up, 2);
	world.server = again.server;
	again.server = NULL;
	world.served = again.served;
	grpc_client_close(world.client);
	world.client = NULL;
	grpc_server_close(world.server);
	world.server = NULL;
	rmdir(folder);
	world_close(&again);
	event_base_free(world.base);
}

Test(grpc_connection, retries_by_itself_with_growing_pauses)
{
	struct grpc_client_options options = world_client_options(&world);
	uint64_t start;

	world_serve(&world, "tcp", NULL);
	world.address = test_address("/nonexistent/taffrail.sock");
	options.retry_min_ms = 40;
	options.retry_max_ms = 160;
	start = test_now_ms();
	world_connect(&world, &options);
	world_until(&world, world.down == 5);
	/* Half to the whole of 40, 80, 160 and 160 ms. */
	cr_expect_geq(test_now_ms() - start, 20 + 40 + 80 + 80);
	cr_expect_leq(test_now_ms() - start, 40 + 80 + 160 + 160 + 300);
	world_close(&world);
}

/* --- draining ----------------------------------------------------------------------------------------------------- */

Test(grpc_connection, server_stops_gently)
{
	struct grpc_call *slow, *refused;
	struct grpc_call_options options = {.on_done = called_done};

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	slow = world_call(&world, "/t.T/Echo");
	grpc_call_send(slow, "x", 1);
	world_call(&world, "/t.T/Drain");
	world_until(&world, world.called.messages == 1 && world.served.opened == 2);
	grpc_server_stop(world.server, 3000, server_stopped, &world);
	cr_expect_eq(world.stopped, 0);
	world_until(&world, world.draining == 1);
	cr_expect_eq(grpc_call_open(world.client, "/t.T/Echo", &options, &refused), -ESHUTDOWN);
	/* The one with on_drain was told, and finished; the other goes on. */
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_UNAVAILABLE);
	cr_expect_str_eq(world.called.message, "the collector stops");
	world_for(&world, 50);
	cr_expect_eq(world.called.done, 1);
	cr_expect_eq(world.down, 0);
	grpc_call_send(slow, "still here", 10);
	grpc_call_half_close(slow);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_expect_eq(world.called.last_length, 10);
	world_until(&world, world.stopped == 1 && world.down == 1);
	cr_expect_eq(world.down_error, 0, "%s", world.down_reason);
	cr_expect_eq(world.troubles, 0);
	world_close(&world);
}

Test(grpc_connection, server_stop_has_an_end)
{
	uint64_t start;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_call(&world, "/t.T/Slow");
	world_until(&world, world.served.opened == 1);
	start = test_now_ms();
	grpc_server_stop(world.server, 100, server_stopped, &world);
	world_until(&world, world.stopped == 1 && world.called.done == 1);
	/* The loop's clock is the coarse one: it may be a tick behind. */
	cr_expect_geq(test_now_ms() - start, 85);
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	cr_expect_str_eq(world.served.reason, "the server stops");
	cr_expect_eq(world.called.status, GRPC_UNAVAILABLE);
	world_close(&world);
}

Test(grpc_connection, server_without_connections_stops_at_once)
{
	world_serve(&world, "unix", NULL);
	grpc_server_stop(world.server, 5000, server_stopped, &world);
	world_turn(&world);
	world_turn(&world);
	cr_expect_eq(world.stopped, 1);
	world_close(&world);
}

Test(grpc_connection, client_drains)
{
	struct grpc_call_options options = {.on_done = called_done};
	struct grpc_call *call, *refused;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	call = world_call(&world, "/t.T/Echo");
	world_until(&world, world.served.opened == 1);
	grpc_client_drain(world.client);
	cr_expect_eq(grpc_call_open(world.client, "/t.T/Echo", &options, &refused), -ESHUTDOWN);
	grpc_call_send(call, "abc", 3);
	world_until(&world, world.called.messages == 1);
	cr_expect_eq(world.down, 0);
	grpc_call_half_close(call);
	world_until(&world, world.down == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_expect_eq(world.down_error, 0, "%s", world.down_reason);
	world_close(&world);
}

/* Calls that wait for the connection are still made before it drains. */
Test(grpc_connection, client_drains_while_it_connects)
{
	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_unary(&world, "/t.T/Echo", "abc", 3);
	grpc_client_drain(world.client);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_expect_eq(world.down_error, 0);
	world_close(&world);
}

Test(grpc_connection, connections_grow_old)
{
	struct grpc_server_options options = world_server_options(&world);
	uint64_t start;

	options.max_connection_age_ms = 200;
	options.max_connection_grace_ms = 100;
	world_serve(&world, "unix", &options);
	world_connect(&world, NULL);
	world_call(&world, "/t.T/Slow");
	start = test_now_ms();
	world_until(&world, world.draining == 1);
	cr_expect_geq(test_now_ms() - start, 150);
	world_until(&world, world.down == 1);
	cr_expect_geq(test_now_ms() - start, 250);
	cr_expect_eq(world.called.status, GRPC_UNAVAILABLE);
	cr_expect_str_eq(world.served.reason, "the connection reached its age");
	world_close(&world);
}

/* --- keep-alive --------------------------------------------------------------------------------------------------- */

static bool has_frame(const uint8_t *bytes, size_t length, uint8_t type, uint8_t flags)
{
	for (size_t at = 0; at + 9 <= length;) {
		size_t size = (size_t)bytes[at] << 16 | (size_t)bytes[at + 1] << 8 | bytes[at + 2];

		if (bytes[at + 3] == type && bytes[at + 4] == flags)
			return true;
		at += 9 + size;
	}
	return false;
}

Test(grpc_connection, server_asks_a_silent_peer_and_gives_it_up)
{
	struct grpc_server_options options = world_server_options(&world);
	struct grpc_server_counters counters;
	uint8_t bytes[65536];
	ssize_t length;
	int fd;

	options.keepalive_ms = 150;
	options.keepalive_timeout_ms = 300;
	world_serve(&world, "unix", &options);
	fd = raw_connect(&world);
	raw_hello(fd);
	world_for(&world, 250);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_assert_gt(length, 0);
	cr_expect_not(has_frame(bytes, (size_t)length, RAW_PING, 0), "no stream, no PING");
	raw_headers(fd, 1, 0, RAW_REQUEST("/t.T/Slow"));
	world_for(&world, 250);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_assert_gt(length, 0);
	cr_expect(has_frame(bytes, (size_t)length, RAW_PING, 0));
	cr_expect_eq(world.served.closed, 0);
	raw_frame(fd, RAW_PING, 1, 0, "\0\0\0\0\0\0\0\0", 8);
	world_for(&world, 100);
	cr_expect_eq(world.served.closed, 0, "it has answered");
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	cr_expect_str_eq(world.served.reason, "the peer does not answer");
	cr_expect_str_eq(world.trouble + strcspn(world.trouble, " "), " the peer does not answer");
	world_until(&world, raw_is_closed(fd));
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.connections_timed_out, 1);
	close(fd);
	world_close(&world);
}

/* Our own two sides keep each other alive for as long as it takes. */
Test(grpc_connection, keep_alive_is_answered)
{
	struct grpc_server_options server = world_server_options(&world);
	struct grpc_client_options client = world_client_options(&world);

	server.keepalive_ms = client.keepalive_ms = 30;
	server.keepalive_timeout_ms = client.keepalive_timeout_ms = 50;
	world_serve(&world, "unix", &server);
	world_connect(&world, &client);
	world_call(&world, "/t.T/Slow");
	world_until(&world, world.served.opened == 1);
	world_for(&world, 400);
	cr_expect_eq(world.down, 0, "%s", world.down_reason);
	cr_expect_eq(world.served.closed, 0);
	world_close(&world);
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

Test(grpc_connection, unix_socket_has_its_mode)
{
	struct stat found;
	mode_t before = umask(0);

	world_serve(&world, "unix", NULL);
	umask(before);
	cr_assert_eq(stat(world.address.path, &found), 0);
	cr_expect_eq(found.st_mode & 07777, 0660);
	world_close(&world); /* checks that it is removed */
}

Test(grpc_connection, live_unix_socket_is_not_stolen)
{
	struct grpc_server *second;
	struct grpc_handler handler = {.path = "/a.A/A"};
	struct grpc_server_options options = {.handlers = &handler, .handler_count = 1};
	char error[400];

	world_serve(&world, "unix", NULL);
	cr_assert_eq(grpc_server_open(world.base, &options, &second), 0);
	cr_expect_eq(grpc_server_listen(second, &world.address, NULL, error, sizeof(error)), -EADDRINUSE);
	cr_expect_not_null(strstr(error, "another process listens on"), "%s", error);
	grpc_server_close(second);
	world_connect(&world, NULL);
	world_until(&world, world.up == 1);
	world_close(&world);
}

Test(grpc_connection, dead_unix_socket_is_replaced_and_a_file_is_not)
{
	struct grpc_server_options options = world_server_options(&world);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct grpc_address where;
	char error[400];
	struct stat found;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	world_serve(&world, "tcp", &options);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", world.folder);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	where = test_address(address.sun_path);
	cr_assert_eq(grpc_server_listen(world.server, &where, NULL, error, sizeof(error)), 0, "%s", error);
	world.address = where;
	world_connect(&world, NULL);
	world_until(&world, world.up == 1);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/file", world.folder);
	fd = open(address.sun_path, O_CREAT | O_WRONLY, 0600);
	where = test_address(address.sun_path);
	cr_expect_eq(grpc_server_listen(world.server, &where, NULL, error, sizeof(error)), -EEXIST);
	cr_expect_not_null(strstr(error, "is there and no socket"), "%s", error);
	cr_expect_eq(stat(address.sun_path, &found), 0);
	close(fd);
	unlink(address.sun_path);
	world_close(&world);
}

/* Whoever took the path over in the meantime keeps it. */
Test(grpc_connection, only_its_own_socket_is_removed)
{
	struct stat found;
	int fd;

	world_serve(&world, "unix", NULL);
	cr_assert_eq(unlink(world.address.path), 0);
	fd = open(world.address.path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	cr_assert_geq(fd, 0);
	grpc_server_close(world.server);
	world.server = NULL;
	cr_expect_eq(stat(world.address.path, &found), 0);
	close(fd);
	unlink(world.address.path);
	world_close(&world);
}

Test(grpc_connection, listens_on_both_families_and_says_what_fails)
{
	struct grpc_address localhost = test_address("localhost:0"), bound, taken;
	struct grpc_server *second;
	struct grpc_handler handler = {.path = "/a.A/A"};
	struct grpc_server_options options = {.handlers = &handler, .handler_count = 1};
	char error[400], text[64];

	world_serve(&world, "tcp", NULL);
	cr_expect_neq(world.address.port, 0);
	cr_assert_eq(grpc_server_listen(world.server, &localhost, &bound, error, sizeof(error)), 0, "%s", error);
	cr_expect_neq(bound.port, 0);
	cr_expect_str_eq(bound.host, "localhost");
	world.address = bound;
	world_connect(&world, NULL);
	world_until(&world, world.up == 1);
	cr_assert_eq(grpc_server_open(world.base, &options, &second), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", bound.port);
	taken = test_address(text);
	cr_expect_eq(grpc_server_listen(second, &taken, NULL, error, sizeof(error)), -EADDRINUSE);
	cr_expect_not_null(strstr(error, "cannot listen on 127.0.0.1:"), "%s", error);
	grpc_server_close(second);
	world_close(&world);
}
