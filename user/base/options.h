/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's command line. Every option sets a key of the program's configuration, so that options, --set and the file
 * speak of the same things; --help, --version, --config and --set are there for all.
 */
#ifndef TAFFRAIL_OPTIONS_H
#define TAFFRAIL_OPTIONS_H

#include <stdbool.h>

#include "base/config.h"
#include "base/metric.h"

struct option_spec {
	const char *name;     /* without the dashes: "collector" */
	const char *argument; /* how --help shows its value: "ADDR"; NULL: the option takes none and sets "true" */
	const char *key;
	const char *help; /* one line, or lines separated by \n; NULL: it shares the next one's line */
};

/* How a program was called, so that it can be read again. All zero at first. */
struct options_call {
	int argc;
	char **argv;                 /* must stay */
	struct config_places places; /* where in files what was said */
	uint64_t files_seen;         /* watch_look of the files, from before they were read */
};

struct program_spec {
	const char *name;                  /* taffrail-sensor; what messages begin with */
	const char *usage;                 /* what follows the name in --help: "[OPTIONS]" */
	const char *summary;               /* one sentence */
	const struct option_spec *options; /* ends with a NULL name */
	const struct config_key *keys;
	bool no_file;                             /* takes no --config and no --set */
	const struct metric_spec *const *metrics; /* tables, the last one NULL: that it shows; NULL: none */
	const char *notes;                        /* printed after the options: exit codes, examples */
	struct options_call *call;                /* is filled; NULL: nobody asks */
	bool again;                               /* it runs already: the log stays as it is */
	void (*print_build)(void); /* what of it --version tells behind the commit: ", …"; NULL: nothing */
};

/*
 * Reads the command line and the configuration file into the keys' targets. Returns -1 to go on, or the exit code to
 * leave with at once: 0 after --help or --version, 2 after one line that says what is wrong.
 */
int options_read(const struct program_spec *program, int argc, char **argv);

/*
 * The same of a key whose value is wrong: `FILE:LINE: …` where a file has said it. `program->call` as options_read has
 * filled it.
 */
int options_wrong_key(const struct program_spec *program, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Says one line, and returns 2, the exit code for wrong usage: `return options_wrong("--listen is needed")`. */
int options_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- the log, of programs that run ------------------------------------------------------------------------------------ */

/* All zero at first: text, info. */
struct options_log {
	char *format, *level; /* log.format, log.level */
};

/* Rows for a program's tables of keys and options. */
#define OPTIONS_LOG_KEYS(log)                                                                                          \
	{"log.format", CONFIG_TEXT | CONFIG_LIVE, &(log)->format, 0, 0, "text, logfmt or json"},                       \
	{                                                                                                              \
		"log.level", CONFIG_TEXT | CONFIG_LIVE, &(log)->level, 0, 0,                                           \
			"error, warning, info or debug: the least urgent that is told"                                 \
	}
#define OPTIONS_LOG_OPTION                                                                                             \
	{                                                                                                              \
		"log-format", "FORMAT", "log.format", "text, logfmt or json"                                           \
	}

/* Are they good? -1, or 2 after one line. options_log_use: from now on the log is so. */
int options_log_check(const struct program_spec *program, const struct options_log *log);
void options_log_use(const struct options_log *log);

#endif
