/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one life of the sensor leaves to the next in a file: which processes live, and what is known of them and of their
 * ancestors, of which many have ended. Numbers are little endian.
 *
 *   head    8 bytes "TAFFPROC" · u32 version (1) · u32 zero · u64 when it was written, boot time in ns
 *           u64 bytes behind the head · u32 CRC-32C of these · u32 zero
 *           the boot id, 48 bytes, filled with zeros · 4 zeros · u32 CRC-32C of the head before
 *   behind  again and again: u32 length and a Batch (event/wire.h) of events that say nothing but whose process is meant
 */
#ifndef TAFFRAIL_SENSOR_HANDOVER_H
#define TAFFRAIL_SENSOR_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/text.h"

enum {
	HANDOVER_MAX = 32 << 20, /* bytes of a file */
	HANDOVER_HEAD = 96,
	HANDOVER_WHY = 160,
};

/*
 * Older than this it is of no upgrade: what it tells is checked against what lives (pid and start time), so age makes nothing
 * wrong in it, but what lives was for the most part not there then.
 */
#define HANDOVER_AGE_MAX_NS (3600ull * 1000 * 1000 * 1000)

/* Appends a batch to what will stand behind the head. False: there is no room for it. */
bool handover_add(struct buffer *body, struct text batch);

/*
 * Writes the file (mode 0600) in the place of the one that is there: it is there whole or not at all. It is not synced, for a
 * boot later nobody reads it. 0 or -errno.
 */
int handover_write(const char *path, const char *boot_id, uint64_t now_ns, const struct buffer *body);

/*
 * Reads a file that only its owner, this process's user, may write and read. 0, and the bytes are the caller's to free, as
 * `*batches` is a view of them; -ENOENT: there is none; or -errno, with what is wrong in `why`. A file of another boot is
 * -ESTALE: that is no fault.
 */
int handover_read(const char *path, const char *boot_id, uint64_t now_ns, char **bytes, struct text *batches,
	char why[HANDOVER_WHY]);

/* The same of bytes: 0, -ESTALE or -EBADMSG. */
int handover_parse(
	struct text bytes, const char *boot_id, uint64_t now_ns, struct text *batches, char why[HANDOVER_WHY]);

/* The next batch, which `batches` moves behind. 1; 0: that was all; -EBADMSG. */
int handover_next(struct text *batches, struct text *batch);

#endif
