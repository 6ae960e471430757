/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of user/grpc/: a server and a client in one event base, and peers that speak raw bytes. */
#ifndef TAFFRAIL_TEST_GRPC_H
#define TAFFRAIL_TEST_GRPC_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "grpc/client.h"
#include "grpc/server.h"

/* What became of the last stream on the server, and of all. */
struct served {
	int opened, closed, half_closed, drained, writable;
	size_t messages, bytes;
	enum grpc_status status;
	char reason[200];
	char peer[100];
	struct grpc_stream *stream; /* the last one open, or NULL */
	size_t last_length;
	uint64_t remaining_ms;
	char metadata[100];
};

/* What became of the last call, and of all. */
struct called {
	int done;
	int by_status[17];
	size_t messages, bytes;
	enum grpc_status status;
	char message[1100];
	uint8_t *last;
	size_t last_length;
	int writable;
	bool out_of_order;
};

struct world {
	struct event_base *base;
	struct grpc_server *server;
	struct grpc_client *client;
	struct grpc_address address;
	char folder[64];
	struct served served;
	struct called called;
	int up, down, draining, stopped, troubles;
	int down_error;
	char down_reason[400], trouble[300];
};

/* --- the server's methods ----------------------------------------------------------------------------------------- */

static inline void served_open(struct grpc_stream *stream, void *data)
{
	struct world *world = data;
	const char *value = grpc_stream_header(stream, "x-test");

	world->served.opened++;
	world->served.stream = stream;
	world->served.remaining_ms = grpc_stream_remaining_ms(stream);
	snprintf(world->served.peer, sizeof(world->served.peer), "%s", grpc_stream_peer(stream));
	snprintf(world->served.metadata, sizeof(world->served.metadata), "%s", value ? value : "");
}

static inline void served_count(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	struct world *world = data;

	(void)stream;
	(void)bytes;
	world->served.messages++;
	world->served.bytes += length;
	world->served.last_length = length;
}

static inline void served_echo(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	served_count(stream, data, bytes, length);
	cr_assert_eq(grpc_stream_send(stream, bytes, length), 0);
}

static inline void served_half_close(struct grpc_stream *stream, void *data)
{
	struct world *world = data;

	(void)stream;
	world->served.half_closed++;
}

static inline void served_half_close_ok(struct grpc_stream *stream, void *data)
{
	served_half_close(stream, data);
	grpc_stream_finish(stream, GRPC_OK, NULL);
}

static inline void served_writable(struct grpc_stream *stream, void *data)
{
	struct world *world = data;

	(void)stream;
	world->served.writable++;
}

static inline void served_drain(struct grpc_stream *stream, void *data)
{
	struct world *world = data;

	world->served.drained++;
	grpc_stream_finish(stream, GRPC_UNAVAILABLE, "the collector stops");
}

static inline void served_close(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason)
{
	struct world *world = data;

	world->served.closed++;
	world->served.status = status;
	snprintf(world->served.reason, sizeof(world->served.reason), "%s", reason);
	if (world->served.stream == stream)
		world->served.stream = NULL;
}

static inline void served_fail(struct grpc_stream *stream, void *data)
{
	served_open(stream, data);
	grpc_stream_finish(stream, GRPC_NOT_FOUND, "no such thing: 100% gone\nreally, \xc3\xa9t\xc3\xa9");
}

#define WORLD_HANDLERS 6
static inline void world_handlers(struct world *world, struct grpc_handler *handlers)
{
	const struct grpc_handler table[WORLD_HANDLERS] = {
		{.path = "/t.T/Echo",
			.on_open = served_open,
			.on_message = served_echo,
			.on_half_close = served_half_close_ok},
		{.path = "/t.T/Sink",
			.on_open = served_open,
			.on_message = served_count,
			.on_half_close = served_half_close_ok},
		{.path = "/t.T/Slow",
			.on_open = served_open,
			.on_message = served_count,
			.on_half_close = served_half_close},
		{.path = "/t.T/Manual",
			.on_open = served_open,
			.on_message = served_count,
			.on_half_close = served_half_close_ok,
			.manual_consume = true},
		{.path = "/t.T/Fail", .on_open = served_fail},
		{.path = "/t.T/Drain",
			.on_open = served_open,
			.on_message = served_echo,
			.on_half_close = served_half_close_ok,
			.on_drain = served_drain},
	};

	memcpy(handlers, table, sizeof(table));
	for (int i = 0; i < WORLD_HANDLERS; i++) {
		handlers[i].context = world;
		handlers[i].on_close = served_close;
		handlers[i].on_writable = served_writable;
	}
}

/* --- the client's callbacks --------------------------------------------------------------------------------------- */

static inline void called_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	struct world *world = context;
	struct called *called = &world->called;

	(void)call;
	/* Messages of four bytes are numbers that count up. */
	if (length == 4 && memcmp(bytes, &(uint32_t){(uint32_t)called->messages}, 4) != 0)
		called->out_of_order = true;
	called->messages++;
	called->bytes += length;
	free(called->last);
	called->last = malloc(length ? length : 1);
	memcpy(called->last, bytes, length);
	called->last_length = length;
}

static inline void called_writable(void *context, struct grpc_call *call)
{
	struct world *world = context;

	(void)call;
	world->called.writable++;
}

static inline void called_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	struct world *world = context;

	(void)call;
	world->called.done++;
	world->called.by_status[status]++;
	world->called.status = status;
	snprintf(world->called.message, sizeof(world->called.message), "%s", message);
}

static inline void client_up(void *context)
{
	((struct world *)context)->up++;
}

static inline void client_draining(void *context, const char *reason)
{
	(void)reason;
	((struct world *)context)->draining++;
}

static inline void client_down(void *context, int error, const char *reason)
{
	struct world *world = context;

	world->down++;
	world->down_error = error;
	snprintf(world->down_reason, sizeof(world->down_reason), "%s", reason);
}

static inline void server_stopped(void *context)
{
	((struct world *)context)->stopped++;
}

static inline void server_trouble(void *context, const char *peer, const char *reason)
{
	struct world *world = context;

	world->troubles++;
	snprintf(world->trouble, sizeof(world->trouble), "%s: %s", peer, reason);
}

/* --- turning ------------------------------------------------------------------------------------------------------ */

static inline uint64_t test_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static inline void world_tick(evutil_socket_t fd, short what, void *base)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(base);
}

/* One turn of the loop, of at most five milliseconds. */
static inline void world_turn(struct world *world)
{
	event_base_once(world->base, -1, EV_TIMEOUT, world_tick, world->base, &(struct timeval){0, 5000});
	event_base_loop(world->base, EVLOOP_ONCE);
}

/* Turn until the condition holds; fails the test after five seconds. */
#define world_until(world, condition)                                                                                  \
	do {                                                                                                           \
		uint64_t until_ = test_now_ms() + 5000;                                                                \
		while (!(condition) && test_now_ms() < until_)                                                         \
			world_turn(world);                                                                             \
		cr_assert(condition, "waited five seconds for: %s", #condition);                                       \
	} while (0)

static inline void world_for(struct world *world, unsigned ms)
{
	for (uint64_t end = test_now_ms() + ms; test_now_ms() < end;)
		world_turn(world);
}

/* --- building ----------------------------------------------------------------------------------------------------- */

static inline struct grpc_address test_address(const char *text)
{
	struct grpc_address address;
	char error[400];

	cr_assert_eq(grpc_address_parse(text, &address, error, sizeof(error)), 0, "%s", error);
	return address;
}

static inline struct grpc_server_options world_server_options(struct world *world)
{
	(void)world;
	return (struct grpc_server_options){.on_trouble = server_trouble, .context = world};
}

static inline struct grpc_client_options world_client_options(struct world *world)
{
	return (struct grpc_client_options){
		.context = world, .on_up = client_up, .on_draining = client_draining, .on_down = client_down};
}

/* A server on `where`: "unix" (in a folder of its own) or "tcp"; options may be NULL. */
static inline void world_serve(struct world *world, const char *where, const struct grpc_server_options *options)
{
	struct grpc_server_options own = options ? *options : world_server_options(world);
	struct grpc_handler handlers[WORLD_HANDLERS];
	char error[400], text[120];

	memset(world, 0, sizeof(*world));
	world->base = event_base_new();
	strcpy(world->folder, "/tmp/taffrail-grpc-XXXXXX");
	cr_assert_not_null(mkdtemp(world->folder));
	if (strcmp(where, "unix") == 0)
		snprintf(text, sizeof(text), "unix:%s/s", world->folder);
	else
		snprintf(text, sizeof(text), "127.0.0.1:0");
	world_handlers(world, handlers);
	own.handlers = handlers;
	own.handler_count = WORLD_HANDLERS;
	cr_assert_eq(grpc_server_open(world->base, &own, &world->server), 0);
	world->address = test_address(text);
	cr_assert_eq(grpc_server_listen(world->server, &world->address, &world->address, error, sizeof(error)), 0, "%s",
		error);
}

static inline void world_connect(struct world *world, const struct grpc_client_options *options)
{
	struct grpc_client_options own = options ? *options : world_client_options(world);

	cr_assert_eq(grpc_client_open(world->base, &world->address, &own, &world->client), 0);
}

static inline struct grpc_call *world_call_with(struct world *world, const char *path, struct grpc_call_options options)
{
	struct grpc_call *call;

	options.context = world;
	options.on_message = called_message;
	options.on_writable = called_writable;
	options.on_done = called_done;
	cr_assert_eq(grpc_call_open(world->client, path, &options, &call), 0);
	return call;
}

static inline struct grpc_call *world_call(struct world *world, const char *path)
{
	return world_call_with(world, path, (struct grpc_call_options){0});
}

static inline void world_unary(struct world *world, const char *path, const void *bytes, size_t length)
{
	struct grpc_call *call = world_call(world, path);

	cr_assert_eq(grpc_call_send(call, bytes, length), 0);
	grpc_call_half_close(call);
}

static inline void world_close(struct world *world)
{
	char path[100];

	grpc_client_close(world->client);
	grpc_server_close(world->server);
	free(world->called.last);
	snprintf(path, sizeof(path), "%s/s", world->folder);
	cr_assert_eq(access(path, F_OK), -1, "the socket is left behind");
	rmdir(world->folder);
	event_base_loop(world->base, EVLOOP_NONBLOCK);
	event_base_free(world->base);
}

/* --- peers that speak raw bytes ----------------------------------------------------------------------------------- */

static inline int raw_connect(const struct world *world)
{
	struct grpc_endpoint endpoint;
	int fd;

	cr_assert_eq(grpc_address_endpoints(&world->address, &endpoint, 1), 1);
	fd = socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&endpoint.address, endpoint.length), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static inline void raw_send(int fd, const void *bytes, size_t length)
{
	cr_assert_eq(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

static inline size_t raw_frame_head(uint8_t *out, size_t length, uint8_t type, uint8_t flags, uint32_t stream)
{
	const uint8_t head[9] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags,
		(uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};

	memcpy(out, head, 9);
	return 9;
}

static inline void raw_frame(int fd, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t length)
{
	uint8_t *frame = malloc(length + 9);

	raw_frame_head(frame, length, type, flags, stream);
	if (length)
		memcpy(frame + 9, payload, length);
	raw_send(fd, frame, length + 9);
	free(frame);
}

#define RAW_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { RAW_DATA, RAW_HEADERS, RAW_PRIORITY, RAW_RST, RAW_SETTINGS, RAW_PUSH, RAW_PING, RAW_GOAWAY, RAW_WINDOW };
#define RAW_END_STREAM 1
#define RAW_END_HEADERS 4

static inline void raw_hello(int fd)
{
	raw_send(fd, RAW_PREFACE, strlen(RAW_PREFACE));
	raw_frame(fd, RAW_SETTINGS, 0, 0, NULL, 0);
}

/* A literal header without indexing (RFC 7541, 6.2.2); lengths below 127. */
static inline size_t raw_header(uint8_t *out, const char *name, const char *value)
{
	size_t n = 0;

	out[n++] = 0;
	out[n++] = (uint8_t)strlen(name);
	memcpy(out + n, name, strlen(name));
	n += strlen(name);
	out[n++] = (uint8_t)strlen(value);
	memcpy(out + n, value, strlen(value));
	return n + strlen(value);
}

/* name, value, name, value, ..., NULL */
static inline void raw_headers(int fd, uint32_t stream, uint8_t flags, const char *const *headers)
{
	uint8_t block[4096];
	size_t n = 0;

	for (; *headers; headers += 2)
		n += raw_header(block + n, headers[0], headers[1]);
	raw_frame(fd, RAW_HEADERS, RAW_END_HEADERS | flags, stream, block, n);
}

#define RAW_REQUEST(path)                                                                                              \
	(const char *const[])                                                                                          \
	{                                                                                                              \
		":method", "POST", ":scheme", "http", ":path", path, ":authority", "x", "te", "trailers",              \
			"content-type", "application/grpc", NULL                                                       \
	}

/* Read what is there; returns the bytes, 0 at the end of the stream, -1 where nothing is to be read yet. */
static inline ssize_t raw_receive(int fd, uint8_t *bytes, size_t size)
{
	return recv(fd, bytes, size, MSG_DONTWAIT);
}

/* Has the server closed? Throws away what it said. */
static inline bool raw_is_closed(int fd)
{
	uint8_t bytes[65536];
	ssize_t length;

	do
		length = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (length > 0);
	return length == 0 || (errno != EAGAIN && errno != EINTR);
}

#endif
