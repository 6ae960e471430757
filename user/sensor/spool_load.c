/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sensor/spool_inside.h"

/* --- the directory --------------------------------------------------------------------------------------------------- */

static int refuse(char *why, size_t why_size, int error, const char *path, const char *what)
{
	snprintf(why, why_size, "%s: %s%s", path, what, error != -EPERM && error != -EBUSY ? strerror(-error) : "");
	return error;
}

int spool_open_directory(struct spool *spool, char *why, size_t why_size)
{
	const char *path = spool->path;
	struct stat stat = {0};
	int fd, error = spool_may(spool, "mkdir", NULL);

	if (error || (mkdir(path, 0700) < 0 && errno != EEXIST && errno != EROFS))
		return refuse(why, why_size, error ? error : -errno, path, "cannot be made: ");
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat) < 0) {
		error = refuse(why, why_size, -errno, path, "");
	} else if (stat.st_uid != geteuid() || stat.st_mode & (S_IWGRP | S_IWOTH)) {
		error = refuse(
			why, why_size, -EPERM, path, "others may write there: it must be the sensor's own, mode 0700");
	} else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		error = errno == EWOULDBLOCK ? refuse(why, why_size, -EBUSY, path, "another sensor uses it")
					     : refuse(why, why_size, -errno, path, "cannot be locked: ");
	}
	if (error) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (stat.st_mode & (S_IRWXG | S_IRWXO))
		log_warning("%s: others may look into it; mode 0700 is enough", path);
	spool->directory = fd;
	return 0;
}

/* --- epochs and segments --------------------------------------------------------------------------------------------- */

/* Views of copies behind one another. */
static bool copy_texts(struct spool_epoch *epoch)
{
	struct event_host *host = &epoch->host;
	struct text *texts[] = {&host->id, &host->name, &host->boot_id, &host->cluster};
	size_t length = 0;
	char *to;

	for (int i = 0; i < 4; i++)
		length += texts[i]->length + 1;
	to = epoch->texts = calloc(1, length);
	for (int i = 0; i < 4 && to; i++) {
		if (texts[i]->length > 0)
			memcpy(to, texts[i]->data, texts[i]->length);
		texts[i]->data = to;
		to += texts[i]->length + 1; /* a NUL, as those of the host room have */
	}
	return to != NULL;
}

struct spool_epoch *spool_new_epoch(const struct event_host *host, bool copy)
{
	struct spool_epoch *epoch = calloc(1, sizeof(*epoch));

	if (!epoch)
		return NULL;
	epoch->host = *host;
	TAILQ_INIT(&epoch->segments);
	if (copy && !copy_texts(epoch)) {
		free(epoch);
		return NULL;
	}
	return epoch;
}

struct spool_segment *spool_new_segment(struct spool *spool, struct spool_epoch *epoch, uint64_t number)
{
	struct spool_segment *segment = calloc(1, sizeof(*segment));

	if (!segment)
		return NULL;
	segment->number = number;
	segment->first = 1;
	segment->class = EVICT_ALL;
	if (number >= spool->next_number)
		spool->next_number = number + 1;
	TAILQ_INSERT_TAIL(&epoch->segments, segment, entry);
	return segment;
}

void spool_free_epoch(struct spool *spool, struct spool_epoch *epoch)
{
	struct spool_segment *segment;

	while ((segment = TAILQ_FIRST(&epoch->segments))) {
		TAILQ_REMOVE(&epoch->segments, segment, entry);
		free(segment);
	}
	TAILQ_REMOVE(&spool->epochs, epoch, entry);
	free(epoch->texts);
	free(epoch);
}

static struct spool_epoch *find_or_add(struct spool *spool, const struct event_host *host)
{
	struct spool_epoch *epoch;

	for (epoch = TAILQ_FIRST(&spool->epochs); epoch; epoch = TAILQ_NEXT(epoch, entry))
		if (memcmp(epoch->host.epoch, host->epoch, EVENT_EPOCH_SIZE) == 0)
			return epoch;
	epoch = spool_new_epoch(host, true);
	if (epoch)
		TAILQ_INSERT_TAIL(&spool->epochs, epoch, entry);
	return epoch;
}

/* --- one file -------------------------------------------------------------------------------------------------------- */

struct file {
	struct spool_epoch *epoch;
	struct spool_segment *segment;
	int fd;
	uint64_t offset, size;
	char name[NUMBERED_NAME_SIZE];
};

static ssize_t read_some(int fd, void *bytes, size_t length, uint64_t offset)
{
	ssize_t done = 0;

	while ((size_t)done < length) {
		ssize_t got = pread(fd, (char *)bytes + done, length - (size_t)done, (off_t)offset + done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		done += got;
	}
	return done;
}

static void note_frame(struct file *file, const struct spool_frame *frame)
{
	struct spool_segment *segment = file->segment;

	/* Its first stays what the header says: what is before the first frame that can be read is damaged. */
	if (frame->last > segment->last)
		segment->last = frame->last;
	if (frame->class < segment->class)
		segment->class = frame->class;
	if (frame->last > file->epoch->last)
		file->epoch->last = frame->last;
}

/* Where no head can be read: to the next whole frame, or the end. False: there is none. */
static bool search(struct file *file, const struct spool *spool)
{
	uint64_t left = file->size - file->offset, lost_last = 0;
	uint8_t *bytes = left <= SPOOL_REST_MAX ? malloc(left) : NULL;
	struct spool_frame frame;
	size_t found = SIZE_MAX;

	if (bytes && (uint64_t)read_some(file->fd, bytes, left, file->offset) == left)
		found = spool_find_frame(&frame, bytes, left, 0, file->segment->salt, &lost_last);
	free(bytes);
	if (lost_last > file->epoch->last)
		file->epoch->last = lost_last;
	if (found == SIZE_MAX)
		return false;
	log_error("%s/%s: damaged from byte %" PRIu64 " to %" PRIu64 ": what stood there is told as lost", spool->path,
		file->name, file->offset, file->offset + found);
	file->offset += found;
	return true;
}

/* From head to head. What ends within a frame was being written when the sensor ended: it is cut. */
static void walk(struct file *file, const struct spool *spool)
{
	struct spool_frame frame;
	uint8_t head[SPOOL_FRAME_HEAD];

	while (file->offset < file->size) {
		bool whole = read_some(file->fd, head, sizeof(head), file->offset) == sizeof(head) &&
			     spool_frame_get(&frame, head, file->segment->salt);

		if (whole && frame.length <= file->size - file->offset - sizeof(head)) {
			note_frame(file, &frame);
			file->offset += sizeof(head) + (uint64_t)frame.length;
			continue;
		}
		if (whole && frame.last > file->epoch->last)
			file->epoch->last = frame.last;
		if (whole || !search(file, spool))
			break;
	}
	if (file->offset >= file->size)
		return;
	log_warning("%s/%s: its last write was torn: %" PRIu64 " bytes are cut", spool->path, file->name,
		file->size - file->offset);
	if (spool_may(spool, "cut", NULL) == 0)
		(void)!ftruncate(file->fd, (off_t)file->offset); /* else they are passed over each time */
	file->size = file->offset;
}

/* 0, or -ENOMEM; a file that is none of the spool's is left where it is. */
static int load_file(struct spool *spool, uint64_t number)
{
	uint8_t bytes[SPOOL_HEADER_MAX];
	struct spool_header header;
	struct file file = {0};
	struct stat stat;
	ssize_t got;

	numbered_name(file.name, number, SPOOL_ENDING);
	file.fd = openat(spool->directory, file.name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file.fd < 0)
		file.fd = openat(spool->directory, file.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file.fd < 0 || fstat(file.fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
		log_error("%s/%s: cannot be read: %s", spool->path, file.name, strerror(errno));
		if (file.fd >= 0)
			close(file.fd);
		return 0;
	}
	file.size = (uint64_t)stat.st_size;
	got = read_some(file.fd, bytes, sizeof(bytes), 0);
	if ((size_t)got < sizeof(bytes) && (uint64_t)got < file.size) {
		log_error("%s/%s: its beginning cannot be read now: it is left there", spool->path, file.name);
		close(file.fd);
		return 0;
	}
	if (!spool_header_get(&header, bytes, (size_t)got)) {
		if (!spool_header_is_begun(bytes, file.size))
			spool_keep_damaged(spool, file.name, number);
		else if (spool_may(spool, "unlink", NULL) == 0)
			(void)unlinkat(spool->directory, file.name, 0);
		close(file.fd);
		return 0;
	}
	file.epoch = find_or_add(spool, &header.host);
	file.segment = file.epoch ? spool_new_segment(spool, file.epoch, number) : NULL;
	if (file.segment) {
		file.segment->first = header.base;
		file.segment->last = header.base - 1;
		file.segment->salt = header.salt;
		file.segment->sent = true; /* nobody knows */
		file.offset = file.segment->header_length = header.length;
		if (header.acknowledged > file.epoch->acknowledged)
			file.epoch->acknowledged = header.acknowledged;
		if (header.base - 1 > file.epoch->last)
			file.epoch->last = header.base - 1;
		walk(&file, spool);
		file.segment->size = file.size;
		spool->bytes += spool_blocks(file.size);
	}
	close(file.fd);
	return file.segment ? 0 : -ENOMEM;
}

/* --- all of them ----------------------------------------------------------------------------------------------------- */

/* What was being written anew when the sensor ended. */
static void remove_unfinished(const struct spool *spool)
{
	struct numbers numbers = {0};

	(void)numbered_list(spool->directory, SPOOL_NEW, &numbers);
	for (size_t i = 0; i < numbers.count; i++) {
		char name[NUMBERED_NAME_SIZE];

		numbered_name(name, numbers.items[i], SPOOL_NEW);
		(void)unlinkat(spool->directory, name, 0);
	}
	numbers_free(&numbers);
}

/* Two files became one, and the first was still there when the sensor was killed. */
static void drop_replaced(struct spool *spool, struct spool_epoch *epoch)
{
	struct spool_segment *segment = TAILQ_FIRST(&epoch->segments), *next;

	for (; segment && (next = TAILQ_NEXT(segment, entry)); segment = next)
		if (next->first <= segment->first && next->last >= segment->last)
			spool_drop_segment(spool, epoch, segment);
}

void spool_pass_numbers(struct spool *spool, const struct numbers *numbers)
{
	if (numbers->count > 0 && numbers->items[numbers->count - 1] >= spool->next_number)
		spool->next_number = numbers->items[numbers->count - 1] + 1;
}

int spool_count_files(struct spool *spool)
{
	struct numbers numbers = {0};
	int error;

	remove_unfinished(spool);
	error = numbered_list(spool->directory, SPOOL_ENDING, &numbers);
	if (!error)
		spool_pass_numbers(spool, &numbers);
	numbers_free(&numbers);
	return error;
}

int spool_load(struct spool *spool)
{
	struct numbers numbers = {0};
	struct spool_epoch *epoch;
	int error;

	remove_unfinished(spool);
	error = numbered_list(spool->directory, SPOOL_ENDING, &numbers);
	if (error && error != -ENOMEM) {
		log_error("%s: %s: what the sensor left there before is not sent", spool->path, strerror(-error));
		error = 0;
	}
	for (size_t i = 0; i < numbers.count && !error; i++)
		error = load_file(spool, numbers.items[i]);
	spool_pass_numbers(spool, &numbers); /* those too that could not be read */
	numbers_free(&numbers);
	if (!error && spool_count_aside(spool) == -ENOMEM)
		error = -ENOMEM;
	for (epoch = TAILQ_FIRST(&spool->epochs); epoch; epoch = TAILQ_NEXT(epoch, entry)) {
		drop_replaced(spool, epoch);
		if (epoch->acknowledged > epoch->last)
			epoch->last = epoch->acknowledged;
		if (epoch->acknowledged < epoch->last)
			log_info("%s: events %" PRIu64 " to %" PRIu64 " of a former life wait to be sent", spool->path,
				epoch->acknowledged + 1, epoch->last);
	}
	return error;
}
