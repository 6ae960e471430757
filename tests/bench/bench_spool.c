/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the spool adds to a batch: put, sent at once and acknowledged (a collector that keeps up), and put while nobody
 * takes it, read and acknowledged later.
 *
 *	bench-spool [DIR]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "event/wire.h"
#include "sensor/backlog.h"
#include "sensor/spool.h"

static const struct event_host host = {.id = TEXT_STATIC("machine"), .epoch = {1}};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static long written_kib(void)
{
	FILE *file = fopen("/proc/self/io", "r");
	unsigned long long dirtied = 0, cancelled = 0;
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		(void)sscanf(line, "write_bytes: %llu", &dirtied);
		(void)sscanf(line, "cancelled_write_bytes: %llu", &cancelled);
	}
	if (file)
		fclose(file);
	return (long)dirtied / 1024 - (long)cancelled / 1024; /* proc(5): what was truncated before it was written */
}

static void put(struct backlog *backlog, size_t size, uint64_t number)
{
	struct buffer *bytes = calloc(1, sizeof(*bytes));

	if (!bytes || !buffer_reserve(bytes, size))
		exit(1);
	memset(bytes->data, 'x', size);
	bytes->length = size;
	backlog_put(backlog, backlog_batch(backlog, bytes, number, number));
}

static void measure(
	const char *folder, size_t size, uint64_t count, bool away, enum spool_fsync fsync, const char *policy)
{
	const struct spool_options options = {folder, 1ull << 30, fsync, &host, NULL};
	struct backlog_options backlog_options = {&host, NULL, 64 << 20, NULL};
	struct backlog *backlog;
	struct spool *spool;
	struct batch *batch;
	char why[300];
	uint64_t cpu, wall;
	long kib = written_kib();

	if (spool_open(&spool, &options, why, sizeof(why)) < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	backlog_options.spool = spool;
	if (backlog_open(&backlog, &backlog_options) < 0)
		exit(1);
	backlog_rewind(backlog, 0, NULL);
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
	wall = now_ns(CLOCK_MONOTONIC);
	for (uint64_t number = 1; number <= count; number++) {
		put(backlog, size, number);
		if (away)
			continue;
		batch = backlog_next(backlog);
		backlog_acknowledge(backlog, batch->last);
		backlog_release(batch);
	}
	while (away && (batch = backlog_next(backlog))) {
		backlog_acknowledge(backlog, batch->last);
		backlog_release(batch);
	}
	cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	printf("%8zu  %-8s  %-8s  %8.1f  %8.1f  %10.0f  %9ld\n", size, away ? "away" : "keeps up", policy,
		(double)cpu / (double)count / 1000, (double)wall / (double)count / 1000,
		(double)count * (double)size * 1e9 / (double)wall / (1 << 20), written_kib() - kib);
	(void)backlog_close(backlog, false);
	spool_close(spool);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {2 << 10, 64 << 10, 1 << 20};
	char folder[] = "/tmp/taffrail-bench-XXXXXX";
	const char *at = argc > 1 ? argv[1] : mkdtemp(folder);

	if (!at)
		return 1;
	printf("\nThe spool: a batch on its way from the event thread to the collector and its acknowledgement\n\n"
	       "   bytes  collector fsync     CPU us/b   wall us/b       MiB/s  KiB to disk\n");
	for (size_t i = 0; i < 3; i++) {
		uint64_t count = (256ull << 20) / sizes[i] / (i == 0 ? 8 : 1);

		measure(at, sizes[i], count, false, SPOOL_INTERVAL, "interval");
		measure(at, sizes[i], count, true, SPOOL_INTERVAL, "interval");
		measure(at, sizes[i], count / 16, false, SPOOL_ALWAYS, "always");
	}
	if (argc < 2)
		rmdir(at);
	return 0;
}
