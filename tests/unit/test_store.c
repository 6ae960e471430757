/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/crc32c.h"
#include "collector/cursor.h"
#include "test_capture.h"
#include "test_store.h"

Test(crc32c, known_sums)
{
	uint8_t zeros[32] = {0}, rising[32];

	for (uint8_t i = 0; i < 32; i++)
		rising[i] = i;
	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283);
	cr_assert_eq(crc32c(0, zeros, 32), 0x8a9136aa, "RFC 3720, B.4");
	cr_assert_eq(crc32c(0, rising, 32), 0x46dd794e, "RFC 3720, B.4");
	cr_assert_eq(crc32c(crc32c(0, rising, 5), rising + 5, 27), 0x46dd794e, "in two pieces");
}

Test(store, reopened_it_knows_what_is_stored)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);

	cr_assert_eq(append(store, epoch_a, 1, 3, "one"), 0);
	cr_assert_eq(append(store, epoch_b, 1, 1, "other"), 0);
	cr_assert_eq(append(store, epoch_a, 4, 9, "two"), 0);
	cr_assert_eq(append(store, epoch_a, 9, 10, "again"), -EINVAL, "9 is there");
	cr_assert_eq(store_appended(store, host, epoch_a), 9);
	cr_assert_eq(store_synced(store, host, epoch_a), 0, "not on the disk yet");
	synced(store);
	cr_assert_eq(store_synced(store, host, epoch_a), 9);
	store_close(store);
	store = opened(&place, 0);
	cr_assert_eq(store_synced(store, host, epoch_a), 9);
	cr_assert_eq(store_synced(store, host, epoch_b), 1);
	cr_assert_eq(store_synced(store, TEXT_LITERAL("node-2"), epoch_a), 0);
	assert_holds(store, "one other two ");
	cr_assert_eq(append(store, epoch_a, 10, 10, "three"), 0);
	assert_holds(store, "one other two ");
	synced(store);
	assert_holds(store, "one other two three ");
	cr_assert_eq(access(file_of(&place, 2), F_OK), -1, "the file is gone on with");
	store_close(store);
	remove_place(&place);
}

Test(store, torn_tail_is_cut_at_every_length)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	off_t whole, longer;
	char why[256];

	cr_assert_eq(append(store, epoch_a, 1, 1, "kept"), 0);
	synced(store);
	whole = size_of(file_of(&place, 1));
	cr_assert_eq(append(store, epoch_a, 2, 2, "torn"), 0);
	synced(store);
	longer = size_of(file_of(&place, 1));
	store_close(store);
	for (off_t size = longer - 1; size > whole; size--) {
		struct capture capture;
		char log[1024];

		cr_assert_eq(truncate(file_of(&place, 1), size), 0);
		capture = capture_begin(STDERR_FILENO);
		cr_assert_eq(store_open(&store, place.path, 0, why, sizeof(why)), 0);
		capture_end(&capture, log, sizeof(log));
		snprintf(why, sizeof(why), "torn: %d bytes are cut", (int)(size - whole));
		cr_assert(strstr(log, why), "%s", log);
		cr_assert_eq(store_synced(store, host, epoch_a), 1);
		cr_assert_eq(size_of(file_of(&place, 1)), whole);
		cr_assert_eq(append(store, epoch_a, 2, 2, "torn"), 0);
		store_close(store);
	}
	store = opened(&place, 0);
	assert_holds(store, "kept torn ");
	store_close(store);
	remove_place(&place);
}

Test(store, segments_follow_one_another)
{
	struct place place = make_place();
	struct store *store = opened(&place, 200);
	struct store_position position = {0};
	struct seen seen = {.stop_after = 2};

	for (uint64_t i = 1; i <= 9; i++)
		cr_assert_eq(append(store, epoch_a, i, i, "0123456789012345678901234567890"), 0);
	synced(store);
	cr_assert_eq(append(store, epoch_a, 10, 10, "ten"), 0);
	store_close(store);
	cr_assert_leq(size_of(file_of(&place, 1)), 200);
	cr_assert_eq(access(file_of(&place, 4), F_OK), 0);
	store = opened(&place, 200);
	cr_assert_eq(store_synced(store, host, epoch_a), 10);
	cr_assert_eq(read_on(store, &position, &seen), 1, "there is more");
	cr_assert_eq(seen.frames, 2);
	seen.stop_after = 0;
	cr_assert_eq(read_on(store, &position, &seen), 0);
	cr_assert_eq(seen.frames, 10, "each once");
	cr_assert_eq(read_on(store, &position, &seen), 0);
	cr_assert_eq(seen.frames, 10);
	position = (struct store_position){4711, 12};
	cr_assert_eq(read_on(store, &position, &seen), 0);
	cr_assert_eq(position.segment, store_end(store).segment, "a place that is not there any more");
	store_close(store);
	remove_place(&place);
}

Test(store, how_far_behind_a_place_is)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	struct store_position start, middle;
	uint64_t size;

	cr_assert_eq(append(store, epoch_a, 1, 1, "one"), 0);
	synced(store);
	start = store_end(store);
	cr_assert_eq(store_distance(store, start), 0);
	cr_assert_eq(append(store, epoch_a, 2, 2, "two"), 0);
	cr_assert_eq(store_distance(store, start), 0, "it is not synced");
	synced(store);
	middle = store_end(store);
	size = (uint64_t)size_of(file_of(&place, 1));
	cr_assert_eq(store_distance(store, start), size - start.offset);
	cr_assert_eq(store_distance(store, (struct store_position){middle.segment, middle.offset + 7}), 0);
	cr_assert_gt(
		store_distance(store, (struct store_position){0}), size, "all of it, and of files that may have been");
	cr_assert_eq(store_segments(store), 1);
	store_close(store);
	remove_place(&place);
}

Test(store, a_second_one_is_told_who_has_it)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	char why[256], expected[100];
	pid_t child = fork();
	int status;

	if (child == 0) {
		struct store *second;
		int error = store_open(&second, place.path, 0, why, sizeof(why));

		snprintf(expected, sizeof(expected), "%s is in use by pid %d", place.path, (int)getppid());
		_exit(error == -EBUSY && strcmp(why, expected) == 0 ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0);
	store_close(store);
	store_close(opened(&place, 0));
	remove_place(&place);
}

Test(store, what_is_no_directory_is_said)
{
	struct store *store;
	char why[256];

	cr_assert_eq(store_open(&store, "/dev/null", 0, why, sizeof(why)), -ENOTDIR);
	cr_assert(strstr(why, "/dev/null") && strstr(why, "Not a directory"), "%s", why);
	cr_assert_eq(store_open(&store, "/tmp/no/such/parent", 0, why, sizeof(why)), -ENOENT);
}

/* A tmpfs of this test's own mount namespace, so small that it is full soon. */
static bool make_small_disk(const char *path, const char *size)
{
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("taffrail-test", path, "tmpfs", 0, size) == 0;
}

static uint64_t counted_epochs(const struct store *store)
{
	struct store_counters counters;

	store_counters(store, &counters);
	return counters.epochs;
}

Test(store, full_disk_leaves_no_torn_frame_and_room_heals_it)
{
	struct place place = make_place();
	static char large[100001];
	struct store *store;
	char filler[100];
	uint64_t next = 1;
	off_t size;
	int fd;

	if (!make_small_disk(place.path, "size=1m"))
		cr_skip_test("no rights to mount a tmpfs");
	memset(large, 'x', sizeof(large) - 1);
	snprintf(filler, sizeof(filler), "%s/filler", place.path);
	fd = open(filler, O_CREAT | O_WRONLY, 0600);
	cr_assert_eq(posix_fallocate(fd, 0, 300000), 0);
	close(fd);
	store = opened(&place, 0);
	while (append(store, epoch_a, next, next, large) == 0)
		next++;
	cr_assert_gt(next, 3);
	cr_assert_eq(append(store, epoch_a, next, next, large), -ENOSPC);
	cr_assert_eq(store_appended(store, host, epoch_a), next - 1);
	cr_assert_eq(append(store, epoch_b, 1, 1, large), -ENOSPC);
	synced(store);
	cr_assert_eq(store_synced(store, host, epoch_a), next - 1);
	size = size_of(file_of(&place, 1));
	unlink(filler);
	cr_assert_eq(append(store, epoch_a, next, next, large), 0, "there is room again");
	cr_assert_eq(counted_epochs(store), 1, "what found no room is no epoch");
	store_close(store);
	cr_assert_gt(size_of(file_of(&place, 1)), size);
	store = opened(&place, 0);
	cr_assert_eq(store_synced(store, host, epoch_a), next);
	store_close(store);
	umount(place.path);
	rmdir(place.path);
}

/* Puts something in the place of the file that is appended to which cannot be synced. Returns false if it is not open. */
static bool break_sync(const char *file)
{
	char link[64], target[200];

	for (int fd = 3; fd < 256; fd++) {
		ssize_t length;
		int pipes[2];

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, target, sizeof(target) - 1);
		target[length > 0 ? length : 0] = '\0';
		if (strcmp(target, file) != 0)
			continue;
		cr_assert_eq(pipe(pipes), 0);
		cr_assert_eq(dup2(pipes[1], fd), fd);
		close(pipes[0]);
		close(pipes[1]);
		return true;
	}
	return false;
}

Test(store, failed_sync_takes_back_what_was_not_synced)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	off_t good;

	cr_assert_eq(append(store, epoch_a, 1, 2, "good"), 0);
	synced(store);
	good = size_of(file_of(&place, 1));
	cr_assert_eq(append(store, epoch_a, 3, 4, "lost"), 0);
	cr_assert_eq(append(store, epoch_b, 1, 1, "lost too"), 0);
	cr_assert(break_sync(file_of(&place, 1)));
	store_sync_begin(store);
	cr_assert_lt(store_sync_end(store), 0);
	cr_assert_eq(store_appended(store, host, epoch_a), 2);
	cr_assert_eq(store_account(store, host, epoch_a, false)->made, 2);
	cr_assert_eq(store_appended(store, host, epoch_b), 0);
	cr_assert_eq(counted_epochs(store), 1);
	cr_assert_eq(store_appended_count(store), store_synced_count(store));
	cr_assert_eq(size_of(file_of(&place, 1)), good);
	cr_assert_eq(append(store, epoch_a, 3, 4, "again"), 0);
	synced(store);
	cr_assert_eq(access(file_of(&place, 2), F_OK), 0, "in a new file");
	store_close(store);
	store = opened(&place, 0);
	cr_assert_eq(store_synced(store, host, epoch_a), 4);
	assert_holds(store, "good again ");
	store_close(store);
	remove_place(&place);
}

/* Version 1 in the header: its file is read, and what comes goes into a file of its own. */
Test(store, a_file_of_an_older_program_is_read_and_not_appended_to)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	off_t size;
	int fd;

	cr_assert_eq(append(store, epoch_a, 1, 3, "old"), 0);
	store_close(store);
	fd = open(file_of(&place, 1), O_RDWR);
	cr_assert_eq(pwrite(fd, "\1", 1, 8), 1);
	close(fd);
	size = size_of(file_of(&place, 1));
	store = opened(&place, 0);
	cr_assert_eq(store_synced(store, host, epoch_a), 3);
	cr_assert_eq(append(store, epoch_a, 4, 3, "books"), 0);
	cr_assert_eq(append(store, epoch_a, 4, 4, "new"), 0);
	store_close(store);
	cr_assert_eq(size_of(file_of(&place, 1)), size);
	cr_assert_eq(access(file_of(&place, 2), F_OK), 0);
	store = opened(&place, 0);
	assert_holds(store, "old books new ");
	cr_assert_eq(store_synced(store, host, epoch_a), 4);
	store_close(store);
	remove_place(&place);
}

Test(store, frames_without_sequences_and_of_very_many)
{
	static char large[SEGMENT_GAP_MAX + 2];
	struct place place = make_place();
	struct store *store = opened(&place, 0);

	memset(large, 'x', sizeof(large) - 1);
	cr_assert_eq(append(store, epoch_a, 1, 0, "none"), 0);
	cr_assert_eq(append(store, epoch_a, 1, 1ull << 60, "gap"), 0);
	cr_assert_eq(append(store, epoch_a, (1ull << 60) + 1, 1ull << 61, large), -EINVAL, "no batch has so many");
	cr_assert_eq(append(store, epoch_a, 1ull << 60, (1ull << 60) - 1, "none"), -EINVAL, "of an earlier time");
	cr_assert_eq(append(store, epoch_a, (1ull << 60) + 1, 1ull << 60, "none"), 0);
	cr_assert_eq(append(store, epoch_a, (1ull << 60) + 2, 1ull << 60, "none"), -EINVAL);
	cr_assert_eq(append(store, epoch_b, 1, UINT64_MAX, "none"), -EINVAL);
	cr_assert_eq(append(store, epoch_b, 0, UINT64_MAX - 1, "none"), -EINVAL);
	store_close(store);
	store = opened(&place, 0);
	assert_holds(store, "none gap none ");
	cr_assert_eq(store_synced(store, host, epoch_a), 1ull << 60);
	store_close(store);
	remove_place(&place);
}

/* Beside the collector that appends to it: no lock, nothing is changed, what is half written is not there yet. */
Test(store, a_store_may_be_looked_at)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0), *look;
	char why[256], log[1024];
	struct capture capture;
	off_t whole, size;

	cr_assert_eq(append(store, epoch_a, 1, 1, "one"), 0);
	synced(store);
	whole = size_of(file_of(&place, 1));
	cr_assert_eq(append(store, epoch_a, 2, 2, "two"), 0);
	synced(store);
	size = size_of(file_of(&place, 1));
	for (off_t at = whole; at <= size; at++) {
		cr_assert_eq(truncate(file_of(&place, 1), at), 0);
		capture = capture_begin(STDERR_FILENO);
		cr_assert_eq(store_look(&look, place.path, why, sizeof(why)), 0, "%s", why);
		capture_end(&capture, log, sizeof(log));
		cr_assert_str_eq(log, "");
		cr_assert_eq(store_synced(look, host, epoch_a), at == size ? 2 : 1);
		assert_holds(look, at == size ? "one two " : "one ");
		store_close(look);
		cr_assert_eq(size_of(file_of(&place, 1)), at, "nothing is cut");
		if (at < size) { /* what stood there is of no use */
			store_close(store);
			store = opened(&place, 0);
			cr_assert_eq(append(store, epoch_a, 2, 2, "two"), 0);
			synced(store);
		}
	}
	store_close(store);
	flip(file_of(&place, 1), whole - 3);
	capture = capture_begin(STDERR_FILENO);
	cr_assert_eq(store_look(&look, place.path, why, sizeof(why)), 0, "%s", why);
	capture_end(&capture, log, sizeof(log));
	cr_assert(strstr(log, "damaged at byte 16"), "%s", log);
	store_close(look);
	cr_assert_eq(store_look(&look, "/tmp/no/such/place", why, sizeof(why)), -ENOENT);
	cr_assert(strstr(why, "/tmp/no/such/place"), "%s", why);
	cr_assert_eq(store_look(&look, "/tmp", why, sizeof(why)), -ENOENT);
	cr_assert(strstr(why, "no directory of a collector"), "%s", why);
	remove_place(&place);
}

static void put_cursor(const struct place *place, const char *spec, struct store_position at)
{
	struct cursor cursor;
	char why[256];
	bool fresh;

	cr_assert_eq(cursor_open(&cursor, place->path, spec, &fresh, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(cursor_move(&cursor, at, 0), 0);
	cursor_close(&cursor);
}

static struct store_position furthest(const struct place *place)
{
	struct store_position found;
	char why[256];

	cr_assert_eq(cursor_furthest(place->path, &found, why, sizeof(why)), 0, "%s", why);
	return found;
}

/* Files that an output noted as filed may be gone, all or the newest: no new one is numbered as they were. */
Test(store, it_goes_on_behind_what_any_output_has_filed)
{
	struct place place = make_place();
	struct store *store = opened(&place, 0);
	struct store_position end;
	char path[200];
	FILE *file;

	cr_assert_eq(append(store, epoch_a, 1, 1, "one"), 0);
	synced(store);
	end = store_end(store);
	store_close(store);
	cr_assert_eq(furthest(&place).segment, 0, "there is none");
	put_cursor(&place, "ecs-json:/a", end);
	cr_assert_eq(furthest(&place).offset, end.offset);
	store = opened(&place, 0);
	store_begin_behind(store, furthest(&place));
	cr_assert_eq(append(store, epoch_a, 2, 2, "two"), 0);
	synced(store);
	cr_assert_eq(store_end(store).segment, 1, "nothing is gone");
	store_close(store);

	put_cursor(&place, "ecs-json:/b", (struct store_position){57, 100});
	put_cursor(&place, "ecs-json:/c", (struct store_position){56, 9000});
	snprintf(path, sizeof(path), "%s/outputs/ecs-json-00000000", place.path);
	file = fopen(path, "w");
	fputs("0000000000000099 00000000000000000099 00000000\n", file);
	fclose(file);
	cr_assert_eq(furthest(&place).segment, 57);
	for (int i = 0; i < 2; i++) {
		store = opened(&place, 0);
		store_begin_behind(store, furthest(&place));
		cr_assert_eq(append(store, epoch_a, 3 + (uint64_t)i, 3 + (uint64_t)i, "more"), 0);
		synced(store);
		cr_assert_eq(store_end(store).segment, 58);
		store_close(store);
	}
	store = opened(&place, 0);
	cr_assert_eq(store_synced(store, host, epoch_a), 4);
	store_close(store);
	remove_place(&place);
}

Test(cursor, it_is_where_it_was_put)
{
	struct place place = make_place();
	struct cursor cursor;
	char why[256], file[200];
	bool fresh;

	cr_assert_eq(cursor_open(&cursor, place.path, "ecs-json:/a", &fresh, why, sizeof(why)), 0, "%s", why);
	cr_assert(fresh);
	cr_assert_eq(cursor_move(&cursor, (struct store_position){12345678901, 5}, CURSOR_NO_MARK), 0);
	cr_assert_eq(cursor_move(&cursor, (struct store_position){3, 77}, 4711), 0);
	cursor_close(&cursor);
	cr_assert_eq(cursor_open(&cursor, place.path, "ecs-json:/b", &fresh, why, sizeof(why)), 0);
	cr_assert(fresh, "another output");
	cursor_close(&cursor);
	cr_assert_eq(cursor_open(&cursor, place.path, "ecs-json:/a", &fresh, why, sizeof(why)), 0);
	cr_assert_not(fresh);
	cr_assert_eq(cursor.at.segment, 3);
	cr_assert_eq(cursor.at.offset, 77);
	cr_assert_eq(cursor.mark, 4711);
	cursor_close(&cursor);
	/* An older program's line has no mark. */
	cr_assert_eq(cursor_open(&cursor, place.path, "ecs-json:/c", &fresh, why, sizeof(why)), 0);
	cr_assert_eq(cursor_move(&cursor, (struct store_position){3, 77}, CURSOR_NO_MARK), 0);
	cursor_close(&cursor);
	cr_assert_eq(cursor_open(&cursor, place.path, "ecs-json:/c", &fresh, why, sizeof(why)), 0);
	cr_assert(!fresh && cursor.at.offset == 77 && cursor.mark == CURSOR_NO_MARK);
	cursor_close(&cursor);
	snprintf(file, sizeof(file), "%s/outputs/ecs-json-%08x", place.path, crc32c(0, "ecs-json:/a", 11));
	flip(file, 20);
	cr_assert_eq(cursor_open(&cursor, place.path, "ecs-json:/a", &fresh, why, sizeof(why)), 0);
	cr_assert_not(fresh);
	cr_assert_eq(cursor.at.segment, 0, "not known: from the start");
	cr_assert_eq(cursor.mark, 0);
	cursor_close(&cursor);
	remove_place(&place);
}
