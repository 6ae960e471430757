/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that rules are read from, and what is wrong with them.
 *
 * A place is one number: the offset of a byte in all files of a set, one behind the other. Definitions, and each byte of
 * a condition that was put together from several, remember theirs; line and column are counted when they are asked for.
 */
#ifndef TAFFRAIL_DETECT_SOURCE_H
#define TAFFRAIL_DETECT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "detect/arena.h"
#include "detect/rules.h"

enum { SOURCE_FILE_MAX = 8 << 20, SOURCE_FILES_MAX = 256, SOURCE_PROBLEMS_MAX = 1000 };

struct source_file {
	struct text name;
	struct text bytes;
	uint32_t base; /* the place of its first byte */
	/* Where the last problem was, from which lines are counted on: its line, and where that begins. */
	size_t counted, line_start;
	unsigned int line; /* from 0 */
};

/* The files, and the problems found in them. All memory is the arena's. */
struct sources {
	struct arena *arena;
	struct source_file *files;
	size_t file_count;
	struct rules_problem *errors, *warnings;
	size_t error_count, warning_count;
	bool failed; /* memory was short: no list is whole */
};

/* Adds a file's bytes, which are copied. The file, or NULL after a problem was noted. */
struct source_file *sources_add(struct sources *sources, const char *name, struct text bytes);

/* The file that a place is in. */
const struct source_file *sources_find(const struct sources *sources, uint32_t place);

/* Notes a problem. Returns -EINVAL, so that a reader can pass it on. */
int sources_error(struct sources *sources, uint32_t place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void sources_warning(struct sources *sources, uint32_t place, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A problem with a file as a whole, or with one that cannot be read: at its first line. Returns -EINVAL. */
int sources_refuse(struct sources *sources, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Words of a file as a message shows them: at most 100 bytes. For "%.*s". */
#define SOURCE_WORDS(text) (int)((text).length < 100 ? (text).length : 100), (text).data ? (text).data : ""

#endif
