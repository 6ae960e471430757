/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/relief.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* Who tells holds the lock for a moment where nobody waits: who comes just then tries again, for a tenth of a second. */
enum { TRIES = 20, TRY_AGAIN_MS = 5 };

/* The directory is the sensor's alone (spool.h). */
static int open_file(const char *directory, int flags)
{
	char path[PATH_MAX];
	struct stat stat;
	int fd;

	if (snprintf(path, sizeof(path), "%s/relief", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

static int try_to_wait(const char *directory)
{
	int fd = open_file(directory, O_CREAT), error = 0;
	struct stat stat;

	if (fd < 0)
		return fd;
	/* Emptied: what somebody was told who waited before. Without a name, who waited has just taken it away: nobody would be told in it. */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		error = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else if (fstat(fd, &stat) < 0 || (stat.st_nlink > 0 && ftruncate(fd, 0) < 0))
		error = -errno;
	else if (stat.st_nlink == 0)
		error = -EBUSY;
	if (!error)
		return fd;
	close(fd);
	return error;
}

int relief_wait(const char *directory)
{
	const struct timespec pause = {.tv_nsec = TRY_AGAIN_MS * 1000000};
	int fd = try_to_wait(directory);

	for (int i = 0; fd == -EBUSY && i < TRIES; i++) {
		nanosleep(&pause, NULL);
		fd = try_to_wait(directory);
	}
	return fd;
}

uint64_t relief_take(int waiting, const char *directory)
{
	char path[PATH_MAX];
	uint64_t time_ns;

	if (snprintf(path, sizeof(path), "%s/relief", directory) < (int)sizeof(path))
		(void)unlink(path);
	/* Nobody waits any more, and only then it is read: who told in between sees that it was not in time. */
	(void)flock(waiting, LOCK_UN);
	if (pread(waiting, &time_ns, sizeof(time_ns), 0) != sizeof(time_ns))
		time_ns = 0;
	close(waiting);
	/* Believed, it would make the whole of this life blind: all that happens would be the old one's to tell. */
	if (time_ns > clock_boottime_ns()) {
		log_error("%s/relief: the other sensor says it has told what is still to come, up to %" PRIu64
			  " ns after the boot: not believed",
			directory, time_ns);
		time_ns = 0;
	}
	return time_ns;
}

static bool somebody_waits(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

bool relief_tell(const char *directory, uint64_t time_ns)
{
	int fd = open_file(directory, 0);
	bool told = false;

	if (fd < 0)
		return false;
	if (somebody_waits(fd))
		told = pwrite(fd, &time_ns, sizeof(time_ns), 0) == sizeof(time_ns) && somebody_waits(fd);
	close(fd);
	return told;
}
