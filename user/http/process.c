/* SPDX-License-Identifier: Apache-2.0 */
#include "http/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum { CPU, RESIDENT, VIRTUAL, THREADS, STARTED, OPEN_FDS, MAX_FDS };

const struct metric_spec http_process_metrics[] = {
	[CPU] = {"process_cpu_seconds_total", METRIC_COUNTER,
		"CPU time of the process, in user space and in the kernel.", {0}},
	[RESIDENT] = {"process_resident_memory_bytes", METRIC_GAUGE, "Memory that is resident.", {0}},
	[VIRTUAL] = {"process_virtual_memory_bytes", METRIC_GAUGE, "Memory that is mapped.", {0}},
	[THREADS] = {"process_threads", METRIC_GAUGE, "Threads.", {0}},
	[STARTED] = {"process_start_time_seconds", METRIC_GAUGE, "When the process began, as Unix time.", {0}},
	[OPEN_FDS] = {"process_open_fds", METRIC_GAUGE, "Descriptors that are open.", {0}},
	[MAX_FDS] = {"process_max_fds", METRIC_GAUGE, "Descriptors that may be open.", {0}},
	{0},
};

static void number(struct buffer *page, int which, double value)
{
	metric_begin(page, &http_process_metrics[which]);
	metric_number(page, &http_process_metrics[which], NULL, value);
}

/* Numbers of /proc/pid/stat, as proc(5) counts its fields. */
enum { USER_TICKS = 14, KERNEL_TICKS = 15, THREAD_COUNT = 20, STARTED_TICKS = 22, BYTES = 23, PAGES = 24, FIELDS };

static bool read_stat(const char *path, unsigned long long fields[FIELDS])
{
	char line[1024], *rest, *word;
	ssize_t length;
	int field = 3, fd = open(path, O_RDONLY | O_CLOEXEC);

	length = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (fd >= 0)
		close(fd);
	if (length <= 0)
		return false;
	line[length] = '\0';
	rest = strrchr(line, ')'); /* the end of the name, which may hold anything */
	for (rest = rest ? rest + 1 : NULL; rest && field < FIELDS && (word = strtok_r(rest, " ", &rest)); field++)
		fields[field] = strtoull(word, NULL, 10);
	return field == FIELDS;
}

bool http_process_usage(pid_t pid, double *cpu_s, double *resident_bytes)
{
	unsigned long long fields[FIELDS];
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_stat(path, fields))
		return false;
	*cpu_s = (double)(fields[USER_TICKS] + fields[KERNEL_TICKS]) / (double)sysconf(_SC_CLK_TCK);
	*resident_bytes = (double)fields[PAGES] * (double)sysconf(_SC_PAGESIZE);
	return true;
}

static void put_stat(struct buffer *page)
{
	unsigned long long fields[FIELDS];
	struct timespec cpu;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		number(page, CPU, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
	if (!read_stat("/proc/self/stat", fields))
		return;
	number(page, RESIDENT, (double)fields[PAGES] * (double)sysconf(_SC_PAGESIZE));
	number(page, VIRTUAL, (double)fields[BYTES]);
	number(page, THREADS, (double)fields[THREAD_COUNT]);
	number(page, STARTED,
		(double)clock_unix_offset_ns() / 1e9 + (double)fields[STARTED_TICKS] / (double)sysconf(_SC_CLK_TCK));
}

void http_process_page(struct buffer *page)
{
	struct rlimit limit;
	size_t count = 0;
	DIR *folder;

	put_stat(page);
	folder = opendir("/proc/self/fd");
	if (folder) {
		for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
			count += entry->d_name[0] != '.';
		closedir(folder);
		number(page, OPEN_FDS, (double)count - 1); /* not the folder's own */
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		number(page, MAX_FDS, limit.rlim_cur == RLIM_INFINITY ? -1 : (double)limit.rlim_cur);
}
