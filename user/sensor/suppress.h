/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a rule may be told in a container: so many findings in a window, which begins with the first of them. Those above
 * are held back, and counted: the count goes with the next finding that is told, or by itself once the window is over.
 */
#ifndef TAFFRAIL_SENSOR_SUPPRESS_H
#define TAFFRAIL_SENSOR_SUPPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

enum {
	SUPPRESS_MAX = 4096
}; /* rules in containers that are remembered; the one whose window is the oldest makes room */

struct suppress_limit {
	uint32_t count;     /* findings told in a window; 0: no limit */
	uint64_t window_ns; /* boot time, as all times here */
};

/* Findings that were held back and have not been told of. Texts are good for the call. */
struct suppress_held {
	const uint8_t *container_id; /* NULL: outside containers */
	struct text rule, ruleset, priority;
	uint8_t severity;
	uint64_t count, first_ns, last_ns;
};

struct suppress_ops {
	/* A window is over, or its place was needed, and the last of its findings were held back. */
	void (*held)(void *context, const struct suppress_held *held);
	void *context;
};

struct suppress;

/* `ops` is copied. 0 or -ENOMEM. */
int suppress_open(struct suppress **suppress, const struct suppress_limit *limit, const struct suppress_ops *ops);

/* Another limit from now on; windows that have begun go on under it. */
void suppress_limit_set(struct suppress *suppress, const struct suppress_limit *limit);

/*
 * May this finding of the rule, in this container (NULL: outside), be told? Then `*before` becomes the number of those that were
 * held back since the last one that was. Without memory: always.
 */
bool suppress_allows(struct suppress *suppress, const uint8_t *container_id, const struct event_rule *rule,
	uint64_t now_ns, uint64_t *before);

/* Tells of what was held back in windows that are over at `now_ns`; UINT64_MAX: in all. */
void suppress_expire(struct suppress *suppress, uint64_t now_ns);

/* Tells nothing more. NULL is allowed. */
void suppress_close(struct suppress *suppress);

#endif
