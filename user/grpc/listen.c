/* SPDX-License-Identifier: Apache-2.0 */
/* The server's sockets: accept, remove. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "grpc/server_inside.h"

#define ACCEPT_AGAIN_MS 100

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

static int listen_add(struct grpc_server *server, const struct grpc_socket *socket)
{
	struct grpc_listener *listener = &server->listeners[server->listener_count];

	if (server->listener_count == GRPC_LISTENERS)
		return -ENOSPC;
	*listener = (struct grpc_listener){.server = server, .socket = *socket};
	listener->accept = evconnlistener_new(
		server->base, listen_on_accept, listener, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, socket->fd);
	if (!listener->accept)
		return errno ? -errno : -ENOMEM;
	evconnlistener_set_error_cb(listener->accept, listen_on_error);
	server->listener_count++;
	return 0;
}

static void listeners_close_above(struct grpc_server *server, size_t count)
{
	while (server->listener_count > count) {
		struct grpc_listener *listener = &server->listeners[--server->listener_count];

		grpc_socket_unlink(&listener->socket);
		evconnlistener_free(listener->accept);
	}
}

void grpc_listeners_close(struct grpc_server *server)
{
	listeners_close_above(server, 0);
}

int grpc_server_listen(struct grpc_server *server, const struct grpc_address *address, struct grpc_address *bound,
	char *error, size_t error_size)
{
	struct grpc_socket sockets[GRPC_SOCKETS];
	size_t before = server->listener_count;
	int count, result = 0;
	uint16_t port;

	if (error_size)
		error[0] = 0;
	if (server->stopping || server->closed) {
		snprintf(error, error_size, "the server stops");
		return -ESHUTDOWN;
	}
	count = grpc_sockets_open(
		sockets, address, !server->options.insecure && !server->options.tls, &port, error, error_size);
	if (count < 0)
		return count;
	for (int i = 0; i < count; i++) {
		result = result ? result : listen_add(server, &sockets[i]);
		if (result) {
			grpc_socket_unlink(&sockets[i]);
			close(sockets[i].fd);
		}
	}
	if (result) {
		snprintf(error, error_size, "cannot listen: %s", strerror(-result));
		listeners_close_above(server, before);
		return result;
	}
	if (bound) {
		*bound = *address;
		bound->port = port;
	}
	return 0;
}
