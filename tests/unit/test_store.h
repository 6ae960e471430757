/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the store: a directory, what is put into it, and what a reader finds. */
#ifndef TAFFRAIL_TEST_STORE_H
#define TAFFRAIL_TEST_STORE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "collector/store.h"

static const uint8_t epoch_a[EVENT_EPOCH_SIZE] = {1, 2, 3}, epoch_b[EVENT_EPOCH_SIZE] = {9};
static const struct text host = TEXT_STATIC("node-1");

/* A data directory that goes with the test; each file's path by its segment. */
struct place {
	char path[64];
	char file[120];
};

static inline struct place make_place(void)
{
	struct place place = {.path = "/tmp/taffrail-store-XXXXXX"};

	cr_assert_not_null(mkdtemp(place.path));
	return place;
}

static const char *file_of(struct place *place, unsigned segment)
{
	snprintf(place->file, sizeof(place->file), "%s/segments/%016u.seg", place->path, segment);
	return place->file;
}

static inline void remove_place(const struct place *place)
{
	char command[120];

	snprintf(command, sizeof(command), "rm -r '%s'", place->path);
	cr_assert_eq(system(command), 0);
}

static inline struct store *opened(const struct place *place, uint64_t segment_bytes)
{
	struct store *store;
	char why[256] = "";

	cr_assert_eq(store_open(&store, place->path, segment_bytes, why, sizeof(why)), 0, "%s", why);
	return store;
}

static inline int append(struct store *store, const uint8_t *epoch, uint64_t first, uint64_t last, const char *batch)
{
	struct segment_frame frame = {.first = first, .last = last, .host = host, .batch = text_of(batch)};
	struct store_position end;

	memcpy(frame.epoch, epoch, EVENT_EPOCH_SIZE);
	return store_append(store, &frame, &end);
}

static inline void synced(struct store *store)
{
	store_sync_begin(store);
	cr_assert_eq(store_sync_end(store), 0);
	cr_assert_eq(store_synced_count(store), store_appended_count(store));
}

static inline off_t size_of(const char *file)
{
	struct stat stat_of_it;

	cr_assert_eq(stat(file, &stat_of_it), 0, "%s", file);
	return stat_of_it.st_size;
}

static inline void flip(const char *file, off_t at)
{
	int fd = open(file, O_RDWR);
	uint8_t byte;

	cr_assert_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* What a reader saw: the batches one after another. */
struct seen {
	char text[4096];
	int frames, stop_after;
};

static inline bool see(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct seen *seen = context;

	(void)end;
	snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text), "%.*s ",
		(int)frame->batch.length, frame->batch.data);
	return ++seen->frames != seen->stop_after;
}

static inline int read_on(struct store *store, struct store_position *position, struct seen *seen)
{
	const struct store_reader reader = {see, seen};

	return store_read(store, position, &reader);
}

static inline void assert_holds(struct store *store, const char *expected)
{
	struct store_position position = {0};
	struct seen seen = {0};

	cr_assert_eq(read_on(store, &position, &seen), 0);
	cr_assert_str_eq(seen.text, expected);
}

#endif
