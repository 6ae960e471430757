/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/index.h"

#include <errno.h>
#include <stdlib.h>

static const uint64_t cost_never = UINT64_MAX / 2;
static const uint64_t end_seed = 0xcbf29ce484222325ull, end_prime = 0x100000001b3ull;

struct text index_key(enum field_type type, const struct value *value)
{
	if (type == FIELD_TEXT)
		return value->text;
	if (type == FIELD_ADDRESS)
		return (struct text){(const char *)value->address.bytes, field_address_size(&value->address)};
	return (struct text){(const char *)&value->number, sizeof(value->number)};
}

static const struct index_entry *find(const struct index_table *table, uint64_t hash, struct text key)
{
	const struct table *entries = &table->entries;
	const struct table_node *node;

	if (!(table->filter[hash >> 6 & (INDEX_FILTER_WORDS - 1)] >> (hash & 63) & 1))
		return NULL;
	/* What table_find does, without a call for each: this is where an event's time goes. */
	for (node = entries->chains[hash & (entries->chain_count - 1)]; node; node = node->next)
		if (node->hash == hash && text_equal(table_entry(node, const struct index_entry, node)->key, key))
			return table_entry(node, const struct index_entry, node);
	return NULL;
}

static void set_bits(const struct index_entry *entry, uint64_t *rules)
{
	for (size_t i = 0; entry && i < entry->rule_count; i++)
		rules[entry->rules[i] / 64] |= 1ull << entry->rules[i] % 64;
}

static uint64_t piece_hash(const char *bytes)
{
	uint32_t piece;

	memcpy(&piece, bytes, sizeof(piece));
	return (uint64_t)piece * 0x9e3779b97f4a7c15ull >> 32;
}

/* A hash that grows with the text, from its start or from its end. */
static uint64_t end_hash(uint64_t hash, char byte)
{
	return (hash ^ (unsigned char)byte) * end_prime;
}

static void look_at_end(const struct index_table *table, struct text text, uint64_t *rules)
{
	bool prefix = table->kind == INDEX_PREFIX;
	uint64_t hash = end_seed, left = table->lengths;

	for (size_t length = 1; length <= text.length && left >> length; length++) {
		hash = end_hash(hash, prefix ? text.data[length - 1] : text.data[text.length - length]);
		if (left >> length & 1)
			set_bits(find(table, hash,
					 (struct text){prefix ? text.data : text.data + text.length - length, length}),
				rules);
		if (length == INDEX_ENDS_MAX)
			break;
	}
}

void index_look(const struct index_table *table, enum field_type type, const struct value *value, uint64_t hash,
	uint64_t *rules)
{
	switch (table->kind) {
	case INDEX_WHOLE: set_bits(find(table, hash, index_key(type, value)), rules); break;
	case INDEX_PREFIX:
	case INDEX_SUFFIX: look_at_end(table, value->text, rules); break;
	case INDEX_PIECE:
		for (size_t i = 0; i + INDEX_PIECE_SIZE <= value->text.length; i++) {
			const char *at = value->text.data + i;

			set_bits(find(table, piece_hash(at), (struct text){at, INDEX_PIECE_SIZE}), rules);
		}
	}
}

/* --- making one ----------------------------------------------------------------------------------------------------------- */

enum step { COUNT, ASK, POST };

struct builder {
	struct program *program;
	struct call_program *call;
	struct index *index;
	uint32_t *uses;  /* of each check: how many rules it could lead to */
	uint32_t *seen;  /* of each node: the rule and 1 for which it was seen last; rules share nodes */
	uint64_t *costs; /* of each node: cost_of and 1; 0: not known yet */
};

/* How a check can be looked for; -1: not at all. */
static int kind_of(const struct program *program, const struct check *check)
{
	const struct slot *slot = &program->slots[check->slot];
	size_t least = check->constant_count ? SIZE_MAX : 0;

	if (check->right || check->quantifier || slot->type == FIELD_BOOLEAN || slot->type == FIELD_NETWORK)
		return -1;
	for (size_t i = 0; i < check->constant_count; i++)
		if (check->constants[i].text.length < least)
			least = check->constants[i].text.length;
	switch (check->relation) {
	case OPERATOR_EQUAL:
	case OPERATOR_IN:
	case OPERATOR_INTERSECTS: return INDEX_WHOLE;
	case OPERATOR_STARTSWITH: return least > 0 ? INDEX_PREFIX : -1;
	case OPERATOR_ENDSWITH: return least > 0 ? INDEX_SUFFIX : -1;
	case OPERATOR_CONTAINS: return least >= INDEX_PIECE_SIZE ? INDEX_PIECE : -1;
	default: return -1;
	}
}

/* Counts, for each check that could lead to this node, one rule more. */
static void count_uses(struct builder *builder, uint32_t number, uint32_t rule)
{
	const struct node *node = &builder->program->nodes[number];

	if (builder->seen[number] == rule + 1)
		return;
	builder->seen[number] = rule + 1;
	if (node->kind == NODE_CHECK)
		builder->uses[node->children[0]]++;
	else if (node->kind == NODE_AND || node->kind == NODE_OR)
		for (uint32_t i = 0; i < node->count; i++)
			count_uses(builder, node->children[i], rule);
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
 * What it costs to be led to a node: the more rules wait for the same words, the less is gained. cost_never: nothing leads
 * there. Of an AND the cheapest child leads, of an OR all must.
 */
static uint64_t cost_of(struct builder *builder, uint32_t number)
{
	static const uint64_t weights[] = {
		[INDEX_WHOLE] = 2, [INDEX_PREFIX] = 3, [INDEX_SUFFIX] = 3, [INDEX_PIECE] = 4};
	const struct node *node = &builder->program->nodes[number];
	uint64_t cost = cost_never;
	int kind;

	if (builder->costs[number])
		return builder->costs[number] - 1;
	if (node->kind == NODE_CHECK) {
		kind = kind_of(builder->program, &builder->program->checks[node->children[0]]);
		if (kind >= 0)
			cost = weights[kind] * builder->uses[node->children[0]];
	} else if (node->kind == NODE_AND) {
		cost = cost_of(builder, cheapest_child(builder, node));
	} else if (node->kind == NODE_OR) {
		cost = 0;
		for (uint32_t i = 0; i < node->count && cost < cost_never; i++) {
			uint64_t child = cost_of(builder, node->children[i]);

			cost = child < cost_never - cost ? cost + child : cost_never;
		}
	}
	builder->costs[number] = cost + 1;
	return cost;
}

static struct index_table *find_table(struct builder *builder, uint32_t slot, enum index_kind kind)
{
	struct index *index = builder->index;
	struct index_table *table;

	for (size_t i = 0; i < index->table_count; i++)
		if (index->tables[i].slot == slot && index->tables[i].kind == kind)
			return &index->tables[i];
	table = arena_append(builder->program->arena, &index->tables, &index->table_count, sizeof(*table));
	if (table)
		*table = (struct index_table){.slot = slot, .kind = kind};
	return table;
}

/* The key that a constant is found by, and its hash. */
static struct text key_of(
	struct index_table *table, enum field_type type, const struct constant *constant, uint64_t *hash)
{
	struct text text = constant->text;

	*hash = constant->hash;
	if (table->kind == INDEX_WHOLE)
		return type == FIELD_TEXT ? text
		       : type == FIELD_ADDRESS
			       ? (struct text){(const char *)constant->address.bytes,
					 field_address_size(&constant->address)}
			       : (struct text){(const char *)&constant->number, sizeof(constant->number)};
	if (table->kind == INDEX_PIECE) {
		/* The last bytes: many words begin alike. */
		text = (struct text){text.data + text.length - INDEX_PIECE_SIZE, INDEX_PIECE_SIZE};
		*hash = piece_hash(text.data);
		return text;
	}
	if (text.length > INDEX_ENDS_MAX)
		text = table->kind == INDEX_PREFIX
			       ? (struct text){text.data, INDEX_ENDS_MAX}
			       : (struct text){text.data + text.length - INDEX_ENDS_MAX, INDEX_ENDS_MAX};
	*hash = end_seed;
	for (size_t i = 0; i < text.length; i++)
		*hash = end_hash(*hash, table->kind == INDEX_PREFIX ? text.data[i] : text.data[text.length - 1 - i]);
	table->lengths |= 1ull << text.length;
	return text;
}

static int post(struct builder *builder, struct index_table *table, const struct constant *constant, uint32_t rule)
{
	struct arena *arena = builder->program->arena;
	struct index_entry *entry;
	uint32_t *slot;
	uint64_t hash;
	struct text key = key_of(table, builder->program->slots[table->slot].type, constant, &hash);

	entry = (struct index_entry *)(uintptr_t)find(table, hash, key);
	if (!entry) {
		entry = arena_take(arena, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->key = key;
		if (table_insert(&table->entries, &entry->node, hash) < 0)
			return -ENOMEM;
		table->filter[hash >> 6 & (INDEX_FILTER_WORDS - 1)] |= 1ull << (hash & 63);
	}
	if (entry->rule_count > 0 && entry->rules[entry->rule_count - 1] == rule)
		return 0;
	slot = arena_append(arena, &entry->rules, &entry->rule_count, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	*slot = rule;
	return 0;
}

/* A table that leads to so few rules costs more than it saves: they are asked at once. */
static bool is_worth(const struct index_table *table)
{
	static const size_t least[] = {[INDEX_WHOLE] = 3, [INDEX_PREFIX] = 4, [INDEX_SUFFIX] = 4, [INDEX_PIECE] = 4};

	return table->rule_count >= least[table->kind];
}

/*
 * Goes to all that leads to the node of a rule, by what the step says: counts the rule, asks whether its tables are worth
 * it (-EAGAIN if one is not), or makes them lead to it.
 */
static int lead(struct builder *builder, enum step step, uint32_t number, uint32_t rule)
{
	const struct node *node = &builder->program->nodes[number];
	const struct check *check;
	struct index_table *table;
	int error = 0;

	if (builder->seen[number] == rule + 1)
		return 0;
	builder->seen[number] = rule + 1;
	if (node->kind == NODE_AND)
		return lead(builder, step, cheapest_child(builder, node), rule);
	if (node->kind == NODE_OR) {
		for (uint32_t i = 0; i < node->count && !error; i++)
			error = lead(builder, step, node->children[i], rule);
		return error;
	}
	check = &builder->program->checks[node->children[0]];
	table = find_table(builder, check->slot, (enum index_kind)kind_of(builder->program, check));
	if (!table)
		return -ENOMEM;
	if (step == COUNT)
		table->rule_count++;
	if (step != POST)
		return step == COUNT || is_worth(table) ? 0 : -EAGAIN;
	for (size_t i = 0; i < check->constant_count && !error; i++)
		error = post(builder, table, &check->constants[i], rule);
	return error;
}

/* Those that lead nowhere: their rules are asked in any case. */
static void drop_tables(struct index *index)
{
	size_t kept = 0;

	for (size_t i = 0; i < index->table_count; i++)
		if (table_count(&index->tables[i].entries) > 0)
			index->tables[kept++] = index->tables[i];
	index->table_count = kept;
}

static int build(struct builder *builder)
{
	struct call_program *call = builder->call;
	size_t node_count = builder->program->node_count;
	int error = 0;

	for (size_t i = 0; i < call->count; i++)
		count_uses(builder, call->nodes[i], (uint32_t)i);
	for (enum step step = COUNT; step <= POST && (!error || error == -EAGAIN); step++) {
		memset(builder->seen, 0, node_count * sizeof(*builder->seen));
		for (size_t i = 0; i < call->count && (!error || error == -EAGAIN); i++) {
			uint64_t *always = &builder->index->always[i / 64], bit = 1ull << i % 64;

			if (step == COUNT && cost_of(builder, call->nodes[i]) >= cost_never)
				*always |= bit;
			error = *always & bit ? 0 : lead(builder, step, call->nodes[i], (uint32_t)i);
			if (error == -EAGAIN)
				*always |= bit;
		}
	}
	if (error == -EAGAIN)
		error = 0;
	drop_tables(builder->index);
	return error;
}

int index_build(struct program *program, struct call_program *call)
{
	struct builder builder = {.program = program, .call = call};
	int error = -ENOMEM;

	call->index = builder.index = arena_take(program->arena, sizeof(*builder.index));
	if (!builder.index)
		return -ENOMEM;
	builder.index->words = (call->count + 63) / 64;
	builder.index->always = arena_take(program->arena, builder.index->words * sizeof(*builder.index->always));
	builder.uses = calloc(program->check_count + 1, sizeof(*builder.uses));
	builder.seen = calloc(program->node_count, sizeof(*builder.seen));
	builder.costs = calloc(program->node_count, sizeof(*builder.costs));
	if (builder.index->always && builder.uses && builder.seen && builder.costs)
		error = build(&builder);
	free(builder.uses);
	free(builder.seen);
	free(builder.costs);
	return error;
}

void index_free(struct index *index)
{
	for (size_t i = 0; i < index->table_count; i++)
		table_free(&index->tables[i].entries);
}
