/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that waits for the disk, so that the loop never does. One job at a time. */
#ifndef TAFFRAIL_SYNCER_H
#define TAFFRAIL_SYNCER_H

#include <stdbool.h>
#include <stddef.h>

enum { SYNC_JOB_FILES = 16 };

/* What is to reach the disk, in this order. The descriptors stay the caller's, and open until the job has ended. */
struct sync_job {
	int files[SYNC_JOB_FILES];
	size_t count;
	int directory; /* -1: none */
};

struct syncer;

/* 0 or -errno. */
int syncer_open(struct syncer **syncer);

/* Starts a job; none is under way. */
void syncer_start(struct syncer *syncer, const struct sync_job *job);

/* Readable (POLLIN) once the job has ended. */
int syncer_fd(const struct syncer *syncer);

/* Has the job ended? */
bool syncer_ended(struct syncer *syncer);

/* Waits for the job that was started, and returns 0 or its first -errno. */
int syncer_finish(struct syncer *syncer);

/* Waits for a job under way. NULL is allowed. */
void syncer_close(struct syncer *syncer);

#endif
