/* SPDX-License-Identifier: Apache-2.0 */
/* The words of a condition. Each function takes one from where the lexer stands, or takes nothing and says so. */
#ifndef TAFFRAIL_DETECT_LEXER_H
#define TAFFRAIL_DETECT_LEXER_H

#include "detect/expression.h"

struct lexer {
	struct sources *sources;
	const char *bytes;
	const uint32_t *places;
	size_t length, at;
};

/* The place where the lexer stands. */
uint32_t lexer_place(const struct lexer *lexer);

/* Blanks; false if there are none. */
bool lexer_blanks(struct lexer *lexer);
/* Just this text. */
bool lexer_take(struct lexer *lexer, const char *text);
/* [a-zA-Z][a-zA-Z0-9_]* */
bool lexer_identifier(struct lexer *lexer, struct text *identifier);
/* Identifiers joined by dots, two at least. */
bool lexer_field(struct lexer *lexer, struct text *field);
/* A decimal, hexadecimal or floating number. */
bool lexer_number(struct lexer *lexer, struct text *number);
/* What stands in a field's brackets without quotes. */
bool lexer_bare_argument(struct lexer *lexer, struct text *argument);

/*
 * A word, bare or in quotes, the escapes undone. 1; 0 if there is none; -EINVAL after a problem was noted.
 */
int lexer_word(struct lexer *lexer, struct text *word);
/* The same, only in quotes. */
int lexer_quoted(struct lexer *lexer, struct text *word);

#endif
