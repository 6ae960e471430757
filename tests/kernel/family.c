/* SPDX-License-Identifier: Apache-2.0 */
#include "family.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

char family_folder[] = "/tmp/taffrail-family-XXXXXX";
static char config[64];

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

void family_ask(const char *kinds)
{
	const char *arguments[] = {"--config", config, NULL};
	FILE *file;

	snprintf(config, sizeof(config), "%s/config.yaml", family_folder);
	file = fopen(config, "we");
	cr_assert_not_null(file);
	fprintf(file, "record:\n  also: [%s]\n", kinds);
	cr_assert_eq(fclose(file), 0);
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
