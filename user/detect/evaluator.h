/* SPDX-License-Identifier: Apache-2.0 */
/* An evaluator from inside: what is known of the event that it looks at. For evaluate.c and its servants. */
#ifndef TAFFRAIL_DETECT_EVALUATOR_H
#define TAFFRAIL_DETECT_EVALUATOR_H

#include "detect/set.h"

enum { EVALUATOR_ROOM = 256 * 1024 };

/* A slot's values, once they were asked for. */
struct slot_state {
	uint32_t turn; /* of the event they are of */
	uint32_t hash_turn;
	uint64_t hash; /* of a single value */
	struct values values;
};

struct rules_evaluator {
	const struct rules *rules;
	struct rules_names names;
	struct extraction extraction;
	uint32_t turn;   /* numbers the events; what carries another is of an event before */
	uint32_t *nodes; /* of each node: twice the turn, and 1 if it is true */
	struct slot_state *slots;
	uint64_t *candidates; /* rules of a call, a bit each, and once more while they are chosen */
	struct pcre2_real_match_data_8 *match;
	struct pcre2_real_match_context_8 *limits;
	struct windows *windows;
	struct rules_counters counters;
};

/* The values of a slot for the event of this turn. */
const struct values *evaluator_values(struct rules_evaluator *evaluator, uint32_t slot);

/* transform.c: the values of a slot that is a transformer. */
void evaluator_transform(struct rules_evaluator *evaluator, const struct slot *slot, struct values *values);

/* compare.c: does the check hold? */
bool evaluator_check(struct rules_evaluator *evaluator, const struct check *check);

#endif
