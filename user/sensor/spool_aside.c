/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cannot be sent, and somebody may look into: files of the spool whose beginning is damaged, and batches that collectors
 * refuse. Of each the last are kept, and they take their room.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "sensor/spool_inside.h"

enum { KEPT_MAX = 16 }; /* of each: of a spool's 32 segments at most half is damaged ones */

static uint64_t room_of(const struct spool *spool, const char *name)
{
	struct stat stat;

	return fstatat(spool->directory, name, &stat, AT_SYMLINK_NOFOLLOW) < 0 ? 0
									       : spool_blocks((uint64_t)stat.st_size);
}

/* Of too many the oldest go. */
static void keep_last(struct spool *spool, const char *ending, const struct numbers *numbers)
{
	for (size_t i = 0; i + KEPT_MAX < numbers->count; i++) {
		char name[NUMBERED_NAME_SIZE];
		uint64_t room;

		numbered_name(name, numbers->items[i], ending);
		room = room_of(spool, name);
		if (spool_may(spool, "unlink", NULL) < 0 || unlinkat(spool->directory, name, 0) < 0)
			continue;
		spool->bytes -= room;
		log_warning("%s/%s is removed: there are %d newer ones", spool->path, name, KEPT_MAX);
	}
}

int spool_count_aside(struct spool *spool)
{
	static const char *const endings[] = {SPOOL_DAMAGED, SPOOL_REFUSED};
	int error = 0;

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]) && !error; i++) {
		struct numbers numbers = {0};
		char name[NUMBERED_NAME_SIZE];

		error = numbered_list(spool->directory, endings[i], &numbers);
		for (size_t file = 0; file < numbers.count && !error; file++) {
			numbered_name(name, numbers.items[file], endings[i]);
			spool->bytes += room_of(spool, name);
		}
		if (!error) {
			keep_last(spool, endings[i], &numbers);
			spool_pass_numbers(spool, &numbers);
		}
		numbers_free(&numbers);
	}
	return error;
}

void spool_keep_damaged(struct spool *spool, const char *file, uint64_t number)
{
	char name[NUMBERED_NAME_SIZE];

	numbered_name(name, number, SPOOL_DAMAGED);
	if (spool_may(spool, "rename", NULL) == 0 && renameat(spool->directory, file, spool->directory, name) == 0)
		log_error("%s/%s: its beginning is damaged: what it held is not sent. It is kept as %s", spool->path,
			file, name);
	else
		log_error("%s/%s: its beginning is damaged: what it held is not sent", spool->path, file);
}

/* The new file, whole or not at all; -errno. */
static int write_file(const struct spool *spool, const char *name, struct text bytes)
{
	const struct iovec part = {(void *)(uintptr_t)bytes.data, bytes.length};
	int fd, error = spool_may(spool, "create", NULL);

	fd = error ? -1 : openat(spool->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error ? error : -errno;
	error = spool_write(spool, fd, &part, 1, 0);
	close(fd);
	if (error && spool_may(spool, "unlink", NULL) == 0)
		(void)unlinkat(spool->directory, name, 0);
	return error;
}

int spool_keep_refused(struct spool *spool, struct text up, char name[NUMBERED_NAME_SIZE])
{
	struct numbers numbers = {0};
	int error = spool->directory < 0 ? -ENOENT : spool_make_room(spool, up.length);

	if (error)
		return error;
	numbered_name(name, spool->next_number, SPOOL_REFUSED);
	error = write_file(spool, name, up);
	if (error)
		return error;
	spool->next_number++;
	spool->bytes += spool_blocks(up.length);
	if (numbered_list(spool->directory, SPOOL_REFUSED, &numbers) == 0)
		keep_last(spool, SPOOL_REFUSED, &numbers);
	numbers_free(&numbers);
	return 0;
}
