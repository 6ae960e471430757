/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metric.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

enum { NUMBER_SIZE = 32 };

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
	put(page, "# HELP ");
	put(page, spec->name);
	put(page, " ");
	put_escaped(page, spec->help, false);
	put(page, "\n# TYPE ");
	put(page, spec->name);
	put(page, " ");
	put(page, metric_type_name(spec->type));
	put(page, "\n");
}

static void put_sample(
	struct buffer *page, const struct metric_spec *spec, const char *const *values, const char *number)
{
	put(page, spec->name);
	for (size_t i = 0; values && i < METRIC_LABELS_MAX && spec->labels[i]; i++) {
		put(page, i ? "," : "{");
		put(page, spec->labels[i]);
		put(page, "=\"");
		put_escaped(page, values[i], true);
		put(page, "\"");
	}
	put(page, values && spec->labels[0] ? "} " : " ");
	put(page, number);
	put(page, "\n");
}

void metric_count(struct buffer *page, const struct metric_spec *spec, const char *const *values, uint64_t number)
{
	char text[NUMBER_SIZE];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	put_sample(page, spec, values, text);
}

void metric_number(struct buffer *page, const struct metric_spec *spec, const char *const *values, double number)
{
	char text[NUMBER_SIZE];

	snprintf(text, sizeof(text), "%.15g", number);
	put_sample(page, spec, values, text);
}

void metric_one(struct buffer *page, const struct metric_spec *spec, uint64_t number)
{
	metric_begin(page, spec);
	metric_count(page, spec, NULL, number);
}
