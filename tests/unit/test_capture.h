/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of what a function prints: a descriptor of this process, turned into a file of memory for a while. */
#ifndef TAFFRAIL_TEST_CAPTURE_H
#define TAFFRAIL_TEST_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>

struct capture {
	int fd, saved, file;
};

static inline struct capture capture_begin(int fd)
{
	struct capture capture = {fd, dup(fd), memfd_create("taffrail-test", MFD_CLOEXEC)};

	cr_assert(capture.saved >= 0 && capture.file >= 0);
	fflush(NULL);
	cr_assert(dup2(capture.file, fd) == fd);
	return capture;
}

/* Gives the descriptor back; what was written stands in `text`, cut at `size`. */
static inline const char *capture_end(struct capture *capture, char *text, size_t size)
{
	ssize_t length;

	fflush(NULL);
	dup2(capture->saved, capture->fd);
	close(capture->saved);
	length = pread(capture->file, text, size - 1, 0);
	text[length > 0 ? length : 0] = '\0';
	close(capture->file);
	return text;
}

#endif
