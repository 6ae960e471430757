/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/cgroup.h"

#include <errno.h>
#include <mntent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum {
	DIGITS = 2 * EVENT_CONTAINER_ID_SIZE,
	FILE_MAX = 65536, /* of /proc/PID/cgroup: some 20 lines, each with a path of at most PATH_MAX */
};

static bool strip_suffix(struct text *text, struct text suffix)
{
	if (!text_ends_with(*text, suffix))
		return false;
	text->length -= suffix.length;
	return true;
}

static bool parse_component(struct text name, uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	const struct text prefixes[] = {
		TEXT_LITERAL("cri-containerd-"),
		TEXT_LITERAL("crio-"),
		TEXT_LITERAL("docker-"),
		TEXT_LITERAL("libpod-"),
	};
	const struct text inner = TEXT_LITERAL(":cri-containerd:");

	if (name.length < DIGITS)
		return false;
	if (event_container_id_parse(name, id))
		return true;
	if (name.length >= inner.length + DIGITS &&
		text_starts_with(text_tail(name, name.length - DIGITS - inner.length), inner))
		return event_container_id_parse(text_tail(name, name.length - DIGITS), id);
	strip_suffix(&name, TEXT_LITERAL(".scope"));
	/* crio-conmon-ID is the monitor beside the container, and fails for its length. */
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (text_starts_with(name, prefixes[i]) &&
			event_container_id_parse(text_tail(name, prefixes[i].length), id))
			return true;
	return false;
}

bool cgroup_container(struct text path, uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	while (path.length > 0)
		if (parse_component(text_next(&path, '/'), id))
			return true;
	return false;
}

/* "pids" among "cpu,pids". */
static bool names_controller(struct text list, struct text controller)
{
	while (list.length > 0)
		if (text_equal(text_next(&list, ','), controller))
			return true;
	return false;
}

/* The rank of a line's hierarchy: 0 is asked first; 3: never. */
static int rank_line(struct text number, struct text controllers)
{
	if (text_equal(number, TEXT_LITERAL("0")) && controllers.length == 0)
		return 0;
	if (names_controller(controllers, TEXT_LITERAL("pids")))
		return 1;
	return names_controller(controllers, TEXT_LITERAL("memory")) ? 2 : 3;
}

bool cgroup_parse(struct text file, uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	uint8_t found[EVENT_CONTAINER_ID_SIZE];
	int best = 3;

	while (file.length > 0) {
		struct text path = text_next(&file, '\n');
		struct text number = text_next(&path, ':'), controllers = text_next(&path, ':');
		int rank = rank_line(number, controllers);

		strip_suffix(&path, TEXT_LITERAL(" (deleted)")); /* a removed cgroup that still has a dying process */
		if (rank < best && cgroup_container(path, found)) {
			memcpy(id, found, sizeof(found));
			best = rank;
		}
	}
	return best < 3;
}

int cgroup_read(const char *proc, pid_t pid, uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	char path[4096], bytes[FILE_MAX];
	size_t length = 0;
	ssize_t got;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%d/cgroup", proc, (int)pid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (length < sizeof(bytes) && (got = read(fd, bytes + length, sizeof(bytes) - length)) != 0) {
		if (got < 0) {
			int error = -errno;

			close(fd);
			return error;
		}
		length += (size_t)got;
	}
	close(fd);
	return cgroup_parse((struct text){bytes, length}, id) ? 1 : 0;
}

const char *cgroup_mode(const char *path)
{
	FILE *mounts = setmntent(path, "r");
	struct mntent entry;
	char room[8192];
	bool v1 = false, v2 = false;

	while (mounts && getmntent_r(mounts, &entry, room, sizeof(room))) {
		v1 |= strcmp(entry.mnt_type, "cgroup") == 0 && !hasmntopt(&entry, "name");
		v2 |= strcmp(entry.mnt_type, "cgroup2") == 0;
	}
	if (mounts)
		endmntent(mounts);
	return v1 && v2 ? "hybrid" : v1 ? "v1" : v2 ? "v2" : "";
}
