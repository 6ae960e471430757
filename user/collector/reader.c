/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/reader.h"

#include <stdlib.h>

#include "collector/words.h"

enum { WHY_SIZE = 160 };

void readers_init(struct readers *readers, const struct reader_kind *kind, void *context)
{
	*readers = (struct readers){.kind = kind, .context = context};
	LIST_INIT(&readers->list);
}

static void on_open(struct grpc_stream *stream, void *data)
{
	struct readers *readers = data;
	struct reader *reader = readers->count < readers->kind->max ? calloc(1, readers->kind->size) : NULL;

	grpc_stream_set_data(stream, reader);
	if (!reader) {
		grpc_stream_finish(stream, GRPC_RESOURCE_EXHAUSTED, readers->kind->too_many);
		return;
	}
	reader->readers = readers;
	reader->stream = stream;
	LIST_INSERT_HEAD(&readers->list, reader, entry);
	readers->count++;
}

static void on_message(struct grpc_stream *stream, void *data, const uint8_t *bytes, size_t length)
{
	struct reader *reader = data;
	const struct reader_kind *kind = reader->readers->kind;
	char room[WHY_SIZE];
	const char *why = reader->asked ? "a second request" : kind->ask(reader, bytes, length, room, sizeof(room));

	if (why) {
		grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, why);
		return;
	}
	reader->asked = true;
	if (kind->answer)
		kind->answer(reader);
}

static void on_half_close(struct grpc_stream *stream, void *data)
{
	const struct reader *reader = data;

	if (reader && !reader->asked)
		grpc_stream_finish(stream, GRPC_INVALID_ARGUMENT, "there was no request");
}

static void on_writable(struct grpc_stream *stream, void *data)
{
	struct reader *reader = data;

	(void)stream;
	if (reader)
		reader->readers->kind->writable(reader);
}

static void on_drain(struct grpc_stream *stream, void *data)
{
	(void)data;
	grpc_stream_finish(stream, GRPC_UNAVAILABLE, "the collector stops");
}

static void on_close(struct grpc_stream *stream, void *data, enum grpc_status status, const char *reason)
{
	struct reader *reader = data;

	(void)stream;
	(void)status;
	(void)reason;
	if (!reader)
		return;
	LIST_REMOVE(reader, entry);
	reader->readers->count--;
	reader->readers->kind->release(reader);
	free(reader);
}

struct grpc_handler readers_handler(struct readers *readers)
{
	return (struct grpc_handler){
		.path = readers->kind->path,
		.max_message_bytes = WORDS_REQUEST_MAX,
		.context = readers,
		.writable_below = readers->kind->writable_below,
		.on_open = on_open,
		.on_message = on_message,
		.on_half_close = on_half_close,
		.on_writable = on_writable,
		.on_drain = on_drain,
		.on_close = on_close,
	};
}
