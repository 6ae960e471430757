/* SPDX-License-Identifier: Apache-2.0 */
/* The stream to a collector that the test is: what is under way, and when it is a queue. */
#include "sensor/stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/envelope.h"
#include "event/wire.h"
#include "grpc/trust.h"
#include "sensor/encode.h"
#include "taffrail/v1/stream.pb-c.h"
#include "test_grpc.h"

enum { PATH_BYTES = 4000 };

static struct {
	struct event_base *base;
	struct grpc_server *server;
	struct grpc_stream *peer; /* the sensor's; NULL: none */
	struct stream *stream;
	struct wire_batch *batch;
	struct event_host host;
	char folder[32];
	uint64_t sent, received; /* last sequences */
	uint64_t events, without_ancestors;
	size_t largest; /* message, bytes */
	/* What the collector's hello says, and what that of the sensor has said. */
	const char *store;
	uint64_t stored;
	unsigned hellos;
	uint64_t acknowledged;
	char elsewhere[200]; /* "A 3, B 9": the store's first byte, or - */
	/* Of batches with this number it refuses so many; what it took instead. */
	uint64_t refused;
	unsigned refusals;
	bool refuses_records;   /* of losses, too */
	struct event_lost lost; /* but for its stage, which is the spool's */
} test;

static void send_down(const Taffrail__V1__Down *down)
{
	uint8_t bytes[256];

	cr_assert_eq(grpc_stream_send(test.peer, bytes, taffrail__v1__down__pack(down, bytes)), 0);
}

static void take_hello(const uint8_t *bytes, size_t length)
{
	Taffrail__V1__Up *up = taffrail__v1__up__unpack(NULL, length, bytes);
	size_t at = 0;

	cr_assert(up && up->message_case == TAFFRAIL__V1__UP__MESSAGE_HELLO);
	test.hellos++;
	test.acknowledged = up->hello->acknowledged;
	test.events = test.received = test.acknowledged > test.stored ? test.acknowledged : test.stored;
	test.elsewhere[0] = '\0';
	for (size_t i = 0; i < up->hello->n_elsewhere; i++) {
		const Taffrail__V1__Elsewhere *entry = up->hello->elsewhere[i];

		cr_assert(entry->store.len == 0 || entry->store.len == 16);
		at += (size_t)snprintf(test.elsewhere + at, sizeof(test.elsewhere) - at, "%s%c %d", i > 0 ? ", " : "",
			entry->store.len ? entry->store.data[0] : '-', (int)entry->sequence);
	}
	taffrail__v1__up__free_unpacked(up, NULL);
}

/* Does it refuse the batch? */
static bool refuse(struct grpc_stream *stream, const struct wire_events *events)
{
	const bool lost = events->count > 0 && events->events[0].action == EVENT_LOST;

	if (events->first > test.refused || events->last < test.refused || test.refusals == 0 ||
		(lost && !test.refuses_records))
		return false;
	test.refusals--;
	test.peer = NULL;
	grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, "a batch is refused: it does not please");
	return true;
}

static void on_up(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__DownHello hello = TAFFRAIL__V1__DOWN_HELLO__INIT;
	char why[WIRE_WHY_SIZE];
	struct wire_events events;
	enum envelope_kind kind;
	struct text inside;

	(void)data;
	cr_assert_eq(envelope_open((struct text){(const char *)bytes, length}, &kind, &inside), 0);
	test.peer = stream;
	if (kind == ENVELOPE_HELLO) {
		take_hello(bytes, length);
		hello.stored = test.stored;
		if (test.store)
			hello.store = (ProtobufCBinaryData){16, (uint8_t *)(uintptr_t)test.store};
		down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_HELLO;
		down.hello = &hello;
		send_down(&down);
		return;
	}
	cr_assert_eq(wire_read(&events, inside.data, inside.length, why), 0, "%s", why);
	if (refuse(stream, &events)) {
		wire_free(&events);
		return;
	}
	test.received = events.last;
	test.largest = length > test.largest ? length : test.largest;
	for (size_t i = 0; i < events.count; i++) {
		const struct event_process *process = events.events[i].process;

		if (events.events[i].action == EVENT_LOST) {
			cr_assert(text_equal(events.events[i].lost.stage, text_of("spool")));
			test.lost = events.events[i].lost;
			test.events += events.events[i].lost.count - 1;
		}
		cr_assert_eq(events.events[i].sequence, ++test.events);
		test.without_ancestors += process && process->truncated & EVENT_CUT_ANCESTORS && !process->parent;
	}
	wire_free(&events);
}

static void acknowledge(void)
{
	Taffrail__V1__Down down = TAFFRAIL__V1__DOWN__INIT;
	Taffrail__V1__Ack ack = TAFFRAIL__V1__ACK__INIT;

	ack.sequence = test.received;
	down.message_case = TAFFRAIL__V1__DOWN__MESSAGE_ACK;
	down.ack = &ack;
	send_down(&down);
}

/* Runs the collector until the condition holds. */
#define until(condition) until_within(5, condition)
#define until_within(seconds, condition)                                                                               \
	do {                                                                                                           \
		uint64_t end_ = test_now_ms() + (seconds)*1000;                                                        \
		while (!(condition)) {                                                                                 \
			cr_assert_lt(test_now_ms(), end_, "waited " #seconds " seconds for: %s", #condition);          \
			event_base_loop(test.base, EVLOOP_NONBLOCK);                                                   \
			usleep(500);                                                                                   \
		}                                                                                                      \
	} while (0)

/* One batch of some `bytes`, which the collector has when this returns, and has not acknowledged. */
static void send_bytes(size_t bytes)
{
	static char path[PATH_BYTES];
	struct event event = {.action = EVENT_OPEN, .count = 1, .file.path = {path, sizeof(path)}};
	uint64_t first = test.sent + 1;

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	while (wire_batch_size(test.batch) < bytes) {
		event.sequence = ++test.sent;
		wire_batch_add(test.batch, &event);
	}
	cr_assert_eq(stream_send(test.stream, wire_batch_finish(test.batch, &test.host, first, test.sent), first,
			     test.sent, NULL),
		0);
	until(test.received == test.sent);
}

static void set_up(void)
{
	static const struct grpc_handler handlers[] = {
		{.path = "/taffrail.v1.Collector/Stream", .on_message = on_up},
	};
	const struct grpc_server_options options = {.handlers = handlers, .handler_count = 1};
	struct grpc_address address;
	char text[64], why[256], *collectors[] = {text};

	strcpy(test.folder, "/tmp/taffrail-stream-XXXXXX");
	cr_assert_not_null(mkdtemp(test.folder));
	snprintf(text, sizeof(text), "unix:%s/socket", test.folder);
	test.base = event_base_new();
	test.host = (struct event_host){.id = TEXT_LITERAL("here"), .epoch = {1}};
	cr_assert_eq(wire_batch_open(&test.batch), 0);
	cr_assert_eq(stream_open(&test.stream, &(struct stream_options){.collectors = collectors,
						       .collector_count = 1,
						       .host = &test.host,
						       .trust = &(const struct grpc_trust){0},
						       .memory_bytes = 64 << 20}),
		0);
	cr_assert_not(stream_is_behind(test.stream, SIZE_MAX / 2), "nobody answers");
	cr_assert_eq(grpc_server_open(test.base, &options, &test.server), 0);
	cr_assert_eq(grpc_address_parse(text, &address, why, sizeof(why)), 0);
	cr_assert_eq(grpc_server_listen(test.server, &address, NULL, why, sizeof(why)), 0, "%s", why);
	until(stream_is_behind(test.stream, SIZE_MAX / 2));
}

static void tear_down(void)
{
	(void)stream_close(test.stream);
	grpc_server_close(test.server);
	event_base_free(test.base);
	wire_batch_close(test.batch);
	rmdir(test.folder);
}

TestSuite(stream, .init = set_up, .fini = tear_down, .timeout = 60);

Test(stream, what_is_under_way_is_a_queue_when_it_is_much)
{
	cr_assert_not(stream_is_behind(test.stream, 200 << 10));
	cr_assert(stream_is_behind(test.stream, 300 << 10));
	send_bytes(300 << 10);
	cr_assert(stream_is_behind(test.stream, 0));
	acknowledge();
	until(stream_idle(test.stream));
	cr_assert_not(stream_is_behind(test.stream, 0));
}

Test(stream, late_acknowledgements_make_it_smaller)
{
	for (unsigned int i = 0; i < 4; i++) {
		send_bytes(10 << 10);
		acknowledge();
		until(stream_idle(test.stream));
	}
	for (unsigned int i = 0; i < 10; i++) {
		send_bytes(10 << 10);
		usleep(60000);
		acknowledge();
		until(stream_idle(test.stream));
	}
	cr_assert(stream_is_behind(test.stream, 100 << 10));
	cr_assert_not(stream_is_behind(test.stream, 60 << 10), "so much never is one");
}

Test(stream, quick_ones_make_it_larger_where_it_is_used)
{
	for (unsigned int i = 0; i < 20; i++) {
		send_bytes(10 << 10);
		acknowledge();
		until(stream_idle(test.stream));
	}
	cr_assert(stream_is_behind(test.stream, 300 << 10), "it was not used");
	for (unsigned int i = 0; i < 500 && stream_is_behind(test.stream, 400 << 10); i++) {
		send_bytes(300 << 10);
		acknowledge();
		until(stream_idle(test.stream));
	}
	cr_assert_not(stream_is_behind(test.stream, 400 << 10));
}

Test(stream, nothing_is_one_when_the_collector_is_gone)
{
	send_bytes(300 << 10);
	cr_assert(stream_is_behind(test.stream, 0));
	grpc_stream_finish(test.peer, GRPC_UNAVAILABLE, "it goes");
	until(!stream_is_behind(test.stream, SIZE_MAX / 2));
}

/* The collector goes, and comes with that store, which has so much. */
static void come_again(const char *store, uint64_t stored)
{
	const unsigned before = test.hellos;

	test.store = store;
	test.stored = stored;
	grpc_stream_finish(test.peer, GRPC_UNAVAILABLE, "it goes");
	until(test.hellos > before);
}

Test(stream, a_hello_says_which_store_has_what)
{
	static const char a[17] = "AAAAAAAAAAAAAAAA", b[17] = "BBBBBBBBBBBBBBBB";

	cr_assert_str_empty(test.elsewhere);
	send_bytes(1);
	acknowledge();
	until(stream_idle(test.stream));
	come_again(a, 1);
	cr_assert_str_eq(test.elsewhere, "- 1", "an older collector's has no name");
	send_bytes(1);
	send_bytes(1);
	come_again(b, 0);
	cr_assert_str_eq(test.elsewhere, "- 1, A 1", "what A has stored it said in its hello, and nothing since");
	until(test.received == 3);
	acknowledge();
	until(stream_idle(test.stream));
	come_again(a, 2);
	cr_assert_str_eq(test.elsewhere, "- 1, A 1, B 3");
	come_again(b, 3);
	cr_assert_str_eq(test.elsewhere, "- 1, A 2, B 3");
	cr_assert_eq(test.acknowledged, 3, "for collectors that look at nothing else");
}

Test(stream, what_was_never_made_is_no_acknowledgement)
{
	const unsigned before = test.hellos;

	send_bytes(1);
	send_bytes(1);
	cr_assert_eq(stream_unmade(test.stream), 0);
	test.received = 3; /* and that is what it acknowledges */
	acknowledge();
	until(test.hellos > before);
	cr_assert(test.acknowledged == 0 && !stream_idle(test.stream));
	cr_assert_eq(stream_unmade(test.stream), 3);
	cr_assert_eq(stream_unmade(test.stream), 0, "once");
	until(test.received == 2);
	come_again(NULL, 1000);
	until(test.hellos > before + 3);
	cr_assert(test.acknowledged == 0 && test.received == 1000 && !stream_idle(test.stream),
		"it is neither believed nor sent anything");
	/* One that says what is so. */
	test.stored = 1;
	until(test.received == 2);
	acknowledge();
	until(stream_idle(test.stream));
}

/* Three batches of three events, which go as soon as they may. */
static void send_three(void)
{
	struct event event = {.action = EVENT_EXEC, .count = 1};

	for (int i = 0; i < 3; i++) {
		const uint64_t first = test.sent + 1;

		while (test.sent < first + 2) {
			event.sequence = ++test.sent;
			wire_batch_add(test.batch, &event);
		}
		cr_assert_eq(stream_send(test.stream, wire_batch_finish(test.batch, &test.host, first, test.sent),
				     first, test.sent, NULL),
			0);
	}
}

/* What came is stored; nothing of a call that it has ended itself. */
static void store(void)
{
	if (!test.peer || test.received <= test.stored)
		return;
	acknowledge();
	test.stored = test.received;
}

static uint64_t refused_batches(void)
{
	struct stream_counters counters;

	stream_counters(test.stream, &counters);
	return counters.refused;
}

Test(stream, a_batch_that_is_refused_for_what_is_in_it_holds_up_nothing)
{
	test.refused = 5;
	test.refusals = 100;
	send_three();
	until((store(), stream_idle(test.stream)));
	cr_assert_eq(100 - test.refusals, 4, "once among others, and three times alone: %u", 100 - test.refusals);
	cr_assert(test.events == 9 && refused_batches() == 1);
	cr_assert(test.lost.first == 4 && test.lost.last == 6 && test.lost.count == 3);
	cr_assert_eq(test.lost.kinds, 1ull << EVENT_EXEC);
}

Test(stream, what_is_refused_and_taken_later_is_not_lost)
{
	test.refused = 5;
	test.refusals = 3;
	send_three();
	until((store(), stream_idle(test.stream)));
	cr_assert(test.events == 9 && test.lost.count == 0 && refused_batches() == 0);
}

/* One that refuses what is said in its place, too, takes nothing of this sensor's: nothing is given up for it. */
Test(stream, nothing_is_lost_to_a_collector_that_refuses_all)
{
	test.refused = 5;
	test.refusals = 1 + 3 + 2;
	test.refuses_records = true;
	send_three();
	until_within(20, (store(), stream_idle(test.stream))); /* each try comes later than the one before */
	cr_assert(test.events == 9 && test.lost.count == 0 && refused_batches() == 0);
}

/* Each of them alone would fit, or would not: with 64 ancestors of so many bytes. */
Test(stream, no_batch_is_larger_than_a_collector_takes)
{
	enum { ANCESTORS = 64, LARGE = 100 << 10 };
	static const size_t sizes[] = {25 << 10, 45 << 10, LARGE, LARGE};
	static struct event_process chain[ANCESTORS + 1];
	static char args[LARGE];
	const struct event_rule rule = {.name = TEXT_LITERAL("r"), .message = {args, LARGE}};
	struct event event = {.action = EVENT_EXEC, .count = 1};
	struct encoder *encoder;

	memset(args, 'x', sizeof(args));
	cr_assert_eq(encode_open_stream(&encoder, test.stream, &test.host, NULL), 0);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i <= ANCESTORS; i++) {
			chain[i] = (struct event_process){.exec_counter = (uint32_t)i,
				.entity = {(uint8_t)(round + 1)},
				.args = {args, sizes[round]},
				.image_known = true,
				.parent = i > 0 ? &chain[i - 1] : NULL};
		}
		event.rule = round == 3 ? &rule : NULL;
		for (int i = 0; i < 3; i++) {
			event.process = &chain[i == 1 ? ANCESTORS : 0];
			event.sequence++;
			encode_event(encoder, &event);
		}
	}
	encode_flush(encoder, 0, true);
	until(test.received == event.sequence);
	cr_assert_eq(test.events, event.sequence);
	cr_assert_eq(test.without_ancestors, 2, "%d", (int)test.without_ancestors);
	cr_assert_leq(test.largest, 4 << 20);
	acknowledge();
	encode_close(encoder);
}
