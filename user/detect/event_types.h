/* SPDX-License-Identifier: Apache-2.0 */
/* What evt.type can be: the calls that events are of, and all others that rules may name though none is recorded. */
#ifndef TAFFRAIL_DETECT_EVENT_TYPES_H
#define TAFFRAIL_DETECT_EVENT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum { EVENT_TYPES_MAX = 576, EVENT_TYPE_WORDS = EVENT_TYPES_MAX / 64 };

/*
 * Bits by number; those below EVENT_CALLS_END are enum event_call's. 0 is no type, but goes with socket(): the ordinary
 * sockets, which are told only if somebody asks for them.
 */
enum { EVENT_TYPE_ORDINARY_SOCKET = 0 };
struct event_types {
	uint64_t words[EVENT_TYPE_WORDS];
};

/* The number of a type; -1 for a name that is none. */
int event_type_find(struct text name);

void event_types_fill(struct event_types *types);
void event_types_add(struct event_types *types, int type);
void event_types_remove(struct event_types *types, int type);
bool event_types_has(const struct event_types *types, int type);
/* How many types. */
size_t event_types_count(const struct event_types *types);
void event_types_and(struct event_types *types, const struct event_types *other);
void event_types_or(struct event_types *types, const struct event_types *other);
/* All that were not in it. */
void event_types_invert(struct event_types *types);

#endif
