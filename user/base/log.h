/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: lines on stderr, each one write(2), so that threads and programs do not mix within a line. Whatever a message
 * holds, it stays one line: in text a control character, and a byte that is no UTF-8, becomes a '?'.
 */
#ifndef TAFFRAIL_LOG_H
#define TAFFRAIL_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* LOG_LOGFMT, LOG_JSON: with ts (RFC 3339, UTC), level, program, file and line where the message is about a file, msg. */
enum log_format { LOG_TEXT, LOG_LOGFMT, LOG_JSON };

/* Names the program and the least urgent level that is printed. Before it: "taffrail", LOG_INFO. */
void log_open(const char *program, enum log_level level);

/* From now on, on all threads. */
void log_set(enum log_format format, enum log_level level);

/* By the words of the configuration: text, logfmt, json; error, warning, info, debug. False: there is none of that name. */
bool log_format_of(const char *word, enum log_format *format);
bool log_level_of(const char *word, enum log_level *level);

/* In text: `PROGRAM: error: …`, `PROGRAM: warning: …`, `PROGRAM: …`, `PROGRAM: debug: …`; words in colour on a terminal. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An error in a file: `FILE:LINE: …`, with nothing before it. `line` from 1; 0 is printed as 1. */
void log_at(const char *file, unsigned int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same of one byte of the file, from 1: `PROGRAM: error: FILE:LINE:COLUMN: …`; `bare`: without what stands before it. */
void log_error_at(bool bare, const char *file, unsigned int line, unsigned int column, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* A warning that may come often: at most one a second from each place, and then how many were held back. */
#define log_limited(...)                                                                                               \
	do {                                                                                                           \
		static struct log_limit limit_;                                                                        \
		log_limited_at(&limit_, __VA_ARGS__);                                                                  \
	} while (0)

struct log_limit {
	_Atomic unsigned long long next_ns;
	_Atomic unsigned long held_back;
};
void log_limited_at(struct log_limit *limit, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
