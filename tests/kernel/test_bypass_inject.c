/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that another process puts into this one, or answers for it. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(bypass_inject, .init = scratch_make, .fini = scratch_remove);

/* --- ptrace --------------------------------------------------------------------------------------------------------------- */

/* Makes the call that the stopped tracee has just entered another one. */
static int change_call(pid_t tracee, long number, const unsigned long arguments[4])
{
	struct user_regs_struct registers;
	struct iovec all = {&registers, sizeof(registers)};

	if (ptrace(PTRACE_GETREGSET, tracee, NT_PRSTATUS, &all) != 0)
		return -1;
#if defined(__x86_64__)
	registers.orig_rax = (unsigned long)number;
	registers.rdi = arguments[0];
	registers.rsi = arguments[1];
	registers.rdx = arguments[2];
	registers.r10 = arguments[3];
#else
	int changed = (int)number;
	struct iovec one_number = {&changed, sizeof(changed)};

	for (int i = 0; i < 4; i++)
		registers.regs[i] = arguments[i];
	if (ptrace(PTRACE_SETREGSET, tracee, NT_ARM_SYSTEM_CALL, &one_number) != 0)
		return -1;
#endif
	return (int)ptrace(PTRACE_SETREGSET, tracee, NT_PRSTATUS, &all);
}

/* Lets the tracee go to the entry of its next call, changes that, and lets it go to its exit. */
static int inject(pid_t tracee, long number, const unsigned long arguments[4])
{
	int status;

	if (ptrace(PTRACE_SYSCALL, tracee, NULL, NULL) || waitpid(tracee, &status, 0) != tracee ||
		!WIFSTOPPED(status) || change_call(tracee, number, arguments))
		return -1;
	if (ptrace(PTRACE_SYSCALL, tracee, NULL, NULL) || waitpid(tracee, &status, 0) != tracee)
		return -1;
	return WIFSTOPPED(status) ? 0 : -1;
}

static pid_t *tracee_pid; /* shared with the test */

/* A tracee that only ever asks for its parent; pointers of the tracer mean the same in it, for it is a fork. */
static int trace(void *argument)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(40011), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char *const argv[] = {"injected", NULL};
	const char *program = scratch("program"), *secret = scratch("secret");
	int status, fd = socket(AF_INET, SOCK_DGRAM, 0);
	const unsigned long calls[][5] = {
		{SYS_openat, (unsigned long)AT_FDCWD, (unsigned long)secret, O_RDONLY, 0},
		{SYS_connect, (unsigned long)fd, (unsigned long)&address, sizeof(address), 0},
		{SYS_execve, (unsigned long)program, (unsigned long)argv, 0, 0},
	};

	pid_t tracee = fork();

	(void)argument;
	if (tracee == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP))
			_exit(98);
		for (int i = 0; i < 8; i++)
			syscall(SYS_getppid);
		_exit(99);
	}
	*tracee_pid = tracee;
	/* The option keeps exec from sending SIGTRAP. */
	if (waitpid(tracee, &status, 0) != tracee || !WIFSTOPPED(status) ||
		ptrace(PTRACE_SETOPTIONS, tracee, NULL, PTRACE_O_TRACEEXEC))
		return 1;
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (inject(tracee, (long)calls[i][0], calls[i] + 1) != 0)
			return 2;
	return ptrace(PTRACE_DETACH, tracee, NULL, NULL) ? 3 : child_end(tracee);
}

Test(bypass_inject, calls_of_a_tracer_are_the_tracees)
{
	char pid[16];

	tracee_pid = shared(sizeof(*tracee_pid));
	cr_assert(program_make(scratch("program")) == 0 && text_make(scratch("secret"), "", 0600) == 0);
	cr_assert_eq(watch(trace, NULL), 0);
	snprintf(pid, sizeof(pid), "%d", *tracee_pid);
	expect(one("open", "file.path", scratch("secret")), "process.pid", pid);
	expect(one("connection_attempted", "destination.port", "40011"), "process.pid", pid);

	struct json_object *exec = one("exec", "process.args.0", "injected");

	expect(exec, "process.pid", pid);
	expect(exec, "process.executable", scratch("program"));
	one("end", "process.entity_id", at(exec, "process.entity_id"));
}

/* --- seccomp --------------------------------------------------------------------------------------------------------------- */

/* Answers the one openat2 with a descriptor of its own choice. */
static int answer(int listener)
{
	struct seccomp_notif notice = {0};
	struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND};
	int fd = open(scratch("secret"), O_RDONLY | O_NOCTTY);

	if (fd < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notice) != 0)
		return 1;
	add.id = notice.id;
	add.srcfd = (unsigned int)fd;
	return ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0;
}

enum { NO_SECCOMP = 77 };

/* From now on the kernel answers this call so. What seccomp(2) says. */
static int filter_call(unsigned int call, unsigned int verdict, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int be_answered(void *argument)
{
	struct open_how how = {.flags = O_RDONLY};
	int listener, fd;
	pid_t child;

	(void)argument;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 1;
	listener = filter_call(SYS_openat2, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	if (listener < 0)
		return NO_SECCOMP;
	child = fork();
	if (child == 0)
		_exit(answer(listener) ? NO_SECCOMP : 0);
	close(listener); /* or a helper that failed would be waited for without end */
	fd = (int)syscall(SYS_openat2, AT_FDCWD, "/harmless", &how, sizeof(how));
	return child_end(child) == NO_SECCOMP ? NO_SECCOMP : fd < 0;
}

/* The kernel opens nothing for the one that is answered; where its call is seen, it is with the file that it got. */
Test(bypass_inject, a_descriptor_that_seccomp_put_in_is_told_with_its_file)
{
	struct json_object *found[4];
	int result;

	cr_assert_eq(text_make(scratch("secret"), "", 0600), 0);
	result = watch(be_answered, NULL);
	if (result == NO_SECCOMP)
		cr_skip_test("no seccomp that sends descriptors (5.14) here");
	cr_assert_eq(result, 0);
	one("open", "taffrail.file.flags.1", "O_NOCTTY");
	for (size_t i = 0, number = documents("open", found, 4); i < number; i++) {
		expect(found[i], "file.path", scratch("secret"));
		expect(found[i], "file.inode", inode_text(scratch("secret")));
	}
}

/* A filter under which accept4 "returns" 0 and is never made: there the process has put its own outgoing connection. */
static int forge_accept(void *argument)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

	(void)argument;
	if (bind(server, (void *)&address, length) || listen(server, 1) ||
		getsockname(server, (void *)&address, &length) || connect(client, (void *)&address, length) ||
		dup2(client, 0) || close(client) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		filter_call(SYS_accept4, SECCOMP_RET_ERRNO, 0))
		return 1;
	return (int)syscall(SYS_accept4, server, NULL, NULL, 0);
}

Test(bypass_inject, an_accept_that_was_never_made_turns_no_connection_round)
{
	cr_assert_eq(watch(forge_accept, NULL), 0);
	cr_assert_eq(documents("connection_accepted", NULL, 0), 0);
	expect(one("connection_attempted", "network.transport", "tcp"), "event.outcome", "success");
	expect(one("disconnect_received", "network.transport", "tcp"), "network.direction", "egress");
}
