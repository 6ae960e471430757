/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to act as somebody else, or as nobody: what is done is told of the process and the container that did it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(bypass_identity, .init = scratch_make, .fini = scratch_remove);

static char *const no_environment[] = {NULL};

static int run_all(void *argument)
{
	return run_ways(argument);
}

/* Makes a file: its open tells who was here. */
static int touch(const char *name)
{
	return text_make(scratch(name), "", 0644);
}

static int exec_program(const char *name)
{
	char *const argv[] = {(char *)(uintptr_t)name, NULL};

	execve(scratch("program"), argv, no_environment);
	return 99;
}

static struct json_object *opened(const char *name)
{
	return one("open", "file.path", scratch(name));
}

static void expect_same_process(struct json_object *a, struct json_object *b)
{
	expect(a, "process.entity_id", at(b, "process.entity_id"));
	expect(a, "taffrail.process.exec_id", at(b, "taffrail.process.exec_id"));
}

/* --- another name ------------------------------------------------------------------------------------------------------- */

static int touch_path(void *path)
{
	return text_make(path, "", 0644);
}

/*
 * This test's program, executed as `taffrail-act PATH`, takes another name and another command line, and opens files
 * under it. Before main, for that is Criterion's.
 */
__attribute__((constructor)) static void act(int argc, char **argv)
{
	char path[400];

	if (argc != 2 || strcmp(argv[0], "taffrail-act") != 0)
		return;
	snprintf(path, sizeof(path), "%s/as-another", argv[1]);
	prctl(PR_SET_NAME, "kworker/0:1");
	memcpy(argv[0], "/sbin/init\0\0", 12);
	if (touch_path(path) != 0)
		_exit(1);
	snprintf(path, sizeof(path), "%s/as-anothers-child", argv[1]);
	_exit(in_child(touch_path, path));
}

static int another_name(const char *name)
{
	char self[400] = "";
	char *const argv[] = {"taffrail-act", (char *)(uintptr_t)scratch(""), NULL};

	(void)name;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) > 0)
		execve(self, argv, no_environment);
	return 99;
}

/* --- threads ------------------------------------------------------------------------------------------------------------ */

static void *act_without_leader(void *name)
{
	char path[64], state = 0, text[400] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	for (int i = 0; i < 1000 && state != 'Z'; i++) { /* until the leader is a zombie */
		int fd = open(path, O_RDONLY);

		if (read(fd, text, sizeof(text) - 1) > 0 && strrchr(text, ')'))
			state = strrchr(text, ')')[2];
		close(fd);
		usleep(1000);
	}
	if (state != 'Z' || touch(name))
		_exit(1);
	if (strcmp(name, "leaderless") == 0)
		_exit(0);
	_exit(exec_program(name));
}

static int leaderless(const char *name)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, act_without_leader, (void *)(uintptr_t)name) != 0)
		return 1;
	return (int)syscall(SYS_exit, 0); /* this thread alone; pthread_exit wants a library that a guest has not */
}

/* --- ways to make a process ---------------------------------------------------------------------------------------------- */

static int by_vfork(const char *name)
{
	char *const argv[] = {(char *)(uintptr_t)name, NULL};
	const char *path = scratch("program");
	pid_t child = vfork();

	if (child == 0) {
		execve(path, argv, no_environment);
		_exit(99);
	}
	return child_end(child);
}

static int by_spawn(const char *name)
{
	char *const argv[] = {(char *)(uintptr_t)name, NULL};
	pid_t child = -1;

	return posix_spawn(&child, scratch("program"), NULL, NULL, argv, no_environment) ? 1 : child_end(child);
}

static int exec_in_clone(void *name)
{
	return exec_program(name);
}

/* The child shares descriptors and directory, and its parent is its maker's. */
static int by_sharing(const char *name)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t child = clone(exec_in_clone, stack + sizeof(stack),
		CLONE_FILES | CLONE_FS | CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)(uintptr_t)name);

	return child_end(child);
}

/* A daemon: its parents are gone when it acts. */
static int by_daemon(const char *name)
{
	int gone[2];
	pid_t child = pipe(gone) ? -1 : fork();
	char byte;

	if (child == 0) {
		setsid();
		if (fork() != 0)
			_exit(0);
		close(gone[0]);
		while (getppid() != 1 && kill(getppid(), 0) == 0 && getppid() == child)
			usleep(1000);
		usleep(20 * 1000);
		_exit(touch(name) || exec_program(name));
	}
	close(gone[1]);
	return child_end(child) || read(gone[0], &byte, 1) != 0;
}

static int in_pid_namespace(const char *name)
{
	pid_t child;

	if (unshare(CLONE_NEWPID))
		return 1;
	child = fork();
	if (child == 0)
		_exit(exec_program(name));
	return child_end(child);
}

static int in_user_namespace(const char *name)
{
	if (setresgid(1006, 1006, 1006) || setresuid(1005, 1005, 1005) || prctl(PR_SET_DUMPABLE, 1) ||
		unshare(CLONE_NEWUSER) || text_make("/proc/self/uid_map", "0 1005 1\n", 0) || getuid() != 0)
		return 1;
	return exec_program(name);
}

static const struct way ways[] = {
	{"another-name", another_name},
	{"leaderless", leaderless},
	{"leaderless-exec", leaderless},
	{"by-vfork", by_vfork},
	{"by-spawn", by_spawn},
	{"by-sharing", by_sharing},
	{"by-daemon", by_daemon},
	{"in-pid-namespace", in_pid_namespace},
	{"in-user-namespace", in_user_namespace},
	{NULL, NULL},
};

Test(bypass_identity, names_threads_and_ways_to_make_a_process)
{
	struct json_object *exec, *open_document;

	cr_assert_eq(program_make(scratch("program")), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)ways), 0);

	exec = one("exec", "process.args.0", "taffrail-act");
	open_document = opened("as-another");
	expect_same_process(open_document, exec);
	expect(open_document, "process.name", at(exec, "process.name"));
	expect(open_document, "process.args.0", "taffrail-act");
	expect(opened("as-anothers-child"), "process.name", at(exec, "process.name"));
	expect(opened("as-anothers-child"), "process.parent.entity_id", at(exec, "process.entity_id"));
	one("end", "process.entity_id", at(exec, "process.entity_id"));

	open_document = opened("leaderless");
	one("fork", "process.entity_id", at(open_document, "process.entity_id"));
	expect(one("end", "process.entity_id", at(open_document, "process.entity_id")), "process.exit_code", "0");

	exec = one("exec", "process.args.0", "leaderless-exec");
	expect(exec, "process.entity_id", at(opened("leaderless-exec"), "process.entity_id"));
	one("end", "process.entity_id", at(exec, "process.entity_id"));

	const char *const made[] = {"by-vfork", "by-spawn", "by-sharing", "by-daemon"};

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		exec = one("exec", "process.args.0", made[i]);
		expect(exec, "process.executable", scratch("program"));
		one("fork", "process.entity_id", at(exec, "process.entity_id"));
		one("end", "process.entity_id", at(exec, "process.entity_id"));
	}
	expect(opened("by-daemon"), "process.entity_id", at(exec, "process.entity_id"));

	exec = one("exec", "process.args.0", "in-pid-namespace");
	expect(exec, "process.vpid", "1");
	cr_assert_str_neq(at(exec, "process.pid"), "1");

	exec = one("exec", "process.args.0", "in-user-namespace");
	expect(exec, "process.user.id", "1005");
	expect(exec, "process.group.id", "1006");
}

/* --- other cgroups -------------------------------------------------------------------------------------------------------- */

static int clone_into(enum place place, const char *name)
{
	int fd = open(place_cgroup(place), O_RDONLY | O_DIRECTORY);
	struct clone_args arguments = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
	pid_t child = fd < 0 ? -1 : (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));

	if (child == 0)
		_exit(touch(name) || exec_program(name));
	return child_end(child);
}

/* v1 has no such way. */
static bool is_v1(void)
{
	return strstr(place_cgroup(PLACE_CONTAINER), "/pids/") != NULL;
}

static int into_second(const char *name)
{
	return is_v1() ? 0 : clone_into(PLACE_SECOND, name);
}

static int into_outside(const char *name)
{
	return is_v1() ? 0 : clone_into(PLACE_OUTSIDE, name);
}

static int moving(const char *name)
{
	if (touch("moving-first"))
		return 1;
	place_enter(PLACE_SECOND);
	if (touch("moving-second"))
		return 2;
	place_enter(PLACE_OUTSIDE);
	if (touch("moving-outside"))
		return 3;
	place_enter(PLACE_CONTAINER);
	return touch("moving-back") ? 4 : exec_program(name);
}

static const struct way cgroup_ways[] = {
	{"into-second", into_second},
	{"into-outside", into_outside},
	{"moving", moving},
	{NULL, NULL},
};

static const char alert[] = "Process left its container's cgroup";

/* Of the container and its children, whatever cgroup that was; once told, with the cgroup and who did it. */
static void expect_stays(const char *name, const char *other)
{
	struct json_object *exec = one("exec", "process.args.0", name), *left;

	expect(exec, "container.id", place_id(PLACE_CONTAINER));
	expect(exec, "taffrail.left_cgroup", "true");
	expect(opened(name), "container.id", place_id(PLACE_CONTAINER));
	expect(opened(name), "taffrail.left_cgroup", "true");
	expect(one("fork", "process.entity_id", at(exec, "process.entity_id")), "container.id",
		place_id(PLACE_CONTAINER));
	expect(one("end", "process.entity_id", at(exec, "process.entity_id")), "container.id",
		place_id(PLACE_CONTAINER));
	left = one("cgroup_left", "process.entity_id", at(exec, "process.entity_id"));
	expect(left, "event.kind", "alert");
	expect(left, "rule.name", alert);
	expect(left, "container.id", place_id(PLACE_CONTAINER));
	expect(left, "taffrail.cgroup.other_id", other);
	expect(left, "taffrail.cgroup.actor.pid", at(exec, "process.parent.pid"));
}

/* Once in a container, always: what is done is its container's, in whichever cgroup it is done. */
Test(bypass_identity, who_leaves_the_cgroup_stays_the_containers)
{
	struct json_object *exec, *documents_left[8];
	const char *path;
	size_t found;

	cr_assert_eq(program_make(scratch("program")), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)cgroup_ways), 0);

	if (!is_v1()) {
		expect_stays("into-second", place_id(PLACE_SECOND));
		expect_stays("into-outside", "");
	}

	exec = one("exec", "process.args.0", "moving");
	const char *const names[] = {"moving-first", "moving-second", "moving-outside", "moving-back"};

	for (int i = 0; i < 4; i++) {
		expect(opened(names[i]), "container.id", place_id(PLACE_CONTAINER));
		expect(opened(names[i]), "process.entity_id", at(exec, "process.entity_id"));
		expect(opened(names[i]), "taffrail.left_cgroup", i == 1 || i == 2 ? "true" : "");
	}
	expect(exec, "container.id", place_id(PLACE_CONTAINER));
	expect(exec, "taffrail.left_cgroup", "");
	cr_assert_eq(count("cgroup_left", "process.entity_id", at(exec, "process.entity_id")), 2);
	found = documents("cgroup_left", documents_left, 8);
	cr_assert_eq(found, is_v1() ? 2 : 4);
	path = at(documents_left[found - 2], "taffrail.cgroup.path");
	cr_assert_not_null(strstr(path, place_id(PLACE_SECOND)), "%s", path);
	expect(documents_left[found - 2], "taffrail.cgroup.actor.pid", at(exec, "process.pid"));
	expect(documents_left[found - 2], "rule.name", alert);
}

/* --- before the sensor ----------------------------------------------------------------------------------------------------- */

static void *act_late(void *argument)
{
	usleep(50 * 1000); /* the leader has ended */
	await_sensor();
	_exit(touch(argument) != 0);
}

static int leaderless_early(void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, act_late, argument) != 0)
		return 1;
	return (int)syscall(SYS_exit, 0); /* this thread alone; pthread_exit wants a library that a guest has not */
}

Test(bypass_identity, a_process_that_lost_its_leader_before_the_sensor_came_is_known)
{
	char self[400] = "";

	cr_assert_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	cr_assert_eq(watch_early(leaderless_early, "early"), 0);
	expect(opened("early"), "process.executable", self);
	one("end", "process.entity_id", at(opened("early"), "process.entity_id"));
}
