/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/sinks/ecs_json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "collector/cursor.h"
#include "collector/sinks/written.h"
#include "event/ecs.h"

enum {
	PIPE_BYTES = 1 << 20
}; /* so that a reader that waits for its processor stops the collector later than after 64 KiB */

struct ecs_json {
	int fd;
	bool may_block;      /* a terminal, a socket: written in pieces that it has room for */
	char *path;          /* of a file; NULL: stdout, a pipe, or the like */
	struct written held; /* by the file, though it was not noted */
	struct buffer lines;
	size_t written; /* of the lines */
};

/* A file whose last line was cut by a crash: the next one must not be glued to it. */
static bool ends_within_a_line(const char *path, off_t size)
{
	int fd = size > 0 ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
	char last = '\n';

	if (fd < 0)
		return false;
	(void)!pread(fd, &last, 1, size - 1);
	close(fd);
	return last != '\n';
}

/*
 * A description of its own of the pipe that is stdout, for that of stdout is others' too, and not to be made non-blocking.
 * Where it cannot be had, a copy of stdout.
 */
static int open_stdout(void)
{
	struct stat stat;
	int fd = -1;

	if (fstat(STDOUT_FILENO, &stat) == 0 && S_ISFIFO(stat.st_mode))
		fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 ? fd : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
}

static int open_target(struct ecs_json *sink, const char *target)
{
	bool is_stdout = strcmp(target, "-") == 0;
	struct stat stat;

	if (is_stdout)
		sink->fd = open_stdout();
	else /* non-blocking: a FIFO that nobody reads is refused, not waited for */
		sink->fd = open(target, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
	if (sink->fd < 0 || fstat(sink->fd, &stat) < 0)
		return -errno;
	if (S_ISFIFO(stat.st_mode))
		(void)fcntl(sink->fd, F_SETPIPE_SZ, PIPE_BYTES); /* a user has only so much for pipes */
	if (S_ISREG(stat.st_mode) && !is_stdout) {
		sink->path = strdup(target);
		if (!sink->path)
			return -ENOMEM;
		(void)flock(sink->fd, LOCK_SH | LOCK_NB); /* others may write to it, too: cut_torn */
	}
	sink->may_block = !S_ISREG(stat.st_mode) && !(fcntl(sink->fd, F_GETFL) & O_NONBLOCK);
	if (S_ISREG(stat.st_mode) && !is_stdout && ends_within_a_line(target, stat.st_size))
		buffer_append(&sink->lines, "\n", 1);
	return 0;
}

static void close_sink(void *context)
{
	struct ecs_json *sink = context;

	if (!sink)
		return;
	if (sink->fd >= 0) {
		(void)fdatasync(sink->fd); /* a pipe cannot */
		close(sink->fd);
	}
	buffer_free(&sink->lines);
	written_free(&sink->held);
	free(sink->path);
	free(sink);
}

static int open_sink(void **out, const char *target, char *why, size_t why_size)
{
	struct ecs_json *sink = calloc(1, sizeof(*sink));
	int error = -ENOMEM;

	if (sink) {
		sink->fd = -1;
		error = open_target(sink, target);
	}
	if (error) {
		snprintf(why, why_size, "%s: %s", strcmp(target, "-") == 0 ? "stdout" : target, strerror(-error));
		close_sink(sink);
		return error;
	}
	*out = sink;
	return 0;
}

static int add(void *context, const struct event *event)
{
	struct ecs_json *sink = context;
	size_t before = sink->lines.length;

	bool failed;

	ecs_write(&sink->lines, event);
	buffer_append(&sink->lines, "\n", 1);
	failed = sink->lines.failed;
	if (!failed &&
		!written_has(&sink->held, text_tail((struct text){sink->lines.data, sink->lines.length}, before)))
		return 0;
	sink->lines.length = before;
	sink->lines.failed = false;
	return failed ? -ENOMEM : 0;
}

static size_t waiting(const void *context)
{
	const struct ecs_json *sink = context;

	return sink->lines.length - sink->written;
}

/* What polls writable has room for PIPE_BUF bytes (pipe(7)). */
static ssize_t write_piece(const struct ecs_json *sink)
{
	size_t left = sink->lines.length - sink->written;
	struct pollfd ready = {.fd = sink->fd, .events = POLLOUT};

	if (sink->may_block) {
		if (poll(&ready, 1, 0) <= 0) {
			errno = EAGAIN;
			return -1;
		}
		left = left < PIPE_BUF ? left : PIPE_BUF;
	}
	return write(sink->fd, sink->lines.data + sink->written, left);
}

static int flush(void *context)
{
	struct ecs_json *sink = context;

	while (sink->written < sink->lines.length) {
		ssize_t written = write_piece(sink);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		sink->written += (size_t)written;
	}
	buffer_clear(&sink->lines);
	sink->written = 0;
	return 0;
}

static int descriptor(const void *context)
{
	const struct ecs_json *sink = context;

	return sink->fd;
}

/* --- what the file holds after a crash ---------------------------------------------------------------------------------- */

static uint64_t mark(const void *context)
{
	const struct ecs_json *sink = context;
	struct stat stat;

	return sink->path && fstat(sink->fd, &stat) == 0 ? (uint64_t)stat.st_size : CURSOR_NO_MARK;
}

/*
 * The last line has no end: this program was killed while it wrote it, if nobody else has the file; then the line comes
 * anew, whole. Another collector may be writing it now: there a newline sets it apart.
 */
static void cut_torn(struct ecs_json *sink, uint64_t whole)
{
	if (flock(sink->fd, LOCK_EX | LOCK_NB) == 0 && ftruncate(sink->fd, (off_t)whole) == 0)
		buffer_clear(&sink->lines);
	(void)flock(sink->fd, LOCK_SH | LOCK_NB);
}

static int resume(void *context, uint64_t from)
{
	struct ecs_json *sink = context;
	struct stat stat;
	uint64_t whole;
	int error;

	if (!sink->path || from == CURSOR_NO_MARK)
		return 0;
	if (fstat(sink->fd, &stat) < 0)
		return -errno;
	if (from > (uint64_t)stat.st_size) /* another file has its name now */
		from = 0;
	error = written_read(&sink->held, sink->path, from, &whole);
	if (!error && whole < (uint64_t)stat.st_size)
		cut_torn(sink, whole);
	return error;
}

static void caught_up(void *context)
{
	written_free(&((struct ecs_json *)context)->held);
}

const struct output_kind ecs_json_kind = {
	.name = "ecs-json",
	.targets = "PATH, or - for stdout",
	.open = open_sink,
	.add = add,
	.waiting = waiting,
	.flush = flush,
	.fd = descriptor,
	.close = close_sink,
	.mark = mark,
	.resume = resume,
	.caught_up = caught_up,
};
