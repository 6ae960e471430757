/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load with its own ground truth, in the cgroup whose cgroup.procs is given.
 *
 *	bench-load PROCS opens SECONDS RATE FOLDER NAMES   opens NAMES files of FOLDER in turn, RATE a second (0: as fast as
 *	                                                  it can); prints how many
 *	bench-load PROCS execs COUNT INTERVAL_US          short processes, each with a nonce of its own
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void open_files(double seconds, double rate, const char *folder, unsigned long names)
{
	uint64_t began = now_ns(), end = began + (uint64_t)(seconds * 1e9), number = 0;
	char path[256];

	while (now_ns() < end) {
		uint64_t due = rate > 0 ? (uint64_t)((double)(now_ns() - began) * rate / 1e9) : number + 64;

		for (; number < due; number++) {
			int fd;

			snprintf(path, sizeof(path), "%s/%lu", folder, (unsigned long)(number % names));
			fd = open(path, O_RDONLY);
			check(fd >= 0, path);
			close(fd);
		}
		if (rate > 0)
			usleep(5000); /* not each millisecond: a hundred of these would keep the scheduler busy, and nothing else */
	}
	printf("%llu\n", (unsigned long long)number);
}

static void execute(const char *self, unsigned long count, useconds_t interval_us)
{
	char nonce[64];
	char *const arguments[] = {(char *)self, (char *)"exec", nonce, NULL}, *const environment[] = {NULL};
	int status;
	pid_t pid;

	for (unsigned long i = 0; i < count; i++) {
		snprintf(nonce, sizeof(nonce), "taffrail-nonce-%lu-", i);
		check(posix_spawn(&pid, self, NULL, NULL, arguments, environment) == 0, "spawn");
		check(waitpid(pid, &status, 0) == pid && status == 0, "wait");
		if (interval_us)
			usleep(interval_us);
	}
}

int main(int argc, char **argv)
{
	int fd;

	if (argc == 3 && strcmp(argv[1], "exec") == 0)
		return 0;
	if (argc < 5)
		return 2;
	fd = open(argv[1], O_WRONLY);
	check(fd >= 0 && write(fd, "0", 1) == 1, argv[1]);
	close(fd);
	if (argc == 7 && strcmp(argv[2], "opens") == 0)
		open_files(atof(argv[3]), atof(argv[4]), argv[5], strtoul(argv[6], NULL, 10));
	else if (argc == 5 && strcmp(argv[2], "execs") == 0)
		execute(argv[0], strtoul(argv[3], NULL, 10), (useconds_t)strtoul(argv[4], NULL, 10));
	else
		return 2;
	return 0;
}
