/* SPDX-License-Identifier: Apache-2.0 */
/* Batches from which events were taken out. */
#include <criterion/criterion.h>

#include <errno.h>

#include "event/wire.h"

static const struct event_host host = {.id = TEXT_STATIC("node-1"), .epoch = {7}};

/* The bytes of a batch without events, of numbers 4 to 10. */
static int read_without_events(struct wire_events *read, const struct wire_books *books, uint64_t last)
{
	struct wire_batch *batch;
	char why[WIRE_WHY_SIZE];
	struct buffer *up;
	int error;

	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_taken_out(batch, 7);
	if (books)
		wire_batch_books(batch, books);
	up = wire_batch_finish(batch, &host, 4, last);
	error = wire_read(read, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why);
	wire_bytes_free(up);
	wire_batch_close(batch);
	return error;
}

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

Test(wire_gap, books_travel_with_numbers_that_no_event_has)
{
	const struct wire_books books = {UINT64_MAX, 1ull << 40, 3, 0, true};
	struct wire_events read;

	cr_assert_eq(read_without_events(&read, &books, 10), 0);
	cr_assert(read.count == 0 && read.first == 4 && read.last == 10 && read.has_books);
	cr_assert(read.books.seen == UINT64_MAX && read.books.settled == 1ull << 40 && read.books.held == 3);
	cr_assert(read.books.undeclared == 0 && read.books.closed);
	wire_free(&read);
	cr_assert_eq(read_without_events(&read, NULL, 10), 0);
	cr_assert_not(read.has_books);
	wire_free(&read);
	cr_assert_eq(
		read_without_events(&read, &books, 11), -EBADMSG, "one number is neither an event's nor taken out");
}

Test(wire_gap, a_batch_has_no_books_of_the_one_before)
{
	struct wire_batch *batch;
	char why[WIRE_WHY_SIZE];
	struct wire_events read;
	struct buffer *up;

	cr_assert_eq(wire_batch_open(&batch), 0);
	wire_batch_books(batch, &(const struct wire_books){1, 1, 0, 0, false});
	wire_bytes_free(wire_batch_finish(batch, &host, 1, 0));
	up = wire_batch_finish(batch, &host, 1, 0);
	cr_assert_eq(wire_read(&read, up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER, why), 0, "%s", why);
	cr_assert_not(read.has_books);
	wire_free(&read);
	wire_bytes_free(up);
	wire_batch_close(batch);
}
