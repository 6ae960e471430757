/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metric.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

__attribute__((format(printf, 2, 3))) static void print(struct buffer *page, const char *format, ...)
{
	char line[512];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	buffer_append(page, line, length < (int)sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

static void put(struct buffer *page, const char *text)
{
	buffer_append(page, text, strlen(text));
}

/* What the format escapes: backslashes and line feeds, and in labels quotes. The page is UTF-8: other bytes become '?'. */
static void put_escaped(struct buffer *page, const char *text, bool quotes)
{
	size_t left = strlen(text);

	for (size_t length; left > 0; text += length, left -= length) {
		length = utf8_length((const unsigned char *)text, left);
		if (length == 0) {
			put(page, "?");
			length = 1;
		} else if (*text == '\\') {
			put(page, "\\\\");
		} else if (*text == '\n') {
			put(page, "\\n");
		} else if (*text == '"' && quotes) {
			put(page, "\\\"");
		} else {
			buffer_append(page, text, length);
		}
	}
}

const char *metric_type_name(enum metric_type type)
{
	return type == METRIC_COUNTER ? "counter" : "gauge";
}

void metric_begin(struct buffer *page, const struct metric_spec *spec)
{
	print(page, "# HELP %s ", spec->name);
	put_escaped(page, spec->help, false);
	print(page, "\n# TYPE %s %s\n", spec->name, metric_type_name(spec->type));
}

static void put_name(struct buffer *page, const struct metric_spec *spec, const char *const *values)
{
	put(page, spec->name);
	for (size_t i = 0; values && i < METRIC_LABELS_MAX && spec->labels[i]; i++) {
		print(page, "%s%s=\"", i ? "," : "{", spec->labels[i]);
		put_escaped(page, values[i], true);
		put(page, "\"");
	}
	put(page, values && spec->labels[0] ? "} " : " ");
}

void metric_count(struct buffer *page, const struct metric_spec *spec, const char *const *values, uint64_t number)
{
	put_name(page, spec, values);
	print(page, "%llu\n", (unsigned long long)number);
}

void metric_number(struct buffer *page, const struct metric_spec *spec, const char *const *values, double number)
{
	put_name(page, spec, values);
	print(page, "%.15g\n", number);
}

void metric_one(struct buffer *page, const struct metric_spec *spec, uint64_t number)
{
	metric_begin(page, spec);
	metric_count(page, spec, NULL, number);
}
