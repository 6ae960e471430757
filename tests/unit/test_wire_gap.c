/* SPDX-License-Identifier: Apache-2.0 */
/* Batches from which events were taken out. */
#include <criterion/criterion.h>

#include <errno.h>

#include "event/wire.h"

static const struct event_host host = {.id = TEXT_STATIC("node-1"), .epoch = {7}};

/* Events 5 and 8 of 4 to 10, and a batch that says how many are not there. */
static int read_with_gaps(struct wire_events *read, uint64_t taken_out)
{
	const uint64_t sequences[] = {5, 8};
	struct wire_batch *batch;
	char why[WIRE_WHY_SIZE];
	struct buffer *up;
	int error;

	cr_assert_eq(wire_batch_open(&batch), 0);
	for (int i = 0; i < 2; i++) {
		struct event event = {.action = EVENT_FORK, .sequence = sequences[i], .count = 1, .host = &host};

		wire_batch_add(batch, &event);
	}
	wire_batch_taken_out(batch, taken_out);
	up = wire_batch_finish(batch, &host, 4, 10);
	error = wire_read(read, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why);
	wire_bytes_free(up);
	wire_batch_close(batch);
	return error;
}

Test(wire_gap, a_gap_is_one_that_the_batch_counts)
{
	struct wire_events read;

	for (uint64_t taken_out = 0; taken_out < 9; taken_out++)
		if (taken_out != 5)
			cr_assert_eq(read_with_gaps(&read, taken_out), -EBADMSG, "%d", (int)taken_out);
	cr_assert_eq(read_with_gaps(&read, 5), 0);
	cr_assert(read.count == 2 && read.first == 4 && read.last == 10 && read.taken_out == 5);
	cr_assert(read.events[0].sequence == 5 && read.events[1].sequence == 8);
	wire_free(&read);
}
