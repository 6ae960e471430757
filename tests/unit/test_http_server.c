/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/server.h"

static char folder[] = "/tmp/taffrail-http-XXXXXX";
static struct grpc_address address = {.kind = GRPC_ADDRESS_UNIX};
static struct http_server *server;

static void open_server(void)
{
	cr_assert(mkdtemp(folder));
	snprintf(address.path, sizeof(address.path), "%s/socket", folder);
	cr_assert_eq(http_server_open(&server, &address), 0);
}

static void close_server(void)
{
	http_server_close(server);
	cr_assert_eq(access(address.path, F_OK), -1, "its socket is gone");
	rmdir(folder);
}

static int connected(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path, address.path, sizeof(to.sun_path));
	cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* What is answered to these bytes, sent in pieces of `step`, up to the end; NULL: nothing but an end. */
static const char *answered(const char *bytes, size_t length, size_t step)
{
	static char answer[65536];
	int fd = connected();
	size_t got = 0;
	ssize_t more;

	for (size_t at = 0; at < length; at += step)
		if (send(fd, bytes + at, at + step < length ? step : length - at, MSG_NOSIGNAL) < 0)
			break;
	while (got < sizeof(answer) - 1 && (more = read(fd, answer + got, sizeof(answer) - 1 - got)) > 0)
		got += (size_t)more;
	answer[got] = '\0';
	close(fd);
	return got ? answer : NULL;
}

static const char *asked(const char *head)
{
	return answered(head, strlen(head), strlen(head));
}

TestSuite(http_server, .init = open_server, .fini = close_server, .timeout = 60);

Test(http_server, the_pages_are_what_the_board_says)
{
	struct http_board *board = http_server_board(server);
	struct buffer page = {0};

	cr_assert(strstr(asked("GET /readyz HTTP/1.1\r\n\r\n"), "503 Service Unavailable\r\n"));
	cr_assert(strstr(asked("GET /healthz HTTP/1.1\r\n\r\n"), "\r\n\r\nok\n"));
	http_board_beat(board);
	http_board_ready(board, NULL);
	buffer_append(&page, "mine 1\n", 7);
	http_board_page(board, &page);
	cr_assert(strstr(asked("GET /readyz HTTP/1.1\r\n\r\n"), "200 OK\r\n"));
	cr_assert(strstr(asked("GET /metrics HTTP/1.1\r\n\r\n"), "\r\n\r\nmine 1\n# HELP process_"));
	cr_assert_null(strstr(asked("HEAD /metrics HTTP/1.1\r\n\r\n"), "mine"));
	cr_assert(strstr(asked("GET /metrics HTTP/1.1\r\n\r\n"),
		"taffrail_http_requests_total{page=\"/readyz\",status=\"503\"} 1\n"));
	buffer_free(&page);
}

Test(http_server, a_request_comes_in_pieces_of_any_size)
{
	static const char head[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

	for (size_t step = 1; step < sizeof(head); step++)
		cr_assert(strstr(answered(head, sizeof(head) - 1, step), "200 OK\r\n"), "%zu", step);
}

Test(http_server, bytes_of_all_kinds_are_answered_or_closed)
{
	char bytes[3 * HTTP_CONNECTIONS_MAX * 100];

	srand(1);
	for (int round = 0; round < 200; round++) {
		size_t length = 1 + (size_t)rand() % (sizeof(bytes) - 4);
		const char *answer;

		for (size_t i = 0; i < length; i++)
			bytes[i] = (char)(rand() % 4 ? rand() : "GET /:\r\n"[rand() % 8]);
		memcpy(bytes + length, "\n\n\n\n", 4);
		answer = answered(bytes, length + 4, 1 + (size_t)rand() % length);
		cr_assert(!answer || strncmp(answer, "HTTP/1.1 4", 10) == 0 || strncmp(answer, "HTTP/1.1 5", 10) == 0,
			"%.100s", answer);
	}
	cr_assert(strstr(asked("GET /healthz HTTP/1.1\r\n\r\n"), "200 OK\r\n"));
}

Test(http_server, the_oldest_makes_room)
{
	int held[3 * HTTP_CONNECTIONS_MAX];
	size_t closed = 0;
	char byte;

	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		held[i] = connected();
		cr_assert_eq(send(held[i], "GET /", 5, MSG_NOSIGNAL), 5);
		if (i % 10 == 0)
			cr_assert(strstr(asked("GET /healthz HTTP/1.1\r\n\r\n"), "200 OK\r\n"));
	}
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++) {
		struct pollfd fd = {.fd = held[i], .events = POLLIN};

		if (poll(&fd, 1, i < 2 * HTTP_CONNECTIONS_MAX ? 2000 : 0) > 0)
			closed += read(held[i], &byte, 1) <= 0;
	}
	cr_assert_geq(closed, 2 * HTTP_CONNECTIONS_MAX, "%zu", closed);
	cr_assert_lt(closed, sizeof(held) / sizeof(held[0]));
	for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
		close(held[i]);
}

Test(http_server, it_ends_with_connections_open)
{
	int one = connected(), two = connected();

	cr_assert_eq(send(one, "GET /metrics HTTP/1.1\r\n\r\n", 25, MSG_NOSIGNAL), 25);
	close_server();
	server = NULL;
	snprintf(folder, sizeof(folder), "/tmp/taffrail-http-XXXXXX");
	open_server();
	cr_assert(strstr(asked("GET /healthz HTTP/1.1\r\n\r\n"), "200 OK\r\n"));
	close(one);
	close(two);
}
