/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: fields, how they are compared, and the values that a rule does not speak of. */
#include <errno.h>

#include "detect/definitions.h"

/* The word that a text begins with, which is taken off it with the blanks around it. */
static struct text take_word(struct text *text)
{
	static const char blanks[] = " \t\r\n";
	struct text word;

	for (; text->length > 0 && strchr(blanks, *text->data); text->length--)
		text->data++;
	word = (struct text){text->data, 0};
	for (; text->length > 0 && !strchr(blanks, *text->data); text->length--, text->data++)
		word.length++;
	for (; text->length > 0 && strchr(blanks, *text->data); text->length--)
		text->data++;
	return word;
}

/* What a comparison takes: "in" or "startswith oneof" a list, "=" a word. -1 if it is none. */
static int comparison_takes(struct text comparison)
{
	struct text word = take_word(&comparison), quantifier = take_word(&comparison);
	int relation = expression_operator_find(word);
	enum expression_takes takes;

	if (relation < 0 || comparison.length > 0)
		return -1;
	takes = expression_operator_takes((enum expression_operator)relation);
	if (quantifier.length == 0)
		return (int)takes;
	return takes == TAKES_WORD && expression_is_quantifier(quantifier) ? (int)TAKES_LIST : -1;
}

static bool takes_list(struct text comparison)
{
	return comparison_takes(comparison) == TAKES_LIST;
}

static int add_field(struct definitions *definitions, struct definition_exception *exception,
	const struct document_node *field, const struct document_node *comparison)
{
	const struct document_node **field_slot;
	struct text *comparison_slot, name = exception->scalar ? TEXT_LITERAL("in") : TEXT_LITERAL("=");
	const struct document_node *where = comparison ? comparison : field;
	size_t count = exception->field_count;

	if (field->shape != DOCUMENT_WORD || (comparison && comparison->shape != DOCUMENT_WORD))
		return sources_error(definitions->sources, field->place, "a field and how it is compared are texts");
	if (comparison)
		name = comparison->word;
	if (comparison_takes(name) < 0)
		return sources_error(definitions->sources, where->place, "\"%.*s\" is no operator", SOURCE_WORDS(name));
	if (exception->scalar && !takes_list(name))
		return sources_error(definitions->sources, where->place,
			"a single field is compared by in, pmatch or intersects, or with oneof, anyof or allof");
	comparison_slot = arena_append(definitions->arena, &exception->comparisons, &count, sizeof(*comparison_slot));
	field_slot = arena_append(
		definitions->arena, &exception->fields, &exception->field_count, sizeof(const struct document_node *));
	if (!field_slot || !comparison_slot)
		return -ENOMEM;
	*field_slot = field;
	*comparison_slot = name;
	return 0;
}

static int read_fields(struct definitions *definitions, struct definition_exception *exception,
	const struct document_node *fields, const struct document_node *comparisons)
{
	int error = 0;

	exception->scalar = fields->shape == DOCUMENT_WORD;
	if (exception->scalar) {
		if (comparisons && comparisons->shape != DOCUMENT_WORD)
			return sources_error(
				definitions->sources, comparisons->place, "`comps` is a text where `fields` is one");
		return add_field(definitions, exception, fields, comparisons);
	}
	if (fields->shape != DOCUMENT_SEQUENCE || fields->count == 0)
		return sources_error(definitions->sources, fields->place, "`fields` takes a field or a list of fields");
	if (comparisons && (comparisons->shape != DOCUMENT_SEQUENCE || comparisons->count != fields->count))
		return sources_error(
			definitions->sources, comparisons->place, "`comps` is a list as long as that of `fields`");
	for (size_t i = 0; i < fields->count && !error; i++)
		error = add_field(definitions, exception, fields->items[i], comparisons ? comparisons->items[i] : NULL);
	return error;
}

static int add_value(
	struct definitions *definitions, struct definition_exception *exception, const struct document_node *value)
{
	const struct document_node **slot;

	if (exception->scalar && value->shape != DOCUMENT_WORD)
		return sources_error(definitions->sources, value->place, "the values of a single field are texts");
	if (!exception->scalar && (value->shape != DOCUMENT_SEQUENCE || value->count != exception->field_count))
		return sources_error(definitions->sources, value->place,
			"each of the values is a list of %zu, one a field", exception->field_count);
	for (size_t i = 0; i < value->count; i++) {
		const struct document_node *part = value->items[i];

		if (part->shape == DOCUMENT_MAPPING)
			return sources_error(definitions->sources, part->place, "a value is a text or a list of texts");
		for (size_t k = 0; k < part->count; k++)
			if (part->items[k]->shape != DOCUMENT_WORD)
				return sources_error(definitions->sources, part->items[k]->place,
					"a value is a text or a list of texts");
	}
	slot = arena_append(
		definitions->arena, &exception->values, &exception->value_count, sizeof(const struct document_node *));
	if (!slot)
		return -ENOMEM;
	*slot = value;
	return 0;
}

static struct definition_exception *find(struct definition_rule *rule, struct text name)
{
	for (size_t i = 0; i < rule->exception_count; i++)
		if (text_equal(rule->exceptions[i].name, name))
			return &rule->exceptions[i];
	return NULL;
}

static int read_exception(
	struct definitions *definitions, struct definition_rule *rule, const struct document_node *item, bool append)
{
	static const char *const known[] = {"name", "fields", "comps", "values", NULL};
	const struct document_node *name, *fields = document_member(item, "fields"), *values;
	struct definition_exception *exception;
	int error = 0;

	if (item->shape != DOCUMENT_MAPPING)
		return sources_error(definitions->sources, item->place, "an exception has a name, fields and values");
	if (item_word(definitions, item, "name", true, &name) < 0)
		return -EINVAL;
	item_warn_unknown(definitions, item, known);
	values = document_member(item, "values");
	exception = find(rule, name->word);
	if (exception && !append) {
		sources_warning(definitions->sources, name->place, "the rule has an exception %.*s already",
			SOURCE_WORDS(name->word));
		exception = NULL;
	}
	if (exception && (fields || document_member(item, "comps")))
		return sources_error(definitions->sources, item->place,
			"the exception %.*s is there: only values can be added to it", SOURCE_WORDS(name->word));
	if (!exception) {
		if (!fields)
			return sources_error(definitions->sources, item->place, "the exception %.*s has no `fields`",
				SOURCE_WORDS(name->word));
		exception =
			arena_append(definitions->arena, &rule->exceptions, &rule->exception_count, sizeof(*exception));
		if (!exception)
			return -ENOMEM;
		exception->name = name->word;
		exception->place = name->place;
		error = read_fields(definitions, exception, fields, document_member(item, "comps"));
		if (error)
			return error;
	}
	if (!values || document_is_nothing(values))
		return 0;
	if (values->shape != DOCUMENT_SEQUENCE)
		return sources_error(definitions->sources, values->place, "`values` takes a list");
	for (size_t i = 0; i < values->count && !error; i++)
		error = add_value(definitions, exception, values->items[i]);
	return error;
}

int definitions_read_exceptions(struct definitions *definitions, struct definition_rule *rule,
	const struct document_node *exceptions, bool append)
{
	int result = 0;

	if (document_is_nothing(exceptions))
		return 0;
	if (exceptions->shape != DOCUMENT_SEQUENCE)
		return sources_error(definitions->sources, exceptions->place, "`exceptions` takes a list");
	if (!append)
		rule->exceptions = NULL, rule->exception_count = 0;
	for (size_t i = 0; i < exceptions->count; i++)
		if (read_exception(definitions, rule, exceptions->items[i], append) < 0)
			result = -EINVAL;
	return result;
}

/* --- as a condition ------------------------------------------------------------------------------------------------------ */

static void add_list(struct phrase *condition, const struct document_node *list)
{
	phrase_add(condition, TEXT_LITERAL("("), list->place);
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			phrase_add(condition, TEXT_LITERAL(", "), list->items[i]->place);
		phrase_add_item(condition, list->items[i]->word, list->items[i]->place);
	}
	phrase_add(condition, TEXT_LITERAL(")"), list->place);
}

/* field comparison value. A text behind an operator that takes a list becomes a list of one, unless it is one. */
static void add_comparison(struct phrase *condition, const struct definition_exception *exception, size_t number,
	const struct document_node *value)
{
	struct text comparison = exception->comparisons[number];
	bool wrap = takes_list(comparison) && !(value->word.length > 0 && value->word.data[0] == '(');

	phrase_add(condition, exception->fields[number]->word, exception->fields[number]->place);
	phrase_add(condition, TEXT_LITERAL(" "), value->place);
	phrase_add(condition, comparison, value->place);
	phrase_add(condition, TEXT_LITERAL(" "), value->place);
	if (value->shape == DOCUMENT_SEQUENCE) {
		add_list(condition, value);
		return;
	}
	if (wrap)
		phrase_add(condition, TEXT_LITERAL("("), value->place);
	phrase_add_item(condition, value->word, value->place);
	if (wrap)
		phrase_add(condition, TEXT_LITERAL(")"), value->place);
}

static void add_exception(struct phrase *condition, const struct definition_exception *exception)
{
	uint32_t place = exception->place;

	phrase_add(condition, TEXT_LITERAL(" and not ("), place);
	if (exception->scalar) {
		phrase_add(condition, exception->fields[0]->word, exception->fields[0]->place);
		phrase_add(condition, TEXT_LITERAL(" "), place);
		phrase_add(condition, exception->comparisons[0], place);
		phrase_add(condition, TEXT_LITERAL(" ("), place);
	}
	for (size_t i = 0; i < exception->value_count; i++) {
		const struct document_node *value = exception->values[i];

		if (i > 0)
			phrase_add(
				condition, exception->scalar ? TEXT_LITERAL(", ") : TEXT_LITERAL(" or "), value->place);
		if (exception->scalar) {
			phrase_add_item(condition, value->word, value->place);
			continue;
		}
		phrase_add(condition, TEXT_LITERAL("("), value->place);
		for (size_t k = 0; k < value->count; k++) {
			if (k > 0)
				phrase_add(condition, TEXT_LITERAL(" and "), value->place);
			add_comparison(condition, exception, k, value->items[k]);
		}
		phrase_add(condition, TEXT_LITERAL(")"), value->place);
	}
	phrase_add(condition, exception->scalar ? TEXT_LITERAL("))") : TEXT_LITERAL(")"), place);
}

int definitions_add_exceptions(
	struct definitions *definitions, const struct definition_rule *rule, struct phrase *condition)
{
	struct phrase whole = {.arena = definitions->arena};

	if (rule->exception_count == 0)
		return 0;
	phrase_add(&whole, TEXT_LITERAL("("), rule->place);
	phrase_add_phrase(&whole, condition);
	phrase_add(&whole, TEXT_LITERAL(")"), rule->place);
	for (size_t i = 0; i < rule->exception_count; i++)
		if (rule->exceptions[i].value_count > 0)
			add_exception(&whole, &rule->exceptions[i]);
	*condition = whole;
	return 0;
}
