/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sensor/host.h"

#define EXPECT(text, expected)                                                                                         \
	cr_assert(text_equal(text, text_of(expected)), "\"%.*s\", not \"%s\"", (int)(text).length, (text).data,        \
		expected)

static char root[] = "/tmp/taffrail-host-XXXXXX";

static void make(const char *path, const char *content)
{
	char full[200];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	file = fopen(full, "w");
	cr_assert_not_null(file);
	fputs(content, file);
	fclose(file);
}

static void make_root(void)
{
	char command[200];

	cr_assert_not_null(mkdtemp(root));
	snprintf(command, sizeof(command), "mkdir -p %s/etc %s/sys/class/dmi/id", root, root);
	cr_assert_eq(system(command), 0);
}

static void remove_root(void)
{
	char command[200];

	snprintf(command, sizeof(command), "rm -r %s", root);
	cr_assert_eq(system(command), 0);
}

static void expect_id(const char *expected)
{
	struct host *host;

	cr_assert_eq(host_open(&host, root, NULL, "", NULL), 0);
	if (expected)
		EXPECT(host_view(host)->id, expected);
	else
		cr_assert(text_equal(host_view(host)->id, host_view(host)->boot_id));
	host_close(host);
}

Test(host, the_id_is_the_first_that_is_there, .init = make_root, .fini = remove_root)
{
	expect_id(NULL);
	make("/sys/class/dmi/id/product_uuid", "4C4C4544-004B\n");
	expect_id("4C4C4544-004B");
	make("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
	expect_id("0123456789abcdef0123456789abcdef");
}

/* machine-id(5): the file says so between the first boot's start and the id's coming; every machine's would be the same. */
Test(host, an_id_that_is_not_there_yet_is_none, .init = make_root, .fini = remove_root)
{
	make("/etc/machine-id", "uninitialized\n");
	expect_id(NULL);
	make("/etc/machine-id", "\n");
	expect_id(NULL);
	make("/etc/machine-id", "");
	expect_id(NULL);
	make("/sys/class/dmi/id/product_uuid", "abc");
	expect_id("abc");
}

Test(host, the_configuration_wins, .init = make_root, .fini = remove_root)
{
	struct host *host;

	make("/etc/machine-id", "m\n");
	make("/etc/hostname", "from-file\n");
	cr_assert_eq(host_open(&host, root, "my id", "my name", "prod"), 0);
	EXPECT(host_view(host)->id, "my id");
	EXPECT(host_view(host)->name, "my name");
	EXPECT(host_view(host)->cluster, "prod");
	host_close(host);
	cr_assert_eq(host_open(&host, root, "", NULL, NULL), 0);
	EXPECT(host_view(host)->id, "m");
	EXPECT(host_view(host)->name, "from-file");
	EXPECT(host_view(host)->cluster, "");
	host_close(host);
}

Test(host, the_machine_itself_is_called_as_the_kernel_calls_it)
{
	struct host *host;
	char name[256];

	gethostname(name, sizeof(name));
	cr_assert_eq(host_open(&host, "", NULL, NULL, NULL), 0);
	EXPECT(host_view(host)->name, name);
	cr_assert_eq(host_view(host)->boot_id.length, 36);
	cr_assert_gt(host_view(host)->id.length, 0);
	host_close(host);
}

Test(host, files_that_are_no_words_are_cut_never_overrun, .init = make_root, .fini = remove_root)
{
	char line[1001];
	struct host *host;

	memset(line, 'x', 1000);
	line[1000] = '\0';
	make("/etc/machine-id", line);
	make("/etc/hostname", "evil\x1b[2J name");
	cr_assert_eq(host_open(&host, root, NULL, NULL, line), 0);
	cr_assert_eq(host_view(host)->id.length, 255);
	EXPECT(host_view(host)->name, "evil");
	host_close(host);
}

Test(host, each_life_has_its_own_epoch)
{
	struct host *one, *two;

	cr_assert_eq(host_open(&one, "", NULL, NULL, NULL), 0);
	cr_assert_eq(host_open(&two, "", NULL, NULL, NULL), 0);
	cr_assert_arr_neq(host_view(one)->epoch, host_view(two)->epoch, EVENT_EPOCH_SIZE);
	host_close(one);
	host_close(two);
	host_close(NULL);
}
