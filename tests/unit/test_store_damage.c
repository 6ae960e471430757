/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are not as they were written: a tail that was torn, bytes that changed, what strangers put into a batch. */
#include <time.h>

#include "test_store.h"

/* After a power cut a file may have its length and not its bytes. */
Test(store_damage, tail_of_zeros_and_a_file_without_a_header_are_torn_too)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	off_t whole;

	cr_assert_eq(append(store, epoch_a, 1, 1, "kept"), 0);
	store_close(store);
	whole = size_of(file_of(&place, 1));
	cr_assert_eq(truncate(file_of(&place, 1), whole + 5000), 0);
	close(open(file_of(&place, 2), O_CREAT | O_WRONLY, 0600));
	store = opened(&place, 0);
	assert_holds(store, "kept ");
	cr_assert_eq(append(store, epoch_a, 2, 2, "more"), 0);
	store_close(store);
	cr_assert_eq(size_of(file_of(&place, 1)), whole + 5000, "not the last file: it stays as it is");
	store = opened(&place, 0);
	assert_holds(store, "kept more ");
	store_close(store);
	remove_place(&place);
}

Test(store_damage, damage_in_the_middle_is_no_torn_tail)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	off_t first, whole;

	cr_assert_eq(append(store, epoch_a, 1, 1, "one"), 0);
	synced(store);
	first = size_of(file_of(&place, 1));
	cr_assert_eq(append(store, epoch_a, 2, 2, "two"), 0);
	cr_assert_eq(append(store, epoch_a, 3, 3, "three"), 0);
	store_close(store);
	whole = size_of(file_of(&place, 1));
	for (off_t at = first; at < first + 40; at += 13) { /* its length, its sequences, its epoch, its batch */
		bool length = at < first + 4;

		flip(file_of(&place, 1), at);
		store = opened(&place, 0);
		cr_assert_eq(size_of(file_of(&place, 1)), whole, "nothing is cut");
		cr_assert_eq(store_synced(store, host, epoch_a), length ? 1 : 3);
		cr_assert_eq(store_damages(store), 1);
		assert_holds(store, length ? "one " : "one three ");
		store_close(store);
		flip(file_of(&place, 1), at);
	}
	flip(file_of(&place, 1), first + 45);
	store = opened(&place, 0);
	cr_assert_eq(append(store, epoch_a, 4, 4, "four"), 0, "in a new file");
	store_close(store);
	cr_assert_eq(size_of(file_of(&place, 1)), whole);
	store = opened(&place, 0);
	cr_assert_eq(store_synced(store, host, epoch_a), 4);
	cr_assert_eq(store_damages(store), 1);
	assert_holds(store, "one three four ");
	store_close(store);
	remove_place(&place);
}

/* Several that are damaged, and a tail that was torn besides. */
Test(store_damage, whole_frames_behind_damaged_ones_are_read)
{
	static const char *const batches[] = {"one", "two", "three", "four", "five", "six", "seven"};
	struct place place = make_place();
	struct store *store = opened(&place, 0), *look;
	off_t at[8] = {SEGMENT_HEADER_SIZE};
	char why[256];

	for (int i = 0; i < 7; i++) {
		cr_assert_eq(append(store, epoch_a, (uint64_t)i + 1, (uint64_t)i + 1, batches[i]), 0);
		synced(store);
		at[i + 1] = size_of(file_of(&place, 1));
	}
	store_close(store);
	flip(file_of(&place, 1), at[0] + 50);
	flip(file_of(&place, 1), at[3] + 9);
	/* The way leads from frame to whole frame: behind two damaged ones in a row nobody knows where the next one begins. */
	cr_assert_eq(store_look(&look, place.path, why, sizeof(why)), 0, "%s", why);
	assert_holds(look, "two three five six seven ");
	cr_assert_eq(store_damages(look), 2);
	store_close(look);
	cr_assert_eq(truncate(file_of(&place, 1), at[7] - 1), 0);
	store = opened(&place, 0);
	cr_assert_eq(size_of(file_of(&place, 1)), at[6]);
	cr_assert_eq(store_damages(store), 2);
	cr_assert_eq(append(store, epoch_a, 7, 7, "again"), 0);
	store_close(store);
	cr_assert_eq(size_of(file_of(&place, 1)), at[6], "in a new file");
	flip(file_of(&place, 1), at[4] + 42);
	store = opened(&place, 0);
	assert_holds(store, "two three again ");
	cr_assert_eq(store_damages(store), 2, "one frame, and all from the next on");
	store_close(store);
	remove_place(&place);
}

/* A sensor fills a batch with what looks like heads of frames of about all the bytes behind; the file is cut in it. */
Test(store_damage, a_torn_tail_that_looks_like_frames_is_not_searched_for_hours, .timeout = 30)
{
	enum { SIZE = 4 << 20 };
	static char batch[SIZE + 1];
	struct place place = make_place();
	struct store *store = opened(&place, 0), *look;
	struct timespec begun, ended;
	char why[256];
	off_t whole;

	for (size_t i = 0; i < SIZE;
		i += 4) /* at each of these a length of 2 MiB, equal numbers, a host's id of a byte */
		memcpy(batch + i, "\x01\x00\x1f", 4);
	cr_assert_eq(append(store, epoch_a, 1, 1, "one"), 0);
	struct segment_frame frame = {.first = 2, .last = 2, .host = host, .batch = {batch, SIZE}};
	struct store_position end;
	memcpy(frame.epoch, epoch_a, EVENT_EPOCH_SIZE);
	cr_assert_eq(store_append(store, &frame, &end), 0);
	store_close(store);
	whole = size_of(file_of(&place, 1)) - 10;
	cr_assert_eq(truncate(file_of(&place, 1), whole), 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begun);
	cr_assert_eq(store_look(&look, place.path, why, sizeof(why)), 0, "%s", why);
	store_close(look);
	store = opened(&place, 0);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
	cr_assert_lt(ended.tv_sec - begun.tv_sec, 8, "twice 64 MiB are summed up");
	cr_assert_eq(size_of(file_of(&place, 1)), whole, "nothing is cut");
	cr_assert_eq(append(store, epoch_a, 2, 2, "two"), 0);
	store_close(store);
	store = opened(&place, 0);
	assert_holds(store, "one two ");
	store_close(store);
	remove_place(&place);
}
