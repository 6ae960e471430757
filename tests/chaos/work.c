/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A workload that writes down what it did; each deed has a name that no other one has.
 *
 *	chaos-work deeds LOG FOLDER PREFIX INTERVAL_MS OPENS   until SIGTERM: one exec, one connect and OPENS opens at a time
 *	chaos-work flood FOLDER FILES                          until SIGTERM: opens its files in turn, as fast as it can
 *	chaos-work PREFIXnNUMBER                               an exec: ends at once
 *
 * A line of LOG is `exec|connect|open NAME BEGIN END`, in nanoseconds of Unix time, written in one piece once the deed is done. An
 * exec's name is its argument, a connect's the address (refused, and never beyond loopback), an open's the path. flood prints
 * how many opens it made.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLASHES = 64 };
static const char slash[SLASHES + 1] = "////////////////////////////////////////////////////////////////";
static volatile sig_atomic_t ended;

static void on_term(int number)
{
	(void)number;
	ended = 1;
}

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void note(int log, const char *kind, const char *name, uint64_t began)
{
	char line[512];
	int length = snprintf(line, sizeof(line), "%s %s %llu %llu\n", kind, name, (unsigned long long)began,
		(unsigned long long)now_ns());

	check(write(log, line, (size_t)length) == length, "log");
}

static void execute(int log, const char *self, const char *prefix, unsigned number)
{
	char name[128], *const arguments[] = {(char *)(uintptr_t)self, name, NULL}, *const environment[] = {NULL};
	uint64_t began = now_ns();
	int status = 0;
	pid_t child;

	snprintf(name, sizeof(name), "%sn%u", prefix, number);
	child = vfork();
	if (child == 0) {
		execve(self, arguments, environment);
		_exit(99);
	}
	check(child > 0, "vfork");
	while (waitpid(child, &status, 0) < 0)
		check(errno == EINTR, "waitpid");
	check(status == 0, "exec");
	note(log, "exec", name, began);
}

/* 127.1.0.1 and on: an address for each of 16 million, and nobody listens at the port of `discard`. */
static void connect_once(int log, unsigned number)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7f010000u + number)};
	char name[INET_ADDRSTRLEN];
	uint64_t began = now_ns();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(fd >= 0, "socket");
	check(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == ECONNREFUSED, "connect");
	close(fd);
	note(log, "connect", inet_ntop(AF_INET, &to.sin_addr, name, sizeof(name)), began);
}

static void open_once(int log, const char *folder, const char *prefix, unsigned number)
{
	char path[256];
	uint64_t began = now_ns();
	int fd;

	snprintf(path, sizeof(path), "%s/%so%u", folder, prefix, number);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	check(fd >= 0, path);
	close(fd);
	unlink(path);
	note(log, "open", path, began);
}

static int deeds(char **arguments, const char *self)
{
	const char *folder = arguments[1], *prefix = arguments[2];
	unsigned interval_ms = (unsigned)atoi(arguments[3]), opens = (unsigned)atoi(arguments[4]);
	int log = open(arguments[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	check(log >= 0, arguments[0]);
	for (unsigned number = 1; !ended; number++) {
		execute(log, self, prefix, number);
		connect_once(log, number);
		for (unsigned i = 0; i < opens; i++)
			open_once(log, folder, prefix, number * opens + i);
		usleep(interval_ms * 1000);
	}
	return 0;
}

/* Each file by other words, so that hardly an open is like one before. */
static int flood(const char *folder, unsigned files)
{
	unsigned long made = 0;
	char path[512];

	for (; made < files || !ended; made++) {
		int slashes = (int)(made / files % SLASHES) + 1, fd;

		snprintf(path, sizeof(path), "%s%.*s%lu", folder, slashes, slash, made % files);
		fd = open(path, O_RDONLY | O_CLOEXEC | (made < files ? O_CREAT : 0), 0600);
		check(fd >= 0, path);
		close(fd);
	}
	printf("%lu\n", made);
	return 0;
}

int main(int count, char **arguments)
{
	struct sigaction action = {.sa_handler = on_term, .sa_flags = SA_RESTART};
	char self[256];
	ssize_t length;

	if (count == 2)
		return 0;
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	check(length > 0, "/proc/self/exe");
	self[length] = '\0';
	sigaction(SIGTERM, &action, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive the test */
	if (count == 7 && strcmp(arguments[1], "deeds") == 0)
		return deeds(arguments + 2, self);
	if (count == 4 && strcmp(arguments[1], "flood") == 0)
		return flood(arguments[2], (unsigned)atoi(arguments[3]));
	return 2;
}
