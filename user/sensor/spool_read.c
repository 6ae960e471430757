/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "event/wire.h"
#include "sensor/spool_inside.h"

enum { READ_TRIES = 10 }; /* a try each second: a disk that fails for longer has lost it */

/* The file to read; -errno. */
static int open_segment(const struct spool *spool, const struct spool_segment *segment)
{
	char name[NUMBERED_NAME_SIZE];
	int fd;

	if (segment == spool->tail) /* it may have lost its name */
		fd = fcntl(spool->fd, F_DUPFD_CLOEXEC, 0);
	else if (spool->directory < 0)
		return -ENOENT;
	else {
		numbered_name(name, segment->number, SPOOL_ENDING);
		fd = openat(spool->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

void spool_place_reset(struct spool_place *place)
{
	if (place->fd >= 0)
		close(place->fd);
	place->fd = -1;
	place->segment = NULL;
}

/* Want of memory or descriptors passes, and is no damage. What the disk cannot give is asked for a few times. */
static bool may_pass(struct spool_segment *segment, int error)
{
	switch (-error) {
	case ENOMEM:
	case EMFILE:
	case ENFILE: return true;
	case EBADMSG:
	case ENOENT:
	case ELOOP: return false;
	default: return ++segment->failed <= READ_TRIES;
	}
}

/* All of `length` bytes. 0; -EBADMSG: there are not so many; -errno. */
static int read_at(int fd, void *bytes, size_t length, uint64_t offset)
{
	for (size_t done = 0; done < length;) {
		ssize_t got = pread(fd, (char *)bytes + done, length - done, (off_t)(offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EBADMSG;
		done += (size_t)got;
	}
	return 0;
}

/* To the segment that holds what is due, or the next that is there. False: there is none. */
static bool find_segment(struct spool_place *place)
{
	struct spool_segment *segment = place->segment;

	if (segment && place->offset < segment->size)
		return true;
	/* The one behind; not the first by its numbers, for what is damaged may lack those that are due. */
	if (segment == place->final && segment)
		return false;
	segment = segment ? TAILQ_NEXT(segment, entry) : TAILQ_FIRST(&place->epoch->segments);
	while (segment && (segment->last < place->due || segment->last < segment->first))
		segment = segment == place->final ? NULL : TAILQ_NEXT(segment, entry);
	if (!segment)
		return false;
	spool_place_reset(place);
	place->segment = segment;
	place->offset = segment->header_length;
	return true;
}

/* Moves behind what is damaged. 0, or -errno: that cannot be done now. */
static int pass_damage(struct spool_place *place)
{
	struct spool_segment *segment = place->segment;
	uint64_t size = segment->size - place->offset, lost_last = 0;
	struct spool_frame frame;
	bool looks = place->fd >= 0 && size <= SPOOL_REST_MAX;
	uint8_t *bytes = looks ? malloc(size) : NULL;
	int error = looks && !bytes ? -ENOMEM : 0;
	size_t found = SIZE_MAX;

	if (bytes)
		error = read_at(place->fd, bytes, size, place->offset);
	if (bytes && !error)
		found = spool_find_frame(&frame, bytes, size, 0, segment->salt, &lost_last);
	free(bytes);
	if (error && may_pass(segment, error))
		return error;
	if (found == 0) /* whole now, though it was not a moment ago: such a disk is not asked for ever */
		found = SPOOL_FRAME_HEAD + (size_t)frame.length;
	place->offset = found == SIZE_MAX ? segment->size : place->offset + found;
	return 0;
}

/* The frame at the place. 1; 0: it is older than what is due; -EBADMSG: it is damaged; -errno. */
static int read_frame(struct spool_place *place, struct spool_frame *frame, struct buffer **bytes)
{
	const struct spool_segment *segment = place->segment;
	uint8_t head[SPOOL_FRAME_HEAD];
	struct buffer *batch;
	char *to;
	int error = 0;

	if (segment->size - place->offset < sizeof(head))
		return -EBADMSG;
	error = read_at(place->fd, head, sizeof(head), place->offset);
	if (error < 0)
		return error;
	if (!spool_frame_get(frame, head, segment->salt) ||
		frame->length > segment->size - place->offset - sizeof(head))
		return -EBADMSG;
	if (frame->last < place->due)
		return 0;
	batch = calloc(1, sizeof(*batch));
	to = batch ? buffer_reserve(batch, (size_t)frame->length + 1) : NULL;
	if (!to) {
		wire_bytes_free(batch);
		return -ENOMEM;
	}
	batch->length = frame->length;
	error = read_at(place->fd, to, frame->length, place->offset + sizeof(head));
	if (!error && crc32c(0, to, frame->length) != frame->crc)
		error = -EBADMSG;
	if (error) {
		wire_bytes_free(batch);
		return error;
	}
	*bytes = batch;
	return 1;
}

/* What is due does not come before `next`. */
static int missing(struct spool_place *place, struct spool_frame *frame, uint64_t next)
{
	*frame = (struct spool_frame){.first = place->due, .last = next - 1, .class = EVICT_ALL};
	if (frame->last - frame->first >= SPOOL_SPAN_MAX)
		frame->last = frame->first + SPOOL_SPAN_MAX - 1;
	place->due = frame->last + 1;
	return 2;
}

int spool_place_next(struct spool *spool, struct spool_place *place, struct spool_frame *frame, struct buffer **bytes)
{
	uint64_t end = place->final ? place->final->last : place->epoch->last;
	struct buffer *batch = NULL;

	*bytes = NULL;
	while (find_segment(place)) {
		int result = 0;

		if (place->fd < 0)
			result = place->fd = open_segment(spool, place->segment);
		if (result >= 0)
			result = read_frame(place, frame, &batch);
		if (result < 0 && may_pass(place->segment, result))
			return result;
		if (result < 0) {
			result = pass_damage(place);
			if (result < 0)
				return result;
			continue;
		}
		if (result == 1 && frame->first > place->due) {
			uint64_t next = frame->first;

			wire_bytes_free(batch); /* it is read again */
			return missing(place, frame, next);
		}
		place->offset += SPOOL_FRAME_HEAD + (uint64_t)frame->length;
		if (result == 0)
			continue;
		place->due = frame->last + 1;
		*bytes = batch;
		return 1;
	}
	return place->due <= end ? missing(place, frame, end + 1) : 0;
}

/* --- sending --------------------------------------------------------------------------------------------------------- */

const struct event_host *spool_host(const struct spool *spool)
{
	return &spool->place.epoch->host;
}

bool spool_is_former(const struct spool *spool)
{
	return spool->place.epoch != spool->own;
}

uint64_t spool_acknowledged(const struct spool *spool)
{
	return spool->place.epoch->acknowledged;
}

static void go_to(struct spool *spool, struct spool_epoch *epoch)
{
	const struct spool_segment *oldest = TAILQ_FIRST(&epoch->segments);

	spool_place_reset(&spool->place);
	spool->place.epoch = epoch;
	spool->place.due = epoch->acknowledged + 1;
	/* Files go when they are acknowledged; a loss of power may have kept that and taken the note of it. */
	if (oldest && oldest->first > spool->place.due)
		spool->place.due = oldest->first;
}

void spool_rewind(struct spool *spool, uint64_t stored)
{
	struct spool_place *place = &spool->place;

	go_to(spool, place->epoch);
	if (stored > place->epoch->last)
		stored = place->epoch->last;
	if (stored >= place->due)
		place->due = stored + 1;
}

bool spool_turn(struct spool *spool)
{
	struct spool_epoch *epoch = spool->place.epoch;
	bool moved = false;

	while (epoch != spool->own && epoch->acknowledged >= epoch->last) {
		epoch = TAILQ_NEXT(epoch, entry);
		moved = true;
	}
	if (moved || !spool->place.due)
		go_to(spool, epoch);
	return moved;
}

int spool_next(struct spool *spool, struct spool_batch *batch)
{
	struct spool_place *place = &spool->place;
	struct spool_frame frame;
	int result = spool_place_next(spool, place, &frame, &batch->bytes);

	if (result <= 0)
		return result;
	batch->first = frame.first;
	batch->last = frame.last;
	if (place->segment)
		place->segment->sent = true;
	if (result == 1)
		return 1;
	log_limited("%s: events %llu to %llu of an epoch cannot be read any more: they are told as lost", spool->path,
		(unsigned long long)frame.first, (unsigned long long)frame.last);
	evict_add_missing(spool->evict, frame.first, frame.last);
	batch->bytes = evict_finish(spool->evict, &place->epoch->host);
	if (batch->bytes)
		return 1;
	place->due = frame.first;
	return -ENOMEM;
}

bool spool_skip(struct spool *spool, uint64_t first, uint64_t last)
{
	struct spool_place *place = &spool->place;

	if (place->epoch != spool->own || !spool->tail || place->due != first || spool->tail->last != last)
		return false;
	if (place->segment != spool->tail)
		spool_place_reset(place);
	place->segment = spool->tail;
	place->offset = spool->tail->size;
	place->due = last + 1;
	spool->tail->sent = true;
	return true;
}
