/* SPDX-License-Identifier: Apache-2.0 */
/* --check-config: is everything right that was said? The settings have been judged; the rules are, here. */
#ifndef TAFFRAIL_SENSOR_CHECK_CONFIG_H
#define TAFFRAIL_SENSOR_CHECK_CONFIG_H

#include "sensor/settings.h"

/*
 * Says in one line on stdout what there is. Returns the exit code: 0, or 2 after `FILE:LINE:COLUMN: reason` for each error
 * in the rules. Opens nothing but files of rules, and makes nothing.
 */
int check_config_run(const struct settings *settings);

#endif
