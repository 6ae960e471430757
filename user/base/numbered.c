/* SPDX-License-Identifier: Apache-2.0 */
#include "base/numbered.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIGITS = 16 };

static const uint64_t number_end = 10000000000000000; /* the first that has more digits */

void numbered_name(char name[NUMBERED_NAME_SIZE], uint64_t number, const char *ending)
{
	snprintf(name, NUMBERED_NAME_SIZE, "%016" PRIu64 "%s", number % number_end, ending);
}

bool numbered_parse(const char *name, const char *ending, uint64_t *number)
{
	if (strspn(name, "0123456789") != DIGITS || strcmp(name + DIGITS, ending) != 0)
		return false;
	*number = strtoull(name, NULL, 10);
	return *number > 0;
}

int numbered_list(int directory, const char *ending, struct numbers *numbers)
{
	/* A stream of its own: the descriptor's place would be that of all who read it. */
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), error = 0;
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t number;

	if (!stream) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	while (!error && (errno = 0, entry = readdir(stream))) /* NOLINT(concurrency-mt-unsafe) a stream of its own */
		if (numbered_parse(entry->d_name, ending, &number))
			error = numbers_add(numbers, number);
	if (!error)
		error = -errno;
	closedir(stream);
	numbers_sort(numbers);
	return error;
}
