/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the store: store.c appends and syncs, store_load.c opens and reads. */
#ifndef TAFFRAIL_COLLECTOR_STORE_INSIDE_H
#define TAFFRAIL_COLLECTOR_STORE_INSIDE_H

#include <sys/queue.h>

#include "base/table.h"
#include "collector/store.h"
#include "base/syncer.h"

enum { STORE_NAME_SIZE = 16 + 4 + 1 }; /* NNNNNNNNNNNNNNNN.seg */

/* One epoch of one sensor: how far it is stored. */
struct store_source {
	struct table_node node;
	LIST_ENTRY(store_source) dirty_entry, syncing_entry;
	bool dirty;        /* in the first list */
	uint64_t appended; /* last sequence */
	uint64_t syncing;  /* what `appended` was when the sync under way began */
	uint64_t synced;
	uint8_t epoch[EVENT_EPOCH_SIZE];
	size_t host_length;
	char host[];
};

LIST_HEAD(store_sources, store_source);

struct store {
	char *path;
	int lock, directory; /* DIR/lock; DIR/segments */
	uint64_t segment_bytes;
	struct table sources;

	uint64_t *segments; /* their numbers, ascending */
	size_t segment_count, segment_room;

	/* The file that is appended to. */
	int fd; /* -1: none yet, the next append makes one */
	uint64_t segment, offset;
	bool torn;                /* something stands behind `offset` that could not be cut yet */
	int full[SYNC_JOB_FILES]; /* files before it that are not synced; the last place is the current file's */
	size_t full_count;
	bool new_names; /* the directory is not synced */

	struct store_sources dirty, in_sync;
	uint64_t appended_count, syncing_count, synced_count;
	struct store_position syncing_end, synced_end;
	struct syncer *syncer;
	bool syncing;
	struct sync_job job;
};

void store_name(char name[STORE_NAME_SIZE], uint64_t segment);

/* NULL: not there. */
struct store_source *store_find(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);
/* NULL: no memory. */
struct store_source *store_find_or_add(struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);

/* Notes a segment's number, higher than all before. 0 or -ENOMEM. */
int store_note_segment(struct store *store, uint64_t segment);

/* Reads the segments that are there: fills the sources, cuts a torn tail, sets where appending goes on. */
int store_load(struct store *store, char *why, size_t why_size);

#endif
