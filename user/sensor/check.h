/* SPDX-License-Identifier: Apache-2.0 */
/* taffrail-sensor --check: does this machine let the sensor see what it promises, and which runtimes are there? */
#ifndef TAFFRAIL_SENSOR_CHECK_H
#define TAFFRAIL_SENSOR_CHECK_H

#include "sensor/settings.h"

/*
 * Loads the programs, flies a canary, asks the runtimes for their version, and prints what came of it: for people, in
 * colour on a terminal, or with settings->json as JSON. Returns the exit code: 0, or 1 if something was missed or it
 * cannot run here, which it says in one sentence.
 */
int check_run(const struct settings *settings);

#endif
