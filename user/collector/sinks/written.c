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

static int by_number(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static int add(struct written *written, uint64_t id)
{
	if (written->count == written->room) {
		size_t room = written->room ? 2 * written->room : 1024;
		uint64_t *ids = reallocarray(written->ids, room, sizeof(*ids));

		if (!ids)
			return -ENOMEM;
		written->ids = ids;
		written->room = room;
	}
	written->ids[written->count++] = id;
	return 0;
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
		if (id && written->count < WRITTEN_MAX)
			error = add(written, id);
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
	if (written->count == WRITTEN_MAX)
		log_warning("%s: too many lines came since it was noted how far it is: some may come twice", path);
	if (written->count > 0)
		qsort(written->ids, written->count, sizeof(*written->ids), by_number);
	return 0;
}

bool written_has(const struct written *written, struct text line)
{
	uint64_t id = written->count > 0 ? id_of(line) : 0;

	return id && bsearch(&id, written->ids, written->count, sizeof(id), by_number);
}

void written_free(struct written *written)
{
	free(written->ids);
	*written = (struct written){0};
}
