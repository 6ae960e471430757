/* SPDX-License-Identifier: Apache-2.0 */
/* Client against server, in one process, over a unix socket and over loopback TCP. */
#include "test_grpc.h"

#define MEBI (1024 * 1024)

static struct world world;
static const uint8_t zeros[100000];

/* --- calls that end well ------------------------------------------------------------------------------------------ */

static void check_unary(const char *where)
{
	world_serve(&world, where, NULL);
	world_connect(&world, NULL);
	world_unary(&world, "/t.T/Echo", "hello", 5); /* waits for the connection */
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.up, 1);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	cr_expect_str_eq(world.called.message, "");
	cr_assert_eq(world.called.last_length, 5);
	cr_expect_eq(memcmp(world.called.last, "hello", 5), 0);
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.served.status, GRPC_OK);
	world_close(&world);
}

Test(grpc_calls, unary_over_unix)
{
	char expected[60];

	check_unary("unix");
	snprintf(expected, sizeof(expected), "unix:pid=%d,uid=%u", getpid(), getuid());
	cr_expect_str_eq(world.served.peer, expected);
}

Test(grpc_calls, unary_over_tcp)
{
	check_unary("tcp");
	cr_expect_eq(strncmp(world.served.peer, "127.0.0.1:", 10), 0, "%s", world.served.peer);
}

Test(grpc_calls, empty_messages_and_none)
{
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	call = world_call(&world, "/t.T/Echo");
	for (int i = 0; i < 3; i++)
		cr_assert_eq(grpc_call_send(call, NULL, 0), 0);
	grpc_call_half_close(call);
	cr_expect_eq(grpc_call_send(call, "x", 1), -EPIPE);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.messages, 3);
	cr_expect_eq(world.called.status, GRPC_OK);
	world_unary(&world, "/t.T/Sink", "x", 1);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.messages, 3);
	cr_expect_eq(world.called.status, GRPC_OK);
	world_close(&world);
}

/* Far more than a window and than a socket's buffer, in order, both ways at once. */
static void check_many(const char *where)
{
	struct grpc_call *call;

	world_serve(&world, where, NULL);
	world_connect(&world, NULL);
	call = world_call(&world, "/t.T/Echo");
	for (uint32_t i = 0; i < 100000; i++) {
		cr_assert_eq(grpc_call_send(call, &i, 4), 0);
		if (i % 1000 == 0)
			world_turn(&world);
	}
	grpc_call_half_close(call);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_expect_eq(world.called.messages, 100000);
	cr_expect_eq(world.served.messages, 100000);
	cr_expect_not(world.called.out_of_order);
	world_close(&world);
}

Test(grpc_calls, many_messages_each_way_over_unix)
{
	check_many("unix");
}

Test(grpc_calls, many_messages_each_way_over_tcp)
{
	check_many("tcp");
}

static int released;

static void note_release(void *bytes, void *context)
{
	(void)context;
	released++;
	free(bytes);
}

Test(grpc_calls, large_messages_with_a_raised_limit)
{
	struct grpc_server_options server = world_server_options(&world);
	struct grpc_client_options client = world_client_options(&world);
	uint8_t *large = malloc(16 * MEBI);
	struct grpc_call *call;

	server.max_message_bytes = client.max_message_bytes = 16 * MEBI;
	for (size_t i = 0; i < 16 * MEBI; i++)
		large[i] = (uint8_t)(i * 2654435761U >> 13);
	world_serve(&world, "unix", &server);
	world_connect(&world, &client);
	call = world_call(&world, "/t.T/Echo");
	cr_assert_eq(grpc_call_send(call, large, 5 * MEBI), 0);
	cr_assert_eq(grpc_call_send_owned(call, large, 16 * MEBI, note_release, NULL), 0);
	grpc_call_half_close(call);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	cr_expect_eq(world.called.messages, 2);
	cr_assert_eq(world.called.last_length, 16 * MEBI);
	for (size_t i = 0; i < 16 * MEBI; i += 4093)
		cr_assert_eq(world.called.last[i], (uint8_t)(i * 2654435761U >> 13));
	cr_expect_eq(released, 1);
	world_close(&world);
}

/* More at a time than the server takes: the rest waits its turn. */
Test(grpc_calls, five_hundred_at_a_time)
{
	struct grpc_server_options server = world_server_options(&world);
	struct grpc_server_counters counters;

	server.max_streams = 20;
	world_serve(&world, "unix", &server);
	world_connect(&world, NULL);
	world_until(&world, world.up);
	for (uint32_t i = 0; i < 500; i++)
		world_unary(&world, "/t.T/Echo", "12345", 5);
	world_until(&world, world.called.done == 500);
	cr_expect_eq(world.called.by_status[GRPC_OK], 500);
	cr_expect_eq(world.called.bytes, 2500);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.streams, 500);
	cr_expect_eq(counters.messages_received, 500);
	cr_expect_eq(counters.messages_sent, 500);
	world_until(&world, world.served.closed == 500);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.streams_open, 0);
	cr_expect_eq(counters.connections_open, 1);
	world_close(&world);
}

Test(grpc_calls, metadata_goes_along)
{
	const struct grpc_header headers[] = {{"x-test", "a value"}, {"x-more", ""}};
	const struct grpc_header wrong[] = {{"content-type", "text/html"}};
	struct grpc_call_options options = {.on_done = called_done, .metadata = wrong, .metadata_count = 1};
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	cr_expect_eq(grpc_call_open(world.client, "/t.T/Echo", &options, &call), -EINVAL);
	call = world_call_with(
		&world, "/t.T/Echo", (struct grpc_call_options){.metadata = headers, .metadata_count = 2});
	grpc_call_half_close(call);
	world_until(&world, world.called.done == 1);
	cr_expect_str_eq(world.served.metadata, "a value");
	world_close(&world);
}

/* --- calls that end otherwise ------------------------------------------------------------------------------------- */

Test(grpc_calls, status_and_message_of_the_server)
{
	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_unary(&world, "/t.T/Fail", "x", 1);
	world_until(&world, world.called.done == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_NOT_FOUND);
	cr_expect_str_eq(world.called.message, "no such thing: 100% gone?really, \xc3\xa9t\xc3\xa9");
	cr_expect_eq(world.called.messages, 0);
	cr_expect_eq(world.served.status, GRPC_NOT_FOUND);
	world_close(&world);
}

Test(grpc_calls, unknown_method_is_unimplemented)
{
	struct grpc_server_counters counters;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_unary(&world, "/t.T/Nothing", "x", 1);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_UNIMPLEMENTED);
	cr_expect_str_eq(world.called.message, "unknown method");
	cr_expect_eq(world.served.opened, 0);
	grpc_server_counters(world.server, &counters);
	cr_expect_eq(counters.streams_refused, 1);
	/* The connection is as good as before. */
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.status, GRPC_OK);
	world_close(&world);
}

static void check_deadline(const char *path)
{
	struct grpc_call *call;
	uint64_t start;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_until(&world, world.up);
	start = test_now_ms();
	call = world_call_with(&world, path, (struct grpc_call_options){.deadline_ms = 150});
	grpc_call_send(call, "x", 1);
	world_until(&world, world.called.done == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_DEADLINE_EXCEEDED);
	cr_expect_geq(test_now_ms() - start, 145);
	cr_expect_lt(test_now_ms() - start, 1000);
	cr_expect_leq(world.served.remaining_ms, 150);
	cr_expect_geq(world.served.remaining_ms, 50);
	cr_expect(world.served.status == GRPC_DEADLINE_EXCEEDED || world.served.status == GRPC_CANCELLED, "%d",
		world.served.status);
	world_close(&world);
}

Test(grpc_calls, deadline_passes_on_both_sides)
{
	check_deadline("/t.T/Slow");
}

Test(grpc_calls, deadline_passes_amid_an_answer)
{
	check_deadline("/t.T/Echo");
}

/* The server keeps the peer's deadline even if the peer does not: it says only so in its headers. */
Test(grpc_calls, server_ends_at_the_deadline_alone)
{
	const struct grpc_header cheat[] = {{"grpc-timeout", "100m"}};
	struct grpc_call_options options = {.on_done = called_done, .metadata = cheat, .metadata_count = 1};
	uint8_t bytes[4096];
	struct grpc_call *call;
	ssize_t length;
	int fd;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	cr_expect_eq(grpc_call_open(world.client, "/t.T/Slow", &options, &call), -EINVAL, "gRPC's own header");
	fd = raw_connect(&world);
	raw_hello(fd);
	raw_headers(fd, 1, 0,
		(const char *const[]){":method", "POST", ":scheme", "http", ":path", "/t.T/Slow", ":authority", "x",
			"content-type", "application/grpc", "grpc-timeout", "100m", NULL});
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.served.status, GRPC_DEADLINE_EXCEEDED);
	world_for(&world, 20);
	length = raw_receive(fd, bytes, sizeof(bytes));
	cr_expect_gt(length, 0);
	/* The trailers' HPACK is the real client's business; the text stands in clear or Huffman: the RST_STREAM is ours. */
	cr_expect_eq(memcmp(bytes + length - 13, "\0\0\4\3\0\0\0\0\1\0\0\0\0", 13), 0, "RST_STREAM(NO_ERROR) ends it");
	close(fd);
	world_close(&world);
}

Test(grpc_calls, deadline_counts_while_connecting)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct grpc_client_options options = world_client_options(&world);
	struct grpc_call *call;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	/* Somebody listens and never says a word. */
	world_serve(&world, "tcp", NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/mute", world.folder);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	world.address = test_address(address.sun_path);
	options.connect_timeout_ms = 400;
	world_connect(&world, &options);
	call = world_call_with(&world, "/t.T/Echo", (struct grpc_call_options){.deadline_ms = 100});
	grpc_call_half_close(call);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_DEADLINE_EXCEEDED);
	cr_expect_eq(world.down, 0);
	(void)world_call(&world, "/t.T/Echo");
	world_until(&world, world.down == 1);
	cr_expect_eq(world.down_error, -ETIMEDOUT);
	cr_expect_not_null(strstr(world.down_reason, "SETTINGS"), "%s", world.down_reason);
	cr_expect_eq(world.called.done, 2);
	cr_expect_eq(world.called.status, GRPC_UNAVAILABLE);
	cr_expect_str_eq(world.called.message, world.down_reason);
	close(fd);
	unlink(address.sun_path);
	world_close(&world);
}

Test(grpc_calls, too_large_a_message_for_the_server)
{
	uint8_t *large = calloc(1, 5 * MEBI);

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	world_unary(&world, "/t.T/Sink", large, 4 * MEBI);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "the limit itself is allowed: %s", world.called.message);
	world_unary(&world, "/t.T/Sink", large, 4 * MEBI + 1);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.status, GRPC_RESOURCE_EXHAUSTED, "%s", world.called.message);
	cr_expect_eq(world.served.messages, 1);
	world_until(&world, world.served.closed == 2);
	cr_expect_eq(world.served.status, GRPC_RESOURCE_EXHAUSTED);
	free(large);
	world_close(&world);
}

Test(grpc_calls, too_large_a_message_for_the_client)
{
	struct grpc_client_options options = world_client_options(&world);

	options.max_message_bytes = 1000;
	world_serve(&world, "unix", NULL);
	world_connect(&world, &options);
	world_unary(&world, "/t.T/Echo", zeros, 1001);
	world_until(&world, world.called.done == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_RESOURCE_EXHAUSTED);
	cr_expect_eq(world.called.messages, 0);
	world_close(&world);
}

Test(grpc_calls, cancel_reaches_the_server)
{
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	call = world_call(&world, "/t.T/Slow");
	grpc_call_send(call, "x", 1);
	world_until(&world, world.served.messages == 1);
	cr_assert_eq(grpc_call_send_owned(call, malloc(4 * MEBI), 4 * MEBI, note_release, NULL), 0);
	world_turn(&world);
	grpc_call_cancel(call);
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.served.status, GRPC_CANCELLED);
	cr_expect_eq(world.called.done, 0, "no on_done after cancel");
	world_until(&world, released == 1);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	world_close(&world);
}

/* A call that was never sent, and one behind the server's limit, leave no trace. */
Test(grpc_calls, cancel_before_it_was_sent)
{
	struct grpc_server_options server = world_server_options(&world);
	struct grpc_call *first, *second;

	server.max_streams = 1;
	world_serve(&world, "unix", &server);
	world_connect(&world, NULL);
	grpc_call_cancel(world_call(&world, "/t.T/Echo"));
	world_until(&world, world.up);
	world_for(&world, 20);
	cr_expect_eq(world.served.opened, 0);
	first = world_call(&world, "/t.T/Slow");
	world_until(&world, world.served.opened == 1);
	second = world_call(&world, "/t.T/Slow");
	grpc_call_send(second, "x", 1);
	world_for(&world, 20);
	cr_expect_eq(world.served.opened, 1);
	grpc_call_cancel(second);
	grpc_call_cancel(first);
	world_until(&world, world.served.closed == 1);
	world_for(&world, 20);
	cr_expect_eq(world.served.opened, 1);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	world_close(&world);
}

Test(grpc_calls, half_close_does_not_end_the_answer)
{
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	call = world_call(&world, "/t.T/Slow");
	grpc_call_half_close(call);
	world_until(&world, world.served.half_closed == 1);
	cr_expect_eq(world.called.done, 0);
	for (uint32_t i = 0; i < 10; i++) {
		cr_assert_eq(grpc_stream_send(world.served.stream, &i, 4), 0);
		world_turn(&world);
	}
	world_until(&world, world.called.messages == 10);
	cr_expect_not(world.called.out_of_order);
	grpc_stream_finish(world.served.stream, GRPC_ABORTED, "enough");
	cr_expect_eq(grpc_stream_send(world.served.stream, "x", 1), -EPIPE);
	grpc_stream_finish(world.served.stream, GRPC_OK, "only the first counts");
	world_until(&world, world.called.done == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_ABORTED);
	cr_expect_str_eq(world.called.message, "enough");
	cr_expect_eq(world.served.status, GRPC_ABORTED);
	world_close(&world);
}

/* The server answers while the client still sends: the client hears it, stops, and the connection lives on. */
Test(grpc_calls, answer_before_the_request_ends)
{
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	call = world_call(&world, "/t.T/Slow");
	cr_assert_eq(grpc_call_send_owned(call, malloc(3 * MEBI), 3 * MEBI, note_release, NULL), 0);
	world_until(&world, world.served.opened == 1);
	cr_assert_eq(grpc_stream_send(world.served.stream, "last", 4), 0);
	grpc_stream_finish(world.served.stream, GRPC_PERMISSION_DENIED, "not you");
	world_until(&world, world.called.done == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_PERMISSION_DENIED);
	cr_expect_eq(world.called.messages, 1);
	world_until(&world, released == 1);
	world_unary(&world, "/t.T/Echo", "x", 1);
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.status, GRPC_OK);
	world_close(&world);
}

/* --- closing inside callbacks ------------------------------------------------------------------------------------- */

static void close_client_on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	(void)call;
	called_message(context, call, bytes, length);
	grpc_client_close(world.client);
	world.client = NULL;
}

Test(grpc_calls, client_closed_inside_on_message)
{
	struct grpc_call_options options = {
		.context = &world, .on_message = close_client_on_message, .on_done = called_done};
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	cr_assert_eq(grpc_call_open(world.client, "/t.T/Echo", &options, &call), 0);
	world_call(&world, "/t.T/Slow");
	for (int i = 0; i < 3; i++)
		grpc_call_send(call, "abc", 3);
	world_until(&world, world.called.done == 2 && world.served.closed == 2);
	cr_expect_eq(world.called.messages, 1);
	cr_expect_eq(world.called.by_status[GRPC_CANCELLED], 2);
	cr_expect_eq(world.down, 0, "the owner knows");
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	world_close(&world);
}

static void cancel_on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	called_message(context, call, bytes, length);
	grpc_call_cancel(call);
}

Test(grpc_calls, call_cancelled_inside_on_message)
{
	struct grpc_call_options options = {.context = &world, .on_message = cancel_on_message, .on_done = called_done};
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	cr_assert_eq(grpc_call_open(world.client, "/t.T/Echo", &options, &call), 0);
	for (int i = 0; i < 3; i++)
		grpc_call_send(call, zeros, 100000);
	world_until(&world, world.served.closed == 1);
	cr_expect_eq(world.called.messages, 1);
	cr_expect_eq(world.called.done, 0);
	world_close(&world);
}

static void close_server_on_half_close(struct grpc_stream *stream, void *data)
{
	served_half_close(stream, data);
	grpc_stream_send(stream, "x", 1);
	grpc_server_close(world.server);
	world.server = NULL;
}

Test(grpc_calls, server_closed_inside_a_handler)
{
	struct grpc_handler handler = {.path = "/t.T/Close",
		.context = &world,
		.on_open = served_open,
		.on_half_close = close_server_on_half_close,
		.on_close = served_close};
	struct grpc_server_options options = {.handlers = &handler, .handler_count = 1};
	char error[400], path[100];

	world_serve(&world, "tcp", NULL);
	grpc_server_close(world.server);
	cr_assert_eq(grpc_server_open(world.base, &options, &world.server), 0);
	snprintf(path, sizeof(path), "%s/s", world.folder);
	world.address = test_address(path);
	cr_assert_eq(grpc_server_listen(world.server, &world.address, NULL, error, sizeof(error)), 0, "%s", error);
	world_connect(&world, NULL);
	world_call(&world, "/t.T/Close");
	world_unary(&world, "/t.T/Close", "x", 1);
	world_until(&world, world.down == 1);
	cr_expect_eq(world.served.closed, 2);
	cr_expect_eq(world.served.status, GRPC_UNAVAILABLE);
	cr_expect_eq(world.called.by_status[GRPC_UNAVAILABLE], 2);
	cr_expect_eq(world.down_error, -ECONNRESET, "%s", world.down_reason);
	world_close(&world);
}

static struct grpc_call *other;

static void close_on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	called_done(context, call, status, message);
	if (other)
		grpc_call_cancel(other);
	other = NULL;
	grpc_client_close(world.client);
	world.client = NULL;
}

Test(grpc_calls, client_closed_inside_on_done_while_it_goes_down)
{
	struct grpc_call_options options = {.context = &world, .on_done = close_on_done};
	struct grpc_call *call;

	world_serve(&world, "unix", NULL);
	world_connect(&world, NULL);
	cr_assert_eq(grpc_call_open(world.client, "/t.T/Slow", &options, &call), 0);
	other = world_call(&world, "/t.T/Slow");
	world_call(&world, "/t.T/Slow");
	world_until(&world, world.served.opened == 3);
	grpc_server_close(world.server);
	world.server = NULL;
	world_until(&world, world.called.done == 2);
	cr_expect_eq(world.called.by_status[GRPC_UNAVAILABLE], 1);
	cr_expect_eq(world.called.by_status[GRPC_CANCELLED], 1);
	cr_expect_eq(world.down, 0);
	world_close(&world);
}
