/* SPDX-License-Identifier: Apache-2.0 */
/* The file by which one life of the sensor tells the next what runs, and what becomes of what it tells. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"
#include "event/wire.h"
#include "sensor/handover.h"
#include "sensor/process.h"

#define BOOT "0f6c2f0e-7d8e-4c0a-9a30-5b7e1e0d7f11"

static const uint64_t boot_unix_ns = 1700000000ull * 1000 * 1000 * 1000, hour_ns = HANDOVER_AGE_MAX_NS;
static _Alignas(8) char room[8192];

/* --- processes ------------------------------------------------------------------------------------------------------- */

static const struct event_process *apply(struct process_table *table)
{
	struct record record;
	const char *why = NULL;

	cr_assert_eq(record_check(&record, room, sizeof(room), &why), 0, "%s", why);
	return process_apply(table, &record, boot_unix_ns);
}

/* An EXEC, or of the census a PROCESS, which the init process has taken in. */
static const struct event_process *make(
	struct process_table *table, enum kernel_kind kind, uint32_t pid, uint64_t start_ns, uint32_t counter)
{
	struct kernel_exec *exec = (void *)room;

	memset(room, 0, sizeof(room));
	exec->header = (struct kernel_header){.kind = (uint16_t)kind,
		.tgid = pid,
		.tid = pid,
		.start_ns = start_ns,
		.exec_counter = counter,
		.flags = KERNEL_IN_CONTAINER,
		.container_id = {0xab},
		.size = sizeof(*exec)};
	exec->vpid = pid;
	memcpy(exec->name, "sh", 2);
	exec->args = (struct kernel_string){(uint16_t)exec->header.size, 4};
	memcpy(room + exec->header.size, kind == KERNEL_EXEC ? "told" : "\0\0\0\0", 4);
	exec->header.size += 4;
	exec->ancestor_count = kind == KERNEL_PROCESS;
	exec->ancestors[0] = (struct kernel_ancestor){.tgid = 1, .start_ns = 1, .exec_counter = 1};
	return apply(table);
}

static const struct event_process *fork_of(
	struct process_table *table, uint32_t parent, uint32_t parent_counter, uint32_t child)
{
	struct kernel_fork *fork = (void *)room;

	memset(room, 0, sizeof(room));
	fork->header = (struct kernel_header){.kind = KERNEL_FORK,
		.tgid = child,
		.tid = child,
		.start_ns = 1000ull * child,
		.exec_counter = 1,
		.flags = KERNEL_IN_CONTAINER,
		.container_id = {0xab},
		.size = sizeof(*fork)};
	fork->parent_tgid = parent;
	fork->parent_start_ns = 1000ull * parent;
	fork->parent_exec_counter = parent_counter;
	return apply(table);
}

static const struct event_process *end_of(struct process_table *table, uint32_t pid, uint32_t counter)
{
	struct kernel_exit *exit = (void *)room;

	memset(room, 0, sizeof(room));
	exit->header = (struct kernel_header){.kind = KERNEL_EXIT,
		.tgid = pid,
		.tid = pid,
		.start_ns = 1000ull * pid,
		.exec_counter = counter,
		.flags = KERNEL_IN_CONTAINER,
		.container_id = {0xab},
		.size = sizeof(*exit)};
	return apply(table);
}

static struct process_table *opened(void)
{
	struct process_table *table;

	cr_assert_eq(process_open(&table, BOOT), 0);
	return table;
}

static bool put(void *context, const struct event_process *image)
{
	const struct event event = {.action = EVENT_FORK, .sequence = image->pid, .count = 1, .process = image};

	wire_batch_add(context, &event);
	return true;
}

/* A table in which 11, a child of 10, which has ended, lives: what is told of it. */
static struct buffer *told(void)
{
	const struct event_host host = {.id = TEXT_LITERAL("h")};
	struct process_table *table = opened();
	struct wire_batch *batch;
	struct buffer *up;

	make(table, KERNEL_EXEC, 10, 10000, 1);
	fork_of(table, 10, 1, 11);
	make(table, KERNEL_EXEC, 11, 11000, 2);
	end_of(table, 10, 1);
	cr_assert_eq(wire_batch_open(&batch), 0);
	process_each(table, put, batch);
	up = wire_batch_finish(batch, &host, 11, 11);
	cr_assert_not_null(up);
	wire_batch_close(batch);
	process_close(table);
	return up;
}

/* A table that has been told that. */
static struct process_table *restored(void)
{
	struct process_table *table = opened();
	struct buffer *up = told();
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	cr_assert_eq(wire_read(&events, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why), 0, "%s", why);
	cr_assert_eq(events.count, 1);
	cr_assert_eq(process_restore(table, events.events[0].process), 0);
	wire_free(&events);
	wire_bytes_free(up);
	return table;
}

Test(handover, process_that_still_lives_is_as_it_was)
{
	struct process_table *table = restored();
	const struct event_process *image = make(table, KERNEL_PROCESS, 11, 11000, 2);

	cr_assert_eq(image->parent->pid, 10);
	cr_assert(text_equal(image->parent->args, TEXT_LITERAL("told")));
	cr_assert_eq(image->entry_leader, image->parent);
	cr_assert_eq(image->entry_leader->entry, EVENT_ENTRY_CONTAINER);
	cr_assert_eq(process_restored(table), 0);
	cr_assert_eq(process_set_arguments(table, 11, 11000, TEXT_LITERAL("other")), 0);
	cr_assert(text_equal(image->args, TEXT_LITERAL("told")), "a program may have written over what /proc shows");
	process_close(table);
}

Test(handover, process_that_has_gone_on_keeps_its_parent)
{
	struct process_table *table = restored();
	const struct event_process *image = make(table, KERNEL_PROCESS, 11, 11000, 3);

	cr_assert_eq(image->exec_counter, 3);
	cr_assert_eq(image->parent->pid, 10);
	cr_assert_eq(image->entry_leader->pid, 10);
	process_close(table);
}

Test(handover, recycled_pid_has_nothing_of_the_one_before)
{
	struct process_table *table = restored();
	const struct event_process *image = make(table, KERNEL_PROCESS, 11, 11001, 2);

	cr_assert_eq(image->parent->pid, 1);
	cr_assert_neq(image->args.length, 4 + 1);
	cr_assert_eq(process_restored(table), 1, "the one before has ended");
	process_close(table);
}

Test(handover, container_that_is_known_has_no_first_process_again)
{
	struct process_table *table = restored();

	make(table, KERNEL_PROCESS, 11, 11000, 2);
	cr_assert_neq(make(table, KERNEL_PROCESS, 12, 12000, 2)->entry, EVENT_ENTRY_CONTAINER);
	process_close(table);
}

/* What the rings hold from before the census: 11 has forked 12 and ended. */
Test(handover, process_that_ended_before_the_census)
{
	struct process_table *table = restored();
	const struct event_process *child, *ended;

	make(table, KERNEL_PROCESS, 13, 13000, 2);
	cr_assert_eq(process_restored(table), 1);
	child = fork_of(table, 11, 2, 12);
	cr_assert_eq(child->parent->pid, 11);
	cr_assert_eq(child->entry_leader->pid, 10);
	ended = end_of(table, 11, 2);
	cr_assert_eq(ended, child->parent);
	cr_assert(text_equal(ended->args, TEXT_LITERAL("told")));
	cr_assert_eq(ended->parent->pid, 10);
	process_close(table);
}

/* The same, and the census has found 12 in the care of 1, with another image than its fork's. */
Test(handover, what_the_census_cannot_know_is_told_by_the_rings)
{
	struct process_table *table = restored();
	const struct event_process *child;

	cr_assert_eq(make(table, KERNEL_PROCESS, 12, 12000, 2)->parent->pid, 1);
	child = fork_of(table, 11, 2, 12);
	cr_assert_eq(child->exec_counter, 1);
	cr_assert(text_equal(child->args, TEXT_LITERAL("told")), "its parent's");
	cr_assert_eq(child->parent->pid, 11);
	child = make(table, KERNEL_EXEC, 12, 12000, 2);
	cr_assert_eq(child->exec_counter, 2);
	cr_assert(text_equal(child->args, TEXT_LITERAL("told")), "its own");
	cr_assert_eq(child->parent->pid, 11);
	cr_assert_eq(child->entry_leader->pid, 10);
	cr_assert_eq(fork_of(table, 12, 2, 14)->parent, child);
	process_close(table);
}

/* The census was there before the exec was told with which it came in. */
Test(handover, process_that_the_census_saw_come_in)
{
	struct process_table *table = opened();
	const struct event_process *image;

	cr_assert(make(table, KERNEL_PROCESS, 20, 20000, 2)->entering);
	image = make(table, KERNEL_EXEC, 20, 20000, 2);
	cr_assert(text_equal(image->args, TEXT_LITERAL("told")));
	cr_assert_eq(image->entry, EVENT_ENTRY_CONTAINER);
	cr_assert_eq(image->entry_leader, image);
	cr_assert(image->entering, "its container's start is told with it");
	cr_assert_not(make(table, KERNEL_EXEC, 20, 20000, 3)->entering);
	process_close(table);
}

Test(handover, what_nobody_asked_for_is_forgotten_after_the_census)
{
	struct process_table *table = restored();

	make(table, KERNEL_PROCESS, 13, 13000, 2);
	process_expire(table, 1);
	cr_assert_eq(process_restored(table), 0);
	cr_assert_null(fork_of(table, 11, 2, 12)->parent);
	process_close(table);
}

/* --- the file -------------------------------------------------------------------------------------------------------- */

enum { SIZE = HANDOVER_HEAD + 10 };

/* A good one of one batch, "batch!". */
static struct text good(char bytes[SIZE])
{
	char path[] = "/tmp/taffrail-handover-XXXXXX", why[HANDOVER_WHY], *read;
	struct buffer body = {0};
	struct text batches;

	close(mkstemp(path));
	cr_assert(handover_add(&body, TEXT_LITERAL("batch!")));
	cr_assert_eq(handover_write(path, BOOT, 5 * hour_ns, &body), 0);
	cr_assert_eq(handover_read(path, BOOT, 5 * hour_ns, &read, &batches, why), 0, "%s", why);
	cr_assert_eq(batches.length, SIZE - HANDOVER_HEAD);
	memcpy(bytes, read, SIZE);
	free(read);
	unlink(path);
	buffer_free(&body);
	return (struct text){bytes, SIZE};
}

static void refused(struct text bytes, const char *boot_id, uint64_t now_ns, int error, const char *because)
{
	struct text batches;
	char why[HANDOVER_WHY];

	cr_assert_eq(handover_parse(bytes, boot_id, now_ns, &batches, why), error, "%s", because);
	cr_assert(strstr(why, because), "\"%s\" does not say that %s", why, because);
}

Test(handover, file_of_one_boot_and_one_hour)
{
	char bytes[SIZE], why[HANDOVER_WHY];
	struct text file = good(bytes), batches, batch;

	cr_assert_eq(handover_parse(file, BOOT, 6 * hour_ns, &batches, why), 0, "%s", why);
	cr_assert_eq(handover_next(&batches, &batch), 1);
	cr_assert(text_equal(batch, TEXT_LITERAL("batch!")));
	cr_assert_eq(handover_next(&batches, &batch), 0);
	refused(file, BOOT, 6 * hour_ns + 1, -ESTALE, "older than an hour");
	refused(file, BOOT, 5 * hour_ns - 1, -EBADMSG, "from the future");
	refused(file, "1f6c2f0e-7d8e-4c0a-9a30-5b7e1e0d7f11", 5 * hour_ns, -ESTALE, "another boot");
}

Test(handover, every_byte_that_is_another_is_found)
{
	char bytes[SIZE], why[HANDOVER_WHY];
	struct text file = good(bytes), batches;

	for (size_t i = 0; i < SIZE; i++) {
		bytes[i] ^= 1;
		cr_assert_eq(handover_parse(file, BOOT, 5 * hour_ns, &batches, why), -EBADMSG, "byte %zu", i);
		bytes[i] ^= 1;
		file.length = i;
		cr_assert_eq(handover_parse(file, BOOT, 5 * hour_ns, &batches, why), -EBADMSG, "%zu bytes", i);
		file.length = SIZE;
	}
	bytes[8] = 2;
	refused(file, BOOT, 5 * hour_ns, -EBADMSG, "version 2");
}

Test(handover, lengths_that_lead_outside)
{
	uint8_t bytes[8] = {5, 0, 0, 0, 'a', 'b', 'c', 'd'};
	struct text batches = {(char *)bytes, sizeof(bytes)}, batch;

	cr_assert_eq(handover_next(&batches, &batch), -EBADMSG);
	batches = (struct text){(char *)bytes, 3};
	cr_assert_eq(handover_next(&batches, &batch), -EBADMSG);
}

Test(handover, no_more_than_has_room)
{
	struct text half = {calloc(1, HANDOVER_MAX / 2), HANDOVER_MAX / 2};
	struct buffer body = {0};

	cr_assert(handover_add(&body, half));
	cr_assert_not(handover_add(&body, half));
	buffer_free(&body);
	free((void *)(uintptr_t)half.data);
}
