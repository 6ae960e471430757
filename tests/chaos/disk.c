/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chaos-disk SWITCH FOLDER MOUNTPOINT    shows FOLDER at MOUNTPOINT, and fails as SWITCH says
 *
 * The first byte of the file SWITCH says what fails, from the next call on:
 *
 *	'-'  nothing
 *	'w'  whatever changes the disk, with EIO
 *	't'  writes: half of the bytes are written, and the call fails with EIO
 *	's'  syncs, with EIO; what was written stays
 *	'r'  whatever changes the disk, with EROFS
 *	'a'  everything, reads too, with EIO
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const volatile char *fails;
static int root = -1;

/* A path below the root, for the calls that take a directory's descriptor. */
static const char *below(const char *path)
{
	return path[1] ? path + 1 : ".";
}

static int outcome(long result)
{
	return result < 0 ? -errno : 0;
}

static int reading(void)
{
	return *fails == 'a' ? -EIO : 0;
}

static int changing(void)
{
	return *fails == 'r' ? -EROFS : *fails == 'w' || *fails == 'a' ? -EIO : 0;
}

static int disk_getattr(const char *path, struct stat *stat, struct fuse_file_info *info)
{
	return info ? outcome(fstat((int)info->fh, stat))
		    : outcome(fstatat(root, below(path), stat, AT_SYMLINK_NOFOLLOW));
}

static int disk_opendir(const char *path, struct fuse_file_info *info)
{
	int error = reading(), fd = error ? -1 : openat(root, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return error ? error : -errno;
	info->fh = (uint64_t)fd;
	return 0;
}

static int disk_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *info,
	enum fuse_readdir_flags flags)
{
	int error = reading(), fd = error ? -1 : openat((int)info->fh, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	(void)path, (void)offset, (void)flags;
	if (!directory)
		return error ? error : -errno;
	while ((entry = readdir(directory)))
		fill(buffer, entry->d_name, NULL, 0, 0);
	closedir(directory);
	return 0;
}

static int open_file(const char *path, int flags, mode_t mode, struct fuse_file_info *info)
{
	bool changes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
	int error = changes ? changing() : reading();
	/* The kernel says at which offset; what appends would do that on its own. */
	int fd = error ? -1 : openat(root, below(path), (flags & ~O_APPEND) | O_CLOEXEC, mode);

	if (fd < 0)
		return error ? error : -errno;
	info->fh = (uint64_t)fd;
	return 0;
}

static int disk_open(const char *path, struct fuse_file_info *info)
{
	return open_file(path, info->flags & ~O_CREAT, 0, info);
}

static int disk_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
	return open_file(path, info->flags | O_CREAT, mode, info);
}

static int disk_release(const char *path, struct fuse_file_info *info)
{
	(void)path;
	return outcome(close((int)info->fh));
}

static int disk_read(const char *path, char *bytes, size_t size, off_t offset, struct fuse_file_info *info)
{
	ssize_t got;

	(void)path;
	if (reading())
		return reading();
	got = pread((int)info->fh, bytes, size, offset);
	return got < 0 ? -errno : (int)got;
}

static int disk_write(const char *path, const char *bytes, size_t size, off_t offset, struct fuse_file_info *info)
{
	ssize_t put;

	(void)path;
	if (changing())
		return changing();
	put = pwrite((int)info->fh, bytes, *fails == 't' ? size / 2 : size, offset);
	return put < 0 ? -errno : *fails == 't' ? -EIO : (int)put;
}

static int disk_fsync(const char *path, int data_only, struct fuse_file_info *info)
{
	(void)path, (void)data_only;
	return *fails != '-' ? -EIO : outcome(fsync((int)info->fh));
}

static int disk_fsyncdir(const char *path, int data_only, struct fuse_file_info *info)
{
	(void)path, (void)data_only, (void)info;
	return *fails != '-' ? -EIO : 0;
}

static int disk_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
	int fd, result;

	if (changing())
		return changing();
	if (info)
		return outcome(ftruncate((int)info->fh, size));
	fd = openat(root, below(path), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = outcome(ftruncate(fd, size));
	close(fd);
	return result;
}

static int disk_unlink(const char *path)
{
	return changing() ? changing() : outcome(unlinkat(root, below(path), 0));
}

static int disk_rmdir(const char *path)
{
	return changing() ? changing() : outcome(unlinkat(root, below(path), AT_REMOVEDIR));
}

static int disk_mkdir(const char *path, mode_t mode)
{
	return changing() ? changing() : outcome(mkdirat(root, below(path), mode));
}

static int disk_rename(const char *from, const char *to, unsigned int flags)
{
	return changing() ? changing() : outcome(renameat2(root, below(from), root, below(to), flags));
}

static int disk_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
	(void)info;
	return changing() ? changing() : outcome(fchmodat(root, below(path), mode, 0));
}

static int disk_chown(const char *path, uid_t user, gid_t group, struct fuse_file_info *info)
{
	(void)info;
	return changing() ? changing() : outcome(fchownat(root, below(path), user, group, AT_SYMLINK_NOFOLLOW));
}

static int disk_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
	(void)info;
	return changing() ? changing() : outcome(utimensat(root, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int disk_fallocate(const char *path, int mode, off_t offset, off_t size, struct fuse_file_info *info)
{
	(void)path;
	return changing() ? changing() : outcome(fallocate((int)info->fh, mode, offset, size));
}

static int disk_statfs(const char *path, struct statvfs *stat)
{
	(void)path;
	return outcome(fstatvfs(root, stat));
}

/* A file that is removed while it is open goes at once: its descriptor is enough for what still comes. */
static void *disk_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
	(void)connection;
	config->hard_remove = 1;
	config->nullpath_ok = 1;
	return NULL;
}

static const struct fuse_operations operations = {
	.getattr = disk_getattr,
	.opendir = disk_opendir,
	.readdir = disk_readdir,
	.releasedir = disk_release,
	.open = disk_open,
	.create = disk_create,
	.release = disk_release,
	.read = disk_read,
	.write = disk_write,
	.fsync = disk_fsync,
	.fsyncdir = disk_fsyncdir,
	.truncate = disk_truncate,
	.unlink = disk_unlink,
	.rmdir = disk_rmdir,
	.mkdir = disk_mkdir,
	.rename = disk_rename,
	.chmod = disk_chmod,
	.chown = disk_chown,
	.utimens = disk_utimens,
	.fallocate = disk_fallocate,
	.statfs = disk_statfs,
	.init = disk_init,
};

int main(int count, char **arguments)
{
	char *mount[] = {arguments[0], "-f", "-s", "-o", "default_permissions", arguments[count - 1], NULL};
	int fd;

	if (count != 4)
		return 2;
	fd = open(arguments[1], O_RDWR | O_CLOEXEC);
	fails = fd < 0 ? MAP_FAILED : mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
	root = open(arguments[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fails == MAP_FAILED || root < 0) {
		perror(fails == MAP_FAILED ? arguments[1] : arguments[2]);
		return 1;
	}
	umask(0);
	return fuse_main(6, mount, &operations, NULL);
}
