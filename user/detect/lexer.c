/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/lexer.h"

#include <errno.h>

uint32_t lexer_place(const struct lexer *lexer)
{
	return lexer->places[lexer->at];
}

static char peek(const struct lexer *lexer)
{
	return lexer->at < lexer->length ? lexer->bytes[lexer->at] : '\0';
}

static bool is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\b';
}

static int hex_value(char byte)
{
	if (is_digit(byte))
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool lexer_blanks(struct lexer *lexer)
{
	size_t start = lexer->at;

	while (is_blank(peek(lexer)))
		lexer->at++;
	return lexer->at > start;
}

bool lexer_take(struct lexer *lexer, const char *text)
{
	size_t length = strlen(text);

	if (lexer->length - lexer->at < length || memcmp(lexer->bytes + lexer->at, text, length) != 0)
		return false;
	lexer->at += length;
	return true;
}

/* What stands between `start` and here. */
static struct text since(const struct lexer *lexer, size_t start)
{
	return (struct text){lexer->bytes + start, lexer->at - start};
}

bool lexer_identifier(struct lexer *lexer, struct text *identifier)
{
	size_t start = lexer->at;

	if (!is_letter(peek(lexer)))
		return false;
	while (is_letter(peek(lexer)) || is_digit(peek(lexer)) || peek(lexer) == '_')
		lexer->at++;
	*identifier = since(lexer, start);
	return true;
}

bool lexer_field(struct lexer *lexer, struct text *field)
{
	size_t start = lexer->at, end;
	struct text part;
	int parts = 0;

	while (lexer_identifier(lexer, &part)) {
		parts++;
		end = lexer->at;
		*field = since(lexer, start);
		if (!lexer_take(lexer, "."))
			break;
		if (!is_letter(peek(lexer))) { /* a dot that ends a sentence */
			lexer->at = end;
			break;
		}
	}
	if (parts >= 2)
		return true;
	lexer->at = start;
	return false;
}

bool lexer_number(struct lexer *lexer, struct text *number)
{
	size_t start = lexer->at;

	if (peek(lexer) == '-' || peek(lexer) == '+')
		lexer->at++;
	if (lexer_take(lexer, "0x") || lexer_take(lexer, "0X")) {
		while (hex_value(peek(lexer)) >= 0)
			lexer->at++;
	} else {
		while (is_digit(peek(lexer)) || peek(lexer) == '.')
			lexer->at++;
		if (lexer->at > start && is_digit(lexer->bytes[lexer->at - 1]) &&
			(lexer_take(lexer, "e") || lexer_take(lexer, "E"))) {
			if (peek(lexer) == '-' || peek(lexer) == '+')
				lexer->at++;
			while (is_digit(peek(lexer)))
				lexer->at++;
		}
	}
	*number = since(lexer, start);
	if (number->length > 0 && hex_value(number->data[number->length - 1]) >= 0)
		return true;
	lexer->at = start;
	return false;
}

bool lexer_bare_argument(struct lexer *lexer, struct text *argument)
{
	size_t start = lexer->at;

	while (lexer->at < lexer->length && !is_blank(peek(lexer)) && !strchr("[]\"'", peek(lexer)))
		lexer->at++;
	*argument = since(lexer, start);
	return argument->length > 0;
}

/* What the backslash and the byte behind it stand for; -1: it is no escape. May move on, past a \xHH. */
static int undo_escape(struct lexer *lexer, char quote)
{
	static const char escapes[] = "b\bf\fn\nr\rt\t\\\\//";
	char byte = peek(lexer);
	int high, low;

	if (byte == quote)
		return byte;
	if (byte == 'x') {
		high = lexer->at + 1 < lexer->length ? hex_value(lexer->bytes[lexer->at + 1]) : -1;
		low = lexer->at + 2 < lexer->length ? hex_value(lexer->bytes[lexer->at + 2]) : -1;
		if (high < 0 || low < 0)
			return -1;
		lexer->at += 2;
		return high << 4 | low;
	}
	for (size_t i = 0; byte && i < sizeof(escapes) - 1; i += 2)
		if (escapes[i] == byte)
			return (unsigned char)escapes[i + 1];
	return -1;
}

int lexer_quoted(struct lexer *lexer, struct text *word)
{
	uint32_t place = lexer_place(lexer);
	char quote = peek(lexer), *bytes;
	size_t length = 0;

	if (quote != '"' && quote != '\'')
		return 0;
	bytes = arena_take(lexer->sources->arena, lexer->length - lexer->at);
	if (!bytes) {
		lexer->sources->failed = true;
		return -EINVAL;
	}
	for (lexer->at++; lexer->at < lexer->length; lexer->at++) {
		char byte = peek(lexer);
		int meant;

		if (byte == quote) {
			lexer->at++;
			*word = (struct text){bytes, length};
			return 1;
		}
		if (byte != '\\') {
			bytes[length++] = byte;
			continue;
		}
		lexer->at++;
		if (peek(lexer) == ' ') { /* of old, a backslash by itself was one */
			bytes[length++] = '\\';
			lexer->at--;
			continue;
		}
		meant = undo_escape(lexer, quote);
		if (meant < 0)
			return sources_error(lexer->sources, lexer->places[lexer->at - 1],
				"\\%c is no escape: those are \\b \\f \\n \\r \\t \\\\ \\/ \\xHH and \\%c", peek(lexer),
				quote);
		bytes[length++] = (char)meant;
	}
	return sources_error(lexer->sources, place, "these quotes are not closed");
}

int lexer_word(struct lexer *lexer, struct text *word)
{
	size_t start = lexer->at;

	if (peek(lexer) == '"' || peek(lexer) == '\'')
		return lexer_quoted(lexer, word);
	while (lexer->at < lexer->length && !is_blank(peek(lexer)) && !strchr("()\"'=,", peek(lexer)))
		lexer->at++;
	*word = since(lexer, start);
	return word->length > 0;
}
