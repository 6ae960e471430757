/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that calls the server: its bytes come in by grpc_server_attach. */
#include "fuzz_grpc.h"

#include "grpc/server.h"

/* Every stream that opens closes once, and says nothing in between that it may not. */
static struct {
	long open, opened;
	size_t largest;
} seen;

static void on_open(struct grpc_stream *stream, void *data)
{
	(void)data;
	seen.open++;
	seen.opened++;
	fuzz_expect(grpc_stream_path(stream) && grpc_stream_peer(stream));
	(void)grpc_stream_header(stream, "x-test");
	(void)grpc_stream_remaining_ms(stream);
}

static void on_open_refuse(struct grpc_stream *stream, void *data)
{
	on_open(stream, data);
	grpc_stream_finish(stream, GRPC_NOT_FOUND, "no\xff such\nthing");
}

static void on_message_echo(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	(void)data;
	seen.largest = length > seen.largest ? length : seen.largest;
	grpc_stream_send(stream, bytes, length);
}

static void on_message_consume(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	(void)data;
	grpc_stream_consume(stream, length ? bytes[0] : 1);
	if (length == 3)
		grpc_stream_finish(stream, GRPC_OK, NULL);
}

static void on_half_close(struct grpc_stream *stream, void *data)
{
	(void)data;
	grpc_stream_finish(stream, GRPC_OK, NULL);
}

static void on_close(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason)
{
	(void)stream;
	(void)data;
	(void)status;
	fuzz_expect(reason && seen.open > 0);
	seen.open--;
}

static void on_trouble(void *context, const char *peer, const char *reason)
{
	(void)context;
	fuzz_expect(peer && reason);
	fuzz_expect_clean(reason, strlen(reason), false);
}

static const struct grpc_handler handlers[] = {
	{.path = "/t.T/Echo",
		.on_open = on_open,
		.on_message = on_message_echo,
		.on_half_close = on_half_close,
		.on_close = on_close},
	{.path = "/t.T/Manual",
		.manual_consume = true,
		.on_open = on_open,
		.on_message = on_message_consume,
		.on_half_close = on_half_close,
		.on_close = on_close},
	{.path = "/t.T/Fail", .on_open = on_open_refuse, .on_close = on_close},
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	const struct grpc_server_options options = {.handlers = handlers,
		.handler_count = 3,
		.on_trouble = on_trouble,
		.max_message_bytes = 4096,
		.max_buffered_bytes = 8192,
		.max_streams = 10};
	static struct event_base *base;
	struct grpc_server_counters counters;
	struct grpc_server *server;
	struct bufferevent *pair[2];

	if (!base)
		base = event_base_new();
	memset(&seen, 0, sizeof(seen));
	fuzz_expect(base && grpc_server_open(base, &options, &server) == 0);
	fuzz_expect(bufferevent_pair_new(base, 0, pair) == 0);
	fuzz_expect(grpc_server_attach(server, pair[0], "fuzz") == 0);
	bufferevent_enable(pair[1], EV_READ | EV_WRITE);
	if (length > 0 && !(bytes[0] & 8)) /* the other half of the bytes says its own */
		bufferevent_write(pair[1], preface, sizeof(preface) - 1);
	fuzz_say(base, pair[1], bytes, length);
	grpc_server_counters(server, &counters);
	fuzz_expect(counters.streams_open <= 10 && seen.largest <= 4096);
	fuzz_expect((long)counters.streams_open == seen.open);
	if (length > 0 && bytes[0] & 16)
		grpc_server_stop(server, 0, NULL, NULL);
	fuzz_run(base);
	bufferevent_free(pair[1]);
	fuzz_run(base);
	grpc_server_close(server);
	fuzz_run(base);
	fuzz_expect(seen.open == 0);
	return 0;
}
