/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a call's index: which gates its rules have in common, and which words lead to each. */
#include <errno.h>
#include <stdlib.h>

#include "detect/index.h"

enum {
	GATE_RULES = 3,   /* that must have a gate in common */
	GATE_COST = 3,    /* of a check, at most */
	FILTER_BITS = 16, /* for each word */
	FILTER_BITS_MIN = 2048,
};

static const uint64_t cost_never = UINT64_MAX / 2;

struct builder {
	struct program *program;
	struct call_program *call;
	struct index *index;
	uint32_t *uses;   /* of each check: how many rules it could lead to */
	uint32_t *fields; /* of each slot the same, by any of its checks */
	uint32_t *seen;   /* of each node: the rule and 1 for which it was seen last; rules share nodes */
	uint64_t *costs;  /* of each node: cost_of and 1; 0: not known yet */
};

static uint64_t *take_bits(struct builder *builder)
{
	return arena_take(builder->program->arena, builder->index->words * sizeof(uint64_t));
}

static void set_bit(uint64_t *bits, size_t number)
{
	bits[number / 64] |= 1ull << number % 64;
}

/* --- gates ---------------------------------------------------------------------------------------------------------------- */

static bool could_be_gate(const struct node *node)
{
	return (node->kind == NODE_CHECK || node->kind == NODE_NOT) && node->cost <= GATE_COST;
}

static int compare_counts(const void *a, const void *b, void *context)
{
	const uint32_t *counts = context;
	uint32_t left = counts[*(const uint32_t *)a], right = counts[*(const uint32_t *)b];

	return left < right ? 1 : left > right ? -1 : *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static bool needs(const struct node *node, uint32_t number, uint32_t gate)
{
	bool found = number == gate;

	for (uint32_t i = 0; node->kind == NODE_AND && i < node->count && !found; i++)
		found = node->children[i] == gate;
	return found;
}

static int add_gate(struct builder *builder, uint32_t node)
{
	struct index *index = builder->index;
	struct index_gate *gate =
		arena_append(builder->program->arena, &index->gates, &index->gate_count, sizeof(*gate));
	uint64_t *others = take_bits(builder);

	if (!gate || !others)
		return -ENOMEM;
	*gate = (struct index_gate){node, others};
	for (size_t i = 0; i < builder->call->count; i++)
		if (!needs(&builder->program->nodes[builder->call->nodes[i]], builder->call->nodes[i], node))
			set_bit(others, i);
	return 0;
}

/* The nodes that most rules need, the commonest first. `counts`: of each node, zero. */
static int find_gates(struct builder *builder, uint32_t *counts, uint32_t *found)
{
	const struct program *program = builder->program;
	size_t count = 0;
	int error = 0;

	for (size_t i = 0; i < builder->call->count; i++) {
		uint32_t root = builder->call->nodes[i];
		const struct node *node = &program->nodes[root];
		const uint32_t *parts = node->kind == NODE_AND ? node->children : &root;
		uint32_t part_count = node->kind == NODE_AND ? node->count : 1;

		for (uint32_t k = 0; k < part_count; k++)
			if (could_be_gate(&program->nodes[parts[k]]) && ++counts[parts[k]] == GATE_RULES)
				found[count++] = parts[k];
	}
	qsort_r(found, count, sizeof(*found), compare_counts, counts);
	for (size_t i = 0; i < count && i < INDEX_GATES_MAX && !error; i++)
		error = add_gate(builder, found[i]);
	return error;
}

static int make_gates(struct builder *builder)
{
	size_t node_count = builder->program->node_count;
	uint32_t *counts = calloc(node_count, sizeof(*counts)), *found = calloc(node_count, sizeof(*found));
	int error = counts && found ? find_gates(builder, counts, found) : -ENOMEM;

	free(counts);
	free(found);
	return error;
}

/* --- words ---------------------------------------------------------------------------------------------------------------- */

/*
 * The part of a pattern that any text that matches has: what stands before its first wildcard, or behind its last, or between
 * two where these are no sets or escapes. The longest; `kind` says where it stands. False: it is too short.
 */
static bool literal_of(struct text pattern, struct text *literal, enum index_kind *kind)
{
	bool simple = true;
	size_t start = 0;

	*literal = (struct text){0};
	for (size_t i = 0; i < pattern.length; i++)
		simple = simple && !strchr("[]\\", pattern.data[i]);
	for (size_t i = 0; i <= pattern.length; i++) {
		bool first = start == 0, last = i == pattern.length;

		if (!last && !strchr("*?[]\\", pattern.data[i]))
			continue;
		if ((simple || first || last) && i - start > literal->length) {
			*literal = (struct text){pattern.data + start, i - start};
			*kind = first && last ? INDEX_WHOLE : first ? INDEX_PREFIX : last ? INDEX_SUFFIX : INDEX_PIECE;
		}
		start = i + 1;
	}
	return literal->length >= INDEX_PIECE_SIZE;
}

/* The word that leads to a check by one of its constants, and its kind. False: it cannot be looked for. */
static bool word_of(const struct program *program, const struct check *check, const struct constant *constant,
	struct text *word, enum index_kind *kind)
{
	enum field_type type = program->slots[check->slot].type;

	*word = constant->text;
	switch (check->relation) {
	case OPERATOR_EQUAL:
	case OPERATOR_IN:
	case OPERATOR_INTERSECTS:
		*kind = type == FIELD_TEXT ? INDEX_WHOLE : INDEX_VALUE;
		*word = constant_key(type, constant);
		return true;
	case OPERATOR_STARTSWITH: *kind = INDEX_PREFIX; return word->length > 0;
	case OPERATOR_ENDSWITH: *kind = INDEX_SUFFIX; return word->length > 0;
	case OPERATOR_CONTAINS: *kind = INDEX_PIECE; return word->length >= INDEX_PIECE_SIZE;
	case OPERATOR_GLOB: return literal_of(constant->text, word, kind);
	default: return false;
	}
}

/* What it costs to be led by a check, which is more than 0; cost_never: it leads nowhere. */
static uint64_t check_costs(const struct builder *builder, uint32_t number)
{
	static const uint64_t weights[] = {
		[INDEX_VALUE] = 2, [INDEX_WHOLE] = 2, [INDEX_PREFIX] = 3, [INDEX_SUFFIX] = 3, [INDEX_PIECE] = 4};
	const struct program *program = builder->program;
	const struct check *check = &program->checks[number];
	const struct slot *slot = &program->slots[check->slot];
	enum index_kind kind = INDEX_VALUE;
	struct text word;

	if (check->right || check->quantifier || check->constant_count == 0 || slot->type == FIELD_BOOLEAN ||
		slot->type == FIELD_NETWORK)
		return cost_never;
	for (size_t i = 0; i < check->constant_count; i++)
		if (!word_of(program, check, &check->constants[i], &word, &kind))
			return cost_never;
	return weights[kind] * 4;
}

/* Counts, for each check that could lead to this node, and for its slot, one rule more. */
static void count_uses(struct builder *builder, uint32_t number, uint32_t rule)
{
	const struct node *node = &builder->program->nodes[number];

	if (builder->seen[number] == rule + 1)
		return;
	builder->seen[number] = rule + 1;
	if (node->kind == NODE_CHECK && check_costs(builder, node->children[0]) < cost_never) {
		builder->uses[node->children[0]]++;
		builder->fields[builder->program->checks[node->children[0]].slot]++;
	} else if (node->kind == NODE_AND || node->kind == NODE_OR) {
		for (uint32_t i = 0; i < node->count; i++)
			count_uses(builder, node->children[i], rule);
	}
}

static bool is_gate(const struct builder *builder, uint32_t node)
{
	for (size_t i = 0; i < builder->index->gate_count; i++)
		if (builder->index->gates[i].node == node)
			return true;
	return false;
}

static uint64_t cost_of(struct builder *builder, uint32_t number);

/* The child of an AND that is led to most cheaply. */
static uint32_t cheapest_child(struct builder *builder, const struct node *node)
{
	uint32_t best = node->children[0];

	for (uint32_t i = 1; i < node->count; i++)
		if (cost_of(builder, node->children[i]) < cost_of(builder, best))
			best = node->children[i];
	return best;
}

/*
 * What it costs to be led to a node: the more rules wait for the same words, the less is gained, and a field that few
 * rules ask for is dear. cost_never: nothing leads there. Of an AND the cheapest child leads, of an OR all must.
 */
static uint64_t cost_of(struct builder *builder, uint32_t number)
{
	const struct program *program = builder->program;
	const struct node *node = &program->nodes[number];
	uint64_t cost = cost_never;

	if (builder->costs[number])
		return builder->costs[number] - 1;
	if (is_gate(builder, number)) {
		cost = cost_never; /* it holds, or the rule is out already */
	} else if (node->kind == NODE_CHECK) {
		uint32_t check = node->children[0];

		cost = check_costs(builder, check);
		if (cost < cost_never)
			cost = cost * builder->uses[check] + 64 / builder->fields[program->checks[check].slot] +
			       4 * program->checks[check].cost;
	} else if (node->kind == NODE_AND) {
		cost = cost_of(builder, cheapest_child(builder, node));
	} else if (node->kind == NODE_OR) {
		cost = node->count;
		for (uint32_t i = 0; i < node->count && cost < cost_never; i++) {
			uint64_t child = cost_of(builder, node->children[i]);

			cost = child >= cost_never          ? cost_never
			       : child + node->count > cost ? child + node->count
							    : cost;
		}
	}
	builder->costs[number] = cost + 1;
	return cost;
}

/* The place of a slot among the index's fields; -ENOMEM. */
static int64_t find_field(struct builder *builder, uint32_t slot)
{
	struct index *index = builder->index;
	struct index_field *field;
	uint64_t *rules;

	for (size_t i = 0; i < index->field_count; i++)
		if (index->fields[i].slot == slot)
			return (int64_t)i;
	field = arena_append(builder->program->arena, &index->fields, &index->field_count, sizeof(*field));
	rules = take_bits(builder);
	if (!field || !rules)
		return -ENOMEM;
	*field = (struct index_field){.slot = slot, .rules = rules};
	return (int64_t)index->field_count - 1;
}

static bool is_word(const struct table_node *node, const void *key)
{
	const struct index_word *word = table_entry(node, const struct index_word, node), *wanted = key;

	return word->kind == wanted->kind && text_equal(word->text, wanted->text);
}

static struct index_word *add_word(struct builder *builder, enum index_kind kind, struct text text)
{
	struct index *index = builder->index;
	uint64_t hash = index_word_hash(kind, text);
	const struct index_word wanted = {.text = text, .kind = kind};
	struct table_node *node = table_find(&index->table, hash, is_word, &wanted);
	struct index_word *word;

	if (node)
		return table_entry(node, struct index_word, node);
	word = arena_take(builder->program->arena, sizeof(*word));
	if (!word)
		return NULL;
	*word = wanted;
	if (table_insert(&index->table, &word->node, hash) < 0)
		return NULL;
	if (kind == INDEX_PREFIX)
		index->head_lengths |= 1u << index_end_size(text.length);
	else if (kind == INDEX_SUFFIX)
		index->tail_lengths |= 1u << index_end_size(text.length);
	return word;
}

static int post(struct builder *builder, const struct check *check, uint32_t field, uint32_t rule)
{
	for (size_t i = 0; i < check->constant_count; i++) {
		enum index_kind kind = INDEX_VALUE;
		struct index_lead *lead;
		struct index_word *word;
		struct text text;

		word_of(builder->program, check, &check->constants[i], &text, &kind);
		word = add_word(builder, kind, text);
		if (!word)
			return -ENOMEM;
		builder->index->fields[field].kinds |= 1u << kind;
		lead = word->lead_count > 0 ? &word->leads[word->lead_count - 1] : NULL;
		if (lead && lead->field == field && lead->rule == rule)
			continue;
		lead = arena_append(builder->program->arena, &word->leads, &word->lead_count, sizeof(*lead));
		if (!lead)
			return -ENOMEM;
		*lead = (struct index_lead){field, rule};
	}
	set_bit(builder->index->fields[field].rules, rule);
	return 0;
}

/* Makes the words lead to a rule by which its node can be found. 0 or -ENOMEM. */
static int lead(struct builder *builder, uint32_t number, uint32_t rule)
{
	const struct node *node = &builder->program->nodes[number];
	const struct check *check;
	int64_t field;
	int error = 0;

	if (builder->seen[number] == rule + 1)
		return 0;
	builder->seen[number] = rule + 1;
	if (node->kind == NODE_AND)
		return lead(builder, cheapest_child(builder, node), rule);
	if (node->kind == NODE_OR) {
		for (uint32_t i = 0; i < node->count && !error; i++)
			error = lead(builder, node->children[i], rule);
		return error;
	}
	check = &builder->program->checks[node->children[0]];
	field = find_field(builder, check->slot);
	return field < 0 ? -ENOMEM : post(builder, check, (uint32_t)field, rule);
}

static int make_words(struct builder *builder)
{
	const struct call_program *call = builder->call;
	int error = 0;

	for (size_t i = 0; i < call->count; i++)
		count_uses(builder, call->nodes[i], (uint32_t)i);
	memset(builder->seen, 0, builder->program->node_count * sizeof(*builder->seen));
	for (size_t i = 0; i < call->count && !error; i++) {
		if (cost_of(builder, call->nodes[i]) >= cost_never)
			set_bit(builder->index->always, i);
		else
			error = lead(builder, call->nodes[i], (uint32_t)i);
	}
	return error;
}

static int make_filter(struct builder *builder)
{
	struct index *index = builder->index;
	const struct table_node *node;
	size_t bits = FILTER_BITS_MIN;

	while (bits < FILTER_BITS * table_count(&index->table))
		bits *= 2;
	index->filter = arena_take(builder->program->arena, bits / 8);
	if (!index->filter)
		return -ENOMEM;
	index->filter_mask = bits - 1;
	table_for_each(&index->table, node)
		set_bit(index->filter, index_filter_bit(index, node->hash));
	return 0;
}

static int build(struct builder *builder)
{
	struct index *index = builder->index;
	int error;

	index->words = (builder->call->count + 63) / 64;
	index->all = take_bits(builder);
	index->always = take_bits(builder);
	if (!index->all || !index->always)
		return -ENOMEM;
	for (size_t i = 0; i < builder->call->count; i++)
		set_bit(index->all, i);
	error = make_gates(builder);
	if (!error)
		error = make_words(builder);
	return error ? error : make_filter(builder);
}

int index_build(struct program *program, struct call_program *call)
{
	struct builder builder = {.program = program, .call = call};
	int error = -ENOMEM;

	call->index = builder.index = arena_take(program->arena, sizeof(*builder.index));
	if (!builder.index)
		return -ENOMEM;
	builder.uses = calloc(program->check_count + 1, sizeof(*builder.uses));
	builder.fields = calloc(program->slot_count + 1, sizeof(*builder.fields));
	builder.seen = calloc(program->node_count, sizeof(*builder.seen));
	builder.costs = calloc(program->node_count, sizeof(*builder.costs));
	if (builder.uses && builder.fields && builder.seen && builder.costs)
		error = build(&builder);
	free(builder.uses);
	free(builder.fields);
	free(builder.seen);
	free(builder.costs);
	return error;
}
