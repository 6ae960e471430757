/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was received, on disk: DIR/segments/NNNNNNNNNNNNNNNN.seg (a decimal number, from 1), append only; the format is
 * segment.h's. DIR/lock is held by the one collector that uses DIR. DIR/id is the store's name, made with it: whoever was told
 * that something is stored here can say so to a store that has lost it.
 *
 * A frame counts as stored once it is synced, and only then is it read. What fails before that is taken back: the file
 * ends again where it ended, and the caller may try again.
 */
#ifndef TAFFRAIL_COLLECTOR_STORE_H
#define TAFFRAIL_COLLECTOR_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collector/account.h"
#include "collector/segment.h"

struct store;
struct store_source;

enum { STORE_ID_SIZE = 16 };

/*
 * What is known of epochs is in memory, and bounded. Of a host the accounts of the last EPOCHS_KEPT are kept as they are; older
 * ones that have told all (account_fold) become one sum, and of each only how far it went is known: what comes of it again is
 * passed over as ever, and nothing new can come. Those of which another collector has a part are kept up to half of `full`. Where a host, or all of them, have more than below, a new epoch is refused.
 */
struct store_limits {
	size_t hosts;
	size_t kept;   /* of a host: more are folded, if they can be */
	size_t full;   /* of a host, that are not folded */
	size_t epochs; /* of a host */
	size_t all_full; /* of all hosts together: beyond this 2 are kept of each, and none may have more than each_full */
	size_t each_full;
	/* Of all hosts together, folded: beyond this none may have more than `each`, or than all divided by the hosts. */
	size_t all;
	size_t each;
};
extern const struct store_limits store_limits_default;

struct store_counters {
	uint64_t hosts;           /* gauge */
	uint64_t epochs;          /* gauge: that are not folded */
	uint64_t epochs_folded;   /* gauge */
	uint64_t hosts_forgotten; /* gauge: lines in DIR/forgotten */
	uint64_t epochs_refused;  /* appends of new epochs for which there was no room */
	uint64_t epochs_late;     /* appends to folded ones */
};

/*
 * For tables of hosts' epochs; `host_hash` is hash_bytes of the host's id. An epoch is what its sender says, and many hosts may
 * say the same: both are hashed together, by the process's own seed.
 */
uint64_t store_hash(uint64_t host_hash, const uint8_t epoch[EVENT_EPOCH_SIZE]);

/* A place between two frames. All zero: the start of the store. */
struct store_position {
	uint64_t segment, offset;
};

/*
 * Opens or makes the store in `path`, whose parent exists; reads all of it. `segment_bytes`: how large a file becomes
 * (0: 64 MiB). 0, or -errno with a sentence in `why`; -EBUSY: another process uses it. What is damaged is logged.
 */
int store_open(struct store **store, const char *path, uint64_t segment_bytes, char *why, size_t why_size);

/*
 * Reads the store in `path` as it is, for its accounts, store_read: it needs no lock, changes nothing, and may be a running
 * collector's. What is half written at its end is left out. 0, or -errno with a sentence in `why`. Nothing can be appended.
 */
int store_look(struct store **store, const char *path, char *why, size_t why_size);

/* Others than store_limits_default from now on, copied. */
void store_set_limits(struct store *store, const struct store_limits *limits);

void store_counters(const struct store *store, struct store_counters *counters);

/*
 * At the start: what is appended goes behind this place of a file that may be gone, for somebody has noted that all up to there is
 * done with. Nothing changes where the store ends there or later.
 */
void store_begin_behind(struct store *store, struct store_position place);

/* Its name, STORE_ID_SIZE bytes; NULL: it could not be kept (which was logged), or the store is only looked at. */
const uint8_t *store_id(const struct store *store);

/* Places in its files that were damaged when it was opened: what stood there is in no account. */
size_t store_damages(const struct store *store);

/* The last sequence of a sensor's epoch that is synced; appended, synced or not. 0: none. */
uint64_t store_synced(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);
uint64_t store_appended(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);

/*
 * The account of all of it that is synced, or appended. NULL: there is none. Good until something is appended or synced, or this is
 * asked again. Of a folded one: how far it went, and its books.
 */
const struct account *store_account(
	const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE], bool synced);

/*
 * All epochs of which something is synced, and a sum for each host of which some are folded, in no order. What the array
 * points to stays until store_sources_free. 0 or -ENOMEM.
 */
int store_sources(const struct store *store, struct store_source ***sources, size_t *count);
void store_sources_free(struct store_source **sources, size_t count);

/* One of them: texts and account as they are now, good until something is appended or synced. */
struct store_epoch {
	struct event_host host;
	const struct account *account;
};
void store_source_view(const struct store_source *source, struct store_epoch *view);

/*
 * Appends a frame, to be synced later. `end` becomes the place behind it. 0; -EINVAL: no such frame can be; -ESTALE:
 * its epoch is folded; -EUSERS: the epoch is new, and its host, or all hosts, have as many as there is room for;
 * -ENOSPC, -EIO, … from the disk: then nothing has changed.
 */
int store_append(struct store *store, const struct segment_frame *frame, struct store_position *end);

/*
 * Syncing, in a thread, of all that was appended until then. store_sync_begin does nothing while one sync is under
 * way, or without anything to sync. store_sync_end waits for it to end: 0, or -errno, and then every frame that was not
 * synced before is gone from the store, those too that came after store_sync_begin.
 */
void store_sync_begin(struct store *store);
bool store_is_syncing(const struct store *store);
int store_sync_fd(const struct store *store); /* readable (POLLIN) once it has ended */
int store_sync_end(struct store *store);

/* Frames that were appended since store_open, and how many of them are synced; those that were taken back do not count. */
uint64_t store_appended_count(const struct store *store);
uint64_t store_synced_count(const struct store *store);

/* The place behind the last synced frame. */
struct store_position store_end(const struct store *store);

/* Bytes of synced frames behind a place: about, where files lie in between. */
uint64_t store_distance(const struct store *store, struct store_position from);

/* Its files. */
size_t store_segments(const struct store *store);

/* What store_read calls for each frame, `end` being the place behind it. False: it does not want to go on. */
struct store_reader {
	bool (*each)(void *context, const struct segment_frame *frame, struct store_position end);
	void *context;
};

/*
 * Reads synced frames from `position` on, which moves along; a place that is not there any more is taken as the next one
 * that is. Returns 0 at the end of the store, 1 if the reader did not want to go on, or -errno. Damaged frames are
 * logged and passed over, and where none follows that is whole, all the rest of their file.
 */
int store_read(const struct store *store, struct store_position *position, const struct store_reader *reader);

/* Syncs what was appended; NULL is allowed. */
void store_close(struct store *store);

#endif
