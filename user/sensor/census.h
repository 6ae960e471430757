/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that were there before the sensor. */
#ifndef TAFFRAIL_SENSOR_CENSUS_H
#define TAFFRAIL_SENSOR_CENSUS_H

#include "base/text.h"
#include "sensor/loader.h"
#include "sensor/record.h"

/*
 * A PROCESS record, and the arguments that /proc still has, NUL-separated; none where the process has ended since. Both
 * are good until it returns.
 */
typedef void census_callback(void *context, const struct record *record, struct text args);

/* Tells of each process, parents before their children. `proc` is where the host's /proc is seen. 0 or -errno. */
int census_take(struct loader *loader, const char *proc, census_callback *callback, void *context);

#endif
