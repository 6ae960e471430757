/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/store_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"

static const uint64_t segment_bytes_default = 64ull << 20;
static const uint64_t behind_max = 1000ull * 1000 * 1000 * 1000 * 1000; /* a file's name has a digit more */

/* --- files ----------------------------------------------------------------------------------------------------------- */

/* Makes the next file, with its header. 0 or -errno, and nothing has changed. */
static int new_segment(struct store *store)
{
	uint64_t last = store->segments.count ? store->segments.items[store->segments.count - 1] : 0;
	uint64_t number = (last > store->behind ? last : store->behind) + 1;
	uint8_t header[SEGMENT_HEADER_SIZE];
	char name[NUMBERED_NAME_SIZE];
	int fd, error = 0;

	store_name(name, number);
	segment_header(header);
	fd = openat(store->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (pwrite(fd, header, sizeof(header), 0) != (ssize_t)sizeof(header))
		error = errno ? -errno : -EIO;
	error = error ? error : numbers_add(&store->segments, number);
	if (error) {
		close(fd);
		unlinkat(store->directory, name, 0);
		return error;
	}
	store->fd = fd;
	store->segment = number;
	store->offset = sizeof(header);
	store->torn = false;
	store->new_names = true;
	return 0;
}

void store_begin_behind(struct store *store, struct store_position place)
{
	const struct store_position *end = &store->synced_end;

	if (place.segment < end->segment || (place.segment == end->segment && place.offset <= end->offset) ||
		place.segment <= store->behind)
		return;
	if (place.segment >= behind_max) {
		log_warning("%s: segment %" PRIu64 " is noted as done with: that is no place in it", store->path,
			place.segment);
		return;
	}
	log_info("%s: it goes on behind segment %" PRIu64 ", up to which others have noted that they are done with it",
		store->path, place.segment);
	if (store->fd >= 0)
		close(store->fd);
	store->fd = -1;
	store->behind = place.segment;
}

/* Cuts what an append left behind that failed half way. */
static int cut_torn(struct store *store)
{
	if (store->torn && ftruncate(store->fd, (off_t)store->offset) < 0)
		return -errno;
	store->torn = false;
	return 0;
}

/* Room for `bytes` in a file that is not too large. */
static int make_room(struct store *store, uint64_t bytes)
{
	int error, full = store->fd;

	if (store->fd >= 0 && (store->offset == SEGMENT_HEADER_SIZE || store->offset + bytes <= store->segment_bytes ||
				      store->full_count + 1 == SYNC_JOB_FILES))
		return cut_torn(store);
	error = store->fd < 0 ? 0 : cut_torn(store);
	error = error ? error : new_segment(store);
	if (!error && full >= 0)
		store->full[store->full_count++] = full;
	return error;
}

static int write_at(int fd, struct iovec *parts, int count, uint64_t offset)
{
	while (count > 0) {
		ssize_t written = pwritev(fd, parts, count, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? -errno : -EIO;
		offset += (uint64_t)written;
		for (; count > 0 && (size_t)written >= parts->iov_len; parts++, count--)
			written -= (ssize_t)parts->iov_len;
		if (count > 0) {
			parts->iov_base = (char *)parts->iov_base + written;
			parts->iov_len -= (size_t)written;
		}
	}
	return 0;
}

static bool make_pending(struct store_source *source)
{
	if (source->pending)
		return true;
	source->pending = malloc(sizeof(*source->pending));
	if (source->pending)
		*source->pending = (struct store_pending){source->synced, source->synced};
	return source->pending != NULL;
}

static void drop_pending(struct store_source *source)
{
	free(source->pending);
	source->pending = NULL;
}

/* Writes a frame behind the last one. 0 or -errno, and nothing has changed. */
static int write_frame(struct store *store, const uint8_t *head, size_t head_length, const struct segment_frame *frame)
{
	struct iovec parts[] = {
		{(void *)(uintptr_t)head, head_length}, {(void *)(uintptr_t)frame->batch.data, frame->batch.length}};
	uint64_t size = head_length + frame->batch.length;
	int error = make_room(store, size);

	if (error)
		return error;
	error = write_at(store->fd, parts, 2, store->offset);
	if (error) {
		store->torn = true;
		(void)cut_torn(store); /* else before the next append */
		return error;
	}
	store->offset += size;
	store->appended_count++;
	return 0;
}

/* An epoch of which nothing came into the store would hold the place of another one. */
static void undo_append(struct store *store, struct store_source *source, bool was_there, bool was_pending)
{
	if (!was_there)
		store_drop_source(store, source);
	else if (!was_pending)
		drop_pending(source);
}

int store_append(struct store *store, const struct segment_frame *frame, struct store_position *end)
{
	bool was_there = store_find(store, frame->host, frame->epoch) != NULL, was_pending;
	uint8_t head[SEGMENT_FRAME_HEAD_MAX];
	int head_length = segment_frame_head(head, frame), error;
	struct store_source *source;
	struct account account;

	if (head_length < 0)
		return head_length;
	error = store_find_or_add(store, frame->host, frame->epoch, true, &source);
	if (error)
		return error;
	was_pending = source->pending != NULL;
	if (!make_pending(source))
		error = -ENOMEM;
	else if (frame->first <= source->pending->appended.made)
		error = -EINVAL;
	else
		error = write_frame(store, head, (size_t)head_length, frame);
	if (error) {
		undo_append(store, source, was_there, was_pending);
		return error;
	}
	account = source->pending->appended;
	store_account_frame(source, &account, frame);
	source->pending->appended = account;
	if (!source->dirty)
		LIST_INSERT_HEAD(&store->dirty, source, dirty_entry);
	source->dirty = true;
	*end = (struct store_position){store->segment, store->offset};
	return 0;
}

/* --- syncing --------------------------------------------------------------------------------------------------------- */

void store_sync_begin(struct store *store)
{
	struct store_source *source;

	if (store->syncing || store->appended_count == store->synced_count)
		return;
	store->job = (struct sync_job){.directory = store->new_names ? store->directory : -1};
	for (size_t i = 0; i < store->full_count; i++)
		store->job.files[store->job.count++] = store->full[i];
	store->job.files[store->job.count++] = store->fd;
	store->full_count = 0;
	store->new_names = false;
	store->syncing_count = store->appended_count;
	store->syncing_end = (struct store_position){store->segment, store->offset};
	while ((source = LIST_FIRST(&store->dirty))) {
		LIST_REMOVE(source, dirty_entry);
		LIST_INSERT_HEAD(&store->in_sync, source, syncing_entry);
		source->dirty = false;
		source->pending->syncing = source->pending->appended;
	}
	store->syncing = true;
	syncer_start(store->syncer, &store->job);
}

bool store_is_syncing(const struct store *store)
{
	return store->syncing;
}

int store_sync_fd(const struct store *store)
{
	return syncer_fd(store->syncer);
}

static void take_back_sources(struct store *store)
{
	struct store_source *source;

	while ((source = LIST_FIRST(&store->dirty))) {
		LIST_REMOVE(source, dirty_entry);
		source->dirty = false;
		drop_pending(source);
		if (account_is_empty(&source->synced))
			store_drop_source(store, source);
	}
}

/*
 * After a failed fdatasync nobody knows which pages reached the disk, and a second one would call them clean
 * (https://lwn.net/Articles/752063/): back to where the last good one ended, and on in a new file.
 */
static void take_back(struct store *store)
{
	const struct store_position *good = &store->synced_end;
	char name[NUMBERED_NAME_SIZE];

	for (size_t i = 0; i < store->full_count; i++)
		close(store->full[i]);
	store->full_count = 0;
	if (store->fd >= 0)
		close(store->fd);
	store->fd = -1;
	store->torn = false;
	for (size_t i = store->segments.count; i-- > 0 && store->segments.items[i] >= good->segment;) {
		uint64_t keep = store->segments.items[i] == good->segment ? good->offset : SEGMENT_HEADER_SIZE;
		int fd;

		store_name(name, store->segments.items[i]);
		fd = openat(store->directory, name, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || ftruncate(fd, (off_t)keep) < 0)
			log_error("%s/segments/%s: cannot be cut to what is surely on the disk: %s", store->path, name,
				strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	store->appended_count = store->synced_count;
	take_back_sources(store);
}

int store_sync_end(struct store *store)
{
	struct store_source *source;
	int error;

	if (!store->syncing)
		return 0;
	error = syncer_finish(store->syncer);
	store->syncing = false;
	/* All but the last are full for good; that one is the current file, or has become a full one since. */
	for (size_t i = 0; i + 1 < store->job.count; i++)
		close(store->job.files[i]);
	while ((source = LIST_FIRST(&store->in_sync))) {
		LIST_REMOVE(source, syncing_entry);
		if (!error && source->pending) /* as each in this list has */
			source->synced = source->pending->syncing;
		if (!error && !source->dirty)
			drop_pending(source);
		if (error && !source->dirty)
			LIST_INSERT_HEAD(&store->dirty, source, dirty_entry);
		source->dirty |= error != 0;
	}
	if (error) {
		take_back(store);
		return error;
	}
	store->synced_count = store->syncing_count;
	store->synced_end = store->syncing_end;
	return 0;
}

size_t store_damages(const struct store *store)
{
	return store->damages;
}

uint64_t store_appended_count(const struct store *store)
{
	return store->appended_count;
}

uint64_t store_synced_count(const struct store *store)
{
	return store->synced_count;
}

uint64_t store_distance(const struct store *store, struct store_position from)
{
	struct store_position end = store->synced_end;
	uint64_t files = end.segment > from.segment ? end.segment - from.segment : 0;

	if (files == 0)
		return end.segment == from.segment && end.offset > from.offset ? end.offset - from.offset : 0;
	return (files - 1) * store->segment_bytes + end.offset +
	       (store->segment_bytes > from.offset ? store->segment_bytes - from.offset : 0);
}

size_t store_segments(const struct store *store)
{
	return store->segments.count;
}

struct store_position store_end(const struct store *store)
{
	return store->synced_end;
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static int refuse(char *why, size_t why_size, int error, const char *path, const char *what)
{
	snprintf(why, why_size, "%s: %s%s", path, what, error ? strerror(-error) : "");
	return error;
}

/* One collector at a time; its pid stands in the file for whoever comes second. */
static int take_lock(struct store *store, int root, char *why, size_t why_size)
{
	char text[32] = "";
	ssize_t length;

	store->lock = openat(root, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (store->lock < 0)
		return refuse(why, why_size, -errno, store->path, "cannot make the file lock: ");
	if (flock(store->lock, LOCK_EX | LOCK_NB) < 0) {
		int error = errno == EWOULDBLOCK ? -EBUSY : -errno;

		if (error != -EBUSY)
			return refuse(why, why_size, error, store->path, "cannot be locked: ");
		length = pread(store->lock, text, sizeof(text) - 1, 0);
		text[length > 0 ? length : 0] = '\0';
		text[strspn(text, "0123456789")] = '\0';
		snprintf(why, why_size, "%s is in use by pid %s", store->path, text[0] ? text : "?");
		return error;
	}
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(store->lock, 0) < 0 || pwrite(store->lock, text, strlen(text), 0) < 0)
		log_warning("%s/lock: %s", store->path, strerror(errno)); /* held all the same */
	return 0;
}

static int open_directories(struct store *store, char *why, size_t why_size)
{
	int root, error;

	if (mkdir(store->path, 0750) < 0 && errno != EEXIST)
		return refuse(why, why_size, -errno, store->path, "cannot be made: ");
	root = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return refuse(why, why_size, -errno, store->path, "");
	error = take_lock(store, root, why, why_size);
	if (!error && mkdirat(root, "segments", 0750) < 0 && errno != EEXIST)
		error = refuse(why, why_size, -errno, store->path, "the directory segments cannot be made: ");
	if (!error) {
		store->directory = openat(root, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (store->directory < 0 || faccessat(root, "segments", W_OK | X_OK, AT_EACCESS) < 0)
			error = refuse(why, why_size, -errno, store->path, "the directory segments: ");
		else
			store_open_id(store, root);
		if (!error && fsync(root) < 0)
			error = refuse(why, why_size, -errno, store->path, "");
	}
	close(root);
	return error;
}

/* NULL without memory. */
static struct store *new_store(const char *path)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->lock = store->directory = store->fd = -1;
	table_init(&store->sources);
	table_init(&store->hosts);
	table_init(&store->forgotten);
	store->limits = store_limits_default;
	store->seen_folded = calloc(1, sizeof(*store->seen_folded));
	LIST_INIT(&store->dirty);
	LIST_INIT(&store->in_sync);
	store->path = strdup(path);
	if (!store->path || !store->seen_folded) {
		store_close(store);
		return NULL;
	}
	return store;
}

int store_look(struct store **out, const char *path, char *why, size_t why_size)
{
	struct store *store = new_store(path);
	int root, error = 0;

	if (!store)
		return refuse(why, why_size, -ENOMEM, path, "");
	store->looking = true;
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0)
		store->directory = openat(root, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (store->directory < 0)
		error = refuse(why, why_size, -errno, path, root < 0 ? "" : "no directory of a collector: segments: ");
	if (root >= 0)
		close(root);
	error = error ? error : store_load(store, why, why_size);
	if (error) {
		store_close(store);
		return error;
	}
	*out = store;
	return 0;
}

int store_open(struct store **out, const char *path, uint64_t segment_bytes, char *why, size_t why_size)
{
	struct store *store = new_store(path);
	int error;

	if (!store)
		return refuse(why, why_size, -ENOMEM, path, "");
	store->segment_bytes = segment_bytes ? segment_bytes : segment_bytes_default;
	error = open_directories(store, why, why_size);
	error = error ? error : store_load(store, why, why_size);
	if (!error) {
		error = syncer_open(&store->syncer);
		if (error)
			refuse(why, why_size, error, path, "a thread cannot be started: ");
	}
	if (error) {
		store_close(store);
		return error;
	}
	*out = store;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	if (store->syncer) {
		(void)store_sync_end(store);
		store_sync_begin(store);
		if (store_sync_end(store) < 0)
			log_error("%s: what came last is not on the disk", store->path);
	}
	syncer_close(store->syncer);
	for (size_t i = 0; i < store->full_count; i++)
		close(store->full[i]);
	if (store->fd >= 0)
		close(store->fd);
	if (store->directory >= 0)
		close(store->directory);
	if (store->lock >= 0)
		close(store->lock);
	store_free_sources(store);
	store_free_hosts(store);
	store_free_forgotten(store);
	free(store->seen_folded);
	numbers_free(&store->segments);
	free(store->path);
	free(store);
}
