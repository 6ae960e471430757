/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/status_ask.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "collector/account_wire.h"
#include "grpc/client.h"

enum { CONNECT_MS = 5000, ANSWER_MS = 60000 };

struct ask {
	struct event_base *base;
	struct status_rows *rows;
	bool done;
	int error;
	char *why;
	size_t why_size;
};

static void end(struct ask *ask, int error, const char *why)
{
	if (!ask->done && error) {
		ask->error = error;
		snprintf(ask->why, ask->why_size, "%s", why);
	}
	ask->done = true;
	event_base_loopbreak(ask->base);
}

static void on_message(void *context, struct grpc_call *call, const uint8_t *bytes, size_t length)
{
	Taffrail__V1__EpochStatus *message = taffrail__v1__epoch_status__unpack(NULL, length, bytes);
	struct event_host host;
	struct account_build build;
	struct account account;
	struct ask *ask = context;
	int error = message ? account_read_status(message, &host, &account, &build) : -EBADMSG;

	(void)call;
	error = error ? error
		      : status_rows_add(ask->rows, &host, &account, message->connected ? STATUS_CONNECTED : STATUS_AWAY,
				&build);
	if (message)
		taffrail__v1__epoch_status__free_unpacked(message, NULL);
	if (error)
		end(ask, error, error == -ENOMEM ? "out of memory" : "its answer cannot be read");
}

static void on_done(void *context, struct grpc_call *call, enum grpc_status status, const char *message)
{
	(void)call;
	end(context, status == GRPC_OK ? 0 : -EIO, message[0] ? message : grpc_status_name(status));
}

static void on_down(void *context, int error, const char *reason)
{
	end(context, error ? error : -ECONNRESET, error ? reason : "it went away");
}

static int send_request(struct grpc_call *call, const struct config_list *hosts)
{
	Taffrail__V1__StatusRequest request = TAFFRAIL__V1__STATUS_REQUEST__INIT;
	uint8_t *bytes;
	int error;

	request.host = hosts->items;
	request.n_host = hosts->count;
	bytes = malloc(taffrail__v1__status_request__get_packed_size(&request) + 1);
	if (!bytes)
		return -ENOMEM;
	error = grpc_call_send(call, bytes, taffrail__v1__status_request__pack(&request, bytes));
	free(bytes);
	if (!error)
		grpc_call_half_close(call);
	return error;
}

int status_ask(struct status_rows *rows, const struct grpc_address *address, const struct grpc_trust *trust,
	const struct config_list *hosts, char *why, size_t why_size)
{
	struct ask ask = {.base = event_base_new(), .rows = rows, .why = why, .why_size = why_size};
	const struct grpc_client_options client_options = {.context = &ask,
		.on_down = on_down,
		.connect_timeout_ms = CONNECT_MS,
		.tls = trust->tls,
		.tls_name = trust->name,
		.insecure = trust->insecure};
	const struct grpc_call_options call_options = {
		.context = &ask, .on_message = on_message, .on_done = on_done, .deadline_ms = ANSWER_MS};
	struct grpc_client *client = NULL;
	struct grpc_call *call;
	int error = ask.base ? grpc_client_open(ask.base, address, &client_options, &client) : -ENOMEM;

	error = error ? error : grpc_call_open(client, "/taffrail.v1.Query/Status", &call_options, &call);
	error = error ? error : send_request(call, hosts);
	if (error)
		end(&ask, error, strerror(-error));
	while (!ask.done && event_base_dispatch(ask.base) == 0)
		;
	grpc_client_close(client);
	if (ask.base)
		event_base_free(ask.base);
	return ask.error;
}
