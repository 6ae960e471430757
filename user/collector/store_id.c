/* SPDX-License-Identifier: Apache-2.0 */
/* The store's name, DIR/id: 16 random bytes in hexadecimal digits and a newline. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/store_inside.h"

enum { ID_DIGITS = 2 * STORE_ID_SIZE };

static int digit(char letter)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = letter ? strchr(digits, letter) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* 0; -ENOENT: there is none; -EBADMSG: it is no name; -errno. */
static int read_id(uint8_t id[STORE_ID_SIZE], int root)
{
	char text[ID_DIGITS + 2] = "";
	int fd = openat(root, "id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : pread(fd, text, sizeof(text), 0);
	int error = got < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	if (!error && (got != ID_DIGITS + 1 || text[ID_DIGITS] != '\n'))
		error = -EBADMSG;
	for (int i = 0; i < STORE_ID_SIZE && !error; i++) {
		int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			error = -EBADMSG;
		else
			id[i] = (uint8_t)(high << 4 | low);
	}
	return error;
}

/* Whole or not at all. The caller syncs the directory. */
static int write_id(const uint8_t id[STORE_ID_SIZE], int root)
{
	char text[ID_DIGITS + 2];
	int fd = openat(root, "id.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640), error = 0;

	if (fd < 0)
		return -errno;
	for (int i = 0; i < STORE_ID_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	text[ID_DIGITS] = '\n';
	errno = EIO;
	if (write(fd, text, ID_DIGITS + 1) != ID_DIGITS + 1 || fsync(fd) < 0)
		error = -errno;
	close(fd);
	if (!error && renameat(root, "id.new", root, "id") < 0)
		error = -errno;
	if (error)
		unlinkat(root, "id.new", 0);
	return error;
}

void store_open_id(struct store *store, int root)
{
	int error = read_id(store->id, root);

	if (error == -EBADMSG)
		log_error("%s/id: it is no name of a store, and another is made: what this one had is taken for "
			  "another's",
			store->path);
	if (error == -ENOENT || error == -EBADMSG) {
		error = getrandom(store->id, sizeof(store->id), 0) == (ssize_t)sizeof(store->id) ? 0 : -EIO;
		error = error ? error : write_id(store->id, root);
	}
	if (error)
		log_warning("%s/id: %s: the store has no name, and a loss of what it has looks like another "
			    "collector's part",
			store->path, strerror(-error));
	store->has_id = error == 0;
}

const uint8_t *store_id(const struct store *store)
{
	return store->has_id ? store->id : NULL;
}
