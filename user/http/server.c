/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "grpc/socket.h"
#include "http/process.h"
#include "http/request.h"

enum {
	LINGER_S = 1, /* behind the answer: what the peer still sends would reset it, and the answer with it */
	ACCEPT_AGAIN_MS = 100,
};

enum page { PAGE_HEALTHZ, PAGE_READYZ, PAGE_METRICS, PAGE_OTHER, PAGES };
static const char *const page_paths[PAGES] = {"/healthz", "/readyz", "/metrics", "other"};

enum { REQUESTS, CROWDED };
const struct metric_spec http_server_metrics[] = {
	[REQUESTS] = {"taffrail_http_requests_total", METRIC_COUNTER,
		"Requests that were answered, by page and status.", {"page", "status"}},
	[CROWDED] = {"taffrail_http_connections_dropped_total", METRIC_COUNTER,
		"Connections that were closed without an answer: too slow, or pushed out by others.", {0}},
	{0},
};

static const int statuses[] = {200, 400, 404, 405, 413, 431, 503, 505};
enum { STATUSES = sizeof(statuses) / sizeof(statuses[0]) };

struct connection {
	TAILQ_ENTRY(connection) entry;
	struct http_server *server;
	struct bufferevent *stream;
	struct event *deadline;
	bool answered;
};

struct http_server {
	struct http_board *board;
	struct event_base *base;
	struct grpc_socket sockets[GRPC_SOCKETS];
	struct evconnlistener *listeners[GRPC_SOCKETS];
	size_t socket_count;
	struct event *stop, *accept_again;
	int stop_fd;
	TAILQ_HEAD(connections, connection) connections; /* the oldest first */
	size_t connection_count;
	uint64_t requests[PAGES][STATUSES], dropped;
	struct buffer page;
	pthread_t thread;
	bool started;
};

/* --- answers ---------------------------------------------------------------------------------------------------------- */

static const char *reason_of(int status)
{
	switch (status) {
	case 200: return "OK";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 413: return "Content Too Large";
	case 431: return "Request Header Fields Too Large";
	case 503: return "Service Unavailable";
	case 505: return "HTTP Version Not Supported";
	default: return "Bad Request";
	}
}

static size_t index_of(int status)
{
	size_t at = 0;

	while (at < STATUSES - 1 && statuses[at] != status)
		at++;
	return at;
}

static void put_metrics(struct http_server *server)
{
	struct buffer *page = &server->page;

	http_board_read(server->board, page);
	http_process_page(page);
	metric_begin(page, &http_server_metrics[REQUESTS]);
	for (size_t at = 0; at < PAGES; at++)
		for (size_t i = 0; i < STATUSES; i++) {
			char status[8];
			const char *const values[] = {page_paths[at], status};

			snprintf(status, sizeof(status), "%d", statuses[i]);
			if (server->requests[at][i] > 0)
				metric_count(page, &http_server_metrics[REQUESTS], values, server->requests[at][i]);
		}
	metric_one(page, &http_server_metrics[CROWDED], server->dropped);
}

/* A word, or a sentence, is a page too. */
static int put_words(struct buffer *page, bool good, const char *why)
{
	const char *words = good ? "ok" : why;

	buffer_append(page, words, strlen(words));
	buffer_append(page, "\n", 1);
	return good ? 200 : 503;
}

/* The page's bytes in server->page; returns the status. */
static int make_page(struct http_server *server, enum page which)
{
	char why[HTTP_WHY_SIZE] = "";
	uint64_t now_ns = clock_boottime_ns();

	switch (which) {
	case PAGE_HEALTHZ: return put_words(&server->page, http_board_is_alive(server->board, now_ns, why), why);
	case PAGE_READYZ: return put_words(&server->page, http_board_is_ready(server->board, now_ns, why), why);
	case PAGE_METRICS: put_metrics(server); return 200;
	default: break;
	}
	(void)put_words(&server->page, false, "there are /healthz, /readyz and /metrics");
	return 404;
}

static void answer(struct connection *connection, int status, const struct http_request *request)
{
	struct http_server *server = connection->server;
	struct evbuffer *out = bufferevent_get_output(connection->stream);
	enum page which = PAGE_OTHER;

	buffer_clear(&server->page);
	if (status == 200) {
		for (which = 0; which < PAGE_OTHER && !text_equal(request->path, text_of(page_paths[which]));)
			which++;
		status = make_page(server, which);
	} else {
		(void)put_words(&server->page, false, reason_of(status));
	}
	if (server->page.failed) {
		buffer_clear(&server->page);
		status = 503;
	}
	server->requests[which][index_of(status)]++;
	connection->answered = true;
	evbuffer_add_printf(out,
		"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%sCache-Control: no-store\r\nConnection: "
		"close\r\n\r\n",
		status, reason_of(status),
		which == PAGE_METRICS ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain; charset=utf-8",
		server->page.length, status == 405 ? "Allow: GET, HEAD\r\n" : "");
	if (!request->head)
		evbuffer_add(out, server->page.data, server->page.length);
	bufferevent_enable(connection->stream, EV_WRITE);
}

/* --- connections ------------------------------------------------------------------------------------------------------ */

static void connection_close(struct connection *connection)
{
	struct http_server *server = connection->server;

	TAILQ_REMOVE(&server->connections, connection, entry);
	server->connection_count--;
	server->dropped += !connection->answered;
	event_free(connection->deadline);
	bufferevent_free(connection->stream);
	free(connection);
}

static void on_read(struct bufferevent *stream, void *context)
{
	struct connection *connection = context;
	struct evbuffer *in = bufferevent_get_input(stream);
	struct http_request request = {0};
	size_t length = evbuffer_get_length(in);
	struct text bytes = {(const char *)evbuffer_pullup(in, -1), length};
	int status;

	if (connection->answered) {
		evbuffer_drain(in, length);
		return;
	}
	status = http_request_read(&request, bytes);
	if (status == 0)
		return;
	answer(connection, status, &request);
	evbuffer_drain(in, length);
}

/* All of the answer is on its way: the peer closes, or has a moment to. */
static void on_written(struct bufferevent *stream, void *context)
{
	struct connection *connection = context;
	const struct timeval linger = {LINGER_S, 0};

	if (!connection->answered)
		return;
	shutdown(bufferevent_getfd(stream), SHUT_WR);
	event_add(connection->deadline, &linger);
}

static void on_end(struct bufferevent *stream, short what, void *context)
{
	struct connection *connection = context;

	/* Who has asked and closed his side may still read. */
	if (what & BEV_EVENT_EOF && connection->answered && evbuffer_get_length(bufferevent_get_output(stream)) > 0)
		return;
	connection_close(connection);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	connection_close(context);
}

/* The oldest goes. Where it has asked already, and only had no turn yet, it has its answer first. */
static void push_out(struct http_server *server)
{
	struct connection *oldest = TAILQ_FIRST(&server->connections);
	struct evbuffer *in = bufferevent_get_input(oldest->stream);
	struct evbuffer *out = bufferevent_get_output(oldest->stream);
	int fd = bufferevent_getfd(oldest->stream);

	/* The stream keeps these ends to itself, and opens them for its own turn, which does not come. */
	evbuffer_unfreeze(in, 0);
	evbuffer_unfreeze(out, 1);
	if (!oldest->answered && evbuffer_read(in, fd, HTTP_HEAD_MAX + 1) > 0)
		on_read(oldest->stream, oldest);
	if (oldest->answered)
		(void)evbuffer_write(out, fd);
	connection_close(oldest);
}

static void on_accept(
	struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int length, void *context)
{
	const struct timeval deadline = {HTTP_DEADLINE_S, 0};
	struct http_server *server = context;
	struct connection *connection = calloc(1, sizeof(*connection));
	struct bufferevent *stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);

	(void)listener;
	(void)address;
	(void)length;
	if (connection)
		connection->deadline = evtimer_new(server->base, on_deadline, connection);
	if (!connection || !connection->deadline || !stream || event_add(connection->deadline, &deadline) < 0) {
		if (stream)
			bufferevent_free(stream);
		else
			close(fd);
		if (connection && connection->deadline)
			event_free(connection->deadline);
		free(connection);
		return;
	}
	connection->server = server;
	connection->stream = stream;
	TAILQ_INSERT_TAIL(&server->connections, connection, entry);
	if (++server->connection_count > HTTP_CONNECTIONS_MAX)
		push_out(server);
	bufferevent_setcb(stream, on_read, on_written, on_end, connection);
	bufferevent_setwatermark(stream, EV_READ, 0, HTTP_HEAD_MAX + 1);
	bufferevent_enable(stream, EV_READ | EV_WRITE);
}

/* Out of descriptors: the connection stays in the queue, and accept would be called again at once, for ever. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
	struct http_server *server = context;

	evconnlistener_disable(listener);
	event_add(server->accept_again, &(struct timeval){0, ACCEPT_AGAIN_MS * 1000});
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
	struct http_server *server = context;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < server->socket_count; i++)
		evconnlistener_enable(server->listeners[i]);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

static void on_stop(evutil_socket_t fd, short what, void *context)
{
	struct http_server *server = context;

	(void)fd;
	(void)what;
	event_base_loopbreak(server->base);
}

static void *run(void *context)
{
	struct http_server *server = context;

	(void)event_base_dispatch(server->base);
	return NULL;
}

static int open_events(struct http_server *server)
{
	server->base = event_base_new();
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!server->base || server->stop_fd < 0)
		return server->base ? -errno : -ENOMEM;
	server->stop = event_new(server->base, server->stop_fd, EV_READ, on_stop, server);
	server->accept_again = evtimer_new(server->base, on_accept_again, server);
	if (!server->stop || !server->accept_again || event_add(server->stop, NULL) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < server->socket_count; i++) {
		server->listeners[i] = evconnlistener_new(
			server->base, on_accept, server, LEV_OPT_CLOSE_ON_EXEC, 0, server->sockets[i].fd);
		if (!server->listeners[i])
			return -ENOMEM;
		evconnlistener_set_error_cb(server->listeners[i], on_accept_error);
	}
	return 0;
}

/* Signals are the program's own threads' matter. */
static int start(struct http_server *server)
{
	sigset_t all, before;
	clockid_t clock;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = -pthread_create(&server->thread, NULL, run, server);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	server->started = error == 0;
	if (!error && pthread_getcpuclockid(server->thread, &clock) == 0)
		http_board_clock(server->board, clock);
	return error;
}

static int open_all(struct http_server *server, struct grpc_address *address, char *why, size_t why_size)
{
	int error = http_board_open(&server->board), count;
	uint16_t port;

	if (error)
		return error;
	count = grpc_sockets_open(server->sockets, address, false, &port, why, why_size);
	if (count < 0)
		return count;
	address->port = port;
	server->socket_count = (size_t)count;
	error = open_events(server);
	return error ? error : start(server);
}

int http_server_open(struct http_server **out, const struct grpc_address *address)
{
	struct http_server *server = calloc(1, sizeof(*server));
	char why[512] = "out of memory", text[GRPC_ADDRESS_TEXT_SIZE];
	struct grpc_address bound = *address;
	int error = -ENOMEM;

	if (server) {
		server->stop_fd = -1;
		TAILQ_INIT(&server->connections);
		error = open_all(server, &bound, why, sizeof(why));
	}
	if (error) {
		log_error("--http: %s", why);
		http_server_close(server);
		return error;
	}
	log_info("http %s", grpc_address_format(&bound, text, sizeof(text)));
	*out = server;
	return 0;
}

struct http_board *http_server_board(struct http_server *server)
{
	return server ? server->board : NULL;
}

void http_server_close(struct http_server *server)
{
	uint64_t one = 1;

	if (!server)
		return;
	if (server->started) {
		(void)!write(server->stop_fd, &one, sizeof(one));
		pthread_join(server->thread, NULL);
	}
	while (!TAILQ_EMPTY(&server->connections))
		connection_close(TAILQ_FIRST(&server->connections));
	for (size_t i = 0; i < server->socket_count; i++) {
		grpc_socket_unlink(&server->sockets[i]);
		if (server->listeners[i])
			evconnlistener_free(server->listeners[i]);
		close(server->sockets[i].fd);
	}
	if (server->stop)
		event_free(server->stop);
	if (server->accept_again)
		event_free(server->accept_again);
	if (server->base)
		event_base_free(server->base);
	if (server->stop_fd >= 0)
		close(server->stop_fd);
	http_board_close(server->board);
	buffer_free(&server->page);
	free(server);
}
