/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/spool_format.h"

#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/little.h"

enum { VERSION = 1, CRC_AT = 40, SALT_AT = 44, TEXTS = 4 };

static const char magic[8] = {'T', 'A', 'F', 'F', 'S', 'P', 'L', '1'};

/* --- header ---------------------------------------------------------------------------------------------------------- */

static uint32_t header_crc(const uint8_t *bytes, size_t length)
{
	return crc32c(crc32c(crc32c(0, bytes, CRC_AT), bytes + SALT_AT, sizeof(uint32_t)), bytes + SPOOL_HEADER_FIXED,
		length - SPOOL_HEADER_FIXED);
}

void spool_acknowledged_put(uint8_t bytes[SPOOL_ACKNOWLEDGED_SIZE], uint64_t acknowledged)
{
	put64(bytes, acknowledged);
	put64(bytes + 8, ~acknowledged);
}

int spool_header_put(uint8_t bytes[SPOOL_HEADER_MAX], const struct spool_header *header)
{
	const struct event_host *host = &header->host;
	const struct text texts[TEXTS] = {host->id, host->name, host->boot_id, host->cluster};
	size_t length = SPOOL_HEADER_FIXED;

	memset(bytes, 0, SPOOL_HEADER_MAX);
	for (int i = 0; i < TEXTS; i++) {
		if (texts[i].length > SPOOL_HEADER_MAX - 2 - length)
			return -EINVAL;
		put16(bytes + length, (uint16_t)texts[i].length);
		if (texts[i].length > 0)
			memcpy(bytes + length + 2, texts[i].data, texts[i].length);
		length += 2 + texts[i].length;
	}
	length = (length + 7) & ~(size_t)7;
	memcpy(bytes, magic, sizeof(magic));
	put32(bytes + 8, VERSION);
	put32(bytes + 12, (uint32_t)length);
	memcpy(bytes + 16, host->epoch, EVENT_EPOCH_SIZE);
	put64(bytes + 32, header->base);
	put32(bytes + SALT_AT, header->salt);
	put32(bytes + CRC_AT, header_crc(bytes, length));
	spool_acknowledged_put(bytes + SPOOL_ACKNOWLEDGED_AT, header->acknowledged);
	return (int)length;
}

bool spool_header_get(struct spool_header *header, const uint8_t *bytes, size_t size)
{
	struct event_host *host = &header->host;
	struct text *texts[TEXTS] = {&host->id, &host->name, &host->boot_id, &host->cluster};
	size_t at = SPOOL_HEADER_FIXED;

	*header = (struct spool_header){0};
	if (size < SPOOL_HEADER_FIXED || memcmp(bytes, magic, sizeof(magic)) != 0 || get32(bytes + 8) != VERSION)
		return false;
	header->length = get32(bytes + 12);
	if (header->length < SPOOL_HEADER_FIXED || header->length > SPOOL_HEADER_MAX || header->length > size ||
		get32(bytes + CRC_AT) != header_crc(bytes, header->length))
		return false;
	for (int i = 0; i < TEXTS; i++) {
		if (header->length - at < 2 || get16(bytes + at) > header->length - at - 2)
			return false;
		*texts[i] = (struct text){(const char *)bytes + at + 2, get16(bytes + at)};
		at += 2 + texts[i]->length;
	}
	memcpy(host->epoch, bytes + 16, EVENT_EPOCH_SIZE);
	header->base = get64(bytes + 32);
	header->salt = get32(bytes + SALT_AT);
	header->acknowledged = get64(bytes + SPOOL_ACKNOWLEDGED_AT);
	if (get64(bytes + SPOOL_ACKNOWLEDGED_AT + 8) != ~header->acknowledged ||
		header->acknowledged > SPOOL_SEQUENCE_MAX)
		header->acknowledged = 0;
	return header->base > 0 && header->base <= SPOOL_SEQUENCE_MAX;
}

bool spool_header_is_begun(const uint8_t *bytes, uint64_t size)
{
	if (size < SPOOL_HEADER_FIXED)
		return true;
	return memcmp(bytes, magic, sizeof(magic)) == 0 && get32(bytes + 12) <= SPOOL_HEADER_MAX &&
	       get32(bytes + 12) > size;
}

/* --- frames ---------------------------------------------------------------------------------------------------------- */

void spool_frame_put(uint8_t head[SPOOL_FRAME_HEAD], const struct spool_frame *frame, uint32_t salt)
{
	put32(head, frame->length);
	put32(head + 4, frame->crc);
	put64(head + 8, frame->first);
	put64(head + 16, frame->last);
	put32(head + 24, (uint32_t)frame->class);
	put32(head + 28, crc32c(salt, head, 28));
}

bool spool_frame_get(struct spool_frame *frame, const uint8_t head[SPOOL_FRAME_HEAD], uint32_t salt)
{
	*frame = (struct spool_frame){
		.length = get32(head),
		.crc = get32(head + 4),
		.first = get64(head + 8),
		.last = get64(head + 16),
	};
	/* What could not have been written is none, without a look at its CRC: this is asked at every byte of what is damaged. */
	if (frame->length > SPOOL_BATCH_MAX || frame->first == 0 || frame->last < frame->first ||
		frame->last > SPOOL_SEQUENCE_MAX || frame->last - frame->first >= SPOOL_SPAN_MAX ||
		get32(head + 24) >= EVICT_CLASSES)
		return false;
	frame->class = (enum evict_class)get32(head + 24);
	return get32(head + 28) == crc32c(salt, head, 28);
}

size_t spool_find_frame(
	struct spool_frame *frame, const uint8_t *bytes, size_t size, size_t offset, uint32_t salt, uint64_t *lost_last)
{
	while (offset < size && size - offset >= SPOOL_FRAME_HEAD) {
		const uint8_t *batch = bytes + offset + SPOOL_FRAME_HEAD;

		if (!spool_frame_get(frame, bytes + offset, salt)) {
			offset++;
			continue;
		}
		if (frame->length <= size - offset - SPOOL_FRAME_HEAD && crc32c(0, batch, frame->length) == frame->crc)
			return offset;
		if (frame->last > *lost_last)
			*lost_last = frame->last;
		offset += SPOOL_FRAME_HEAD + (size_t)frame->length;
	}
	return SIZE_MAX;
}
