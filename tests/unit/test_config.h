/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of configuration: a text is read as a file, and what was said of it is kept. */
#ifndef TAFFRAIL_TEST_CONFIG_H
#define TAFFRAIL_TEST_CONFIG_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/config.h"
#include "test_capture.h"

/* What the last text was answered on stderr; where the file's name stood at its beginning: FILE. */
static char said[8192];

/* Reads it into the keys, and then what `then` makes of them (NULL: nothing). Returns what they return. */
static inline int read_bytes(const struct config_key *keys, const char *yaml, size_t length, int (*then)(void))
{
	char path[64];
	int fd = memfd_create("config", MFD_CLOEXEC), error;
	struct capture capture;

	cr_assert_eq(write(fd, yaml, length), (ssize_t)length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	capture = capture_begin(STDERR_FILENO);
	error = config_read(keys, path);
	if (!error && then)
		error = then();
	capture_end(&capture, said, sizeof(said));
	close(fd);
	if (strncmp(said, path, strlen(path)) == 0) {
		memmove(said + 4, said + strlen(path), strlen(said + strlen(path)) + 1);
		memcpy(said, "FILE", 4);
	}
	return error;
}

/* It is refused in one line, which begins with `message`. */
static inline void read_refused(const struct config_key *keys, const char *yaml, int (*then)(void), const char *message)
{
	cr_assert_eq(read_bytes(keys, yaml, strlen(yaml), then), -EINVAL, "taken: %s", yaml);
	cr_assert_eq(strncmp(said, message, strlen(message)), 0, "of %s it says %s", yaml, said);
	cr_assert_eq(strchr(said, '\n'), said + strlen(said) - 1, "not one line: %s", said);
	config_free(keys);
}

#endif
