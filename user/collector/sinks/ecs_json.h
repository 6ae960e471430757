/* SPDX-License-Identifier: Apache-2.0 */
/* ecs-json:PATH and ecs-json:- (stdout): an ECS document a line, appended. */
#ifndef TAFFRAIL_COLLECTOR_SINKS_ECS_JSON_H
#define TAFFRAIL_COLLECTOR_SINKS_ECS_JSON_H

#include "collector/output.h"

extern const struct output_kind ecs_json_kind;

#endif
