/* SPDX-License-Identifier: Apache-2.0 */
#include "grpc/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096 /* a whole cluster's sensors may come back at once */
#define SOCKET_MODE 0660

__attribute__((format(printf, 4, 5))) static int refuse(char *error, size_t size, int number, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (size)
		vsnprintf(error, size, format, arguments);
	va_end(arguments);
	return number;
}

/* --- unix sockets ------------------------------------------------------------------------------------------------- */

/* 1: somebody listens there, 0: nobody, -errno: it cannot be told. */
static int listen_is_alive(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
	close(fd);
	switch (error) {
	case 0:
	case EAGAIN: return 1; /* its queue is full */
	case ECONNREFUSED:
	case ENOENT: return 0;
	default: return -error;
	}
}

static int listen_bind_path(int fd, const struct sockaddr_un *address, char *error, size_t size)
{
	const char *path = address->sun_path;
	struct stat there;
	int alive;

	if (lstat(path, &there) == 0) {
		if (!S_ISSOCK(there.st_mode))
			return refuse(error, size, -EEXIST, "%s is there and no socket", path);
		alive = listen_is_alive(address);
		if (alive > 0)
			return refuse(error, size, -EADDRINUSE, "another process listens on %s", path);
		if (alive < 0)
			return refuse(error, size, alive, "%s: %s", path, strerror(-alive));
		if (unlink(path))
			return refuse(
				error, size, -errno, "cannot remove the dead socket %s: %s", path, strerror(errno));
	}
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return refuse(error, size, -errno, "cannot make the socket %s: %s", path, strerror(errno));
	/* Nobody gets in before listen(), so the umask's mode never counts. */
	if (chmod(path, SOCKET_MODE) || lstat(path, &there)) {
		alive = -errno;
		unlink(path);
		return refuse(error, size, alive, "%s: %s", path, strerror(-alive));
	}
	return 0;
}

/* Two servers that start at once must not each take the other's new socket for a dead one: one at a time per folder. */
static int listen_lock_folder(const char *path, char *error, size_t size)
{
	char copy[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *folder;
	int fd;

	snprintf(copy, sizeof(copy), "%s", path);
	folder = dirname(copy);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return refuse(error, size, -errno, "%s: %s", folder, strerror(errno));
	/* Held for some system calls only. A folder that cannot be locked is used all the same. */
	flock(fd, LOCK_EX);
	return fd;
}

static int listen_unix(struct grpc_socket *made, const char *path, char *error, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat there = {0};
	int folder, fd, result;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refuse(error, size, -errno, "%s: %s", path, strerror(errno));
	folder = listen_lock_folder(path, error, size);
	if (folder < 0) {
		close(fd);
		return folder;
	}
	result = listen_bind_path(fd, &address, error, size);
	if (!result) {
		result = lstat(path, &there) || listen(fd, BACKLOG) ? -errno : 0;
		if (result) {
			unlink(path);
			refuse(error, size, result, "%s: %s", path, strerror(-result));
		}
	}
	close(folder);
	if (result) {
		close(fd);
		return result;
	}
	*made = (struct grpc_socket){.fd = fd, .device = there.st_dev, .inode = there.st_ino};
	snprintf(made->path, sizeof(made->path), "%s", path);
	return 0;
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

static int listen_look_up(const struct grpc_address *address, struct grpc_endpoint *endpoints, char *error, size_t size)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found, *one;
	char service[8];
	int count = grpc_address_endpoints(address, endpoints, GRPC_SOCKETS), result;

	if (count > 0)
		return count;
	snprintf(service, sizeof(service), "%u", address->port);
	result = getaddrinfo(address->host, service, &hints, &found);
	if (result)
		return refuse(error, size, -EHOSTUNREACH, "cannot look up %s: %s", address->host, gai_strerror(result));
	for (one = found, count = 0; one && count < GRPC_SOCKETS; one = one->ai_next, count++) {
		memcpy(&endpoints[count].address, one->ai_addr, one->ai_addrlen);
		endpoints[count].length = one->ai_addrlen;
	}
	freeaddrinfo(found);
	return count;
}

static in_port_t *endpoint_port(struct grpc_endpoint *endpoint)
{
	return endpoint->address.ss_family == AF_INET6 ? &((struct sockaddr_in6 *)&endpoint->address)->sin6_port
						       : &((struct sockaddr_in *)&endpoint->address)->sin_port;
}

static int listen_tcp(struct grpc_socket *made, struct grpc_endpoint *endpoint)
{
	int family = endpoint->address.ss_family, one = 1, result;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof(endpoint->address);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) /* the other family has a socket of its own */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	result = bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) || listen(fd, BACKLOG) ? -errno
														: 0;
	if (result) {
		close(fd);
		return result;
	}
	getsockname(fd, (struct sockaddr *)&endpoint->address, &length);
	*made = (struct grpc_socket){.fd = fd};
	return 0;
}

/* An address of several (both families of "localhost", of every address) is served if one of them can be. */
static int listen_inet(struct grpc_socket sockets[GRPC_SOCKETS], const struct grpc_address *address, bool loopback_only,
	uint16_t *port, char *error, size_t size)
{
	struct grpc_endpoint endpoints[GRPC_SOCKETS];
	int count = listen_look_up(address, endpoints, error, size), result = -EADDRNOTAVAIL, done = 0;
	char text[GRPC_ADDRESS_TEXT_SIZE];

	if (count < 0)
		return count;
	for (int i = 0; i < count && loopback_only; i++)
		if (!grpc_sockaddr_is_loopback((const struct sockaddr *)&endpoints[i].address))
			return refuse(error, size, -EPERM,
				"%s is not a loopback address, and plain text goes no further than this machine",
				grpc_sockaddr_format((const struct sockaddr *)&endpoints[i].address,
					endpoints[i].length, text, sizeof(text)));
	*port = address->port;
	for (int i = 0; i < count; i++) {
		int one;

		*endpoint_port(&endpoints[i]) = htons(*port);
		grpc_sockaddr_format(
			(const struct sockaddr *)&endpoints[i].address, endpoints[i].length, text, sizeof(text));
		one = listen_tcp(&sockets[done], &endpoints[i]);
		if (one == 0) {
			done++;
			*port = ntohs(*endpoint_port(&endpoints[i]));
			continue;
		}
		result = refuse(error, size, one, "cannot listen on %s: %s", text, strerror(-one));
		/* Half of a name would be served by us, the other half by somebody else. */
		if (one == -EADDRINUSE && address->port) {
			while (done > 0)
				close(sockets[--done].fd);
			return one;
		}
	}
	if (done && size)
		error[0] = 0;
	return done ? done : result;
}

int grpc_sockets_open(struct grpc_socket sockets[GRPC_SOCKETS], const struct grpc_address *address, bool loopback_only,
	uint16_t *port, char *error, size_t error_size)
{
	int result;

	*port = 0;
	if (address->kind == GRPC_ADDRESS_INET)
		return listen_inet(sockets, address, loopback_only, port, error, error_size);
	result = listen_unix(&sockets[0], address->path, error, error_size);
	return result ? result : 1;
}

void grpc_socket_unlink(const struct grpc_socket *socket)
{
	struct stat now;

	if (socket->path[0] && lstat(socket->path, &now) == 0 && now.st_dev == socket->device &&
		now.st_ino == socket->inode)
		unlink(socket->path);
}
