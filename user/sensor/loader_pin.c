/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>

#include "sensor/loader_ring.h"

enum {
	LOCK_FD_MIN =
		512, /* closed behind the programs' links when the process is killed: descriptors go in their order */
	LOCK_TRIES = 20,   /* a child of a killed sensor (its canary) may hold the lock for a moment, */
	LOCK_WAIT_MS = 10, /* ... all together 200 ms */
	MAKE_TRIES = 3,
	VALUE_MAX = 64 << 20,
	KEPT_RECORDS = 1 << 24, /* more records no ring holds */
};

static const char *const names[PINS] = {
	[PIN_CRITICAL] = "critical",
	[PIN_BULK] = "bulk",
	[PIN_COUNTERS] = "counters",
	[PIN_SHARED] = "shared",
	[PIN_LEDGER] = "ledger",
};

/* Where a bpffs belongs: systemd mounts one there, as bpftool does. */
static const char standard[] = "/sys/fs/bpf";

struct pins {
	char *path;   /* of the life's directory */
	bool mounted; /* by this life, for there was none */
	int lock;     /* the directory, locked */
};

/* --- directories ------------------------------------------------------------------------------------------------------- */

static int refuse(char *why, size_t why_size, int error, const char *path, const char *what)
{
	snprintf(why, why_size, "%s: %s%s", path, what, error != -EPERM ? strerror(-error) : "");
	return error;
}

/* Opens a directory of a bpffs that is this process's own. -errno with a sentence. */
static int open_own(const char *path, char *why, size_t why_size)
{
	struct statfs system;
	struct stat stat;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), error;

	if (fd < 0)
		return refuse(why, why_size, -errno, path, "");
	if (fstatfs(fd, &system) < 0 || fstat(fd, &stat) < 0)
		error = refuse(why, why_size, -errno, path, "");
	else if ((uint64_t)system.f_type != BPF_FS_MAGIC)
		error = refuse(why, why_size, -EPERM, path, "no BPF file system is mounted there");
	else if (stat.st_uid != geteuid() || stat.st_mode & (S_IWGRP | S_IWOTH))
		error = refuse(
			why, why_size, -EPERM, path, "others may write there: it must be the sensor's own, mode 0700");
	else
		return fd;
	close(fd);
	return error;
}

/* Is what `path` is in one? It may be a mount of one itself. */
static bool is_on_bpffs(const char *path)
{
	char parent[4096];
	struct statfs system;
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = '\0';
	return (statfs(path, &system) == 0 || statfs(slash ? parent : ".", &system) == 0) &&
	       (uint64_t)system.f_type == BPF_FS_MAGIC;
}

/* Below the standard place where nobody has mounted one: this process does, if it may. */
static bool mount_standard(const char *path)
{
	struct statfs system;

	return strncmp(path, standard, sizeof(standard) - 1) == 0 && path[sizeof(standard) - 1] == '/' &&
	       statfs(standard, &system) == 0 && (uint64_t)system.f_type == SYSFS_MAGIC &&
	       mount("bpf", standard, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0;
}

/* PATH itself, made where its file system is one. */
static int open_base(const char *path, bool make, char *why, size_t why_size)
{
	if (!is_on_bpffs(path))
		return refuse(why, why_size, -EPERM, path, "no BPF file system is mounted there");
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return refuse(why, why_size, -errno, path, "cannot be made: ");
	return open_own(path, why, why_size);
}

static int lock(int fd, int tries)
{
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK || --tries <= 0)
			return -errno;
		(void)poll(NULL, 0, LOCK_WAIT_MS);
	}
	return 0;
}

/* The life's directory below `base`, with the lock. */
static int open_life(int base, const char *name, int tries)
{
	int low = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), fd, error;
	struct stat before, after;

	if (low < 0)
		return -errno;
	fd = fcntl(low, F_DUPFD_CLOEXEC, LOCK_FD_MIN);
	if (fd < 0) /* fewer descriptors are allowed */
		fd = low;
	else
		close(low);
	error = lock(fd, tries);
	/* Whoever held it may have taken it away. */
	if (!error && (fstat(fd, &before) < 0 || fstatat(base, name, &after, AT_SYMLINK_NOFOLLOW) < 0 ||
			      before.st_ino != after.st_ino))
		error = -ENOENT;
	if (!error)
		return fd;
	close(fd);
	return error;
}

static struct pins *new_pins(const char *path, const char *name, int lock_fd)
{
	struct pins *pins = calloc(1, sizeof(*pins));

	if (pins && asprintf(&pins->path, "%s/%s", path, name) < 0) {
		free(pins);
		pins = NULL;
	}
	if (pins)
		pins->lock = lock_fd;
	else
		close(lock_fd);
	return pins;
}

/* Makes the life's directory and locks it. The descriptor, or -errno. */
static int make_life(const char *path, const char *name, char *why, size_t why_size)
{
	int base = open_base(path, true, why, why_size), fd;

	if (base < 0)
		return base;
	fd = mkdirat(base, name, 0700) < 0 && errno != EEXIST ? -errno : open_life(base, name, LOCK_TRIES);
	close(base);
	return fd < 0 ? refuse(why, why_size, fd, path, "cannot be used: ") : fd;
}

int pins_open(struct pins **out, const char *path, const char name[PIN_NAME_SIZE], char *why, size_t why_size)
{
	bool mounted = !is_on_bpffs(path) && mount_standard(path);
	int fd = -ENOENT;

	/* Another sensor that starts or ends now takes empty ones away. */
	for (int i = 0; i < MAKE_TRIES && fd == -ENOENT; i++)
		fd = make_life(path, name, why, why_size);
	if (fd < 0)
		return fd;
	*out = new_pins(path, name, fd);
	if (!*out)
		return refuse(why, why_size, -ENOMEM, path, "");
	(*out)->mounted = mounted;
	return 0;
}

/* --- this life's ------------------------------------------------------------------------------------------------------- */

/* libbpf takes paths; the directories are this process's alone. */
static int pin_path(const struct pins *pins, enum pin pin, char path[4096])
{
	return snprintf(path, 4096, "%s/%s", pins->path, names[pin]) < 4096 ? 0 : -ENAMETOOLONG;
}

int pins_put(struct pins *pins, enum pin pin, int map_fd)
{
	char path[4096];
	int error = pin_path(pins, pin, path);

	return error ? error : bpf_obj_pin(map_fd, path) < 0 ? -errno : 0;
}

int pins_ledger(struct pins *pins, const void *page)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	const __u32 zero = 0;
	int fd, error;

	options.map_flags = BPF_F_MMAPABLE;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "taffrail_ledger", sizeof(__u32), PIN_LEDGER_BYTES, 1, &options);
	if (fd < 0)
		return -errno;
	/* Before it has a name. */
	error = bpf_map_update_elem(fd, &zero, page, BPF_ANY) < 0 ? -errno : pins_put(pins, PIN_LEDGER, fd);
	if (!error)
		return fd;
	close(fd);
	return error;
}

bool pins_mounted(const struct pins *pins)
{
	return pins->mounted;
}

static void drop(const struct pins *pins, enum pin pin)
{
	(void)unlinkat(pins->lock, names[pin], 0);
}

void pins_drop_rings(struct pins *pins)
{
	drop(pins, PIN_CRITICAL);
	drop(pins, PIN_BULK);
	drop(pins, PIN_SHARED);
}

/* Something that somebody has put into a bpffs: not what the kernel's own iterators have there from the start. */
static int is_pinned(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && strcmp(entry->d_name, "maps.debug") != 0 &&
	       strcmp(entry->d_name, "progs.debug") != 0;
}

static bool is_empty(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_pinned, NULL);

	for (int i = 0; i < count; i++)
		free(entries[i]);
	if (count >= 0)
		free(entries);
	return count == 0;
}

/* The ledger last: while it is there, the rest is known to be of a life. */
void pins_drop(struct pins *pins)
{
	char *slash = strrchr(pins->path, '/');

	pins_drop_rings(pins);
	drop(pins, PIN_COUNTERS);
	drop(pins, PIN_LEDGER);
	(void)rmdir(pins->path);
	/* PATH too when this was the last life in it. */
	*slash = '\0';
	(void)rmdir(pins->path);
	*slash = '/';
}

/* A child of this sensor (its canary) may be in there for a moment: it has copies of the descriptors. */
static void unmount_standard(void)
{
	for (int i = 0; i < LOCK_TRIES && is_empty(standard); i++) {
		if (umount2(standard, UMOUNT_NOFOLLOW) == 0 || errno != EBUSY)
			return;
		(void)poll(NULL, 0, LOCK_WAIT_MS);
	}
}

void pins_close(struct pins *pins)
{
	if (!pins)
		return;
	close(pins->lock);
	if (pins->mounted)
		unmount_standard();
	free(pins->path);
	free(pins);
}

/* --- former lives ------------------------------------------------------------------------------------------------------ */

/* A pinned map of that type, with keys of four bytes or none. -errno; -EINVAL: it is another one. */
static int get_map(const struct pins *pins, enum pin pin, enum bpf_map_type type, struct bpf_map_info *info)
{
	__u32 size = sizeof(*info);
	char path[4096];
	int error = pin_path(pins, pin, path), fd;

	*info = (struct bpf_map_info){0};
	if (error)
		return error;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	/* A program or a link answers too, with a struct of its own: it has not this type and these sizes together. */
	if (bpf_obj_get_info_by_fd(fd, info, &size) < 0)
		error = -errno;
	else if (info->type != type || (type != BPF_MAP_TYPE_RINGBUF && info->key_size != sizeof(__u32)) ||
		 info->value_size > VALUE_MAX)
		error = -EINVAL;
	if (!error)
		return fd;
	close(fd);
	return error;
}

static int get_ledger(const struct pins *pins)
{
	struct bpf_map_info info;
	int fd = get_map(pins, PIN_LEDGER, BPF_MAP_TYPE_ARRAY, &info);

	if (fd < 0)
		return -1;
	if (info.value_size == PIN_LEDGER_BYTES && info.max_entries == 1 && info.map_flags & BPF_F_MMAPABLE)
		return fd;
	close(fd);
	return -1;
}

static bool is_name(const char *name)
{
	return strlen(name) == PIN_NAME_SIZE - 1 && strspn(name, "0123456789abcdef") == PIN_NAME_SIZE - 1;
}

/* False: nobody need know of it. */
static bool get_former(struct pins_former *former, const char *path, int base, const char *name, bool patient)
{
	int fd = is_name(name) ? open_life(base, name, patient ? LOCK_TRIES : 1) : -ENOENT;

	*former = (struct pins_former){.ledger = -1};
	if (fd < 0 && fd != -EWOULDBLOCK)
		return false;
	memcpy(former->name, name, PIN_NAME_SIZE);
	if (fd < 0)
		return true;
	former->pins = new_pins(path, name, fd);
	if (former->pins)
		former->ledger = get_ledger(former->pins);
	former->damaged =
		former->pins && former->ledger < 0 && faccessat(fd, names[PIN_LEDGER], F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	return former->pins != NULL;
}

int pins_find(
	const char *path, bool patient, void (*each)(void *context, const struct pins_former *former), void *context)
{
	char why[300];
	int base = open_base(path, false, why, sizeof(why));
	DIR *directory = base < 0 ? NULL : fdopendir(base);
	struct dirent *entry;

	if (base < 0)
		return base;
	if (!directory) {
		int error = -errno;

		close(base);
		return error;
	}
	while ((entry = readdir(directory))) { /* NOLINT(concurrency-mt-unsafe) a stream of its own */
		struct pins_former former;

		if (get_former(&former, path, base, entry->d_name, patient))
			each(context, &former);
	}
	closedir(directory);
	return 0;
}

int pins_counted(const struct pins *pins, uint32_t lanes, uint64_t *count)
{
	int cpus = libbpf_num_possible_cpus(), error = 0;
	struct kernel_counters *values = cpus > 0 ? calloc((size_t)cpus, sizeof(*values)) : NULL;
	struct bpf_map_info info;
	int fd = values ? get_map(pins, PIN_COUNTERS, BPF_MAP_TYPE_PERCPU_ARRAY, &info) : -ENOMEM;

	*count = 0;
	if (fd >= 0 && (info.value_size != sizeof(*values) || info.max_entries != lanes))
		error = -EINVAL;
	for (__u32 lane = 0; fd >= 0 && !error && lane < lanes; lane++) {
		if (bpf_map_lookup_elem(fd, &lane, values) < 0)
			error = -errno;
		for (int cpu = 0; !error && cpu < cpus; cpu++)
			*count += values[cpu].sequence[KERNEL_RING_CRITICAL] + values[cpu].sequence[KERNEL_RING_BULK] +
				  values[cpu].lost_repeats;
	}
	if (fd >= 0)
		close(fd);
	free(values);
	return fd < 0 ? fd : error;
}

static int note_record(void *context, const void *bytes, size_t size)
{
	struct pins_rest *rest = context;
	const struct kernel_header *header = bytes;

	rest->records++;
	if (size >= sizeof(*header) && header->kind < KERNEL_KINDS_END) {
		rest->kinds |= 1ull << header->kind;
		if (header->time_ns > rest->newest_ns)
			rest->newest_ns = header->time_ns;
	}
	return 0;
}

static void read_ring(const struct pins *pins, enum pin pin, struct pins_rest *rest)
{
	struct bpf_map_info info;
	int fd = get_map(pins, pin, BPF_MAP_TYPE_RINGBUF, &info);
	struct ring ring = {0};

	if (fd < 0)
		return;
	if (ring_open(&ring, fd, info.max_entries) == 0)
		(void)ring_read(&ring, note_record, rest, KEPT_RECORDS);
	ring_close(&ring);
	close(fd);
}

static void count_repeats(const struct pins *pins, uint32_t repeats_at, struct pins_rest *rest)
{
	struct bpf_map_info info;
	int fd = get_map(pins, PIN_SHARED, BPF_MAP_TYPE_ARRAY, &info);
	const __u32 zero = 0;
	char *value = NULL;

	if (fd < 0)
		return;
	if (info.max_entries == 1 && repeats_at % sizeof(uint64_t) == 0 && info.value_size > repeats_at &&
		info.value_size - repeats_at >= sizeof(struct kernel_repeats))
		value = malloc(info.value_size);
	if (value && bpf_map_lookup_elem(fd, &zero, value) == 0) {
		const struct kernel_repeats *repeats = (const void *)(value + repeats_at);

		for (int i = 0; i < KERNEL_REPEAT_WORDS; i++)
			rest->repeats += repeats->words[i] & KERNEL_REPEAT_COUNT;
		rest->has_repeats = true;
	}
	free(value);
	close(fd);
}

void pins_rest(struct pins *pins, uint32_t repeats_at, struct pins_rest *rest)
{
	*rest = (struct pins_rest){0};
	read_ring(pins, PIN_CRITICAL, rest);
	read_ring(pins, PIN_BULK, rest);
	count_repeats(pins, repeats_at, rest);
	if (rest->repeats > 0)
		rest->kinds |= 1ull << KERNEL_OPEN;
}
