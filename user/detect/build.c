/* SPDX-License-Identifier: Apache-2.0 */
/* A set of rules is made of definitions whose names have come together. */
#include <errno.h>
#include <stdlib.h>

#include "detect/index.h"
#include "detect/loader.h"

enum { MANY_TYPES = 100 };

_Static_assert(EVENT_CALLS_END <= 64, "there is a bit for each call");

static bool has_one(const struct text *tags, size_t tag_count, const struct text *wanted, size_t wanted_count)
{
	for (size_t i = 0; i < tag_count; i++)
		for (size_t k = 0; k < wanted_count; k++)
			if (text_equal(tags[i], wanted[k]))
				return true;
	return false;
}

static bool is_chosen(const struct definition_rule *rule, const struct rules_options *options)
{
	return rule->enabled && rule->priority <= options->priority &&
	       (!options->tags || has_one(rule->tags, rule->tag_count, options->tags, options->tag_count)) &&
	       !has_one(rule->tags, rule->tag_count, options->without_tags, options->without_tag_count);
}

static struct text copy_phrase(struct arena *arena, const struct phrase *phrase)
{
	return arena_copy(arena, (struct text){phrase->bytes, phrase->length});
}

/* What people see of a rule, into the set's own memory: the loader's goes. */
static int describe(struct rules *rules, const struct definition_rule *definition, bool chosen, struct rule *rule)
{
	struct text *tags = arena_take(&rules->arena, definition->tag_count * sizeof(*tags));
	struct rules_rule *public = &rule->public;

	if (!tags)
		return -ENOMEM;
	for (size_t i = 0; i < definition->tag_count; i++) {
		tags[i] = arena_copy(&rules->arena, definition->tags[i]);
		if (!tags[i].data)
			return -ENOMEM;
	}
	public->name = arena_copy(&rules->arena, definition->name);
	public->file = arena_copy(&rules->arena, definition->file);
	public->description = copy_phrase(&rules->arena, &definition->description);
	public->output = copy_phrase(&rules->arena, &definition->output);
	rule->condition = copy_phrase(&rules->arena, &definition->condition);
	public->priority = definition->priority;
	public->tags = tags;
	public->tag_count = definition->tag_count;
	public->enabled = chosen;
	public->number = (size_t)(rule - rules->rules);
	return public->name.data && public->file.data && public->description.data && public->output.data &&
			       rule->condition.data
		       ? 0
		       : -ENOMEM;
}

/* Adds the rule to the programs of the calls whose events it can match. */
static int add_to_calls(struct rules *rules, struct rule *rule, bool *possible)
{
	for (int call = 1; call < EVENT_CALLS_END; call++) {
		struct call_program *program = &rules->program.calls[call];
		uint32_t *number_slot, *node_slot;
		int64_t node;

		if (!event_types_has(&rule->types, call))
			continue;
		node = program_node(&rules->program, rule->expression, (enum event_call)call);
		if (node == NO_NODE)
			return -ENOMEM;
		if (node == FALSE_NODE)
			continue;
		*possible = true;
		if (!rule->public.enabled)
			continue;
		number_slot = arena_append(&rules->arena, &program->rules, &program->count, sizeof(*number_slot));
		node_slot = arena_append(&rules->arena, &program->nodes, &program->node_count, sizeof(*node_slot));
		if (!number_slot || !node_slot)
			return -ENOMEM;
		*number_slot = (uint32_t)rule->public.number;
		*node_slot = (uint32_t)node;
	}
	return 0;
}

/* Adds what the rule's sequence begins with to the programs of its calls. */
static int add_after(struct rules *rules, struct rule *rule, struct expression *after)
{
	program_types(after, false, &rule->after_types);
	for (int call = 1; call < EVENT_CALLS_END; call++) {
		struct call_program *program = &rules->program.calls[call];
		uint32_t *number_slot, *node_slot;
		int64_t node;

		if (!event_types_has(&rule->after_types, call))
			continue;
		node = program_node(&rules->program, after, (enum event_call)call);
		if (node == FALSE_NODE || !rule->public.enabled)
			continue;
		number_slot =
			arena_append(&rules->arena, &program->after_rules, &program->after_count, sizeof(*number_slot));
		node_slot = arena_append(
			&rules->arena, &program->after_nodes, &program->after_node_count, sizeof(*node_slot));
		if (node == NO_NODE || !number_slot || !node_slot)
			return -ENOMEM;
		*number_slot = (uint32_t)rule->public.number;
		*node_slot = (uint32_t)node;
	}
	return 0;
}

/* The fields that matches are counted by. */
static int compile_by(struct rules *rules, struct sources *sources, struct window_count *count)
{
	for (size_t i = 0; i < count->by_count; i++) {
		const struct document_node *node = count->by_nodes[i];
		struct operand operand = {.kind = OPERAND_FIELD, .name = node->word, .place = node->place};
		int error;

		if (text_equal(node->word, TEXT_LITERAL("container")))
			operand.name = TEXT_LITERAL("container.full_id");
		error = program_slot(&rules->program, sources, &operand, true, &count->by[i]);
		count->by_nodes[i] = NULL; /* the loader's memory, which goes */
		if (error)
			return error;
	}
	return 0;
}

static int copy_zone(struct arena *arena, struct window_zone *zone)
{
	struct window_zone copy = {.count = zone->count};

	copy.transitions = arena_take(arena, zone->count * sizeof(*copy.transitions));
	copy.offsets = arena_take(arena, zone->count * sizeof(*copy.offsets));
	if (!copy.transitions || !copy.offsets)
		return -ENOMEM;
	if (zone->count > 0) {
		memcpy(copy.transitions, zone->transitions, zone->count * sizeof(*copy.transitions));
		memcpy(copy.offsets, zone->offsets, zone->count * sizeof(*copy.offsets));
	}
	*zone = copy;
	return 0;
}

/* 0; -EINVAL after a problem was noted; -ENOMEM. */
static int build_window(
	struct rules *rules, struct sources *sources, const struct definition_rule *definition, struct rule *rule)
{
	int error, other;

	rule->window = definition->window;
	rule->window.after = (struct phrase){0};
	if (copy_zone(&rules->arena, &rule->window.hours.zone) < 0)
		return -ENOMEM;
	error = compile_by(rules, sources, &rule->window.threshold);
	other = compile_by(rules, sources, &rule->window.sequence);
	if (!error)
		error = other;
	if (!error && definition->after)
		error = program_resolve(&rules->program, sources, definition->after, true);
	return error == -ENOENT ? -EINVAL : error;
}

static void warn_of_types(
	struct rules_loader *loader, const struct definition_rule *definition, const struct rule *rule, bool possible)
{
	struct sources *sources = &loader->sources;
	size_t count = event_types_count(&rule->types);
	bool recorded = false;

	for (int call = 1; call < EVENT_CALLS_END; call++)
		recorded = recorded || event_types_has(&rule->types, call);
	if (count == 0)
		sources_warning(sources, definition->place, "the rule can never match: no type of event is left to it");
	else if (!recorded)
		sources_warning(
			sources, definition->place, "the rule can never match: no event is of a type that it asks for");
	else if (!possible)
		sources_warning(sources, definition->place, "the rule can never match: its condition is always false");
	else if (count > MANY_TYPES && !definition->quiet_types)
		sources_warning(sources, definition->place,
			"the rule matches %zu types of events, which costs time: let it ask for evt.type", count);
}

/* Is what an exception compares known? */
static int check_field(struct rules *rules, struct sources *sources, const struct document_node *node, bool report)
{
	struct phrase phrase = {.arena = sources->arena};
	struct operand *operand;
	uint32_t slot;
	size_t taken;

	phrase_add_node(&phrase, sources, node);
	if (phrase.failed)
		return -ENOMEM;
	operand = expression_parse_operand(sources, (struct text){phrase.bytes, phrase.length}, phrase.places, &taken);
	if (!operand)
		return -EINVAL;
	if (taken < phrase.length)
		return sources_error(sources, phrase.places[taken], "nothing more is expected behind the field");
	return program_slot(&rules->program, sources, operand, report, &slot);
}

/* The fields of exceptions that have no values yet must be known, too. */
static int check_exceptions(
	struct rules *rules, struct sources *sources, const struct definition_rule *definition, bool report)
{
	int result = 0;

	for (size_t i = 0; i < definition->exception_count; i++) {
		const struct definition_exception *exception = &definition->exceptions[i];

		for (size_t k = 0; exception->value_count == 0 && k < exception->field_count; k++) {
			int error = check_field(rules, sources, exception->fields[k], report);

			result = error ? error : result;
		}
	}
	return result;
}

/* 0, also after a problem was noted; -ENOMEM. */
static int build_rule(struct rules_loader *loader, struct rules *rules, const struct definition_rule *definition,
	const struct rules_options *options, struct rule *rule)
{
	struct sources *sources = &loader->sources;
	bool report = !definition->skip_unknown, possible = false;
	int error = describe(rules, definition, is_chosen(definition, options), rule), output, window;

	if (error)
		return error;
	error = program_resolve(&rules->program, sources, rule->expression, report);
	if (!error)
		error = check_exceptions(rules, sources, definition, report);
	output = output_compile(rules, sources, rule, &definition->output, report);
	if (error == -ENOMEM || output == -ENOMEM)
		return -ENOMEM;
	if ((error == -ENOENT || output == -ENOENT) && !report && error != -EINVAL && output != -EINVAL) {
		sources_warning(sources, definition->place,
			"the rule is skipped: it asks for a field or a type of event that is not known");
		rule->public.enabled = false;
		return 0;
	}
	window = build_window(rules, sources, definition, rule);
	if (window == -ENOMEM)
		return window;
	if (error || output || window || definition->broken)
		return 0;
	program_types(rule->expression, false, &rule->types);
	error = add_to_calls(rules, rule, &possible);
	if (!error && definition->after)
		error = add_after(rules, rule, definition->after);
	if (!error)
		warn_of_types(loader, definition, rule, possible);
	return error;
}

static bool count_asks_for_data(const struct window_count *count, const bool *slots)
{
	bool asks = false;

	for (size_t i = 0; i < count->by_count; i++)
		asks |= slots[count->by[i]];
	return asks;
}

/* Do the rules of a call, by their conditions, outputs or windows? `slots`, `nodes`: which do. */
static bool call_asks_for_data(
	const struct rules *rules, const struct call_program *program, const bool *slots, const bool *nodes)
{
	bool asks = false;

	for (size_t i = 0; i < program->count; i++) {
		const struct rule *rule = &rules->rules[program->rules[i]];

		asks |= nodes[program->nodes[i]] || count_asks_for_data(&rule->window.threshold, slots) ||
			count_asks_for_data(&rule->window.sequence, slots);
		for (size_t k = 0; k < rule->part_count; k++)
			asks |= rule->parts[k].slot && slots[rule->parts[k].slot - 1];
	}
	for (size_t i = 0; i < program->after_count; i++)
		asks |= nodes[program->after_nodes[i]];
	return asks;
}

/* Of which calls do rules that can match ask for the data? What a slot or a node is made of has smaller numbers. */
static int find_data_calls(struct rules *rules)
{
	const struct program *program = &rules->program;
	bool *slots = calloc(program->slot_count + 1, sizeof(*slots)),
	     *nodes = calloc(program->node_count + 1, sizeof(*nodes));
	int error = slots && nodes ? 0 : -ENOMEM;

	for (size_t i = 0; i < program->slot_count && !error; i++) {
		const struct slot *slot = &program->slots[i];

		slots[i] = slot->kind == SLOT_FIELD && field_asks_for_data(&slot->use);
		for (size_t k = 0; k < slot->input_count; k++)
			slots[i] |= slots[slot->inputs[k]];
	}
	for (size_t i = 0; i < program->node_count && !error; i++) {
		const struct node *node = &program->nodes[i];

		for (uint32_t k = 0; k < node->count; k++) {
			const struct check *check = &program->checks[node->children[k]];

			if (node->kind == NODE_CHECK)
				nodes[i] |= slots[check->slot] || (check->right && slots[check->right - 1]);
			else
				nodes[i] |= nodes[node->children[k]];
		}
	}
	for (int call = 1; call < EVENT_CALLS_END && !error; call++)
		if (call_asks_for_data(rules, &program->calls[call], slots, nodes))
			rules->data_calls |= 1ull << call;
	free(slots);
	free(nodes);
	return error;
}

int loader_build(struct rules_loader *loader, struct rules *rules, struct expression **expressions,
	const struct rules_options *options)
{
	struct definitions *definitions = &loader->definitions;
	int error = program_open(&rules->program, &rules->arena);

	rules->all = options->all;
	rules->rules = arena_take(&rules->arena, definitions->rule_count * sizeof(*rules->rules));
	if (!rules->rules)
		return -ENOMEM;
	rules->rule_count = definitions->rule_count;
	for (size_t i = 0; i < definitions->rule_count && !error; i++) {
		rules->rules[i].expression = expressions[i];
		if (expressions[i])
			error = build_rule(loader, rules, definitions->rules[i], options, &rules->rules[i]);
	}
	for (size_t i = 0; i < rules->rule_count; i++)
		rules->rules[i].expression = NULL; /* the loader's memory, which goes */
	for (int call = 1; call < EVENT_CALLS_END && !error; call++) {
		struct call_program *program = &rules->program.calls[call];

		if (program->count > rules->call_rules_max)
			rules->call_rules_max = program->count;
		if (program->count > 0)
			error = index_build(&rules->program, program);
	}
	return error ? error : find_data_calls(rules);
}

/* --- what a set tells ----------------------------------------------------------------------------------------------------- */

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	for (int call = 0; call < EVENT_CALLS_END; call++)
		if (rules->program.calls[call].index)
			index_free(rules->program.calls[call].index);
	program_close(&rules->program);
	arena_free(&rules->arena);
	free(rules);
}

size_t rules_count(const struct rules *rules)
{
	return rules->rule_count;
}

const struct rules_rule *rules_at(const struct rules *rules, size_t number)
{
	return &rules->rules[number].public;
}

const struct rules_rule *rules_find(const struct rules *rules, struct text name)
{
	for (size_t i = 0; i < rules->rule_count; i++)
		if (text_equal(rules->rules[i].public.name, name))
			return &rules->rules[i].public;
	return NULL;
}

uint64_t rules_calls(const struct rules *rules)
{
	uint64_t calls = 0;

	for (int call = 1; call < EVENT_CALLS_END; call++)
		if (rules->program.calls[call].count > 0 || rules->program.calls[call].after_count > 0)
			calls |= 1ull << call;
	return calls;
}

uint64_t rules_data_calls(const struct rules *rules)
{
	return rules->data_calls;
}

static bool waits_for(const struct rule *rule, int type)
{
	return event_types_has(&rule->types, type) || event_types_has(&rule->after_types, type);
}

uint64_t rules_calls_of(const struct rules *rules, const struct rules_rule *rule)
{
	uint64_t calls = 0;

	for (int call = 1; call < EVENT_CALLS_END; call++)
		if (waits_for(&rules->rules[rule->number], call))
			calls |= 1ull << call;
	return calls;
}

uint64_t rules_wants_of(const struct rules *rules, const struct rules_rule *rule)
{
	uint64_t calls = rules_calls_of(rules, rule);

	if (!waits_for(&rules->rules[rule->number], EVENT_TYPE_ORDINARY_SOCKET))
		calls &= ~(1ull << EVENT_CALL_SOCKET);
	return calls;
}

uint64_t rules_wants(const struct rules *rules)
{
	uint64_t calls = 0;

	for (size_t i = 0; i < rules->rule_count; i++)
		if (rules->rules[i].public.enabled)
			calls |= rules_wants_of(rules, &rules->rules[i].public);
	return calls & rules_calls(rules);
}
