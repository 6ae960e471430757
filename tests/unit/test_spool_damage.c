/* SPDX-License-Identifier: Apache-2.0 */
/* What a power failure or a bad disk makes of the spool's files. */
#include "test_spool.h"

#include <fcntl.h>
#include <sys/resource.h>

#include "base/crc32c.h"
#include "sensor/spool_format.h"

/* The bytes of the first file. */
static size_t read_file(const struct world *world, char *path, size_t path_size, uint8_t *bytes, size_t room)
{
	ssize_t length;
	int fd;

	snprintf(path, path_size, "%s/0000000000000001.spool", world->path);
	fd = open(path, O_RDONLY);
	cr_assert_geq(fd, 0);
	length = read(fd, bytes, room);
	cr_assert(length > 0 && (size_t)length < room);
	close(fd);
	return (size_t)length;
}

static void write_file(const char *path, const uint8_t *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, bytes, length), (ssize_t)length);
	close(fd);
}

/* A spool with one file of some batches. */
static void fill(struct world *world, uint64_t seed, int batches)
{
	open_world(world, seed);
	open_life(world);
	for (int i = 0; i < batches; i++)
		put(world, 1 + draw(world, 4), 20);
	close_life(world);
}

/* The next life sends what can be read; the rest, as far as it is known to have been there, is declared. */
static uint64_t assert_rest_is_told(struct world *world, uint64_t *lost)
{
	static struct stored stored[LIVES];
	uint64_t last;

	memset(stored, 0, sizeof(stored));
	world->life = 1;
	open_life(world);
	last = spool_last(world->spool, (uint8_t[EVENT_EPOCH_SIZE]){1});
	send_all(world, stored);
	assert_exact(&stored[1], last);
	*lost = stored[1].lost;
	close_life(world);
	return last;
}

Test(spool_damage, a_file_that_ends_at_any_byte)
{
	static uint8_t bytes[1 << 16];
	struct world world;
	char path[128];
	size_t length;
	uint64_t before = 0, lost = 0;

	fill(&world, 21, 8);
	length = read_file(&world, path, sizeof(path), bytes, sizeof(bytes));
	for (size_t end = 0; end <= length; end++) {
		uint64_t last;

		write_file(path, bytes, end);
		last = assert_rest_is_told(&world, &lost);
		cr_assert_geq(last, before, "more bytes, and fewer events");
		cr_assert_leq(lost, 4, "of one batch at most");
		before = last;
	}
	cr_assert(before == world.made[1] && lost == 0);
	close_world(&world);
}

Test(spool_damage, any_byte_that_is_another)
{
	static uint8_t bytes[1 << 16];
	struct spool_header header;
	struct world world;
	char path[128];
	size_t length;
	uint64_t lost;

	fill(&world, 22, 8);
	length = read_file(&world, path, sizeof(path), bytes, sizeof(bytes));
	cr_assert(spool_header_get(&header, bytes, length));
	for (size_t at = 0; at < length; at++) {
		uint8_t good = bytes[at];
		bool noted = at >= SPOOL_ACKNOWLEDGED_AT && at < SPOOL_ACKNOWLEDGED_AT + SPOOL_ACKNOWLEDGED_SIZE;
		uint64_t last;

		bytes[at] ^= (uint8_t)(1 << draw(&world, 8));
		write_file(path, bytes, length);
		last = assert_rest_is_told(&world, &lost);
		if (at < header.length)
			cr_assert_eq(last, noted ? world.made[1] : 0, "byte %zu", at);
		else
			cr_assert(last + 4 >= world.made[1] && lost <= 4 && (lost > 0 || last < world.made[1]),
				"byte %zu: %d lost of %d", at, (int)lost, (int)last);
		bytes[at] = good;
	}
	close_world(&world);
}

static bool is_there(const struct world *world, int number, const char *ending)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%016d.%s", world->path, number, ending);
	return access(path, F_OK) == 0;
}

/* A file whose header cannot be read is not sent, and not lost: the last sixteen of them are there, and take room. */
Test(spool_damage, one_without_a_beginning_is_kept)
{
	static uint8_t bytes[1 << 16], kept[1 << 16];
	struct world world;
	char path[128];
	uint64_t lost, empty;
	size_t length;

	fill(&world, 25, 8);
	length = read_file(&world, path, sizeof(path), bytes, sizeof(bytes));
	bytes[20] ^= 1;
	for (int number = 1; number <= 20; number++) {
		snprintf(path, sizeof(path), "%s/%016d.spool", world.path, number);
		write_file(path, bytes, length);
	}
	cr_assert_eq(assert_rest_is_told(&world, &lost), 0);
	for (int number = 1; number <= 20; number++)
		cr_assert(is_there(&world, number, "damaged") == (number > 4) && !is_there(&world, number, "spool"));
	snprintf(path, sizeof(path), "%s/%016d.damaged", world.path, 20);
	int fd = open(path, O_RDONLY);
	cr_assert_eq(read(fd, kept, sizeof(kept)), (ssize_t)length);
	close(fd);
	cr_assert_eq(memcmp(kept, bytes, length), 0);
	/* They count, and the names that they had are not given again. */
	open_life(&world);
	empty = spool_bytes(world.spool);
	cr_assert_eq(empty, 16 * ((length + 4095) / 4096 * 4096));
	put(&world, 1, 20);
	cr_assert(is_there(&world, 21, "spool"));
	close_life(&world);
	close_world(&world);
}

/* A batch that nobody takes is kept as damaged files are. */
Test(spool_damage, what_is_refused_is_kept)
{
	static uint8_t kept[1 << 16];
	struct world world;
	struct buffer *batch;
	char name[NUMBERED_NAME_SIZE], path[128];
	uint64_t room;

	open_world(&world, 26);
	open_life(&world);
	batch = make_events(&world.host, 1, 20, 20);
	room = (batch->length + 4095) / 4096 * 4096;
	for (int i = 0; i < 20; i++)
		cr_assert_eq(spool_keep_refused(world.spool, (struct text){batch->data, batch->length}, name), 0);
	cr_assert_str_eq(name, "0000000000000020.refused");
	for (int number = 1; number <= 20; number++)
		cr_assert_eq(is_there(&world, number, "refused"), number > 4);
	cr_assert_eq(spool_bytes(world.spool), 16 * room);
	snprintf(path, sizeof(path), "%s/%s", world.path, name);
	int fd = open(path, O_RDONLY);
	cr_assert_eq(read(fd, kept, sizeof(kept)), (ssize_t)batch->length);
	close(fd);
	cr_assert_eq(memcmp(kept, batch->data, batch->length), 0);
	close_life(&world);
	/* The next life counts them, and does not send them. */
	open_life(&world);
	cr_assert_eq(spool_bytes(world.spool), 16 * room);
	put(&world, 1, 20);
	cr_assert(is_there(&world, 21, "spool"));
	close_life(&world);
	wire_bytes_free(batch);
	close_world(&world);
}

Test(spool_damage, much_that_is_another)
{
	static uint8_t bytes[1 << 16], damaged[1 << 16];
	struct spool_header header;
	struct world world;
	char path[128];
	size_t length;

	fill(&world, 23, 30);
	length = read_file(&world, path, sizeof(path), bytes, sizeof(bytes));
	cr_assert(spool_header_get(&header, bytes, length));
	for (int round = 0; round < 500; round++) {
		size_t hits = 1 + draw(&world, 6);
		uint64_t lost;

		memcpy(damaged, bytes, length);
		while (hits-- > 0) {
			size_t at = header.length + draw(&world, length - header.length);
			size_t span = 1 + draw(&world, 300);

			for (; span > 0 && at < length; span--)
				damaged[at++] = (uint8_t)draw(&world, 256);
		}
		write_file(path, damaged, length - draw(&world, 200));
		(void)assert_rest_is_told(&world, &lost);
	}
	close_world(&world);
}

/* A container chooses bytes of batches; in a damaged file they are searched, and must not be taken for a frame. */
Test(spool_damage, bytes_of_a_container_are_no_frame)
{
	uint8_t forged[SPOOL_FRAME_HEAD + 4] = {0}, bytes[512] = {0};
	struct spool_frame frame = {1, 1000000, EVICT_NOTHING, 4, crc32c(0, "evil", 4)}, found;
	uint64_t lost_last = 0;

	spool_frame_put(forged, &frame, 4711); /* it does not know the file's salt */
	memcpy(forged + SPOOL_FRAME_HEAD, "evil", 4);
	memcpy(bytes + 100, forged, sizeof(forged));
	cr_assert_eq(spool_find_frame(&found, bytes, sizeof(bytes), 0, 4711, &lost_last), 100);
	cr_assert_eq(spool_find_frame(&found, bytes, sizeof(bytes), 0, 815, &lost_last), SIZE_MAX);
	/* Within a frame whose own head is whole nothing is looked for at all. */
	frame = (struct spool_frame){1, 5, EVICT_NOTHING, 300, 1};
	spool_frame_put(bytes, &frame, 4711);
	cr_assert_eq(spool_find_frame(&found, bytes, sizeof(bytes), 0, 4711, &lost_last), SIZE_MAX);
	cr_assert_eq(lost_last, 5);
}

/* Files of one life of which one is gone in the middle, and one of another's. */
Test(spool_damage, a_file_that_is_gone)
{
	static struct stored stored[LIVES];
	struct world world;
	char path[128];

	open_world(&world, 24);
	world.max_bytes = 2 << 20; /* files of 64 KiB */
	open_life(&world);
	while (world.made[1] < 1000)
		put(&world, 10, 300);
	close_life(&world);
	snprintf(path, sizeof(path), "%s/0000000000000003.spool", world.path);
	cr_assert_eq(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/0000000000000002.new", world.path);
	write_file(path, (const uint8_t *)"half", 4);
	open_life(&world);
	cr_assert_neq(access(path, F_OK), 0);
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert_gt(stored[1].lost, 50);
	cr_assert_eq(stored[1].records, 1);
	close_life(&world);
	close_world(&world);
}

/* Files of a former life are opened where they are due. Without descriptors that is not now; it is no damage. */
Test(spool_damage, want_of_descriptors_is_none)
{
	static struct stored stored[LIVES];
	struct rlimit before, none;
	struct spool_batch batch;
	struct world world;

	fill(&world, 22, 8);
	world.life = 1;
	open_life(&world);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (int i = 0; i < 20; i++)
		cr_expect_eq(spool_next(world.spool, &batch), -EMFILE);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	memset(stored, 0, sizeof(stored));
	send_all(&world, stored);
	assert_exact(&stored[1], world.made[1]);
	cr_assert(stored[1].lost == 0 && world.made[1] > 0);
	close_life(&world);
	close_world(&world);
}
