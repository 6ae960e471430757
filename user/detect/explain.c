/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule compiles to, in words. */
#include <inttypes.h>
#include <stdio.h>

#include "detect/set.h"

enum { OUT_MAX = 256 * 1024, DEPTH_MAX = 40, WORDS_SHOWN = 8 };

static void add(struct buffer *out, const char *words)
{
	buffer_append(out, words, strlen(words));
}

static void add_text(struct buffer *out, struct text text)
{
	buffer_append(out, text.data, text.length);
}

static void add_check(struct buffer *out, const struct program *program, const struct check *check)
{
	static const char *const quantifiers[] = {"", "oneof ", "anyof ", "allof "};
	bool list = check->quantifier || expression_operator_takes(check->relation) == TAKES_LIST;
	char words[64];

	add_text(out, program->slots[check->slot].name);
	add(out, " ");
	add(out, expression_operator_name(check->relation));
	if (check->relation == OPERATOR_EXISTS)
		return;
	add(out, " ");
	add(out, quantifiers[check->quantifier]);
	if (check->right) {
		add_text(out, program->slots[check->right - 1].name);
		return;
	}
	add(out, list ? "(" : "");
	for (size_t i = 0; i < check->constant_count && i < WORDS_SHOWN; i++) {
		const struct constant *constant = &check->constants[i];

		add(out, i ? ", " : "");
		if (program->slots[check->slot].type == FIELD_TEXT) {
			add(out, "\"");
			add_text(out, constant->text);
			add(out, "\"");
		} else {
			snprintf(words, sizeof(words), "%" PRId64, constant->number);
			add(out, program->slots[check->slot].type >= FIELD_ADDRESS ? "…" : words);
		}
	}
	if (check->constant_count > WORDS_SHOWN) {
		snprintf(words, sizeof(words), ", … %zu in all", check->constant_count);
		add(out, words);
	}
	add(out, list ? ")" : "");
}

static void add_node(struct buffer *out, const struct program *program, uint32_t number, unsigned int depth)
{
	const struct node *node = &program->nodes[number];

	for (unsigned int i = 0; i < depth; i++)
		add(out, "  ");
	if (out->length > OUT_MAX || depth > DEPTH_MAX) {
		add(out, "…\n");
		return;
	}
	switch (node->kind) {
	case NODE_CHECK: add_check(out, program, &program->checks[node->children[0]]); break;
	case NODE_AND: add(out, "all of"); break;
	case NODE_OR: add(out, "any of"); break;
	case NODE_NOT: add(out, "not"); break;
	default: add(out, node->kind == NODE_TRUE ? "always" : "never"); break;
	}
	add(out, "\n");
	for (uint32_t i = 0; node->kind != NODE_CHECK && i < node->count && out->length <= OUT_MAX; i++)
		add_node(out, program, node->children[i], depth + 1);
}

/* The node of a rule for a call's events; NO_NODE if it cannot match them. */
static int64_t node_for(const struct rules *rules, size_t rule, int call)
{
	const struct call_program *program = &rules->program.calls[call];

	for (size_t i = 0; i < program->count; i++)
		if (program->rules[i] == rule)
			return program->nodes[i];
	return NO_NODE;
}

/* Calls with the same node share a heading. */
static void add_programs(struct buffer *out, const struct rules *rules, size_t rule)
{
	bool done[EVENT_CALLS_END] = {false};

	for (int call = 1; call < EVENT_CALLS_END; call++) {
		int64_t node = node_for(rules, rule, call);

		if (node == NO_NODE || done[call])
			continue;
		add(out, "on");
		for (int other = call; other < EVENT_CALLS_END; other++)
			if (node_for(rules, rule, other) == node) {
				done[other] = true;
				add(out, " ");
				add(out, event_call_name((enum event_call)other));
			}
		add(out, ":\n");
		add_node(out, &rules->program, (uint32_t)node, 1);
	}
}

void rules_explain(const struct rules *rules, const struct rules_rule *public, struct buffer *out)
{
	const struct rule *rule = &rules->rules[public->number];
	bool some = false;

	add(out, "rule: ");
	add_text(out, public->name);
	add(out, "\nfile: ");
	add_text(out, public->file);
	add(out, "\npriority: ");
	add(out, rules_priority_name(public->priority));
	add(out, public->enabled ? "\nenabled: yes\ntags:" : "\nenabled: no\ntags:");
	for (size_t i = 0; i < public->tag_count; i++) {
		add(out, i ? ", " : " ");
		add_text(out, public->tags[i]);
	}
	add(out, "\nevents:");
	for (int call = 1; call < EVENT_CALLS_END; call++)
		if (event_types_has(&rule->types, call)) {
			add(out, some ? ", " : " ");
			add(out, event_call_name((enum event_call)call));
			some = true;
		}
	add(out, some ? "\n" : " none that is recorded\n");
	add_programs(out, rules, public->number);
}
