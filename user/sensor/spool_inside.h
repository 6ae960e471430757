/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the spool: spool.c appends and acknowledges, spool_load.c opens, spool_read.c reads, spool_room.c
 * makes room, spool_aside.c keeps what cannot be sent.
 */
#ifndef TAFFRAIL_SENSOR_SPOOL_INSIDE_H
#define TAFFRAIL_SENSOR_SPOOL_INSIDE_H

#include <sys/queue.h>
#include <sys/uio.h>

#include "base/numbered.h"
#include "base/syncer.h"
#include "sensor/spool.h"
#include "sensor/spool_format.h"

enum {
	SPOOL_BLOCK = 4096,        /* what a file takes of the disk is a multiple of it */
	SPOOL_REST_MAX = 64 << 20, /* bytes that are searched for a frame behind a damaged one */
};

/* Of the files' names: what waits, what is being written anew, what cannot be read, what nobody takes. */
#define SPOOL_ENDING ".spool"
#define SPOOL_NEW ".new"
#define SPOOL_DAMAGED ".damaged"
#define SPOOL_REFUSED ".refused"

struct spool_segment {
	TAILQ_ENTRY(spool_segment) entry;
	uint64_t number;
	uint64_t first, last; /* sequences; none yet: last = first - 1 */
	uint64_t size;
	uint32_t header_length, salt;
	unsigned failed;        /* times that the disk failed to give it */
	enum evict_class class; /* the least that was taken out of one of its batches */
	bool sent;              /* a collector may have some of its batches already: they stay apart */
};
TAILQ_HEAD(spool_segments, spool_segment);

struct spool_epoch {
	TAILQ_ENTRY(spool_epoch) entry;
	struct event_host host;
	char *texts;           /* that the host's are views of; NULL: the owner's of the options */
	uint64_t acknowledged; /* up to here some collector has everything */
	uint64_t last;         /* that is known to have been here */
	struct spool_segments segments;
};
TAILQ_HEAD(spool_epochs, spool_epoch);

/* Where reading is. */
struct spool_place {
	struct spool_epoch *epoch;
	struct spool_segment *segment; /* NULL: to be found by `due` */
	struct spool_segment *final;   /* the last that is read; NULL: all */
	int fd;                        /* of the segment; -1: not open */
	uint64_t offset;
	uint64_t due; /* the sequence that comes next */
};

struct spool {
	char *path;
	int directory; /* -1: it cannot be used now */
	uint64_t max_bytes, segment_bytes;
	enum spool_fsync fsync;
	struct spool_faults faults;

	struct spool_epochs epochs;
	struct spool_epoch *own;    /* the last of them */
	struct spool_segment *tail; /* that is appended to; NULL: the next append makes one */
	int fd;                     /* of the tail */
	uint64_t next_number;
	uint64_t bytes; /* of all files, in blocks */
	struct evict *evict;
	struct spool_place place; /* of sending */

	bool said; /* that the disk fails */
	bool sync_failed;
	uint64_t retry_ns; /* not before */

	struct syncer *syncer;
	struct sync_job job; /* copies of descriptors */
	bool syncing, dirty, new_names;
	uint64_t dirty_ns;            /* since when */
	int full[SYNC_JOB_FILES - 1]; /* files before the tail that are not synced */
	size_t full_count;
};

uint64_t spool_blocks(uint64_t size);

/* Asks the tests' seam. */
int spool_may(const struct spool *spool, const char *what, size_t *length);

/* pwrite of all, or -errno. */
int spool_write(const struct spool *spool, int fd, const struct iovec *parts, int count, uint64_t offset);

/* spool_load.c: the directory is opened or made, and is nobody else's. 0 or -errno with a sentence. */
int spool_open_directory(struct spool *spool, char *why, size_t why_size);
/* Finds the epochs and segments. 0 or -ENOMEM; what cannot be read is said. */
int spool_load(struct spool *spool);
/* A directory that comes later: new files do not take the names of those that are there. 0 or -errno. */
int spool_count_files(struct spool *spool);
/* No new file takes the name of one that is there. */
void spool_pass_numbers(struct spool *spool, const struct numbers *numbers);
struct spool_epoch *spool_new_epoch(const struct event_host *host, bool copy);
struct spool_segment *spool_new_segment(struct spool *spool, struct spool_epoch *epoch, uint64_t number);
void spool_free_epoch(struct spool *spool, struct spool_epoch *epoch);

/* spool_aside.c: counts the files that are kept, and removes those that are too many. 0 or -errno. */
int spool_count_aside(struct spool *spool);
/* The file of that name and number is kept as a damaged one. */
void spool_keep_damaged(struct spool *spool, const char *file, uint64_t number);

/*
 * spool_read.c. What comes next: 1 a frame, whose batch is the caller's; 2 sequences `first` to `last` of `frame` that are not there;
 * 0 nothing; -errno: not now, for want of memory or descriptors, or a disk that may still give it.
 */
int spool_place_next(struct spool *spool, struct spool_place *place, struct spool_frame *frame, struct buffer **bytes);
void spool_place_reset(struct spool_place *place);

/* spool_room.c: makes room for so many bytes. 0, -ENOBUFS: nothing can be taken out, or what the disk says. */
int spool_make_room(struct spool *spool, uint64_t bytes);
/* No file is appended to any more. */
void spool_close_tail(struct spool *spool);
/* Removes it, and its file. */
void spool_drop_segment(struct spool *spool, struct spool_epoch *epoch, struct spool_segment *segment);

#endif
