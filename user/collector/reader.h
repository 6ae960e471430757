/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a reader's call, whatever it asks for: one request, then answers for as long as either side likes. */
#ifndef TAFFRAIL_COLLECTOR_READER_H
#define TAFFRAIL_COLLECTOR_READER_H

#include <stdbool.h>
#include <sys/queue.h>

#include "grpc/server.h"

/* What each call's own struct begins with. */
struct reader {
	LIST_ENTRY(reader) entry;
	struct readers *readers;
	struct grpc_stream *stream;
	bool asked; /* its request was taken */
};

struct reader_kind {
	const char *path;        /* of the call */
	size_t size;             /* of a call's own struct */
	size_t max;              /* at a time */
	const char *too_many;    /* what one more is told */
	uint64_t writable_below; /* as grpc_handler's */
	/* Takes the request. NULL, or what is wrong with it: a sentence, which may be made in `room`. */
	const char *(*ask)(struct reader *reader, const uint8_t *bytes, size_t length, char *room, size_t size);
	void (*answer)(struct reader *reader);   /* its request was taken; NULL: nothing is to be done then */
	void (*writable)(struct reader *reader); /* there is room for more answers; it may not have asked yet */
	void (*release)(struct reader *reader);  /* frees what its own struct holds */
};

/* All calls of one kind. */
struct readers {
	const struct reader_kind *kind;
	void *context; /* the kind's own */
	size_t count;
	LIST_HEAD(reader_list, reader) list;
};

void readers_init(struct readers *readers, const struct reader_kind *kind, void *context);

/* The row for the server's table; `readers` outlive the server. */
struct grpc_handler readers_handler(struct readers *readers);

#endif
