/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/rooted.h"

static char root[64];

static void make(void)
{
	char command[600];

	strcpy(root, "/tmp/taffrail-rooted-XXXXXX");
	cr_assert_not_null(mkdtemp(root));
	snprintf(command, sizeof(command),
		"cd %s && mkdir -p run/crio var secret && echo inside >run/crio/file && ln -s /run var/run && "
		"ln -s ../../../../../../etc var/out && ln -s /run/crio/file run/link && ln -s loop run/loop && mkfifo "
		"run/pipe",
		root);
	cr_assert_eq(system(command), 0);
}

static void clean(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -r %s", root);
	cr_assert_eq(system(command), 0);
}

static int read_it(const char *path, size_t limit)
{
	char *bytes;
	size_t length;
	int error = rooted_read(root, path, limit, &bytes, &length);

	if (!error)
		cr_assert(length == 7 && memcmp(bytes, "inside\n", 7) == 0);
	else
		cr_assert_null(bytes);
	free(bytes);
	return error;
}

Test(rooted, links_are_followed_as_the_host_follows_them, .init = make, .fini = clean)
{
	cr_assert_eq(read_it("/run/crio/file", 100), 0);
	cr_assert_eq(read_it("/var/run/crio/file", 100), 0, "an absolute link");
	cr_assert_eq(read_it("/../../run/crio/file", 100), 0, "above the root is the root");
	cr_assert_eq(read_it("/var/out/passwd", 100), -ENOENT, "out of it");
	cr_assert_eq(read_it("/run/link", 100), -ELOOP, "not at the end");
	cr_assert_eq(read_it("/run/loop/x", 100), -ELOOP);
	cr_assert_eq(read_it("/run/crio/none", 100), -ENOENT);
}

Test(rooted, only_regular_files_of_a_size, .init = make, .fini = clean)
{
	cr_assert_eq(read_it("/run/crio/file", 7), 0);
	cr_assert_eq(read_it("/run/crio/file", 6), -EFBIG);
	cr_assert_eq(read_it("/run/pipe", 100), -EINVAL, "and does not hang");
	cr_assert_eq(read_it("/run/crio", 100), -EINVAL);
	/* As the sensor is (guard.c): its own /proc is open to it all the same. */
	cr_assert_eq(prctl(PR_SET_DUMPABLE, 0), 0);
	cr_assert_eq(read_it("/run/crio/file", 7), 0);
}

/* A container that may make devices puts one where a file was, and to open one may do something already. */
Test(rooted, what_is_no_file_is_never_opened, .init = make, .fini = clean)
{
	char path[100];
	int watch;

	snprintf(path, sizeof(path), "%s/run/pipe", root);
	watch = inotify_init1(IN_NONBLOCK);
	cr_assert_geq(inotify_add_watch(watch, path, IN_OPEN), 0);
	cr_assert_eq(rooted_open(root, "/run/pipe", 0), -EINVAL);
	cr_assert_eq(read(watch, path, sizeof(path)), -1, "it was opened");
	cr_assert_eq(errno, EAGAIN);
	cr_assert_eq(rooted_open(root, "/run/crio", 0), -EINVAL, "a directory, where a file is asked for");
	close(watch);
	if (geteuid() != 0)
		cr_skip_test("only root can make devices");
	snprintf(path, sizeof(path), "%s/run/device", root);
	cr_assert_eq(mknod(path, S_IFCHR | 0600, makedev(10, 4093)), 0);
	/* No driver has this number: to open it is -ENODEV or -ENXIO. */
	cr_assert_eq(rooted_open(root, "/run/device", 0), -EINVAL);
	cr_assert_eq(read_it("/run/device", 100), -EINVAL);
	cr_assert_eq(rooted_open(root, "/run/device", O_DIRECTORY), -ENOTDIR);
}

/* From here on openat2 is -EPERM in this process. */
static void refuse_openat2(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(rooted, a_file_that_is_refused_is_not_opened_another_way, .init = make, .fini = clean)
{
	cr_assert_eq(read_it("/run/crio/file", 100), 0);
	refuse_openat2();
	cr_assert_eq(rooted_open(root, "/var/out/passwd", 0), -EPERM, "out of it");
	cr_assert_eq(read_it("/run/crio/file", 100), -EPERM);
}

Test(rooted, a_filter_that_does_not_know_the_call_hides_no_file, .init = make, .fini = clean)
{
	refuse_openat2();
	cr_assert_eq(read_it("/run/crio/file", 100), 0);
	cr_assert_eq(read_it("/run/crio/none", 100), -ENOENT);
}

static void expect_resolved(const char *path, const char *expected)
{
	char whole[PATH_MAX], wanted[PATH_MAX];

	snprintf(wanted, sizeof(wanted), "%s%s", root, expected);
	cr_assert_eq(rooted_resolve(root, path, whole), 0);
	cr_assert_str_eq(whole, wanted);
}

Test(rooted, where_a_path_is, .init = make, .fini = clean)
{
	char whole[PATH_MAX], *longest = malloc(PATH_MAX + 2);

	expect_resolved("/run/crio/file", "/run/crio/file");
	expect_resolved("/var/run/crio/file", "/run/crio/file");
	expect_resolved("/run/link", "/run/crio/file");
	expect_resolved("/var/run/later/x.sock", "/run/later/x.sock");
	expect_resolved("/nothing/yet.sock", "/nothing/yet.sock");
	expect_resolved("/run/loop", "/run/loop");
	cr_assert_eq(rooted_resolve("", "/nothing/yet.sock", whole), 0);
	cr_assert_str_eq(whole, "/nothing/yet.sock");
	memset(longest, 'x', PATH_MAX + 1);
	longest[0] = '/';
	longest[PATH_MAX + 1] = '\0';
	cr_assert_eq(rooted_resolve(root, longest, whole), -ENAMETOOLONG);
	free(longest);
}
