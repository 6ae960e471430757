/* SPDX-License-Identifier: Apache-2.0 */
/* Flow control is the application's: who does not consume stops the peer within the window. */
#include "test_grpc.h"

#define KIBI 1024
#define WINDOW (256 * KIBI)
#define SMALL (16 * KIBI)

static struct world world;
static const uint8_t zeros[4 * KIBI * KIBI];

static void serve_small_windows(void)
{
	struct grpc_server_options server = world_server_options(&world);
	struct grpc_client_options client = world_client_options(&world);

	server.window_bytes = client.window_bytes = WINDOW;
	world_serve(&world, "unix", &server);
	world_connect(&world, &client);
}

Test(grpc_flow, server_that_does_not_consume_stops_the_client)
{
	struct grpc_call *call;
	size_t total = 0, stopped_at;

	serve_small_windows();
	call = world_call_with(&world, "/t.T/Manual", (struct grpc_call_options){.writable_below = 100 * KIBI});
	for (int i = 0; i < 100; i++, total += SMALL)
		cr_assert_eq(grpc_call_send(call, zeros, SMALL), 0);
	cr_expect_eq(grpc_call_queued(call), total + 500, "five bytes of prefix each");
	world_until(&world, world.served.opened == 1);
	world_for(&world, 100);
	stopped_at = world.served.bytes;
	cr_expect_leq(stopped_at, WINDOW);
	cr_expect_geq(stopped_at, WINDOW - 2 * SMALL);
	cr_expect_geq(grpc_call_queued(call), total - WINDOW);
	cr_expect_eq(world.called.writable, 0);

	/* Half of it given back lets that much more through, no further. */
	grpc_stream_consume(world.served.stream, stopped_at / 2 + SMALL);
	world_for(&world, 100);
	cr_expect_gt(world.served.bytes, stopped_at + WINDOW / 4);
	cr_expect_leq(world.served.bytes, stopped_at + stopped_at / 2 + 2 * SMALL);

	/* More than there was is all of it, never more. */
	while (world.served.bytes < total) {
		size_t before = world.served.bytes;

		grpc_stream_consume(world.served.stream, SIZE_MAX);
		world_until(&world, world.served.bytes > before);
		cr_assert_leq(world.served.bytes - before, WINDOW);
	}
	cr_expect_eq(world.called.writable, 1);
	cr_expect_eq(grpc_call_queued(call), 0);
	grpc_call_half_close(call);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_expect_eq(world.served.bytes, total);
	world_close(&world);
}

/* One stream that waits does not hold up another on the same connection. */
Test(grpc_flow, streams_do_not_stop_one_another)
{
	struct grpc_call *stuck, *other;

	serve_small_windows();
	stuck = world_call(&world, "/t.T/Manual");
	for (int i = 0; i < 50; i++)
		grpc_call_send(stuck, zeros, SMALL);
	world_until(&world, world.served.bytes >= WINDOW - 2 * SMALL);
	other = world_call(&world, "/t.T/Echo");
	for (int i = 0; i < 100; i++)
		grpc_call_send(other, zeros, SMALL);
	grpc_call_half_close(other);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK);
	cr_expect_eq(world.called.messages, 100);
	cr_expect_gt(grpc_call_queued(stuck), 0);
	world_close(&world);
}

/* A message larger than the window gets through, consumed by hand or not. */
static void check_larger_than_window(const char *path, bool consume)
{
	struct grpc_call *call;

	serve_small_windows();
	call = world_call(&world, path);
	for (size_t i = 1; i <= 3; i++) {
		cr_assert_eq(grpc_call_send(call, zeros, 3 * WINDOW), 0);
		world_until(&world, world.served.messages == i);
		if (consume)
			grpc_stream_consume(world.served.stream, 3 * WINDOW);
	}
	grpc_call_half_close(call);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	cr_expect_eq(world.served.bytes, 9 * WINDOW);
	world_close(&world);
}

Test(grpc_flow, message_larger_than_the_window)
{
	check_larger_than_window("/t.T/Echo", false);
}

Test(grpc_flow, message_larger_than_the_window_consumed_by_hand)
{
	check_larger_than_window("/t.T/Manual", true);
}

/* Many answers under way at once, each too small to be given back before it is whole, together more than any window. */
Test(grpc_flow, unfinished_messages_of_many_calls_do_not_deadlock)
{
	serve_small_windows();
	world_until(&world, world.up);
	for (int i = 0; i < 40; i++)
		world_unary(&world, "/t.T/Echo", zeros, WINDOW / 2 - 5);
	world_until(&world, world.called.done == 40);
	cr_expect_eq(world.called.by_status[GRPC_OK], 40, "%s", world.called.message);
	world_close(&world);
}

/* A client that does not decide how much is answered bounds what has begun. */
Test(grpc_flow, unfinished_messages_of_many_calls_are_bounded)
{
	struct grpc_client_options options = world_client_options(&world);

	options.window_bytes = WINDOW;
	options.max_buffered_bytes = 4 * WINDOW;
	world_serve(&world, "unix", NULL);
	world_connect(&world, &options);
	world_until(&world, world.up);
	for (int i = 0; i < 20; i++)
		world_unary(&world, "/t.T/Echo", zeros, 3 * WINDOW);
	world_until(&world, world.called.done == 20);
	cr_expect_gt(world.called.by_status[GRPC_OK], 0);
	cr_expect_gt(world.called.by_status[GRPC_RESOURCE_EXHAUSTED], 0);
	world_unary(&world, "/t.T/Echo", zeros, 3 * WINDOW);
	world_until(&world, world.called.done == 21);
	cr_expect_eq(world.called.status, GRPC_OK, "%s", world.called.message);
	world_close(&world);
}

Test(grpc_flow, client_that_does_not_consume_stops_the_server)
{
	struct grpc_call *call;
	size_t total = 0, seen;

	serve_small_windows();
	call = world_call_with(&world, "/t.T/Slow", (struct grpc_call_options){.manual_consume = true});
	world_until(&world, world.served.opened == 1);
	for (int i = 0; i < 100; i++, total += SMALL)
		cr_assert_eq(grpc_stream_send(world.served.stream, zeros, SMALL), 0);
	world_until(&world, world.called.bytes > 0);
	world_for(&world, 100);
	cr_expect_leq(world.called.bytes, WINDOW);
	cr_expect_geq(grpc_stream_queued(world.served.stream), total - WINDOW);
	cr_expect_eq(world.served.writable, 0);
	while ((seen = world.called.bytes) < total) {
		grpc_call_consume(call, seen);
		world_until(&world, world.called.bytes > seen);
	}
	cr_expect_eq(world.served.writable, 1);
	grpc_stream_finish(world.served.stream, GRPC_OK, NULL);
	world_until(&world, world.called.done == 1);
	cr_expect_eq(world.called.bytes, total);
	world_close(&world);
}

/* Trailers need no window: a server that gives up is heard by a client that does not consume. */
Test(grpc_flow, deadline_is_heard_behind_a_closed_window)
{
	struct grpc_call *call;

	serve_small_windows();
	call = world_call_with(
		&world, "/t.T/Slow", (struct grpc_call_options){.manual_consume = true, .deadline_ms = 300});
	world_until(&world, world.served.opened == 1);
	for (int i = 0; i < 100; i++)
		grpc_stream_send(world.served.stream, zeros, SMALL);
	grpc_stream_finish(world.served.stream, GRPC_OK, NULL);
	world_until(&world, world.called.done == 1 && world.served.closed == 1);
	cr_expect_eq(world.called.status, GRPC_DEADLINE_EXCEEDED);
	cr_expect_neq(world.served.status, GRPC_OK);
	(void)call;
	world_close(&world);
}

/* What the socket's buffer hides from grpc_call_queued is bounded. */
Test(grpc_flow, queued_bytes_are_the_callers_to_see)
{
	int fd, small = 4096;
	struct grpc_call_options options = {.context = &world, .on_done = called_done};
	struct bufferevent *pair[2];
	struct grpc_call *call;

	(void)fd;
	(void)small;
	world_serve(&world, "tcp", NULL);
	cr_assert_eq(bufferevent_pair_new(world.base, 0, pair), 0);
	struct grpc_client_options client = world_client_options(&world);
	cr_assert_eq(grpc_client_open_on(world.base, pair[0], &client, &world.client), 0);
	/* A peer with a huge window that does not read. */
	static const uint8_t settings[] = {
		0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff, 0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0};
	bufferevent_write(pair[1], settings, sizeof(settings));
	bufferevent_enable(pair[1], EV_WRITE);
	bufferevent_disable(pair[1], EV_READ);
	world_until(&world, world.up == 1);
	cr_assert_eq(grpc_call_open(world.client, "/t.T/Slow", &options, &call), 0);
	for (int i = 0; i < 16; i++)
		cr_assert_eq(grpc_call_send(call, zeros, sizeof(zeros) / 4), 0);
	world_for(&world, 50);
	cr_expect_geq(grpc_call_queued(call), 4 * sizeof(zeros) - 512 * KIBI);
	cr_expect_leq(grpc_call_queued(call), 4 * sizeof(zeros));
	grpc_client_close(world.client);
	world.client = NULL;
	cr_expect_eq(world.called.by_status[GRPC_CANCELLED], 1);
	bufferevent_free(pair[1]);
	world_close(&world);
}
