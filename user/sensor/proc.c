/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bpf/kernel_event.h"

int proc_arguments(struct buffer *out, const char *proc, pid_t pid)
{
	char path[4096];
	ssize_t length;
	int fd;

	buffer_clear(out);
	if (snprintf(path, sizeof(path), "%s/%d/cmdline", proc, (int)pid) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	do {
		char *room = buffer_reserve(out, 4096);

		length = room ? read(fd, room, 4096) : -1;
		if (length > 0)
			out->length += (size_t)length;
	} while (length > 0 && out->length < KERNEL_ARGS_MAX);

	int error = length < 0 ? -errno : 0;

	close(fd);
	if (out->length > KERNEL_ARGS_MAX)
		out->length = KERNEL_ARGS_MAX;
	return error;
}
