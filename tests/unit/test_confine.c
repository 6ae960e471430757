/* SPDX-License-Identifier: Apache-2.0 */
/* What the sensor's processes cannot do any more. Each test in a child, which is confined for good. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/capability.h"
#include "sensor/confine.h"

#ifdef __SANITIZE_ADDRESS__
#define WITHOUT_SANITIZERS .disabled = true /* they need calls of their own: there is no filter then */
#else
#define WITHOUT_SANITIZERS .disabled = false
#endif

/* How a child ends that does this. */
static int end_of(int (*confine)(void), int (*deed)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (confine() != 0)
			_exit(100);
		_exit(deed());
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	return status;
}

static int exited(int code)
{
	return code << 8;
}

static int no_rights(void)
{
	return capability_permitted() == 0 && capability_effective() == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
		       ? 0
		       : 1;
}

static void *work(void *context)
{
	return context;
}

/* Files, sockets, memory, threads: what the worker does. */
static int ordinary(void)
{
	pthread_t thread;
	int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC), tcp = socket(AF_INET, SOCK_STREAM, 0);
	char byte;

	if (file < 0 || read(file, &byte, 1) != 1 || tcp < 0 || !mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0))
		return 1;
	if (pthread_create(&thread, NULL, work, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return 2;
	return 0;
}

static int refused(long result)
{
	return result < 0 && errno == ENOSYS ? 0 : 1;
}

static int raw_socket(void)
{
	return refused(socket(AF_PACKET, SOCK_RAW, 0));
}

static int process(void)
{
	return refused(fork());
}

static int killing(void)
{
	return refused(kill(getppid(), 0));
}

static int signalling(void)
{
	return refused(syscall(SYS_tgkill, getppid(), getppid(), 0)) +
	       refused(syscall(SYS_tgkill, getppid() | 1l << 32, getppid(), 0));
}

static int limits_of_another(void)
{
	const struct rlimit none = {0, 0};

	return refused(prlimit(getppid(), RLIMIT_NOFILE, &none, NULL));
}

static int signal_owner(void)
{
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return refused(fcntl(file, F_SETOWN, getppid())) + refused(fcntl(file, F_SETSIG, SIGKILL)) +
	       refused(fcntl(file, F_SETLEASE, F_RDLCK));
}

static int raised(void)
{
	struct rlimit limit;
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	signal(SIGURG, SIG_DFL);
	return raise(SIGURG) || pthread_kill(pthread_self(), SIGURG) || getrlimit(RLIMIT_NOFILE, &limit) ||
	       fcntl(file, F_GETFL) < 0 || fcntl(file, F_DUPFD_CLOEXEC, 3) < 0;
}

static int aborted(void)
{
	abort();
}

static int unknown(void)
{
	return refused(syscall(4000));
}

Test(confine, the_worker_has_no_rights_and_does_its_work, WITHOUT_SANITIZERS)
{
	cr_expect_eq(end_of(confine_worker, no_rights), exited(0));
	cr_expect_eq(end_of(confine_worker, ordinary), exited(0));
}

Test(confine, what_it_does_not_need_it_does_not_get, WITHOUT_SANITIZERS)
{
	cr_expect_eq(end_of(confine_worker, raw_socket), exited(0));
	cr_expect_eq(end_of(confine_worker, process), exited(0));
	cr_expect_eq(end_of(confine_worker, killing), exited(0));
	cr_expect_eq(end_of(confine_worker, unknown), exited(0));
}

Test(confine, it_reaches_itself_and_no_other_process, WITHOUT_SANITIZERS)
{
	int status;

	cr_expect_eq(end_of(confine_worker, signalling), exited(0));
	cr_expect_eq(end_of(confine_worker, limits_of_another), exited(0));
	cr_expect_eq(end_of(confine_worker, signal_owner), exited(0));
	cr_expect_eq(end_of(confine_worker, raised), exited(0));
	status = end_of(confine_worker, aborted);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%#x", status);
}

/* Of the same user, without capabilities, dumpable: what root runs in a container with drop: [ALL]. */
static pid_t other;

static int only_capabilities(void)
{
	return capability_keep(0);
}

static int others_memory(void)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)other);
	return open(path, O_WRONLY | O_CLOEXEC) >= 0 ? 0 : errno == EACCES || errno == EPERM ? 1 : 2;
}

Test(confine, memory_of_others_is_shut_to_it)
{
	int ready[2], without, with;
	char byte;

	cr_assert_eq(pipe(ready), 0);
	other = fork();
	if (other == 0) {
		if (capability_keep(0) != 0 || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 1);
	without = end_of(only_capabilities, others_memory);
	with = end_of(confine_worker, others_memory);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* its version */) < 1)
		cr_skip_test("this kernel has no Landlock");
	cr_expect_eq(with, exited(1), "%x", with);
	/* Yama shuts it, too. */
	if (access("/proc/sys/kernel/yama/ptrace_scope", F_OK) != 0)
		cr_expect_eq(without, exited(0), "or this shows nothing: %x", without);
}

static int execute(void)
{
	char *const arguments[] = {"true", NULL};

	return execv("/bin/true", arguments);
}

static int trace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int load_program(void)
{
	return (int)syscall(SYS_bpf, 5, NULL, 0);
}

static int leave(void)
{
	return unshare(CLONE_NEWUSER);
}

static int write_and_execute(void)
{
	return !mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int ring(void)
{
	return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

Test(confine, an_intruder_ends_it, WITHOUT_SANITIZERS)
{
	int (*const deeds[])(void) = {execute, trace, load_program, leave, write_and_execute, ring};

	for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++) {
		int status = end_of(confine_worker, deeds[i]);

		cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "deed %zu: %#x", i, status);
	}
}

#if defined(__x86_64__)
/* getpid(2) by the 32-bit table. */
static int foreign_table(void)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
	return (int)result;
}

static int x32(void)
{
	return (int)syscall(0x40000000 | SYS_getpid);
}

Test(confine, other_tables_lead_nowhere, WITHOUT_SANITIZERS)
{
	int status = end_of(confine_worker, foreign_table);

	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%#x", status);
	status = end_of(confine_worker, x32);
	cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "%#x", status);
}
#endif

/* --- the loader -------------------------------------------------------------------------------------------------------- */

static int confine_at_work(void)
{
	return confine_loader(false);
}

static int is_least(void)
{
	const uint64_t most = CAPABILITY(CAP_BPF) | CAPABILITY(CAP_NET_RAW) | CAPABILITY(CAP_DAC_READ_SEARCH);

	return capability_permitted() & ~most ? 1 : 0;
}

static int denied(long result)
{
	return result < 0 && errno == EPERM ? 0 : 1;
}

static int others(void)
{
	return denied(ptrace(PTRACE_TRACEME, 0, NULL, NULL)) + denied(unshare(CLONE_NEWUSER)) + denied(setuid(1)) +
	       denied(syscall(SYS_umount2, "/nowhere", 0));
}

static int canary(void)
{
	return confine_canary() == 0 && !(capability_permitted() & CAPABILITY(CAP_BPF)) ? 0 : 1;
}

Test(confine, the_loader_keeps_what_it_works_with)
{
	cr_expect_eq(end_of(confine_at_work, is_least), exited(0));
	cr_expect_eq(end_of(confine_at_work, others), exited(0));
	cr_expect_eq(end_of(confine_at_work, canary), exited(0));
}

static int nothing_left(void)
{
	return capability_keep(0);
}

static int says_what_is_missing(void)
{
	char why[512];

	return confine_lacks(why, sizeof(why)) == -EPERM && strstr(why, "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN, without")
		       ? 0
		       : 1;
}

Test(confine, what_is_missing_is_named)
{
	cr_expect_eq(end_of(nothing_left, says_what_is_missing), exited(0));
}
