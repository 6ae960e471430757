/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/cursor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/crc32c.h"

enum { LINE_SIZE = 80 }; /* SEGMENT OFFSET MARK CRC, each of fixed width: a newer line covers the older one */

/* Without a mark it is the line of an older program, which knew none. */
static int format(char line[LINE_SIZE], struct store_position at, uint64_t mark)
{
	int length = snprintf(line, LINE_SIZE, "%016" PRIu64 " %020" PRIu64, at.segment, at.offset);

	if (mark != CURSOR_NO_MARK)
		length += snprintf(line + length, LINE_SIZE - (size_t)length, " %020" PRIu64, mark);
	return length + snprintf(line + length, LINE_SIZE - (size_t)length, " %08x\n", crc32c(0, line, (size_t)length));
}

static bool is_line(const char *line, size_t length, struct store_position at, uint64_t mark)
{
	char again[LINE_SIZE];
	size_t size = (size_t)format(again, at, mark);

	return length >= size && memcmp(line, again, size) == 0;
}

static bool parse(const char *line, size_t length, struct cursor *cursor)
{
	char *end;

	cursor->at.segment = strtoull(line, &end, 10);
	cursor->at.offset = strtoull(end, &end, 10);
	cursor->mark = strtoull(end, NULL, 10);
	if (is_line(line, length, cursor->at, cursor->mark))
		return true;
	cursor->mark = CURSOR_NO_MARK;
	return is_line(line, length, cursor->at, cursor->mark);
}

/* The file's name: the kind, and a sum of the whole, for a path is no name of a file. */
static void make_path(char *path, size_t size, const char *data, const char *spec)
{
	snprintf(
		path, size, "%s/outputs/%.*s-%08x", data, (int)strcspn(spec, ":"), spec, crc32c(0, spec, strlen(spec)));
}

static int refuse(struct cursor *cursor, const char *path, char *why, size_t why_size)
{
	int error = -errno;

	snprintf(why, why_size, "%s: %s", path, strerror(-error));
	cursor_close(cursor);
	return error;
}

int cursor_open(struct cursor *cursor, const char *data, const char *spec, bool *fresh, char *why, size_t why_size)
{
	char path[4200], line[LINE_SIZE] = "";
	ssize_t length;

	*cursor = (struct cursor){.fd = -1, .mark = CURSOR_NO_MARK};
	if ((size_t)snprintf(path, sizeof(path), "%s/outputs", data) + LINE_SIZE > sizeof(path)) {
		errno = ENAMETOOLONG;
		return refuse(cursor, data, why, why_size);
	}
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return refuse(cursor, path, why, why_size);
	make_path(path, sizeof(path), data, spec);
	cursor->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (cursor->fd < 0)
		return refuse(cursor, path, why, why_size);
	length = pread(cursor->fd, line, sizeof(line) - 1, 0);
	if (length < 0)
		return refuse(cursor, path, why, why_size);
	*fresh = length == 0;
	cursor->noted = !*fresh;
	if (length > 0 && !parse(line, (size_t)length, cursor)) {
		log_warning("%s: it cannot be read: %s gets everything that it does not hold", path, spec);
		cursor->at = (struct store_position){0};
		cursor->mark = 0;
	}
	return 0;
}

static bool is_behind(struct store_position a, struct store_position b)
{
	return a.segment > b.segment || (a.segment == b.segment && a.offset > b.offset);
}

int cursor_furthest(const char *data, struct store_position *place, char *why, size_t why_size)
{
	char path[4200], line[LINE_SIZE];
	struct dirent *entry;
	DIR *outputs;

	*place = (struct store_position){0};
	snprintf(path, sizeof(path), "%s/outputs", data);
	outputs = opendir(path);
	if (!outputs) {
		int error = errno == ENOENT ? 0 : -errno;

		if (error)
			snprintf(why, why_size, "%s: %s", path, strerror(-error));
		return error;
	}
	while ((entry = readdir(outputs))) {
		int fd = openat(dirfd(outputs), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		ssize_t length = fd >= 0 ? pread(fd, line, sizeof(line) - 1, 0) : -1;
		struct cursor cursor;

		line[length > 0 ? length : 0] = '\0';
		if (length > 0 && parse(line, (size_t)length, &cursor) && is_behind(cursor.at, *place))
			*place = cursor.at;
		if (fd >= 0)
			close(fd);
	}
	closedir(outputs);
	return 0;
}

int cursor_move(struct cursor *cursor, struct store_position at, uint64_t mark)
{
	char line[LINE_SIZE];
	int length = format(line, at, mark);

	if (cursor->noted && at.segment == cursor->at.segment && at.offset == cursor->at.offset)
		return 0;
	errno = EIO;
	if (pwrite(cursor->fd, line, (size_t)length, 0) != length)
		return -errno;
	cursor->noted = true;
	cursor->at = at;
	cursor->mark = mark;
	return 0;
}

void cursor_close(struct cursor *cursor)
{
	if (cursor->fd >= 0)
		close(cursor->fd);
	cursor->fd = -1;
}
