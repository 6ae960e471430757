/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf/kernel_event.h"
#include "sensor/proc.h"

/* Starts cat with these arguments behind its name, and waits until it is what it is. */
static pid_t start(char **argv, int ends[2])
{
	int ready[2];
	char byte;
	pid_t child;

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		dup2(ends[0], 0);
		close(ends[1]);
		execv("/bin/cat", argv);
		_exit(127);
	}
	close(ends[0]);
	close(ready[1]);
	cr_assert_eq(read(ready[0], &byte, 1), 0); /* exec closes it */
	close(ready[0]);
	return child;
}

static void stop(pid_t child, int ends[2])
{
	close(ends[1]);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

Test(proc, the_arguments_of_a_process_as_it_has_them)
{
	struct buffer out = {0};
	int ends[2];
	pid_t child = start((char *[]){"cat", "-u", "", "-", "a b\n\xff", NULL}, ends);

	buffer_append(&out, "stale", 5);
	cr_assert_eq(proc_arguments(&out, "/proc", child), 0);
	cr_assert_eq(out.length, 16);
	cr_assert_arr_eq(out.data, "cat\0-u\0\0-\0a b\n\xff", 16);
	stop(child, ends);
	buffer_free(&out);
}

Test(proc, many_are_cut_at_what_a_record_carries)
{
	static char *argv[20003];
	struct buffer out = {0};
	int ends[2];
	pid_t child;

	argv[0] = "cat";
	for (int i = 1; i < 20002; i++)
		argv[i] = "-";
	child = start(argv, ends);
	cr_assert_eq(proc_arguments(&out, "/proc", child), 0);
	cr_assert_eq(out.length, KERNEL_ARGS_MAX);
	cr_assert_arr_eq(out.data, "cat\0-\0-\0", 8);
	stop(child, ends);
	buffer_free(&out);
}

Test(proc, one_that_has_gone_or_is_a_zombie)
{
	struct buffer out = {0};
	siginfo_t info;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	cr_assert_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(proc_arguments(&out, "/proc", child), 0, "a zombie has no arguments left");
	cr_assert_eq(out.length, 0);
	waitpid(child, NULL, 0);
	cr_assert_eq(proc_arguments(&out, "/proc", child), -ESRCH);
	cr_assert_eq(proc_arguments(&out, "/nonexistent", getpid()), -ESRCH);
	buffer_free(&out);
}

Test(proc, a_kernel_thread_has_none)
{
	struct buffer out = {0};

	if (proc_arguments(&out, "/proc", 2) == 0)
		cr_assert_eq(out.length, 0);
	buffer_free(&out);
}

Test(proc, a_path_too_long_is_said)
{
	struct buffer out = {0};
	char *longest = malloc(5000);

	memset(longest, 'x', 4999);
	longest[4999] = '\0';
	cr_assert_eq(proc_arguments(&out, longest, 1), -ENAMETOOLONG);
	free(longest);
	buffer_free(&out);
}
