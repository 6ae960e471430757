/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to execute so that the name of what runs is not seen: each is told with the file that the kernel mapped. */
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(bypass_exec, .init = scratch_make, .fini = scratch_remove);

static char *const no_environment[] = {NULL};

/* Each way has a program of its own name in the directory, and that name is its argv[0]. */
static int exec_at(int directory, const char *path, const char *name, int flags)
{
	char *const argv[] = {(char *)(uintptr_t)name, NULL};

	syscall(SYS_execveat, directory, path, argv, no_environment, flags);
	return 99;
}

static int exec_path(const char *path, const char *name)
{
	char *const argv[] = {(char *)(uintptr_t)name, NULL};

	execve(path, argv, no_environment);
	return 99;
}

static int exec_descriptor(const char *format, int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), format, fd);
	return exec_path(path, name);
}

/* --- by descriptor ---------------------------------------------------------------------------------------------------- */

static int by_empty_path(const char *name)
{
	return exec_at(open(scratch(name), O_PATH | O_CLOEXEC), "", name, AT_EMPTY_PATH);
}

static int by_directory(const char *name)
{
	return exec_at(open(scratch(""), O_PATH | O_CLOEXEC), name, name, 0);
}

static int by_proc(const char *name)
{
	return exec_descriptor("/proc/self/fd/%d", open(scratch(name), O_RDONLY | O_CLOEXEC), name);
}

static int by_thread_proc(const char *name)
{
	return exec_descriptor("/proc/thread-self/fd/../fd/%d", open(scratch(name), O_PATH), name);
}

static int deleted(const char *name)
{
	int fd = open(scratch(name), O_RDONLY | O_CLOEXEC);

	return unlink(scratch(name)) ? 98 : exec_descriptor("/proc/self/fd/%d", fd, name);
}

static int renamed(const char *name)
{
	int fd = open(scratch(name), O_PATH | O_CLOEXEC);

	return rename(scratch(name), scratch("another name")) ? 98 : exec_at(fd, "", name, AT_EMPTY_PATH);
}

static int parent_renamed(const char *name)
{
	int fd;

	if (mkdir(scratch("before"), 0755) || rename(scratch(name), scratch("before/parent-renamed")))
		return 98;
	fd = open(scratch("before/parent-renamed"), O_PATH | O_CLOEXEC);
	return rename(scratch("before"), scratch("after")) ? 97 : exec_at(fd, "", name, AT_EMPTY_PATH);
}

static int temporary(const char *name)
{
	char path[64];
	int fd, writing = open(scratch(""), O_TMPFILE | O_RDWR, 0755);

	if (writing < 0 || program_write(writing))
		return 98;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", writing);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	close(writing); /* or it is busy */
	return exec_at(fd, "", name, AT_EMPTY_PATH);
}

/* Two kinds of memfd: /proc/self/fd finds also one that is closed on exec. The name says what the attacker likes. */
static int memfd_open(const char *name)
{
	int fd = memfd_create("/usr/sbin/sshd", 0);

	return program_write(fd) ? 98 : exec_descriptor("/proc/self/fd/%d", fd, name);
}

static int memfd_closing(const char *name)
{
	int fd = memfd_create("a\nb", MFD_CLOEXEC);

	return program_write(fd) ? 98 : exec_at(fd, "", name, AT_EMPTY_PATH);
}

/* --- by another name -------------------------------------------------------------------------------------------------- */

static int symlinked(const char *name)
{
	return symlink(scratch(name), scratch("sshd")) ? 98 : exec_path(scratch("sshd"), name);
}

static int symlinked_parent(const char *name)
{
	return symlink(".", scratch("bin")) ? 98 : exec_path(scratch("bin//./bin/symlinked-parent"), name);
}

static int linked(const char *name)
{
	return link(scratch(name), scratch("init")) ? 98 : exec_path(scratch("init"), name);
}

static int odd_name(const char *name)
{
	return rename(scratch(name), scratch(" a\nb \"c\" ")) ? 98 : exec_path(scratch(" a\nb \"c\" "), name);
}

static int bind_mounted(const char *name)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		text_make(scratch("harmless"), "", 0755) ||
		mount(scratch(name), scratch("harmless"), NULL, MS_BIND, NULL))
		return 98;
	return exec_path(scratch("harmless"), name);
}

static const struct way ways[] = {
	{"by-empty-path", by_empty_path},
	{"by-directory", by_directory},
	{"by-proc", by_proc},
	{"by-thread-proc", by_thread_proc},
	{"deleted", deleted},
	{"renamed", renamed},
	{"parent-renamed", parent_renamed},
	{"temporary", temporary},
	{"memfd-open", memfd_open},
	{"memfd-closing", memfd_closing},
	{"symlinked", symlinked},
	{"symlinked-parent", symlinked_parent},
	{"linked", linked},
	{"odd-name", odd_name},
	{"bind-mounted", bind_mounted},
	{NULL, NULL},
};

static int run_all(void *argument)
{
	return run_ways(argument);
}

static struct json_object *expect_program(const char *name, const char *executable)
{
	struct json_object *exec = one("exec", "process.args.0", name);

	expect(exec, "event.outcome", "success");
	expect(exec, "process.executable", executable);
	expect(exec, "taffrail.process.script", "");
	return exec;
}

Test(bypass_exec, whatever_name_it_is_given_the_file_is_told)
{
	for (const struct way *way = ways; way->name; way++)
		cr_assert_eq(program_make(scratch(way->name)), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)ways), 0);
	cr_assert_eq(count("exec", "event.action", "exec"), sizeof(ways) / sizeof(ways[0]) - 1);

	const char *const plain[] = {
		"by-empty-path", "by-directory", "by-proc", "by-thread-proc", "symlinked", "symlinked-parent"};

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		struct json_object *exec = expect_program(plain[i], scratch(plain[i]));

		expect(exec, "taffrail.process.deleted", "");
		expect(exec, "taffrail.process.memfd", "");
	}
	expect(expect_program("deleted", scratch("deleted")), "taffrail.process.deleted", "true");
	expect_program("renamed", scratch("another name"));
	expect_program("parent-renamed", scratch("after/parent-renamed"));
	expect_program("linked", scratch("init"));
	expect_program("odd-name", scratch(" a\nb \"c\" "));
	expect_program("bind-mounted", scratch("harmless"));
	expect(expect_program("memfd-open", "memfd:/usr/sbin/sshd"), "taffrail.process.memfd", "true");
	expect(expect_program("memfd-closing", "memfd:a\nb"), "taffrail.process.memfd", "true");

	struct json_object *exec = one("exec", "process.args.0", "temporary");
	const char *executable = at(exec, "process.executable");

	expect(exec, "taffrail.process.deleted", "true");
	cr_assert(strncmp(executable, scratch("#"), strlen(scratch("#"))) == 0, "%s", executable);
}

/* --- scripts, interpreters, loaders ------------------------------------------------------------------------------------ */

static int script_by_path(const char *name)
{
	char text[400];

	snprintf(text, sizeof(text), "#!%s -x\n", scratch("interpreter"));
	return text_make(scratch("by-path.sh"), text, 0755) ? 98 : exec_path(scratch("by-path.sh"), name);
}

static int script_by_descriptor(const char *name)
{
	int fd;

	(void)name;
	if (rename(scratch("by-path.sh"), scratch("by-descriptor.sh")))
		return 98;
	fd = open(scratch("by-descriptor.sh"), O_RDONLY); /* one that is closed on exec is refused for scripts */
	return exec_at(fd, "", name, AT_EMPTY_PATH);
}

static int script_by_directory(const char *name)
{
	return exec_at(open(scratch(""), O_PATH), "by-descriptor.sh", name, 0);
}

static int script_nested(const char *name)
{
	char text[400];

	snprintf(text, sizeof(text), "#! %s\n", scratch("by-descriptor.sh"));
	return text_make(scratch("nested.sh"), text, 0755) ? 98 : exec_path(scratch("nested.sh"), name);
}

static int script_relative(const char *name)
{
	if (chdir(scratch("")) || text_make("relative.sh", "#!./interpreter\n", 0755))
		return 98;
	return exec_path("./relative.sh", name);
}

/* The loader as the program, what it loads as its argument: this test's own program, which says its version. */
static int by_loader(const char *name)
{
	const ElfW(Phdr) *segments = (const void *)(uintptr_t)getauxval(AT_PHDR);
	char self[400];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	uintptr_t base = 0;

	(void)name;
	if (length < 0 || !segments)
		return 98;
	self[length] = '\0';
	for (size_t i = 0; i < getauxval(AT_PHNUM); i++) {
		if ((long)segments[i].p_type == PT_PHDR)
			base = (uintptr_t)segments - (uintptr_t)segments[i].p_vaddr;
		if ((long)segments[i].p_type == PT_INTERP) {
			const char *loader = (const char *)(base + (uintptr_t)segments[i].p_vaddr);
			char *const argv[] = {"by-loader", self, "--version", NULL};

			execve(loader, argv, no_environment);
		}
	}
	return 99;
}

static int no_arguments(const char *name)
{
	(void)name;
	execve(scratch("no-arguments"), no_environment, no_environment);
	return 99;
}

static int long_argument(const char *name)
{
	static char text[100001];
	char *const argv[] = {(char *)(uintptr_t)name, text, "never seen", NULL};

	memset(text, 'x', sizeof(text) - 1);
	execve(scratch("interpreter"), argv, no_environment);
	return 99;
}

static int long_name(const char *name)
{
	char path[256];

	memset(path, 'n', 255);
	path[255] = '\0';
	return chdir(scratch("")) || program_make(path) ? 98 : exec_path(path, name);
}

static int set_user(const char *name)
{
	if (program_make(scratch("set-user")) || chown(scratch("set-user"), 1005, 1006) ||
		chmod(scratch("set-user"), 06755))
		return 98;
	return exec_path(scratch("set-user"), name);
}

static const struct way odd_ways[] = {
	{"script-by-path", script_by_path},
	{"script-by-descriptor", script_by_descriptor},
	{"script-by-directory", script_by_directory},
	{"script-nested", script_nested},
	{"script-relative", script_relative},
	{"by-loader", by_loader},
	{"no-arguments", no_arguments},
	{"long-argument", long_argument},
	{"long-name", long_name},
	{"set-user", set_user},
	{NULL, NULL},
};

static struct json_object *expect_script(const char *script, const char *path_as_last_argument)
{
	struct json_object *exec = one("exec", "taffrail.process.script", script);

	expect(exec, "process.executable", scratch("interpreter"));
	cr_assert(strstr(at(exec, "process.command_line"), path_as_last_argument), "%s",
		at(exec, "process.command_line"));
	return exec;
}

Test(bypass_exec, scripts_loaders_and_odd_arguments)
{
	cr_assert_eq(program_make(scratch("interpreter")), 0);
	cr_assert_eq(program_make(scratch("no-arguments")), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)odd_ways), 0);

	expect(expect_script(scratch("by-path.sh"), scratch("by-path.sh")), "process.args.1", "-x");
	cr_assert_eq(count("exec", "taffrail.process.script", scratch("by-descriptor.sh")), 2,
		"by its descriptor, and by its directory's");
	expect_script(scratch("nested.sh"), scratch("by-descriptor.sh"));
	expect(expect_script("./relative.sh", "./relative.sh"), "process.working_directory", scratch(""));

	struct json_object *exec = one("exec", "process.args.0", "by-loader");
	char self[400] = "";

	cr_assert_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	expect(exec, "process.args.1", self);
	cr_assert(strstr(at(exec, "process.executable"), "/ld"), "%s", at(exec, "process.executable"));
	expect(one("open", "file.path", self), "process.entity_id", at(exec, "process.entity_id"));

	exec = one("exec", "process.executable", scratch("no-arguments"));
	expect(exec, "process.args.0", ""); /* newer kernels put one empty argument there */

	exec = one("exec", "process.args.0", "long-argument");
	expect(exec, "process.args_count", "3");
	expect(exec, "taffrail.truncated.0", "process.args");
	cr_assert_gt(strlen(at(exec, "process.args.1")), 32000);
	expect(exec, "process.args.2", "");

	exec = one("exec", "process.args.0", "long-name");
	cr_assert_eq(strlen(at(exec, "process.executable")), strlen(scratch("")) + 1 + 255);

	exec = one("exec", "process.args.0", "set-user");

	struct statvfs file_system;

	cr_assert_eq(statvfs(scratch(""), &file_system), 0);
	expect(exec, "process.user.id", file_system.f_flag & ST_NOSUID ? "0" : "1005");
	expect(exec, "process.group.id", file_system.f_flag & ST_NOSUID ? "0" : "1006");
	expect(exec, "process.real_user.id", "0");
}

/* --- binfmt_misc -------------------------------------------------------------------------------------------------------- */

enum { NO_BINFMT = 77 };

/* Its own, of a new user namespace (6.7+): the machine's is left alone. */
static int by_binfmt(void *argument)
{
	char rule[500];

	(void)argument;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) || text_make("/proc/self/uid_map", "0 0 1\n", 0) ||
		text_make("/proc/self/setgroups", "deny", 0) || text_make("/proc/self/gid_map", "0 0 1\n", 0) ||
		mount("none", scratch("binfmt"), "binfmt_misc", 0, NULL))
		return NO_BINFMT;
	snprintf(rule, sizeof(rule), ":taffrail:M::TAFFRAIL-TEST::%s:", scratch("interpreter"));
	if (text_make(scratch("binfmt/register"), rule, 0))
		return errno == EACCES ? NO_BINFMT : 1;
	return exec_path(scratch("foreign-format"), "by-binfmt");
}

Test(bypass_exec, a_file_that_binfmt_misc_gives_to_an_interpreter)
{
	cr_assert(program_make(scratch("interpreter")) == 0 && mkdir(scratch("binfmt"), 0755) == 0);
	cr_assert_eq(text_make(scratch("foreign-format"), "TAFFRAIL-TEST", 0755), 0);

	int result = watch(by_binfmt, NULL);

	if (result == NO_BINFMT)
		cr_skip_test("no binfmt_misc of a user namespace here");
	cr_assert_eq(result, 0);

	struct json_object *exec = one("exec", "taffrail.process.script", scratch("foreign-format"));

	expect(exec, "process.executable", scratch("interpreter"));
	expect(exec, "process.args.1", scratch("foreign-format"));
}

/* --- what fails ---------------------------------------------------------------------------------------------------------- */

static int fail_by_descriptor(const char *name)
{
	(void)name;
	exec_at(open(scratch("no-program"), O_RDONLY), "", "x", AT_EMPTY_PATH);
	return errno != EACCES;
}

static int fail_by_format(const char *name)
{
	exec_path(scratch("no-format"), name);
	return errno != ENOEXEC;
}

static int fail_busy(const char *name)
{
	int fd = open(scratch("busy"), O_WRONLY | O_CREAT, 0755);

	exec_path(scratch("busy"), name);
	return fd < 0 || errno != ETXTBSY;
}

static int fail_interpreter(const char *name)
{
	exec_path(scratch("no-interpreter"), name);
	return errno != ENOENT;
}

static int fail_pointer(const char *name)
{
	(void)name;
	syscall(SYS_execve, 1, NULL, NULL);
	return errno != EFAULT;
}

static const struct way failing_ways[] = {
	{"by-descriptor", fail_by_descriptor},
	{"by-format", fail_by_format},
	{"busy", fail_busy},
	{"no-interpreter", fail_interpreter},
	{"pointer", fail_pointer},
	{NULL, NULL},
};

Test(bypass_exec, what_fails_is_told_with_its_reason_however_it_was_named)
{
	cr_assert_eq(text_make(scratch("no-program"), "no program", 0644), 0);
	cr_assert_eq(text_make(scratch("no-format"), "no format", 0755), 0);
	cr_assert_eq(text_make(scratch("no-interpreter"), "#!/no/such/interpreter\n", 0755), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)failing_ways), 0);
	cr_assert_eq(count("exec", "event.outcome", "failure"), 5);
	expect(one("exec", "error.code", "EACCES"), "file.path", scratch("no-program"));
	expect(one("exec", "error.code", "ENOEXEC"), "taffrail.file.argument", scratch("no-format"));
	expect(one("exec", "error.code", "ETXTBSY"), "taffrail.file.argument", scratch("busy"));
	expect(one("exec", "error.code", "ENOENT"), "taffrail.file.argument", scratch("no-interpreter"));
	expect(one("exec", "error.code", "EFAULT"), "taffrail.file.argument", "");
}
