/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event is on the wire, from the batches that a collector has stored as they came: in the batch, with each batch
 * compressed alone, with all of them as one stream that is flushed behind each, and as the JSON that becomes of it.
 *
 *	bench-wire NAME DATA
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "collector/segment.h"
#include "event/ecs.h"
#include "event/wire.h"

static struct {
	uint64_t batches, events, wire, alone, stream, json;
} sum;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench-wire: %s\n", what);
	exit(1);
}

static void compress(ZSTD_CCtx *stream, struct text batch)
{
	static char *room;
	static size_t room_size;
	ZSTD_inBuffer in = {batch.data, batch.length, 0};
	ZSTD_outBuffer out;

	if (room_size < ZSTD_compressBound(batch.length) + 1024) {
		room_size = ZSTD_compressBound(batch.length) + 1024;
		free(room);
		room = malloc(room_size);
		check(room, "out of memory");
	}
	sum.alone += ZSTD_compress(room, room_size, batch.data, batch.length, ZSTD_CLEVEL_DEFAULT);
	out = (ZSTD_outBuffer){room, room_size, 0};
	check(ZSTD_compressStream2(stream, &out, &in, ZSTD_e_flush) == 0, "zstd");
	sum.stream += out.pos;
}

static void weigh(ZSTD_CCtx *stream, struct text batch)
{
	static struct buffer json;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];

	check(wire_read(&events, batch.data, batch.length, why) == 0, why);
	for (size_t i = 0; i < events.count; i++) {
		buffer_clear(&json);
		ecs_write(&json, &events.events[i]);
		sum.json += json.length + 1;
	}
	sum.events += events.count;
	sum.batches++;
	sum.wire += batch.length;
	compress(stream, batch);
	wire_free(&events);
}

static void weigh_file(ZSTD_CCtx *stream, const char *path)
{
	struct segment_reader reader;
	struct segment_frame frame;
	struct stat stat;
	int fd = open(path, O_RDONLY), result;

	check(fd >= 0 && fstat(fd, &stat) == 0 && segment_reader_open(&reader, fd, (uint64_t)stat.st_size) == 0, path);
	while ((result = segment_next(&reader, &frame)) > 0)
		weigh(stream, frame.batch);
	check(result == 0, path);
	segment_reader_close(&reader);
	close(fd);
}

int main(int argc, char **argv)
{
	ZSTD_CCtx *stream = ZSTD_createCCtx();
	struct dirent **entries;
	char path[4096];
	int count;

	if (argc != 3) {
		fprintf(stderr, "usage: bench-wire NAME DATA\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/segments", argv[2]);
	count = scandir(path, &entries, NULL, alphasort);
	check(count >= 0 && stream, path);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/segments/%s", argv[2], entries[i]->d_name);
		if (strstr(entries[i]->d_name, ".seg"))
			weigh_file(stream, path);
		free(entries[i]);
	}
	free(entries);
	ZSTD_freeCCtx(stream);
	check(sum.events > 0, "there are no events");
	printf("%-40s %9llu %9.1f %7.0f %7.0f %7.0f %7.0f\n", argv[1], (unsigned long long)sum.events,
		(double)sum.events / (double)sum.batches, (double)sum.wire / (double)sum.events,
		(double)sum.alone / (double)sum.events, (double)sum.stream / (double)sum.events,
		(double)sum.json / (double)sum.events);
	return 0;
}
