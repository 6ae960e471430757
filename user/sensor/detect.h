/* SPDX-License-Identifier: Apache-2.0 */
/* Rules over events: which of them an event meets becomes a finding, an event of its own beside it. */
#ifndef TAFFRAIL_SENSOR_DETECT_H
#define TAFFRAIL_SENSOR_DETECT_H

#include <stdbool.h>
#include <stdint.h>

#include "detect/rules.h"
#include "event/event.h"
#include "sensor/ruleset.h"
#include "sensor/suppress.h"

struct detect_ops {
	/*
	 * A finding is to be sent: the event that met a rule, with the rule; or what was held back. Its number and its host
	 * are the receiver's; all that it points at is good for the call.
	 */
	void (*send)(void *context, struct event *finding);
	void *context;
};

struct detect;

/*
 * Takes the set that was loaded, which is its own then. `ops` and `names` are copied; `boot_unix_ns` as in detect_tick. 0 or
 * -ENOMEM, and the set stays the caller's.
 */
int detect_open(struct detect **detect, struct rules *rules, const struct rules_names *names,
	const struct suppress_limit *limit, const struct detect_ops *ops);

/* Another set from now on; it is detect's then. 0, or -ENOMEM and the old set stays, and the new one the caller's. */
int detect_replace(struct detect *detect, struct rules *rules);

/* How many rules it has. */
size_t detect_rules(const struct detect *detect);
/* Another limit from now on. */
void detect_limit(struct detect *detect, const struct suppress_limit *limit);

/* Judges an event that has its names. `cause`: its number, 0: it is not recorded. `now_ns`: boot time. */
void detect_event(struct detect *detect, const struct event *event, uint64_t cause, uint64_t now_ns);

/* Tells of what was held back long enough, and once a minute of rules that have run into a limit. UINT64_MAX: of all. */
void detect_tick(struct detect *detect, uint64_t now_ns, uint64_t boot_unix_ns);

/* What rules want of the kernel, as loader_want takes it: the calls that they wait for, and the data. NULL is allowed. */
uint64_t detect_wants(const struct rules *rules);
/* The same of its own. */
uint64_t detect_calls(const struct detect *detect);

/* Tells nothing more. NULL is allowed. */
void detect_close(struct detect *detect);

#endif
