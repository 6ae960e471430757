/* SPDX-License-Identifier: Apache-2.0 */
/* A peer that answers the client's calls: its bytes come in by grpc_client_open_on. */
#include "fuzz_grpc.h"

#include "grpc/client.h"

static struct {
	int open, down;
	size_t largest;
} seen;

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	seen.largest = length > seen.largest ? length : seen.largest;
	if (context)
		grpc_call_consume(call, length ? bytes[0] : 1);
}

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	(void)context;
	(void)call;
	fuzz_expect(status <= GRPC_UNAUTHENTICATED && message && seen.open > 0);
	seen.open--;
}

static void on_down(void *context, int error, const char *reason)
{
	(void)context;
	fuzz_expect(error <= 0 && reason && seen.open == 0);
	fuzz_expect_clean(reason, strlen(reason), false);
	seen.down++;
}

static void on_draining(void *context, const char *reason)
{
	(void)context;
	fuzz_expect_clean(reason, strlen(reason), false);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const struct grpc_client_options options = {
		.on_down = on_down, .on_draining = on_draining, .max_message_bytes = 4096};
	static struct event_base *base;
	static char manual;
	struct grpc_client *client;
	struct bufferevent *pair[2];

	if (!base)
		base = event_base_new();
	memset(&seen, 0, sizeof(seen));
	fuzz_expect(base && bufferevent_pair_new(base, 0, pair) == 0);
	fuzz_expect(grpc_client_open_on(base, pair[0], &options, &client) == 0);
	bufferevent_enable(pair[1], EV_READ | EV_WRITE);
	for (int i = 0; i < 3; i++) { /* streams 1, 3 and 5 */
		const struct grpc_call_options call_options = {.context = i == 1 ? &manual : NULL,
			.manual_consume = i == 1,
			.on_message = on_message,
			.on_done = on_done};
		struct grpc_call *call;

		fuzz_expect(grpc_call_open(client, "/t.T/Echo", &call_options, &call) == 0);
		seen.open++;
		fuzz_expect(grpc_call_send(call, "ping", 4) == 0);
		if (i == 2)
			grpc_call_half_close(call);
	}
	fuzz_run(base);
	fuzz_say(base, pair[1], bytes, length);
	fuzz_expect(seen.largest <= 4096 && seen.down <= 1);
	if (length > 0 && bytes[0] & 16)
		grpc_client_drain(client);
	bufferevent_free(pair[1]);
	fuzz_run(base);
	grpc_client_close(client);
	fuzz_run(base);
	fuzz_expect(seen.open == 0);
	return 0;
}
