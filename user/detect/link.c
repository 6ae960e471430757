/* SPDX-License-Identifier: Apache-2.0 */
/* Names come together: lists as text, before a condition is parsed; macros as expressions, after it. */
#include <errno.h>

#include "detect/loader.h"

/* --- lists ---------------------------------------------------------------------------------------------------------------- */

static int add_item(struct arena *arena, struct definition_list *list, struct text item)
{
	struct text *slot = arena_append(arena, &list->items, &list->item_count, sizeof(*slot));

	if (!slot)
		return -ENOMEM;
	*slot = item;
	return 0;
}

/*
 * The lists with lists in them, one level deep: an item that names a list which was defined before stands for the items
 * of that one, as they are written.
 */
static struct definition_list *flatten_lists(struct rules_loader *loader)
{
	struct definitions *definitions = &loader->definitions;
	struct definition_list *flat = arena_take(&loader->arena, definitions->list_count * sizeof(*flat));
	int error = flat ? 0 : -ENOMEM;

	for (size_t i = 0; i < definitions->list_count && !error; i++) {
		const struct definition_list *list = definitions->lists[i];

		flat[i].name = list->name;
		for (size_t k = 0; k < list->item_count && !error; k++) {
			struct definition_list *inner = definitions_find(definitions, 'L', list->items[k]);

			if (!inner || inner->position >= list->visibility || inner == list) {
				error = add_item(&loader->arena, &flat[i], list->items[k]);
				continue;
			}
			inner->used = true;
			for (size_t m = 0; m < inner->item_count && !error; m++)
				error = add_item(&loader->arena, &flat[i], inner->items[m]);
		}
	}
	return error ? NULL : flat;
}

/* A condition's words that could be a list's name, so that not every list is looked for in every condition. */
static bool could_be_there(const struct phrase *condition, struct text name)
{
	return condition->length >= name.length && name.length > 0 &&
	       memmem(condition->bytes, condition->length, name.data, name.length);
}

static void replace_lists(struct rules_loader *loader, const struct definition_list *flat, struct phrase *condition)
{
	for (size_t i = 0; i < loader->definitions.list_count && !condition->failed; i++)
		if (could_be_there(condition, flat[i].name) &&
			phrase_replace_list(condition, flat[i].name, flat[i].items, flat[i].item_count))
			loader->definitions.lists[i]->used = true;
}

/* --- macros --------------------------------------------------------------------------------------------------------------- */

struct linking {
	struct rules_loader *loader;
	unsigned int visibility; /* macros of positions below this one are seen */
	unsigned int level;      /* how deep this is, from the rule or macro on */
};

static int link_expression(struct linking *linking, struct expression *expression, unsigned int *depth);

/* Links what a macro names, once. 0 or -EINVAL. */
static int link_macro(struct linking *linking, struct definition_macro *macro, uint32_t place, unsigned int *depth)
{
	struct sources *sources = &linking->loader->sources;
	struct linking inner = {linking->loader, macro->visibility, linking->level};

	if (macro->broken || !macro->expression)
		return -EINVAL; /* its own problem was noted */
	if (macro->linking)
		return sources_error(sources, place, "the macro %.*s names itself", SOURCE_WORDS(macro->name));
	if (!macro->linked) {
		macro->linking = true;
		if (link_expression(&inner, macro->expression, &macro->depth) < 0)
			macro->broken = true;
		macro->linking = false;
		macro->linked = true;
	}
	*depth = macro->depth;
	return macro->broken ? -EINVAL : 0;
}

static int link_reference(struct linking *linking, struct expression *expression, unsigned int *depth)
{
	struct definition_macro *macro = definitions_find(&linking->loader->definitions, 'M', expression->macro);
	struct sources *sources = &linking->loader->sources;

	if (!macro)
		return sources_error(
			sources, expression->place, "there is no macro %.*s", SOURCE_WORDS(expression->macro));
	macro->used = true;
	if (macro->position >= linking->visibility)
		return sources_error(sources, expression->place, "the macro %.*s is not defined before this one",
			SOURCE_WORDS(expression->macro));
	expression->definition = macro;
	return link_macro(linking, macro, expression->place, depth);
}

static int link_expression(struct linking *linking, struct expression *expression, unsigned int *depth)
{
	unsigned int deepest = 0, inner = 0;
	int result = 0;

	if (++linking->level > EXPRESSION_DEPTH_MAX) {
		linking->level--;
		return sources_error(&linking->loader->sources, expression->place,
			"with its macros this is nested deeper than %d", EXPRESSION_DEPTH_MAX);
	}
	if (expression->kind == EXPRESSION_MACRO)
		result = link_reference(linking, expression, &deepest);
	for (size_t i = 0; i < expression->child_count; i++) {
		if (link_expression(linking, expression->children[i], &inner) < 0)
			result = -EINVAL;
		deepest = inner > deepest ? inner : deepest;
	}
	linking->level--;
	*depth = deepest + 1;
	if (!result && linking->level + *depth > EXPRESSION_DEPTH_MAX)
		result = sources_error(&linking->loader->sources, expression->place,
			"with its macros this is nested deeper than %d", EXPRESSION_DEPTH_MAX);
	return result;
}

/* --- all ------------------------------------------------------------------------------------------------------------------ */

static void link_macros(struct rules_loader *loader, const struct definition_list *flat)
{
	struct definitions *definitions = &loader->definitions;

	for (size_t i = 0; i < definitions->macro_count; i++) {
		struct definition_macro *macro = definitions->macros[i];

		if (macro->broken)
			continue;
		replace_lists(loader, flat, &macro->condition);
		macro->expression = expression_parse(&loader->sources, &macro->condition);
		macro->broken = !macro->expression;
	}
	for (size_t i = 0; i < definitions->macro_count; i++) {
		struct definition_macro *macro = definitions->macros[i];
		struct linking linking = {loader, macro->visibility, 0};
		unsigned int depth;

		link_macro(&linking, macro, macro->place, &depth);
	}
}

static void warn_unused(struct rules_loader *loader)
{
	const struct definitions *definitions = &loader->definitions;

	for (size_t i = 0; i < definitions->macro_count; i++)
		if (!definitions->macros[i]->used)
			sources_warning(&loader->sources, definitions->macros[i]->place, "the macro %.*s is not used",
				SOURCE_WORDS(definitions->macros[i]->name));
	for (size_t i = 0; i < definitions->list_count; i++)
		if (!definitions->lists[i]->used)
			sources_warning(&loader->sources, definitions->lists[i]->place, "the list %.*s is not used",
				SOURCE_WORDS(definitions->lists[i]->name));
}

/* What a rule's sequence begins with. */
static void link_after(struct rules_loader *loader, const struct definition_list *flat, struct definition_rule *rule)
{
	struct linking linking = {loader, UINT32_MAX, 0};
	unsigned int depth;

	replace_lists(loader, flat, &rule->window.after);
	rule->after = expression_parse(&loader->sources, &rule->window.after);
	if (!rule->after || link_expression(&linking, rule->after, &depth) < 0)
		rule->broken = true;
}

void loader_link(struct rules_loader *loader, struct expression **expressions)
{
	struct definitions *definitions = &loader->definitions;
	struct definition_list *flat = flatten_lists(loader);

	if (!flat) {
		loader->sources.failed = true;
		return;
	}
	link_macros(loader, flat);
	for (size_t i = 0; i < definitions->rule_count; i++) {
		struct definition_rule *rule = definitions->rules[i];
		struct linking linking = {loader, UINT32_MAX, 0};
		struct expression *expression;
		unsigned int depth;

		if (!rule->condition.bytes)
			continue; /* its problem was noted */
		definitions_add_exceptions(definitions, rule, &rule->condition);
		replace_lists(loader, flat, &rule->condition);
		expression = expression_parse(&loader->sources, &rule->condition);
		expressions[i] = expression;
		/* What else is wrong with it is found all the same. */
		if (expression && link_expression(&linking, expression, &depth) < 0)
			rule->broken = true;
		if (rule->window.after.bytes)
			link_after(loader, flat, rule);
	}
	warn_unused(loader);
}
