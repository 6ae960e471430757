/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIR/forgotten: hosts of which nothing is known any more, a text of lines HOST SEGMENT OFFSET (HOST as in host_text.h): what is
 * stored of HOST up to there is in no account. An operator writes the HOST alone while no collector runs; the next one writes
 * behind it where the store ends then. What is in the segments stays, and what a host sends later counts as ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "collector/host_text.h"
#include "collector/store_inside.h"

enum {
	LINES_MAX = 65536,
	LINE_BYTES = HOST_TEXT_MAX + 2 * 21 + 2,
	FILE_BYTES = LINES_MAX * LINE_BYTES,
};

struct store_forgotten {
	struct table_node node;
	bool is_new; /* it has no place yet: all that is there */
	struct store_position until;
	size_t id_length;
	char id[];
};

static bool forgotten_matches(const struct table_node *node, const void *wanted)
{
	const struct store_forgotten *forgotten = table_entry(node, struct store_forgotten, node);
	const struct text *id = wanted;

	return text_equal((struct text){forgotten->id, forgotten->id_length}, *id);
}

static struct store_forgotten *find(const struct store *store, struct text id)
{
	struct table_node *node = table_find(&store->forgotten, hash_bytes(id.data, id.length), forgotten_matches, &id);

	return node ? table_entry(node, struct store_forgotten, node) : NULL;
}

bool store_is_forgotten(const struct store *store, struct text host, struct store_position end)
{
	const struct store_forgotten *forgotten = table_count(&store->forgotten) > 0 ? find(store, host) : NULL;

	if (!forgotten || forgotten->is_new)
		return forgotten != NULL;
	return end.segment < forgotten->until.segment ||
	       (end.segment == forgotten->until.segment && end.offset <= forgotten->until.offset);
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */

static bool take_number(struct text word, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < word.length; i++) {
		if (word.data[i] < '0' || word.data[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(word.data[i] - '0');
	}
	return word.length > 0 && word.length < 20;
}

/* NULL, or what is wrong with a line. Of two lines about one host the later one counts. */
static const char *take_line(struct store *store, struct text line)
{
	struct text word = text_next(&line, ' '), segment = text_next(&line, ' ');
	struct store_position until = {0};
	char host[SEGMENT_HOST_MAX];
	struct text id = {host, host_text_take(host, word)};
	struct store_forgotten *forgotten;

	if (id.length == 0 ||
		(segment.length > 0 && (!take_number(segment, &until.segment) || !take_number(line, &until.offset))))
		return "it is no HOST, and no HOST SEGMENT OFFSET";
	forgotten = find(store, id);
	if (!forgotten) {
		if (table_count(&store->forgotten) == LINES_MAX)
			return "these are more than 65536 hosts";
		forgotten = calloc(1, sizeof(*forgotten) + id.length);
		if (!forgotten)
			return "out of memory";
		memcpy(forgotten->id, id.data, id.length);
		forgotten->id_length = id.length;
		if (table_insert(&store->forgotten, &forgotten->node, hash_bytes(id.data, id.length)) < 0) {
			free(forgotten);
			return "out of memory";
		}
	}
	forgotten->until = until;
	forgotten->is_new = segment.length == 0;
	return NULL;
}

static int take_lines(struct store *store, struct text all, char *why, size_t why_size)
{
	for (unsigned int number = 1; all.length > 0; number++) {
		struct text line = text_next(&all, '\n');
		const char *wrong = line.length > 0 ? take_line(store, line) : NULL;

		if (wrong) {
			snprintf(why, why_size, "%s/forgotten:%u: %s", store->path, number, wrong);
			return -EINVAL;
		}
	}
	return 0;
}

static int open_file(const struct store *store, const char *name, int flags)
{
	char path[4200];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", store->path, name) >= sizeof(path))
		return -ENAMETOOLONG;
	flags = open(path, flags | O_CLOEXEC, 0640);
	return flags < 0 ? -errno : flags;
}

int store_read_forgotten(struct store *store, char *why, size_t why_size)
{
	int fd = open_file(store, "forgotten", O_RDONLY), error = fd < 0 ? fd : 0;
	char *bytes = NULL;
	struct stat file;
	ssize_t length;

	if (error == -ENOENT)
		return 0;
	if (!error && fstat(fd, &file) < 0)
		error = -errno;
	if (!error && file.st_size > FILE_BYTES)
		error = -EFBIG;
	if (!error) {
		bytes = malloc((size_t)file.st_size + 1);
		length = bytes ? pread(fd, bytes, (size_t)file.st_size, 0) : -1;
		error = !bytes ? -ENOMEM : length < 0 ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	if (error)
		snprintf(why, why_size, "%s/forgotten: %s", store->path, strerror(-error));
	else
		error = take_lines(store, (struct text){bytes, (size_t)length}, why, why_size);
	free(bytes);
	return error;
}

/* --- noting where the store ends ------------------------------------------------------------------------------------------ */

static int write_lines(const struct store *store, int fd)
{
	struct table_node *node;

	table_for_each(&store->forgotten, node) {
		const struct store_forgotten *forgotten = table_entry(node, struct store_forgotten, node);
		char line[LINE_BYTES];
		size_t length = host_text_put(line, (struct text){forgotten->id, forgotten->id_length});

		length += (size_t)snprintf(line + length, sizeof(line) - length, " %" PRIu64 " %" PRIu64 "\n",
			forgotten->until.segment, forgotten->until.offset);
		errno = EIO;
		if (write(fd, line, length) != (ssize_t)length)
			return -errno;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Whole or not at all: a place that was lost would forget what came later. */
static int rewrite(const struct store *store)
{
	int root = open_file(store, ".", O_RDONLY | O_DIRECTORY);
	int fd = open_file(store, "forgotten.new", O_WRONLY | O_CREAT | O_TRUNC);
	int error = root < 0 ? root : fd < 0 ? fd : write_lines(store, fd);

	if (!error && (renameat(root, "forgotten.new", root, "forgotten") < 0 || fsync(root) < 0))
		error = -errno;
	if (fd >= 0)
		close(fd);
	if (root >= 0)
		close(root);
	return error;
}

int store_note_forgotten(struct store *store, char *why, size_t why_size)
{
	struct table_node *node;
	size_t count = 0;
	int error;

	table_for_each(&store->forgotten, node) {
		struct store_forgotten *forgotten = table_entry(node, struct store_forgotten, node);

		if (forgotten->is_new)
			forgotten->until = store->synced_end;
		else /* a file that is numbered anew would be forgotten, too */
			store_begin_behind(store, forgotten->until);
		count += forgotten->is_new;
		forgotten->is_new = false;
	}
	error = count > 0 ? rewrite(store) : 0;
	if (error)
		snprintf(why, why_size, "%s/forgotten: %s", store->path, strerror(-error));
	else if (count > 0)
		log_info("%s/forgotten: %zu hosts are forgotten from here on", store->path, count);
	return error;
}

void store_free_forgotten(struct store *store)
{
	struct table_node *node;

	table_for_each(&store->forgotten, node)
		free(table_entry(node, struct store_forgotten, node));
	table_free(&store->forgotten);
}
