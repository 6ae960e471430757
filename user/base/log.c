/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { LINE_MAX_SIZE = 4096 };
static const unsigned long long limit_ns = 1000ull * 1000 * 1000;

static struct {
	const char *program;
	enum log_level level;
	bool colour;
} logger = {"taffrail", LOG_INFO, false};

void log_open(const char *program, enum log_level level)
{
	const char *no_colour = getenv("NO_COLOR");

	logger.program = program;
	logger.level = level;
	logger.colour = isatty(STDERR_FILENO) && !(no_colour && no_colour[0]);
}

/* Puts `prefix` and the message into one line and writes it. What does not fit is cut, and shows it. */
static void write_line(const char *prefix, const char *format, va_list arguments)
{
	char line[LINE_MAX_SIZE];
	int start = snprintf(line, sizeof(line), "%s", prefix);
	int length = start < (int)sizeof(line)
			     ? vsnprintf(line + start, sizeof(line) - (size_t)start, format, arguments)
			     : 0;
	size_t size = (size_t)start + (size_t)(length > 0 ? length : 0);

	if (size >= sizeof(line) - 1) {
		size = sizeof(line) - 1;
		memcpy(line + size - 3, "...", 3);
	}
	line[size++] = '\n';
	(void)!write(STDERR_FILENO, line, size);
}

static void log_level_line(enum log_level level, const char *format, va_list arguments)
{
	static const char *const words[] = {"error: ", "warning: ", "", "debug: "};
	static const char *const colours[] = {"\033[31m", "\033[33m", "", "\033[2m"};
	char prefix[256];
	bool colour = logger.colour && words[level][0];

	if (level > logger.level)
		return;
	snprintf(prefix, sizeof(prefix), "%s: %s%s%s", logger.program, colour ? colours[level] : "", words[level],
		colour ? "\033[0m" : "");
	write_line(prefix, format, arguments);
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
	char prefix[LINE_MAX_SIZE / 2];
	va_list arguments;

	snprintf(prefix, sizeof(prefix), "%s:%u: ", file, line ? line : 1);
	va_start(arguments, format);
	write_line(prefix, format, arguments);
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
