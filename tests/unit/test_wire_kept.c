/* SPDX-License-Identifier: Apache-2.0 */
/* What a batch takes from one before it, instead of packing it again, refers to nothing that it does not hold. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/buffer.h"
#include "event/wire.h"

static struct wire_batch *batch;

static void open_batch(void)
{
	cr_assert_eq(wire_batch_open(&batch), 0);
	cr_assert_eq(wire_batch_keep(batch), 0);
}

static void close_batch(void)
{
	wire_batch_close(batch);
}

TestSuite(wire_kept, .init = open_batch, .fini = close_batch);

/* An event of this process in a batch of its own, read back: the image number of the parent or leader that it has there. */
static void expect(uint64_t sequence, const struct event_process *process)
{
	struct event_host host = {.id = text_of("h")};
	struct event event = {
		.action = EVENT_FORK, .sequence = sequence, .count = 1, .host = &host, .process = process};
	const struct event_process *found;
	char why[WIRE_WHY_SIZE] = "";
	struct wire_events read;
	struct buffer *bytes;

	wire_batch_add(batch, &event);
	bytes = wire_batch_finish(batch, &host, sequence, sequence);
	cr_assert(bytes);
	cr_assert_eq(
		wire_read(&read, (const uint8_t *)bytes->data + WIRE_UP_HEADER, bytes->length - WIRE_UP_HEADER, why), 0,
		"%s", why);
	found = read.events[0].process;
	cr_assert_eq(!found->parent, !process->parent);
	cr_assert_eq(!found->entry_leader, !process->entry_leader);
	if (process->parent)
		cr_assert_eq(found->parent->exec_counter, process->parent->exec_counter);
	if (process->entry_leader)
		cr_assert_eq(found->entry_leader->exec_counter, process->entry_leader->exec_counter);
	wire_free(&read);
	wire_bytes_free(bytes);
}

Test(wire_kept, a_process_whose_parent_or_leader_was_learned_anew)
{
	struct event_process first = {.entity = {1}, .exec_counter = 1}, second = {.entity = {1}, .exec_counter = 2};
	struct event_process process = {.entity = {2}, .parent = &first, .entry_leader = &first};

	expect(1, &process);
	expect(2, &process);
	process.parent = &second;
	expect(3, &process);
	process.entry_leader = &second;
	expect(4, &process);
	process.parent = NULL;
	expect(5, &process);
	process.entry_leader = NULL;
	expect(6, &process);
	process.parent = process.entry_leader = &first;
	expect(7, &process);
}
