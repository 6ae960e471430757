/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process table: which process did it, from which image, started by whom.
 *
 * A process lasts from fork to end and is named by (pid, start time). Each exec gives it a new image; an event belongs
 * to the image whose exec counter its record carries, for the rings arrive out of order. An image keeps its parent's
 * image, so lineage outlives the ancestors.
 */
#ifndef TAFFRAIL_SENSOR_PROCESS_H
#define TAFFRAIL_SENSOR_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "event/event.h"
#include "sensor/record.h"

struct process_table;

/* `boot_id` seeds the entity ids: the same process has the same id in every life of the sensor. 0 or -ENOMEM. */
int process_open(struct process_table **table, const char *boot_id);

/*
 * Is the image known that this record belongs to? If not, and the record came from the bulk ring, its exec or fork may
 * still wait in the critical ring: read that first.
 */
bool process_knows(struct process_table *table, const struct kernel_header *header);

/*
 * Takes what the record says of processes into the table (EXEC, FORK, EXIT, PROCESS; the others say nothing) and
 * returns the image it belongs to. An image that is not known gets an entry with its ids alone (image_known false).
 * Returns NULL for a record without a process, for the second EXIT of a process (two last threads may both be seen
 * as the last), and when memory is short. The image is good until the next call; process_hold keeps it.
 */
const struct event_process *process_apply(
	struct process_table *table, const struct record *record, uint64_t boot_unix_ns);

/* The arguments of a process that was there before the sensor, NUL-separated, from /proc. -ESRCH if it is not known. */
int process_set_arguments(struct process_table *table, pid_t pid, uint64_t start_ns, struct text args);

/*
 * A process that lived when a former life of the sensor ended, with its ancestors: the records that follow, of the same process
 * (its entity: pid and start), take it for what was before: those of the census, and what was in the rings before it. The view
 * may be gone afterwards. 0, -ENOMEM, or -ENOSPC: there were too many.
 */
int process_restore(struct process_table *table, const struct event_process *former);
/* After the census: how many of them it did not find. */
size_t process_restored(const struct process_table *table);

/* Gives the newest image of each process that lives, the oldest process first, until the callback returns false. */
typedef bool process_callback(void *context, const struct event_process *image);
void process_each(const struct process_table *table, process_callback *callback, void *context);

/* Keeps an image until it is released; NULL is allowed. */
const struct event_process *process_hold(const struct event_process *image);
void process_release(const struct event_process *image);

/*
 * Forgets processes that ended before `boot_ns`: no record of theirs can come any more. Where that is after the census, what a
 * former life knew and nothing has asked for goes, too.
 */
void process_expire(struct process_table *table, uint64_t boot_ns);

/* Processes in the table: those that live, and those that ended and are still kept. */
void process_count(const struct process_table *table, size_t *living, size_t *ended);

void process_close(struct process_table *table);

#endif
