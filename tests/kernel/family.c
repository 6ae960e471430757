/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

char family_folder[] = "/tmp/taffrail-family-XXXXXX";
static char config[64], rules[64];

void family_set_up(void)
{
	cr_assert_not_null(mkdtemp(family_folder));
}

void family_tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", family_folder);
	if (strncmp(family_folder, "/tmp/taffrail-family-", 21) == 0 && system(command) != 0)
		fprintf(stderr, "%s stays\n", family_folder);
}

static FILE *create(char path[64], const char *name)
{
	FILE *file;

	snprintf(path, sizeof(config), "%s/%s", family_folder, name);
	file = fopen(path, "we");
	cr_assert_not_null(file);
	return file;
}

static void write_config(const char *kinds)
{
	FILE *file = create(config, "config.yaml");

	fprintf(file, "rule_matching: all\nrecord:\n  also: [%s]\n", kinds);
	cr_assert_eq(fclose(file), 0);
}

void family_ask(const char *kinds)
{
	const char *arguments[] = {"--config", config, NULL};

	write_config(kinds);
	sensor_arguments(arguments);
	setenv("TAFFRAIL_FAMILIES", "1", 1); /* a guest's tests share one sensor with all of them */
}

void family_judge(const char *kinds, const char *yaml)
{
	const char *arguments[] = {"--config", config, "--rules", rules, NULL};
	FILE *file = create(rules, "rules.yaml");

	fputs(yaml, file);
	cr_assert_eq(fclose(file), 0);
	write_config(kinds);
	sensor_arguments(arguments);
}

const char *family_path(const char *name)
{
	static char paths[8][128];
	static int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", family_folder, name);
	return path;
}

struct json_object *by_call(const char *action, const char *call)
{
	return one(action, "taffrail.call", call);
}
