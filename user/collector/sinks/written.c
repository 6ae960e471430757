/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/sinks/written.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/table.h"

/* The hash of a line's event.id, as its bytes stand there; 0: it has none. */
static uint64_t id_of(struct text line)
{
	/* Within a string of JSON the quotes would have backslashes. */
	static const char before[] = "\"event\":{\"id\":\"";
	const char *id = memmem(line.data, line.length, before, sizeof(before) - 1), *end;

	if (!id)
		return 0;
	id += sizeof(before) - 1;
	end = memmem(id, line.length - (size_t)(id - line.data), "\",\"", 3);
	return end ? hash_bytes(id, (size_t)(end - id)) | 1 : 0;
}

static int read_lines(struct written *written, FILE *file, uint64_t *whole)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int error = 0;

	while (!error && (errno = 0, length = getline(&line, &room, file)) > 0 && line[length - 1] == '\n') {
		uint64_t id = id_of((struct text){line, (size_t)length});

		*whole += (uint64_t)length;
		if (id && written->ids.count < WRITTEN_MAX)
			error = numbers_add(&written->ids, id);
	}
	if (!error && ferror(file))
		error = errno ? -errno : -EIO;
	free(line);
	return error;
}

int written_read(struct written *written, const char *path, uint64_t from, uint64_t *whole)
{
	FILE *file = fopen(path, "re");
	int error;

	*whole = from;
	if (!file)
		return -errno;
	error = fseeko(file, (off_t)from, SEEK_SET) < 0 ? -errno : read_lines(written, file, whole);
	(void)fclose(file);
	if (error) {
		written_free(written);
		return error;
	}
	if (written->ids.count == WRITTEN_MAX)
		log_warning("%s: too many lines came since it was noted how far it is: some may come twice", path);
	numbers_sort(&written->ids);
	return 0;
}

bool written_has(const struct written *written, struct text line)
{
	uint64_t id = written->ids.count > 0 ? id_of(line) : 0;

	return id && numbers_have(&written->ids, id);
}

void written_free(struct written *written)
{
	numbers_free(&written->ids);
}
