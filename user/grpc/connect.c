/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "grpc/address.h"

#define ENDPOINTS 8
#define ENDPOINT_SECONDS 2

/*
 * A look-up lives until its callback has run, which comes after a cancel too: so it is apart from the attempt. The
 * resolver is made for one look-up: resolv.conf and hosts are read as they are then.
 */
struct lookup {
	struct grpc_connect *attempt; /* NULL: nobody waits any more */
	struct event_base *base;
	struct evdns_base *resolver;
	struct evdns_getaddrinfo_request *request;
};

struct grpc_connect {
	struct event_base *base;
	struct grpc_address address;
	bool loopback_only;
	grpc_connect_done *done;
	void *context;
	struct event *step;
	struct event *writable; /* of the socket that connects */
	struct lookup *lookup;
	int socket;
	int error; /* of the last endpoint tried, or of the look-up */
	char reason[400];
	struct grpc_endpoint endpoints[ENDPOINTS];
	int count, next;
};

__attribute__((format(printf, 3, 4))) static void connect_note(
	struct grpc_connect *attempt, int error, const char *format, ...)
{
	va_list arguments;

	attempt->error = error;
	va_start(arguments, format);
	vsnprintf(attempt->reason, sizeof(attempt->reason), format, arguments);
	va_end(arguments);
}

static void connect_forget_socket(struct grpc_connect *attempt)
{
	if (attempt->writable)
		event_free(attempt->writable);
	attempt->writable = NULL;
	if (attempt->socket >= 0)
		close(attempt->socket);
	attempt->socket = -1;
}

/* --- look-up ------------------------------------------------------------------------------------------------------ */

static void lookup_free(evutil_socket_t fd, short what, void *argument)
{
	struct lookup *lookup = argument;

	(void)fd;
	(void)what;
	evdns_base_free(lookup->resolver, 0);
	free(lookup);
}

static void lookup_take(struct grpc_connect *attempt, int result, const struct evutil_addrinfo *found)
{
	attempt->lookup = NULL;
	attempt->count = 0;
	for (; found && attempt->count < ENDPOINTS; found = found->ai_next) {
		struct grpc_endpoint *endpoint = &attempt->endpoints[attempt->count++];

		memset(endpoint, 0, sizeof(*endpoint));
		memcpy(&endpoint->address, found->ai_addr, found->ai_addrlen);
		endpoint->length = (socklen_t)found->ai_addrlen;
	}
	if (!attempt->count)
		connect_note(attempt, -EHOSTUNREACH, "cannot look up %s: %s", attempt->address.host,
			result ? evutil_gai_strerror(result) : "no address");
	event_active(attempt->step, EV_TIMEOUT, 0);
}

static void lookup_done(int result, struct evutil_addrinfo *found, void *argument)
{
	struct lookup *lookup = argument;

	if (lookup->attempt)
		lookup_take(lookup->attempt, result, found);
	if (found)
		evutil_freeaddrinfo(found);
	/* The resolver is still at work around this callback. */
	event_base_once(lookup->base, -1, EV_TIMEOUT, lookup_free, lookup, NULL);
}

static int lookup_start(struct grpc_connect *attempt)
{
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_protocol = IPPROTO_TCP,
		.ai_flags = EVUTIL_AI_ADDRCONFIG};
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	struct evdns_getaddrinfo_request *request;
	char service[8];

	if (!lookup)
		return -ENOMEM;
	lookup->base = attempt->base;
	lookup->attempt = attempt;
	lookup->resolver = evdns_base_new(attempt->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!lookup->resolver) {
		free(lookup);
		return -ENOMEM;
	}
	/* Without the file there are the defaults, and the hosts. */
	evdns_base_resolv_conf_parse(lookup->resolver, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	snprintf(service, sizeof(service), "%u", attempt->address.port);
	attempt->lookup = lookup;
	request = evdns_getaddrinfo(lookup->resolver, attempt->address.host, service, &hints, lookup_done, lookup);
	/* NULL: the callback has run already, and cleared attempt->lookup. */
	if (request)
		lookup->request = request;
	return 0;
}

/* --- connecting ------------------------------------------------------------------------------------------------- */

static const char *endpoint_text(const struct grpc_endpoint *endpoint, char *text)
{
	return grpc_sockaddr_format(
		(const struct sockaddr *)&endpoint->address, endpoint->length, text, GRPC_ADDRESS_TEXT_SIZE);
}

static void connect_failed(struct grpc_connect *attempt, int error)
{
	char text[GRPC_ADDRESS_TEXT_SIZE];

	connect_note(attempt, -error, "cannot connect to %s: %s",
		endpoint_text(&attempt->endpoints[attempt->next - 1], text), strerror(error));
	connect_forget_socket(attempt);
	event_active(attempt->step, EV_TIMEOUT, 0);
}

static void connect_succeeded(struct grpc_connect *attempt)
{
	int socket = attempt->socket;

	attempt->socket = -1;
	connect_forget_socket(attempt);
	attempt->done(attempt->context, socket, "");
}

static void connect_on_writable(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_connect *attempt = argument;
	int error = 0;
	socklen_t size = sizeof(error);

	if (what & EV_TIMEOUT)
		connect_failed(attempt, ETIMEDOUT);
	else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size))
		connect_failed(attempt, errno);
	else if (error)
		connect_failed(attempt, error);
	else
		connect_succeeded(attempt);
}

static void connect_wait(struct grpc_connect *attempt)
{
	const struct timeval limit = {ENDPOINT_SECONDS, 0};

	attempt->writable = event_new(attempt->base, attempt->socket, EV_WRITE, connect_on_writable, attempt);
	if (!attempt->writable || event_add(attempt->writable, attempt->next < attempt->count ? &limit : NULL))
		connect_failed(attempt, ENOMEM);
}

static void connect_try(struct grpc_connect *attempt, const struct grpc_endpoint *endpoint)
{
	const struct sockaddr *address = (const struct sockaddr *)&endpoint->address;
	char text[GRPC_ADDRESS_TEXT_SIZE];
	int one = 1;

	if (attempt->loopback_only && !grpc_sockaddr_is_loopback(address)) {
		connect_note(attempt, -EPERM, "%s is not on this machine, and plain text goes no further",
			endpoint_text(endpoint, text));
		event_active(attempt->step, EV_TIMEOUT, 0);
		return;
	}
	attempt->socket = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (attempt->socket < 0) {
		connect_failed(attempt, errno);
		return;
	}
	if (address->sa_family != AF_UNIX)
		setsockopt(attempt->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(attempt->socket, address, endpoint->length) == 0)
		connect_succeeded(attempt);
	else if (errno == EINPROGRESS)
		connect_wait(attempt);
	else
		connect_failed(attempt, errno);
}

static void connect_on_step(evutil_socket_t fd, short what, void *argument)
{
	struct grpc_connect *attempt = argument;
	int error;

	(void)fd;
	(void)what;
	if (attempt->count < 0) {
		attempt->count = grpc_address_endpoints(&attempt->address, attempt->endpoints, ENDPOINTS);
		if (attempt->count < 0) {
			attempt->count = 0;
			error = lookup_start(attempt);
			if (!error)
				return;
			connect_note(attempt, error, "cannot look up %s: %s", attempt->address.host, strerror(-error));
		}
	}
	if (attempt->next < attempt->count)
		connect_try(attempt, &attempt->endpoints[attempt->next++]);
	else
		attempt->done(attempt->context, attempt->error, attempt->reason);
}

int grpc_connect_open(struct event_base *base, const struct grpc_address *address, bool loopback_only,
	grpc_connect_done *done, void *context, struct grpc_connect **result)
{
	struct grpc_connect *attempt = calloc(1, sizeof(*attempt));

	if (!attempt)
		return -ENOMEM;
	attempt->base = base;
	attempt->address = *address;
	attempt->loopback_only = loopback_only;
	attempt->done = done;
	attempt->context = context;
	attempt->socket = -1;
	attempt->count = -1;
	attempt->error = -EHOSTUNREACH;
	attempt->step = event_new(base, -1, 0, connect_on_step, attempt);
	if (!attempt->step) {
		free(attempt);
		return -ENOMEM;
	}
	event_active(attempt->step, EV_TIMEOUT, 0);
	*result = attempt;
	return 0;
}

void grpc_connect_close(struct grpc_connect *attempt)
{
	if (!attempt)
		return;
	if (attempt->lookup) {
		attempt->lookup->attempt = NULL;
		if (attempt->lookup->request)
			evdns_getaddrinfo_cancel(attempt->lookup->request);
	}
	connect_forget_socket(attempt);
	event_free(attempt->step);
	free(attempt);
}
