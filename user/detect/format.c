/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs: %field, %field[argument], %<n>field, %transformer(field), with an event's values. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "detect/evaluator.h"

enum { WIDTH_MAX = 4096 };

static const struct text missing = TEXT_STATIC("<NA>");

/* --- compiling ---------------------------------------------------------------------------------------------------------- */

static int add_words(struct rules *rules, struct rule *rule, struct text words)
{
	struct output_part *part;

	if (words.length == 0)
		return 0;
	part = arena_append(&rules->arena, &rule->parts, &rule->part_count, sizeof(*part));
	if (!part)
		return -ENOMEM;
	part->words = arena_copy(&rules->arena, words);
	return part->words.data ? 0 : -ENOMEM;
}

/* "%container.info" was a list of fields; it is passed over, with a blank before it. */
static bool take_dropped(struct text text, size_t *at, struct text *words)
{
	static const struct text dropped = TEXT_STATIC("%container.info");
	struct text rest = {text.data + *at, text.length - *at};

	if (!text_starts_with(rest, dropped))
		return false;
	*at += dropped.length;
	if (words->length > 0 && words->data[words->length - 1] == ' ')
		words->length--;
	return true;
}

/* The number behind the `%`, in angle brackets or without. */
static uint32_t take_width(struct text text, size_t *at)
{
	size_t start = *at, digits;
	uint32_t width = 0;
	bool brackets = *at < text.length && text.data[*at] == '<';

	*at += brackets;
	digits = *at;
	for (; *at < text.length && text.data[*at] >= '0' && text.data[*at] <= '9' && width < WIDTH_MAX; ++*at)
		width = 10 * width + (uint32_t)(text.data[*at] - '0');
	if (*at == digits || (brackets && (*at == text.length || text.data[*at] != '>'))) {
		*at = start;
		return 0;
	}
	*at += brackets;
	return width < WIDTH_MAX ? width : WIDTH_MAX;
}

static bool is_of_name(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
	       byte == '_' || byte == '.';
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/*
 * A field at the start of `rest` that takes no argument. Behind it may stand what looks like more of it, ".html", "_2" or
 * "[%proc.pid]": the longest name that is a field's is meant. False if there is none.
 */
static bool take_plain_field(struct text rest, struct operand *operand)
{
	struct field_use use;
	struct text name = rest;
	char why[160];

	for (name.length = 0; name.length < rest.length && is_of_name(rest.data[name.length]);)
		name.length++;
	for (; name.length > 0; name.length--) {
		bool border = name.length == rest.length || !is_of_name(rest.data[name.length]) ||
			      strchr("._", rest.data[name.length]);

		if (!border || field_find(&use, name, (struct text){0}, why, sizeof(why)) < 0)
			continue;
		operand->name = name;
		return use.field->argument == ARGUMENT_NONE || name.length == rest.length ||
		       rest.data[name.length] != '[';
	}
	return false;
}

static int add_field(struct rules *rules, struct sources *sources, struct rule *rule, const struct phrase *output,
	size_t *at, bool report)
{
	uint32_t width = take_width((struct text){output->bytes, output->length}, at), slot;
	struct text rest = {output->bytes + *at, output->length - *at};
	struct operand plain = {.kind = OPERAND_FIELD, .place = output->places[*at]}, *operand = &plain;
	struct output_part *part;
	size_t taken;
	int error;

	if (take_plain_field(rest, &plain))
		taken = plain.name.length;
	else
		operand = expression_parse_operand(sources, rest, output->places + *at, &taken);
	if (!operand)
		return -EINVAL;
	error = program_slot(&rules->program, sources, operand, report, &slot);
	if (error)
		return error;
	part = arena_append(&rules->arena, &rule->parts, &rule->part_count, sizeof(*part));
	if (!part)
		return -ENOMEM;
	*part = (struct output_part){.slot = slot + 1, .width = width};
	*at += taken;
	return 0;
}

int output_compile(
	struct rules *rules, struct sources *sources, struct rule *rule, const struct phrase *output, bool report)
{
	struct text text = {output->bytes, output->length}, words;
	size_t at = 0, start;
	int result = 0;

	if (!output->bytes)
		return 0; /* that it is not there was noted */
	/* Folded text ends with a line's end, which is not meant. */
	while (text.length > 0 && is_blank(text.data[text.length - 1]))
		text.length--;
	while (at < text.length && is_blank(text.data[at]))
		at++;
	at += at < text.length && text.data[at] == '*'; /* a leading star has no meaning any more */
	start = at;
	while (at < text.length) {
		int error;

		if (text.data[at] != '%') {
			at++;
			continue;
		}
		words = (struct text){text.data + start, at - start};
		if (take_dropped(text, &at, &words)) {
			error = add_words(rules, rule, words);
		} else if (at + 1 < text.length && text.data[at + 1] == '%') {
			words.length++;
			error = add_words(rules, rule, words);
			at += 2;
		} else {
			error = add_words(rules, rule, words);
			at++;
			if (!error)
				error = add_field(rules, sources, rule, output, &at, report);
		}
		if (error == -ENOMEM)
			return error;
		if (error && result != -EINVAL)
			result = error;
		start = at;
	}
	words = (struct text){text.data + start, at - start};
	return result ? result : add_words(rules, rule, words);
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */

static void add_value(struct field_text *text, enum field_type type, const struct value *value)
{
	switch (type) {
	case FIELD_TEXT: field_text_add(text, value->text); break;
	case FIELD_NUMBER: field_text_number(text, value->number); break;
	case FIELD_BOOLEAN: field_text_add(text, value->number ? TEXT_LITERAL("true") : TEXT_LITERAL("false")); break;
	default: field_text_address(text, &value->address); break;
	}
}

/* The values that an output shows: of an ancestor without a number, the process itself. */
static const struct values *shown_values(struct rules_evaluator *evaluator, uint32_t number, struct values *own)
{
	const struct slot *slot = &evaluator->rules->program.slots[number];
	struct field_use use = slot->use;

	if (slot->kind != SLOT_FIELD || slot->shape != FIELD_ANY)
		return evaluator_values(evaluator, number);
	use.index = 0;
	*own = (struct values){0};
	slot->use.field->extract(&evaluator->extraction, &use, own);
	return own;
}

/* A slot's value as text: of a list all, with commas; of several else the last. */
static struct rules_value render(struct rules_evaluator *evaluator, uint32_t number)
{
	const struct slot *slot = &evaluator->rules->program.slots[number];
	struct values own;
	const struct values *values = shown_values(evaluator, number, &own);
	struct rules_value result = {.type = RULES_MISSING, .text = missing};
	struct field_text text;

	if (!values->known || (values->count == 0 && slot->shape != FIELD_LIST))
		return result;
	result.type = RULES_TEXT;
	if (values->count == 1 && slot->type == FIELD_TEXT) {
		result.text = values->one.text;
		return result;
	}
	text = field_text_begin(&evaluator->extraction);
	for (size_t i = slot->shape == FIELD_LIST ? 0 : values->count - 1; i < values->count; i++) {
		if (i > 0 && slot->shape == FIELD_LIST)
			field_text_byte(&text, ',');
		add_value(&text, slot->type, values_at(values, i));
	}
	result.text = field_text_end(&text);
	if (values->count == 1 && (slot->type == FIELD_NUMBER || slot->type == FIELD_BOOLEAN)) {
		result.type = slot->type == FIELD_NUMBER ? RULES_NUMBER : RULES_BOOLEAN;
		result.number = values->one.number;
	}
	return result;
}

void rules_output(struct rules_evaluator *evaluator, const struct rules_rule *public, struct buffer *out)
{
	const struct rule *rule = &evaluator->rules->rules[public->number];

	for (size_t i = 0; i < rule->part_count; i++) {
		const struct output_part *part = &rule->parts[i];
		struct text text = part->words;

		if (part->slot)
			text = render(evaluator, part->slot - 1).text;
		if (part->width && text.length > part->width)
			text.length = part->width;
		buffer_append(out, text.data, text.length);
		for (size_t k = text.length; k < part->width; k++)
			buffer_append(out, " ", 1);
	}
}

void rules_output_fields(struct rules_evaluator *evaluator, const struct rules_rule *public,
	void (*each)(void *context, struct text name, const struct rules_value *value), void *context)
{
	const struct rule *rule = &evaluator->rules->rules[public->number];

	for (size_t i = 0; i < rule->part_count; i++) {
		struct rules_value value;
		bool again = rule->parts[i].slot == 0;

		for (size_t k = 0; k < i && !again; k++)
			again = rule->parts[k].slot == rule->parts[i].slot;
		if (again)
			continue;
		value = render(evaluator, rule->parts[i].slot - 1);
		each(context, evaluator->rules->program.slots[rule->parts[i].slot - 1].name, &value);
	}
}

/* Where a value begins is said when the values do not move any more. */
static void take_output(void *context, struct text name, const struct rules_value *value)
{
	static const enum event_output_type types[] = {
		[RULES_MISSING] = EVENT_OUTPUT_MISSING,
		[RULES_TEXT] = EVENT_OUTPUT_TEXT,
		[RULES_NUMBER] = EVENT_OUTPUT_NUMBER,
		[RULES_BOOLEAN] = EVENT_OUTPUT_BOOLEAN,
	};
	struct rules_outputs *outputs = context;
	struct event_output *output;

	if (outputs->count == EVENT_OUTPUTS_MAX)
		return;
	output = &outputs->items[outputs->count++];
	*output = (struct event_output){.name = name, .type = types[value->type]};
	if (value->type == RULES_MISSING)
		return;
	if (value->type == RULES_NUMBER) {
		char digits[24];

		output->value.length = (size_t)snprintf(digits, sizeof(digits), "%" PRId64, value->number);
		buffer_append(&outputs->values, digits, output->value.length);
		return;
	}
	output->value.length = value->text.length;
	if (value->text.length > 0)
		buffer_append(&outputs->values, value->text.data, value->text.length);
}

void rules_outputs_take(struct rules_outputs *outputs, struct rules_evaluator *evaluator, const struct rules_rule *rule)
{
	const char *at;

	buffer_clear(&outputs->values);
	outputs->count = 0;
	rules_output_fields(evaluator, rule, take_output, outputs);
	if (outputs->values.failed)
		outputs->count = 0;
	at = outputs->values.data;
	for (size_t i = 0; i < outputs->count; i++) {
		outputs->items[i].value.data = at;
		at += outputs->items[i].value.length;
	}
}

void rules_outputs_free(struct rules_outputs *outputs)
{
	buffer_free(&outputs->values);
}
