/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much may be under way to the collector before it is a queue? By delay, as TCP Vegas does (Brakmo and Peterson, 1995):
 * the window grows while it is used and acknowledgements come as soon as they can, and is made smaller, once in each round,
 * where they come late.
 */
#ifndef TAFFRAIL_SENSOR_WINDOW_H
#define TAFFRAIL_SENSOR_WINDOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_MARKS = 1024 }; /* batches under way that are timed; of more the oldest are not */

/* Of one thread, but for what says so. */
struct window {
	_Atomic uint64_t handed, acknowledged; /* bytes, since the start */
	_Atomic uint64_t size; /* more than this under way is a queue; UINT64_MAX: no collector answers */
	bool answered;
	uint64_t bytes, cut_ns;                /* the size while a collector answers, and when it was made smaller */
	uint64_t usual_ns, least_ns, since_ns; /* the least that an acknowledgement took lately, and since then */
	struct window_mark {
		uint64_t last, handed; /* a batch's last sequence, and the bytes up to its end */
		uint64_t length, made_ns;
	} marks[WINDOW_MARKS]; /* a circle */
	size_t first, count;
	uint64_t noted; /* bytes of all batches that were noted */
};

void window_start(struct window *window);

/* A batch was made, or (of less than no bytes) is not sent after all; any thread. */
void window_hand(struct window *window, int64_t bytes);

/* The same batch, on this thread. */
void window_note(struct window *window, uint64_t last, size_t bytes, uint64_t made_ns);

/* Is a collector there that acknowledges them? */
void window_answer(struct window *window, bool answers);

/* Everything up to a sequence is acknowledged. */
void window_acknowledge(struct window *window, uint64_t sequence, uint64_t now_ns);

/* Is there a queue with `waiting_bytes` that are to follow? Any thread. */
bool window_is_behind(const struct window *window, size_t waiting_bytes);

#endif
