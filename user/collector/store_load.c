/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/store_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static int open_segment(const struct store *store, uint64_t segment, int flags, uint64_t *size)
{
	char name[NUMBERED_NAME_SIZE];
	struct stat stat;
	int fd;

	store_name(name, segment);
	fd = openat(store->directory, name, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	*size = (uint64_t)stat.st_size;
	return fd;
}

/* --- reading them at start ------------------------------------------------------------------------------------------- */

/* On a terminal, and only when it takes long enough to wonder. */
struct progress {
	uint64_t next_ns;
	bool shown;
};

static void show_progress(struct progress *progress, const struct store *store, size_t done)
{
	uint64_t now_ns = clock_boottime_ns();

	if (now_ns < progress->next_ns || !isatty(STDERR_FILENO))
		return;
	progress->next_ns = now_ns + 200 * 1000 * 1000;
	progress->shown = true;
	dprintf(STDERR_FILENO, "\r\033[K%s: reading segment %zu of %zu", store->path, done + 1, store->segments.count);
}

static int take_frame(struct store *store, const struct segment_frame *frame, struct store_position end)
{
	struct store_source *source;
	int error;

	store->appended_count++;
	store->synced_count++;
	if (store_is_forgotten(store, frame->host, end))
		return 0;
	error = store_find_or_add(store, frame->host, frame->epoch, false, &source);
	if (error == -ESTALE)
		store_raise_folded(store, frame);
	else if (!error)
		store_account_frame(source, &source->synced, frame);
	else
		return error;
	return 0;
}

static void say_damaged(const struct store *store, uint64_t segment, const struct segment_reader *reader)
{
	log_error("%s/segments/%016" PRIu64 ".seg: damaged at byte %" PRIu64 ": the %" PRIu64
		  " bytes from there on cannot be used, and stay as they are",
		store->path, segment, reader->offset, reader->size - reader->offset);
}

/* The next whole frame, as segment_next; over those that are damaged, where the one behind is found. */
static int next_frame(
	const struct store *store, uint64_t segment, struct segment_reader *reader, struct segment_frame *frame)
{
	int result;

	while ((result = segment_next(reader, frame)) == -EBADMSG) {
		uint64_t at = reader->offset;
		int skipped = segment_skip(reader);

		if (skipped <= 0)
			return skipped < 0 ? skipped : -EBADMSG;
		log_error("%s/segments/%016" PRIu64 ".seg: damaged at byte %" PRIu64 ": a frame of %" PRIu64
			  " bytes cannot be used; those behind it can",
			store->path, segment, at, reader->offset - at);
	}
	return result;
}

/*
 * The last file may end in a frame whose writing was cut short; nobody was told that it is stored. Where a whole frame
 * follows, it is no torn tail but damage, and nothing is cut. The file is appended to if nothing in it is damaged.
 */
static int finish_last(struct store *store, uint64_t segment, struct segment_reader *reader, bool damaged)
{
	int more = damaged && reader->size > SEGMENT_HEADER_SIZE ? segment_has_more(reader) : 0;

	if (more < 0)
		return more;
	store->synced_end = (struct store_position){segment, reader->size};
	if (more || (damaged && reader->offset == 0 && reader->size > SEGMENT_HEADER_SIZE)) {
		say_damaged(store, segment, reader);
		store->damages++;
		return 0;
	}
	if (damaged) {
		log_warning("%s/segments/%016" PRIu64 ".seg: its last write was torn: %" PRIu64 " bytes are cut",
			store->path, segment, reader->size - reader->offset);
		if (ftruncate(reader->fd, (off_t)reader->offset) < 0)
			return -errno;
	}
	if (reader->offset == 0) { /* not even the header was whole */
		uint8_t header[SEGMENT_HEADER_SIZE];

		segment_header(header);
		errno = EIO;
		if (pwrite(reader->fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
			return -errno;
		reader->offset = sizeof(header);
		reader->version = SEGMENT_VERSION;
	}
	if (damaged && fdatasync(reader->fd) < 0)
		return -errno;
	store->synced_end.offset = store->offset = reader->offset;
	store->segment = segment;
	if (reader->skipped > 0)
		return 0;
	if (reader->version < SEGMENT_VERSION)
		return 0; /* an older program's: whoever reads it by its version must know all frames in it */
	store->fd = fcntl(reader->fd, F_DUPFD_CLOEXEC, 0);
	return store->fd < 0 ? -errno : 0;
}

/* Of another's store: where the last file ends in something that is no frame, it may be on its way. */
static int finish_look(struct store *store, uint64_t segment, struct segment_reader *reader, bool damaged)
{
	int more = damaged && reader->size > SEGMENT_HEADER_SIZE ? reader->offset == 0 || segment_has_more(reader) : 0;

	if (more < 0)
		return more;
	if (more) {
		say_damaged(store, segment, reader);
		store->damages++;
	}
	store->synced_end = (struct store_position){segment, more ? reader->size : reader->offset};
	return 0;
}

static int load_segment(struct store *store, size_t index, struct progress *progress)
{
	bool is_last = index + 1 == store->segments.count;
	uint64_t segment = store->segments.items[index], size = 0;
	struct segment_reader reader = {0};
	struct segment_frame frame;
	int fd = open_segment(store, segment, is_last && !store->looking ? O_RDWR : O_RDONLY, &size), result, error = 0;

	if (fd < 0)
		return fd;
	/* A collector that was killed had written more than it had synced. */
	if (!store->looking && fdatasync(fd) < 0)
		error = -errno;
	result = error ? error : segment_reader_open(&reader, fd, size);
	if (result == 0) {
		while (!error && (result = next_frame(store, segment, &reader, &frame)) > 0) {
			error = take_frame(store, &frame, (struct store_position){segment, reader.offset});
			show_progress(progress, store, index);
		}
	}
	if (!error && result < 0 && result != -EBADMSG)
		error = result;
	if (!error && is_last)
		error = (store->looking ? finish_look : finish_last)(store, segment, &reader, result == -EBADMSG);
	else if (!error && result == -EBADMSG) {
		say_damaged(store, segment, &reader);
		store->damages++;
	}
	store->damages += reader.skipped;
	segment_reader_close(&reader);
	close(fd);
	return error;
}

int store_load(struct store *store, char *why, size_t why_size)
{
	struct progress progress = {.next_ns = clock_boottime_ns() + 1000 * 1000 * 1000};
	char name[NUMBERED_NAME_SIZE] = "";
	int error = store_read_forgotten(store, why, why_size);

	if (error)
		return error;
	error = numbered_list(store->directory, STORE_ENDING, &store->segments);
	for (size_t i = 0; i < store->segments.count && !error; i++) {
		store_name(name, store->segments.items[i]);
		error = load_segment(store, i, &progress);
	}
	if (progress.shown)
		dprintf(STDERR_FILENO, "\r\033[K");
	if (!error && !store->looking && fsync(store->directory) < 0)
		error = -errno;
	if (error)
		snprintf(why, why_size, "%s/segments/%s: %s", store->path, name, strerror(-error));
	return error || store->looking ? error : store_note_forgotten(store, why, why_size);
}

/* --- reading them later ---------------------------------------------------------------------------------------------- */

/* The first segment that is `wanted` or behind it; segments.count: none. */
static size_t find_segment(const struct store *store, uint64_t wanted)
{
	size_t low = 0, high = store->segments.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (store->segments.items[middle] < wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The frames of one segment from `position` to `size`, 0 at its end, 1 if the reader did not want to go on. */
static int read_segment(const struct store *store, int fd, uint64_t size, struct store_position *position,
	const struct store_reader *each)
{
	struct segment_reader reader;
	struct segment_frame frame;
	int result = segment_reader_open(&reader, fd, size);

	if (result == 0) {
		if (position->offset > reader.offset)
			reader.offset = position->offset;
		while ((result = next_frame(store, position->segment, &reader, &frame)) > 0) {
			position->offset = reader.offset;
			if (!each->each(each->context, &frame, *position))
				break;
		}
	}
	if (result == -EBADMSG) {
		say_damaged(store, position->segment, &reader);
		position->offset = size;
		result = 0;
	}
	segment_reader_close(&reader);
	return result;
}

int store_read(const struct store *store, struct store_position *position, const struct store_reader *reader)
{
	const struct store_position end = store->synced_end;

	for (size_t i = find_segment(store, position->segment); i < store->segments.count; i++) {
		uint64_t segment = store->segments.items[i], size = 0;
		int fd, result;

		if (segment > end.segment ||
			(segment == end.segment && position->segment == segment && position->offset >= end.offset))
			break;
		fd = open_segment(store, segment, O_RDONLY, &size);
		if (fd < 0)
			return fd;
		if (segment != position->segment)
			*position = (struct store_position){segment, 0};
		result = read_segment(store, fd, segment == end.segment ? end.offset : size, position, reader);
		close(fd);
		if (result != 0)
			return result;
	}
	*position = end;
	return 0;
}
