/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

enum {
	LINE_MAX_SIZE = 4096, /* PIPE_BUF: a pipe takes it at once or not at all */
	FILE_MAX = 2048,      /* of a file's name, so that there is room for what is wrong with it */
	END_ROOM = 8,         /* for the end of a line that is cut: "..." and brackets */
};
static const unsigned long long limit_ns = 1000ull * 1000 * 1000;
static const char *const level_words[] = {"error", "warning", "info", "debug"};
static const char *const format_words[] = {"text", "logfmt", "json"};

static struct {
	const char *program;
	_Atomic enum log_level level;
	_Atomic enum log_format format;
	bool colour;
} logger = {"taffrail", LOG_INFO, LOG_TEXT, false};

/* What a message is about; `file` NULL: no file. */
struct place {
	const char *file;
	unsigned int line, column; /* column 0: none is told */
	bool bare;                 /* in text nothing stands before the file */
};

void log_open(const char *program, enum log_level level)
{
	const char *no_colour = getenv("NO_COLOR");

	logger.program = program;
	logger.level = level;
	logger.colour = isatty(STDERR_FILENO) && !(no_colour && no_colour[0]);
}

void log_set(enum log_format format, enum log_level level)
{
	logger.format = format;
	logger.level = level;
}

static int find_word(const char *const words[], int count, const char *word)
{
	for (int i = 0; i < count; i++)
		if (strcmp(words[i], word) == 0)
			return i;
	return -1;
}

bool log_format_of(const char *word, enum log_format *format)
{
	int found = find_word(format_words, 3, word);

	if (found >= 0)
		*format = (enum log_format)found;
	return found >= 0;
}

bool log_level_of(const char *word, enum log_level *level)
{
	int found = find_word(level_words, 4, word);

	if (found >= 0)
		*level = (enum log_level)found;
	return found >= 0;
}

/* --- a line ------------------------------------------------------------------------------------------------------------ */

struct line {
	char bytes[LINE_MAX_SIZE];
	size_t length;
};

/* What must be there: it is short, and END_ROOM is left for the last of it. */
__attribute__((format(printf, 2, 3))) static void put(struct line *line, const char *format, ...)
{
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line->bytes + line->length, sizeof(line->bytes) - line->length, format, arguments);
	va_end(arguments);
	if (length > 0 && (size_t)length < sizeof(line->bytes) - line->length)
		line->length += (size_t)length;
}

/* One character as JSON's strings have it (RFC 8259), which logfmt's readers take too; `room` of at least 7. Its length in `text`. */
static size_t escape(char *room, const char *text, size_t left)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t length = utf8_length(bytes, left);

	if (length == 0) {
		strcpy(room, "\\ufffd");
		return 1;
	}
	if (bytes[0] == '"' || bytes[0] == '\\')
		sprintf(room, "\\%c", bytes[0]);
	else if (bytes[0] < ' ' || bytes[0] == 127)
		sprintf(room, "\\u%04x", bytes[0]);
	else if (bytes[0] == 0xc2 && bytes[1] < 0xa0)
		sprintf(room, "\\u%04x", bytes[1]);
	else
		sprintf(room, "%.*s", (int)length, text);
	return length;
}

/* In quotes, up to `end` of the line; what does not fit is cut, and shows it. */
static void put_quoted(struct line *line, const char *text, size_t end)
{
	size_t left = strlen(text);

	put(line, "\"");
	while (left > 0) {
		char escaped[8];
		size_t took = escape(escaped, text, left), length = strlen(escaped);

		if (line->length + length + END_ROOM > end) {
			put(line, "...");
			break;
		}
		memcpy(line->bytes + line->length, escaped, length);
		line->length += length;
		text += took;
		left -= took;
	}
	put(line, "\"");
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm parts;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	put(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
		parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
}

static void make_json(struct line *line, enum log_level level, const struct place *place, const char *message)
{
	put(line, "{\"ts\":\"");
	put_time(line);
	put(line, "\",\"level\":\"%s\",\"program\":\"%s\"", level_words[level], logger.program);
	if (place->file) {
		put(line, ",\"file\":");
		put_quoted(line, place->file, FILE_MAX);
		put(line, ",\"line\":%u", place->line);
		if (place->column)
			put(line, ",\"column\":%u", place->column);
	}
	put(line, ",\"msg\":");
	put_quoted(line, message, sizeof(line->bytes));
	put(line, "}");
}

static void make_logfmt(struct line *line, enum log_level level, const struct place *place, const char *message)
{
	put(line, "ts=");
	put_time(line);
	put(line, " level=%s program=%s", level_words[level], logger.program);
	if (place->file) {
		put(line, " file=");
		put_quoted(line, place->file, FILE_MAX);
		put(line, " line=%u", place->line);
		if (place->column)
			put(line, " column=%u", place->column);
	}
	put(line, " msg=");
	put_quoted(line, message, sizeof(line->bytes));
}

static void make_text(struct line *line, enum log_level level, const struct place *place, const char *message)
{
	static const char *const colours[] = {"\033[31m", "\033[33m", "", "\033[2m"};
	bool colour = logger.colour && level != LOG_INFO;
	size_t before, left;

	if (!place->bare)
		put(line, "%s: %s%s%s%s", logger.program, colour ? colours[level] : "",
			level == LOG_INFO ? "" : level_words[level], level == LOG_INFO ? "" : ": ",
			colour ? "\033[0m" : "");
	before = line->length;
	if (place->file)
		put(line, "%.*s:%u: ", FILE_MAX - 32, place->file, place->line);
	if (place->column) {
		line->length -= 1;
		put(line, "%u: ", place->column);
	}
	left = sizeof(line->bytes) - 1 - line->length;
	if (strlen(message) > left) {
		memcpy(line->bytes + line->length, message, left - 3);
		memcpy(line->bytes + line->length + left - 3, "...", 3);
		line->length += left;
	} else {
		memcpy(line->bytes + line->length, message, strlen(message));
		line->length += strlen(message);
	}
	utf8_defuse(line->bytes + before, line->length - before);
}

static void write_line(enum log_level level, const struct place *place, const char *format, va_list arguments)
{
	char message[LINE_MAX_SIZE + 1]; /* so that what is cut is longer than a line */
	enum log_format shape = logger.format;
	struct line line;

	line.length = 0;
	vsnprintf(message, sizeof(message), format, arguments);
	switch (shape) {
	case LOG_TEXT: make_text(&line, level, place, message); break;
	case LOG_LOGFMT: make_logfmt(&line, level, place, message); break;
	case LOG_JSON: make_json(&line, level, place, message); break;
	}
	line.bytes[line.length++] = '\n';
	(void)!write(STDERR_FILENO, line.bytes, line.length);
}

static void log_level_line(enum log_level level, const char *format, va_list arguments)
{
	if (level <= logger.level)
		write_line(level, &(struct place){0}, format, arguments);
}

#define LOG_FUNCTION(name, level)                                                                                      \
	void name(const char *format, ...)                                                                             \
	{                                                                                                              \
		va_list arguments;                                                                                     \
                                                                                                                       \
		va_start(arguments, format);                                                                           \
		log_level_line(level, format, arguments);                                                              \
		va_end(arguments);                                                                                     \
	}
LOG_FUNCTION(log_error, LOG_ERROR)
LOG_FUNCTION(log_warning, LOG_WARNING)
LOG_FUNCTION(log_info, LOG_INFO)
LOG_FUNCTION(log_debug, LOG_DEBUG)

void log_at(const char *file, unsigned int line, const char *format, ...)
{
	const struct place place = {.file = file, .line = line ? line : 1, .bare = true};
	va_list arguments;

	va_start(arguments, format);
	write_line(LOG_ERROR, &place, format, arguments);
	va_end(arguments);
}

void log_error_at(bool bare, const char *file, unsigned int line, unsigned int column, const char *format, ...)
{
	const struct place place = {.file = file, .line = line ? line : 1, .column = column, .bare = bare};
	va_list arguments;

	va_start(arguments, format);
	write_line(LOG_ERROR, &place, format, arguments);
	va_end(arguments);
}

void log_limited_at(struct log_limit *limit, const char *format, ...)
{
	unsigned long long now = clock_boottime_ns(), next = limit->next_ns;
	char suffixed[LINE_MAX_SIZE / 2];
	unsigned long held_back;
	va_list arguments;

	if (now < next || !__atomic_compare_exchange_n((unsigned long long *)&limit->next_ns, &next, now + limit_ns,
				  false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		limit->held_back++;
		return;
	}
	held_back = __atomic_exchange_n((unsigned long *)&limit->held_back, 0, __ATOMIC_RELAXED);
	if (held_back)
		snprintf(suffixed, sizeof(suffixed), "%s (and %lu more like it)", format, held_back);
	va_start(arguments, format);
	log_level_line(LOG_WARNING, held_back ? suffixed : format, arguments);
	va_end(arguments);
}
