/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making room: the oldest file is written anew without bulk, or without all but the records of what was taken out. The new
 * one takes the old one's name, so that at any moment one of the two is there, whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "event/wire.h"
#include "sensor/spool_inside.h"

/* A file that is being written anew: one segment, or two that become one. */
struct compaction {
	struct spool *spool;
	struct spool_epoch *epoch;
	struct spool_segment *from, *to;
	enum evict_class class;
	struct spool_header header;
	struct buffer out;
	uint64_t first, last; /* in it; none: last < first */
};

void spool_close_tail(struct spool *spool)
{
	bool kept = spool->dirty && spool->fsync != SPOOL_NEVER && spool->tail;

	if (!spool->tail)
		return;
	spool->tail = NULL;
	if (kept && spool->full_count == SYNC_JOB_FILES - 1) {
		/* More files than one sync takes: this one waits for the disk, which is slower than what comes. */
		(void)fdatasync(spool->full[--spool->full_count]);
		close(spool->full[spool->full_count]);
	}
	if (kept)
		spool->full[spool->full_count++] = spool->fd;
	else
		close(spool->fd);
	spool->fd = -1;
}

void spool_drop_segment(struct spool *spool, struct spool_epoch *epoch, struct spool_segment *segment)
{
	char name[NUMBERED_NAME_SIZE];

	if (segment == spool->tail)
		spool_close_tail(spool);
	if (spool->place.segment == segment)
		spool_place_reset(&spool->place);
	numbered_name(name, segment->number, SPOOL_ENDING);
	if (spool->directory >= 0 && spool_may(spool, "unlink", NULL) == 0)
		(void)unlinkat(spool->directory, name, 0);
	spool->bytes -= spool_blocks(segment->size);
	TAILQ_REMOVE(&epoch->segments, segment, entry);
	free(segment);
}

/* --- writing anew ---------------------------------------------------------------------------------------------------- */

static void put_frame(struct compaction *compaction, const struct spool_frame *frame, const struct buffer *batch)
{
	struct spool_frame written = *frame;
	uint8_t head[SPOOL_FRAME_HEAD];

	written.class = compaction->class;
	written.length = (uint32_t)batch->length;
	written.crc = crc32c(0, batch->data, batch->length);
	spool_frame_put(head, &written, compaction->header.salt);
	buffer_append(&compaction->out, head, sizeof(head));
	buffer_append(&compaction->out, batch->data, batch->length);
	if (compaction->last < compaction->first)
		compaction->first = frame->first;
	compaction->last = frame->last;
}

/* Writes what the evict room holds, if anything. */
static int flush(struct compaction *compaction)
{
	struct evict *evict = compaction->spool->evict;
	struct spool_frame frame = {evict_first(evict), evict_last(evict), compaction->class, 0, 0};
	struct buffer *batch;

	if (frame.last < frame.first)
		return 0;
	batch = evict_finish(evict, &compaction->epoch->host);
	if (!batch)
		return -ENOMEM;
	put_frame(compaction, &frame, batch);
	wire_bytes_free(batch);
	return 0;
}

/*
 * One frame, or what is missing (no batch). Records of several become one only where no collector can have one of them
 * already, and not the others.
 */
static int add_frame(
	struct compaction *compaction, const struct spool_frame *frame, const struct buffer *batch, bool apart)
{
	struct evict *evict = compaction->spool->evict;
	bool waits = evict_last(evict) >= evict_first(evict);
	int taken = 1, error = 0;

	if (waits && (apart || frame->last - evict_first(evict) >= SPOOL_SPAN_MAX))
		error = flush(compaction);
	if (error)
		return error;
	if (batch)
		taken = evict_add(
			evict, (struct text){batch->data, batch->length}, frame->first, frame->last, compaction->class);
	else
		evict_add_missing(evict, frame->first, frame->last);
	if (taken < 0)
		return taken;
	if (taken == 0) {
		error = flush(compaction);
		if (!error)
			put_frame(compaction, frame, batch);
		return error;
	}
	return apart || !evict_is_bare(evict) ? flush(compaction) : 0;
}

static int rewrite(struct compaction *compaction)
{
	struct spool_place place = {.epoch = compaction->epoch, .final = compaction->to, .fd = -1};
	struct spool_frame frame;
	struct buffer *batch;
	int result, error = 0;

	place.due = compaction->from->first;
	if (place.due <= compaction->epoch->acknowledged)
		place.due = compaction->epoch->acknowledged + 1;
	while (!error && (result = spool_place_next(compaction->spool, &place, &frame, &batch)) != 0) {
		error = result < 0
				? result
				: add_frame(compaction, &frame, batch, compaction->from->sent || compaction->to->sent);
		wire_bytes_free(batch);
	}
	error = error ? error : flush(compaction);
	spool_place_reset(&place);
	return error ? error : compaction->out.failed ? -ENOMEM : 0;
}

/* The new file under the old one's name. */
static int put_file(struct compaction *compaction)
{
	struct spool *spool = compaction->spool;
	struct iovec part = {compaction->out.data, compaction->out.length};
	char name[NUMBERED_NAME_SIZE], new_name[NUMBERED_NAME_SIZE];
	int fd, error;

	numbered_name(name, compaction->to->number, SPOOL_ENDING);
	numbered_name(new_name, compaction->to->number, SPOOL_NEW);
	error = spool->directory < 0 ? -ENOENT : spool_may(spool, "create", NULL);
	if (error)
		return error;
	fd = openat(spool->directory, new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = spool_write(spool, fd, &part, 1, 0);
	if (!error && spool->fsync != SPOOL_NEVER && fdatasync(fd) < 0)
		error = -errno;
	close(fd);
	error = error ? error : spool_may(spool, "rename", NULL);
	if (!error && renameat(spool->directory, new_name, spool->directory, name) < 0)
		error = -errno;
	if (error && spool_may(spool, "unlink", NULL) == 0)
		(void)unlinkat(spool->directory, new_name, 0);
	return error;
}

static int start_file(struct compaction *compaction)
{
	struct spool_header *header = &compaction->header;
	uint8_t bytes[SPOOL_HEADER_MAX];
	int length;

	*header = (struct spool_header){.host = compaction->epoch->host,
		.base = compaction->from->first,
		.acknowledged = compaction->epoch->acknowledged};
	if (getrandom(&header->salt, sizeof(header->salt), GRND_NONBLOCK) < 0)
		header->salt = ~(uint32_t)clock_boottime_ns();
	length = spool_header_put(bytes, header);
	if (length < 0)
		return length;
	header->length = (uint32_t)length;
	buffer_append(&compaction->out, bytes, (size_t)length);
	return compaction->out.failed ? -ENOMEM : 0;
}

/* The segments from `from` to `to` become one, of which `class` is taken out. */
static int compact(struct spool *spool, struct spool_epoch *epoch, struct spool_segment *from, struct spool_segment *to,
	enum evict_class class)
{
	struct compaction compaction = {
		.spool = spool, .epoch = epoch, .from = from, .to = to, .class = class, .first = 1};
	int error = start_file(&compaction);

	error = error ? error : rewrite(&compaction);
	error = error ? error : put_file(&compaction);
	if (!error) {
		if (spool->place.segment == from || spool->place.segment == to)
			spool_place_reset(&spool->place);
		spool->bytes -= spool_blocks(to->size);
		to->size = compaction.out.length;
		spool->bytes += spool_blocks(to->size);
		to->header_length = compaction.header.length;
		to->salt = compaction.header.salt;
		to->class = class;
		if (compaction.last >= compaction.first)
			to->first = compaction.first;
		to->sent |= from->sent;
		spool->new_names = true;
		if (from != to)
			spool_drop_segment(spool, epoch, from);
	}
	buffer_free(&compaction.out);
	return error;
}

/* --- which ----------------------------------------------------------------------------------------------------------- */

/* The oldest segment of a class. NULL: there is none but the tail. */
static struct spool_segment *find_oldest(struct spool *spool, enum evict_class class, struct spool_epoch **of)
{
	struct spool_segment *segment;
	struct spool_epoch *epoch;

	for (epoch = TAILQ_FIRST(&spool->epochs); epoch; epoch = TAILQ_NEXT(epoch, entry))
		for (segment = TAILQ_FIRST(&epoch->segments); segment; segment = TAILQ_NEXT(segment, entry))
			if (segment->class == class && segment != spool->tail) {
				*of = epoch;
				return segment;
			}
	return NULL;
}

/* One step. 1, 0: nothing more can be taken out, or -errno. */
static int take_some(struct spool *spool)
{
	struct spool_segment *segment, *before;
	struct spool_epoch *epoch;
	int error;

	segment = find_oldest(spool, EVICT_NOTHING, &epoch);
	if (!segment && spool->tail && spool->tail->class == EVICT_NOTHING && spool->tail->last >= spool->tail->first) {
		spool_close_tail(spool);
		segment = find_oldest(spool, EVICT_NOTHING, &epoch);
	}
	if (segment) {
		log_limited("%s is full: bulk of events %llu to %llu is taken out", spool->path,
			(unsigned long long)segment->first, (unsigned long long)segment->last);
		error = compact(spool, epoch, segment, segment, EVICT_BULK);
		return error ? error : 1;
	}
	segment = find_oldest(spool, EVICT_BULK, &epoch);
	if (!segment && spool->tail && spool->tail->class == EVICT_BULK && spool->tail->last >= spool->tail->first) {
		spool_close_tail(spool);
		segment = find_oldest(spool, EVICT_BULK, &epoch);
	}
	if (!segment)
		return 0;
	log_limited("%s is full, and no bulk is left in it: events %llu to %llu are taken out", spool->path,
		(unsigned long long)segment->first, (unsigned long long)segment->last);
	before = TAILQ_PREV(segment, spool_segments, entry);
	if (!before || before->class != EVICT_ALL || before->sent != segment->sent ||
		before->last + 1 != segment->first)
		before = segment;
	error = compact(spool, epoch, before, segment, EVICT_ALL);
	return error ? error : 1;
}

int spool_make_room(struct spool *spool, uint64_t bytes)
{
	/* One file's room is for that which is written anew. */
	while (spool->bytes + spool_blocks(bytes) + spool->segment_bytes > spool->max_bytes) {
		int taken = take_some(spool);

		if (taken <= 0)
			return taken ? taken : -ENOBUFS;
	}
	return 0;
}
