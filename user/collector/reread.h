/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration while the collector runs: its files are looked at each second (base/watch.h), and on SIGHUP, and judged as a
 * whole. What is not right is told, and nothing comes of it.
 */
#ifndef TAFFRAIL_COLLECTOR_REREAD_H
#define TAFFRAIL_COLLECTOR_REREAD_H

#include "collector/settings.h"

struct event_base;
struct reread;

/*
 * `settings`: as it was started; they must stay. `taken` gets what was read, of which keys without CONFIG_LIVE take a restart
 * (as was said), good until the next call, or reread_close. 0 or -ENOMEM.
 */
int reread_open(struct reread **reread, struct event_base *base, const struct settings *settings,
	void (*taken)(void *context, const struct settings *now), void *context);

void reread_counters(const struct reread *reread, struct config_reloads *counters);

/* Nothing is read any more. */
void reread_pause(struct reread *reread);

/* NULL is allowed. */
void reread_close(struct reread *reread);

#endif
