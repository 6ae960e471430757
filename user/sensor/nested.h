/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups inside a container's that are named like containers too: a runtime in a container makes such, or who would like
 * to be taken for somebody else. The container is the outermost (bpf/container.bpf.c); the inner name is told beside it.
 */
#ifndef TAFFRAIL_SENSOR_NESTED_H
#define TAFFRAIL_SENSOR_NESTED_H

#include <stdint.h>

#include "event/event.h"
#include "sensor/record.h"

enum { NESTED_MAX = 1 << 14 }; /* cgroups that are remembered; the programs' cache is as large */

struct nested_table;

/* 0 or -ENOMEM. */
int nested_open(struct nested_table **table);

/* Takes a record of the kind NESTED. */
void nested_note(struct nested_table *table, const struct record *record);

/*
 * What the cgroup of this record is named like: 32 bytes, good until the next nested_note. NULL where it is not nested,
 * or not known (its record was lost).
 */
const uint8_t *nested_find(const struct nested_table *table, const struct record *record);

/* NULL is allowed. */
void nested_close(struct nested_table *table);

#endif
