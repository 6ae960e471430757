/* SPDX-License-Identifier: Apache-2.0 */
/* Mount tables as machines and containers have them; the mounts are directories of the test's, for their numbers count. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sensor/hierarchy.h"

static char directory[] = "/tmp/taffrail-hierarchy-XXXXXX";
static struct hierarchies found;
static char why[512];

static const char *path_of(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", directory, name);
	return path;
}

static uint64_t number_of(const char *name)
{
	struct stat status;

	cr_assert_eq(stat(path_of(name), &status), 0);
	return status.st_ino;
}

__attribute__((format(printf, 2, 3))) static void make_file(const char *name, const char *format, ...)
{
	FILE *file = fopen(path_of(name), "w");
	va_list arguments;

	cr_assert_not_null(file);
	va_start(arguments, format);
	vfprintf(file, format, arguments);
	va_end(arguments);
	fclose(file);
}

static void set_up(void)
{
	const char *const directories[] = {"unified", "pids", "own", "host", "host/unified", "with blank"};

	cr_assert_not_null(mkdtemp(directory));
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		cr_assert_eq(mkdir(path_of(directories[i]), 0755), 0);
}

static void tear_down(void)
{
	const char *const names[] = {
		"mountinfo", "cgroup", "unified", "pids", "own", "host/unified", "host", "with blank", ""};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)remove(path_of(names[i]));
}

TestSuite(hierarchy, .init = set_up, .fini = tear_down);

#define MOUNT2(root, point) "41 31 0:38 " root " %s/" point " rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
#define MOUNT1(root, point, options) "39 31 0:36 " root " %s/" point " rw - cgroup cgroup rw," options "\n"

Test(hierarchy, a_hybrid_machine)
{
	make_file("cgroup", "8:pids:/user.slice\n1:name=systemd:/\n0::/user.slice\n");
	make_file("mountinfo",
		"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" MOUNT1("/", "pids", "pids") MOUNT2("/", "unified"), directory,
		directory);
	cr_assert_eq(hierarchy_find(&found, directory, NULL, why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(found.v2, path_of("unified"));
	cr_assert(found.v1);
	/* No kernel's roots, as those have number 1: so the machine is a part of another. */
	cr_assert_eq(found.roots[0], number_of("unified"));
	cr_assert_eq(found.roots[8], number_of("pids"));
	cr_assert_eq(found.roots[1], 0);
}

Test(hierarchy, a_container_of_its_own_says_what_to_mount)
{
	make_file("cgroup", "0::/\n");
	make_file("mountinfo", MOUNT2("/", "own"), directory);
	cr_assert_eq(hierarchy_find(&found, directory, NULL, why, sizeof(why)), -ENOENT);
	cr_assert_not_null(strstr(why, "host.root"), "%s", why);
	cr_assert_not_null(strstr(why, path_of("own")), "%s", why);
}

Test(hierarchy, in_a_container_the_hosts_mount_counts)
{
	make_file("cgroup", "0::/\n");
	make_file("mountinfo", MOUNT2("/", "own") MOUNT2("/..", "host/unified"), directory, directory);
	cr_assert_eq(hierarchy_find(&found, directory, path_of("host"), why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(found.v2, path_of("host/unified"));
	cr_assert_eq(found.roots[0], number_of("host/unified"));
	cr_assert_not(found.v1);
	/* Without a word of it too, for it shows more than the own part. */
	cr_assert_eq(hierarchy_find(&found, directory, "", why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(found.v2, path_of("host/unified"));
}

Test(hierarchy, blanks_in_names)
{
	make_file("cgroup", "0::/x\n");
	make_file("mountinfo", MOUNT2("/", "with\\040blank"), directory);
	cr_assert_eq(hierarchy_find(&found, directory, NULL, why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(found.v2, path_of("with blank"));
}

/* As mount("", "/sys/fs/cgroup", "cgroup2", 0, NULL) has it written. */
Test(hierarchy, a_source_may_be_empty)
{
	make_file("cgroup", "0::/x\n");
	make_file("mountinfo", "67 45 0:38 / %s/unified rw,relatime - cgroup2  rw\n", directory);
	cr_assert_eq(hierarchy_find(&found, directory, NULL, why, sizeof(why)), 0, "%s", why);
	cr_assert_str_eq(found.v2, path_of("unified"));
}

Test(hierarchy, none_and_nonsense)
{
	make_file("cgroup", "0::/\n99:pids:/\nx\n:::\n-1::/\n7:pids\n");
	make_file("mountinfo",
		"\n - \n1 2 3 - cgroup2\n - cgroup2 cgroup2 rw\nx y z / %s/none rw - cgroup2 c rw\n" MOUNT1(
			"/", "pids", "pids"),
		directory, directory);
	cr_assert_eq(hierarchy_find(&found, directory, NULL, why, sizeof(why)), -ENOENT);
	cr_assert_not_null(strstr(why, "no cgroup v2 is mounted"), "%s", why);
	cr_assert_eq(hierarchy_find(&found, "/nonexistent", NULL, why, sizeof(why)), -ENOENT);
	cr_assert_not_null(strstr(why, "/nonexistent"), "%s", why);
}

Test(hierarchy, this_machine)
{
	struct stat status;

	if (hierarchy_find(&found, "/proc/self", NULL, why, sizeof(why)) == 0) {
		cr_assert_eq(stat(found.v2, &status), 0);
		cr_assert(found.roots[0] == 0 || found.roots[0] == status.st_ino);
	}
}
