/* SPDX-License-Identifier: Apache-2.0 */
/* The client's connection: connect, up, draining, down, and again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>

#include "grpc/client_inside.h"
#include "grpc/connect.h"
#include "grpc/header.h"
#include "grpc/tls_inside.h"

#define MESSAGE_BYTES (4U << 20)
#define WINDOW_BYTES (4U << 20)
#define WINDOW_BYTES_MAX (1U << 30)
#define CONNECT_MS 10000
#define KEEPALIVE_MS 30000
#define KEEPALIVE_TIMEOUT_MS 20000
#define KEEPALIVE_CALM_MS (5 * 60 * 1000 + 10000) /* gRPC's servers: five minutes */
#define RETRY_MAX_MS 30000

static void client_hold(struct grpc_client *client)
{
	client->references++;
}

static void client_release(struct grpc_client *client)
{
	if (--client->references)
		return;
	if (client->timer)
		event_free(client->timer);
	free((char *)client->options.authority);
	free((char *)client->options.user_agent);
	free((char *)client->options.tls_name);
	free(client);
}

static void client_set_timer(struct grpc_client *client, uint32_t wait_ms)
{
	event_add(client->timer, &(struct timeval){wait_ms / 1000, (suseconds_t)(wait_ms % 1000 * 1000)});
}

/* --- down --------------------------------------------------------------------------------------------------------- */

static void client_end_calls(struct grpc_client *client, enum grpc_status status, const char *reason)
{
	struct grpc_exchange *exchange;

	/* From the head each time: on_done may end others. New ones are refused in this state. */
	while ((exchange = TAILQ_FIRST(&client->waiting)))
		grpc_call_end(grpc_call_of(exchange), status, reason);
	while (client->link && (exchange = TAILQ_FIRST(&client->link->exchanges)))
		grpc_call_end(grpc_call_of(exchange), status, reason);
}

static void client_disconnect(struct grpc_client *client)
{
	grpc_connect_close(client->connect);
	client->connect = NULL;
	grpc_link_close(client->link);
	client->link = NULL;
	event_del(client->timer);
}

/* A random half to the whole: many sensors whose collector went away do not come back as one. */
static uint32_t client_next_retry(struct grpc_client *client)
{
	uint32_t wait = client->retry_ms, random;

	if (client->up_ms && grpc_now_ms() - client->up_ms >= client->options.retry_max_ms)
		wait = client->options.retry_min_ms;
	client->retry_ms = wait < client->options.retry_max_ms / 2 ? wait * 2 : client->options.retry_max_ms;
	evutil_secure_rng_get_bytes(&random, sizeof(random));
	return wait / 2 + random % (wait - wait / 2 + 1);
}

static void client_go_down(struct grpc_client *client, int error, const char *why)
{
	char reason[400];

	/* `why` may be the link's, which goes now. */
	snprintf(reason, sizeof(reason), "%s", why);
	client_hold(client);
	client->state = GRPC_CLIENT_DOWN;
	client_end_calls(client, GRPC_UNAVAILABLE, reason);
	client_disconnect(client);
	if (!client->closed && client->options.retry_min_ms && !client->drain && !client->attached)
		client_set_timer(client, client_next_retry(client));
	client->up_ms = 0;
	if (!client->closed && client->options.on_down)
		client->options.on_down(client->options.context, error, reason);
	client_release(client);
}

void grpc_client_on_down(void *context, int error, const char *reason)
{
	client_go_down(context, error, reason);
}

/* --- up ----------------------------------------------------------------------------------------------------------- */

void grpc_client_on_ready(void *context)
{
	struct grpc_client *client = context;
	struct grpc_exchange *exchange;

	client_hold(client);
	event_del(client->timer);
	client->up_ms = grpc_now_ms();
	if (client->state == GRPC_CLIENT_CONNECTING) /* or a GOAWAY came first */
		client->state = GRPC_CLIENT_UP;
	while (client->state == GRPC_CLIENT_UP && (exchange = TAILQ_FIRST(&client->waiting))) {
		int error = grpc_call_start(grpc_call_of(exchange));

		if (error)
			grpc_call_end(grpc_call_of(exchange), GRPC_UNAVAILABLE, strerror(-error));
	}
	if (client->drain && client->link) {
		client->state = GRPC_CLIENT_DRAINING;
		grpc_link_drain(client->link);
	} else if (client->state == GRPC_CLIENT_UP && !client->closed && client->options.on_up) {
		client->options.on_up(client->options.context);
	}
	client_release(client);
}

void grpc_client_on_goaway(void *context, uint32_t error_code, const char *text)
{
	struct grpc_client *client = context;
	bool first = client->state != GRPC_CLIENT_DRAINING;
	char reason[200];

	client_hold(client);
	client->state = GRPC_CLIENT_DRAINING;
	/*
	 * gRPC's word for "you ask too often" (grpc/proposal/A8): the next connection asks half as often, and no more often
	 * than its servers bear by default, so that they have to say it once.
	 */
	if (error_code == NGHTTP2_ENHANCE_YOUR_CALM && strcmp(text, "too_many_pings") == 0 &&
		client->options.keepalive_ms < GRPC_NEVER / 2) {
		client->options.keepalive_ms *= 2;
		if (client->options.keepalive_ms < KEEPALIVE_CALM_MS)
			client->options.keepalive_ms = KEEPALIVE_CALM_MS;
	}
	snprintf(reason, sizeof(reason), "the peer says goodbye: %s%s%s", nghttp2_http2_strerror(error_code),
		*text ? ", " : "", text);
	if (first && client->options.on_draining && !client->drain)
		client->options.on_draining(client->options.context, reason);
	client_release(client);
}

static int client_link(struct grpc_client *client, struct bufferevent *stream, enum grpc_carrier carrier)
{
	const struct grpc_link_limits limits = {
		.window_bytes = client->options.window_bytes,
		.max_buffered_bytes = client->options.max_buffered_bytes,
		.max_header_bytes = GRPC_HEADER_LIST_BYTES,
		.handshake_timeout_ms = GRPC_NEVER, /* the client's own timer */
		.header_timeout_ms = GRPC_NEVER,    /* the calls' deadlines */
		.message_timeout_ms = GRPC_NEVER,
		.first_message_timeout_ms = GRPC_NEVER,
		.idle_timeout_ms = GRPC_NEVER,
		.keepalive_ms = client->options.keepalive_ms,
		.keepalive_timeout_ms = client->options.keepalive_timeout_ms,
	};

	return grpc_link_open(client->base, stream, &grpc_call_role, client, &limits, carrier, &client->link);
}

static void client_on_connected(void *context, int socket_or_error, const char *reason)
{
	struct grpc_client *client = context;
	struct bufferevent *stream;
	int error;

	if (socket_or_error < 0) {
		client_go_down(client, socket_or_error, reason);
		return;
	}
	grpc_connect_close(client->connect);
	client->connect = NULL;
	if (client->options.tls)
		stream = grpc_tls_connect(client->options.tls, client->base, socket_or_error, client->options.tls_name);
	else
		stream = bufferevent_socket_new(client->base, socket_or_error, BEV_OPT_CLOSE_ON_FREE);
	if (!stream) {
		close(socket_or_error);
		client_go_down(client, -ENOMEM, "out of memory");
		return;
	}
	error = client_link(client, stream, client->options.tls ? GRPC_OVER_TLS : GRPC_OVER_SOCKET);
	if (error) {
		bufferevent_free(stream);
		client_go_down(client, error, strerror(-error));
	}
}

static int client_connect(struct grpc_client *client)
{
	int error = grpc_connect_open(client->base, &client->address, !client->options.insecure && !client->options.tls,
		client_on_connected, client, &client->connect);

	if (error)
		return error;
	client->state = GRPC_CLIENT_CONNECTING;
	client_set_timer(client, client->options.connect_timeout_ms);
	return 0;
}

static void client_on_timer(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_client *client = argument;
	int error;

	(void)fd;
	(void)what;
	if (client->state == GRPC_CLIENT_CONNECTING) {
		client_go_down(client, -ETIMEDOUT,
			!client->link ? "no connection in time"
			: client->link->carrier == GRPC_OVER_TLS && !grpc_tls_is_up(client->link->stream)
				? "connected, but the TLS handshake was not finished in time"
				: "connected, but no HTTP/2 SETTINGS came in time");
	} else if (client->state == GRPC_CLIENT_DOWN) {
		error = client_connect(client);
		if (error)
			client_go_down(client, error, strerror(-error));
	}
}

/* --- the owner's functions ---------------------------------------------------------------------------------------- */

static size_t or_default(size_t value, size_t otherwise)
{
	return value ? value : otherwise;
}

static int client_take_options(struct grpc_client *client, const struct grpc_client_options *given)
{
	struct grpc_client_options *options = &client->options;
	char text[GRPC_ADDRESS_TEXT_SIZE] = "localhost";

	if (given)
		*options = *given;
	options->authority = options->user_agent = options->tls_name = NULL; /* not ours to free yet */
	options->max_message_bytes = or_default(options->max_message_bytes, MESSAGE_BYTES);
	options->window_bytes = or_default(options->window_bytes, WINDOW_BYTES);
	options->max_buffered_bytes = or_default(options->max_buffered_bytes, SIZE_MAX);
	options->connect_timeout_ms = (uint32_t)or_default(options->connect_timeout_ms, CONNECT_MS);
	options->keepalive_ms = (uint32_t)or_default(options->keepalive_ms, KEEPALIVE_MS);
	options->keepalive_timeout_ms = (uint32_t)or_default(options->keepalive_timeout_ms, KEEPALIVE_TIMEOUT_MS);
	options->retry_max_ms = (uint32_t)or_default(options->retry_max_ms, RETRY_MAX_MS);
	if (options->window_bytes > WINDOW_BYTES_MAX || options->max_message_bytes > UINT32_MAX)
		return -EINVAL;
	if (options->retry_max_ms < options->retry_min_ms)
		options->retry_max_ms = options->retry_min_ms;
	client->retry_ms = options->retry_min_ms;

	if (client->address.kind == GRPC_ADDRESS_INET)
		grpc_address_format(&client->address, text, sizeof(text));
	options->authority = strdup(given && given->authority ? given->authority : text);
	options->user_agent = strdup(given && given->user_agent ? given->user_agent : "taffrail-grpc-c");
	options->tls_name = strdup(given && given->tls_name                    ? given->tls_name
				   : client->address.kind == GRPC_ADDRESS_INET ? client->address.host
									       : "localhost");
	return options->authority && options->user_agent && options->tls_name ? 0 : -ENOMEM;
}

static int client_new(struct event_base *base, const struct grpc_address *address,
	const struct grpc_client_options *options, struct grpc_client **result)
{
	struct grpc_client *client = calloc(1, sizeof(*client));
	int error;

	if (!client)
		return -ENOMEM;
	grpc_ignore_broken_pipes();
	client->base = base;
	client->references = 1;
	TAILQ_INIT(&client->waiting);
	if (address)
		client->address = *address;
	error = client_take_options(client, options);
	if (!error) {
		client->timer = evtimer_new(base, client_on_timer, client);
		error = client->timer ? 0 : -ENOMEM;
	}
	if (error)
		client_release(client);
	else
		*result = client;
	return error;
}

int grpc_client_open(struct event_base *base, const struct grpc_address *address,
	const struct grpc_client_options *options, struct grpc_client **result)
{
	struct grpc_endpoint endpoint;
	struct grpc_client *client;
	int error;

	if (address->kind == GRPC_ADDRESS_INET && (!address->port || !address->host[0]))
		return -EINVAL;
	/* What a name means is seen when it is looked up. */
	if (!(options && (options->insecure || options->tls)) && !grpc_address_is_loopback(address) &&
		grpc_address_endpoints(address, &endpoint, 1) > 0)
		return -EPERM;
	error = client_new(base, address, options, &client);
	if (error)
		return error;
	error = client_connect(client);
	if (error)
		client_release(client);
	else
		*result = client;
	return error;
}

int grpc_client_open_on(struct event_base *base, struct bufferevent *stream, const struct grpc_client_options *options,
	struct grpc_client **result)
{
	struct grpc_client *client;
	int error = client_new(base, NULL, options, &client);

	if (error)
		return error;
	client->attached = true;
	error = client_link(client, stream, GRPC_OVER_STREAM);
	if (error) {
		client_release(client);
		return error;
	}
	client->state = GRPC_CLIENT_CONNECTING;
	client_set_timer(client, client->options.connect_timeout_ms);
	*result = client;
	return 0;
}

bool grpc_client_is_up(const struct grpc_client *client)
{
	return client->state == GRPC_CLIENT_UP;
}

int grpc_client_reconnect(struct grpc_client *client, uint32_t delay_ms)
{
	if (client->attached)
		return -EOPNOTSUPP;
	if (client->state != GRPC_CLIENT_DOWN)
		return -EALREADY;
	client->drain = false;
	client_set_timer(client, delay_ms);
	return 0;
}

void grpc_client_drain(struct grpc_client *client)
{
	client->drain = true;
	if (client->state == GRPC_CLIENT_DOWN) {
		event_del(client->timer);
	} else if (client->link && client->state != GRPC_CLIENT_CONNECTING) {
		client->state = GRPC_CLIENT_DRAINING;
		grpc_link_drain(client->link);
	}
}

void grpc_client_close(struct grpc_client *client)
{
	if (!client || client->closed)
		return;
	client->closed = true;
	client->state = GRPC_CLIENT_DOWN;
	client_end_calls(client, GRPC_CANCELLED, "the client was closed");
	client_disconnect(client);
	client_release(client);
}
