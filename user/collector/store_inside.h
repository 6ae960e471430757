/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the store: store.c appends and syncs, store_load.c opens and reads, store_id.c names it. */
#ifndef TAFFRAIL_COLLECTOR_STORE_INSIDE_H
#define TAFFRAIL_COLLECTOR_STORE_INSIDE_H

#include <sys/queue.h>

#include "base/numbered.h"
#include "base/table.h"
#include "collector/store.h"
#include "base/syncer.h"

#define STORE_ENDING ".seg"

/* The account of a source of which something is on its way to the disk. */
struct store_pending {
	struct account appended;
	struct account syncing; /* what `appended` was when the sync under way began */
};

/* One epoch of one sensor: how far it is stored. Thousands of them are there, and few at a time have a pending part. */
struct store_source {
	struct table_node node;
	LIST_ENTRY(store_source) dirty_entry, syncing_entry;
	bool dirty; /* in the first list */
	struct account synced;
	struct store_pending *pending; /* NULL: all that was appended is synced */
	char *words;                   /* name, boot id and cluster, each with a NUL behind it; or NULL */
	uint8_t epoch[EVENT_EPOCH_SIZE];
	size_t host_length;
	char host[];
};

LIST_HEAD(store_sources, store_source);

struct store {
	char *path;
	int lock, directory; /* DIR/lock; DIR/segments */
	bool looking;        /* it is another's: nothing is locked, changed, or waited for */
	bool has_id;
	uint8_t id[STORE_ID_SIZE];
	uint64_t segment_bytes;
	struct table sources;

	struct numbers segments; /* ascending */

	/* The file that is appended to. */
	int fd; /* -1: none yet, the next append makes one */
	uint64_t segment, offset;
	bool torn;                /* something stands behind `offset` that could not be cut yet */
	int full[SYNC_JOB_FILES]; /* files before it that are not synced; the last place is the current file's */
	size_t full_count;
	bool new_names; /* the directory is not synced */

	size_t damages; /* places that could not be read at the start */

	struct store_sources dirty, in_sync;
	uint64_t appended_count, syncing_count, synced_count;
	struct store_position syncing_end, synced_end;
	struct syncer *syncer;
	bool syncing;
	struct sync_job job;
};

/* Of a segment's file. */
static inline void store_name(char name[NUMBERED_NAME_SIZE], uint64_t segment)
{
	numbered_name(name, segment, STORE_ENDING);
}

/* --- store_source.c --------------------------------------------------------------------------------------------------- */

/* NULL: not there. */
struct store_source *store_find(const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);
/* NULL: no memory. */
struct store_source *store_find_or_add(struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);

/* Adds what a frame brings to an account of this source, and notes what it says of the host. */
void store_account_frame(struct store_source *source, struct account *account, const struct segment_frame *frame);

/* Of all that was appended. */
static inline const struct account *store_source_appended(const struct store_source *source)
{
	return source->pending ? &source->pending->appended : &source->synced;
}

void store_free_sources(struct store *store);

/* ---------------------------------------------------------------------------------------------------------------------- */

/* Reads DIR/id, or makes it; `root` is DIR. */
void store_open_id(struct store *store, int root);

/* Reads the segments that are there: fills the sources, cuts a torn tail, sets where appending goes on. */
int store_load(struct store *store, char *why, size_t why_size);

#endif
