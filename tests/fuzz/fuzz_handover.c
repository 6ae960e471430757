/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that a former life of the sensor is said to have left. The first byte says whether its checks are made right first, so
 * that what is behind them is reached: what it tells of processes, which the table takes and a census asks for.
 */
#include "fuzz.h"

#include <errno.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "event/wire.h"
#include "sensor/handover.h"
#include "sensor/process.h"

#define BOOT "0f6c2f0e-7d8e-4c0a-9a30-5b7e1e0d7f11"
#define NOW_NS (2 * HANDOVER_AGE_MAX_NS)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return fuzz_without_messages(argc, argv);
}

/* As handover.h says. */
static void make_right(uint8_t *bytes, size_t length)
{
	memcpy(bytes, "TAFFPROC", 8);
	put32(bytes + 8, 1);
	put64(bytes + 16, NOW_NS - 1);
	put64(bytes + 24, length - HANDOVER_HEAD);
	put32(bytes + 32, crc32c(0, bytes + HANDOVER_HEAD, length - HANDOVER_HEAD));
	memset(bytes + 40, 0, 48);
	memcpy(bytes + 40, BOOT, strlen(BOOT));
	put32(bytes + HANDOVER_HEAD - 4, crc32c(0, bytes, HANDOVER_HEAD - 4));
}

/* Its ancestors can be walked: there is no circle. */
static void expect_ends(const struct event_process *process)
{
	int steps = 0;

	for (; process; process = process->parent)
		fuzz_expect(steps++ < 100);
}

static void take(struct process_table *table, struct text batch)
{
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	if (wire_read(&events, batch.data, batch.length, why) < 0)
		return;
	for (size_t i = 0; i < events.count; i++)
		if (events.events[i].process)
			fuzz_expect(process_restore(table, events.events[i].process) != -EBADMSG);
	wire_free(&events);
}

/* A census of some pids, of which the table may know some. */
static void ask(struct process_table *table)
{
	_Alignas(8) struct kernel_exec exec;
	struct record record;
	const char *why;

	for (uint32_t pid = 1; pid < 64; pid++) {
		memset(&exec, 0, sizeof(exec));
		exec.header = (struct kernel_header){.kind = KERNEL_PROCESS,
			.tgid = pid,
			.tid = pid,
			.start_ns = 1000ull * pid,
			.exec_counter = 1,
			.flags = KERNEL_IN_CONTAINER,
			.size = sizeof(exec)};
		fuzz_expect(record_check(&record, &exec, sizeof(exec), &why) == 0);
		expect_ends(process_apply(table, &record, 1));
	}
}

/* Children of theirs, as the rings tell of them; the census has seen half of these. */
static void fork_all(struct process_table *table)
{
	struct kernel_fork fork;
	struct record record;
	const char *why;

	for (uint32_t pid = 1; pid < 64; pid++) {
		memset(&fork, 0, sizeof(fork));
		fork.header = (struct kernel_header){.kind = KERNEL_FORK,
			.tgid = pid + 32,
			.tid = pid + 32,
			.start_ns = 1000ull * (pid + 32),
			.exec_counter = pid % 2,
			.flags = KERNEL_IN_CONTAINER,
			.size = sizeof(fork)};
		fork.parent_tgid = pid;
		fork.parent_start_ns = 1000ull * pid;
		fork.parent_exec_counter = 1;
		fuzz_expect(record_check(&record, &fork, sizeof(fork), &why) == 0);
		expect_ends(process_apply(table, &record, 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct process_table *table;
	char why[HANDOVER_WHY];
	struct text batches, batch;
	uint8_t *copy;

	if (length < 1)
		return 0;
	copy = malloc(length);
	fuzz_expect(copy && process_open(&table, BOOT) == 0);
	memcpy(copy, bytes + 1, length - 1);
	if (bytes[0] & 1 && length - 1 >= HANDOVER_HEAD)
		make_right(copy, length - 1);
	if (handover_parse((struct text){(char *)copy, length - 1}, BOOT, NOW_NS, &batches, why) == 0)
		while (handover_next(&batches, &batch) > 0)
			take(table, batch);
	if (bytes[0] & 4) /* who ended before the census */
		fork_all(table);
	ask(table);
	(void)process_restored(table);
	process_expire(table, bytes[0] & 2 ? UINT64_MAX : 0);
	fork_all(table);
	process_close(table);
	free(copy);
	return 0;
}
