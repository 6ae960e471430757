/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/options.h"
#include "base/utf8.h"
#include "cli/rules_test.h"
#include "detect/rules.h"

struct rules_command {
	bool json;
	char **files;
	int file_count;
	char *rule;   /* of explain */
	char *events; /* of test */
};

/* --- what is wrong -------------------------------------------------------------------------------------------------------- */

enum { SHOWN_MAX = 255, BEFORE_MAX = 60 };

/* The line, or the part of a long one that the problem is in, and a caret below the place. */
static void print_caret(const struct rules_problem *problem)
{
	char line[SHOWN_MAX + 1];
	struct text text = problem->text;
	size_t at = problem->offset < text.length ? problem->offset : text.length, start = 0, column = 0;

	if (text.length == 0)
		return;
	if (at >= SHOWN_MAX)
		start = at - BEFORE_MAX;
	while (start < at && ((unsigned char)text.data[start] & 0xc0) == 0x80)
		start++;
	at -= start;
	text = (struct text){text.data + start, text.length - start};
	if (text.length > SHOWN_MAX)
		for (text.length = SHOWN_MAX;
			((unsigned char)text.data[text.length] & 0xc0) == 0x80 && text.length > at;)
			text.length--;
	memcpy(line, text.data, text.length);
	line[text.length] = '\0';
	for (size_t i = 0; i < text.length; i++)
		if (line[i] == '\t')
			line[i] = ' ';
	utf8_defuse(line, text.length);
	for (size_t i = 0; i < at; i++)
		column += ((unsigned char)line[i] & 0xc0) != 0x80;
	printf("  %s%s\n  %*s^\n", start ? "…" : "", line, (int)column + (start > 0), "");
}

static void print_problems(const struct rules_problem *problems, size_t count, const char *kind)
{
	for (size_t i = 0; i < count; i++) {
		printf("%s:%u:%u: %s: %s\n", problems[i].file, problems[i].line, problems[i].column, kind,
			problems[i].message);
		print_caret(&problems[i]);
	}
}

static void add_problems(struct json *json, const struct rules_problem *problems, size_t count)
{
	json_array_begin(json);
	for (size_t i = 0; i < count; i++) {
		json_object_begin(json);
		json_member_string(json, "file", text_of(problems[i].file));
		json_member_unsigned(json, "line", problems[i].line);
		json_member_unsigned(json, "column", problems[i].column);
		json_member_string(json, "message", text_of(problems[i].message));
		json_object_end(json);
	}
	json_array_end(json);
}

static void print_json(const struct rules_report *report)
{
	struct buffer out = {0};
	struct json json = json_begin(&out);

	json_object_begin(&json);
	json_member_unsigned(&json, "rules", report->rules);
	json_member_unsigned(&json, "macros", report->macros);
	json_member_unsigned(&json, "lists", report->lists);
	json_key(&json, "errors");
	add_problems(&json, report->errors, report->error_count);
	json_key(&json, "warnings");
	add_problems(&json, report->warnings, report->warning_count);
	json_object_end(&json);
	buffer_append(&out, "\n", 1);
	fwrite(out.data, 1, out.failed ? 0 : out.length, stdout);
	buffer_free(&out);
}

/* --- the commands --------------------------------------------------------------------------------------------------------- */

/* Loads the files as one set: the exit code, or -1 to go on with `rules`. */
static int load(const struct rules_command *command, struct rules_loader *loader, struct rules **rules)
{
	int error;

	for (int i = 0; i < command->file_count; i++)
		rules_loader_add(loader, command->files[i]);
	error = rules_loader_compile(loader, NULL, rules);
	if (error && error != -EINVAL) {
		log_error("the rules cannot be compiled: %s", strerror(-error));
		return EXIT_FAILURE;
	}
	return -1;
}

static int check(const struct rules_command *command, struct rules_loader *loader)
{
	struct rules *rules;
	struct rules_report report;
	int code = load(command, loader, &rules);

	if (code >= 0)
		return code;
	rules_loader_report(loader, &report);
	if (command->json) {
		print_json(&report);
	} else {
		print_problems(report.errors, report.error_count, "error");
		print_problems(report.warnings, report.warning_count, "warning");
		printf("%zu rules, %zu macros, %zu lists: %zu errors, %zu warnings\n", report.rules, report.macros,
			report.lists, report.error_count, report.warning_count);
	}
	rules_free(rules);
	return report.error_count ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int explain(const struct rules_command *command, struct rules_loader *loader)
{
	const struct rules_rule *rule;
	struct rules_report report;
	struct buffer out = {0};
	struct rules *rules;
	int code = load(command, loader, &rules);

	if (code >= 0)
		return code;
	rules_loader_report(loader, &report);
	if (!rules) {
		print_problems(report.errors, report.error_count, "error");
		return EXIT_FAILURE;
	}
	rule = rules_find(rules, text_of(command->rule));
	if (rule) {
		rules_explain(rules, rule, &out);
		fwrite(out.data, 1, out.failed ? 0 : out.length, stdout);
		code = EXIT_SUCCESS;
	} else {
		log_error("there is no rule \"%s\" in these files", command->rule);
		code = EXIT_FAILURE;
	}
	buffer_free(&out);
	rules_free(rules);
	return code;
}

static int test(const struct rules_command *command, struct rules_loader *loader)
{
	struct rules_test test = {.events = command->events,
		.files = command->files,
		.file_count = command->file_count,
		.json = command->json};
	struct rules_report report;
	int code = load(command, loader, &test.rules);

	if (code >= 0)
		return code;
	rules_loader_report(loader, &report);
	if (!test.rules) {
		print_problems(report.errors, report.error_count, "error");
		return EXIT_FAILURE;
	}
	code = rules_test_run(&test);
	rules_free(test.rules);
	return code;
}

static void print_help(void)
{
	printf("taffrail rules - are rules right, what do they compile to, what would they find?\n\n"
	       "Usage: taffrail rules check [--json] FILE...\n"
	       "       taffrail rules explain RULE FILE...\n"
	       "       taffrail rules test [--json] --events PATH FILE...\n\n"
	       "  check    loads the files as one set, in order, and says all that is wrong\n"
	       "  explain  shows what a rule compiles to, and which calls it waits for\n\n"
	       "  test     shows what they find in PATH: a collector's data directory, one of\n"
	       "           its segments, or a sensor's recording\n\n"
	       "  --json   check: one object: rules, macros, lists, errors, warnings;\n"
	       "           test: findings as Falco prints them\n"
	       "  --help   print this help\n\n"
	       "A directory stands for its *.yaml and *.yml files, in the order of their names.\n"
	       "A problem is one line, FILE:LINE:COLUMN: error|warning: reason, and the line.\n"
	       "Exit: 0 the rules load; 1 they do not, there is no such rule, or PATH cannot be\n"
	       "read whole; 2 wrong usage.\n");
}

/* Takes the options out of the words. -1, or the exit code. */
static int read_words(struct rules_command *command, int argc, char **argv)
{
	bool options = true;

	command->files = argv;
	for (int i = 0; i < argc; i++) {
		if (options && strcmp(argv[i], "--help") == 0) {
			print_help();
			return EXIT_SUCCESS;
		}
		if (options && strcmp(argv[i], "--events") == 0 && i + 1 < argc)
			command->events = argv[++i];
		else if (options && strcmp(argv[i], "--json") == 0)
			command->json = true;
		else if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && argv[i][0] == '-' && argv[i][1])
			return options_wrong("unknown option %s; try --help", argv[i]);
		else
			command->files[command->file_count++] = argv[i];
	}
	return -1;
}

int rules_run(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct rules_command *command, struct rules_loader *loader);
	} commands[] = {{"check", check}, {"explain", explain}, {"test", test}};
	const size_t known = sizeof(commands) / sizeof(commands[0]);
	struct rules_command command = {0};
	struct rules_loader *loader;
	size_t number = 0;
	int code = read_words(&command, argc - 1, argv + 1);

	if (code >= 0)
		return code;
	if (command.file_count == 0)
		return options_wrong("rules check, rules explain or rules test? try --help");
	while (number < known && strcmp(commands[number].name, command.files[0]) != 0)
		number++;
	if (number == known)
		return options_wrong("rules knows no \"%s\"; try --help", command.files[0]);
	command.files++;
	command.file_count--;
	if (commands[number].run == explain) {
		if (command.json)
			return options_wrong("rules explain takes no --json");
		if (command.file_count == 0)
			return options_wrong("rules explain needs the name of a rule; try --help");
		command.rule = *command.files++;
		command.file_count--;
	}
	if ((commands[number].run == test) != (command.events != NULL))
		return options_wrong(command.events ? "--events is for rules test" : "rules test needs --events PATH");
	if (command.file_count == 0)
		return options_wrong("rules %s needs a FILE; try --help", commands[number].name);
	if (rules_loader_open(&loader) < 0) {
		log_error("out of memory");
		return EXIT_FAILURE;
	}
	code = commands[number].run(&command, loader);
	rules_loader_close(loader);
	return code;
}
