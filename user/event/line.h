/* SPDX-License-Identifier: Apache-2.0 */
/* An event as one line for a person at a terminal. */
#ifndef TAFFRAIL_EVENT_LINE_H
#define TAFFRAIL_EVENT_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "event/event.h"

struct line_style {
	bool colour;  /* with ANSI colours */
	size_t width; /* columns of the terminal, to cut the line to; 0: not a terminal, nothing is cut */
};

/*
 * Appends the line, with its newline: time of day (local), where (namespace/pod:container), process[pid], action, what,
 * outcome. Control characters and bytes that are not UTF-8 are shown as \xHH: what a container chose drives no terminal.
 */
void line_write(struct buffer *out, const struct event *event, const struct line_style *style);

#endif
