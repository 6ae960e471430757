/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the spool as the sensor's next life finds it. The first byte says whether the rest is the file, or what stands
 * behind a header that was written well: then each frame of it gets the checks that a good one has, so that what is in it
 * is reached. All is sent, with a small limit too, so that it is written anew; what comes out runs on without a gap.
 */
#include "fuzz_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "event/wire.h"
#include "sensor/spool.h"
#include "sensor/spool_format.h"

static const struct event_host former = {.id = TEXT_STATIC("machine"), .name = TEXT_STATIC("node"), .epoch = {1}};
static const struct event_host own = {.id = TEXT_STATIC("machine"), .name = TEXT_STATIC("node"), .epoch = {2}};
static char path[80], file[128];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_folder_make();
	snprintf(path, sizeof(path), "%s/spool", fuzz_folder);
	snprintf(file, sizeof(file), "%s/0000000000000001.spool", path);
	fuzz_expect(mkdir(path, 0700) == 0);
	return fuzz_without_messages(argc, argv);
}

/* Frames of 16-bit length, 8-bit first (from the one before), 8-bit span, and class; their checks are made. */
static void put_frames(int fd, const uint8_t *bytes, size_t length, uint32_t salt)
{
	uint8_t head[SPOOL_FRAME_HEAD];
	uint64_t next = 1;

	for (size_t at = 0; at + 5 <= length;) {
		struct spool_frame frame = {.length = (uint32_t)(bytes[at] | bytes[at + 1] << 8)};

		if (frame.length > length - at - 5)
			frame.length = (uint32_t)(length - at - 5);
		frame.first = next + bytes[at + 2] % 4;
		frame.last = frame.first + bytes[at + 3];
		frame.class = (enum evict_class)(bytes[at + 4] % EVICT_CLASSES);
		frame.crc = crc32c(0, bytes + at + 5, frame.length) ^ (bytes[at + 4] >= 0xf0);
		spool_frame_put(head, &frame, salt);
		fuzz_put(fd, head, sizeof(head));
		fuzz_put(fd, bytes + at + 5, frame.length);
		next = frame.last + 1;
		at += 5 + frame.length;
	}
}

static void make_file(const uint8_t *bytes, size_t length)
{
	const struct spool_header header = {.host = former, .base = 1, .salt = 4711};
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600), size;
	uint8_t head[SPOOL_HEADER_MAX];

	fuzz_expect(fd >= 0);
	if (bytes[0] % 4 > 0) {
		size = spool_header_put(head, &header);
		fuzz_expect(size > 0);
		fuzz_put(fd, head, (size_t)size);
	}
	if (bytes[0] % 4 > 1)
		put_frames(fd, bytes + 1, length - 1, 4711);
	else
		fuzz_put(fd, bytes + 1, length - 1);
	close(fd);
}

/* A batch of this life, so large that room must be made for it. */
static void append(struct spool *spool)
{
	static struct buffer batch;

	if (batch.length == 0) {
		fuzz_expect(buffer_reserve(&batch, 20000));
		batch.length = 20000;
	}
	(void)spool_append(spool, (struct text){batch.data, batch.length}, 1, 1, EVICT_NOTHING);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const struct spool_options options = {.path = path,
		.max_bytes = length > 0 && bytes[0] & 0x80 ? 80 << 10 : 64 << 20,
		.fsync = SPOOL_NEVER,
		.host = &own};
	struct spool_batch batch;
	struct spool *spool;
	uint64_t due = 0;
	char why[300];

	if (length == 0 || length > 1 << 20)
		return 0;
	make_file(bytes, length);
	fuzz_expect(spool_open(&spool, &options, why, sizeof(why)) == 0);
	append(spool);
	while (spool_is_former(spool)) {
		int result = spool_next(spool, &batch);

		if (result == 0) {
			fuzz_expect(due > spool_last(spool, spool_host(spool)->epoch) || due == 0);
			spool_acknowledge(spool, UINT64_MAX);
			fuzz_expect(spool_turn(spool));
			due = 0;
			continue;
		}
		fuzz_expect(result == 1 && batch.first <= batch.last);
		fuzz_expect(due == 0 || batch.first <= due);
		due = batch.last + 1;
		wire_bytes_free(batch.bytes);
		if (due % 3 == 0)
			spool_acknowledge(spool, batch.last);
	}
	spool_close(spool);
	unlink(file);
	return 0;
}
