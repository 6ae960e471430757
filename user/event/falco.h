/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finding as Falco prints it with json_output: hostname, output, output_fields, priority, rule, source, tags, time. What reads
 * Falco reads this.
 */
#ifndef TAFFRAIL_EVENT_FALCO_H
#define TAFFRAIL_EVENT_FALCO_H

#include <stdbool.h>

#include "base/buffer.h"
#include "event/event.h"

/* Is it a finding of the rule language's? Nothing else has such a shape. */
bool falco_has(const struct event *event);

/* Appends the document of a finding, without a newline. Short memory shows in out->failed. */
void falco_write(struct buffer *out, const struct event *event);

/* The same as one line for a person: the time, the priority, the output. */
void falco_write_line(struct buffer *out, const struct event *event);

#endif
