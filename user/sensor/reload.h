/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration while the sensor runs: its files are watched, and read and judged as a whole by a thread of its own when
 * they are other ones (base/watch.h), with the rules that they name. What is not right is told, and nothing comes of it.
 */
#ifndef TAFFRAIL_SENSOR_RELOAD_H
#define TAFFRAIL_SENSOR_RELOAD_H

#include "sensor/ruleset.h"
#include "sensor/settings.h"

struct reloaded {
	struct settings settings;
	struct ruleset_loaded *rules; /* NULL: no_rules, or the receiver took them */
};

struct reload;

/* `call`: as the sensor was started; it must stay. 0 or -errno; without a file there is nothing to watch, and *reload NULL. */
int reload_open(struct reload **reload, const struct options_call *call);

/* Read again at once. Safe in a signal handler. */
void reload_hurry(struct reload *reload);

/* What was read since the last call, the caller's; or NULL. */
struct reloaded *reload_take(struct reload *reload);
void reloaded_free(struct reloaded *reloaded);

/* From any thread. */
void reload_counters(const struct reload *reload, struct config_reloads *counters);

/* NULL is allowed. */
void reload_close(struct reload *reload);

#endif
