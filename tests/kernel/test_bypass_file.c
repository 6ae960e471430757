/* SPDX-License-Identifier: Apache-2.0 */
/* Ways to open so that the file is not seen, or seems to be another: each is told with the file that the kernel opened. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(bypass_file, .init = scratch_make, .fini = scratch_remove);

static int open2(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .resolve = resolve};

	return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

/* --- calls ------------------------------------------------------------------------------------------------------------ */

static int in_root(const char *name)
{
	int directory = open(scratch(""), O_PATH | O_DIRECTORY);

	return open2(directory, "/../in-root", O_RDONLY, RESOLVE_IN_ROOT) < 0 || rename(scratch(name), scratch("kept"));
}

static int beneath(const char *name)
{
	return open2(open(scratch(""), O_PATH), name, O_RDONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS) < 0;
}

static int by_handle(const char *name)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} file = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount_id;

	if (name_to_handle_at(AT_FDCWD, scratch(name), &file.handle, &mount_id, 0))
		return 1;
	return open_by_handle_at(open(scratch(""), O_RDONLY), &file.handle, O_RDONLY) < 0;
}

static int path_then_proc(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", open(scratch(name), O_PATH));
	return open(path, O_RDONLY) < 0;
}

static int path_then_dev(const char *name)
{
	char path[64];

	if (access("/dev/fd", F_OK) != 0) /* a guest may not have it: then there is nothing to hide behind */
		return open(scratch(name), O_PATH) < 0 || open(scratch(name), O_RDONLY) < 0;
	snprintf(path, sizeof(path), "/dev/fd/../fd/%d", open(scratch(name), O_PATH));
	return open(path, O_RDONLY) < 0;
}

static int temporary(const char *name)
{
	char path[64];
	int fd = open(scratch(""), O_TMPFILE | O_RDWR, 0601);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd < 0 || linkat(AT_FDCWD, path, AT_FDCWD, scratch("linked-later"), AT_SYMLINK_FOLLOW) ||
	       unlink(scratch(name));
}

static int symlinked(const char *name)
{
	int directory = open(scratch(""), O_PATH);

	if (symlink(name, scratch("link")) || symlink(scratch(""), scratch("parent")))
		return 1;
	return openat(directory, "parent//./link", O_RDONLY) < 0 || unlink(scratch("parent"));
}

static int renamed_parent(const char *name)
{
	int directory, file;

	if (mkdir(scratch("before"), 0755) || rename(scratch(name), scratch("before/renamed-parent")))
		return 1;
	directory = open(scratch("before"), O_RDONLY | O_DIRECTORY);
	if (rename(scratch("before"), scratch("after")))
		return 2;
	file = openat(directory, "renamed-parent", O_RDONLY);
	return file < 0;
}

static int deleted(const char *name)
{
	char path[64];
	int fd = open(scratch(name), O_PATH);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return unlink(scratch(name)) || open(path, O_WRONLY | O_TRUNC) < 0;
}

static int memfd(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd_create(name, 0));
	return open(path, O_RDONLY) < 0;
}

static int slashes(const char *name)
{
	char path[400];

	snprintf(path, sizeof(path), "//.//../%s/////.//././%s", scratch(""), name);
	return old_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0) < 0;
}

static const struct way calls[] = {
	{"in-root", in_root},
	{"beneath", beneath},
	{"by-handle", by_handle},
	{"path-then-proc", path_then_proc},
	{"path-then-dev", path_then_dev},
	{"temporary", temporary},
	{"symlinked", symlinked},
	{"renamed-parent", renamed_parent},
	{"deleted", deleted},
	{"memfd", memfd},
	{"slashes", slashes},
	{NULL, NULL},
};

static int run_all(void *argument)
{
	return run_ways(argument);
}

Test(bypass_file, whatever_the_call_the_file_is_the_kernels)
{
	struct json_object *found;

	for (const struct way *way = calls; way->name; way++)
		cr_assert_eq(text_make(scratch(way->name), way->name, 0640), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)calls), 0);

	found = one("open", "taffrail.file.argument", "/../in-root");
	expect(found, "file.path", scratch("in-root"));
	expect(found, "file.inode", inode_text(scratch("kept")));

	expect(one("open", "taffrail.file.argument", "beneath"), "file.path", scratch("beneath"));

	found = one("open", "file.path", scratch("by-handle"));
	expect(found, "taffrail.file.argument", "");
	expect(found, "file.inode", inode_text(scratch("by-handle")));
	expect(found, "taffrail.file.flags.0", "O_RDONLY");

	cr_assert_eq(count("open", "file.path", scratch("path-then-proc")), 2);
	cr_assert_eq(count("open", "file.path", scratch("path-then-dev")), 2);

	found = one("open", "file.inode", inode_text(scratch("linked-later")));
	expect(found, "taffrail.file.argument", scratch(""));
	expect(found, "event.type.0", "creation");
	expect(found, "taffrail.file.deleted", "true");
	expect(found, "file.mode", "0601");
	cr_assert(
		strncmp(at(found, "file.path"), scratch("#"), strlen(scratch("#"))) == 0, "%s", at(found, "file.path"));

	expect(one("open", "taffrail.file.argument", "parent//./link"), "file.path", scratch("symlinked"));
	expect(one("open", "taffrail.file.argument", "renamed-parent"), "file.path", scratch("after/renamed-parent"));

	cr_assert_eq(count("open", "file.path", scratch("deleted")), 2);
	found = one("open", "event.type.0", "change");
	expect(found, "file.path", scratch("deleted"));
	expect(found, "taffrail.file.deleted", "true");

	found = one("open", "file.path", "memfd:memfd");
	expect(found, "taffrail.file.foreign", "");
	expect(one("open", "file.path", scratch("slashes")), "taffrail.file.flags.1", "O_NONBLOCK");
}

/* --- descriptors that came another way, and what fails ------------------------------------------------------------------ */

/* A descriptor from outside the container: nobody opened it here, until it is opened again. */
static int outside_descriptor = -1;

static int inherited(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", outside_descriptor);
	return open(path, O_RDONLY | O_NOCTTY) < 0 || !name;
}

static int passed(const char *name)
{
	char path[64];
	int pair[2];
	pid_t child = socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ? -1 : fork();

	if (child == 0)
		_exit(descriptor_send(pair[0], open(scratch(name), O_PATH)) != 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor_receive(pair[1]));
	return child_end(child) != 0 || open(path, O_RDONLY | O_NOATIME) < 0;
}

static int pipe_again(const char *name)
{
	char path[64];
	int fds[2];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", pipe(fds) ? -1 : fds[0]);
	return open(path, O_WRONLY) < 0 || !name;
}

static void wake(int signal)
{
	(void)signal;
}

static int interrupted(const char *name)
{
	struct sigaction action = {.sa_handler = wake};
	struct itimerval soon = {.it_value.tv_usec = 50 * 1000};

	if (unlink(scratch(name)) || mkfifo(scratch(name), 0600) || sigaction(SIGALRM, &action, NULL) ||
		setitimer(ITIMER_REAL, &soon, NULL))
		return 1;
	return open(scratch(name), O_RDONLY) >= 0 || errno != EINTR;
}

static int too_long(const char *name)
{
	static char path[5000];

	(void)name;
	memset(path, '/', sizeof(path) - 1);
	return open(path, O_RDONLY) >= 0 || errno != ENAMETOOLONG;
}

static int refused(const char *name)
{
	if (symlink("loop", scratch("loop")) || open(scratch("loop"), O_RDONLY) >= 0 || errno != ELOOP)
		return 1;
	if (syscall(SYS_openat, AT_FDCWD, 1, O_RDONLY) >= 0 || errno != EFAULT)
		return 2;
	if (openat(-1, name, O_RDONLY) >= 0 || errno != EBADF)
		return 3;
	return open2(open(scratch(""), O_PATH), "../x", O_RDONLY, RESOLVE_BENEATH) >= 0 || errno != EXDEV;
}

static const struct way descriptor_ways[] = {
	{"inherited", inherited},
	{"passed", passed},
	{"pipe", pipe_again},
	{"interrupted", interrupted},
	{"too-long", too_long},
	{"refused", refused},
	{NULL, NULL},
};

Test(bypass_file, descriptors_from_elsewhere_and_what_fails)
{
	for (const struct way *way = descriptor_ways; way->name; way++)
		cr_assert_eq(text_make(scratch(way->name), "", 0644), 0);
	outside_descriptor = open(scratch("inherited"), O_RDONLY);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)descriptor_ways), 0);

	expect(one("open", "taffrail.file.flags.1", "O_NOCTTY"), "file.path", scratch("inherited"));
	cr_assert_eq(count("open", "file.path", scratch("passed")), 2);
	expect(one("open", "taffrail.file.flags.1", "O_NOATIME"), "file.path", scratch("passed"));
	expect(one("open", "file.path", "pipefs:"), "file.type", "fifo");

	expect(one("open", "error.code", "EINTR"), "file.path", scratch("interrupted"));
	expect(one("open", "error.code", "ENAMETOOLONG"), "taffrail.truncated.0", "file.path");
	expect(one("open", "error.code", "ELOOP"), "file.path", scratch("loop"));
	expect(one("open", "error.code", "EFAULT"), "file.path", "");
	expect(one("open", "error.code", "EBADF"), "taffrail.file.argument", "refused");
	expect(one("open", "error.code", "EBADF"), "file.path", ""); /* relative to nothing */
	expect(one("open", "error.code", "EXDEV"), "taffrail.file.argument", "../x");
	cr_assert_eq(count("open", "event.outcome", "failure"), 6);
}

/* --- what looks like a repeat ------------------------------------------------------------------------------------------ */

/*
 * Two paths that are not there, made to look equal to a hash that only multiplies and shifts: a flipped top bit of one
 * word comes out as two flipped bits, whatever the key is, and the next word flips them back.
 */
static const char hidden_path[] = "/taffrail/no/such/secret";

static int hide_behind_decoy(const char *name)
{
	char decoy[sizeof(hidden_path)];

	(void)name;
	memcpy(decoy, hidden_path, sizeof(decoy));
	decoy[7] ^= (char)0x80;
	decoy[8 + 7] ^= (char)0x80;
	decoy[8 + 4] ^= 0x04;
	return open(decoy, O_RDONLY) >= 0 || open(hidden_path, O_RDONLY) >= 0;
}

/* The same call opens the same file twice, but meanwhile that is somewhere else. */
static int moved_meanwhile(const char *name)
{
	int directory;

	if (mkdir(scratch("harmless"), 0755) || rename(scratch(name), scratch("harmless/moved")))
		return 1;
	directory = open(scratch("harmless"), O_PATH);
	if (openat(directory, "moved", O_RDONLY) < 0 || rename(scratch("harmless"), scratch("cron.d")))
		return 2;
	return openat(directory, "moved", O_RDONLY) < 0;
}

/* … or is not there either time, and the directory has another name the second. */
static int missing_twice(const char *name)
{
	int directory;

	(void)name;
	if (mkdir(scratch("before"), 0755))
		return 1;
	directory = open(scratch("before"), O_PATH);
	if (openat(directory, "absent", O_RDONLY) >= 0 || rename(scratch("before"), scratch("after")))
		return 2;
	return openat(directory, "absent", O_RDONLY) >= 0;
}

/* … or lies deep below what is renamed. */
static int moved_far_above(const char *name)
{
	int directory, below;

	(void)name;
	if (mkdir(scratch("deep-one"), 0755))
		return 1;
	directory = open(scratch("deep-one"), O_PATH);
	for (int i = 0; i < 80; i++) {
		if (mkdirat(directory, "d", 0755) || (below = openat(directory, "d", O_PATH)) < 0)
			return 2;
		close(directory);
		directory = below;
	}
	if (openat(directory, "deep", O_WRONLY | O_CREAT, 0640) < 0 || openat(directory, "deep", O_RDONLY) < 0 ||
		rename(scratch("deep-one"), scratch("deep-two")))
		return 3;
	return openat(directory, "deep", O_RDONLY) < 0;
}

/* … or was deleted. */
static int deleted_meanwhile(const char *name)
{
	char path[32];
	int fd = open(scratch(name), O_PATH);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY) < 0 || unlink(scratch(name)) || open(path, O_RDONLY) < 0;
}

static const struct way seeming_repeats[] = {
	{"decoy", hide_behind_decoy},
	{"moved", moved_meanwhile},
	{"missing", missing_twice},
	{"far", moved_far_above},
	{"deleted", deleted_meanwhile},
	{NULL, NULL},
};

/* How many files below a directory were opened so. */
static int count_below(const char *directory, const char *flag)
{
	struct json_object *found[256];
	size_t all = documents("open", found, 256);
	int number = 0;

	for (size_t i = 0; i < all; i++)
		number += strncmp(at(found[i], "file.path"), directory, strlen(directory)) == 0 &&
			  strcmp(at(found[i], "file.name"), "deep") == 0 &&
			  strcmp(at(found[i], "taffrail.file.flags.0"), flag) == 0;
	return number;
}

Test(bypass_file, what_only_looks_like_a_repeat_is_told)
{
	for (const struct way *way = seeming_repeats; way->name; way++)
		cr_assert_eq(text_make(scratch(way->name), "", 0640), 0);
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)seeming_repeats), 0);
	expect(one("open", "file.path", hidden_path), "taffrail.count", "");
	expect(one("open", "file.path", scratch("harmless/moved")), "taffrail.count", "");
	expect(one("open", "file.path", scratch("cron.d/moved")), "taffrail.count", "");
	expect(one("open", "file.path", scratch("before/absent")), "taffrail.count", "");
	expect(one("open", "file.path", scratch("after/absent")), "taffrail.count", "");
	cr_assert_eq(count_below(scratch("deep-one/"), "O_RDONLY"), 1);
	cr_assert_eq(count_below(scratch("deep-two/"), "O_RDONLY"), 1);
	expect(one("open", "taffrail.file.deleted", "true"), "file.path", scratch("deleted"));
}
