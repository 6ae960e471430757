/* SPDX-License-Identifier: Apache-2.0 */
/* Names and modes of files: told where they are asked for, with the path as the program named it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "family.h"
#include "harness.h"

#define ALL "link, symlink, unlink, rmdir, rename, chmod, mkdir"

TestSuite(family_change, .init = family_set_up, .fini = family_tear_down);

/* The calls as their numbers are: libc makes the old ones of the new where the machine has both. */
#ifdef SYS_link
#define OLD(call, ...) syscall(SYS_##call, __VA_ARGS__)
#else
#define OLD(call, ...) call(__VA_ARGS__)
#endif

static int enter_folder(int *folder)
{
	*folder = open(family_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*folder < 0 || chdir(family_folder) < 0)
		return -1;
	return open("a", O_WRONLY | O_CREAT, 0644);
}

static int change_names(void *argument)
{
	int folder, file = enter_folder(&folder);

	(void)argument;
	if (file < 0)
		return 1;
	if (OLD(link, "a", "b") || syscall(SYS_linkat, folder, "a", folder, "c", 0))
		return 2;
	if (OLD(symlink, "/etc/shadow", "s") || syscall(SYS_symlinkat, "../t", folder, "s2"))
		return 3;
	if (OLD(rename, family_path("b"), "b2") || syscall(SYS_renameat, folder, "b2", folder, "b3") ||
		syscall(SYS_renameat2, folder, "b3", AT_FDCWD, "./no/..//b4", 0) != -1 || errno != ENOENT ||
		syscall(SYS_renameat2, folder, "c", AT_FDCWD, ".//c2", 1))
		return 4;
	if (OLD(mkdir, "d1", 0750) || syscall(SYS_mkdirat, folder, "d2", 0700))
		return 5;
	if (OLD(rmdir, "d1") || syscall(SYS_unlinkat, folder, "d2", AT_REMOVEDIR))
		return 6;
	return OLD(unlink, "a") || syscall(SYS_unlinkat, folder, "c2", 0) ? 7 : 0;
}

#ifdef SYS_link /* else the calls of before are their ...at, and told as those */
static void expect_links(void)
{
	struct json_object *document = by_call("link", "link");

	expect(document, "file.path", family_path("a"));
	expect(document, "file.target_path", family_path("b"));
	expect(document, "taffrail.file.argument", "a");
	expect(document, "taffrail.file.new_argument", "b");
	expect(document, "event.category.0", "file");
	expect(document, "event.type.0", "creation");
	expect(by_call("link", "linkat"), "file.target_path", family_path("c"));
	document = by_call("symlink", "symlink");
	expect(document, "file.path", family_path("s"));
	expect(document, "file.target_path", "/etc/shadow");
	document = by_call("symlink", "symlinkat");
	expect(document, "file.path", family_path("s2"));
	expect(document, "file.target_path", "../t");
}

static void expect_renames(void)
{
	struct json_object *document = by_call("rename", "rename");

	expect(document, "file.path", family_path("b"));
	expect(document, "file.target_path", family_path("b2"));
	expect(document, "event.type.0", "change");
	expect(by_call("rename", "renameat"), "file.target_path", family_path("b3"));
	document = one("rename", "error.code", "ENOENT");
	expect(document, "taffrail.call", "renameat2");
	expect(document, "file.path", family_path("b3"));
	expect(document, "file.target_path", family_path("b4"));
	expect(document, "taffrail.file.new_argument", "./no/..//b4");
	document = one("rename", "file.target_path", family_path("c2"));
	expect(document, "taffrail.file.flags.0", "RENAME_NOREPLACE");
	expect(document, "event.outcome", "success");
}
#endif

Test(family_change, names_are_told_as_the_program_named_them)
{
	struct json_object *document;

	family_ask(ALL);
	cr_assert_eq(watch(change_names, NULL), 0);
#ifdef SYS_link
	expect_links();
	expect_renames();
	document = by_call("mkdir", "mkdir");
	expect(document, "file.path", family_path("d1"));
	expect(document, "file.mode", "0750");
	expect(by_call("rmdir", "rmdir"), "file.path", family_path("d1"));
	expect(by_call("unlink", "unlink"), "file.path", family_path("a"));
#endif
	expect(one("mkdir", "file.path", family_path("d2")), "taffrail.call", "mkdirat");
	document = one("rmdir", "file.path", family_path("d2"));
	expect(document, "taffrail.call", "unlinkat");
	expect(document, "event.type.0", "deletion");
	expect(document, "taffrail.file.flags.0", "AT_REMOVEDIR");
	expect(one("unlink", "file.path", family_path("c2")), "taffrail.call", "unlinkat");
}

static int change_modes(void *argument)
{
	int folder, file = enter_folder(&folder);

	(void)argument;
	if (file < 0)
		return 1;
	if (OLD(chmod, "a", 04755) || fchmod(file, 0600) || syscall(SYS_fchmodat, folder, "a", 0640))
		return 2;
	return chmod("/nonexistent/taffrail", 0777) == 0 || errno != ENOENT ? 3 : 0;
}

static void expect_modes(void)
{
	struct json_object *document;

#ifdef SYS_link
	document = one("chmod", "file.mode", "4755");
	expect(document, "taffrail.call", "chmod");
	expect(document, "file.path", family_path("a"));
	expect(document, "taffrail.file.argument", "a");
#endif
	document = by_call("chmod", "fchmod");
	expect(document, "file.path", family_path("a"));
	expect(document, "file.mode", "0600");
	cr_assert_str_neq(at(document, "file.inode"), "");
	expect(one("chmod", "file.mode", "0640"), "taffrail.call", "fchmodat");
	document = one("chmod", "error.code", "ENOENT");
	expect(document, "file.path", "/nonexistent/taffrail");
	expect(document, "event.outcome", "failure");
}

static int change_both(void *argument)
{
	int error = change_modes(argument);

	return error ? error : mkdir("d", 0700) || rename("d", "e") || rmdir("e");
}

Test(family_change, what_nobody_asked_for_is_not_told)
{
	static const char *const others[] = {"mkdir", "rename", "rmdir", "unlink", "link", "symlink", "dup", "setuid"};

	setenv("TAFFRAIL_OWN_SENSOR", "1", 1); /* the one that a guest's tests share is asked for all */
	family_ask("chmod");
	cr_assert_eq(watch(change_both, NULL), 0);
	expect_modes();
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_assert_eq(documents(others[i], NULL, 0), 0, "%s was told", others[i]);
}

Test(family_change, without_a_configuration_none_is_told)
{
	static const char *const kinds[] = {"chmod", "mkdir", "rename", "rmdir", "unlink"};

	cr_assert_eq(watch(change_both, NULL), 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		cr_assert_eq(documents(kinds[i], NULL, 0), 0, "%s was told", kinds[i]);
	cr_assert_gt(documents("open", NULL, 0), 0);
}

/* --- opens, as they were named ---------------------------------------------------------------------------------------- */

static int open_relatively(void *argument)
{
	int folder, file = enter_folder(&folder);

	(void)argument;
	if (file < 0 || symlink("a", "s") || mkdir("d", 0700))
		return 1;
	return openat(folder, "d/../s", O_RDONLY) < 0 || open("/tmp/../etc//passwd", O_RDONLY) < 0 ? 2 : 0;
}

Test(family_change, an_open_has_its_name_beside_its_path)
{
	struct json_object *document;

	family_ask("open");
	cr_assert_eq(watch(open_relatively, NULL), 0);
	document = one("open", "taffrail.file.argument", "d/../s");
	expect(document, "file.path", family_path("a"));
	expect(document, "taffrail.file.named", family_path("s"));
	expect(document, "taffrail.call", "");
	document = one("open", "taffrail.file.argument", "/tmp/../etc//passwd");
	expect(document, "file.path", "/etc/passwd");
	expect(document, "taffrail.file.named", "");
	expect(one("open", "taffrail.file.argument", "a"), "taffrail.file.named", "");
}
