/* SPDX-License-Identifier: Apache-2.0 */
/* Community ID, version 1: one name for a flow, the same from either end and in every tool. */
#ifndef TAFFRAIL_EVENT_COMMUNITY_H
#define TAFFRAIL_EVENT_COMMUNITY_H

#include <stdbool.h>

#include "event/event.h"

enum { COMMUNITY_TEXT = 30 }; /* "1:", 28 characters of base64; no NUL */

/*
 * Writes COMMUNITY_TEXT characters for the flow between the two ends, seed 0. Returns false, and writes nothing, where
 * the version 1 specification has no id: an end that is not known or no IP address, or a protocol without ports.
 */
bool community_id(char text[COMMUNITY_TEXT], const struct event_network *network);

#endif
