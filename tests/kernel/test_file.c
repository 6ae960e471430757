/* SPDX-License-Identifier: Apache-2.0 */
/* open, openat, openat2, creat. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static char directory[] = "/tmp/taffrail-files-XXXXXX";

static void make_directory(void)
{
	cr_assert_not_null(mkdtemp(directory));
}

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	if (strncmp(directory, "/tmp/taffrail-files-", 20) == 0 && system(command) != 0)
		fprintf(stderr, "%s stays\n", directory);
}

TestSuite(kernel_file, .init = make_directory, .fini = remove_directory);

static int read_relative(void *argument)
{
	(void)argument;
	return chdir("/usr/share") || open("..//../etc/./passwd", O_RDONLY | O_CLOEXEC) < 0;
}

Test(kernel_file, the_path_is_the_kernels_and_the_argument_the_programs)
{
	struct stat status;
	char inode[32];

	cr_assert_eq(watch(read_relative, NULL), 0);

	struct json_object *open_document = one("open", "taffrail.file.argument", "..//../etc/./passwd");

	stat("/etc/passwd", &status);
	snprintf(inode, sizeof(inode), "%lu", (unsigned long)status.st_ino);
	expect(open_document, "file.path", "/etc/passwd");
	expect(open_document, "file.name", "passwd");
	expect(open_document, "file.directory", "/etc");
	expect(open_document, "file.inode", inode);
	expect(open_document, "file.mode", "0644");
	expect(open_document, "file.type", "file");
	expect(open_document, "event.category.0", "file");
	expect(open_document, "event.type.0", "access");
	expect(open_document, "event.outcome", "success");
	expect(open_document, "taffrail.file.flags.0", "O_RDONLY");
	expect(open_document, "taffrail.file.flags.1", "O_CLOEXEC");
	expect(open_document, "taffrail.count", "");
}

static int every_call(void *argument)
{
	struct open_how how = {.flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0600};
	char path[128];

	(void)argument;
	umask(0);
	snprintf(path, sizeof(path), "%s/by-open", directory);
	if (old_open(path, O_WRONLY | O_CREAT, 0640) < 0)
		return 1;
	snprintf(path, sizeof(path), "%s/by-creat", directory);
	if (old_creat(path, 0604) < 0)
		return 2;
	snprintf(path, sizeof(path), "%s/by-openat2", directory);
	if (syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)) < 0)
		return 3;
	int at = open(directory, O_DIRECTORY | O_PATH);

	return openat(at, "by-open", O_WRONLY | O_TRUNC) < 0 ? 4 : 0;
}

Test(kernel_file, every_call_that_opens_is_seen_with_its_flags)
{
	char path[128];

	cr_assert_eq(watch(every_call, NULL), 0);
	snprintf(path, sizeof(path), "%s/by-creat", directory);

	struct json_object *open_document = one("open", "file.path", path);

	expect(open_document, "event.type.0", "creation");
	expect(open_document, "file.mode", "0604");
	expect(open_document, "taffrail.file.flags.0", "O_WRONLY");
	expect(open_document, "taffrail.file.flags.1", "O_CREAT");
	expect(open_document, "taffrail.file.flags.2", "O_TRUNC");

	snprintf(path, sizeof(path), "%s/by-openat2", directory);
	open_document = one("open", "file.path", path);
	expect(open_document, "event.type.0", "creation");
	expect(open_document, "file.mode", "0600");
	expect(open_document, "taffrail.file.flags.0", "O_RDWR");

	open_document = one("open", "taffrail.file.argument", "by-open");
	snprintf(path, sizeof(path), "%s/by-open", directory);
	expect(open_document, "file.path", path);
	expect(open_document, "event.type.0", "change");
	cr_assert_eq(count("open", "file.path", path), 2);

	open_document = one("open", "file.path", directory);
	expect(open_document, "file.type", "dir");
}

static int fail_to_open(void *argument)
{
	(void)argument;
	if (chdir("/usr/share") || open("../no//such/./file", O_RDONLY) >= 0 || errno != ENOENT)
		return 1;
	if (open("/etc/passwd", O_RDONLY | O_DIRECTORY) >= 0 || errno != ENOTDIR)
		return 2;
	return 0;
}

Test(kernel_file, a_failed_open_has_its_errno_and_the_normalised_argument)
{
	cr_assert_eq(watch(fail_to_open, NULL), 0);

	struct json_object *open_document = one("open", "error.code", "ENOENT");

	expect(open_document, "event.outcome", "failure");
	expect(open_document, "file.path", "/usr/no/such/file");
	expect(open_document, "taffrail.file.argument", "../no//such/./file");
	expect(open_document, "file.inode", "");
	expect(one("open", "error.code", "ENOTDIR"), "file.path", "/etc/passwd");
}

static int open_in_chroot(void *argument)
{
	char path[128];

	(void)argument;
	snprintf(path, sizeof(path), "%s/inside", directory);
	close(open(path, O_WRONLY | O_CREAT, 0644));
	return chroot(directory) || chdir("/") || open("/inside", O_RDONLY) < 0;
}

Test(kernel_file, a_chroot_does_not_change_the_path)
{
	char path[128];

	cr_assert_eq(watch(open_in_chroot, NULL), 0);
	snprintf(path, sizeof(path), "%s/inside", directory);
	expect(one("open", "taffrail.file.argument", "/inside"), "file.path", path);
}

static int open_through_mount(void *argument)
{
	char path[128];

	(void)argument;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return 1;
	if (mount("taffrail", directory, "tmpfs", 0, NULL))
		return 2;
	snprintf(path, sizeof(path), "%s/a", directory);
	if (mkdir(path, 0755))
		return 3;
	snprintf(path, sizeof(path), "%s/a/deep", directory);
	return open(path, O_CREAT | O_RDWR, 0600) < 0;
}

Test(kernel_file, a_path_crosses_mounts)
{
	char path[128];

	cr_assert_eq(watch(open_through_mount, NULL), 0);
	snprintf(path, sizeof(path), "%s/a/deep", directory);
	expect(one("open", "file.path", path), "event.type.0", "creation");
}

static int open_long_path(void *argument)
{
	char name[201];

	(void)argument;
	memset(name, 'n', 200);
	name[200] = '\0';
	if (chdir(directory))
		return 1;
	for (int i = 0; i < 30; i++) {
		name[0] = (char)('a' + i % 26);
		if (mkdir(name, 0755) || chdir(name))
			return 2;
	}
	return open("at-the-end", O_CREAT | O_WRONLY, 0644) < 0;
}

Test(kernel_file, a_path_that_is_too_long_keeps_its_tail_and_says_so)
{
	cr_assert_eq(watch(open_long_path, NULL), 0);

	struct json_object *open_document = one("open", "taffrail.file.argument", "at-the-end");
	const char *path = at(open_document, "file.path");

	expect(open_document, "taffrail.truncated.0", "file.path");
	cr_assert_gt(strlen(path), 3900);
	cr_assert_str_eq(path + strlen(path) - 11, "/at-the-end");
}

static int open_odd_name(void *argument)
{
	char path[128];

	(void)argument;
	snprintf(path, sizeof(path), "%s/q\xff\\x\n", directory);
	return open(path, O_CREAT | O_WRONLY, 0600) < 0;
}

Test(kernel_file, bytes_that_are_no_utf8_are_escaped_and_say_so)
{
	cr_assert_eq(watch(open_odd_name, NULL), 0);
	expect(one("open", "file.name", "q\\xff\\\\x\n"), "taffrail.escaped.0", "file.path");
}

static int open_a_thousand(void *argument)
{
	char path[128];

	(void)argument;
	for (int i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "%s/file-%d", directory, i);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	}
	return 0;
}

Test(kernel_file, a_thousand_opens_are_a_thousand_each_once)
{
	static struct json_object *found[4096];
	bool seen[1000] = {false};
	size_t opens, count = 0;

	cr_assert_eq(watch(open_a_thousand, NULL), 0);
	opens = documents("open", found, 4096);
	/* One pass: to look each one up among all takes an emulated machine minutes. */
	for (size_t i = 0; i < opens && i < 4096; i++) {
		const char *name = at(found[i], "file.name");
		unsigned long number;

		if (strncmp(name, "file-", 5) != 0 || strcmp(at(found[i], "file.directory"), directory) != 0)
			continue;
		number = strtoul(name + 5, NULL, 10);
		cr_assert(number < 1000 && !seen[number], "%s", name);
		seen[number] = true;
		count++;
	}
	cr_assert_eq(count, 1000);
}
