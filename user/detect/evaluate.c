/* SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "detect/evaluator.h"

#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>

#include "detect/index.h"

/* What one match may cost: some milliseconds, and as much memory as the groups of a sane expression need. */
enum { MATCH_LIMIT = 500000, MATCH_DEPTH_LIMIT = 2000, MATCH_HEAP_KIB = 1024 };

static const uint32_t turns_max = UINT32_MAX / 2;

int rules_evaluator_open(struct rules_evaluator **evaluator, const struct rules *rules, const struct rules_names *names)
{
	struct rules_evaluator *made = calloc(1, sizeof(*made));

	if (!made)
		return -ENOMEM;
	made->rules = rules;
	if (names)
		made->names = *names;
	made->extraction = (struct extraction){.names = &made->names,
		.room = malloc(EVALUATOR_ROOM),
		.size = EVALUATOR_ROOM,
		.cut = &made->counters.cut};
	made->nodes = calloc(rules->program.node_count, sizeof(*made->nodes));
	made->slots = calloc(rules->program.slot_count + 1, sizeof(*made->slots));
	made->candidates = calloc(2 * (rules->call_rules_max / 64 + 1), sizeof(*made->candidates));
	made->match = pcre2_match_data_create(1, NULL);
	made->limits = pcre2_match_context_create(NULL);
	if (windows_open(&made->windows, rules) < 0 || !made->extraction.room || !made->nodes || !made->slots ||
		!made->candidates || !made->match || !made->limits) {
		rules_evaluator_close(made);
		return -ENOMEM;
	}
	pcre2_set_match_limit(made->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(made->limits, MATCH_DEPTH_LIMIT);
	pcre2_set_heap_limit(made->limits, MATCH_HEAP_KIB);
	*evaluator = made;
	return 0;
}

void rules_evaluator_close(struct rules_evaluator *evaluator)
{
	if (!evaluator)
		return;
	free(evaluator->extraction.room);
	free(evaluator->nodes);
	free(evaluator->slots);
	free(evaluator->candidates);
	windows_close(evaluator->windows);
	pcre2_match_data_free(evaluator->match);
	pcre2_match_context_free(evaluator->limits);
	free(evaluator);
}

void rules_evaluator_counters(const struct rules_evaluator *evaluator, struct rules_counters *counters)
{
	*counters = evaluator->counters;
}

const struct values *evaluator_values(struct rules_evaluator *evaluator, uint32_t number)
{
	const struct slot *slot = &evaluator->rules->program.slots[number];
	struct slot_state *state = &evaluator->slots[number];

	if (state->turn == evaluator->turn)
		return &state->values;
	state->turn = evaluator->turn;
	state->values.known = false;
	state->values.count = 0;
	switch (slot->kind) {
	case SLOT_FIELD: slot->use.field->extract(&evaluator->extraction, &slot->use, &state->values); break;
	case SLOT_TRANSFORMER: evaluator_transform(evaluator, slot, &state->values); break;
	case SLOT_WORD: field_give_any_text(&state->values, slot->word); break;
	}
	return &state->values;
}

static bool holds(struct rules_evaluator *evaluator, uint32_t number)
{
	const struct program *program = &evaluator->rules->program;
	const struct node *node = &program->nodes[number];
	bool result;

	if (evaluator->nodes[number] >> 1 == evaluator->turn)
		return evaluator->nodes[number] & 1;
	switch (node->kind) {
	case NODE_CHECK: result = evaluator_check(evaluator, &program->checks[node->children[0]]); break;
	case NODE_NOT: result = !holds(evaluator, node->children[0]); break;
	case NODE_AND:
	case NODE_OR:
		result = node->kind == NODE_AND;
		for (uint32_t i = 0; i < node->count; i++)
			if (holds(evaluator, node->children[i]) == (node->kind == NODE_OR)) {
				result = !result;
				break;
			}
		break;
	default: result = node->kind == NODE_TRUE; break;
	}
	evaluator->nodes[number] = evaluator->turn << 1 | result;
	return result;
}

/* A new event: nothing is known of it yet. */
static void begin(struct rules_evaluator *evaluator, const struct event *event)
{
	const struct program *program = &evaluator->rules->program;

	evaluator->extraction.event = event;
	evaluator->extraction.used = 0;
	evaluator->counters.events++;
	if (++evaluator->turn <= turns_max)
		return;
	/* The numbers of turns begin anew: what is left of the first ones must not pass for this one's. */
	evaluator->turn = 1;
	memset(evaluator->nodes, 0, program->node_count * sizeof(*evaluator->nodes));
	memset(evaluator->slots, 0, program->slot_count * sizeof(*evaluator->slots));
}

/* The rules, a bit each, whose gates are open. False: there are none. */
static bool pass_gates(struct rules_evaluator *evaluator, const struct index *index, uint64_t *open)
{
	uint64_t any = 0;

	memcpy(open, index->all, index->words * sizeof(*open));
	for (size_t i = 0; i < index->gate_count; i++) {
		const struct index_gate *gate = &index->gates[i];
		uint64_t closing = 0;

		for (size_t word = 0; word < index->words; word++)
			closing |= open[word] & ~gate->others[word];
		if (!closing || holds(evaluator, gate->node))
			continue;
		for (size_t word = 0; word < index->words; word++)
			open[word] &= gate->others[word];
	}
	for (size_t word = 0; word < index->words; word++)
		any |= open[word];
	return any;
}

/* Sets the bits of the rules that the event can meet. False: there are none. */
static bool choose(struct rules_evaluator *evaluator, const struct index *index)
{
	uint64_t *chosen = evaluator->candidates, *open = evaluator->candidates + index->words, any = 0;
	struct index_look look;

	if (!pass_gates(evaluator, index, open))
		return false;
	look.index = index;
	look.text_count = look.hit_count = 0;
	look.full = false;
	memcpy(chosen, index->always, index->words * sizeof(*chosen));
	for (uint32_t i = 0; i < index->field_count; i++) {
		const struct index_field *field = &index->fields[i];
		const struct values *values;
		uint64_t left = 0;

		for (size_t word = 0; word < index->words; word++)
			left |= field->rules[word] & open[word] & ~chosen[word];
		if (!left)
			continue;
		values = evaluator_values(evaluator, field->slot);
		for (size_t k = 0; values->known && k < values->count; k++)
			index_look(&look, i, evaluator->rules->program.slots[field->slot].type, values_at(values, k),
				chosen);
	}
	for (size_t word = 0; word < index->words; word++) {
		chosen[word] = look.full ? open[word] : chosen[word] & open[word];
		any |= chosen[word];
	}
	return any;
}

/* What went wrong since `before` was for this rule. */
static void blame(struct rules_counters *counters, const struct rules_counters *before, const struct rules_rule *rule)
{
	if (counters->regex_limits > before->regex_limits)
		counters->regex_rule = rule;
	if (counters->windows_full > before->windows_full)
		counters->windows_rule = rule;
}

/* The rules of a call that the event meets: the first, or all. */
static size_t match(struct rules_evaluator *evaluator, const struct call_program *call,
	void (*matched)(void *context, const struct rules_rule *rule), void *context)
{
	const struct rules *rules = evaluator->rules;
	size_t count = 0;

	if (!choose(evaluator, call->index))
		return 0;
	for (size_t word = 0; word < call->index->words; word++)
		for (uint64_t left = evaluator->candidates[word]; left; left &= left - 1) {
			size_t position = 64 * word + (size_t)__builtin_ctzll(left);
			const struct rules_rule *rule = &rules->rules[call->rules[position]].public;
			const struct rules_counters before = evaluator->counters;
			bool met = holds(evaluator, call->nodes[position]) && windows_pass(evaluator, rule->number);

			blame(&evaluator->counters, &before, rule);
			if (!met)
				continue;
			count++;
			matched(context, rule);
			if (!rules->all)
				return count;
		}
	return count;
}

size_t rules_evaluate(struct rules_evaluator *evaluator, const struct event *event,
	void (*matched)(void *context, const struct rules_rule *rule), void *context)
{
	const struct call_program *call = &evaluator->rules->program.calls[event_call_of(event)];
	size_t count = 0;

	if (call->count == 0 && call->after_count == 0) {
		evaluator->counters.events++;
		return 0;
	}
	begin(evaluator, event);
	if (call->count > 0)
		count = match(evaluator, call, matched, context);
	/* Afterwards: an event is not its own predecessor. */
	for (size_t i = 0; i < call->after_count; i++) {
		const struct rules_rule *rule = &evaluator->rules->rules[call->after_rules[i]].public;
		const struct rules_counters before = evaluator->counters;

		if (holds(evaluator, call->after_nodes[i]))
			windows_note(evaluator, rule->number);
		blame(&evaluator->counters, &before, rule);
	}
	return count;
}
