/* SPDX-License-Identifier: Apache-2.0 */
/* A container's runtime on its way in, and what it brings: here a copy of this very program that is called runc. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(arrival, .init = scratch_make, .fini = scratch_remove);

/* What the copies are told: SCRATCH CONTAINER SECOND, as their further arguments. */
enum argument { ARGUMENT_ROLE = 1, ARGUMENT_SCRATCH, ARGUMENT_CONTAINER, ARGUMENT_SECOND, ARGUMENTS };

static int touch_in(const char *directory, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return text_make(path, "", 0644);
}

static int move_to(const char *cgroup, pid_t pid)
{
	char path[4096], text[16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	snprintf(text, sizeof(text), "%d", pid);
	return text_make(path, text, 0);
}

/* --- the copies ----------------------------------------------------------------------------------------------------------- */

static int become(const char *path, char **words, const char *role)
{
	words[ARGUMENT_ROLE] = (char *)(uintptr_t)role;
	execv(path, words);
	return 126;
}

static int copy_to(int to)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	ssize_t sent = 1;

	if (to < 0 || from < 0 || fstat(from, &status))
		return -1;
	for (off_t at = 0; at < status.st_size && sent > 0;)
		sent = sendfile(to, from, &at, (size_t)(status.st_size - at));
	close(from);
	return sent > 0 ? 0 : -1;
}

/* Outside of containers: makes its child the container's. With `sealed` that is a copy in memory, as runc makes of itself. */
static int be_runtime(char **words, bool sealed)
{
	int begin[2];
	pid_t child = pipe(begin) ? -1 : fork();

	if (child == 0) {
		int copy = sealed ? memfd_create("runc_cloned:/proc/self/exe", MFD_CLOEXEC) : -1;

		dup2(begin[0], STDIN_FILENO);
		if (!sealed)
			_exit(become("/proc/self/exe", words, "init"));
		words[ARGUMENT_ROLE] = "init";
		_exit(copy_to(copy) || fexecve(copy, words, environ));
	}
	usleep(200000); /* for its exec, which is before it is moved */
	if (child < 0 || move_to(words[ARGUMENT_CONTAINER], child) || write(begin[1], "", 1) != 1)
		return 1;
	return child_end(child);
}

/* On its way in: a child of it becomes the program, while it waits in the container itself. */
static int be_init(char **words)
{
	const struct sockaddr_in nobody = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte;
	pid_t child;

	if (read(STDIN_FILENO, &byte, 1) != 1 || touch_in(words[ARGUMENT_SCRATCH], "by-the-runtime"))
		return 2;
	(void)connect(fd, (const struct sockaddr *)&nobody, sizeof(nobody));
	child = fork();
	if (child == 0) {
		char path[4096];

		snprintf(path, sizeof(path), "%s/program", words[ARGUMENT_SCRATCH]);
		_exit(become(path, words, "program"));
	}
	return child_end(child);
}

static int be_program(char **words)
{
	return touch_in(words[ARGUMENT_SCRATCH], "by-the-program") || move_to(words[ARGUMENT_SECOND], getpid()) ||
	       touch_in(words[ARGUMENT_SCRATCH], "when-it-had-left");
}

__attribute__((constructor)) static void be_a_copy(int count, char **words)
{
	if (count != ARGUMENTS || strcmp(words[0], "a-copy") != 0)
		return;
	if (strcmp(words[ARGUMENT_ROLE], "runtime") == 0)
		_exit(be_runtime(words, false));
	if (strcmp(words[ARGUMENT_ROLE], "sealed") == 0)
		_exit(be_runtime(words, true));
	_exit(strcmp(words[ARGUMENT_ROLE], "init") == 0 ? be_init(words) : be_program(words));
}

/* --- the tests ------------------------------------------------------------------------------------------------------------ */

static int copy_as(const char *name)
{
	int fd = open(scratch(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0755), result = copy_to(fd);

	close(fd);
	return result;
}

static int act_runtime(void *role)
{
	char *words[ARGUMENTS + 1] = {"a-copy", NULL, strdup(scratch("")),
		(char *)(uintptr_t)place_cgroup(PLACE_CONTAINER), (char *)(uintptr_t)place_cgroup(PLACE_SECOND), NULL};

	if (copy_as("runc") || copy_as("program"))
		return 1;
	return become(scratch("runc"), words, role);
}

/* What happens outside is kept too, and other tests may happen there. */
static bool is_ours(struct json_object *document)
{
	const char *id = at(document, "container.id");

	return strcmp(id, place_id(PLACE_CONTAINER)) == 0 || strcmp(id, place_id(PLACE_SECOND)) == 0;
}

static void expect_arrival(const char *role)
{
	struct json_object *opened, *connected;

	watch_filter(is_ours);
	cr_assert_eq(watch_in(WATCH_OUTSIDE, act_runtime, (void *)(uintptr_t)role), 0);
	opened = one("open", "file.path", scratch("by-the-runtime"));
	expect(opened, "container.id", place_id(PLACE_CONTAINER));
	expect(opened, "taffrail.runtime_setup", "true");
	connected = one("connection_attempted", "destination.port", "9");
	expect(connected, "container.id", place_id(PLACE_CONTAINER));
	expect(connected, "taffrail.runtime_setup", "");
	opened = one("open", "file.path", scratch("by-the-program"));
	expect(opened, "container.id", place_id(PLACE_CONTAINER));
	expect(opened, "taffrail.runtime_setup", "");
	opened = one("open", "file.path", scratch("when-it-had-left"));
	expect(opened, "container.id", place_id(PLACE_CONTAINER));
	expect(opened, "taffrail.left_cgroup", "true");
	cr_assert_eq(count("cgroup_left", "container.id", place_id(PLACE_CONTAINER)), 1);
	cr_assert_eq(count("container_started", "container.id", place_id(PLACE_SECOND)), 0);
}

Test(arrival, what_a_child_of_the_runtime_becomes_is_the_containers_for_good)
{
	expect_arrival("runtime");
}

Test(arrival, a_runtime_that_runs_from_memory_is_known_as_one)
{
	expect_arrival("sealed");
}
