/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store whose power fails at any moment: of what was not synced any part may be on the disk, cut, zeroed or not what was
 * written. Opened again it has all that was synced, of the rest a beginning, each frame as it was, and it can be appended to.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "collector/store.h"

enum { FRAMES = 200, SEGMENT_BYTES = 3000, WORLDS = 60 };

static const struct text host = TEXT_STATIC("node-1");

/* What was appended, in its order. */
struct written {
	uint8_t epoch;
	uint64_t first, last;
	size_t length;
	char fill;
};

struct world {
	char path[64], image[80];
	struct store *store;
	struct written frames[FRAMES];
	size_t appended, synced;
	struct store_position synced_end;
	uint64_t last[4]; /* of each epoch */
	uint64_t random;
};

static uint64_t draw(struct world *world, uint64_t below)
{
	world->random ^= world->random << 13;
	world->random ^= world->random >> 7;
	world->random ^= world->random << 17;
	return world->random % below;
}

static struct store *opened(const char *path)
{
	struct store *store;
	char why[256] = "";

	cr_assert_eq(store_open(&store, path, SEGMENT_BYTES, why, sizeof(why)), 0, "%s", why);
	return store;
}

static int append(struct store *store, const struct written *written)
{
	static char batch[2000];
	struct segment_frame frame = {
		.first = written->first, .last = written->last, .host = host, .batch = {batch, written->length}};
	struct store_position end;

	memset(batch, written->fill, written->length);
	frame.epoch[0] = written->epoch;
	return store_append(store, &frame, &end);
}

static void do_something(struct world *world)
{
	struct written *written = &world->frames[world->appended];

	if (draw(world, 4) == 0) {
		store_sync_begin(world->store);
		cr_assert_eq(store_sync_end(world->store), 0);
		world->synced = world->appended;
		world->synced_end = store_end(world->store);
		return;
	}
	written->epoch = (uint8_t)draw(world, 4);
	written->first = world->last[written->epoch] + 1 + draw(world, 3);
	written->last = written->first + draw(world, 50);
	written->length = draw(world, draw(world, 5) ? 60 : 1500);
	written->fill = (char)draw(world, 256);
	cr_assert_eq(append(world->store, written), 0);
	world->last[written->epoch] = written->last;
	world->appended++;
}

/* --- the image of a crash ----------------------------------------------------------------------------------------------- */

/* What was not synced of a file: the rest of it may be gone, never have been written, or be wrong. */
static size_t spoil(struct world *world, char *bytes, size_t length, size_t synced)
{
	size_t from = synced + draw(world, length - synced + 1);

	switch (draw(world, 4)) {
	case 0: return from;
	case 1: memset(bytes + from, 0, length - from); return length;
	case 2:
		if (from < length)
			bytes[from] ^= (char)(1 << draw(world, 8));
		return length;
	default: return length;
	}
}

static void copy_file(struct world *world, const char *name)
{
	uint64_t number = strtoull(name, NULL, 10);
	static char bytes[1 << 20];
	char from[400], to[400];
	size_t length, synced;
	FILE *file;

	snprintf(from, sizeof(from), "%s/segments/%s", world->path, name);
	snprintf(to, sizeof(to), "%s/segments/%s", world->image, name);
	file = fopen(from, "r");
	cr_assert_not_null(file);
	length = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	synced = number < world->synced_end.segment    ? length
		 : number == world->synced_end.segment ? world->synced_end.offset
						       : 0;
	length = spoil(world, bytes, length, synced);
	if (synced == 0 && draw(world, 3) == 0)
		return; /* its name is not synced either */
	file = fopen(to, "w");
	cr_assert_eq(fwrite(bytes, 1, length, file), length);
	fclose(file);
}

static void make_image(struct world *world)
{
	char from[160], command[300];
	struct dirent **entries;
	int count;

	snprintf(command, sizeof(command), "%s/segments", world->image);
	cr_assert_eq(mkdir(world->image, 0700), 0);
	cr_assert_eq(mkdir(command, 0700), 0);
	snprintf(from, sizeof(from), "%s/segments", world->path);
	count = scandir(from, &entries, NULL, alphasort);
	cr_assert_gt(count, 0);
	for (int i = 0; i < count; i++) {
		if (strstr(entries[i]->d_name, ".seg"))
			copy_file(world, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
}

static void remove_folder(const char *path)
{
	char name[400];
	struct dirent *entry;
	DIR *folder;

	snprintf(name, sizeof(name), "%s/segments", path);
	folder = opendir(name);
	while (folder && (entry = readdir(folder))) {
		snprintf(name, sizeof(name), "%s/segments/%s", path, entry->d_name);
		unlink(name);
	}
	closedir(folder);
	snprintf(name, sizeof(name), "%s/segments", path);
	rmdir(name);
	snprintf(name, sizeof(name), "%s/lock", path);
	unlink(name);
	snprintf(name, sizeof(name), "%s/id", path);
	unlink(name);
	cr_assert_eq(rmdir(path), 0);
}

/* --- what must hold ----------------------------------------------------------------------------------------------------- */

struct seen {
	const struct world *world;
	size_t count; /* frames that are as they were, from the first on */
	uint64_t last[4];
	bool more; /* one that was appended behind a crash */
};

static bool see(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct seen *seen = context;
	const struct written *due = &seen->world->frames[seen->count];

	(void)end;
	cr_assert_lt(frame->epoch[0], 4);
	if (frame->batch.length == 4 && memcmp(frame->batch.data, "more", 4) == 0) {
		seen->more = true;
		return true;
	}
	/* Behind what is synced a file may be whole whose predecessor is not: then some are missing. */
	while (seen->count >= seen->world->synced && seen->count < seen->world->appended &&
		(due->epoch != frame->epoch[0] || due->first != frame->first)) {
		seen->count++;
		due = &seen->world->frames[seen->count];
	}
	cr_assert_lt(seen->count, seen->world->appended);
	cr_assert(due->epoch == frame->epoch[0] && due->first == frame->first && due->last == frame->last &&
		  due->length == frame->batch.length);
	for (size_t i = 0; i < due->length; i++)
		cr_assert_eq(frame->batch.data[i], due->fill);
	seen->last[due->epoch] = due->last;
	seen->count++;
	return true;
}

static struct seen read_all(const struct world *world, struct store *store)
{
	struct seen seen = {.world = world};
	const struct store_reader reader = {see, &seen};
	struct store_position position = {0};

	cr_assert_eq(store_read(store, &position, &reader), 0);
	return seen;
}

static void check_image(struct world *world)
{
	struct store *store = opened(world->image);
	struct seen seen = read_all(world, store);
	struct segment_frame frame = {.host = host, .batch = TEXT_LITERAL("more")};
	struct store_position end;

	cr_assert_geq(seen.count, world->synced, "%zu of %zu that were synced", seen.count, world->synced);
	for (uint8_t i = 0; i < 4; i++) {
		uint8_t epoch[EVENT_EPOCH_SIZE] = {i};

		cr_assert_eq(store_synced(store, host, epoch), seen.last[i]);
	}
	frame.first = frame.last = seen.last[0] + 1;
	cr_assert_eq(store_append(store, &frame, &end), 0);
	store_close(store);
	store = opened(world->image);
	cr_assert(read_all(world, store).more, "what came behind the crash is there");
	store_close(store);
}

Test(store_crash, whatever_is_left_of_what_was_not_synced, .timeout = 300)
{
	static struct world world;
	unsigned images = 0;

	(void)!freopen("/dev/null", "w", stderr);
	for (uint64_t seed = 1; seed <= WORLDS; seed++) {
		world = (struct world){.random = seed * 2654435761u + 88172645463325252ull};
		snprintf(world.path, sizeof(world.path), "%s/taffrail-crash-XXXXXX",
			access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		cr_assert_not_null(mkdtemp(world.path));
		snprintf(world.image, sizeof(world.image), "%s.image", world.path);
		world.store = opened(world.path);
		while (world.appended < FRAMES) {
			do_something(&world);
			if (draw(&world, 3) || world.appended == 0)
				continue;
			make_image(&world);
			check_image(&world);
			remove_folder(world.image);
			images++;
		}
		store_close(world.store);
		remove_folder(world.path);
	}
	cr_assert_gt(images, 2000);
}
