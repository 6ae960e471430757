/* SPDX-License-Identifier: Apache-2.0 */
/* What a condition's words mean: fields, operators that they can be compared with, constants. */
#include <errno.h>
#include <stdio.h>

#include "detect/program.h"

static const struct {
	const char *name;
	size_t least, most; /* operands */
} transformers[TRANSFORMERS] = {
	[TOLOWER] = {"tolower", 1, 1},
	[TOUPPER] = {"toupper", 1, 1},
	[B64] = {"b64", 1, 1},
	[BASENAME] = {"basename", 1, 1},
	[LEN] = {"len", 1, 1},
	[JOIN] = {"join", 2, 16},
	[CONCAT] = {"concat", 2, 16},
	[GETOPT] = {"getopt", 2, 2},
	[VAL] = {"val", 1, 1},
};

static void put(struct buffer *key, const void *bytes, size_t length)
{
	buffer_append(key, &length, sizeof(length));
	buffer_append(key, bytes, length);
}

/* --- slots -------------------------------------------------------------------------------------------------------------- */

/* The slot that `made` is, found by `key` or added. 0 or -ENOMEM. */
static int add_slot(struct program *program, struct buffer *key, const struct slot *made, uint32_t *number)
{
	uint32_t known = program_recall(program, key);
	struct slot *slot;
	int error = 0;

	if (known) {
		*number = known - 1;
	} else {
		*number = (uint32_t)program->slot_count;
		slot = arena_append(program->arena, &program->slots, &program->slot_count, sizeof(*slot));
		if (!slot)
			error = -ENOMEM;
		else
			*slot = *made;
		if (!error)
			error = program_remember(program, key, *number);
	}
	buffer_free(key);
	return error;
}

static int field_slot(
	struct program *program, struct sources *sources, const struct operand *operand, bool report, uint32_t *number)
{
	struct slot slot = {.kind = SLOT_FIELD};
	struct buffer key = {0}, name = {0};
	char why[160];
	int error = field_find(&slot.use, operand->name, operand->has_argument ? operand->argument : (struct text){0},
		why, sizeof(why));

	if (error == -ENOENT) {
		if (report)
			sources_error(sources, operand->place, "there is no field %.*s", SOURCE_WORDS(operand->name));
		return error;
	}
	if (error)
		return sources_error(sources, operand->place, "%s", why);
	slot.type = slot.use.type;
	slot.shape = slot.use.shape;
	slot.use.key = slot.use.key.data ? arena_copy(program->arena, slot.use.key) : slot.use.key;
	buffer_append(&name, operand->name.data, operand->name.length);
	if (operand->has_argument) {
		buffer_append(&name, "[", 1);
		buffer_append(&name, operand->argument.data, operand->argument.length);
		buffer_append(&name, "]", 1);
	}
	slot.name = arena_copy(program->arena, (struct text){name.data, name.length});
	buffer_append(&key, "F", 1);
	put(&key, name.data, name.length);
	buffer_free(&name);
	return add_slot(program, &key, &slot, number);
}

static int find_transformer(struct text name)
{
	for (int i = 0; i < TRANSFORMERS; i++)
		if (text_equal(name, text_of(transformers[i].name)))
			return i;
	return -1;
}

/* What comes out of a transformer; -EINVAL where its operands do not fit. */
static int shape_transformer(const struct program *program, struct slot *slot)
{
	const struct slot *first = &program->slots[slot->inputs[0]],
			  *last = &program->slots[slot->inputs[slot->input_count - 1]];

	slot->type = FIELD_TEXT;
	slot->shape = first->shape;
	switch (slot->transformer) {
	case VAL: slot->type = first->type; break;
	case LEN:
		slot->type = FIELD_NUMBER;
		slot->shape = FIELD_ONE;
		return first->type == FIELD_TEXT || first->shape == FIELD_LIST ? 0 : -EINVAL;
	case JOIN: slot->shape = FIELD_ONE; return first->type == FIELD_TEXT && first->shape == FIELD_ONE ? 0 : -EINVAL;
	case CONCAT: slot->shape = FIELD_ONE; break;
	case GETOPT:
		slot->shape = FIELD_LIST;
		return first->type == FIELD_TEXT && last->kind == SLOT_WORD ? 0 : -EINVAL;
	default: return first->type == FIELD_TEXT ? 0 : -EINVAL;
	}
	return 0;
}

static int transformer_slot(
	struct program *program, struct sources *sources, const struct operand *operand, bool report, uint32_t *number)
{
	struct slot slot = {.kind = SLOT_TRANSFORMER};
	int which = find_transformer(operand->name), error = 0;
	struct buffer key = {0}, name = {0};
	uint32_t *inputs = arena_take(program->arena, operand->operand_count * sizeof(*inputs));

	if (!inputs)
		return -ENOMEM;
	if (which < 0 || operand->operand_count < transformers[which].least ||
		operand->operand_count > transformers[which].most)
		return sources_error(sources, operand->place, "%.*s does not take %zu operands",
			SOURCE_WORDS(operand->name), operand->operand_count);
	slot.transformer = (enum transformer)which;
	slot.inputs = inputs;
	slot.input_count = operand->operand_count;
	buffer_append(&name, operand->name.data, operand->name.length);
	for (size_t i = 0; i < operand->operand_count && !error; i++) {
		error = program_slot(program, sources, operand->operands[i], report, &inputs[i]);
		if (error)
			break;
		buffer_append(&name, i ? ", " : "(", i ? 2 : 1);
		buffer_append(&name, program->slots[inputs[i]].name.data, program->slots[inputs[i]].name.length);
	}
	buffer_append(&name, ")", 1);
	if (!error && shape_transformer(program, &slot) < 0)
		error = sources_error(
			sources, operand->place, "%.*s cannot take these operands", SOURCE_WORDS(operand->name));
	slot.name = arena_copy(program->arena, (struct text){name.data, name.length});
	buffer_free(&name);
	if (error)
		return error;
	buffer_append(&key, "T", 1);
	put(&key, &which, sizeof(which));
	put(&key, inputs, slot.input_count * sizeof(*inputs));
	return add_slot(program, &key, &slot, number);
}

int program_slot(
	struct program *program, struct sources *sources, const struct operand *operand, bool report, uint32_t *slot)
{
	struct slot word = {.kind = SLOT_WORD, .type = FIELD_TEXT};
	struct buffer key = {0};

	if (operand->kind == OPERAND_FIELD)
		return field_slot(program, sources, operand, report, slot);
	if (operand->kind == OPERAND_TRANSFORMER)
		return transformer_slot(program, sources, operand, report, slot);
	word.word = word.name = arena_copy(program->arena, operand->name);
	buffer_append(&key, "W", 1);
	put(&key, operand->name.data, operand->name.length);
	return add_slot(program, &key, &word, slot);
}

/* --- checks ------------------------------------------------------------------------------------------------------------- */

static bool can_compare(const struct slot *slot, enum expression_operator relation)
{
	bool sets = relation == OPERATOR_IN || relation == OPERATOR_INTERSECTS;

	if (relation == OPERATOR_EXISTS || (slot->shape == FIELD_LIST && sets))
		return true;
	if (slot->shape == FIELD_LIST)
		return false;
	switch (slot->type) {
	case FIELD_TEXT: return true;
	case FIELD_NUMBER: return relation <= OPERATOR_NOT_EQUAL || sets;
	default: return relation == OPERATOR_EQUAL || relation == OPERATOR_NOT_EQUAL || sets;
	}
}

/* Cheap ones are asked first. Texts that are put together for each event cost more than those that are there. */
static unsigned int check_cost(const struct slot *slot, enum expression_operator relation)
{
	unsigned int cost = relation <= OPERATOR_NOT_EQUAL ? 1 : relation >= OPERATOR_INTERSECTS ? 2 : 3;

	if (relation == OPERATOR_REGEX || relation == OPERATOR_PMATCH)
		cost = 20;
	else if (relation == OPERATOR_ICONTAINS || relation == OPERATOR_GLOB || relation == OPERATOR_IGLOB)
		cost = 8;
	if (slot->kind == SLOT_TRANSFORMER || slot->shape != FIELD_ONE)
		cost += 8;
	else if (slot->type == FIELD_TEXT && slot->kind == SLOT_FIELD &&
		 (strstr(slot->use.field->name, "arg") || strstr(slot->use.field->name, "line") ||
			 strstr(slot->use.field->name, "cap_") || strstr(slot->use.field->name, "env")))
		cost += 6;
	return cost;
}

static bool is_type_field(const struct slot *slot)
{
	return slot->kind == SLOT_FIELD &&
	       (strcmp(slot->use.field->name, "evt.type") == 0 || strcmp(slot->use.field->name, "syscall.type") == 0);
}

static bool is_type_operator(enum expression_operator relation)
{
	return relation == OPERATOR_EQUAL || relation == OPERATOR_NOT_EQUAL || relation == OPERATOR_IN;
}

static int read_words(
	struct program *program, struct sources *sources, const struct expression *expression, struct check *check)
{
	const struct slot *slot = &program->slots[check->slot];

	check->constants = arena_take(program->arena, expression->word_count * sizeof(*check->constants));
	if (!check->constants)
		return -ENOMEM;
	for (size_t i = 0; i < expression->word_count; i++) {
		const struct expression_word *word = &expression->words[i];
		int error = constant_read(
			program, sources, slot, expression->relation, word, &check->constants[check->constant_count]);

		if (error)
			return error;
		check->constant_count++;
	}
	return 0;
}

/* -ENOENT if one of the words is no type, though a type is asked for. */
static int check_types(
	struct sources *sources, const struct slot *slot, const struct expression *expression, bool report)
{
	if (!is_type_field(slot) || !is_type_operator(expression->relation))
		return 0;
	for (size_t i = 0; i < expression->word_count; i++) {
		const struct expression_word *word = &expression->words[i];

		if (event_type_find(word->text) >= 0)
			continue;
		if (report)
			sources_error(sources, word->place, "there is no event type %.*s", SOURCE_WORDS(word->text));
		return -ENOENT;
	}
	return 0;
}

static void describe_check(struct buffer *key, const struct check *check, const struct expression *expression)
{
	buffer_append(key, "C", 1);
	put(key, &check->slot, sizeof(check->slot));
	put(key, &check->right, sizeof(check->right));
	put(key, &check->relation, sizeof(check->relation));
	put(key, &check->quantifier, sizeof(check->quantifier));
	for (size_t i = 0; i < expression->word_count; i++)
		put(key, expression->words[i].text.data, expression->words[i].text.length);
}

static int make_check(struct program *program, struct sources *sources, struct expression *expression,
	struct check *check, struct buffer *key)
{
	struct check *added;
	uint32_t known;
	int error;

	describe_check(key, check, expression);
	known = program_recall(program, key);
	if (known) {
		expression->check = known;
		return 0;
	}
	/* It is the program's at once: what its constants hold is freed with it, also after an error. */
	added = arena_append(program->arena, &program->checks, &program->check_count, sizeof(*added));
	if (!added)
		return -ENOMEM;
	*added = *check;
	error = read_words(program, sources, expression, added);
	if (!error)
		error = constant_make_set(program, added);
	if (error)
		return error;
	expression->check = (uint32_t)program->check_count;
	return program_remember(program, key, expression->check - 1);
}

static int resolve_check(struct program *program, struct sources *sources, struct expression *expression, bool report)
{
	struct check check = {.relation = expression->relation, .quantifier = expression->quantifier};
	const struct slot *slot;
	struct buffer key = {0};
	int error;

	if (expression->check)
		return 0;
	error = program_slot(program, sources, expression->left, report, &check.slot);
	if (!error && expression->right) {
		error = program_slot(program, sources, expression->right, report, &check.right);
		check.right++;
	}
	if (error)
		return error;
	slot = &program->slots[check.slot];
	if (!can_compare(slot, check.relation))
		return sources_error(sources, expression->place, "%.*s cannot be compared by %s",
			SOURCE_WORDS(slot->name), expression_operator_name(check.relation));
	if (expression->right &&
		(program->slots[check.right - 1].type != slot->type || check.relation == OPERATOR_REGEX ||
			check.relation == OPERATOR_BCONTAINS || check.relation == OPERATOR_BSTARTSWITH))
		return sources_error(sources, expression->right->place, "%.*s cannot be compared with this",
			SOURCE_WORDS(slot->name));
	error = check_types(sources, slot, expression, report);
	if (error)
		return error;
	check.cost = check_cost(slot, check.relation);
	error = make_check(program, sources, expression, &check, &key);
	buffer_free(&key);
	return error;
}

static int resolve_macro(struct program *program, struct sources *sources, struct definition_macro *macro, bool report)
{
	if (!macro || !macro->expression || macro->broken)
		return -EINVAL; /* its own problem was noted */
	if (!macro->resolved) {
		macro->error = program_resolve(program, sources, macro->expression, report);
		/* A field that is not known is told again to a rule that wants to hear of it. */
		macro->resolved = macro->error != -ENOENT || report;
	}
	return macro->error;
}

int program_resolve(struct program *program, struct sources *sources, struct expression *expression, bool report)
{
	int result = 0;

	if (expression->kind == EXPRESSION_CHECK)
		return resolve_check(program, sources, expression, report);
	if (expression->kind == EXPRESSION_MACRO)
		return resolve_macro(program, sources, expression->definition, report);
	/* All problems of the condition at once; that it makes no sense outweighs a field that is not known. */
	for (size_t i = 0; i < expression->child_count; i++) {
		int error = program_resolve(program, sources, expression->children[i], report);

		if (error && result != -EINVAL)
			result = error;
	}
	return result;
}

/* --- types -------------------------------------------------------------------------------------------------------------- */

/* Is it evt.num = 0, by which rules say "never"? */
static bool is_never(const struct expression *check)
{
	return check->relation == OPERATOR_EQUAL && !check->right && check->word_count == 1 &&
	       text_equal(check->left->name, TEXT_LITERAL("evt.num")) &&
	       text_equal(check->words[0].text, TEXT_LITERAL("0"));
}

/* Does a family's name compare so with one of the words? */
static bool word_meets(const struct expression *check, struct text family)
{
	for (size_t i = 0; i < check->word_count; i++) {
		struct text word = check->words[i].text;

		switch (check->relation) {
		case OPERATOR_EQUAL:
		case OPERATOR_IN:
			if (text_equal(family, word))
				return true;
			break;
		case OPERATOR_CONTAINS:
			if (memmem(family.data, family.length, word.data, word.length))
				return true;
			break;
		default: return true; /* it may */
		}
	}
	return false;
}

/* Can an ordinary socket (socket_matters() in bpf/raw.bpf.c says which are) be of a family that the check asks for? */
static bool asks_for_ordinary(const struct expression *check)
{
	static const struct text families[] = {TEXT_STATIC("AF_UNSPEC"), TEXT_STATIC("AF_LOCAL"),
		TEXT_STATIC("AF_UNIX"), TEXT_STATIC("AF_INET"), TEXT_STATIC("AF_INET6"), TEXT_STATIC("AF_NETLINK")};

	if (check->right || check->quantifier || check->left->kind != OPERAND_FIELD ||
		!text_equal(check->left->name, TEXT_LITERAL("evt.arg.domain")))
		return true;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (word_meets(check, families[i]))
			return true;
	return false;
}

static void types_of_check(const struct expression *check, bool negated, struct event_types *types)
{
	bool of_type = check->left->kind == OPERAND_FIELD &&
		       (text_equal(check->left->name, TEXT_LITERAL("evt.type")) ||
			       text_equal(check->left->name, TEXT_LITERAL("syscall.type")));

	if (is_never(check)) {
		if (negated)
			event_types_fill(types);
		else
			*types = (struct event_types){0};
		return;
	}
	if (!of_type || check->right || !is_type_operator(check->relation) || check->quantifier) {
		event_types_fill(types);
		if (!negated && !asks_for_ordinary(check))
			event_types_remove(types, EVENT_TYPE_ORDINARY_SOCKET);
		return;
	}
	*types = (struct event_types){0};
	for (size_t i = 0; i < check->word_count; i++) {
		int type = event_type_find(check->words[i].text);

		if (type >= 0)
			event_types_add(types, type);
		if (type == EVENT_CALL_SOCKET)
			event_types_add(types, EVENT_TYPE_ORDINARY_SOCKET);
	}
	if (negated != (check->relation == OPERATOR_NOT_EQUAL))
		event_types_invert(types);
}

void program_types(struct expression *expression, bool negated, struct event_types *types)
{
	struct definition_macro *macro = expression->definition;
	struct event_types inner;
	bool both;

	switch (expression->kind) {
	case EXPRESSION_CHECK: types_of_check(expression, negated, types); return;
	case EXPRESSION_NOT: program_types(expression->children[0], !negated, types); return;
	case EXPRESSION_MACRO:
		if (!macro->typed[negated]) {
			program_types(macro->expression, negated, &macro->types[negated]);
			macro->typed[negated] = true;
		}
		*types = macro->types[negated];
		return;
	default: break;
	}
	/* By De Morgan: not (a and b) is (not a) or (not b). */
	both = (expression->kind == EXPRESSION_AND) != negated;
	program_types(expression->children[0], negated, types);
	for (size_t i = 1; i < expression->child_count; i++) {
		program_types(expression->children[i], negated, &inner);
		if (both)
			event_types_and(types, &inner);
		else
			event_types_or(types, &inner);
	}
}
