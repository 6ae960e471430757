/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions as nodes: what is decided before an event comes is left out, and what was there already is taken. */
#include <stdlib.h>

#include "detect/program.h"

enum { COST_MAX = 1 << 20 };

/* The children of a node while it is made. */
struct making {
	uint32_t *children;
	size_t count, room;
	bool failed;
};

static void add_child(struct making *making, uint32_t child)
{
	uint32_t *children;

	if (making->count == making->room) {
		making->room = making->room ? 2 * making->room : 16;
		children = realloc(making->children, making->room * sizeof(*children));
		if (!children) {
			making->failed = true;
			making->room = making->count;
			return;
		}
		making->children = children;
	}
	making->children[making->count++] = child;
}

static int64_t add_node(struct program *program, enum node_kind kind, const uint32_t *children, size_t count)
{
	struct buffer key = {0};
	unsigned int cost = 0;
	struct node *node;
	uint32_t *copy, known;
	int64_t number = NO_NODE;

	buffer_append(&key, "N", 1);
	buffer_append(&key, &kind, sizeof(kind));
	buffer_append(&key, children, count * sizeof(*children));
	known = program_recall(program, &key);
	if (known) {
		buffer_free(&key);
		return (int64_t)known - 1;
	}
	copy = arena_take(program->arena, count * sizeof(*copy));
	node = copy ? arena_append(program->arena, &program->nodes, &program->node_count, sizeof(*node)) : NULL;
	if (node) {
		memcpy(copy, children, count * sizeof(*copy));
		for (size_t i = 0; i < count; i++)
			if (cost < COST_MAX)
				cost += kind == NODE_CHECK ? program->checks[copy[i]].cost
							   : program->nodes[copy[i]].cost + 1;
		*node = (struct node){kind, (uint32_t)count, copy, cost};
		number = (int64_t)program->node_count - 1;
		if (program_remember(program, &key, (uint32_t)number) < 0)
			number = NO_NODE;
	}
	buffer_free(&key);
	return number;
}

static int compare_nodes(const void *a, const void *b, void *context)
{
	const struct program *program = context;
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	unsigned int left_cost = program->nodes[left].cost, right_cost = program->nodes[right].cost;

	if (left_cost != right_cost)
		return left_cost < right_cost ? -1 : 1;
	return left < right ? -1 : left > right;
}

/* The node that joins what was made: the cheapest first, each once. */
static int64_t join(struct program *program, enum node_kind kind, struct making *making)
{
	size_t kept = 0;

	if (making->failed)
		return NO_NODE;
	if (making->count == 0)
		return kind == NODE_AND ? TRUE_NODE : FALSE_NODE;
	qsort_r(making->children, making->count, sizeof(*making->children), compare_nodes, program);
	for (size_t i = 0; i < making->count; i++)
		if (kept == 0 || making->children[kept - 1] != making->children[i])
			making->children[kept++] = making->children[i];
	return kept == 1 ? making->children[0] : add_node(program, kind, making->children, kept);
}

static int64_t chain_node(struct program *program, struct expression *expression, enum event_call call)
{
	enum node_kind kind = expression->kind == EXPRESSION_AND ? NODE_AND : NODE_OR;
	int64_t neutral = kind == NODE_AND ? TRUE_NODE : FALSE_NODE, deciding = !neutral, result = NO_NODE;
	struct making making = {0};

	for (size_t i = 0; i < expression->child_count; i++) {
		int64_t child = program_node(program, expression->children[i], call);
		const struct node *node;

		if (child == NO_NODE || child == deciding) {
			result = child;
			goto out;
		}
		if (child == neutral)
			continue;
		node = &program->nodes[child];
		if (node->kind == kind)
			for (uint32_t k = 0; k < node->count; k++)
				add_child(&making, node->children[k]);
		else
			add_child(&making, (uint32_t)child);
	}
	result = join(program, kind, &making);
out:
	free(making.children);
	return result;
}

static int64_t not_node(struct program *program, int64_t inner)
{
	uint32_t child = (uint32_t)inner;

	if (inner == NO_NODE)
		return NO_NODE;
	if (inner == TRUE_NODE || inner == FALSE_NODE)
		return !inner;
	if (program->nodes[child].kind == NODE_NOT)
		return program->nodes[child].children[0];
	return add_node(program, NODE_NOT, &child, 1);
}

/* Is the check decided by the call alone? TRUE_NODE, FALSE_NODE or NO_NODE. */
static int64_t decided(const struct program *program, const struct expression *expression, enum event_call call)
{
	const struct check *check = &program->checks[expression->check - 1];
	const struct slot *slot = &program->slots[check->slot];
	struct text name = text_of(event_call_name(call));
	bool found = false;

	if (check->right || check->relation == OPERATOR_EXISTS)
		return NO_NODE;
	if (check->constant_count == 0 && check->quantifier != QUANTIFIER_ALL)
		return FALSE_NODE; /* in () */
	if (slot->kind != SLOT_FIELD || check->quantifier)
		return NO_NODE;
	if (strcmp(slot->use.field->name, "evt.num") == 0 && check->relation == OPERATOR_EQUAL &&
		check->constants[0].number == 0)
		return FALSE_NODE;
	if (strcmp(slot->use.field->name, "evt.type") != 0 && strcmp(slot->use.field->name, "syscall.type") != 0)
		return NO_NODE;
	for (size_t i = 0; i < check->constant_count; i++)
		found = found || text_equal(name, check->constants[i].text);
	switch (check->relation) {
	case OPERATOR_EQUAL:
	case OPERATOR_IN: return found ? TRUE_NODE : FALSE_NODE;
	case OPERATOR_NOT_EQUAL: return found ? FALSE_NODE : TRUE_NODE;
	default: return NO_NODE;
	}
}

int64_t program_node(struct program *program, struct expression *expression, enum event_call call)
{
	struct definition_macro *macro = expression->definition;
	int64_t node;
	uint32_t check;

	switch (expression->kind) {
	case EXPRESSION_CHECK:
		node = decided(program, expression, call);
		check = expression->check - 1;
		return node == NO_NODE ? add_node(program, NODE_CHECK, &check, 1) : node;
	case EXPRESSION_NOT: return not_node(program, program_node(program, expression->children[0], call));
	case EXPRESSION_MACRO:
		if (macro->nodes[call] == 0) {
			node = program_node(program, macro->expression, call);
			if (node == NO_NODE)
				return NO_NODE;
			macro->nodes[call] = node + 1;
		}
		return macro->nodes[call] - 1;
	default: return chain_node(program, expression, call);
	}
}
