/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "sensor/spool_inside.h"

enum {
	SEGMENTS = 32, /* that the room is divided into, */
	SEGMENT_MIN = 64 << 10,
	SEGMENT_MAX = 8 << 20,  /* ... each so large */
	EMPTY_ABOVE = 64 << 10, /* a file that is acknowledged to its end is emptied from this size on */
};
static const uint64_t second_ns = 1000ull * 1000 * 1000;
static const uint64_t sync_retry_ns = 10ull * 1000 * 1000 * 1000;

/* --- words of all parts ------------------------------------------------------------------------------------------------ */

uint64_t spool_blocks(uint64_t size)
{
	return (size + SPOOL_BLOCK - 1) / SPOOL_BLOCK * SPOOL_BLOCK;
}

int spool_may(const struct spool *spool, const char *what, size_t *length)
{
	return spool->faults.before ? spool->faults.before(spool->faults.context, what, length) : 0;
}

/* Says once that the disk fails, and that it is tried again later. Returns `error`. */
static int fail(struct spool *spool, int error)
{
	if (!spool->said)
		log_warning(
			"%s: %s: what the collector has not acknowledged waits in memory until it can be written again",
			spool->path, strerror(-error));
	spool->said = true;
	spool->retry_ns = clock_boottime_ns() + (spool->sync_failed ? sync_retry_ns : second_ns);
	return error;
}

static void worked(struct spool *spool)
{
	if (spool->said && !spool->sync_failed) {
		log_info("%s: it can be written again", spool->path);
		spool->said = false;
	}
}

int spool_write(const struct spool *spool, int fd, const struct iovec *parts, int count, uint64_t offset)
{
	for (int i = 0; i < count; i++)
		for (size_t done = 0; done < parts[i].iov_len;) {
			size_t length = parts[i].iov_len - done;
			int error = spool_may(spool, "write", &length);
			ssize_t written = 0;

			if (length > 0)
				written = pwrite(fd, (const char *)parts[i].iov_base + done, length, (off_t)offset);
			if (written < 0 && errno == EINTR)
				continue;
			if (written < 0)
				return -errno;
			if (error || written == 0)
				return error ? error : -EIO;
			done += (size_t)written;
			offset += (size_t)written;
		}
	return 0;
}

/* --- appending ------------------------------------------------------------------------------------------------------- */

/* Former lives that are told to their end: nobody asks for them any more, but for the one that is sent now. */
static void forget_former(struct spool *spool, const struct spool_epoch *but)
{
	struct spool_epoch *epoch, *next;
	struct spool_segment *segment;

	for (epoch = TAILQ_FIRST(&spool->epochs); epoch != spool->own; epoch = next) {
		next = TAILQ_NEXT(epoch, entry);
		if (epoch->acknowledged < epoch->last || epoch == but)
			continue;
		while ((segment = TAILQ_FIRST(&epoch->segments)))
			spool_drop_segment(spool, epoch, segment);
		spool_free_epoch(spool, epoch);
	}
}

/* The next file, with its header, for sequences from `base` on. */
static int new_file(struct spool *spool, uint64_t base)
{
	struct spool_header header = {.host = spool->own->host, .base = base, .acknowledged = spool->own->acknowledged};
	uint8_t bytes[SPOOL_HEADER_MAX];
	struct spool_segment *segment;
	char name[NUMBERED_NAME_SIZE];
	int length, fd, error = spool_may(spool, "create", NULL);

	if (getrandom(&header.salt, sizeof(header.salt), GRND_NONBLOCK) < 0)
		header.salt = (uint32_t)clock_boottime_ns();
	length = spool_header_put(bytes, &header);
	if (error || length < 0)
		return error ? error : length;
	numbered_name(name, spool->next_number, SPOOL_ENDING);
	fd = openat(spool->directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = spool_write(spool, fd, &(struct iovec){bytes, (size_t)length}, 1, 0);
	segment = error ? NULL : spool_new_segment(spool, spool->own, spool->next_number);
	if (!segment) {
		close(fd);
		if (spool_may(spool, "unlink", NULL) == 0)
			(void)unlinkat(spool->directory, name, 0);
		return error ? error : -ENOMEM;
	}
	segment->first = base;
	segment->last = base - 1;
	segment->size = segment->header_length = (uint32_t)length;
	segment->salt = header.salt;
	spool->bytes += spool_blocks(segment->size);
	spool->tail = segment;
	spool->fd = fd;
	spool->new_names = true;
	return 0;
}

/* A directory that was removed is made again. */
static int look_at_directory(struct spool *spool)
{
	char why[256];
	struct stat stat;
	int error;

	if (spool->directory >= 0 && fstat(spool->directory, &stat) == 0 && stat.st_nlink > 0)
		return 0;
	if (spool->directory >= 0)
		close(spool->directory);
	spool->directory = -1;
	spool_close_tail(spool);
	error = spool_open_directory(spool, why, sizeof(why));
	return error ? error : spool_count_files(spool);
}

static int append(struct spool *spool, struct text up, struct spool_frame *frame)
{
	uint8_t head[SPOOL_FRAME_HEAD];
	struct iovec parts[] = {{head, sizeof(head)}, {(void *)(uintptr_t)up.data, up.length}};
	uint64_t size = sizeof(head) + up.length;
	struct spool_segment *tail;
	int error = 0;

	if (spool->tail && spool->tail->last >= spool->tail->first && spool->tail->size + size > spool->segment_bytes)
		spool_close_tail(spool);
	if (!spool->tail)
		error = new_file(spool, frame->first);
	tail = spool->tail;
	if (error || !tail)
		return error;
	spool_frame_put(head, frame, tail->salt);
	error = spool_write(spool, spool->fd, parts, 2, tail->size);
	if (error) {
		/* What was written of it is no frame; where it cannot be cut nothing may stand behind it. */
		if (spool_may(spool, "cut", NULL) < 0 || ftruncate(spool->fd, (off_t)tail->size) < 0)
			spool_close_tail(spool);
		return error;
	}
	if (tail->last < tail->first) {
		tail->first = frame->first;
		tail->class = frame->class;
	} else if (frame->class < tail->class) {
		tail->class = frame->class;
	}
	tail->last = spool->own->last = frame->last;
	spool->bytes += spool_blocks(tail->size + size) - spool_blocks(tail->size);
	tail->size += size;
	if (!spool->dirty)
		spool->dirty_ns = clock_boottime_ns();
	spool->dirty = true;
	return 0;
}

int spool_append(struct spool *spool, struct text up, uint64_t first, uint64_t last, enum evict_class class)
{
	struct spool_frame frame = {first, last, class, (uint32_t)up.length, crc32c(0, up.data, up.length)};
	int error;

	if (up.length > SPOOL_BATCH_MAX || last - first >= SPOOL_SPAN_MAX)
		return -EMSGSIZE;
	if (spool->said && clock_boottime_ns() < spool->retry_ns)
		return -EAGAIN;
	error = look_at_directory(spool);
	if (error)
		return fail(spool, error);
	forget_former(spool, spool->place.epoch);
	error = spool_make_room(spool, SPOOL_FRAME_HEAD + up.length);
	if (error == -ENOBUFS) {
		log_limited("%s is full, and nothing can be taken out of it", spool->path);
		return error;
	}
	error = error ? error : append(spool, up, &frame);
	if (error)
		return fail(spool, error);
	worked(spool);
	if (spool->fsync == SPOOL_ALWAYS)
		spool_tick(spool, clock_boottime_ns());
	return 0;
}

/* --- acknowledgement ------------------------------------------------------------------------------------------------- */

/* Notes it where the next life finds it; there it saves no more than sending again what the collector knows. */
static void note(struct spool *spool, struct spool_epoch *epoch)
{
	struct spool_segment *oldest = TAILQ_FIRST(&epoch->segments);
	uint8_t bytes[SPOOL_ACKNOWLEDGED_SIZE];
	char name[NUMBERED_NAME_SIZE];
	int fd;

	if (!oldest || (oldest != spool->tail && spool->directory < 0))
		return;
	spool_acknowledged_put(bytes, epoch->acknowledged);
	if (oldest == spool->tail) {
		(void)spool_write(spool, spool->fd, &(struct iovec){bytes, sizeof(bytes)}, 1, SPOOL_ACKNOWLEDGED_AT);
		return;
	}
	numbered_name(name, oldest->number, SPOOL_ENDING);
	fd = openat(spool->directory, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)spool_write(spool, fd, &(struct iovec){bytes, sizeof(bytes)}, 1, SPOOL_ACKNOWLEDGED_AT);
	close(fd);
}

/* The last file stays: it tells the next life how far this one came. */
static void empty_tail(struct spool *spool)
{
	struct spool_segment *tail = spool->tail;

	if (!tail || tail->size <= EMPTY_ABOVE || spool_may(spool, "cut", NULL) < 0 ||
		ftruncate(spool->fd, tail->header_length) < 0)
		return;
	if (spool->place.segment == tail)
		spool_place_reset(&spool->place);
	spool->bytes -= spool_blocks(tail->size) - spool_blocks(tail->header_length);
	tail->size = tail->header_length;
	tail->first = tail->last + 1;
	tail->class = EVICT_ALL;
	spool->dirty = false;
}

void spool_acknowledge(struct spool *spool, uint64_t sequence)
{
	struct spool_epoch *epoch = spool->place.epoch;
	struct spool_segment *segment;

	if (sequence > epoch->last && epoch != spool->own)
		sequence = epoch->last;
	if (sequence > epoch->last) /* from memory, while the disk failed */
		epoch->last = sequence;
	if (sequence <= epoch->acknowledged)
		return;
	epoch->acknowledged = sequence;
	if (spool->place.due <= sequence)
		spool->place.due = sequence + 1;
	while ((segment = TAILQ_FIRST(&epoch->segments)) && segment->last <= sequence && TAILQ_NEXT(segment, entry))
		spool_drop_segment(spool, epoch, segment);
	note(spool, epoch);
	if (epoch == spool->own && sequence == epoch->last)
		empty_tail(spool);
}

/* --- syncing --------------------------------------------------------------------------------------------------------- */

static void end_sync(struct spool *spool)
{
	int error = syncer_finish(spool->syncer);

	spool->syncing = false;
	for (size_t i = 0; i < spool->job.count; i++)
		close(spool->job.files[i]);
	if (spool->job.directory >= 0)
		close(spool->job.directory);
	spool->sync_failed = error != 0;
	if (error)
		(void)fail(spool, error);
}

static void start_sync(struct spool *spool)
{
	struct sync_job *job = &spool->job;

	*job = (struct sync_job){.directory = -1};
	for (size_t i = 0; i < spool->full_count; i++)
		job->files[job->count++] = spool->full[i];
	spool->full_count = 0;
	if (spool->tail) {
		int fd = fcntl(spool->fd, F_DUPFD_CLOEXEC, 0);

		if (fd >= 0)
			job->files[job->count++] = fd;
	}
	if (spool->new_names && spool->directory >= 0)
		job->directory = fcntl(spool->directory, F_DUPFD_CLOEXEC, 0);
	spool->new_names = spool->dirty = false;
	spool->syncing = true;
	syncer_start(spool->syncer, job);
}

int spool_fd(const struct spool *spool)
{
	return syncer_fd(spool->syncer);
}

static bool sync_is_due(const struct spool *spool, uint64_t now_ns)
{
	if (spool->fsync == SPOOL_NEVER || !spool->dirty)
		return false;
	return spool->fsync == SPOOL_ALWAYS ||
	       (spool->own->acknowledged < spool->own->last && now_ns - spool->dirty_ns >= second_ns);
}

void spool_tick(struct spool *spool, uint64_t now_ns)
{
	struct stat stat;

	if (spool->tail && fstat(spool->fd, &stat) == 0 && stat.st_nlink == 0)
		spool_close_tail(spool); /* somebody removed it: what comes next is in a new one */
	if (spool->syncing && syncer_ended(spool->syncer))
		end_sync(spool);
	if (spool->syncing)
		return;
	if (spool->own->acknowledged == spool->own->last) /* nothing is to be kept */
		while (spool->full_count > 0)
			close(spool->full[--spool->full_count]);
	if (sync_is_due(spool, now_ns))
		start_sync(spool);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

uint64_t spool_last(const struct spool *spool, const uint8_t epoch[EVENT_EPOCH_SIZE])
{
	const struct spool_epoch *known;

	for (known = TAILQ_FIRST(&spool->epochs); known; known = TAILQ_NEXT(known, entry))
		if (memcmp(known->host.epoch, epoch, EVENT_EPOCH_SIZE) == 0)
			return known->last;
	return 0;
}

uint64_t spool_bytes(const struct spool *spool)
{
	return spool->bytes;
}

int64_t spool_since_s(const struct spool *spool)
{
	const struct spool_epoch *epoch = TAILQ_FIRST(&spool->epochs);
	const struct spool_segment *segment = NULL;
	char name[NUMBERED_NAME_SIZE];
	struct statx file;

	for (; epoch && !segment; epoch = TAILQ_NEXT(epoch, entry))
		segment = TAILQ_FIRST(&epoch->segments);
	if (!segment || spool->directory < 0)
		return 0;
	numbered_name(name, segment->number, SPOOL_ENDING);
	if (statx(spool->directory, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME | STATX_MTIME, &file) < 0)
		return 0;
	return file.stx_mask & STATX_BTIME ? file.stx_btime.tv_sec : file.stx_mtime.tv_sec;
}

uint64_t spool_taken(const struct spool *spool)
{
	return evict_total(spool->evict);
}

bool spool_works(const struct spool *spool)
{
	return !spool->said;
}

/* Not a reason to see nothing: these may pass. */
static bool may_pass(int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EIO || error == -EROFS || error == -ENFILE ||
	       error == -EMFILE;
}

static int open_parts(struct spool *spool, char *why, size_t why_size)
{
	int error = spool_open_directory(spool, why, why_size);

	if (error && !may_pass(error))
		return error;
	if (error)
		(void)fail(spool, error);
	snprintf(why, why_size, "%s: out of memory, or no thread can be started", spool->path);
	error = spool->directory >= 0 ? spool_load(spool) : 0;
	error = error ? error : evict_open(&spool->evict);
	return error ? error : syncer_open(&spool->syncer);
}

int spool_open(struct spool **out, const struct spool_options *options, char *why, size_t why_size)
{
	struct spool *spool = calloc(1, sizeof(*spool));
	int error = -ENOMEM;

	snprintf(why, why_size, "%s: out of memory", options->path);
	if (!spool)
		return error;
	spool->directory = spool->fd = spool->place.fd = -1;
	spool->max_bytes = options->max_bytes;
	spool->segment_bytes = options->max_bytes / SEGMENTS;
	if (spool->segment_bytes < SEGMENT_MIN)
		spool->segment_bytes = SEGMENT_MIN;
	if (spool->segment_bytes > SEGMENT_MAX)
		spool->segment_bytes = SEGMENT_MAX;
	spool->fsync = options->fsync;
	if (options->faults)
		spool->faults = *options->faults;
	spool->next_number = 1;
	TAILQ_INIT(&spool->epochs);
	spool->path = strdup(options->path);
	if (spool->path)
		error = open_parts(spool, why, why_size);
	if (!error) {
		spool->own = spool_new_epoch(options->host, false);
		error = spool->own ? 0 : -ENOMEM;
	}
	if (error) {
		spool_close(spool);
		return error;
	}
	TAILQ_INSERT_TAIL(&spool->epochs, spool->own, entry);
	spool->place.epoch = TAILQ_FIRST(&spool->epochs);
	spool_rewind(spool, 0);
	(void)spool_turn(spool);
	*out = spool;
	return 0;
}

void spool_close(struct spool *spool)
{
	struct spool_epoch *epoch;

	if (!spool)
		return;
	if (spool->syncing)
		end_sync(spool);
	if (spool->own && spool->fsync != SPOOL_NEVER && spool->dirty && spool->own->acknowledged < spool->own->last) {
		start_sync(spool);
		end_sync(spool);
	}
	spool->dirty = false;
	/* Lives that came to their end: nobody has to find out how far. */
	if (spool->own)
		forget_former(spool, NULL);
	if (spool->own && spool->tail && spool->own->acknowledged == spool->own->last)
		spool_drop_segment(spool, spool->own, spool->tail);
	if (spool->own)
		spool_place_reset(&spool->place);
	spool_close_tail(spool);
	while (spool->full_count > 0)
		close(spool->full[--spool->full_count]);
	while ((epoch = TAILQ_FIRST(&spool->epochs)))
		spool_free_epoch(spool, epoch);
	syncer_close(spool->syncer);
	evict_close(spool->evict);
	if (spool->directory >= 0)
		close(spool->directory);
	free(spool->path);
	free(spool);
}
