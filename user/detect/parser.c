/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The grammar:
 *   or      = and { "or" and }            and  = not { "and" not }        not = { "not" } primary
 *   primary = "(" or ")" | operand check | macro
 *   operand = field [ "[" argument "]" ] | transformer "(" operand { "," operand } ")"
 *   check   = "exists" | operator [ "oneof" | "anyof" | "allof" ] right
 * `or`, `and` and `not` need a blank or a parenthesis behind them.
 */
#include "detect/lexer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct parser {
	struct lexer lexer;
	int depth;
};

static const struct {
	struct text name;
	enum expression_takes takes;
} operators[] = {
#define OPERATOR(relation, text, takes) [OPERATOR_##relation] = {{(text), sizeof(text) - 1}, TAKES_##takes},
	EXPRESSION_OPERATORS(OPERATOR)
#undef OPERATOR
};

enum { OPERATORS = sizeof(operators) / sizeof(operators[0]) };

const char *expression_operator_name(enum expression_operator relation)
{
	return operators[relation].name.data;
}

int expression_operator_find(struct text name)
{
	if (text_equal(name, TEXT_LITERAL("==")))
		return OPERATOR_EQUAL;
	for (int i = 0; i < OPERATORS; i++)
		if (text_equal(operators[i].name, name))
			return i;
	return -1;
}

static const char *const quantifiers[] = {"", "oneof", "anyof", "allof"};

bool expression_is_quantifier(struct text name)
{
	for (int i = QUANTIFIER_ONE; i <= QUANTIFIER_ALL; i++)
		if (text_equal(name, text_of(quantifiers[i])))
			return true;
	return false;
}

enum expression_takes expression_operator_takes(enum expression_operator relation)
{
	return operators[relation].takes;
}

__attribute__((format(printf, 2, 3))) static void *refuse(struct parser *parser, const char *format, ...)
{
	char reason[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	sources_error(parser->lexer.sources, lexer_place(&parser->lexer), "%s", reason);
	return NULL;
}

static void *take_memory(struct parser *parser, size_t bytes)
{
	void *memory = arena_take(parser->lexer.sources->arena, bytes);

	if (!memory)
		parser->lexer.sources->failed = true;
	return memory;
}

static struct expression *new_expression(struct parser *parser, enum expression_kind kind)
{
	struct expression *expression = take_memory(parser, sizeof(*expression));

	if (expression) {
		expression->kind = kind;
		expression->place = lexer_place(&parser->lexer);
	}
	return expression;
}

static struct expression *add_child(struct parser *parser, struct expression *parent, struct expression *child)
{
	struct expression **slot;

	if (!child)
		return NULL;
	slot = arena_append(
		parser->lexer.sources->arena, &parent->children, &parent->child_count, sizeof(struct expression *));
	if (!slot) {
		parser->lexer.sources->failed = true;
		return NULL;
	}
	*slot = child;
	return parent;
}

static struct expression *parse_or(struct parser *parser);

/* --- operands --------------------------------------------------------------------------------------------------------- */

static const char *const transformers[] = {
	"tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt", "val"};

/* The name of a transformer with its parenthesis; else nothing is taken. */
static bool take_transformer(struct parser *parser, struct text *name)
{
	struct lexer *lexer = &parser->lexer;
	size_t start = lexer->at;

	if (lexer_identifier(lexer, name))
		for (size_t i = 0; i < sizeof(transformers) / sizeof(transformers[0]); i++)
			if (text_equal(*name, text_of(transformers[i]))) {
				lexer_blanks(lexer);
				if (lexer_take(lexer, "("))
					return true;
			}
	lexer->at = start;
	return false;
}

/* 1; 0: there is none; -EINVAL. */
static int parse_field(struct parser *parser, struct operand *operand)
{
	struct lexer *lexer = &parser->lexer;
	int found;

	if (!lexer_field(lexer, &operand->name))
		return 0;
	operand->kind = OPERAND_FIELD;
	if (!lexer_take(lexer, "["))
		return 1;
	operand->has_argument = true;
	found = lexer_quoted(lexer, &operand->argument);
	if (found == 0 && !lexer_bare_argument(lexer, &operand->argument)) {
		refuse(parser, "a field's argument is expected in the brackets");
		return -EINVAL;
	}
	if (found >= 0 && !lexer_take(lexer, "]")) {
		refuse(parser, "a ']' is expected behind the field's argument");
		return -EINVAL;
	}
	return found < 0 ? found : 1;
}

static int parse_operand(struct parser *parser, struct operand **operand, bool words);

/*
 * Operands up to the parenthesis that closes them; those of an inner list, join(",", (a, b)), are the transformer's own.
 * 1 or -EINVAL.
 */
static int parse_operands(struct parser *parser, struct operand *transformer)
{
	struct lexer *lexer = &parser->lexer;

	if (++parser->depth > EXPRESSION_DEPTH_MAX) {
		refuse(parser, "this is nested deeper than %d", EXPRESSION_DEPTH_MAX);
		return -EINVAL;
	}
	do {
		struct operand *inner, **slot;
		int found;

		lexer_blanks(lexer);
		if (lexer_take(lexer, "(")) {
			if (parse_operands(parser, transformer) < 0)
				return -EINVAL;
			lexer_blanks(lexer);
			continue;
		}
		found = parse_operand(parser, &inner, true);
		if (found == 0)
			refuse(parser, "a field, a transformer or a word is expected here");
		if (found <= 0)
			return -EINVAL;
		slot = arena_append(lexer->sources->arena, &transformer->operands, &transformer->operand_count,
			sizeof(struct operand *));
		if (!slot)
			return -EINVAL;
		*slot = inner;
		lexer_blanks(lexer);
	} while (lexer_take(lexer, ","));
	parser->depth--;
	if (lexer_take(lexer, ")"))
		return 1;
	refuse(parser, "a ')' is expected behind what %.*s takes", SOURCE_WORDS(transformer->name));
	return -EINVAL;
}

/* A field or a transformer; with `words` also a word. 1; 0: there is none; -EINVAL. */
static int parse_operand(struct parser *parser, struct operand **operand, bool words)
{
	struct operand *made = take_memory(parser, sizeof(*made));
	int found;

	if (!made)
		return -EINVAL;
	*operand = made;
	made->place = lexer_place(&parser->lexer);
	if (take_transformer(parser, &made->name)) {
		made->kind = OPERAND_TRANSFORMER;
		return parse_operands(parser, made);
	}
	found = parse_field(parser, made);
	if (found == 0 && words) {
		made->kind = OPERAND_WORD;
		found = lexer_word(&parser->lexer, &made->name);
	}
	return found;
}

struct operand *expression_parse_operand(
	struct sources *sources, struct text text, const uint32_t *places, size_t *taken)
{
	struct parser parser = {.lexer = {sources, text.data, places, text.length, 0}};
	struct operand *operand;
	int found = parse_operand(&parser, &operand, false);

	*taken = parser.lexer.at;
	if (found == 0)
		refuse(&parser, "a field is expected here");
	return found > 0 ? operand : NULL;
}

/* --- checks ----------------------------------------------------------------------------------------------------------- */

/* Does the word that starts here end here, too: so that `in` is not found in `intersects`, or `or` in `order`? */
static bool take_word(struct parser *parser, const char *word)
{
	struct lexer *lexer = &parser->lexer;
	size_t start = lexer->at;
	char next;

	if (!lexer_take(lexer, word))
		return false;
	next = lexer->at < lexer->length ? lexer->bytes[lexer->at] : ' ';
	if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.", next))
		return true;
	lexer->at = start;
	return false;
}

/* -1 if there is none. */
static int take_operator(struct parser *parser)
{
	struct lexer *lexer = &parser->lexer;

	if (lexer_take(lexer, "=="))
		return OPERATOR_EQUAL;
	for (int i = 0; i < OPERATORS; i++) {
		bool letters = operators[i].name.data[0] >= 'a';

		if (letters ? take_word(parser, operators[i].name.data) : lexer_take(lexer, operators[i].name.data))
			return i;
	}
	return -1;
}

static struct expression *add_word(struct parser *parser, struct expression *check, struct text text, uint32_t place)
{
	struct expression_word *word =
		arena_append(parser->lexer.sources->arena, &check->words, &check->word_count, sizeof(*word));

	if (!word) {
		parser->lexer.sources->failed = true;
		return NULL;
	}
	*word = (struct expression_word){text, place};
	return check;
}

/* The words of a list, whose parenthesis has been taken. */
static struct expression *parse_list(struct parser *parser, struct expression *check)
{
	struct lexer *lexer = &parser->lexer;

	lexer_blanks(lexer);
	if (lexer_take(lexer, ")"))
		return check;
	for (;;) {
		uint32_t place = lexer_place(lexer);
		struct text word;
		int found = lexer_word(lexer, &word);

		if (found == 0)
			return refuse(parser, "a word of the list is expected here");
		if (found < 0 || !add_word(parser, check, word, place))
			return NULL;
		lexer_blanks(lexer);
		if (lexer_take(lexer, ")"))
			return check;
		if (!lexer_take(lexer, ","))
			return refuse(parser, "a ',' or the list's ')' is expected here");
		lexer_blanks(lexer);
	}
}

/* val(field) or a transformer on the right: 1, 0 or -EINVAL. */
static int parse_right(struct parser *parser, struct expression *check)
{
	size_t start = parser->lexer.at;
	struct operand *operand;
	struct text name;
	int found;

	if (!take_transformer(parser, &name))
		return 0;
	parser->lexer.at = start;
	found = parse_operand(parser, &operand, false);
	check->right = found > 0 ? operand : NULL;
	return found;
}

static bool is_logic(struct text word)
{
	return text_equal(word, TEXT_LITERAL("and")) || text_equal(word, TEXT_LITERAL("or")) ||
	       text_equal(word, TEXT_LITERAL("not"));
}

/* The quantifier before a list, and the blanks behind it; a word of that name without a list is just a word. */
static enum expression_quantifier take_quantifier(struct parser *parser)
{
	struct lexer *lexer = &parser->lexer;
	size_t start = lexer->at, list;
	struct text name;

	for (int i = QUANTIFIER_ONE; i <= QUANTIFIER_ALL; i++) {
		if (!take_word(parser, quantifiers[i]))
			continue;
		lexer_blanks(lexer);
		list = lexer->at;
		if (lexer_take(lexer, "(") || (lexer_identifier(lexer, &name) && !is_logic(name))) {
			lexer->at = list;
			return (enum expression_quantifier)i;
		}
		lexer->at = start;
	}
	return QUANTIFIER_NONE;
}

static struct expression *parse_check(struct parser *parser, struct expression *check)
{
	struct lexer *lexer = &parser->lexer;
	enum expression_takes takes;
	uint32_t place;
	struct text word;
	int relation, found;

	lexer_blanks(lexer);
	relation = take_operator(parser);
	if (relation < 0)
		return refuse(parser, "an operator is expected behind the field: exists, =, !=, in, contains, …");
	check->relation = (enum expression_operator)relation;
	takes = operators[relation].takes;
	if (takes == TAKES_NOTHING)
		return check;
	lexer_blanks(lexer);
	if (takes != TAKES_LIST && (check->quantifier = take_quantifier(parser)))
		takes = TAKES_LIST;
	found = parse_right(parser, check);
	if (found)
		return found > 0 ? check : NULL;
	if (takes == TAKES_LIST && lexer_take(lexer, "("))
		return parse_list(parser, check);
	place = lexer_place(lexer);
	if (takes == TAKES_NUMBER)
		return lexer_number(lexer, &word) ? add_word(parser, check, word, place)
						  : refuse(parser, "%s takes a number", operators[relation].name.data);
	found = takes == TAKES_LIST ? lexer_identifier(lexer, &word) : lexer_word(lexer, &word);
	if (found > 0)
		return add_word(parser, check, word, place);
	if (found < 0)
		return NULL;
	return refuse(parser, takes == TAKES_LIST ? "%s takes a list in parentheses" : "%s takes a word",
		operators[relation].name.data);
}

/* --- logic ------------------------------------------------------------------------------------------------------------ */

/* An expression whose opening parenthesis has been taken. */
static struct expression *parse_rest(struct parser *parser)
{
	struct expression *inner;

	if (++parser->depth > EXPRESSION_DEPTH_MAX)
		return refuse(parser, "this is nested deeper than %d", EXPRESSION_DEPTH_MAX);
	inner = parse_or(parser);
	parser->depth--;
	if (!inner)
		return NULL;
	lexer_blanks(&parser->lexer);
	return lexer_take(&parser->lexer, ")") ? inner : refuse(parser, "a ')' is expected here");
}

static struct expression *parse_primary(struct parser *parser)
{
	struct expression *check;
	struct operand *operand;
	int found;

	lexer_blanks(&parser->lexer);
	if (lexer_take(&parser->lexer, "("))
		return parse_rest(parser);
	check = new_expression(parser, EXPRESSION_CHECK);
	if (!check)
		return NULL;
	found = parse_operand(parser, &operand, false);
	if (found < 0)
		return NULL;
	if (found > 0) {
		check->left = operand;
		return parse_check(parser, check);
	}
	check->kind = EXPRESSION_MACRO;
	if (lexer_identifier(&parser->lexer, &check->macro))
		return check;
	return refuse(parser, "a field, a macro or a '(' is expected here");
}

/* `word`, and a blank or a parenthesis behind it: 1, and the parenthesis is taken; 2, blanks are. 0: it is not there. */
static int take_logic(struct parser *parser, const char *word)
{
	struct lexer *lexer = &parser->lexer;
	size_t start = lexer->at;

	if (!lexer_take(lexer, word))
		return 0;
	if (lexer_take(lexer, "("))
		return 1;
	if (lexer_blanks(lexer))
		return 2;
	lexer->at = start;
	return 0;
}

static struct expression *parse_not(struct parser *parser)
{
	struct expression *negation = new_expression(parser, EXPRESSION_NOT), *inner;
	bool negated = false;
	int taken = 2;

	if (!negation)
		return NULL;
	lexer_blanks(&parser->lexer);
	negation->place = lexer_place(&parser->lexer);
	while (taken == 2 && (taken = take_logic(parser, "not")))
		negated = !negated;
	inner = taken == 1 ? parse_rest(parser) : parse_primary(parser);
	return negated ? add_child(parser, negation, inner) : inner;
}

/* `inner` { word `inner` }: a parenthesis right behind the word was taken with it. */
static struct expression *parse_chain(struct parser *parser, enum expression_kind kind, const char *word,
	struct expression *(*inner)(struct parser *parser))
{
	struct expression *first = inner(parser), *chain = NULL;
	int taken;

	for (;;) {
		if (!first)
			return NULL;
		lexer_blanks(&parser->lexer);
		taken = take_logic(parser, word);
		if (!taken)
			return chain ? chain : first;
		if (!chain) {
			chain = new_expression(parser, kind);
			if (!chain || !add_child(parser, chain, first))
				return NULL;
			chain->place = first->place;
		}
		first = taken == 1 ? parse_rest(parser) : inner(parser);
		if (!add_child(parser, chain, first))
			return NULL;
	}
}

static struct expression *parse_and(struct parser *parser)
{
	return parse_chain(parser, EXPRESSION_AND, "and", parse_not);
}

static struct expression *parse_or(struct parser *parser)
{
	return parse_chain(parser, EXPRESSION_OR, "or", parse_and);
}

struct expression *expression_parse(struct sources *sources, const struct phrase *phrase)
{
	struct parser parser = {.lexer = {sources, phrase->bytes, phrase->places, phrase->length, 0}};
	struct expression *expression;

	if (!phrase->bytes) {
		sources->failed = true;
		return NULL;
	}
	if (phrase->failed) {
		sources_error(sources, phrase->places[0], "with its lists this is longer than a condition can be");
		return NULL;
	}
	expression = parse_or(&parser);
	if (!expression)
		return NULL;
	lexer_blanks(&parser.lexer);
	if (parser.lexer.at < parser.lexer.length)
		return refuse(&parser, "nothing more is expected here: is an `and` or an `or` missing?");
	return expression;
}
