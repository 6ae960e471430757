/* SPDX-License-Identifier: Apache-2.0 */
/* What a program takes and shows, as Markdown: docs/options.md and docs/metrics.md are made of it (scripts/make-docs.sh). */
#include "base/options_page.h"

#include <stdio.h>
#include <string.h>

struct page_unit {
	const char *name;
	uint64_t factor; /* the last one's is 1 */
};

/* A cell of a table: without what ends it. */
static void print_cell(const char *text)
{
	for (; text && *text; text++) {
		if (*text == '|')
			putchar('\\');
		putchar(*text == '\n' ? ' ' : *text);
	}
}

static void print_row(const char *name, const char *argument, const char *key, const char *help)
{
	printf("| `--%s%s%s` | ", name, argument ? " " : "", argument ? argument : "");
	if (key)
		printf("`%s`", key);
	printf(" | ");
	print_cell(help);
	printf(" |\n");
}

static void print_options(const struct program_spec *program)
{
	printf("| option | key | |\n|---|---|---|\n");
	for (const struct option_spec *option = program->options; option->name; option++) {
		const struct config_key *key = config_find(program->keys, option->key);

		print_row(option->name, option->argument, program->no_file ? NULL : option->key,
			key ? key->help : option->help);
	}
	if (!program->no_file) {
		print_row("config", "FILE", NULL, "read the configuration (YAML) from this file; may be repeated");
		print_row("set", "KEY=VALUE", NULL, "set a key of the configuration; beats the file");
	}
	print_row("help", NULL, NULL, "print a help");
	print_row("version", NULL, NULL, "print the version");
}

/* In the largest unit that is whole. */
static void print_number(uint64_t number, const struct page_unit *units)
{
	while (units->factor > 1 && (number == 0 || number % units->factor))
		units++;
	printf("%llu%s", (unsigned long long)(number / units->factor), number ? units->name : "");
}

static const struct page_unit *units_of(const struct config_key *key)
{
	static const struct page_unit sizes[] = {{"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}, {"", 1}};
	static const struct page_unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
	static const struct page_unit numbers[] = {{"", 1}};

	switch (config_type(key)) {
	case CONFIG_SIZE: return sizes;
	case CONFIG_DURATION: return durations;
	default: return numbers;
	}
}

static void print_type(const struct config_key *key)
{
	static const char *const names[] = {[CONFIG_BOOL] = "true, false",
		[CONFIG_TEXT] = "text",
		[CONFIG_NUMBER] = "number",
		[CONFIG_SIZE] = "size",
		[CONFIG_DURATION] = "time",
		[CONFIG_LIST] = "list",
		[CONFIG_TREE] = "in a file only"};

	printf("%s", names[config_type(key)]);
	if (!key->max)
		return;
	printf(", ");
	print_number(key->min, units_of(key));
	printf(" to ");
	print_number(key->max, units_of(key));
}

/* The targets hold the defaults, for nothing was read yet. */
static void print_default(const struct config_key *key)
{
	switch (config_type(key)) {
	case CONFIG_BOOL: printf("%s", *(const bool *)key->target ? "true" : "false"); break;
	case CONFIG_NUMBER:
	case CONFIG_SIZE:
	case CONFIG_DURATION: print_number(*(const uint64_t *)key->target, units_of(key)); break;
	default: break;
	}
}

static void print_keys(const struct program_spec *program)
{
	printf("\n| key | takes | default | a change of it | |\n|---|---|---|---|---|\n");
	for (const struct config_key *key = program->keys; key->path; key++) {
		printf("| `%s` | ", key->path);
		print_type(key);
		printf(" | ");
		print_default(key);
		printf(" | %s | ", key->type & CONFIG_LIVE ? "is taken at once" : "takes a restart");
		print_cell(key->help);
		printf(" |\n");
	}
}

static void print_metrics(const struct metric_spec *spec)
{
	for (; spec->name; spec++) {
		printf("| `%s` | %s | ", spec->name, metric_type_name(spec->type));
		for (size_t i = 0; i < METRIC_LABELS_MAX && spec->labels[i]; i++)
			printf("%s`%s`", i ? ", " : "", spec->labels[i]);
		printf(" | ");
		print_cell(spec->help);
		printf(" |\n");
	}
}

bool options_page(const struct program_spec *program, const char *of)
{
	if (strcmp(of, "options") == 0) {
		print_options(program);
		if (!program->no_file)
			print_keys(program);
		return true;
	}
	if (strcmp(of, "metrics") != 0 || !program->metrics)
		return false;
	printf("| metric | type | labels | |\n|---|---|---|---|\n");
	for (const struct metric_spec *const *table = program->metrics; *table; table++)
		print_metrics(*table);
	return true;
}
