/* SPDX-License-Identifier: Apache-2.0 */
/* From a checked record to the fields of its event. */
#ifndef TAFFRAIL_SENSOR_DECODE_H
#define TAFFRAIL_SENSOR_DECODE_H

#include "base/buffer.h"
#include "event/event.h"
#include "sensor/record.h"

/*
 * Fills `event` from the record, all but sequence, host, process and container. `boot_unix_ns` is the Unix time of
 * boot. Strings point into the record, or into `scratch`, whose content is replaced: both must live as long as the event.
 */
void decode_event(const struct record *record, uint64_t boot_unix_ns, struct buffer *scratch, struct event *event);

/* enum event_cut for the KERNEL_CUT_* bits of an exec record. */
uint32_t decode_exec_truncated(const struct kernel_exec *exec);

/* The x86-64 form, which events carry, of what open(2) was given on arm64. */
uint32_t decode_arm64_open_flags(uint32_t flags);

/*
 * The lexical normal form of `path`, taken from `directory` if it is relative: no empty, "." or ".." parts.
 * Symbolic links are not known here. Appended to `out`.
 */
void decode_normalise(struct buffer *out, struct text directory, struct text path);

#endif
