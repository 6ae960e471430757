/* SPDX-License-Identifier: Apache-2.0 */
/* Of --check: the calls that are watched by need, and who needs them. */
#ifndef TAFFRAIL_SENSOR_CHECK_CALLS_H
#define TAFFRAIL_SENSOR_CHECK_CALLS_H

#include <stdint.h>

#include "base/json.h"
#include "detect/rules.h"
#include "sensor/policy_rules.h"

/* The calls that `record` and the rules (NULL: there are none) want: bits 1 << enum event_call. */
uint64_t check_calls_wanted(const struct policy_rules *record, const struct rules *rules);

/* An array of {"call","record","rules","first"}: whether `record` asks for it, how many rules do, the name of the first. */
void check_calls_json(struct json *json, const struct policy_rules *record, const struct rules *rules);

/* The same as lines for a person, to stdout. */
void check_calls_print(const struct policy_rules *record, const struct rules *rules);

#endif
