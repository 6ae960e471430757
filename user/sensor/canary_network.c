/* SPDX-License-Identifier: Apache-2.0 */
/* What the canary does with sockets, over loopback and under abstract names. All of it runs in the child. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sensor/canary_inside.h"

enum { DISCARD_PORT = 9 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

/* Loopback's address with a port of network order; returns its length. */
static socklen_t loopback(union address *address, int family, in_port_t port)
{
	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		address->v4 = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		return sizeof(address->v4);
	}
	address->v6 =
		(struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	return sizeof(address->v6);
}

static void expect_loopback(struct canary_deed *deed, int family)
{
	union address address;

	(void)loopback(&address, family, 0);
	deed->family = (uint16_t)family;
	if (family == AF_INET)
		memcpy(deed->address, &address.v4.sin_addr, sizeof(address.v4.sin_addr));
	else
		memcpy(deed->address, &address.v6.sin6_addr, sizeof(address.v6.sin6_addr));
}

static in_port_t port_of(int fd)
{
	union address address = {0};
	socklen_t length = sizeof(address);

	(void)getsockname(fd, &address.any, &length);
	return address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port;
}

/* A socket that is bound to loopback, at a port that the kernel chooses. The socket or -errno. */
static int bound(int family, int type)
{
	union address address;
	socklen_t length = loopback(&address, family, 0);
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (bind(fd, &address.any, length) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

/* Until the socket has something to tell: also over loopback a handshake may wait for the kernel's thread (ksoftirqd). */
static void wait_for(int fd, short what)
{
	struct pollfd poll_fd = {.fd = fd, .events = what};

	(void)poll(&poll_fd, 1, CANARY_PATIENCE_MS);
}

static int index_of(int family)
{
	return family == AF_INET6;
}

int deed_listen(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int fd = bound(variant, SOCK_STREAM);

	if (fd < 0)
		return fd;
	expect_loopback(deed, variant);
	deed->local_port_be = port_of(fd);
	place->listeners[index_of(variant)] = fd;
	return listen(fd, 1) < 0 ? -errno : 0;
}

static int plain_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return connect(fd, address, length) < 0 ? -errno : 0;
}

static int connect_by(struct canary_place *place, struct canary_deed *deed, int variant,
	int (*call)(int fd, const struct sockaddr *address, socklen_t length))
{
	int listener = place->listeners[index_of(variant)], fd, error;
	union address address;
	socklen_t length;

	if (listener < 0)
		return -place->before->error;
	fd = socket(variant, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	expect_loopback(deed, variant);
	deed->remote_port_be = port_of(listener);
	length = loopback(&address, variant, deed->remote_port_be);
	error = call(fd, &address.any, length);
	if (error < 0 && error != -EINPROGRESS) {
		close(fd);
		return error;
	}
	deed->local_port_be = port_of(fd);
	place->clients[index_of(variant)] = fd;
	return 0;
}

int deed_connect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	return connect_by(place, deed, variant, plain_connect);
}

static int plain_accept(int fd)
{
	int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	return accepted < 0 ? -errno : accepted;
}

static int accept_by(struct canary_place *place, struct canary_deed *deed, int variant, int (*call)(int fd))
{
	int i = index_of(variant), fd;

	if (place->clients[i] < 0)
		return -place->before->error;
	expect_loopback(deed, variant);
	deed->local_port_be = port_of(place->listeners[i]);
	deed->remote_port_be = port_of(place->clients[i]);
	wait_for(place->listeners[i], POLLIN);
	fd = call(place->listeners[i]);
	place->servers[i] = fd;
	return fd < 0 ? fd : 0;
}

int deed_accept(struct canary_place *place, struct canary_deed *deed, int variant)
{
	return accept_by(place, deed, variant, plain_accept);
}

/* Ends a connection by a reset, which leaves no socket in TIME_WAIT behind. */
static void reset(struct canary_place *place, int i)
{
	const struct linger now = {.l_onoff = 1};

	(void)setsockopt(place->clients[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(place->clients[i]);
	close(place->servers[i]);
	close(place->listeners[i]);
	place->clients[i] = place->servers[i] = place->listeners[i] = -1;
}

int deed_disconnect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int i = index_of(variant);

	if (place->servers[i] < 0)
		return -place->before->error;
	expect_loopback(deed, variant);
	deed->local_port_be = port_of(place->clients[i]);
	deed->remote_port_be = port_of(place->listeners[i]);
	reset(place, i);
	return 0;
}

/* To a port that is taken and where nobody listens. */
int deed_refused(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;
	socklen_t length;
	int to = bound(variant, SOCK_STREAM), from, error = 0;

	(void)place;
	if (to < 0)
		return to;
	expect_loopback(deed, variant);
	deed->remote_port_be = port_of(to);
	deed->number = -ECONNREFUSED;
	length = loopback(&address, variant, deed->remote_port_be);
	from = socket(variant, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (from < 0 || (connect(from, &address.any, length) < 0 && errno != ECONNREFUSED && errno != EINPROGRESS))
		error = -errno;
	if (from >= 0) {
		wait_for(from, POLLOUT);
		close(from);
	}
	close(to);
	return error;
}

/*
 * To loopback's broadcast address, to which TCP does not go: nothing is sent, no state changes, and only the call's return
 * tells that it failed.
 */
int deed_fast_open(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;
	in_addr_t broadcast = htonl(INADDR_LOOPBACK | IN_CLASSA_HOST);
	socklen_t length = loopback(&address, AF_INET, htons(DISCARD_PORT));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;

	(void)place;
	(void)variant;
	if (fd < 0)
		return -errno;
	address.v4.sin_addr.s_addr = broadcast;
	deed->family = AF_INET;
	memcpy(deed->address, &broadcast, sizeof(broadcast));
	deed->remote_port_be = htons(DISCARD_PORT);
	deed->number = -ENETUNREACH;
	if (sendto(fd, "", 1, MSG_FASTOPEN | MSG_NOSIGNAL, &address.any, length) >= 0)
		error = -EISCONN;
	else if (errno != ENETUNREACH)
		error = -errno;
	close(fd);
	return error;
}

/* With a listener of its own, for deed_uring_accept after it. */
int deed_uring_connect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int error = deed_listen(place, deed, variant);

	return error ? error : connect_by(place, deed, variant, ring_connect);
}

int deed_uring_accept(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int error = accept_by(place, deed, variant, ring_accept);

	if (!error)
		reset(place, index_of(variant));
	return error;
}

static int send_with(struct canary_deed *deed, int variant, int flags)
{
	union address address;
	socklen_t length;
	int to = bound(variant, SOCK_DGRAM), from, error = 0;

	if (to < 0)
		return to;
	expect_loopback(deed, variant);
	deed->remote_port_be = port_of(to);
	length = loopback(&address, variant, deed->remote_port_be);
	from = socket(variant, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (from < 0 || sendto(from, "", 1, flags, &address.any, length) < 0)
		error = -errno;
	if (from >= 0)
		close(from);
	close(to);
	return error;
}

int deed_send(struct canary_place *place, struct canary_deed *deed, int variant)
{
	(void)place;
	return send_with(deed, variant, 0);
}

/* More is to follow and never does: no packet leaves, and the end of the socket tells what was asked for. */
int deed_send_nothing(struct canary_place *place, struct canary_deed *deed, int variant)
{
	(void)place;
	return send_with(deed, variant, MSG_MORE);
}

/* Two datagrams there, an answer back: what is sampled of them is `text`, what they were in all is counted. */
int deed_flow(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address, from;
	socklen_t length, from_length = sizeof(from);
	int to = bound(variant, SOCK_DGRAM), client, error = 0;

	if (to < 0)
		return to;
	expect_loopback(deed, variant);
	deed->remote_port_be = port_of(to);
	deed_text(deed, "%s", place->nonce);
	length = loopback(&address, variant, deed->remote_port_be);
	client = socket(variant, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (client < 0 || sendto(client, deed->text, deed->text_length, 0, &address.any, length) < 0 ||
		sendto(client, deed->text, deed->text_length, 0, &address.any, length) < 0)
		error = -errno;
	wait_for(to, POLLIN);
	if (!error && (recvfrom(to, deed->path, sizeof(deed->path), 0, &from.any, &from_length) < 0 ||
			      sendto(to, deed->text, deed->text_length, 0, &from.any, from_length) < 0))
		error = -errno;
	if (client >= 0) {
		wait_for(client, POLLIN);
		close(client);
	}
	close(to);
	return error;
}

/* What goes over a connection to the listener before it, and back. */
int deed_words(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int i = index_of(variant);

	if (place->servers[i] < 0)
		return -place->before->error;
	expect_loopback(deed, variant);
	deed->local_port_be = port_of(place->clients[i]);
	deed->remote_port_be = port_of(place->listeners[i]);
	deed_text(deed, "%s", place->nonce);
	if (send(place->clients[i], deed->text, deed->text_length, MSG_NOSIGNAL) < 0)
		return -errno;
	wait_for(place->servers[i], POLLIN);
	return 0;
}

/* --- unix ------------------------------------------------------------------------------------------------------------- */

/* The abstract name of this canary, which deed->text becomes; returns the address's length. */
static socklen_t abstract(union address *address, struct canary_place *place, struct canary_deed *deed)
{
	size_t length = strlen(place->nonce);

	memset(address, 0, sizeof(*address));
	address->local.sun_family = AF_UNIX;
	memcpy(address->local.sun_path + 1, place->nonce, length);
	memcpy(deed->text, address->local.sun_path, length + 1);
	deed->text_length = length + 1;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}

int deed_unix_listen(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;
	socklen_t length = abstract(&address, place, deed);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)variant;
	if (fd < 0)
		return -errno;
	place->unix_listener = fd;
	return bind(fd, &address.any, length) < 0 || listen(fd, 1) < 0 ? -errno : 0;
}

int deed_unix_connect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;
	socklen_t length = abstract(&address, place, deed);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)variant;
	if (fd < 0)
		return -errno;
	if (connect(fd, &address.any, length) < 0)
		return -errno;
	place->unix_client = fd;
	return 0;
}

int deed_unix_accept(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;

	(void)abstract(&address, place, deed);
	(void)variant;
	if (place->unix_client < 0)
		return -place->before->error;
	return accept4(place->unix_listener, NULL, NULL, SOCK_CLOEXEC) < 0 ? -errno : 0;
}

/* Sockets of streams and of datagrams may have the same name. */
int deed_unix_send(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;
	socklen_t length = abstract(&address, place, deed);
	int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;

	(void)variant;
	if (to < 0 || from < 0 || bind(to, &address.any, length) < 0 ||
		sendto(from, "", 1, 0, &address.any, length) < 0)
		error = -errno;
	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return error;
}
