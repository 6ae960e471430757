/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/owners.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/table.h"
#include "collector/host_text.h"
#include "grpc/tls.h"

enum {
	LINE_BYTES = GRPC_IDENTITY_NAME_MAX + 1 + HOST_TEXT_MAX + 1,
	FILE_BYTES = OWNERS_MAX * LINE_BYTES,
};

struct owner_name {
	struct table_node node;
	size_t hosts;
	bool warned;
	size_t length;
	char text[]; /* and a NUL */
};

struct owner {
	struct table_node node;
	struct owner_name *name;
	size_t host_length;
	char host[];
};

struct owners {
	int fd;
	off_t end;
	bool dirty, failed;
	char path[4200];
	struct table hosts, names;
	size_t max_per_name;
	bool warned;
	struct owners_counters counters;
};

/* --- the table ------------------------------------------------------------------------------------------------------ */

static bool matches(const struct table_node *node, const void *wanted)
{
	const struct owner *owner = table_entry(node, struct owner, node);
	const struct text *host = wanted;

	return text_equal((struct text){owner->host, owner->host_length}, *host);
}

static struct owner *find(const struct owners *owners, struct text host)
{
	struct table_node *node = table_find(&owners->hosts, hash_bytes(host.data, host.length), matches, &host);

	return node ? table_entry(node, struct owner, node) : NULL;
}

const char *owners_of(const struct owners *owners, struct text host)
{
	const struct owner *owner = find(owners, host);

	return owner ? owner->name->text : NULL;
}

static bool name_matches(const struct table_node *node, const void *wanted)
{
	const struct owner_name *name = table_entry(node, struct owner_name, node);
	const struct text *text = wanted;

	return text_equal((struct text){name->text, name->length}, *text);
}

static struct owner_name *find_name(const struct owners *owners, struct text text)
{
	struct table_node *node = table_find(&owners->names, hash_bytes(text.data, text.length), name_matches, &text);

	return node ? table_entry(node, struct owner_name, node) : NULL;
}

static struct owner_name *find_or_add_name(struct owners *owners, struct text text)
{
	struct owner_name *name = find_name(owners, text);

	if (name)
		return name;
	name = calloc(1, sizeof(*name) + text.length + 1);
	if (!name)
		return NULL;
	if (text.length)
		memcpy(name->text, text.data, text.length);
	name->length = text.length;
	if (table_insert(&owners->names, &name->node, hash_bytes(text.data, text.length)) < 0) {
		free(name);
		return NULL;
	}
	return name;
}

/* Where a fifth is left there is time to do something. */
static bool is_near(size_t count, size_t limit)
{
	return count >= limit - limit / 5;
}

static void warn_near(struct owners *owners, struct owner_name *name)
{
	size_t all = table_count(&owners->hosts);

	if (!name->warned && is_near(name->hosts, owners->max_per_name)) {
		name->warned = true;
		log_warning("%s: %zu hosts belong to %s; at %zu it gets no more (hosts.max_per_name)", owners->path,
			name->hosts, name->text, owners->max_per_name);
	}
	if (!owners->warned && is_near(all, OWNERS_MAX)) {
		owners->warned = true;
		log_warning("%s: it has %zu hosts; at %d there is no room for more", owners->path, all, OWNERS_MAX);
	}
}

static struct owner *add(struct owners *owners, struct text host, struct text text)
{
	struct owner_name *name = find_or_add_name(owners, text);
	struct owner *owner = name ? malloc(sizeof(*owner) + host.length) : NULL;

	if (!owner)
		return NULL;
	memcpy(owner->host, host.data, host.length);
	owner->host_length = host.length;
	owner->name = name;
	if (table_insert(&owners->hosts, &owner->node, hash_bytes(host.data, host.length)) < 0) {
		free(owner);
		return NULL;
	}
	name->hosts++;
	return owner;
}

static void take_out(struct owners *owners, struct owner *owner)
{
	table_remove(&owners->hosts, &owner->node);
	owner->name->hosts--;
	free(owner);
}

/* --- lines ---------------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with a line. */
static const char *take_line(struct owners *owners, struct text line)
{
	char host[SEGMENT_HOST_MAX];
	struct text name = text_next(&line, ' ');
	struct text id = {host, host_text_take(host, line)};
	struct owner *owner;

	if (name.length == 0 || name.length > GRPC_IDENTITY_NAME_MAX || id.length == 0 ||
		memchr(line.data, ' ', line.length))
		return "it is no NAME and HOST";
	if (find(owners, id))
		return "the host stands in an earlier line too";
	if (table_count(&owners->hosts) == OWNERS_MAX)
		return "these are more than 65536 hosts";
	owner = add(owners, id, name);
	if (owner)
		warn_near(owners, owner->name);
	return owner ? NULL : "out of memory";
}

static int take_lines(struct owners *owners, struct text all, char *why, size_t size)
{
	size_t whole = all.length;

	while (whole > 0 && all.data[whole - 1] != '\n')
		whole--;
	if (whole < all.length) {
		log_warning("%s: its last line was cut short while it was written: it is cut off", owners->path);
		if (ftruncate(owners->fd, (off_t)whole) < 0) {
			snprintf(why, size, "%s: %s", owners->path, strerror(errno));
			return -errno;
		}
	}
	owners->end = (off_t)whole;
	all = text_head(all, whole);
	for (unsigned int number = 1; all.length > 0; number++) {
		const char *wrong = take_line(owners, text_next(&all, '\n'));

		if (wrong) {
			snprintf(why, size, "%s:%u: %s", owners->path, number, wrong);
			return -EINVAL;
		}
	}
	return 0;
}

static int read_all(struct owners *owners, char *why, size_t size)
{
	struct stat file;
	char *bytes = NULL;
	ssize_t length = -1;
	int error = 0;

	if (fstat(owners->fd, &file) < 0)
		error = -errno;
	else if (file.st_size > FILE_BYTES)
		error = -EFBIG;
	else
		bytes = malloc((size_t)file.st_size + 1);
	if (bytes)
		length = pread(owners->fd, bytes, (size_t)file.st_size, 0);
	if (bytes && length >= 0) {
		error = take_lines(owners, (struct text){bytes, (size_t)length}, why, size);
	} else {
		error = error ? error : bytes ? -errno : -ENOMEM;
		snprintf(why, size, "%s: %s", owners->path, strerror(-error));
	}
	free(bytes);
	return error;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

/* The file's name is on the disk: it may be new. */
static int sync_name(const char *data)
{
	int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

int owners_open(struct owners **out, const char *data, size_t max_per_name, char *why, size_t size)
{
	struct owners *owners = calloc(1, sizeof(*owners));
	int error = 0;

	snprintf(why, size, "out of memory");
	if (!owners)
		return -ENOMEM;
	table_init(&owners->hosts);
	table_init(&owners->names);
	owners->max_per_name = max_per_name;
	owners->fd = -1;
	if ((size_t)snprintf(owners->path, sizeof(owners->path), "%s/owners", data) >= sizeof(owners->path))
		error = -ENAMETOOLONG;
	if (!error) {
		owners->fd = open(owners->path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
		error = owners->fd < 0 ? -errno : 0;
	}
	error = error ? error : sync_name(data);
	if (error)
		snprintf(why, size, "%s: %s", owners->path, strerror(-error));
	error = error ? error : read_all(owners, why, size);
	if (error) {
		owners_close(owners);
		return error;
	}
	/* What was claimed before a power cut may stand in the cache alone, and the file's name too. */
	owners->dirty = true;
	*out = owners;
	return 0;
}

/* 0, or why there is none for one more of this name's. */
static int find_room(struct owners *owners, struct text text)
{
	const struct owner_name *name = find_name(owners, text);

	if (table_count(&owners->hosts) >= OWNERS_MAX) {
		owners->counters.over_all++;
		return -ENOSPC;
	}
	if ((name ? name->hosts : 0) < owners->max_per_name)
		return 0;
	owners->counters.over_share++;
	return -EUSERS;
}

static size_t put_line(char line[LINE_BYTES], const struct owner *owner)
{
	size_t length = (size_t)snprintf(line, LINE_BYTES, "%s ", owner->name->text);

	length += host_text_put(line + length, (struct text){owner->host, owner->host_length});
	line[length++] = '\n';
	return length;
}

int owners_claim(struct owners *owners, struct text host, const char *name)
{
	char line[LINE_BYTES];
	struct owner *owner;
	size_t length;
	ssize_t written;
	int error;

	error = find_room(owners, text_of(name));
	if (error)
		return error;
	owner = add(owners, host, text_of(name));
	if (!owner)
		return -ENOMEM;
	length = put_line(line, owner);
	errno = EIO;
	written = pwrite(owners->fd, line, length, owners->end);
	if (written != (ssize_t)length) {
		error = -errno;
		if (written > 0)
			(void)!ftruncate(owners->fd, owners->end);
		take_out(owners, owner);
		return error;
	}
	owners->end += (off_t)length;
	owners->dirty = true;
	warn_near(owners, owner->name);
	return 0;
}

void owners_counters(const struct owners *owners, struct owners_counters *counters)
{
	struct table_node *node;

	*counters = owners->counters;
	counters->hosts = table_count(&owners->hosts);
	counters->names = table_count(&owners->names);
	table_for_each(&owners->names, node) {
		const struct owner_name *name = table_entry(node, struct owner_name, node);

		if (name->hosts > counters->most_of_name)
			counters->most_of_name = name->hosts;
	}
}

static int write_lines(const struct owners *owners, int fd, off_t *end)
{
	struct table_node *node;
	char line[LINE_BYTES];
	struct buffer all = {0};
	size_t at = 0;
	int error;

	table_for_each(&owners->hosts, node)
		buffer_append(&all, line, put_line(line, table_entry(node, struct owner, node)));
	error = all.failed ? -ENOMEM : 0;
	while (!error && at < all.length) {
		ssize_t written = write(fd, (const char *)all.data + at, all.length - at);

		if (written <= 0 && errno != EINTR)
			error = written < 0 ? -errno : -EIO;
		at += written > 0 ? (size_t)written : 0;
	}
	*end = (off_t)all.length;
	buffer_free(&all);
	return error;
}

/* The table as a new file, which takes the old one's name once it is on the disk. */
static int write_anew(struct owners *owners)
{
	char path[sizeof(owners->path) + 4], data[sizeof(owners->path)];
	off_t end;
	int fd, error;

	snprintf(path, sizeof(path), "%s.new", owners->path);
	snprintf(data, sizeof(data), "%.*s", (int)(strlen(owners->path) - strlen("/owners")), owners->path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	error = write_lines(owners, fd, &end);
	if (!error && (fsync(fd) < 0 || rename(path, owners->path) < 0))
		error = -errno;
	if (error) {
		close(fd);
		(void)unlink(path);
		return error;
	}
	close(owners->fd);
	owners->fd = fd;
	owners->end = end;
	return sync_name(data);
}

int owners_sync(struct owners *owners)
{
	int error;

	if (!owners->dirty)
		return 0;
	if (!owners->failed && fsync(owners->fd) == 0) {
		owners->dirty = false;
		return 0;
	}
	/* A second fsync would call clean what never reached the disk (store.c). */
	owners->failed = true;
	error = write_anew(owners);
	owners->failed = owners->dirty = error != 0;
	return error;
}

bool owners_failed(const struct owners *owners)
{
	return owners->failed;
}

void owners_close(struct owners *owners)
{
	struct table_node *node;

	if (!owners)
		return;
	table_for_each(&owners->hosts, node)
		free(table_entry(node, struct owner, node));
	table_for_each(&owners->names, node)
		free(table_entry(node, struct owner_name, node));
	table_free(&owners->hosts);
	table_free(&owners->names);
	if (owners->fd >= 0)
		close(owners->fd);
	free(owners);
}
