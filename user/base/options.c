/* SPDX-License-Identifier: Apache-2.0 */
#include "base/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/options_page.h"
#include "base/version.h"
#include "base/watch.h"

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

int options_wrong_key(const struct program_spec *program, const char *key, const char *format, ...)
{
	const struct config_places *places = program->call ? &program->call->places : NULL;
	const struct config_key *row = config_find(program->keys, key);
	unsigned int said = places && row ? places->keys[row - program->keys].line : 0;
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (said)
		log_at(places->files[places->keys[row - program->keys].file], said, "%s", line);
	else
		log_error("%s", line);
	return WRONG;
}

int options_log_check(const struct program_spec *program, const struct options_log *log)
{
	enum log_format format;
	enum log_level level;

	if (log->format && !log_format_of(log->format, &format))
		return options_wrong_key(program, "log.format", "log.format \"%s\": text, logfmt or json", log->format);
	if (log->level && !log_level_of(log->level, &level))
		return options_wrong_key(
			program, "log.level", "log.level \"%s\": error, warning, info or debug", log->level);
	return -1;
}

void options_log_use(const struct options_log *log)
{
	enum log_format format = LOG_TEXT;
	enum log_level level = LOG_INFO;

	if (log->format)
		(void)log_format_of(log->format, &format);
	if (log->level)
		(void)log_level_of(log->level, &level);
	log_set(format, level);
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
		print_option("config", "FILE", NULL);
		print_option("set", "KEY=VALUE", "the configuration (YAML); a key of it");
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
	table[count++] = (struct option){"help", optional_argument, NULL, HELP};
	table[count++] = (struct option){"version", no_argument, NULL, VERSION};
	table[count] = (struct option){0};
	return count;
}

/* What was said of a key in a file is beaten. */
static void beat(const struct program_spec *program, const char *path)
{
	const struct config_key *key = config_find(program->keys, path);

	if (key && program->call)
		program->call->places.keys[key - program->keys].line = 0;
}

/* --set KEY=VALUE. -1, or the exit code. */
static int set_key(const struct program_spec *program, const char *word)
{
	const char *equals = strchr(word, '=');
	char key[256], why[512];

	if (!equals || equals == word || equals - word >= (long)sizeof(key))
		return options_wrong("--set takes KEY=VALUE, not \"%s\"", word);
	snprintf(key, sizeof(key), "%.*s", (int)(equals - word), word);
	if (config_assign(program->keys, key, equals + 1, false, why, sizeof(why)) < 0)
		return options_wrong("--set %s: %s", word, why);
	beat(program, key);
	return -1;
}

/* So that what is wrong with the rest is told in the format that was asked for. */
static void use_log_format(const char *key, const char *word)
{
	enum log_format format;

	if (word && strcmp(key, "log.format") == 0 && log_format_of(word, &format))
		log_set(format, LOG_INFO);
}

static void print_version(const struct program_spec *program)
{
	printf("%s %s (commit %s", program->name, TAFFRAIL_VERSION, version_commit());
	if (program->print_build)
		program->print_build();
	puts(")");
}

/* One walk over the command line. What it does with each word is the pass: all are checked in the first, and then the files read. */
enum pass { CHECK, SETS, OPTIONS };

static int walk(const struct program_spec *program, int argc, char **argv, enum pass pass, struct config_places *places)
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
		if (pass == CHECK && word == HELP && optarg) /* for scripts/make-docs.sh */
			return options_page(program, optarg) ? 0 : options_wrong("--help=%s: there is none", optarg);
		if (pass == CHECK && word == HELP) {
			print_help(program);
			return 0;
		}
		if (pass == CHECK && word == VERSION) {
			print_version(program);
			return 0;
		}
		if (pass == CHECK && word < OPTIONS_MAX && !program->again)
			use_log_format(program->options[word].key, optarg);
		if (pass == CHECK && word == CONFIG && places->file_count == CONFIG_FILES_MAX)
			return options_wrong("--config: at most %d files", CONFIG_FILES_MAX);
		if (pass == CHECK && word == CONFIG)
			places->files[places->file_count++] = optarg;
		if (pass == SETS && word == SET)
			code = set_key(program, optarg);
		if (pass == OPTIONS && word < OPTIONS_MAX) {
			const struct option_spec *option = &program->options[word];

			if (config_assign(program->keys, option->key, optarg ? optarg : "true", given[word], why,
				    sizeof(why)) < 0)
				code = options_wrong("--%s: %s", option->name, why);
			beat(program, option->key);
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
	struct options_call call = {.argc = argc, .argv = argv}, *filled = program->call ? program->call : &call;

	*filled = call;
	if (!program->again)
		log_open(program->name, LOG_INFO);
	for (enum pass pass = CHECK; pass <= OPTIONS; pass++) {
		int code = walk(program, argc, argv, pass, &filled->places);

		if (code >= 0)
			return code;
		if (pass != CHECK)
			continue;
		filled->files_seen = watch_look(filled->places.files, filled->places.file_count);
		if (config_read_files(program->keys, &filled->places) < 0)
			return WRONG;
	}
	for (const struct config_key *key = program->keys; key->path && !program->again; key++)
		if (config_type(key) == CONFIG_TEXT)
			use_log_format(key->path, *(char *const *)key->target);
	return -1;
}
