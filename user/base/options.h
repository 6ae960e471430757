/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program's command line. Every option sets a key of the program's configuration, so that options, --set and the file
 * speak of the same things; --help, --version, --config and --set are there for all.
 */
#ifndef TAFFRAIL_OPTIONS_H
#define TAFFRAIL_OPTIONS_H

#include <stdbool.h>

#include "base/config.h"

struct option_spec {
	const char *name;     /* without the dashes: "collector" */
	const char *argument; /* how --help shows its value: "ADDR"; NULL: the option takes none and sets "true" */
	const char *key;
	const char *help; /* one line, or lines separated by \n; NULL: it shares the next one's line */
};

struct program_spec {
	const char *name;                  /* taffrail-sensor; what messages begin with */
	const char *usage;                 /* what follows the name in --help: "[OPTIONS]" */
	const char *summary;               /* one sentence */
	const struct option_spec *options; /* ends with a NULL name */
	const struct config_key *keys;
	bool no_file;      /* takes no --config and no --set */
	const char *notes; /* printed after the options: exit codes, examples */
};

/*
 * Reads the command line and the configuration file into the keys' targets. Returns -1 to go on, or the exit code to
 * leave with at once: 0 after --help or --version, 2 after one line that says what is wrong.
 */
int options_read(const struct program_spec *program, int argc, char **argv);

/* Says one line, and returns 2, the exit code for wrong usage: `return options_wrong("--listen is needed")`. */
int options_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
