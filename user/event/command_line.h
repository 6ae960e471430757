/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments as one line that a shell would read back into the same arguments. */
#ifndef TAFFRAIL_EVENT_COMMAND_LINE_H
#define TAFFRAIL_EVENT_COMMAND_LINE_H

#include "base/text.h"

/*
 * The line for `args`, NUL-separated: words joined by spaces, those that a shell would take apart in single quotes.
 * It is in `room` if it fits, else in memory that the caller frees; data is NULL where there is none.
 */
struct text command_line(struct text args, char *room, size_t room_size);

#endif
