/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches that no collector has acknowledged, in a directory of the sensor's own: files NNNNNNNNNNNNNNNN.spool (a decimal
 * number, from 1) of the format of spool_format.h, each of one epoch. What a life of the sensor could not hand over the
 * next one finds here and sends first.
 *
 * A file whose header cannot be read is kept as NNNNNNNNNNNNNNNN.damaged, and a batch that collectors refuse as
 * NNNNNNNNNNNNNNNN.refused, an `Up{batch}`: the last 16 of each, within `max_bytes`.
 *
 * A batch is on the spool before it is on the wire; what the kernel has of a file outlives kill -9. A file goes when all
 * of it is acknowledged. Above `max_bytes` the oldest files are written anew, first without bulk and then without all but
 * their records of that (evict.h): a file is replaced as a whole, so that an event is there or is told as taken out.
 *
 * One thread uses it. It waits for the disk only where pages have to be read or room is made; syncing has a thread.
 */
#ifndef TAFFRAIL_SENSOR_SPOOL_H
#define TAFFRAIL_SENSOR_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/numbered.h"
#include "event/event.h"
#include "sensor/evict.h"

/*
 * When is it made sure that a loss of power does not take what waits? ALWAYS: at once, one sync behind the other (what was
 * written since the last one began may go); INTERVAL: once a second if something waits for longer than that; NEVER: when
 * the kernel finds time for it, within half a minute as a rule.
 */
enum spool_fsync { SPOOL_ALWAYS, SPOOL_INTERVAL, SPOOL_NEVER };

/* For tests: asked before each change of the directory. An error that it returns is the disk's; `length` may be cut. */
struct spool_faults {
	int (*before)(void *context, const char *what, size_t *length);
	void *context;
};

struct spool_options {
	const char *path;
	uint64_t max_bytes;
	enum spool_fsync fsync;
	const struct event_host *host; /* whose epoch is this life's; must outlive the spool */
	const struct spool_faults *faults;
};

struct spool;

/*
 * Opens the directory, or makes it (0700) in one that exists, and finds what is there. A disk that is full, failing or
 * read-only is said and tried again later. 0, or -errno with a sentence in `why`; -EBUSY: another sensor uses it.
 */
int spool_open(struct spool **spool, const struct spool_options *options, char *why, size_t why_size);

/* The last sequence of an epoch that is or was on the spool, as far as it can be read; 0: the epoch is not known. */
uint64_t spool_last(const struct spool *spool, const uint8_t epoch[EVENT_EPOCH_SIZE]);

/*
 * Appends an `Up{batch}` of this life, of which `class` was taken out; the sequences follow those of the one before.
 * 0; -ENOBUFS: no room can be made; or what is wrong with the disk, which is said once: the batch stays the caller's.
 */
int spool_append(struct spool *spool, struct text up, uint64_t first, uint64_t last, enum evict_class class);

/* --- sending: one epoch after the other, the oldest first -------------------------------------------------------------- */

/* Whose batches are the oldest that wait; this life's when no other is left. */
const struct event_host *spool_host(const struct spool *spool);
bool spool_is_former(const struct spool *spool);

/* Up to where some collector has everything of that epoch. */
uint64_t spool_acknowledged(const struct spool *spool);

/* A new connection: what comes next is the first batch of that epoch behind `stored`. */
void spool_rewind(struct spool *spool, uint64_t stored);

struct spool_batch {
	struct buffer *bytes; /* Up{batch}, the caller's (wire_bytes_free) */
	uint64_t first, last;
};

/*
 * The next batch of that epoch; in the place of what is damaged, a record that says so. 1, 0: there is none now, or
 * -errno: try again later (no memory, no descriptors, a disk that fails so far).
 */
int spool_next(struct spool *spool, struct spool_batch *batch);

/* The batch that was appended last is the next: passes over it, for the caller still has its bytes. */
bool spool_skip(struct spool *spool, uint64_t first, uint64_t last);

/* A collector has everything of that epoch up to `sequence`; of this life's that may be more than was ever here. */
void spool_acknowledge(struct spool *spool, uint64_t sequence);

/* Keeps an `Up{batch}` that is told as lost, as a file of that name. 0, -ENOBUFS, or what is wrong with the disk. */
int spool_keep_refused(struct spool *spool, struct text up, char name[NUMBERED_NAME_SIZE]);

/* All of a former epoch is acknowledged: goes on to the next one. False: not yet, or it is this life's. */
bool spool_turn(struct spool *spool);

/* ----------------------------------------------------------------------------------------------------------------------- */

/* Syncs, and looks after the directory; once a second, and when spool_fd is readable. */
void spool_tick(struct spool *spool, uint64_t now_ns);
int spool_fd(const struct spool *spool);

/* Bytes in the directory's files. */
uint64_t spool_bytes(const struct spool *spool);

/* When the oldest of its files was made, Unix time in seconds; 0: it has none, or that is not known. */
int64_t spool_since_s(const struct spool *spool);

/* Events that were taken out for want of room. */
uint64_t spool_taken(const struct spool *spool);

/* False: the disk has failed, and is tried again later. */
bool spool_works(const struct spool *spool);

/* Syncs unless the policy is NEVER; what waits stays for the next life. NULL is allowed. */
void spool_close(struct spool *spool);

#endif
