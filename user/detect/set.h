/* SPDX-License-Identifier: Apache-2.0 */
/* A set of rules from inside: what the loader makes and evaluators read. */
#ifndef TAFFRAIL_DETECT_SET_H
#define TAFFRAIL_DETECT_SET_H

#include "detect/program.h"
#include "detect/rules.h"
#include "detect/window.h"

/* A piece of an output: words, or a field. */
struct output_part {
	struct text words;
	uint32_t slot;  /* and 1; 0: words */
	uint32_t width; /* of the field, padded or cut; 0: as it is */
};

struct rule {
	struct rules_rule public;
	struct expression *expression; /* while the set is made */
	struct text condition;         /* as it was parsed */
	struct event_types types, after_types;
	struct output_part *parts;
	size_t part_count;
	struct window window;
};

struct rules {
	struct arena arena;
	struct program program;
	struct rule *rules;
	size_t rule_count;
	size_t call_rules_max; /* of any call */
	uint64_t data_calls;   /* of which rules want to see the data: bits 1 << enum event_call */
	bool all;
};

/* format.c: an output's text becomes parts. 0, -ENOENT (a field is not known, told only with `report`) or -EINVAL. */
int output_compile(
	struct rules *rules, struct sources *sources, struct rule *rule, const struct phrase *output, bool report);

#endif
