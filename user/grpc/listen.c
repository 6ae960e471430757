/* SPDX-License-Identifier: Apache-2.0 */
/* The server's sockets: bind without stealing, accept, remove. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "grpc/server_inside.h"

#define BACKLOG 4096 /* a whole cluster's sensors may come back at once */
#define ENDPOINTS 8
#define ACCEPT_AGAIN_MS 100
#define SOCKET_MODE 0660

__attribute__((format(printf, 4, 5))) static int listen_refuse(
	char *error, size_t size, int number, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (size)
		vsnprintf(error, size, format, arguments);
	va_end(arguments);
	return number;
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static const char *listen_peer(int fd, const struct sockaddr *address, int length, char *text, size_t size)
{
	struct ucred who;
	socklen_t who_size = sizeof(who);

	if (address->sa_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_size) == 0)
		snprintf(text, size, "unix:pid=%d,uid=%u", who.pid, who.uid);
	else
		grpc_sockaddr_format(address, (socklen_t)length, text, size);
	return text;
}

static void listen_on_accept(
	struct evconnlistener *accept, evutil_socket_t fd, struct sockaddr *address, int length, void *argument)
{
	struct grpc_listener *listener = argument;
	struct grpc_server *server = listener->server;
	struct bufferevent *stream;
	char peer[GRPC_ADDRESS_TEXT_SIZE];
	int one = 1;

	(void)accept;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	listen_peer(fd, address, length, peer, sizeof(peer));
	grpc_server_hold(server);
	if (server->options.tls) {
		grpc_arrivals_add(server, fd, peer);
	} else {
		stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
		if (!stream)
			close(fd);
		else if (grpc_connection_open(server, stream, peer, GRPC_OVER_SOCKET))
			bufferevent_free(stream);
	}
	grpc_server_release(server);
}

void grpc_listeners_resume(struct grpc_server *server)
{
	for (size_t i = 0; i < server->listener_count; i++)
		evconnlistener_enable(server->listeners[i].accept);
}

/* Out of descriptors, mostly: the connection stays in the queue, and accept would be called again at once, for ever. */
static void listen_on_error(struct evconnlistener *accept, void *argument)
{
	struct grpc_listener *listener = argument;

	evconnlistener_disable(accept);
	event_add(listener->server->accept_again, &(struct timeval){0, ACCEPT_AGAIN_MS * 1000});
}

static int listen_add(struct grpc_server *server, int fd, struct grpc_listener **result)
{
	struct grpc_listener *listener = &server->listeners[server->listener_count];

	if (server->listener_count == GRPC_LISTENERS)
		return -ENOSPC;
	memset(listener, 0, sizeof(*listener));
	listener->server = server;
	listener->accept = evconnlistener_new(
		server->base, listen_on_accept, listener, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
	if (!listener->accept)
		return errno ? -errno : -ENOMEM;
	evconnlistener_set_error_cb(listener->accept, listen_on_error);
	server->listener_count++;
	*result = listener;
	return 0;
}

void grpc_listeners_close(struct grpc_server *server)
{
	while (server->listener_count) {
		struct grpc_listener *listener = &server->listeners[--server->listener_count];
		struct stat now;

		/* Gone before it is closed: whoever comes next never meets a dead socket of ours. */
		if (listener->path[0] && lstat(listener->path, &now) == 0 && now.st_dev == listener->device &&
			now.st_ino == listener->inode)
			unlink(listener->path);
		evconnlistener_free(listener->accept);
	}
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
			return listen_refuse(error, size, -EEXIST, "%s is there and no socket", path);
		alive = listen_is_alive(address);
		if (alive > 0)
			return listen_refuse(error, size, -EADDRINUSE, "another process listens on %s", path);
		if (alive < 0)
			return listen_refuse(error, size, alive, "%s: %s", path, strerror(-alive));
		if (unlink(path))
			return listen_refuse(
				error, size, -errno, "cannot remove the dead socket %s: %s", path, strerror(errno));
	}
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)))
		return listen_refuse(error, size, -errno, "cannot make the socket %s: %s", path, strerror(errno));
	/* Nobody gets in before listen(), so the umask's mode never counts. */
	if (chmod(path, SOCKET_MODE) || lstat(path, &there)) {
		alive = -errno;
		unlink(path);
		return listen_refuse(error, size, alive, "%s: %s", path, strerror(-alive));
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
		return listen_refuse(error, size, -errno, "%s: %s", folder, strerror(errno));
	/* Held for some system calls only. A folder that cannot be locked is used all the same. */
	flock(fd, LOCK_EX);
	return fd;
}

static int listen_unix(struct grpc_server *server, const char *path, char *error, size_t size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct grpc_listener *listener = NULL;
	struct stat made = {0};
	int folder, fd, result;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return listen_refuse(error, size, -errno, "%s: %s", path, strerror(errno));
	folder = listen_lock_folder(path, error, size);
	if (folder < 0) {
		close(fd);
		return folder;
	}
	result = listen_bind_path(fd, &address, error, size);
	if (!result) {
		result = lstat(path, &made) ? -errno : listen_add(server, fd, &listener);
		if (result) {
			unlink(path);
			listen_refuse(error, size, result, "%s: %s", path, strerror(-result));
		}
	}
	close(folder);
	if (result || !listener) {
		close(fd);
		return result;
	}
	snprintf(listener->path, sizeof(listener->path), "%s", path);
	listener->device = made.st_dev;
	listener->inode = made.st_ino;
	return 0;
}

/* --- TCP ---------------------------------------------------------------------------------------------------------- */

static int listen_look_up(const struct grpc_address *address, struct grpc_endpoint *endpoints, char *error, size_t size)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM}, *found, *one;
	char service[8];
	int count = grpc_address_endpoints(address, endpoints, ENDPOINTS), result;

	if (count > 0)
		return count;
	snprintf(service, sizeof(service), "%u", address->port);
	result = getaddrinfo(address->host, service, &hints, &found);
	if (result)
		return listen_refuse(
			error, size, -EHOSTUNREACH, "cannot look up %s: %s", address->host, gai_strerror(result));
	for (one = found, count = 0; one && count < ENDPOINTS; one = one->ai_next, count++) {
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

static int listen_tcp(struct grpc_server *server, struct grpc_endpoint *endpoint)
{
	int family = endpoint->address.ss_family, one = 1, result;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct grpc_listener *listener;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) /* the other family has a socket of its own */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	result = bind(fd, (const struct sockaddr *)&endpoint->address, endpoint->length) ? -errno : 0;
	if (!result) {
		socklen_t length = sizeof(endpoint->address);

		getsockname(fd, (struct sockaddr *)&endpoint->address, &length);
		result = listen_add(server, fd, &listener);
	}
	if (result)
		close(fd);
	return result;
}

/* An address of several (both families of "localhost", of every address) is served if one of them can be. */
static int listen_inet(
	struct grpc_server *server, const struct grpc_address *address, uint16_t *port, char *error, size_t size)
{
	struct grpc_endpoint endpoints[ENDPOINTS];
	int count = listen_look_up(address, endpoints, error, size), result = -EADDRNOTAVAIL, done = 0;
	char text[GRPC_ADDRESS_TEXT_SIZE];

	if (count < 0)
		return count;
	for (int i = 0; i < count && !server->options.insecure && !server->options.tls; i++)
		if (!grpc_sockaddr_is_loopback((const struct sockaddr *)&endpoints[i].address))
			return listen_refuse(error, size, -EPERM,
				"%s is not a loopback address, and plain text goes no further than this machine",
				grpc_sockaddr_format((const struct sockaddr *)&endpoints[i].address,
					endpoints[i].length, text, sizeof(text)));
	*port = address->port;
	for (int i = 0; i < count; i++) {
		int one;

		*endpoint_port(&endpoints[i]) = htons(*port);
		grpc_sockaddr_format(
			(const struct sockaddr *)&endpoints[i].address, endpoints[i].length, text, sizeof(text));
		one = listen_tcp(server, &endpoints[i]);
		if (one == 0) {
			done++;
			*port = ntohs(*endpoint_port(&endpoints[i]));
		} else {
			result = listen_refuse(error, size, one, "cannot listen on %s: %s", text, strerror(-one));
		}
		/* Half of a name would be served by us, the other half by somebody else. */
		if (one == -EADDRINUSE && address->port)
			return one;
	}
	if (done && size)
		error[0] = 0;
	return done ? 0 : result;
}

int grpc_server_listen(struct grpc_server *server, const struct grpc_address *address, struct grpc_address *bound,
	char *error, size_t error_size)
{
	size_t before = server->listener_count;
	uint16_t port = 0;
	int result;

	if (error_size)
		error[0] = 0;
	if (server->stopping || server->closed)
		return listen_refuse(error, error_size, -ESHUTDOWN, "the server stops");
	if (address->kind == GRPC_ADDRESS_UNIX)
		result = listen_unix(server, address->path, error, error_size);
	else
		result = listen_inet(server, address, &port, error, error_size);
	if (result) {
		while (server->listener_count > before)
			evconnlistener_free(server->listeners[--server->listener_count].accept);
		return result;
	}
	if (bound) {
		*bound = *address;
		bound->port = port;
	}
	return 0;
}
