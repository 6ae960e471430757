/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/version.h"

enum { OPTIONS_MAX = 48, WRONG = 2 };
enum { HELP = 1000, VERSION, CONFIG, SET };

int options_wrong(const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	log_error("%s", line);
	return WRONG;
}

static void print_option(const char *name, const char *argument, const char *help)
{
	static char left[80]; /* with those of before that share this line */
	size_t length = strlen(left);

	snprintf(left + length, sizeof(left) - length, "%s--%s%s%s", length ? " " : "", name, argument ? " " : "",
		argument ? argument : "");
	for (const char *line = help; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		printf("  %-23s %.*s\n", left, (int)strcspn(line, "\n"), line);
		left[0] = '\0';
	}
}

static void print_help(const struct program_spec *program)
{
	printf("%s - %s\n\nUsage: %s %s\n\n", program->name, program->summary, program->name, program->usage);
	for (const struct option_spec *option = program->options; option->name; option++)
		print_option(option->name, option->argument, option->help);
	if (!program->no_file) {
		print_option("config", "FILE", "read the configuration (YAML) from FILE");
		print_option("set", "KEY=VALUE", "set a key of the configuration; beats the file");
	}
	print_option("help", NULL, NULL);
	print_option("version", NULL, "print this help; the version");
	if (program->notes)
		printf("\n%s\n", program->notes);
}

static size_t make_table(const struct program_spec *program, struct option table[OPTIONS_MAX + 5])
{
	size_t count = 0;

	for (const struct option_spec *option = program->options; option->name && count < OPTIONS_MAX;
		option++, count++)
		table[count] = (struct option){
			option->name, option->argument ? required_argument : no_argument, NULL, (int)count};
	if (!program->no_file) {
		table[count++] = (struct option){"config", required_argument, NULL, CONFIG};
		table[count++] = (struct option){"set", required_argument, NULL, SET};
	}
	table[count++] = (struct option){"help", no_argument, NULL, HELP};
	table[count++] = (struct option){"version", no_argument, NULL, VERSION};
	table[count] = (struct option){0};
	return count;
}

/* --set KEY=VALUE. -1, or the exit code. */
static int set_key(const struct config_key *keys, const char *word)
{
	const char *equals = strchr(word, '=');
	char key[256], why[512];

	if (!equals || equals == word || equals - word >= (long)sizeof(key))
		return options_wrong("--set takes KEY=VALUE, not \"%s\"", word);
	snprintf(key, sizeof(key), "%.*s", (int)(equals - word), word);
	if (config_assign(keys, key, equals + 1, false, why, sizeof(why)) < 0)
		return options_wrong("--set %s: %s", word, why);
	return -1;
}

/* One walk over the command line. What it does with each word is the pass: all are checked in the first. */
enum pass { CHECK, FILES, SETS, OPTIONS };

static int walk(const struct program_spec *program, int argc, char **argv, enum pass pass)
{
	struct option table[OPTIONS_MAX + 5];
	bool given[OPTIONS_MAX] = {false};
	char why[512];
	int word, at = 1; /* where the word that getopt looks at stands: in the midst of -abc optind does not tell */

	make_table(program, table);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	for (; (word = getopt_long(argc, argv, "+:", table, NULL)) != -1; at = optind) {
		int code = -1;

		if (word == '?')
			return options_wrong("unknown option %s; try --help", argv[at]);
		if (word == ':')
			return options_wrong("%s needs a value; try --help", argv[at]);
		if (pass == CHECK && word == HELP) {
			print_help(program);
			return 0;
		}
		if (pass == CHECK && word == VERSION) {
			printf("%s %s\n", program->name, TAFFRAIL_VERSION);
			return 0;
		}
		if (pass == FILES && word == CONFIG && config_read(program->keys, optarg) < 0)
			return WRONG;
		if (pass == SETS && word == SET)
			code = set_key(program->keys, optarg);
		if (pass == OPTIONS && word < OPTIONS_MAX) {
			const struct option_spec *option = &program->options[word];

			if (config_assign(program->keys, option->key, optarg ? optarg : "true", given[word], why,
				    sizeof(why)) < 0)
				code = options_wrong("--%s: %s", option->name, why);
			given[word] = true;
		}
		if (code >= 0)
			return code;
	}
	if (optind < argc)
		return options_wrong("there is nothing to do with \"%s\"; try --help", argv[optind]);
	return -1;
}

int options_read(const struct program_spec *program, int argc, char **argv)
{
	log_open(program->name, LOG_INFO);
	for (enum pass pass = CHECK; pass <= OPTIONS; pass++) {
		int code = walk(program, argc, argv, pass);

		if (code >= 0)
			return code;
	}
	return -1;
}
