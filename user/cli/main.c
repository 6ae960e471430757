/* SPDX-License-Identifier: Apache-2.0 */
/* taffrail COMMAND: one file a command, one row in a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/options.h"
#include "base/version.h"
#include "cli/p2p.h"
#include "cli/rules.h"
#include "cli/status.h"
#include "cli/watch.h"

static const struct command {
	const char *name, *help;
	int (*run)(int argc, char **argv); /* `argv` begins with the command; returns the exit code */
} commands[] = {
	{"watch", "show events as they happen", watch_run},
	{"status", "tell whether all that was seen is stored or declared lost", status_run},
	{"rules", "check rules, and show what they compile to", rules_run},
	{"p2p", "find peer-to-peer traffic in a capture", p2p_run},
};

static void print_help(void)
{
	printf("taffrail - looks at what a collector knows, at rules, and at captures\n\nUsage: taffrail COMMAND "
	       "[OPTIONS]\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	printf("\n  --help     print this help; taffrail COMMAND --help tells more\n"
	       "  --version  print the version\n\n"
	       "Exit: 0 done; 1 it failed, as taffrail COMMAND --help says; 2 wrong usage.\n");
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";

	log_open("taffrail", LOG_INFO);
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		print_help();
		return EXIT_SUCCESS;
	}
	if (strcmp(word, "--version") == 0) {
		printf("taffrail %s (commit %s)\n", TAFFRAIL_VERSION, version_commit());
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(word, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	if (*word == '\0')
		return options_wrong("which command? try --help");
	if (*word == '-')
		return options_wrong("unknown option %s; try --help", word);
	return options_wrong("unknown command %s; try --help", word);
}
