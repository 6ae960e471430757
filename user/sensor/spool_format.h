/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file of the spool: a header, then frames. Numbers are little endian.
 *
 *   header  8 bytes "TAFFSPL1" · u32 version (1) · u32 length of the header, a multiple of 8
 *           16 bytes epoch · u64 base: no frame holds sequences below it
 *           u32 CRC-32C of the header without itself and the acknowledged · u32 salt
 *           u64 acknowledged: up to here a collector has everything · u64 its complement
 *           id, name, boot id and cluster of the host, each u16 length and bytes · zeros
 *   frame   u32 length of the batch · u32 CRC-32C of it
 *           u64 first · u64 last: its sequences
 *           u32 what was taken out of it (enum evict_class) · u32 CRC-32C of the salt and the 28 bytes before
 *           an Up{batch} message as it goes to the collector
 *
 * A frame's head has a check of its own: of a batch whose bytes are damaged, or were not written to their end, it is still
 * known which events it held. Batches hold bytes that containers chose; the salt is drawn anew for each file, so that no such
 * bytes are taken for a frame when one is looked for in what is damaged.
 */
#ifndef TAFFRAIL_SENSOR_SPOOL_FORMAT_H
#define TAFFRAIL_SENSOR_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/evict.h"

enum {
	SPOOL_HEADER_MAX = 4096,
	SPOOL_HEADER_FIXED = 64,
	SPOOL_ACKNOWLEDGED_AT = 48, /* 16 bytes, written anew with each acknowledgement */
	SPOOL_ACKNOWLEDGED_SIZE = 16,
	SPOOL_FRAME_HEAD = 32,
	SPOOL_BATCH_MAX = 16 << 20,
	SPOOL_SPAN_MAX = 1 << 24, /* sequences of one frame: as many as a collector stores at once */
};

#define SPOOL_SEQUENCE_MAX (1ull << 62) /* no sensor counts so far */

struct spool_header {
	struct event_host host; /* its texts are views of the bytes */
	uint64_t base;
	uint64_t acknowledged; /* 0: none, or not readable */
	uint32_t salt;
	uint32_t length;
};

struct spool_frame {
	uint64_t first, last;
	enum evict_class class;
	uint32_t length, crc; /* of the batch */
};

/* Writes a header of at most SPOOL_HEADER_MAX bytes; its length, or -EINVAL: the host's names are too long. */
int spool_header_put(uint8_t bytes[SPOOL_HEADER_MAX], const struct spool_header *header);
void spool_acknowledged_put(uint8_t bytes[SPOOL_ACKNOWLEDGED_SIZE], uint64_t acknowledged);

/* Reads the header at the start of `size` bytes of a file. False: it is none. */
bool spool_header_get(struct spool_header *header, const uint8_t *bytes, size_t size);

/* Is a file of `size` bytes one that was just being made? Then it ends within its header, and has held nothing. */
bool spool_header_is_begun(const uint8_t *bytes, uint64_t size);

void spool_frame_put(uint8_t head[SPOOL_FRAME_HEAD], const struct spool_frame *frame, uint32_t salt);

/* Is it a head that was written as it stands there? */
bool spool_frame_get(struct spool_frame *frame, const uint8_t head[SPOOL_FRAME_HEAD], uint32_t salt);

/*
 * The first whole frame in `size` bytes from `offset` on, whatever stands before it; SIZE_MAX: there is none. `lost_last` gets the
 * last sequence of the damaged frames that were passed over and whose heads can be read, if it is higher than what it was.
 */
size_t spool_find_frame(struct spool_frame *frame, const uint8_t *bytes, size_t size, size_t offset, uint32_t salt,
	uint64_t *lost_last);

#endif
