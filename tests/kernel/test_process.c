/* SPDX-License-Identifier: Apache-2.0 */
/* exec, fork and end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

/* Runs `program` in a child and returns its wait status. */
static int run(const char *program, char *const argv[])
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		char *const environment[] = {"SECRET=taffrail-test", NULL};

		execve(program, argv, environment);
		_exit(errno == ENOENT ? 44 : 45);
	}
	waitpid(child, &status, 0);
	return status;
}

static int exec_true(void *argument)
{
	char *const argv[] = {"first word", "two  words", "it's", "", NULL};

	(void)argument;
	return chdir("/usr") || run("/bin/true", argv) != 0;
}

Test(kernel_process, exec_tells_what_ran_with_which_arguments_by_whom)
{
	cr_assert_eq(watch(exec_true, NULL), 0);

	struct json_object *exec = one("exec", "process.name", "true");

	expect(exec, "event.kind", "event");
	expect(exec, "event.category.0", "process");
	expect(exec, "event.type.0", "start");
	expect(exec, "event.outcome", "success");
	expect(exec, "event.dataset", "taffrail.process");
	expect(exec, "process.args.0", "first word");
	expect(exec, "process.args.1", "two  words");
	expect(exec, "process.args.2", "it's");
	expect(exec, "process.args_count", "4");
	expect(exec, "process.args.4", "");
	expect(exec, "process.working_directory", "/usr");
	expect(exec, "process.user.id", "0");
	expect(exec, "process.group.id", "0");
	cr_assert(strstr(at(exec, "process.executable"), "/bin/true"), "%s", at(exec, "process.executable"));
	cr_assert_str_empty(at(exec, "process.env_vars"), "the environment is not taken unless it is asked for");
	cr_assert_str_neq(at(exec, "process.parent.entity_id"), "");
	cr_assert_str_neq(at(exec, "taffrail.process.exec_id"), "");
}

/* As a document writes a time. */
static const char *time_text(const struct timespec *time)
{
	static char texts[2][64];
	static int next;
	char *text = texts[next++ % 2], seconds[32];
	struct tm parts;

	gmtime_r(&time->tv_sec, &parts);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text, sizeof(texts[0]), "%s.%09ldZ", seconds, time->tv_nsec);
	return text;
}

static char copied[] = "/tmp/taffrail-true-XXXXXX";

static int exec_copied(void *argument)
{
	char *const argv[] = {"true", NULL};

	(void)argument;
	return run(copied, argv) != 0;
}

Test(kernel_process, exec_tells_when_its_file_was_changed_and_written)
{
	const struct timespec written[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1234567890, .tv_nsec = 123456789}};
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC), to = mkstemp(copied);
	struct json_object *exec;
	struct stat stat;

	cr_assert(from >= 0 && to >= 0);
	while (sendfile(to, from, NULL, 1 << 20) > 0)
		;
	cr_assert(fchmod(to, 0755) == 0 && futimens(to, written) == 0);
	close(to);
	close(from);
	cr_assert_eq(lstat(copied, &stat), 0); /* which a kernel with fine times notes in the ctime itself */
	cr_expect_eq(watch(exec_copied, NULL), 0);
	unlink(copied);
	exec = one("exec", "process.executable", copied);
	expect(exec, "taffrail.process.executable_ctime", time_text(&stat.st_ctim));
	expect(exec, "taffrail.process.executable_mtime", "2009-02-13T23:31:30.123456789Z");
}

/* The first process of a new pid namespace, and a second. */
static int exec_in_a_namespace(void *argument)
{
	char *const first[] = {"true", "first", NULL}, *const second[] = {"true", "second", NULL};
	pid_t child;
	int status;

	(void)argument;
	if (unshare(CLONE_NEWPID))
		return 1;
	child = fork();
	if (child == 0) {
		usleep(20000);
		if (run("/bin/true", second))
			_exit(2);
		execv("/bin/true", first);
		_exit(3);
	}
	return waitpid(child, &status, 0) != child || status;
}

Test(kernel_process, exec_tells_when_its_pid_namespace_began)
{
	struct json_object *first, *second;

	cr_assert_eq(watch(exec_in_a_namespace, NULL), 0);
	first = one("exec", "process.args.1", "first");
	second = one("exec", "process.args.1", "second");
	expect(first, "taffrail.process.namespace_start", at(first, "process.start"));
	/* To the microsecond: what boot time is in Unix time is not told alike twice. */
	cr_assert_eq(strncmp(at(second, "taffrail.process.namespace_start"), at(first, "process.start"), 26), 0,
		"%s, not %s", at(second, "taffrail.process.namespace_start"), at(first, "process.start"));
	cr_assert_str_neq(at(second, "process.start"), at(first, "process.start"));
}

Test(kernel_process, fork_exec_and_end_are_one_process_each_told_once)
{
	cr_assert_eq(watch(exec_true, NULL), 0);

	struct json_object *exec = one("exec", "process.name", "true");
	const char *entity = at(exec, "process.entity_id");
	struct json_object *fork_document = one("fork", "process.entity_id", entity);
	struct json_object *end = one("end", "process.entity_id", entity);

	expect(fork_document, "process.pid", at(exec, "process.pid"));
	expect(end, "process.exit_code", "0");
	expect(end, "event.type.0", "end");
	expect(end, "process.name", "true");
	expect(end, "taffrail.process.exec_id", at(exec, "taffrail.process.exec_id"));
	cr_assert_str_neq(at(fork_document, "taffrail.process.exec_id"), at(exec, "taffrail.process.exec_id"));
	cr_assert_eq(count("exec", "event.action", "exec"), 1);
}

static int exec_missing(void *argument)
{
	char *const argv[] = {"nope", NULL};

	(void)argument;
	return WEXITSTATUS(run("/usr/bin/../bin/nope", argv)) != 44;
}

Test(kernel_process, a_failed_exec_is_an_event_with_its_errno)
{
	cr_assert_eq(watch(exec_missing, NULL), 0);

	struct json_object *exec = one("exec", "error.code", "ENOENT");

	expect(exec, "event.outcome", "failure");
	expect(exec, "taffrail.file.argument", "/usr/bin/../bin/nope");
	cr_assert_eq(count("exec", "event.action", "exec"), 1);
}

static int end_by_signal(void *argument)
{
	int status;
	pid_t child = fork();

	(void)argument;
	if (child == 0) {
		raise(SIGKILL);
		_exit(0);
	}
	waitpid(child, &status, 0);
	child = fork();
	if (child == 0)
		_exit(37);
	waitpid(child, &status, 0);
	return 0;
}

Test(kernel_process, an_end_tells_code_or_signal)
{
	cr_assert_eq(watch(end_by_signal, NULL), 0);
	expect(one("end", "process.exit_code", "137"), "taffrail.process.exit_signal", "9");
	expect(one("end", "process.exit_code", "37"), "taffrail.process.exit_signal", "");
	cr_assert_eq(count("fork", "event.action", "fork"), 2);
}

static void *sleep_a_little(void *argument)
{
	usleep(50 * 1000);
	return argument;
}

static int make_threads(void *argument)
{
	pthread_t threads[4];

	(void)argument;
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, sleep_a_little, NULL) != 0)
			return 1;
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

Test(kernel_process, threads_are_neither_forks_nor_ends)
{
	cr_assert_eq(watch(make_threads, NULL), 0);
	cr_assert_eq(count("fork", "event.action", "fork"), 0);
	cr_assert_eq(count("end", "event.action", "end"), 1, "the deed's own process alone");
}

static void *exec_from_thread(void *argument)
{
	char *const argv[] = {"true", "from-a-thread", NULL};

	(void)argument;
	execv("/bin/true", argv);
	_exit(1);
}

static int exec_in_thread(void *argument)
{
	pthread_t thread;
	int status;
	pid_t child = fork();

	(void)argument;
	if (child == 0) {
		pthread_create(&thread, NULL, exec_from_thread, NULL);
		pthread_join(thread, NULL);
		_exit(2);
	}
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

Test(kernel_process, exec_from_a_thread_is_of_its_process)
{
	cr_assert_eq(watch(exec_in_thread, NULL), 0);

	struct json_object *exec = one("exec", "process.args.1", "from-a-thread");

	one("fork", "process.entity_id", at(exec, "process.entity_id"));
	one("end", "process.entity_id", at(exec, "process.entity_id"));
}

static int exec_script(void *argument)
{
	char path[] = "/tmp/taffrail-script-XXXXXX";
	char *const argv[] = {path, "argument", NULL};
	int fd = mkstemp(path), status;

	(void)argument;
	dprintf(fd, "#!/bin/sh -e\nexit 0\n");
	fchmod(fd, 0755);
	close(fd);
	status = run(path, argv);
	unlink(path);
	return status;
}

Test(kernel_process, a_script_names_both_itself_and_its_interpreter)
{
	cr_assert_eq(watch(exec_script, NULL), 0);

	struct json_object *exec = one("exec", "process.args.1", "-e");

	cr_assert(strncmp(at(exec, "taffrail.process.script"), "/tmp/taffrail-script-", 21) == 0, "%s",
		at(exec, "taffrail.process.script"));
	cr_assert(strstr(at(exec, "process.executable"), "sh"), "%s", at(exec, "process.executable"));
	cr_assert_null(strstr(at(exec, "process.executable"), "taffrail"), "%s", at(exec, "process.executable"));
}

static int copy_into(int to)
{
	char bytes[65536];
	ssize_t got;
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC);

	while ((got = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)got) != got)
			return 1;
	close(from);
	return 0;
}

static int exec_memfd(void *argument)
{
	int status, fd = memfd_create("dropped", MFD_CLOEXEC);
	char *const argv[] = {"kworker", NULL}, *const environment[] = {NULL};
	pid_t child;

	(void)argument;
	if (fd < 0 || copy_into(fd))
		return 1;
	child = fork();
	if (child == 0) {
		syscall(SYS_execveat, fd, "", argv, environment, AT_EMPTY_PATH);
		_exit(1);
	}
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

Test(kernel_process, a_memfd_is_named_as_one)
{
	cr_assert_eq(watch(exec_memfd, NULL), 0);
	expect(one("exec", "process.executable", "memfd:dropped"), "process.args.0", "kworker");
}

static int exec_deleted(void *argument)
{
	char path[] = "/tmp/taffrail-deleted-XXXXXX";
	char *const argv[] = {"gone", NULL}, *const environment[] = {NULL};
	int status, fd, writing = mkstemp(path);
	pid_t child;

	(void)argument;
	if (copy_into(writing))
		return 1;
	fchmod(writing, 0755);
	close(writing);
	fd = open(path, O_PATH | O_CLOEXEC);
	unlink(path);
	child = fork();
	if (child == 0) {
		syscall(SYS_execveat, fd, "", argv, environment, AT_EMPTY_PATH);
		_exit(1);
	}
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

Test(kernel_process, a_deleted_executable_keeps_its_path_and_says_so)
{
	cr_assert_eq(watch(exec_deleted, NULL), 0);

	struct json_object *exec = one("exec", "process.args.0", "gone");

	expect(exec, "taffrail.process.deleted", "true");
	cr_assert(strncmp(at(exec, "process.executable"), "/tmp/taffrail-deleted-", 22) == 0, "%s",
		at(exec, "process.executable"));
	cr_assert_null(strstr(at(exec, "process.executable"), "(deleted)"));
}

static int exec_as_other(void *argument)
{
	char *const argv[] = {"true", "as-other", NULL};
	int status;
	pid_t child = fork();

	(void)argument;
	if (child == 0) {
		if (setregid(1001, 1002) || setreuid(1003, 1004))
			_exit(3);
		execv("/bin/true", argv);
		_exit(1);
	}
	waitpid(child, &status, 0);
	return WEXITSTATUS(status);
}

Test(kernel_process, user_and_group_are_the_effective_ones)
{
	cr_assert_eq(watch(exec_as_other, NULL), 0);

	struct json_object *exec = one("exec", "process.args.1", "as-other");

	expect(exec, "process.user.id", "1004");
	expect(exec, "process.group.id", "1002");
}

static int exec_many_arguments(void *argument)
{
	static char words[4000][12];
	static char *argv[4002];

	(void)argument;
	argv[0] = "many";
	for (int i = 0; i < 4000; i++) {
		snprintf(words[i], sizeof(words[i]), "word-%06d", i);
		argv[i + 1] = words[i];
	}
	return run("/bin/true", argv);
}

Test(kernel_process, arguments_that_are_too_long_are_cut_and_say_so)
{
	cr_assert_eq(watch(exec_many_arguments, NULL), 0);

	struct json_object *exec = one("exec", "process.args.0", "many");

	expect(exec, "process.args.2500", "word-002499");
	expect(exec, "taffrail.truncated.0", "process.args");
}

Test(kernel_process, the_v1_hierarchy_decides_where_v2_does_not)
{
	if (access("/sys/fs/cgroup/pids/cgroup.procs", F_OK) != 0)
		cr_skip_test("no cgroup v1 here");
	cr_assert_eq(watch_in(WATCH_V1, exec_true, NULL), 0);
	one("exec", "process.name", "true");
}

Test(kernel_process, a_process_outside_containers_is_no_event)
{
	cr_assert_eq(watch_in(WATCH_OUTSIDE, exec_true, NULL), 0);
	cr_assert_eq(count("exec", "process.args.0", "first word"), 0);
}
