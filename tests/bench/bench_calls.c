/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a system call costs: one line "NAME NANOSECONDS" for each operation, the median of many short runs. It puts
 * itself into the cgroup whose cgroup.procs is given, or stays where it is; calls.py compares with and without a sensor.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 41 };

static int zero_fd, udp_fd, listen_fd;
static struct sockaddr_in udp_peer, tcp_peer;
static unsigned int number;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void do_getpid(void)
{
	(void)syscall(SYS_getpid);
}

static void do_read(void)
{
	char byte;

	check(read(zero_fd, &byte, 1) == 1, "read");
}

static void do_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	check(fd >= 0, "open");
	close(fd);
}

/* Another file each time: nothing to collapse. */
static void do_open_new(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/kernel/../kernel/./%s", number++ % 2 ? "ostype" : "osrelease");
	fd = open(path, O_RDONLY);
	check(fd >= 0, "open");
	close(fd);
}

static void do_open_missing(void)
{
	check(open("/etc/no-such-file", O_RDONLY) < 0 && errno == ENOENT, "open");
}

static void do_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), accepted;
	const struct linger reset = {1, 0}; /* no TIME_WAIT: ports would run out */

	check(fd >= 0 && connect(fd, (void *)&tcp_peer, sizeof(tcp_peer)) == 0, "connect");
	accepted = accept(listen_fd, NULL, NULL);
	check(accepted >= 0, "accept");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	close(accepted);
}

static void do_send(void)
{
	(void)sendto(udp_fd, "x", 1, 0, (void *)&udp_peer, sizeof(udp_peer));
}

static void do_exec(void)
{
	char *const arguments[] = {"/bin/true", NULL}, *const environment[] = {NULL};
	int status;
	pid_t pid;

	check(posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environment) == 0, "spawn");
	check(waitpid(pid, &status, 0) == pid && status == 0, "wait");
}

static const struct operation {
	const char *name;
	void (*run)(void);
	int times; /* in one run */
} operations[] = {
	{"getpid", do_getpid, 20000},
	{"read", do_read, 20000},
	{"open", do_open, 2000},
	{"open another", do_open_new, 1000},
	{"open ENOENT", do_open_missing, 2000},
	{"connect TCP", do_connect, 200},
	{"UDP send", do_send, 2000},
	{"fork+exec", do_exec, 20},
};

static int compare(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double measure(const struct operation *operation)
{
	double runs[RUNS];

	for (int i = 0; i < RUNS; i++) {
		struct timespec from, to;

		clock_gettime(CLOCK_MONOTONIC, &from);
		for (int j = 0; j < operation->times; j++)
			operation->run();
		clock_gettime(CLOCK_MONOTONIC, &to);
		runs[i] = ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
			  operation->times;
	}
	qsort(runs, RUNS, sizeof(runs[0]), compare);
	return runs[RUNS / 2];
}

static void open_sockets(void)
{
	socklen_t length = sizeof(tcp_peer);
	int sink = socket(AF_INET, SOCK_DGRAM, 0);

	udp_peer = tcp_peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(listen_fd, (void *)&tcp_peer, length) == 0 && listen(listen_fd, 16) == 0, "listen");
	check(getsockname(listen_fd, (void *)&tcp_peer, &length) == 0, "getsockname");
	/* Bound, never read: datagrams end in a full queue, which costs the same every time. */
	check(bind(sink, (void *)&udp_peer, length) == 0 && getsockname(sink, (void *)&udp_peer, &length) == 0, "bind");
	udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
	zero_fd = open("/dev/zero", O_RDONLY);
}

int main(int argc, char **argv)
{
	if (argc > 1 && *argv[1]) {
		int fd = open(argv[1], O_WRONLY);

		check(fd >= 0 && write(fd, "0", 1) == 1, argv[1]);
		close(fd);
	}
	open_sockets();
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		printf("%s\t%.1f\n", operations[i].name, measure(&operations[i]));
	return 0;
}
