/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/little.h"

enum {
	VERSION = 1,
	WRITTEN_AT = 16,
	LENGTH_AT = 24,
	CRC_AT = 32,
	BOOT_AT = 40,
	BOOT_SIZE = 48,
	HEAD_CRC_AT = HANDOVER_HEAD - 4,
};

static const char magic[8] = {'T', 'A', 'F', 'F', 'P', 'R', 'O', 'C'};

/* --- writing --------------------------------------------------------------------------------------------------------- */

bool handover_add(struct buffer *body, struct text batch)
{
	uint8_t length[4];

	if (batch.length > HANDOVER_MAX || body->length + batch.length + sizeof(length) > HANDOVER_MAX - HANDOVER_HEAD)
		return false;
	put32(length, (uint32_t)batch.length);
	buffer_append(body, length, sizeof(length));
	buffer_append(body, batch.data, batch.length);
	return !body->failed;
}

static int write_all(int fd, const void *bytes, size_t length)
{
	const char *from = bytes;

	while (length > 0) {
		ssize_t done = write(fd, from, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EIO;
		from += done;
		length -= (size_t)done;
	}
	return 0;
}

int handover_write(const char *path, const char *boot_id, uint64_t now_ns, const struct buffer *body)
{
	uint8_t head[HANDOVER_HEAD] = {0};
	char temporary[PATH_MAX];
	int fd, error;

	if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	memcpy(head, magic, sizeof(magic));
	put32(head + 8, VERSION);
	put64(head + WRITTEN_AT, now_ns);
	put64(head + LENGTH_AT, body->length);
	put32(head + CRC_AT, crc32c(0, body->data, body->length));
	memcpy(head + BOOT_AT, boot_id, strnlen(boot_id, BOOT_SIZE - 1));
	put32(head + HEAD_CRC_AT, crc32c(0, head, HEAD_CRC_AT));

	/* One that is there is of a life that was killed while it wrote, or somebody else's: it is never written through. */
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = write_all(fd, head, sizeof(head));
	error = error ? error : write_all(fd, body->data, body->length);
	if (close(fd) < 0 && !error)
		error = -errno;
	if (!error && rename(temporary, path) < 0)
		error = -errno;
	if (error)
		(void)unlink(temporary);
	return error;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static int refuse(char why[HANDOVER_WHY], int error, const char *what)
{
	snprintf(why, HANDOVER_WHY, "%s", what);
	return error;
}

int handover_parse(
	struct text bytes, const char *boot_id, uint64_t now_ns, struct text *batches, char why[HANDOVER_WHY])
{
	const uint8_t *head = (const void *)bytes.data;
	uint64_t written_ns;

	if (bytes.length < sizeof(magic) || memcmp(head, magic, sizeof(magic)) != 0)
		return refuse(why, -EBADMSG, "it is no process table");
	if (bytes.length < HANDOVER_HEAD)
		return refuse(why, -EBADMSG, "it is cut off");
	/* Before its check, which a later version may keep elsewhere. */
	if (get32(head + 8) != VERSION) {
		snprintf(why, HANDOVER_WHY, "it is of version %u, and this sensor reads version %d", get32(head + 8),
			VERSION);
		return -EBADMSG;
	}
	if (get32(head + HEAD_CRC_AT) != crc32c(0, head, HEAD_CRC_AT) || head[BOOT_AT + BOOT_SIZE - 1] != 0)
		return refuse(why, -EBADMSG, "its head is damaged");
	if (strncmp((const char *)head + BOOT_AT, boot_id, BOOT_SIZE - 1) != 0)
		return refuse(why, -ESTALE, "it is of another boot of this machine");
	written_ns = get64(head + WRITTEN_AT);
	if (written_ns > now_ns)
		return refuse(why, -EBADMSG, "it is from the future");
	if (now_ns - written_ns > HANDOVER_AGE_MAX_NS)
		return refuse(why, -ESTALE, "it is older than an hour");
	if (get64(head + LENGTH_AT) != bytes.length - HANDOVER_HEAD)
		return refuse(why, -EBADMSG, "it is cut off, or has more than it says");
	if (get32(head + CRC_AT) != crc32c(0, head + HANDOVER_HEAD, bytes.length - HANDOVER_HEAD))
		return refuse(why, -EBADMSG, "it is damaged");
	*batches = (struct text){bytes.data + HANDOVER_HEAD, bytes.length - HANDOVER_HEAD};
	return 0;
}

/* Is it a file that nobody else can have made or changed? */
static int check_file(int fd, size_t *length, char why[HANDOVER_WHY])
{
	struct stat file;

	if (fstat(fd, &file) < 0)
		return refuse(why, -errno, "it cannot be looked at");
	if (!S_ISREG(file.st_mode))
		return refuse(why, -EBADMSG, "it is no regular file");
	if (file.st_uid != geteuid())
		return refuse(why, -EPERM, "it is another user's");
	if (file.st_mode & 077)
		return refuse(why, -EPERM, "others may read or write it (it must have mode 0600)");
	if (file.st_nlink != 1)
		return refuse(why, -EPERM, "it has more than one name");
	if (file.st_size > HANDOVER_MAX)
		return refuse(why, -EFBIG, "it is larger than 32 MiB");
	*length = (size_t)file.st_size;
	return 0;
}

static int read_all(int fd, char *bytes, size_t length)
{
	size_t at = 0;

	while (at < length) {
		ssize_t done = read(fd, bytes + at, length - at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done < 0 ? -errno : -EBADMSG;
		at += (size_t)done;
	}
	return 0;
}

int handover_read(const char *path, const char *boot_id, uint64_t now_ns, char **bytes, struct text *batches,
	char why[HANDOVER_WHY])
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	size_t length = 0;
	int error;

	*bytes = NULL;
	if (fd < 0) {
		error = -errno;
		return refuse(why, error, error == -ELOOP ? "it is a symbolic link" : strerror(-error));
	}
	error = check_file(fd, &length, why);
	*bytes = error ? NULL : malloc(length + 1);
	if (!error && !*bytes)
		error = refuse(why, -ENOMEM, "out of memory");
	if (!error) {
		error = read_all(fd, *bytes, length);
		if (error)
			refuse(why, error, "it cannot be read to its end");
	}
	close(fd);
	error = error ? error : handover_parse((struct text){*bytes, length}, boot_id, now_ns, batches, why);
	if (error) {
		free(*bytes);
		*bytes = NULL;
	}
	return error;
}

int handover_next(struct text *batches, struct text *batch)
{
	uint32_t length;

	if (batches->length == 0)
		return 0;
	if (batches->length < sizeof(length))
		return -EBADMSG;
	length = get32((const uint8_t *)batches->data);
	if (length > batches->length - sizeof(length))
		return -EBADMSG;
	*batch = (struct text){batches->data + sizeof(length), length};
	*batches = text_tail(*batches, sizeof(length) + length);
	return 1;
}
