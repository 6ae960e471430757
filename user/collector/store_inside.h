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

struct store_source;
TAILQ_HEAD(store_host_sources, store_source);

struct store_host {
	struct table_node node;
	struct store_host_sources sources; /* that are not folded, in the order in which they came */
	size_t full, folded;
	struct store_source *sum; /* of the folded ones; NULL: there is none */
	bool warned;
	size_t id_length;
	char id[];
};

/* What is left of an epoch that has told all. */
struct store_folded {
	const struct store_host *host; /* NULL: a free slot */
	uint8_t epoch[EVENT_EPOCH_SIZE];
	uint64_t made, seen, settled;
};

/* A hash table in one piece: there may be a million of them. */
struct store_folded_set {
	struct store_folded *slots; /* a power of two of them, or NULL */
	size_t room, count;
};

/* One epoch of one sensor: how far it is stored. Thousands of them are there, and few at a time have a pending part. */
struct store_source {
	struct table_node node;
	struct store_host *host;
	TAILQ_ENTRY(store_source) host_entry;
	unsigned references; /* of the table, or of its host; of those who look at all of them */
	LIST_ENTRY(store_source) dirty_entry, syncing_entry;
	bool dirty; /* in the first list */
	struct account synced;
	struct store_pending *pending; /* NULL: all that was appended is synced */
	char *words;                   /* name, boot id and cluster, each with a NUL behind it; or NULL */
	uint8_t epoch[EVENT_EPOCH_SIZE];
};

LIST_HEAD(store_sources, store_source);

struct store {
	char *path;
	int lock, directory; /* DIR/lock; DIR/segments */
	bool looking;        /* it is another's: nothing is locked, changed, or waited for */
	bool has_id;
	uint8_t id[STORE_ID_SIZE];
	uint64_t segment_bytes;
	struct table sources, hosts;
	struct store_folded_set folded;
	struct table forgotten;
	struct account *seen_folded; /* what store_account shows of a folded one */
	struct store_limits limits;
	struct store_counters counters;

	struct numbers segments; /* ascending */

	/* The file that is appended to. */
	int fd; /* -1: none yet, the next append makes one */
	uint64_t segment, offset;
	uint64_t behind;          /* the next file has a higher number than this (store_begin_behind) */
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
/* 0, -ENOMEM, -ESTALE: it is folded; -EUSERS: no room for a new one, and `limited` says that it counts. */
int store_find_or_add(struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE], bool limited,
	struct store_source **source);
/* Takes a source out of its table, and lets it go. */
void store_drop_source(struct store *store, struct store_source *source);
void store_release_source(struct store_source *source);

/* Adds what a frame brings to an account of this source, and notes what it says of the host. */
void store_account_frame(struct store_source *source, struct account *account, const struct segment_frame *frame);

/* Of all that was appended. */
static inline const struct account *store_source_appended(const struct store_source *source)
{
	return source->pending ? &source->pending->appended : &source->synced;
}

void store_free_sources(struct store *store);

/* --- store_epochs.c: bounds of what is known of epochs ------------------------------------------------------------------ */

/* NULL: not there. */
const struct store_folded *store_find_folded(
	const struct store *store, struct text host, const uint8_t epoch[EVENT_EPOCH_SIZE]);
/* Something is stored behind its end after all, by an older program. */
void store_raise_folded(struct store *store, const struct segment_frame *frame);
struct store_host *store_find_host(const struct store *store, struct text id);
/* NULL: no memory. */
struct store_host *store_add_host(struct store *store, struct text id);
/* Is there room for one more of this host's (NULL: a new one)? Folds what it can. 0 or -EUSERS. */
int store_make_room_for_epoch(struct store *store, struct store_host *host);
void store_free_hosts(struct store *store);

/* --- store_forget.c ----------------------------------------------------------------------------------------------------- */

/* Before the segments are read. 0, or -errno with a sentence in `why`. */
int store_read_forgotten(struct store *store, char *why, size_t why_size);
/* Is a frame of this host that ends here one of those? */
bool store_is_forgotten(const struct store *store, struct text host, struct store_position end);
/* Behind them: what is new in the file gets its place. */
int store_note_forgotten(struct store *store, char *why, size_t why_size);
void store_free_forgotten(struct store *store);

/* ---------------------------------------------------------------------------------------------------------------------- */

/* Reads DIR/id, or makes it; `root` is DIR. */
void store_open_id(struct store *store, int root);

/* Reads the segments that are there: fills the sources, cuts a torn tail, sets where appending goes on. */
int store_load(struct store *store, char *why, size_t why_size);

#endif
