/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"

static const uint32_t places_max = 1u << 31;

struct source_file *sources_add(struct sources *sources, const char *name, struct text bytes)
{
	uint32_t base = 0;
	struct source_file *file;

	if (sources->file_count > 0) {
		file = &sources->files[sources->file_count - 1];
		base = file->base + (uint32_t)file->bytes.length + 1;
	}
	if (bytes.length > SOURCE_FILE_MAX || bytes.length >= places_max - base) {
		sources_refuse(sources, name, "is larger than a file of rules can be (%d MiB)", SOURCE_FILE_MAX >> 20);
		return NULL;
	}
	if (sources->file_count >= SOURCE_FILES_MAX) {
		sources_refuse(sources, name, "is one file too many: a set of rules has at most %d", SOURCE_FILES_MAX);
		return NULL;
	}
	file = arena_append(sources->arena, &sources->files, &sources->file_count, sizeof(*file));
	if (!file) {
		sources->failed = true;
		return NULL;
	}
	file->name = arena_copy(sources->arena, text_of(name));
	file->bytes = arena_copy(sources->arena, bytes);
	file->base = base;
	if (!file->name.data || !file->bytes.data) {
		sources->failed = true;
		return NULL;
	}
	return file;
}

static struct source_file *find(const struct sources *sources, uint32_t place)
{
	for (size_t i = sources->file_count; i-- > 0;)
		if (place >= sources->files[i].base)
			return &sources->files[i];
	return NULL;
}

const struct source_file *sources_find(const struct sources *sources, uint32_t place)
{
	return find(sources, place);
}

/*
 * Line, column and the line's text of a place in a file. Problems come in the order of the file, but for a step back now
 * and then: lines are counted from the one before on.
 */
static void locate(struct rules_problem *problem, struct source_file *file, uint32_t place)
{
	size_t offset = place - file->base, start, end;

	if (offset > file->bytes.length)
		offset = file->bytes.length;
	if (offset < file->counted)
		file->counted = file->line_start = file->line = 0;
	for (; file->counted < offset; file->counted++)
		if (file->bytes.data[file->counted] == '\n') {
			file->line++;
			file->line_start = file->counted + 1;
		}
	start = file->line_start;
	problem->line = file->line + 1;
	problem->column = 1;
	for (size_t i = start; i < offset; i++)
		problem->column += ((unsigned char)file->bytes.data[i] & 0xc0) != 0x80;
	for (end = offset; end < file->bytes.length && file->bytes.data[end] != '\n';)
		end++;
	if (end > start && file->bytes.data[end - 1] == '\r')
		end--;
	problem->text = (struct text){file->bytes.data + start, end - start};
	problem->offset = offset - start;
}

static void note(
	struct sources *sources, bool error, const struct rules_problem *problem, const char *format, va_list arguments)
{
	struct rules_problem **list = error ? &sources->errors : &sources->warnings, *added;
	size_t *count = error ? &sources->error_count : &sources->warning_count;
	char message[512];

	vsnprintf(message, sizeof(message), format, arguments);
	utf8_defuse(message, strlen(message)); /* words of the file are in it */
	added = arena_append(sources->arena, list, count, sizeof(*added));
	if (!added) {
		sources->failed = true;
		return;
	}
	*added = *problem;
	added->message = arena_copy(sources->arena, text_of(message)).data;
	if (!added->message) {
		(*count)--;
		sources->failed = true;
	}
}

static struct rules_problem problem_at(struct sources *sources, uint32_t place)
{
	struct source_file *file = find(sources, place);
	struct rules_problem problem = {.file = "", .line = 1, .column = 1};

	if (file) {
		problem.file = file->name.data;
		locate(&problem, file, place);
	}
	return problem;
}

int sources_error(struct sources *sources, uint32_t place, const char *format, ...)
{
	struct rules_problem problem;
	va_list arguments;

	if (sources->error_count >= SOURCE_PROBLEMS_MAX)
		return -EINVAL;
	problem = problem_at(sources, place);
	va_start(arguments, format);
	note(sources, true, &problem, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

void sources_warning(struct sources *sources, uint32_t place, const char *format, ...)
{
	struct rules_problem problem;
	va_list arguments;

	if (sources->warning_count >= SOURCE_PROBLEMS_MAX)
		return;
	problem = problem_at(sources, place);
	va_start(arguments, format);
	note(sources, false, &problem, format, arguments);
	va_end(arguments);
}

int sources_refuse(struct sources *sources, const char *name, const char *format, ...)
{
	struct rules_problem problem = {.line = 1, .column = 1};
	va_list arguments;

	if (sources->error_count >= SOURCE_PROBLEMS_MAX)
		return -EINVAL;
	problem.file = arena_copy(sources->arena, text_of(name)).data;
	if (!problem.file)
		problem.file = "";
	va_start(arguments, format);
	note(sources, true, &problem, format, arguments);
	va_end(arguments);
	return -EINVAL;
}
