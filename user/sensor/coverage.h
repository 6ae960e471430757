/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the sensor still see what it promises to see? A canary (canary.h) flies at start and at an interval; its records
 * come here instead of becoming events, and are judged when it has landed and both rings have been read past that time.
 *
 * Seen: a record came that tells what was done. Missed: none did, or it tells something else; that is an alarm.
 * Unsupported: the kernel or what confines this process refused the deed itself, or this kernel has no hook for it.
 */
#ifndef TAFFRAIL_SENSOR_COVERAGE_H
#define TAFFRAIL_SENSOR_COVERAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/canary.h"
#include "sensor/loader.h"
#include "sensor/record.h"

struct coverage;

/* The canary that the loader's process lets fly. */
struct canary_ops coverage_canary(struct canary_nest *nest, struct loader *loader);

/* `hooks` are the loader's, and must live as long. `interval_ns` between two canaries; 0: one, at start. 0 or -ENOMEM. */
int coverage_open(struct coverage **coverage, const struct canary_ops *ops, const struct loader_hook *hooks,
	size_t hook_count, uint64_t interval_ns);

/* Another interval, from the next canary on. */
void coverage_interval(struct coverage *coverage, uint64_t interval_ns, uint64_t now_ns);

/* A record with KERNEL_CANARY. Copied. */
void coverage_take(struct coverage *coverage, const struct record *record);

enum coverage_news {
	COVERAGE_NOTHING, /* no new result */
	COVERAGE_SAME,    /* a result, as before */
	COVERAGE_NEW,     /* the first, or another than before */
};

/*
 * Starts, watches and judges canaries; never waits. Call it ten times a second. `read_ns`: records of both rings up to
 * this time have been read. `lost`: records that the rings lost so far; a canary that lost some may fly again.
 */
enum coverage_news coverage_poll(struct coverage *coverage, uint64_t now_ns, uint64_t read_ns, uint64_t lost);

/* Does a canary fly, or wait to be judged? */
bool coverage_under_way(const struct coverage *coverage);

/* The last result; no promise before there is one. Good until the next coverage_poll. */
const struct event_coverage *coverage_view(const struct coverage *coverage);

/* Promises in a state. */
size_t coverage_number(const struct coverage *coverage, enum event_promise_state state);

/* The alert for what was missed: false if nothing was. Good until the next coverage_poll. */
bool coverage_alert(const struct coverage *coverage, struct event_rule *rule);

/* Ends a canary that flies. NULL is allowed. */
void coverage_close(struct coverage *coverage);

#endif
