/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: lines on stderr, each one write(2), so that threads and programs do not mix within a line. Words that come
 * from outside must have been escaped by the caller.
 */
#ifndef TAFFRAIL_LOG_H
#define TAFFRAIL_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* Names the program and the least urgent level that is printed. Before it: "taffrail", LOG_INFO. */
void log_open(const char *program, enum log_level level);

/* `PROGRAM: error: …`, `PROGRAM: warning: …`, `PROGRAM: …`, `PROGRAM: debug: …`; words in colour on a terminal. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A message about a file: `FILE:LINE: …`, with nothing before it. `line` from 1; 0 is printed as 1. */
void log_at(const char *file, unsigned int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

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
