/* SPDX-License-Identifier: Apache-2.0 */
/* A condition as a tree: what was written, not yet what it means. */
#ifndef TAFFRAIL_DETECT_EXPRESSION_H
#define TAFFRAIL_DETECT_EXPRESSION_H

#include "detect/phrase.h"

enum { EXPRESSION_DEPTH_MAX = 1000 };

/* OPERATOR(NAME, "as written", takes) */
#define EXPRESSION_OPERATORS(OPERATOR)                                                                                 \
	OPERATOR(EXISTS, "exists", NOTHING)                                                                            \
	OPERATOR(LESS_OR_EQUAL, "<=", NUMBER)                                                                          \
	OPERATOR(LESS, "<", NUMBER)                                                                                    \
	OPERATOR(GREATER_OR_EQUAL, ">=", NUMBER)                                                                       \
	OPERATOR(GREATER, ">", NUMBER)                                                                                 \
	OPERATOR(EQUAL, "=", WORD)                                                                                     \
	OPERATOR(NOT_EQUAL, "!=", WORD)                                                                                \
	OPERATOR(GLOB, "glob", WORD)                                                                                   \
	OPERATOR(IGLOB, "iglob", WORD)                                                                                 \
	OPERATOR(CONTAINS, "contains", WORD)                                                                           \
	OPERATOR(ICONTAINS, "icontains", WORD)                                                                         \
	OPERATOR(BCONTAINS, "bcontains", WORD)                                                                         \
	OPERATOR(STARTSWITH, "startswith", WORD)                                                                       \
	OPERATOR(BSTARTSWITH, "bstartswith", WORD)                                                                     \
	OPERATOR(ENDSWITH, "endswith", WORD)                                                                           \
	OPERATOR(REGEX, "regex", WORD)                                                                                 \
	OPERATOR(INTERSECTS, "intersects", LIST)                                                                       \
	OPERATOR(IN, "in", LIST)                                                                                       \
	OPERATOR(PMATCH, "pmatch", LIST)

enum expression_operator {
#define OPERATOR(name, text, takes) OPERATOR_##name,
	EXPRESSION_OPERATORS(OPERATOR)
#undef OPERATOR
};

enum expression_takes { TAKES_NOTHING, TAKES_NUMBER, TAKES_WORD, TAKES_LIST };

/* Of the words of a list: how many must compare. */
enum expression_quantifier { QUANTIFIER_NONE, QUANTIFIER_ONE, QUANTIFIER_ANY, QUANTIFIER_ALL };

enum operand_kind { OPERAND_FIELD, OPERAND_TRANSFORMER, OPERAND_WORD };

/* A field, a transformer of operands, or (inside a transformer) a word. */
struct operand {
	enum operand_kind kind;
	struct text name; /* of the field or transformer; the word */
	struct text argument;
	bool has_argument; /* the field has [argument] */
	struct operand **operands;
	size_t operand_count;
	uint32_t place;
};

struct expression_word {
	struct text text;
	uint32_t place;
};

enum expression_kind { EXPRESSION_AND, EXPRESSION_OR, EXPRESSION_NOT, EXPRESSION_MACRO, EXPRESSION_CHECK };

struct definition_macro;

struct expression {
	enum expression_kind kind;
	uint32_t place;
	struct expression **children; /* AND, OR: two or more; NOT: one */
	size_t child_count;
	struct text macro;
	struct definition_macro *definition; /* of the macro, once it was found */
	/* EXPRESSION_CHECK */
	struct operand *left;
	enum expression_operator relation;
	enum expression_quantifier quantifier;
	struct operand *right; /* val(field) or a transformer; else NULL and the words */
	struct expression_word *words;
	size_t word_count;
	uint32_t check; /* its number in the program and 1, once it was compiled */
};

/* Parses a condition. The tree is the arena's of `sources`; NULL after a problem was noted. */
struct expression *expression_parse(struct sources *sources, const struct phrase *phrase);

/*
 * Parses a field or transformer of an output at the start of `text`, which is at `places`. How many bytes it took goes to
 * `taken`. NULL after a problem was noted.
 */
struct operand *expression_parse_operand(
	struct sources *sources, struct text text, const uint32_t *places, size_t *taken);

const char *expression_operator_name(enum expression_operator relation);
/* The operator of that name; -1 for a word that is none. */
int expression_operator_find(struct text name);
/* Is it oneof, anyof or allof? */
bool expression_is_quantifier(struct text name);
enum expression_takes expression_operator_takes(enum expression_operator relation);

#endif
