/* SPDX-License-Identifier: Apache-2.0 */
/* What the canary does with processes and files. All of it runs in the child: no allocation, no lock. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sensor/canary_inside.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* 6.3 */
#endif

enum { EXEC_FAILED = 126, HANDLE_BYTES = 128, COMPAT_OPEN = 5 };

void canary_place_open(struct canary_place *place)
{
	ssize_t length;

	memset(place, 0, sizeof(*place));
	for (int i = 0; i < 2; i++)
		place->listeners[i] = place->clients[i] = place->servers[i] = -1;
	place->unix_listener = place->unix_client = place->raw = place->packet = -1;
	(void)!getrandom(&place->random, sizeof(place->random), GRND_NONBLOCK);
	snprintf(place->nonce, sizeof(place->nonce), "tf-%08x", place->random);
	length = readlink("/proc/self/exe", place->exe, sizeof(place->exe) - 1);
	place->exe[length > 0 ? length : 0] = '\0';
}

int deed_same(struct canary_place *place, struct canary_deed *deed, int variant)
{
	const struct canary_deed *before = place->before;

	(void)variant;
	if (atomic_load(&before->state) == DEED_REFUSED)
		return -before->error;
	memcpy(deed->text, before->text, sizeof(deed->text));
	deed->text_length = before->text_length;
	deed->number = before->number;
	deed->local_port_be = before->local_port_be;
	deed->remote_port_be = before->remote_port_be;
	deed->family = before->family;
	memcpy(deed->address, before->address, sizeof(deed->address));
	return 0;
}

/* --- processes -------------------------------------------------------------------------------------------------------- */

/* A child that dies with this process. */
static pid_t fork_child(void)
{
	pid_t parent = getpid(), child = fork();

	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return child;
}

static int wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

int deed_fork(struct canary_place *place, struct canary_deed *deed, int variant)
{
	pid_t child;

	(void)variant;
	deed_text(deed, "%s", place->nonce);
	prctl(PR_SET_NAME, deed->text);
	child = fork_child();
	if (child == 0)
		_exit(CANARY_FORK_CODE);
	if (child < 0)
		return -errno;
	deed->number = child;
	wait_for(child);
	return 0;
}

/* The sensor's own program, which only tells its version; its words go nowhere. */
int deed_exec(struct canary_place *place, struct canary_deed *deed, int variant)
{
	char version[] = "--version";
	char *const arguments[] = {deed->text, version, NULL};
	char *const environment[] = {NULL};
	pid_t child;
	int status;

	(void)variant;
	deed_text(deed, "%s", place->nonce);
	memcpy(deed->path, place->exe, sizeof(deed->path));
	child = fork_child();
	if (child == 0) {
		int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

		for (int fd = 0; fd <= 2; fd++)
			if (nowhere < 0 || dup2(nowhere, fd) < 0)
				close(fd);
		execve("/proc/self/exe", arguments, environment);
		deed->error = errno;
		_exit(EXEC_FAILED);
	}
	if (child < 0)
		return -errno;
	status = wait_for(child);
	return WIFEXITED(status) && WEXITSTATUS(status) == EXEC_FAILED && deed->error ? -deed->error : 0;
}

int deed_exec_failed(struct canary_place *place, struct canary_deed *deed, int variant)
{
	char *const nothing[] = {NULL};

	(void)variant;
	deed_text(deed, "/proc/self/%s-exec", place->nonce);
	execve(deed->text, nothing, nothing);
	return errno == ENOENT ? 0 : -errno;
}

/* SIGURG, which everybody ignores who does not ask for it. */
int deed_signal(struct canary_place *place, struct canary_deed *deed, int variant)
{
	(void)place;
	(void)variant;
	deed->number = SIGURG;
	return kill(getppid(), SIGURG) < 0 ? -errno : 0;
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
/*
 * open(2) of the 32-bit table, whose arguments are below 4 GiB. In a child of its own: without the table the
 * instruction is a fault.
 */
static int open_compat(struct canary_deed *deed)
{
	char *low =
		mmap(NULL, sizeof(deed->text), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	pid_t child;
	int status;

	if (low == MAP_FAILED)
		return -errno;
	memcpy(low, deed->text, sizeof(deed->text));
	child = fork_child();
	if (child == 0) {
		long result;

		signal(SIGSEGV, SIG_DFL);
		__asm__ volatile("int $0x80"
				 : "=a"(result)
				 : "a"((long)COMPAT_OPEN), "b"(low), "c"((long)O_RDONLY), "d"(0L)
				 : "memory", "r8", "r9", "r10", "r11");
		deed->error = result < 0 ? (int)-result : 0;
		_exit(0);
	}
	munmap(low, sizeof(deed->text));
	if (child < 0)
		return -errno;
	status = wait_for(child);
	return WIFEXITED(status) ? -deed->error : -ENOSYS;
}
#else
static int open_compat(struct canary_deed *deed)
{
	(void)deed;
	return -ENOSYS;
}
#endif

/* The program's own file, by handle; the flags are ones that nobody else has together. */
static int open_handle(struct canary_deed *deed)
{
	struct {
		struct file_handle handle;
		unsigned char bytes[HANDLE_BYTES];
	} room = {.handle = {.handle_bytes = HANDLE_BYTES}};
	int mount, at, fd = -1, error = 0;
	struct stat status;

	deed->flags = O_RDONLY | O_NONBLOCK | O_NOFOLLOW;
	at = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (at < 0)
		return -errno;
	if (fstat(at, &status) == 0)
		deed->inode = status.st_ino;
	if (name_to_handle_at(AT_FDCWD, "/proc/self/exe", &room.handle, &mount, AT_SYMLINK_FOLLOW) < 0)
		error = -errno;
	if (!error) {
		fd = open_by_handle_at(at, &room.handle, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			error = -errno;
	}
	if (fd >= 0)
		close(fd);
	close(at);
	return error;
}

/* A file in memory, with a name of its own: what is opened by /proc/self/fd/N needs no directory to write to. */
static int open_memory(struct canary_place *place, struct canary_deed *deed, int variant)
{
	struct open_how how = {.flags = O_RDWR | O_APPEND};
	char name[32];
	int file, fd;

	snprintf(name, sizeof(name), "%s-%d", place->nonce, variant);
	file = memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	if (file < 0 && errno == EINVAL)
		file = memfd_create(name, MFD_CLOEXEC);
	if (file < 0)
		return -errno;
	snprintf(deed->path, sizeof(deed->path), "memfd:%s", name);
	deed_text(deed, "/proc/self/fd/%d", file);
	if (variant == DEED_OPENAT2) {
		deed->flags = O_RDWR | O_APPEND;
		fd = (int)syscall(SYS_openat2, AT_FDCWD, deed->text, &how, sizeof(how));
#if defined(__x86_64__)
	} else if (variant == DEED_CREAT) {
		deed->flags = O_WRONLY | O_CREAT | O_TRUNC;
		fd = (int)syscall(SYS_creat, deed->text, 0600);
#endif
	} else {
		deed->flags = O_WRONLY | O_NONBLOCK;
		fd = (int)syscall(SYS_openat, AT_FDCWD, deed->text, O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0);
	}
	/* The file stays open: its number is what its record is known by. */
	return fd < 0 ? -errno : 0;
}

int deed_open(struct canary_place *place, struct canary_deed *deed, int variant)
{
	memcpy(deed->path, place->exe, sizeof(deed->path));
	switch (variant) {
	case DEED_HANDLE: return open_handle(deed);
	case DEED_COMPAT: deed_text(deed, "/proc/self//exe"); return open_compat(deed);
#if defined(__x86_64__)
	case DEED_OPEN:
		deed_text(deed, "/proc/self/./exe");
		return syscall(SYS_open, deed->text, O_RDONLY | O_CLOEXEC, 0) < 0 ? -errno : 0;
#endif
	default: return open_memory(place, deed, variant);
	}
}

int deed_open_failed(struct canary_place *place, struct canary_deed *deed, int variant)
{
	(void)variant;
	deed_text(deed, "/proc/self/%s-open", place->nonce);
	if (open(deed->text, O_RDONLY | O_CLOEXEC) >= 0)
		return -EEXIST;
	return errno == ENOENT ? 0 : -errno;
}
