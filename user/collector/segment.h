/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of the store: a header, then frames. Numbers are little endian.
 *
 *   header  8 bytes "TAFFSEG1" · u32 version (2) · u32 zero
 *   frame   u32 length of what follows the CRC · u32 CRC-32C of that
 *           u64 first · u64 last: the sequences that this frame adds to the store; last = first - 1: none, it brings books
 *           16 bytes epoch · u16 length of the host's id · the host's id
 *           the bytes of a Batch message as they were received; it may hold events before `first`, which are older
 *           frames' already
 *
 * The collector itself makes the batch of a frame whose sequences did not come: one events_lost; or no record at all, where
 * another collector has them. Such a frame alone may have more sequences than SEGMENT_SPAN_MAX.
 * Version 1 had neither such frames nor those without sequences; its files are read, and not appended to.
 */
#ifndef TAFFRAIL_COLLECTOR_SEGMENT_H
#define TAFFRAIL_COLLECTOR_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"
#include "event/event.h"

enum {
	SEGMENT_HEADER_SIZE = 16,
	SEGMENT_HOST_MAX = 255, /* bytes of a host's id */
	SEGMENT_FRAME_HEAD_MAX = 8 + 8 + 8 + EVENT_EPOCH_SIZE + 2 + SEGMENT_HOST_MAX,
	SEGMENT_FRAME_MAX = 16 << 20,
	SEGMENT_SPAN_MAX = 1 << 24, /* sequences of one frame: no batch of that many bytes holds more events */
	SEGMENT_GAP_MAX = 4096,     /* bytes of a batch that may stand for more */
	SEGMENT_SEARCH_MAX = 64 << 20,
};

struct segment_frame {
	uint64_t first, last;
	uint8_t epoch[EVENT_EPOCH_SIZE];
	struct text host;
	struct text batch;
	const struct account_reading *reading; /* of the batch, where it was read for its account already; else NULL */
};

enum { SEGMENT_VERSION = 2 };

/* The header of a file, of that version. */
void segment_header(uint8_t header[SEGMENT_HEADER_SIZE]);

/* All that stands before the batch; returns its length. -EINVAL: no such frame can be written. */
int segment_frame_head(uint8_t head[SEGMENT_FRAME_HEAD_MAX], const struct segment_frame *frame);

/* A file that is read from its start to its end. */
struct segment_reader {
	int fd;        /* the caller's */
	uint64_t size; /* what lies beyond is not looked at */
	uint64_t offset;
	uint32_t version;
	unsigned skipped;     /* by segment_skip */
	struct buffer window; /* what was read last, */
	uint64_t window_at;   /* and where it stood */
};

/* Looks at the header. 0 with `offset` behind it; -EBADMSG: it is no segment; -errno. */
int segment_reader_open(struct segment_reader *reader, int fd, uint64_t size);

/*
 * The frame at `offset`, which moves behind it. 1; 0 at the end; -EBADMSG: no whole frame stands there, and `offset`
 * stays; -errno. The frame's texts are good until the next call.
 */
int segment_next(struct segment_reader *reader, struct segment_frame *frame);

/*
 * Behind the damaged frame at `offset`, by its length: 1 if a whole frame stands there, and `offset` moves to it; 0: where the
 * next one would begin nobody knows; -errno.
 */
int segment_skip(struct segment_reader *reader);

/*
 * Is there a whole frame anywhere behind `offset`? 1, 0 or -errno. 1 also where the bytes look so much like frames, as nothing
 * does by accident, that SEGMENT_SEARCH_MAX bytes of them were summed up in vain.
 */
int segment_has_more(struct segment_reader *reader);

void segment_reader_close(struct segment_reader *reader);

#endif
