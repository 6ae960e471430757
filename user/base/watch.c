/* SPDX-License-Identifier: Apache-2.0 */
#include "base/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/table.h"

enum { LOOK_MS = 1000 };

/* --- what files are ---------------------------------------------------------------------------------------------------- */

/* What tells one state of a file from another. */
struct identity {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec written, changed;
};

static uint64_t mix_file(int directory, const char *name)
{
	struct identity identity;
	struct stat stat;

	memset(&identity, 0, sizeof(identity));
	if (fstatat(directory, name, &stat, 0) == 0) {
		identity.device = stat.st_dev;
		identity.inode = stat.st_ino;
		identity.size = stat.st_size;
		identity.written = stat.st_mtim;
		identity.changed = stat.st_ctim;
	}
	return hash_bytes(&identity, sizeof(identity)) ^ hash_bytes(name, strlen(name));
}

/* The same in whatever order the directory tells its files. */
static uint64_t mix_path(const char *path)
{
	const struct dirent *entry;
	uint64_t sum = 0;
	DIR *directory = opendir(path);

	if (!directory)
		return mix_file(AT_FDCWD, path);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			sum += mix_file(dirfd(directory), entry->d_name);
	closedir(directory);
	return sum;
}

uint64_t watch_look(const char *const *paths, size_t count)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = sum * 31 + mix_path(paths[i]);
	return sum;
}

void watch_begin(struct watch *watch, uint64_t now)
{
	*watch = (struct watch){now, now};
}

bool watch_settled(struct watch *watch, uint64_t now)
{
	bool settled = now != watch->in_use && now == watch->seen;

	watch->seen = now;
	if (settled)
		watch->in_use = now;
	return settled;
}

/* --- the thread -------------------------------------------------------------------------------------------------------- */

struct watcher {
	struct watcher_ops ops;
	struct watch watch;
	pthread_t thread;
	int call_fd; /* written to: load again, or end */
	atomic_bool ending, hurried;
	_Atomic(void *) loaded;
};

static void discard(struct watcher *watcher, void *loaded)
{
	if (loaded)
		watcher->ops.discard(loaded);
}

static void *run(void *context)
{
	struct watcher *watcher = context;

	while (!atomic_load(&watcher->ending)) {
		struct pollfd call = {.fd = watcher->call_fd, .events = POLLIN};
		uint64_t calls, now;
		bool hurried;

		if (poll(&call, 1, LOOK_MS) > 0)
			(void)!read(watcher->call_fd, &calls, sizeof(calls));
		now = watcher->ops.look(watcher->ops.context);
		hurried = atomic_exchange(&watcher->hurried, false);
		if (hurried)
			watch_begin(&watcher->watch, now);
		if ((hurried || watch_settled(&watcher->watch, now)) && !atomic_load(&watcher->ending)) {
			void *loaded = watcher->ops.load(watcher->ops.context);

			if (loaded)
				discard(watcher, atomic_exchange(&watcher->loaded, loaded));
		}
	}
	return NULL;
}

int watcher_open(struct watcher **out, const struct watcher_ops *ops, uint64_t now)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));
	sigset_t all, before;
	int error;

	if (!watcher)
		return -ENOMEM;
	watcher->ops = *ops;
	watch_begin(&watcher->watch, now);
	watcher->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = watcher->call_fd < 0 ? errno : 0;
	if (!error) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = pthread_create(&watcher->thread, NULL, run, watcher);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (error) {
		if (watcher->call_fd >= 0)
			close(watcher->call_fd);
		free(watcher);
		return -error;
	}
	*out = watcher;
	return 0;
}

static void call(struct watcher *watcher)
{
	uint64_t one = 1;

	(void)!write(watcher->call_fd, &one, sizeof(one));
}

void watcher_hurry(struct watcher *watcher)
{
	atomic_store(&watcher->hurried, true);
	call(watcher);
}

void *watcher_take(struct watcher *watcher)
{
	return atomic_load(&watcher->loaded) ? atomic_exchange(&watcher->loaded, NULL) : NULL;
}

void watcher_close(struct watcher *watcher)
{
	if (!watcher)
		return;
	atomic_store(&watcher->ending, true);
	call(watcher);
	pthread_join(watcher->thread, NULL);
	discard(watcher, atomic_load(&watcher->loaded));
	close(watcher->call_fd);
	free(watcher);
}
