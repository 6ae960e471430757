/* SPDX-License-Identifier: Apache-2.0 */
/* What a path means where mounts, roots and namespaces are the attacker's: opens, each in a mount namespace of its own. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bypass.h"
#include "harness.h"

TestSuite(bypass_mount, .init = scratch_make, .fini = scratch_remove);

static int own_namespace(void)
{
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int bound_directory(const char *name)
{
	return own_namespace() || mkdir(scratch("elsewhere"), 0755) ||
	       mount(scratch("data"), scratch("elsewhere"), NULL, MS_BIND, NULL) ||
	       open(scratch("elsewhere/file"), O_RDONLY) < 0 || !name;
}

static int bound_file(const char *name)
{
	return own_namespace() || text_make(scratch(name), "", 0644) ||
	       mount(scratch("data/file"), scratch(name), NULL, MS_BIND, NULL) || open(scratch(name), O_RDONLY) < 0;
}

static int covered(const char *name)
{
	int below = open(scratch("data"), O_PATH);

	return own_namespace() || mount(name, scratch("data"), "tmpfs", 0, NULL) ||
	       text_make(scratch("data/covering"), "", 0644) || openat(below, "file", O_RDONLY | O_NOCTTY) < 0;
}

static int detached_clone(const char *name)
{
	int tree = own_namespace() ? -1 : open_tree(AT_FDCWD, scratch("data"), OPEN_TREE_CLONE);

	(void)name;
	return tree < 0 || openat(tree, "file", O_RDONLY | O_NOATIME) < 0;
}

static int detached_new(const char *name)
{
	int context = own_namespace() ? -1 : fsopen("tmpfs", 0);
	int tree = fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ? -1 : fsmount(context, 0, 0);

	return tree < 0 || openat(tree, name, O_WRONLY | O_CREAT, 0600) < 0;
}

static int detached_late(const char *name)
{
	return own_namespace() || mount(name, scratch("mounted"), "tmpfs", 0, NULL) || chdir(scratch("mounted")) ||
	       umount2(".", MNT_DETACH) || open(name, O_WRONLY | O_CREAT, 0600) < 0;
}

static int change_root(const char *name)
{
	int outside = open("/", O_PATH);
	char path[400];

	snprintf(path, sizeof(path), "../../..%s/data/file", scratch(""));
	return chroot(scratch("mounted")) || openat(outside, path + 9, O_RDONLY | O_SYNC) < 0 || fchdir(outside) ||
	       openat(AT_FDCWD, path, O_RDONLY | O_DSYNC) < 0 || !name;
}

/* A process in another mount namespace, which has a file there that this one does not see; killed by its parent's end. */
static pid_t stranger(const char *file)
{
	int done[2];
	char byte;
	pid_t child = pipe(done) ? -1 : fork();

	if (child == 0) {
		int failed = own_namespace() || mount("taffrail", scratch("mounted"), "tmpfs", 0, NULL) ||
			     text_make(file, "", 0600);

		if (failed || write(done[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	close(done[1]);
	return read(done[0], &byte, 1) == 1 ? child : -1;
}

static int through_proc(const char *name)
{
	char path[400];
	pid_t child = stranger(scratch("mounted/hidden"));
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root%s", child, scratch("mounted/hidden"));
	fd = child < 0 ? -1 : open(path, O_RDONLY);
	kill(child, SIGKILL);
	return fd < 0 || child_end(child) != 128 + SIGKILL || !name;
}

static int moved_in(const char *name)
{
	char path[64];
	pid_t child = stranger(scratch("mounted/found"));
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", child);
	fd = child < 0 || setns(open(path, O_RDONLY), CLONE_NEWNS) ? -1 : open(scratch("mounted/found"), O_RDWR);
	kill(child, SIGKILL);
	return fd < 0 || child_end(child) != 128 + SIGKILL || !name;
}

static const struct way ways[] = {
	{"bound-directory", bound_directory},
	{"bound-file", bound_file},
	{"covered", covered},
	{"detached-clone", detached_clone},
	{"detached-new", detached_new},
	{"detached-late", detached_late},
	{"change-root", change_root},
	{"through-proc", through_proc},
	{"moved-in", moved_in},
	{NULL, NULL},
};

static int run_all(void *argument)
{
	return run_ways(argument);
}

static struct json_object *expect_foreign(const char *action_path, const char *argument, const char *foreign)
{
	struct json_object *found = one("open", action_path, argument);

	expect(found, "taffrail.file.foreign", foreign);
	return found;
}

Test(bypass_mount, a_path_is_that_of_the_mount_namespace_and_the_inode_that_of_the_file)
{
	struct json_object *found;
	const char *inode;

	cr_assert(mkdir(scratch("data"), 0755) == 0 && mkdir(scratch("mounted"), 0755) == 0);
	cr_assert_eq(text_make(scratch("data/file"), "", 0644), 0);
	inode = inode_text(scratch("data/file"));
	cr_assert_eq(watch(run_all, (void *)(uintptr_t)ways), 0);

	expect(one("open", "file.path", scratch("elsewhere/file")), "file.inode", inode);
	cr_assert_eq(count("open", "file.path", scratch("bound-file")), 2, "the mount point, and the file over it");
	cr_assert_eq(count("open", "file.inode", inode), 6);

	expect(one("open", "file.path", scratch("data/covering")), "event.type.0", "creation");
	found = one("open", "taffrail.file.flags.1", "O_NOCTTY");
	expect(found, "file.path", scratch("data/file"));

	found = expect_foreign("taffrail.file.flags.1", "O_NOATIME", "true");
	expect(found, "file.name", "file");
	expect(found, "file.inode", inode);
	expect_foreign("taffrail.file.argument", "detached-new", "true");
	expect_foreign("taffrail.file.argument", "detached-late", "true");

	expect(one("open", "taffrail.file.flags.1", "O_SYNC"), "file.path", scratch("data/file"));
	expect(one("open", "taffrail.file.flags.1", "O_DSYNC"), "file.path", scratch("data/file"));

	cr_assert_eq(
		count("open", "file.path", scratch("mounted/hidden")), 2, "in its own namespace, and from outside");
	cr_assert_eq(count("open", "taffrail.file.foreign", "true"), 5,
		"what is covered, three that are detached, one of another namespace");
	expect_foreign("taffrail.file.flags.0", "O_RDWR", "");
	expect(one("open", "file.path", "nsfs:"), "file.type", "file");
}

/* --- overlays and new roots --------------------------------------------------------------------------------------------- */

struct here {
	bool overlay, pivot;
};

static int open_layers(struct here *here)
{
	char options[1200];

	if (own_namespace() || mount("taffrail", scratch("layers"), "tmpfs", 0, NULL) ||
		mkdir(scratch("layers/upper"), 0755) || mkdir(scratch("layers/work"), 0755))
		return 1;
	snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s", scratch("data"),
		scratch("layers/upper"), scratch("layers/work"));
	here->overlay = mount("overlay", scratch("mounted"), "overlay", 0, options) == 0;
	if (!here->overlay)
		return 0;
	return open(scratch("mounted/file"), O_RDONLY) < 0 || open(scratch("mounted/changed"), O_RDWR) < 0 ||
	       open(scratch("mounted/new"), O_CREAT | O_WRONLY, 0600) < 0 || open(scratch("mounted/new"), O_RDONLY) < 0;
}

static int open_in_new_root(struct here *here)
{
	char path[400];

	if (own_namespace() || mount("taffrail", scratch("mounted"), "tmpfs", 0, NULL) ||
		mkdir(scratch("mounted/old"), 0755))
		return 1;
	here->pivot = syscall(SYS_pivot_root, scratch("mounted"), scratch("mounted/old")) == 0;
	if (!here->pivot) /* not from an initial ramfs */
		return 0;
	snprintf(path, sizeof(path), "/old%s", scratch("data/file"));
	return chdir("/") || open(path, O_RDONLY) < 0 || text_make("inside", "", 0600);
}

static int layers_and_root(void *argument)
{
	pid_t child = fork();

	if (child == 0)
		_exit(open_layers(argument));
	if (child_end(child) != 0)
		return 1;
	return open_in_new_root(argument);
}

Test(bypass_mount, overlays_and_new_roots)
{
	struct here *here = shared(sizeof(*here));
	char path[400];

	cr_assert(mkdir(scratch("data"), 0755) == 0 && mkdir(scratch("mounted"), 0755) == 0 &&
		  mkdir(scratch("layers"), 0755) == 0);
	cr_assert_eq(text_make(scratch("data/file"), "", 0644), 0);
	cr_assert_eq(text_make(scratch("data/changed"), "x", 0644), 0);
	cr_assert_eq(watch(layers_and_root, here), 0);
	if (here->overlay) {
		struct json_object *found = one("open", "file.path", scratch("mounted/file"));

		expect(found, "taffrail.file.upper_layer", "");
		expect(found, "taffrail.file.copied_up", "");
		found = one("open", "file.path", scratch("mounted/changed"));
		expect(found, "taffrail.file.copied_up", "true");
		expect(found, "taffrail.file.upper_layer", "");
		cr_assert_eq(count("open", "taffrail.file.upper_layer", "true"), 2);
		cr_assert_eq(count("open", "file.path", scratch("mounted/new")), 2);
	}
	if (here->pivot) {
		snprintf(path, sizeof(path), "/old%s", scratch("data/file"));
		expect(one("open", "file.path", path), "file.inode", inode_text(scratch("data/file")));
		expect(one("open", "file.path", "/inside"), "event.type.0", "creation");
	}
	if (!here->overlay || !here->pivot)
		cr_skip_test("no %s here", here->overlay ? "pivot_root" : "overlayfs");
}
