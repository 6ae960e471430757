/* SPDX-License-Identifier: Apache-2.0 */
/* Connections by which nobody asks for anything, and names that have many: they keep nobody out. */
#include "test_grpc.h"
#include "test_tls.h"

#define PLACES 8

static struct world world;
static struct papers papers;
static struct grpc_tls *server_tls, *names[3];

/* One of many clients, with a call if it makes one. */
struct guest {
	struct grpc_client *client;
	struct grpc_call *call;
	int up, down, answers, done;
	enum grpc_status status;
	char reason[200], message[200];
};

static struct guest guests[PLACES + 4];

static void guest_up(void *context)
{
	((struct guest *)context)->up++;
}

static void guest_down(void *context, int error, const char *reason)
{
	struct guest *guest = context;

	(void)error;
	guest->down++;
	snprintf(guest->reason, sizeof(guest->reason), "%s", reason);
}

static void guest_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	(void)call;
	(void)bytes;
	(void)length;
	((struct guest *)context)->answers++;
}

static void guest_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct guest *guest = context;

	(void)call;
	guest->done++;
	guest->status = status;
	guest->call = NULL;
	snprintf(guest->message, sizeof(guest->message), "%s", message);
}

static struct guest *come(int at, struct grpc_tls *tls)
{
	struct guest *guest = &guests[at];
	const struct grpc_client_options options = {
		.context = guest, .on_up = guest_up, .on_down = guest_down, .tls = tls};

	*guest = (struct guest){0};
	cr_assert_eq(grpc_client_open(world.base, &world.address, &options, &guest->client), 0);
	return guest;
}

static void call(struct guest *guest, const char *path)
{
	const struct grpc_call_options options = {.context = guest, .on_message = guest_message, .on_done = guest_done};

	cr_assert_eq(grpc_call_open(guest->client, path, &options, &guest->call), 0);
}

/* It is up, and has called and got an answer. */
static struct guest *come_and_ask(int at, struct grpc_tls *tls)
{
	struct guest *guest = come(at, tls);

	call(guest, "/t.T/Echo");
	cr_assert_eq(grpc_call_send(guest->call, "x", 1), 0);
	world_until(&world, guest->answers == 1);
	return guest;
}

static struct guest *come_and_say_nothing(int at, struct grpc_tls *tls)
{
	struct guest *guest = come(at, tls);

	world_until(&world, guest->up == 1);
	return guest;
}

static struct grpc_server_counters counted(void)
{
	struct grpc_server_counters counters;

	grpc_server_counters(world.server, &counters);
	return counters;
}

static void open_world(struct grpc_server_options options)
{
	papers_open(&papers);
	papers_issue(&papers, "second", "DNS:second.example");
	papers_issue(&papers, "stranger", "DNS:stranger.example");
	server_tls = papers_load(&papers, "ca.pem", "server");
	names[0] = papers_load(&papers, "ca.pem", "sensor");
	names[1] = papers_load(&papers, "ca.pem", "second");
	names[2] = papers_load(&papers, "ca.pem", "stranger");
	options.tls = server_tls;
	options.max_connections = PLACES;
	world_serve(&world, "tcp", &options);
}

static void close_world(void)
{
	for (size_t i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		grpc_client_close(guests[i].client);
		guests[i].client = NULL;
	}
	world_close(&world);
	for (int i = 0; i < 3; i++)
		grpc_tls_close(names[i]);
	grpc_tls_close(server_tls);
	papers_close(&papers);
}

/* --- all places taken ------------------------------------------------------------------------------------------------- */

Test(grpc_room, who_asks_for_nothing_makes_room)
{
	struct grpc_server_options options = world_server_options(&world);

	options.max_connections_per_name = PLACES;
	open_world(options);
	for (int i = 0; i < PLACES; i++) {
		struct guest *guest = come_and_say_nothing(i, names[0]);

		if (i % 2 == 0)
			call(guest, "/t.T/Sink"); /* and sends nothing in it */
	}
	world_until(&world, counted().streams_open == PLACES / 2);
	cr_expect_eq(counted().connections_open, PLACES);
	for (int i = 0; i < 3; i++)
		come_and_ask(PLACES + i, names[0]);
	world_until(&world, guests[0].down && guests[1].down && guests[2].down);
	cr_expect(strstr(world.trouble, "(sensor.taffrail): too many connections: it asked for nothing"), "%s",
		world.trouble);
	cr_expect_eq(counted().connections_evicted, 3, "the longest silent ones, and no others");
	cr_expect_eq(counted().connections_refused, 3);
	for (int i = 3; i < PLACES; i++)
		cr_expect_eq(guests[i].down, 0, "%d", i);
	/* A call that has ended leaves its connection without one again, and the last in the queue. */
	grpc_call_half_close(guests[PLACES].call);
	world_until(&world, guests[PLACES].done == 1);
	for (int i = 0; i < 3; i++)
		grpc_client_close(guests[i].client);
	for (int i = 0; i < 3; i++)
		come_and_ask(i, names[1]);
	cr_expect_eq(guests[PLACES].down, 0);
	close_world();
}

Test(grpc_room, who_has_asked_keeps_its_place)
{
	struct grpc_server_options options = world_server_options(&world);

	options.max_connections_per_name = PLACES;
	open_world(options);
	for (int i = 0; i < PLACES; i++)
		come_and_ask(i, names[0]);
	come(PLACES, names[1]);
	world_until(&world, guests[PLACES].down == 1);
	for (int i = 0; i < PLACES; i++) {
		cr_assert_eq(grpc_call_send(guests[i].call, "y", 1), 0);
		world_until(&world, guests[i].answers == 2);
	}
	cr_expect_eq(counted().connections_evicted, 0);
	cr_expect_eq(counted().connections_refused, 1);
	close_world();
}

/* One name, be it of all nodes, leaves room for another; those of it that ask for nothing go first. */
Test(grpc_room, a_name_has_a_share)
{
	open_world(world_server_options(&world)); /* 7 of 8 */
	for (int i = 0; i < 6; i++)
		come_and_ask(i, names[0]);
	come_and_say_nothing(6, names[0]);
	come_and_ask(7, names[0]);
	world_until(&world, guests[6].down == 1);
	cr_expect_eq(counted().connections_evicted, 1);
	cr_expect_eq(counted().connections_over_share, 0);
	grpc_client_close(guests[6].client);
	come(6, names[0]);
	world_until(&world, guests[6].down == 1);
	cr_expect_eq(counted().connections_over_share, 1);
	cr_expect(strstr(world.trouble, "(sensor.taffrail): too many connections of this certificate's name"), "%s",
		world.trouble);
	come_and_ask(PLACES, names[1]);
	for (int i = 0; i < 6; i++)
		cr_expect_eq(guests[i].down, 0, "%d", i);
	close_world();
}

/* --- time ------------------------------------------------------------------------------------------------------------- */

Test(grpc_room, who_asks_for_nothing_has_its_time)
{
	struct grpc_server_options options = world_server_options(&world);
	uint64_t start = test_now_ms();

	options.first_message_timeout_ms = 300;
	open_world(options);
	come_and_say_nothing(0, names[0]);
	call(come_and_say_nothing(1, names[0]), "/t.T/Sink");
	come_and_ask(2, names[0]);
	world_until(&world, guests[0].down && guests[1].down);
	cr_expect_geq(test_now_ms() - start, 290);
	cr_expect_eq(guests[1].status, GRPC_UNAVAILABLE);
	cr_expect(strstr(world.trouble, "(sensor.taffrail): it asked for nothing in time"), "%s", world.trouble);
	cr_expect_eq(counted().connections_timed_out, 2);
	world_for(&world, 400);
	cr_expect_eq(guests[2].down, 0, "it said something once: keep-alive looks after it");
	close_world();
}

/* --- rights ----------------------------------------------------------------------------------------------------------- */

static bool admit_peer(void *context, const struct grpc_identity *identity)
{
	(void)context;
	return strcmp(identity->names[0], "stranger.example") != 0;
}

static enum grpc_status admit(void *context, const struct grpc_stream *stream, char *why, size_t why_size)
{
	snprintf(why, why_size, "not you");
	return admit_peer(context, grpc_stream_identity(stream)) ? GRPC_OK : GRPC_PERMISSION_DENIED;
}

Test(grpc_room, who_may_do_nothing_is_told_so_and_goes)
{
	struct grpc_server_options options = world_server_options(&world);
	uint64_t start;

	options.admit_peer = admit_peer;
	options.admit = admit;
	open_world(options);
	come_and_ask(0, names[0]);
	come(1, names[2]);
	call(&guests[1], "/t.T/Echo");
	world_until(&world, guests[1].done == 1);
	cr_expect_eq(guests[1].status, GRPC_PERMISSION_DENIED);
	cr_expect_str_eq(guests[1].message, "not you");
	start = test_now_ms();
	world_until(&world, guests[1].down == 1);
	cr_expect_lt(test_now_ms() - start, 1500, "it was told, and has no place any more");
	come_and_say_nothing(2, names[2]);
	start = test_now_ms();
	world_until(&world, guests[2].down == 1);
	cr_expect_lt(test_now_ms() - start, 3500);
	cr_expect_eq(counted().peers_refused, 2);
	cr_expect_eq(guests[0].down, 0);
	close_world();
}

/* It goes before all others, however short it is there. */
Test(grpc_room, who_may_do_nothing_makes_room_first)
{
	struct grpc_server_options options = world_server_options(&world);

	options.admit_peer = admit_peer;
	options.max_connections_per_name = PLACES;
	open_world(options);
	for (int i = 0; i < PLACES; i++)
		come_and_say_nothing(i, names[i == PLACES - 1 ? 2 : 0]);
	come_and_ask(PLACES, names[0]);
	world_until(&world, guests[PLACES - 1].down == 1);
	for (int i = 0; i < PLACES - 1; i++)
		cr_expect_eq(guests[i].down, 0, "%d", i);
	close_world();
}

/* --- what calls hold ---------------------------------------------------------------------------------------------------- */

Test(grpc_room, headers_are_as_many_as_is_said)
{
	struct grpc_server_options options = world_server_options(&world);
	char value[101];
	int fd;

	memset(value, 'a', 100);
	value[100] = '\0';
	options.max_header_bytes = 600;
	options.max_streams = 2;
	world_serve(&world, "unix", &options);
	fd = raw_connect(&world);
	raw_hello(fd);
	raw_headers(fd, 1, 0, RAW_REQUEST("/t.T/Sink"));
	world_until(&world, world.served.opened == 1);
	raw_headers(fd, 3, 0,
		(const char *const[]){":method", "POST", ":scheme", "http", ":path", "/t.T/Sink", ":authority", "x",
			"te", "trailers", "content-type", "application/grpc", "x-1", value, "x-2", value, "x-3", value,
			NULL});
	world_until(&world, counted().streams_faulted == 1);
	cr_expect(strstr(world.trouble, "more headers than this side takes"), "%s", world.trouble);
	cr_expect_eq(world.served.opened, 1);
	world_for(&world, 50);
	raw_headers(fd, 5, 0, RAW_REQUEST("/t.T/Sink"));
	world_until(&world, world.served.opened == 2);
	raw_headers(fd, 7, 0, RAW_REQUEST("/t.T/Sink"));
	world_for(&world, 100);
	cr_expect_eq(world.served.opened, 2, "two at a time");
	close(fd);
	world_close(&world);
}
