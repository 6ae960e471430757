/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of user/collector/: its rooms on a real socket, and sensors that are clients in the same loop. */
#ifndef TAFFRAIL_TEST_COLLECTOR_H
#define TAFFRAIL_TEST_COLLECTOR_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <criterion/criterion.h>
#include <event2/event.h>

#include "base/buffer.h"
#include "collector/access.h"
#include "collector/account_wire.h"
#include "collector/owners.h"
#include "collector/query.h"
#include "collector/receive.h"
#include "collector/status.h"
#include "grpc/client.h"
#include "taffrail/v1/stream.pb-c.h"

static const struct text host_id = TEXT_STATIC("node-1");

struct room {
	struct event_base *base;
	struct store *store;
	struct receiver *receiver;
	struct query *query;
	struct status *status;
	struct grpc_server *server;
	struct grpc_address address;
	struct grpc_tls *tls, *client_tls; /* NULL: plain text */
	enum grpc_status (*admit)(void *context, const struct grpc_stream *stream, char *why, size_t why_size);
	struct access access;
	char folder[64];
	void (*step)(void); /* called at each step on the way of what was stored; may be NULL */
	char stored[4096];  /* the sequences that were handed on */
	uint64_t count;
};

/* A connection and what came over it. */
struct peer {
	struct grpc_client *client;
	struct grpc_call *call;
	int hellos, done;
	uint64_t stored, acked, acks;
	struct account_books books; /* of the hello's answer */
	uint8_t store[STORE_ID_SIZE];
	size_t store_size;
	enum grpc_status status;
	char message[300];
	uint64_t events, passed_over; /* of a watcher */
};

static inline void on_stored(void *context, const struct received *received)
{
	struct room *room = context;

	if (room->step)
		room->step();
	for (size_t i = 0; i < received->events->count; i++) {
		uint64_t sequence = received->events->events[i].sequence;
		size_t used = strlen(room->stored);

		if (sequence < received->first)
			continue;
		room->count++;
		snprintf(room->stored + used, sizeof(room->stored) - used, "%llu ", (unsigned long long)sequence);
	}
	query_events(room->query, received->events, received->first);
}

/* No test's store is such that what it has cannot be read. */
static inline void on_missed(void *context, uint64_t events)
{
	(void)context;
	cr_assert_fail("%llu events were missed", (unsigned long long)events);
}

static inline void on_synced(void *context)
{
	struct room *room = context;

	if (room->step)
		room->step();
}

/* --- turning ---------------------------------------------------------------------------------------------------------- */

static inline void on_tick(evutil_socket_t fd, short what, void *base)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(base);
}

static inline void turn(struct room *room)
{
	event_base_once(room->base, -1, EV_TIMEOUT, on_tick, room->base, &(struct timeval){0, 5000});
	event_base_loop(room->base, EVLOOP_ONCE);
}

#define until(room, condition)                                                                                         \
	do {                                                                                                           \
		time_t end_ = time(NULL) + 10;                                                                         \
		while (!(condition) && time(NULL) < end_)                                                              \
			turn(room);                                                                                    \
		cr_assert(condition, "waited ten seconds for: %s", #condition);                                        \
	} while (0)

static inline void turn_for(struct room *room, int turns)
{
	while (turns-- > 0)
		turn(room);
}

/* --- the room --------------------------------------------------------------------------------------------------------- */

static inline void open_store(struct room *room)
{
	char why[300], data[100];

	snprintf(data, sizeof(data), "%s/data", room->folder);
	cr_assert_eq(store_open(&room->store, data, 0, why, sizeof(why)), 0, "%s", why);
}

static inline void serve(struct room *room)
{
	const struct receiver_options options = {.base = room->base,
		.store = room->store,
		.on_stored = on_stored,
		.on_missed = on_missed,
		.on_synced = on_synced,
		.context = room,
		.access = &room->access};
	struct grpc_handler handlers[3];
	struct grpc_server_options server = {.handlers = handlers,
		.handler_count = 3,
		.tls = room->tls,
		.admit = room->admit,
		.context = &room->access};
	char error[300];

	cr_assert_eq(receiver_open(&room->receiver, &options), 0);
	cr_assert_eq(query_open(&room->query), 0);
	handlers[0] = receiver_handler(room->receiver);
	handlers[1] = query_watch_handler(room->query);
	cr_assert_eq(status_open(&room->status, room->store, room->receiver), 0);
	handlers[2] = status_handler(room->status);
	cr_assert_eq(grpc_server_open(room->base, &server, &room->server), 0);
	room->address = (struct grpc_address){.kind = GRPC_ADDRESS_UNIX};
	snprintf(room->address.path, sizeof(room->address.path), "%s/s", room->folder);
	cr_assert_eq(grpc_server_listen(room->server, &room->address, NULL, error, sizeof(error)), 0, "%s", error);
}

static inline void open_room(struct room *room)
{
	*room = (struct room){.folder = "/tmp/taffrail-receive-XXXXXX"};
	cr_assert_not_null(mkdtemp(room->folder));
	room->base = event_base_new();
	open_store(room);
	serve(room);
}

static inline void close_rooms(struct room *room)
{
	grpc_server_close(room->server);
	receiver_finish(room->receiver);
	receiver_close(room->receiver);
	query_close(room->query);
	status_close(room->status);
	store_close(room->store);
}

static inline void close_room(struct room *room)
{
	char command[100];

	close_rooms(room);
	event_base_loop(room->base, EVLOOP_NONBLOCK);
	event_base_free(room->base);
	snprintf(command, sizeof(command), "rm -r '%s'", room->folder);
	cr_assert_eq(system(command), 0);
}

/* --- sensors ---------------------------------------------------------------------------------------------------------- */

static inline void peer_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	Taffrail__V1__Down *down = taffrail__v1__down__unpack(NULL, length, bytes);
	struct peer *peer = context;

	(void)call;
	cr_assert_not_null(down);
	if (down->message_case == TAFFRAIL__V1__DOWN__MESSAGE_HELLO) {
		peer->hellos++;
		peer->stored = down->hello->stored;
		peer->store_size = down->hello->store.len;
		cr_assert_leq(peer->store_size, sizeof(peer->store));
		if (peer->store_size > 0)
			memcpy(peer->store, down->hello->store.data, peer->store_size);
		if (down->hello->books)
			peer->books = (struct account_books){true, down->hello->books->closed, down->hello->books->seen,
				down->hello->books->settled, down->hello->books->held, down->hello->books->undeclared};
	} else {
		cr_assert_eq(down->message_case, TAFFRAIL__V1__DOWN__MESSAGE_ACK);
		peer->acked = down->ack->sequence;
		peer->acks++;
	}
	taffrail__v1__down__free_unpacked(down, NULL);
}

static inline void peer_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct peer *peer = context;

	(void)call;
	peer->call = NULL;
	peer->done++;
	peer->status = status;
	snprintf(peer->message, sizeof(peer->message), "%s", message);
}

static inline void connect_peer(
	struct room *room, struct peer *peer, const char *path, struct grpc_call_options options)
{
	struct grpc_client_options client = {.window_bytes = 65536, .tls = room->client_tls};

	options.context = peer;
	options.on_done = peer_done;
	*peer = (struct peer){0};
	cr_assert_eq(grpc_client_open(room->base, &room->address, &client, &peer->client), 0);
	cr_assert_eq(grpc_call_open(peer->client, path, &options, &peer->call), 0);
}

static inline void connect_sensor(struct room *room, struct peer *peer)
{
	connect_peer(
		room, peer, "/taffrail.v1.Collector/Stream", (struct grpc_call_options){.on_message = peer_message});
}

/* Which store has acknowledged what; the list ends with sequence 0. */
struct said_elsewhere {
	const uint8_t *store; /* NULL: one without a name */
	uint64_t sequence;
};

static inline void say_hello_with(struct peer *peer, const char *id, const uint8_t *epoch, size_t epoch_size,
	uint64_t acknowledged, const struct said_elsewhere *said)
{
	Taffrail__V1__Elsewhere entries[8], *list[8];
	Taffrail__V1__Up up = TAFFRAIL__V1__UP__INIT;
	Taffrail__V1__UpHello hello = TAFFRAIL__V1__UP_HELLO__INIT;
	Taffrail__V1__Host host = TAFFRAIL__V1__HOST__INIT;
	uint8_t bytes[1000];

	host.id = (char *)(uintptr_t)id;
	hello.host = &host;
	hello.epoch = (ProtobufCBinaryData){epoch_size, (uint8_t *)(uintptr_t)epoch};
	hello.acknowledged = acknowledged;
	hello.elsewhere = list;
	for (; said && said->sequence > 0; said++) {
		Taffrail__V1__Elsewhere *entry = list[hello.n_elsewhere] = &entries[hello.n_elsewhere];

		taffrail__v1__elsewhere__init(entry);
		if (said->store)
			entry->store = (ProtobufCBinaryData){STORE_ID_SIZE, (uint8_t *)(uintptr_t)said->store};
		entry->sequence = said->sequence;
		hello.n_elsewhere++;
	}
	up.message_case = TAFFRAIL__V1__UP__MESSAGE_HELLO;
	up.hello = &hello;
	cr_assert_eq(grpc_call_send(peer->call, bytes, taffrail__v1__up__pack(&up, bytes)), 0);
}

static inline void say_hello_of(
	struct peer *peer, const char *id, const uint8_t *epoch, size_t epoch_size, uint64_t acknowledged)
{
	say_hello_with(peer, id, epoch, epoch_size, acknowledged, NULL);
}

static inline void say_hello(struct peer *peer, const char *id, const uint8_t *epoch, size_t epoch_size)
{
	say_hello_of(peer, id, epoch, epoch_size, 0);
}

static const uint8_t epoch[EVENT_EPOCH_SIZE] = {0xe0, 1};

/* A connection that has said hello and was answered. */
static inline void open_sensor(struct room *room, struct peer *peer)
{
	connect_sensor(room, peer);
	say_hello(peer, host_id.data, epoch, sizeof(epoch));
	until(room, peer->hellos == 1);
}

/* Up{batch} of execs first to last, each with arguments of so many bytes. */
static inline struct buffer *make_batch_of(
	const char *of_host, const uint8_t *of_epoch, uint64_t first, uint64_t last, size_t size)
{
	struct event_host host = {.id = text_of(of_host)};
	struct event_container container = {.pod_name = TEXT_LITERAL("web-1"), .pod_namespace = TEXT_LITERAL("shop")};
	struct event event = {.host = &host, .container = &container, .count = 1};
	char *path = calloc(1, size + 1);
	struct wire_batch *batch;
	struct buffer *bytes;

	memset(path, 'x', size);
	memcpy(host.epoch, of_epoch, sizeof(host.epoch));
	cr_assert_eq(wire_batch_open(&batch), 0);
	for (event.sequence = first; event.sequence <= last; event.sequence++) {
		event.action = event.sequence % 2 ? EVENT_EXEC : EVENT_OPEN;
		event.file.argument = text_of(path);
		wire_batch_add(batch, &event);
	}
	bytes = wire_batch_finish(batch, &host, first, last);
	cr_assert_not_null(bytes);
	wire_batch_close(batch);
	free(path);
	return bytes;
}

static inline struct buffer *make_batch(const uint8_t *of_epoch, uint64_t first, uint64_t last, size_t size)
{
	return make_batch_of(host_id.data, of_epoch, first, last, size);
}

/* Puts books into a finished Up{batch}. */
static inline void put_books(struct buffer *up, const struct account_books *books)
{
	Taffrail__V1__Batch batch = TAFFRAIL__V1__BATCH__INIT;
	Taffrail__V1__Books part = TAFFRAIL__V1__BOOKS__INIT;
	uint8_t bytes[100];
	size_t size, length;

	batch.books = account_put_books(&part, books);
	size = taffrail__v1__batch__pack(&batch, bytes);
	buffer_append(up, bytes, size);
	length = up->length - WIRE_UP_HEADER;
	for (int i = 0; i < 5; i++)
		up->data[1 + i] = (char)((length >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0));
}

static inline void send_batch(struct peer *peer, uint64_t first, uint64_t last)
{
	struct buffer *bytes = make_batch(epoch, first, last, 10);

	cr_assert_eq(grpc_call_send(peer->call, bytes->data, bytes->length), 0);
	wire_bytes_free(bytes);
}

static inline void send_books(struct peer *peer, uint64_t first, uint64_t last, const struct account_books *books)
{
	struct buffer *bytes = make_batch(epoch, first, last, 10);

	put_books(bytes, books);
	cr_assert_eq(grpc_call_send(peer->call, bytes->data, bytes->length), 0);
	wire_bytes_free(bytes);
}

static inline void assert_refused(struct room *room, struct peer *peer, enum grpc_status status, const char *word)
{
	until(room, peer->done);
	cr_assert_eq(peer->status, status, "%s", peer->message);
	cr_assert(strstr(peer->message, word), "%s", peer->message);
	grpc_client_close(peer->client);
}

#endif
