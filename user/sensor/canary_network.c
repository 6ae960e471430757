/* SPDX-License-Identifier: Apache-2.0 */
/* What the canary does with sockets, over loopback and under abstract names. All of it runs in the child. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "sensor/canary_inside.h"

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

int deed_connect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int listener = place->listeners[index_of(variant)], fd;
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
	/* Over loopback it is established, or refused, when the call returns. */
	if (connect(fd, &address.any, length) < 0 && errno != EINPROGRESS)
		return -errno;
	deed->local_port_be = port_of(fd);
	place->clients[index_of(variant)] = fd;
	return 0;
}

int deed_accept(struct canary_place *place, struct canary_deed *deed, int variant)
{
	int i = index_of(variant), fd;

	if (place->clients[i] < 0)
		return -place->before->error;
	expect_loopback(deed, variant);
	deed->local_port_be = port_of(place->listeners[i]);
	deed->remote_port_be = port_of(place->clients[i]);
	fd = accept4(place->listeners[i], NULL, NULL, SOCK_CLOEXEC);
	place->servers[i] = fd;
	return fd < 0 ? -errno : 0;
}

/* By a reset, which leaves no socket in TIME_WAIT behind. */
int deed_disconnect(struct canary_place *place, struct canary_deed *deed, int variant)
{
	const struct linger now = {.l_onoff = 1};
	int i = index_of(variant);

	if (place->servers[i] < 0)
		return -place->before->error;
	expect_loopback(deed, variant);
	deed->local_port_be = port_of(place->clients[i]);
	deed->remote_port_be = port_of(place->listeners[i]);
	(void)setsockopt(place->clients[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(place->clients[i]);
	close(place->servers[i]);
	close(place->listeners[i]);
	return 0;
}

int deed_send(struct canary_place *place, struct canary_deed *deed, int variant)
{
	union address address;
	socklen_t length;
	int to = bound(variant, SOCK_DGRAM), from, error = 0;

	(void)place;
	if (to < 0)
		return to;
	expect_loopback(deed, variant);
	deed->remote_port_be = port_of(to);
	length = loopback(&address, variant, deed->remote_port_be);
	from = socket(variant, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (from < 0 || sendto(from, "", 1, 0, &address.any, length) < 0)
		error = -errno;
	if (from >= 0)
		close(from);
	close(to);
	return error;
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
