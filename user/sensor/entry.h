/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process came into its container: as the container's own first process, brought by the runtime later (kubectl
 * exec, a probe), or nobody knows. Of the process table alone.
 */
#ifndef TAFFRAIL_SENSOR_ENTRY_H
#define TAFFRAIL_SENSOR_ENTRY_H

#include "event/event.h"

struct entry_table;

/* 0 or -ENOMEM. */
int entry_open(struct entry_table **table);

/*
 * Judges an image whose parent is not of its container; asked once for each process that comes in, in their order. The
 * runtime's own processes on their way in (setup) are not asked for.
 */
enum event_entry entry_judge(struct entry_table *table, const struct event_process *image);

/* A process of that container has come in before. */
void entry_note(struct entry_table *table, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/* NULL is allowed. */
void entry_close(struct entry_table *table);

#endif
