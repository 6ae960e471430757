/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store's file as the collector's next start finds it. The first byte says whether the rest is the file, what stands behind a
 * good header, or frames that get the checks of good ones, so that what is in them is reached. Whatever it is, the store opens,
 * knows what it hands out, and takes a frame that the next start finds.
 */
#include "fuzz_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include "collector/store.h"

static char path[80], file[160];
static const struct text own = TEXT_STATIC("fuzz");

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_folder_make();
	return fuzz_without_messages(argc, argv);
}

/* Frames of 16-bit length, whose they are, first (from the one before of anybody), span. */
static void put_frames(int fd, const uint8_t *bytes, size_t length)
{
	static const char *const hosts[] = {"a", "b", "machine"};
	uint8_t head[SEGMENT_FRAME_HEAD_MAX];
	uint64_t next = 1;

	for (size_t at = 0; at + 5 <= length;) {
		struct segment_frame frame = {.host = text_of(hosts[bytes[at + 2] % 3])};
		size_t size = (size_t)(bytes[at] | bytes[at + 1] << 8);
		int head_size;

		size = size < length - at - 5 ? size : length - at - 5;
		frame.epoch[0] = bytes[at + 2] / 3 % 2;
		frame.first = next + bytes[at + 3] % 4 - (bytes[at + 3] % 4 == 3 && next > 3 ? 5 : 0);
		frame.last = frame.first + bytes[at + 4] - 1;
		frame.batch = (struct text){(const char *)bytes + at + 5, size};
		head_size = segment_frame_head(head, &frame);
		if (head_size > 0) {
			head[4] ^= bytes[at + 3] == 0xff; /* a wrong check */
			fuzz_put(fd, head, (size_t)head_size);
			fuzz_put(fd, frame.batch.data, size);
		}
		next = frame.last + 1;
		at += 5 + size;
	}
}

static void make_file(unsigned number, const uint8_t *bytes, size_t length, unsigned kind)
{
	uint8_t header[SEGMENT_HEADER_SIZE];
	int fd;

	snprintf(file, sizeof(file), "%s/segments/%016u.seg", path, number);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	fuzz_expect(fd >= 0);
	segment_header(header);
	if (kind > 0)
		fuzz_put(fd, header, sizeof(header));
	if (kind > 1)
		put_frames(fd, bytes, length);
	else
		fuzz_put(fd, bytes, length);
	close(fd);
}

struct seen {
	const struct store *store;
	unsigned frames;
	bool own;
};

/* No frame of a source lies beyond what the store knows of it. */
static bool see(void *context, const struct segment_frame *frame, struct store_position end)
{
	struct seen *seen = context;
	uint64_t known = store_synced(seen->store, frame->host, frame->epoch);

	(void)end;
	fuzz_expect(frame->last <= known || frame->last + 1 == frame->first);
	fuzz_expect(frame->host.length > 0 && frame->host.length <= SEGMENT_HOST_MAX);
	seen->frames++;
	seen->own |= text_equal(frame->host, own) && text_equal(frame->batch, own);
	return true;
}

static struct seen read_all(const struct store *store)
{
	struct store_position position = {0};
	struct seen seen = {.store = store};
	const struct store_reader reader = {see, &seen};

	fuzz_expect(store_read(store, &position, &reader) == 0);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct segment_frame frame = {.first = 1, .last = 1, .epoch = {0xfe, 0xfe}, .host = own, .batch = own};
	struct store_position end;
	struct store *store;
	struct seen seen;
	char why[300];

	if (length == 0 || length > 1 << 18)
		return 0;
	fuzz_folder_remove();
	snprintf(path, sizeof(path), "%s/data", fuzz_folder);
	snprintf(file, sizeof(file), "%s/segments", path);
	fuzz_expect(mkdir(fuzz_folder, 0700) == 0 && mkdir(path, 0700) == 0 && mkdir(file, 0700) == 0);
	if (bytes[0] & 4) { /* one before the last */
		make_file(1, bytes + 1, length / 2, bytes[0] & 3);
		make_file(2, bytes + 1 + length / 2, length - 1 - length / 2, bytes[0] >> 3 & 3);
	} else {
		make_file(1, bytes + 1, length - 1, bytes[0] & 3);
	}
	fuzz_expect(store_look(&store, path, why, sizeof(why)) == 0);
	read_all(store);
	store_close(store);
	fuzz_expect(store_open(&store, path, 0, why, sizeof(why)) == 0);
	seen = read_all(store);
	fuzz_expect(!seen.own || store_synced(store, own, frame.epoch) > 0);
	frame.first = frame.last = store_appended(store, own, frame.epoch) + 1;
	if (frame.last > 1ull << 62)
		return store_close(store), 0;
	fuzz_expect(store_append(store, &frame, &end) == 0);
	store_close(store);
	fuzz_expect(store_open(&store, path, 0, why, sizeof(why)) == 0);
	fuzz_expect(read_all(store).own && store_synced(store, own, frame.epoch) == frame.last);
	store_close(store);
	return 0;
}
