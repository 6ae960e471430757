/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the container tests run where busybox's own programs leave too much to chance: exact addresses, counts, bytes.
 *
 *   workload udp IP:PORT...                one datagram to each, from one socket
 *   workload serve PORT TAKE GIVE          accepts one connection, reads TAKE bytes, writes GIVE, closes
 *   workload fetch IP PORT GIVE TAKE       connects, writes GIVE bytes, reads TAKE, closes
 *   workload unix NAME                     a listener and, as a child, a client; a NAME that begins with @ is abstract
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in address_of(const char *ip, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(port, NULL, 10))};

	if (inet_pton(AF_INET, ip, &address.sin_addr) != 1)
		errx(2, "%s is no IPv4 address", ip);
	return address;
}

static int udp(char **peers)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (; *peers; peers++) {
		char *colon = strchr(*peers, ':');

		if (!colon)
			errx(2, "%s: no port", *peers);
		*colon = '\0';

		struct sockaddr_in address = address_of(*peers, colon + 1);

		if (sendto(fd, "ping", 4, 0, (struct sockaddr *)&address, sizeof(address)) != 4)
			err(1, "sendto %s", *peers);
	}
	return 0;
}

static void give(int fd, const char *count)
{
	static const char block[4096];

	for (long left = strtol(count, NULL, 10), n; left > 0; left -= n) {
		n = write(fd, block, left < (long)sizeof(block) ? (size_t)left : sizeof(block));
		if (n <= 0)
			err(1, "write");
	}
}

static void take(int fd, const char *count)
{
	char block[4096];

	for (long left = strtol(count, NULL, 10), n; left > 0; left -= n) {
		n = read(fd, block, left < (long)sizeof(block) ? (size_t)left : sizeof(block));
		if (n <= 0)
			err(1, "read");
	}
}

static int serve(char **arguments)
{
	struct sockaddr_in address = address_of("0.0.0.0", arguments[0]);
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, fd;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 1) < 0)
		err(1, "listen");
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
	take(fd, arguments[1]);
	give(fd, arguments[2]);
	close(fd);
	return 0;
}

static int fetch(char **arguments)
{
	struct sockaddr_in address = address_of(arguments[0], arguments[1]);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		err(1, "connect");
	give(fd, arguments[2]);
	take(fd, arguments[3]);
	close(fd);
	return 0;
}

static int unix_pair(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), status = 0;

	if (strlen(name) >= sizeof(address.sun_path))
		errx(2, "the name is too long");
	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	else
		length++;
	if (bind(listener, (struct sockaddr *)&address, length) < 0 || listen(listener, 1) < 0)
		err(1, "listen");

	pid_t child = fork();

	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&address, length) < 0)
			err(1, "connect");
		_exit(0);
	}
	if (accept(listener, NULL, NULL) < 0)
		err(1, "accept");
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	if (argc >= 3 && strcmp(argv[1], "udp") == 0)
		return udp(argv + 2);
	if (argc == 5 && strcmp(argv[1], "serve") == 0)
		return serve(argv + 2);
	if (argc == 6 && strcmp(argv[1], "fetch") == 0)
		return fetch(argv + 2);
	if (argc == 3 && strcmp(argv[1], "unix") == 0)
		return unix_pair(argv[2]);
	errx(2, "what?");
}
