/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/segment.h"

#include <errno.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"

enum { VERSION_FIRST = 1, READ_AHEAD = 1 << 20 };
enum { FRAME_START = 8, FRAME_FIXED = 8 + 8 + EVENT_EPOCH_SIZE + 2 }; /* length and CRC; fields of fixed size */

static const char magic[8] = {'T', 'A', 'F', 'F', 'S', 'E', 'G', '1'};

/* What could not have been written is no frame, without a look at its CRC: segment_has_more asks at every byte. */
static bool may_be(const struct segment_frame *frame, size_t batch)
{
	if (frame->first == 0 || frame->last == UINT64_MAX || frame->last + 1 < frame->first)
		return false;
	return frame->last + 1 - frame->first <= SEGMENT_SPAN_MAX || batch <= SEGMENT_GAP_MAX;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

void segment_header(uint8_t header[SEGMENT_HEADER_SIZE])
{
	memcpy(header, magic, sizeof(magic));
	put32(header + 8, SEGMENT_VERSION);
	put32(header + 12, 0);
}

int segment_frame_head(uint8_t head[SEGMENT_FRAME_HEAD_MAX], const struct segment_frame *frame)
{
	size_t rest = FRAME_FIXED + frame->host.length;
	uint32_t crc;

	if (frame->host.length == 0 || frame->host.length > SEGMENT_HOST_MAX || !may_be(frame, frame->batch.length) ||
		frame->batch.length > SEGMENT_FRAME_MAX - FRAME_START - rest)
		return -EINVAL;
	put32(head, (uint32_t)(rest + frame->batch.length));
	put64(head + 8, frame->first);
	put64(head + 16, frame->last);
	memcpy(head + 24, frame->epoch, EVENT_EPOCH_SIZE);
	head[40] = (uint8_t)frame->host.length;
	head[41] = 0;
	memcpy(head + 42, frame->host.data, frame->host.length);
	crc = crc32c(0, head + FRAME_START, rest);
	put32(head + 4, crc32c(crc, frame->batch.data, frame->batch.length));
	return (int)(FRAME_START + rest);
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* `count` bytes at `at`, which lie within the size. NULL with errno; EBADMSG: the file has become shorter. */
static const uint8_t *peek(struct segment_reader *reader, uint64_t at, size_t count)
{
	struct buffer *window = &reader->window;
	uint64_t left = reader->size - at;
	size_t wanted = count > READ_AHEAD ? count : READ_AHEAD;

	if (at >= reader->window_at && at + count <= reader->window_at + window->length)
		return (const uint8_t *)window->data + (at - reader->window_at);
	if (wanted > left)
		wanted = (size_t)left;
	buffer_clear(window);
	reader->window_at = at;
	if (!buffer_reserve(window, wanted)) {
		errno = ENOMEM;
		return NULL;
	}
	while (window->length < wanted) {
		ssize_t got = pread(reader->fd, window->data + window->length, wanted - window->length,
			(off_t)(at + window->length));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errno = got < 0 ? errno : EBADMSG;
			return NULL;
		}
		window->length += (size_t)got;
	}
	return (const uint8_t *)window->data;
}

int segment_reader_open(struct segment_reader *reader, int fd, uint64_t size)
{
	const uint8_t *header;

	*reader = (struct segment_reader){.fd = fd, .size = size};
	if (size < SEGMENT_HEADER_SIZE)
		return -EBADMSG;
	header = peek(reader, 0, SEGMENT_HEADER_SIZE);
	if (!header)
		return -errno;
	reader->version = get32(header + 8);
	if (memcmp(header, magic, sizeof(magic)) != 0 || reader->version < VERSION_FIRST ||
		reader->version > SEGMENT_VERSION)
		return -EBADMSG;
	reader->offset = SEGMENT_HEADER_SIZE;
	return 0;
}

/* The frame at `at`; its size, or -EBADMSG, or -errno. `summed` grows by the bytes that its CRC was made of. */
static int64_t read_frame(struct segment_reader *reader, uint64_t at, struct segment_frame *frame, uint64_t *summed)
{
	const uint8_t *head;
	uint64_t length;
	size_t host;

	if (reader->size - at < FRAME_START + FRAME_FIXED)
		return -EBADMSG;
	head = peek(reader, at, FRAME_START + FRAME_FIXED);
	if (!head)
		return -errno;
	length = get32(head);
	host = head[40];
	frame->first = get64(head + 8);
	frame->last = get64(head + 16);
	if (length < FRAME_FIXED + host || length > reader->size - at - FRAME_START ||
		length > SEGMENT_FRAME_MAX - FRAME_START || host == 0 || head[41] != 0 ||
		!may_be(frame, (size_t)length - FRAME_FIXED - host))
		return -EBADMSG;
	head = peek(reader, at, FRAME_START + (size_t)length);
	if (!head)
		return -errno;
	*summed += length;
	if (crc32c(0, head + FRAME_START, (size_t)length) != get32(head + 4))
		return -EBADMSG;
	memcpy(frame->epoch, head + 24, EVENT_EPOCH_SIZE);
	frame->host = (struct text){(const char *)head + 42, host};
	frame->batch = (struct text){(const char *)head + 42 + host, (size_t)length - FRAME_FIXED - host};
	frame->reading = NULL;
	return (int64_t)(FRAME_START + length);
}

int segment_next(struct segment_reader *reader, struct segment_frame *frame)
{
	uint64_t summed = 0;
	int64_t size;

	if (reader->offset >= reader->size)
		return 0;
	size = read_frame(reader, reader->offset, frame, &summed);
	if (size < 0)
		return (int)size;
	reader->offset += (uint64_t)size;
	return 1;
}

int segment_skip(struct segment_reader *reader)
{
	struct segment_frame frame;
	const uint8_t *head;
	uint64_t next, summed = 0;
	int64_t size;

	if (reader->size - reader->offset < FRAME_START)
		return 0;
	head = peek(reader, reader->offset, FRAME_START);
	if (!head)
		return errno == EBADMSG ? 0 : -errno;
	next = reader->offset + FRAME_START + get32(head);
	if (next >= reader->size)
		return 0;
	size = read_frame(reader, next, &frame, &summed);
	if (size < 0)
		return size == -EBADMSG ? 0 : (int)size;
	reader->offset = next;
	reader->skipped++;
	return 1;
}

int segment_has_more(struct segment_reader *reader)
{
	struct segment_frame frame;
	uint64_t summed = 0;

	/* A sensor may fill a batch with heads of frames, each as long as all that follows: a sum for each takes hours. */
	for (uint64_t at = reader->offset + 1; at < reader->size; at++) {
		int64_t size = read_frame(reader, at, &frame, &summed);

		if (size > 0 || summed > SEGMENT_SEARCH_MAX)
			return 1;
		if (size != -EBADMSG)
			return (int)size;
	}
	return 0;
}

void segment_reader_close(struct segment_reader *reader)
{
	buffer_free(&reader->window);
}
