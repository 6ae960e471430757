/* SPDX-License-Identifier: Apache-2.0 */
/* How far an output is in the store: DIR/outputs/KIND-XXXXXXXX, one line of text that is written over. */
#ifndef TAFFRAIL_COLLECTOR_CURSOR_H
#define TAFFRAIL_COLLECTOR_CURSOR_H

#include "collector/store.h"

#define CURSOR_NO_MARK UINT64_MAX

struct cursor {
	int fd;     /* -1: not open */
	bool noted; /* something stands in its file */
	struct store_position at;
	uint64_t mark; /* how far the output's target was written then, as the output says; or CURSOR_NO_MARK */
};

/*
 * Opens an output's cursor; a new one is `fresh` and stands nowhere. What cannot be read, as after a power cut, stands at
 * the start of the store: better twice than not at all. 0, or -errno with a sentence in `why`.
 */
int cursor_open(struct cursor *cursor, const char *data, const char *spec, bool *fresh, char *why, size_t why_size);

/*
 * The furthest place at which any output of this data directory stands, those too that are not configured now; all zero: none.
 * What cannot be read stands nowhere. 0, or -errno with a sentence in `why`.
 */
int cursor_furthest(const char *data, struct store_position *place, char *why, size_t why_size);

/* Moves it. 0 or -errno. */
int cursor_move(struct cursor *cursor, struct store_position at, uint64_t mark);

/* May run twice. */
void cursor_close(struct cursor *cursor);

#endif
