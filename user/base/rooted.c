/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rooted.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int join(const char *root, const char *path, char whole[PATH_MAX])
{
	return snprintf(whole, PATH_MAX, "%s%s", root, path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/*
 * Is openat2 to be had? Asked once, of what nobody can refuse: a seccomp filter older than the call says EPERM, but so may a file
 * inside, and whoever made that one must not choose that its links are followed out of the root.
 */
static bool is_there(void)
{
	enum { UNKNOWN, THERE, NOT_THERE };
	static atomic_int known = UNKNOWN;
	struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	long fd;

	if (atomic_load(&known) != UNKNOWN)
		return atomic_load(&known) == THERE;
	fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));
	if (fd >= 0) {
		close((int)fd);
		atomic_store(&known, THERE);
	} else if (errno == ENOSYS || errno == EPERM) {
		atomic_store(&known, NOT_THERE);
	}
	return atomic_load(&known) != NOT_THERE; /* else out of descriptors: the next one says */
}

/* -ENOSYS where openat2 is not to be had. */
static int open_inside(const char *root, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int directory;
	long fd;

	if (!is_there())
		return -ENOSYS;
	directory = open(*root ? root : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return -errno;
	fd = syscall(SYS_openat2, directory, path, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	close(directory);
	return (int)fd;
}

static int open_any(const char *root, const char *path, int flags)
{
	char whole[PATH_MAX];
	int fd = open_inside(root, path, flags);

	if (fd != -ENOSYS)
		return fd;
	if (join(root, path, whole) < 0)
		return -ENAMETOOLONG;
	fd = open(whole, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* What O_PATH has of a regular file, for reading. The descriptor goes. */
static int reopen(int place)
{
	struct stat status;
	char link[32];
	int fd = -1, error = 0;

	if (fstat(place, &status) < 0)
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = S_ISLNK(status.st_mode) ? -ELOOP : -EINVAL;
	if (!error) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", place);
		fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		/* The file is there: what is not is /proc. */
		error = fd >= 0 ? 0 : errno == ENOENT ? -ENOTSUP : -errno;
	}
	close(place);
	return error ? error : fd;
}

int rooted_open(const char *root, const char *path, int flags)
{
	int place;

	if (flags & O_DIRECTORY)
		return open_any(root, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | flags);
	/* To open a device does something already, and a container may make one: it is looked at first. */
	place = open_any(root, path, O_PATH | O_NOFOLLOW | flags);
	return place < 0 ? place : reopen(place);
}

int rooted_read(const char *root, const char *path, size_t limit, char **bytes, size_t *length)
{
	struct stat status;
	int error = 0;
	int fd = rooted_open(root, path, 0);

	*bytes = NULL;
	*length = 0;
	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0)
		error = -errno;
	else if ((uint64_t)status.st_size > limit)
		error = -EFBIG;
	else if (!(*bytes = malloc((size_t)status.st_size + 1)))
		error = -ENOMEM;
	while (!error && *length < (size_t)status.st_size) {
		ssize_t got = read(fd, *bytes + *length, (size_t)status.st_size - *length);

		if (got < 0)
			error = -errno;
		if (got <= 0)
			break;
		*length += (size_t)got;
	}
	close(fd);
	if (error) {
		free(*bytes);
		*bytes = NULL;
		*length = 0;
	}
	return error;
}

/* What a descriptor was opened as, links followed. */
static int name_of(int fd, char whole[PATH_MAX])
{
	char link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, whole, PATH_MAX - 1);
	if (length < 0 || length >= PATH_MAX - 1 || whole[0] != '/')
		return -ENOENT;
	whole[length] = '\0';
	return 0;
}

int rooted_resolve(const char *root, const char *path, char whole[PATH_MAX])
{
	char front[PATH_MAX];
	size_t length = strlen(path);

	if (join(root, path, whole) < 0)
		return -ENAMETOOLONG;
	/* The longest beginning that is there, then the rest as it was said. */
	while (length > 0) {
		int fd, error;

		snprintf(front, sizeof(front), "%.*s", (int)length, path);
		fd = open_any(root, front, O_PATH);
		if (fd >= 0) {
			error = name_of(fd, front);
			close(fd);
			if (error)
				break;
			if (strcmp(front, "/") == 0)
				front[0] = '\0';
			return join(front, path + length, whole);
		}
		while (length > 0 && path[length - 1] != '/')
			length--;
		while (length > 0 && path[length - 1] == '/')
			length--;
	}
	return 0;
}
