/* SPDX-License-Identifier: Apache-2.0 */
/* Deeds: what a process does to its rights, descriptors and namespaces, to another process, or to the kernel. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "harness.h"

TestSuite(family_deed, .init = family_set_up, .fini = family_tear_down);

/* Runs `deed` in a process of its own, which may give up what it has. */
static int in_child(int (*deed)(void))
{
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(deed());
	if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 100;
	return WEXITSTATUS(status);
}

/* --- descriptors ------------------------------------------------------------------------------------------------------ */

static int turn_input_round(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), file;

	(void)argument;
	if (bind(server, (void *)&address, sizeof(address)) || listen(server, 1) ||
		getsockname(server, (void *)&address, &length) || connect(client, (void *)&address, sizeof(address)))
		return 1;
	file = open("/etc/passwd", O_RDONLY);
	if (file < 0 || dup3(client, 200, O_CLOEXEC) != 200 || syscall(SYS_dup, file) < 0)
		return 2;
	return syscall(SYS_dup3, 999, 0, 0) == 0 || errno != EBADF ? 3 : 0;
}

Test(family_deed, a_socket_that_takes_another_descriptor_has_its_ends)
{
	struct json_object *document;

	family_ask("dup");
	cr_assert_eq(watch(turn_input_round, NULL), 0);
	document = one("dup", "taffrail.deed.descriptor", "200");
	expect(document, "taffrail.call", "dup3");
	expect(document, "taffrail.deed.descriptor_type", "inet");
	expect(document, "taffrail.deed.flags.0", "O_CLOEXEC");
	expect(document, "destination.ip", "127.0.0.1");
	expect(document, "network.direction", "egress");
	expect(document, "destination.port",
		at(one("connection_attempted", "network.transport", "tcp"), "destination.port"));
	expect(by_call("dup", "dup"), "file.path", "/etc/passwd");
	document = one("dup", "error.code", "EBADF");
	expect(document, "taffrail.deed.old_descriptor", "999");
	expect(document, "event.category.0", "process");
}

/* --- other processes -------------------------------------------------------------------------------------------------- */

static int trace_me(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0;
}

static int trace_child(void *argument)
{
	int status, pipes[2];
	char byte = 0;
	pid_t child;

	(void)argument;
	if (pipe(pipes) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		prctl(PR_SET_NAME, "traced");
		(void)!write(pipes[1], &byte, 1);
		pause();
		_exit(0);
	}
	if (read(pipes[0], &byte, 1) != 1 || ptrace(PTRACE_ATTACH, child, NULL, NULL) < 0)
		return 2;
	if (waitpid(child, &status, 0) != child || ptrace(PTRACE_POKEDATA, child, &status, 1) < 0)
		return 3;
	if (ptrace(PTRACE_SEIZE, 1 << 21, NULL, NULL) == 0 || errno != ESRCH)
		return 4;
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return in_child(trace_me);
}

Test(family_deed, a_tracer_names_its_tracee)
{
	struct json_object *document;

	family_ask("ptrace");
	cr_assert_eq(watch(trace_child, NULL), 0);
	document = one("ptrace", "taffrail.deed.request", "PTRACE_ATTACH");
	expect(document, "taffrail.deed.tracee.name", "traced");
	expect(document, "event.type.0", "access");
	cr_assert_str_neq(at(document, "taffrail.deed.tracee.pid"), at(document, "process.pid"));
	expect(one("ptrace", "taffrail.deed.request", "PTRACE_POKEDATA"), "taffrail.deed.tracee.pid",
		at(document, "taffrail.deed.tracee.pid"));
	document = one("ptrace", "taffrail.deed.request", "PTRACE_TRACEME");
	expect(document, "taffrail.deed.tracee.pid", at(document, "process.pid"));
	document = one("ptrace", "error.code", "ESRCH");
	expect(document, "taffrail.deed.request", "PTRACE_SEIZE");
	expect(document, "taffrail.deed.tracee.name", "");
}

/* --- rights and namespaces -------------------------------------------------------------------------------------------- */

/* The bare calls: libc's tell all threads by a signal. */
static int drop_rights(void)
{
	if (syscall(SYS_setgid, 77) || syscall(SYS_setresuid, -1, 1235, -1) || syscall(SYS_setresuid, -1, 0, -1) ||
		syscall(SYS_setuid, 1234))
		return 1;
	return syscall(SYS_setuid, 0) != -1 || errno != EPERM;
}

static int give_up(void *argument)
{
	(void)argument;
	return in_child(drop_rights);
}

Test(family_deed, an_id_that_changes_is_told)
{
	struct json_object *document;

	family_ask("setuid");
	cr_assert_eq(watch(give_up, NULL), 0);
	document = one("setuid", "user.changes.id", "1234");
	expect(document, "taffrail.call", "setuid");
	expect(document, "event.outcome", "success");
	expect(document, "event.type.0", "change");
	expect(one("setuid", "user.changes.id", "1235"), "taffrail.call", "setresuid");
	expect(by_call("setuid", "setgid"), "user.changes.group.id", "77");
	document = one("setuid", "error.code", "EPERM");
	expect(document, "user.changes.id", "0");
}

static int change_namespaces(void)
{
	int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	if (own < 0 || unshare(CLONE_NEWUTS | CLONE_FS) || setns(own, 0))
		return 1;
	if (setns(own, CLONE_NEWNET) == 0 || errno != EINVAL)
		return 2;
	return unshare(CLONE_PARENT) == 0 || errno != EINVAL;
}

static int leave(void *argument)
{
	(void)argument;
	return in_child(change_namespaces);
}

Test(family_deed, namespaces_have_their_names)
{
	struct json_object *document;

	family_ask("setns, unshare");
	cr_assert_eq(watch(leave, NULL), 0);
	document = one("unshare", "event.outcome", "success");
	expect(document, "taffrail.deed.flags.0", "CLONE_FS");
	expect(document, "taffrail.deed.flags.1", "CLONE_NEWUTS");
	expect(one("unshare", "error.code", "EINVAL"), "taffrail.deed.flags.0", "0x8000");
	expect(one("setns", "event.outcome", "success"), "taffrail.deed.request", "CLONE_NEWUTS");
	expect(one("setns", "error.code", "EINVAL"), "taffrail.deed.request", "CLONE_NEWNET");
}

/* --- the kernel ------------------------------------------------------------------------------------------------------- */

static int touch_kernel(void *argument)
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER};
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

	(void)argument;
	(void)setrlimit(RLIMIT_MEMLOCK, &all); /* before 5.11 maps count as locked memory, the sensor's too */
	if (syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof(map)) < 0 ||
		syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof(program)) == 0)
		return 1;
	if (syscall(SYS_init_module, "none", 4, "x=1") == 0 || syscall(SYS_finit_module, file, "y=2", 0) == 0)
		return 2;
	(void)!syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK); /* it may not be built in */
	return 0;
}

Test(family_deed, what_is_done_to_the_kernel_is_told)
{
	struct json_object *document;

	family_ask("bpf, module, userfaultfd");
	cr_assert_eq(watch(touch_kernel, NULL), 0);
	document = one("bpf", "taffrail.deed.request", "BPF_MAP_CREATE");
	expect(document, "event.outcome", "success");
	cr_assert_str_neq(at(document, "taffrail.deed.descriptor"), "");
	document = one("bpf", "taffrail.deed.request", "BPF_PROG_LOAD");
	expect(document, "event.outcome", "failure");
	cr_assert_str_neq(at(document, "error.code"), "");
	document = by_call("module", "init_module");
	expect(document, "taffrail.deed.data", "x=1");
	expect(document, "event.category.0", "driver");
	expect(document, "event.outcome", "failure");
	document = by_call("module", "finit_module");
	expect(document, "file.path", "/etc/passwd");
	expect(document, "taffrail.deed.data", "y=2");
	document = by_call("userfaultfd", "userfaultfd");
	expect(document, "taffrail.deed.flags.0", "O_NONBLOCK");
	expect(document, "taffrail.deed.flags.1", "O_CLOEXEC");
}

static int change_mounts(void)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || chdir(family_folder) ||
		mkdir("m", 0700) || mkdir("n", 0700))
		return 1;
	if (mount("some", "m", "tmpfs", MS_NOSUID, "size=64k") || mount("m", "./n", NULL, MS_BIND, NULL))
		return 2;
	if (umount2("n", MNT_DETACH) || umount2("m", 0) || mount("x", "/nonexistent", "tmpfs", 0, NULL) == 0)
		return 3;
	return syscall(SYS_move_mount, -1, "from", AT_FDCWD, "m", 0) == 0;
}

static int mount_there(void *argument)
{
	(void)argument;
	return in_child(change_mounts);
}

#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif

Test(family_deed, mounts_are_told)
{
	struct json_object *document;

	family_ask("mount");
	cr_assert_eq(watch(mount_there, NULL), 0);
	document = one("mount", "taffrail.deed.source", "some");
	expect(document, "file.path", family_path("m"));
	expect(document, "taffrail.deed.type", "tmpfs");
	expect(document, "taffrail.deed.data", "size=64k");
	expect(document, "taffrail.deed.flags.0", "MS_NOSUID");
	document = one("mount", "taffrail.deed.flags.0", "MS_BIND");
	expect(document, "file.path", family_path("n"));
	expect(one("mount", "taffrail.deed.flags.0", "MNT_DETACH"), "taffrail.call", "umount2");
	document = one("mount", "error.code", "ENOENT");
	expect(document, "file.path", "/nonexistent");
	document = by_call("mount", "move_mount");
	expect(document, "taffrail.deed.source", "from");
	expect(document, "event.outcome", "failure");
}
