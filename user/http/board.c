/* SPDX-License-Identifier: Apache-2.0 */
#include "http/board.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

struct http_board {
	uint64_t opened_ns;
	_Atomic uint64_t beat_ns; /* 0: it has not begun */
	_Atomic bool ending;
	bool has_clock;
	clockid_t clock;
	pthread_mutex_t lock; /* of what follows: held for a copy */
	char why[HTTP_WHY_SIZE];
	struct buffer page;
};

int http_board_open(struct http_board **out)
{
	struct http_board *board = calloc(1, sizeof(*board));

	if (!board)
		return -ENOMEM;
	board->opened_ns = clock_boottime_ns();
	pthread_mutex_init(&board->lock, NULL);
	snprintf(board->why, sizeof(board->why), "it starts");
	*out = board;
	return 0;
}

void http_board_clock(struct http_board *board, clockid_t clock)
{
	if (!board)
		return;
	board->clock = clock;
	board->has_clock = true;
}

uint64_t http_board_cpu_ns(const struct http_board *board)
{
	struct timespec used;

	if (!board || !board->has_clock || clock_gettime(board->clock, &used) < 0)
		return 0;
	return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

void http_board_beat(struct http_board *board)
{
	if (board)
		atomic_store_explicit(&board->beat_ns, clock_boottime_ns(), memory_order_relaxed);
}

void http_board_ready(struct http_board *board, const char *why)
{
	if (!board)
		return;
	pthread_mutex_lock(&board->lock);
	snprintf(board->why, sizeof(board->why), "%s", why ? why : "");
	pthread_mutex_unlock(&board->lock);
}

void http_board_page(struct http_board *board, struct buffer *page)
{
	struct buffer older;

	if (!board || page->failed)
		return;
	pthread_mutex_lock(&board->lock);
	older = board->page;
	board->page = *page;
	pthread_mutex_unlock(&board->lock);
	*page = older;
	buffer_clear(page);
}

void http_board_end(struct http_board *board)
{
	if (board)
		atomic_store(&board->ending, true);
}

bool http_board_is_alive(struct http_board *board, uint64_t now_ns, char why[HTTP_WHY_SIZE])
{
	uint64_t beat_ns = atomic_load_explicit(&board->beat_ns, memory_order_relaxed);
	uint64_t since_ns = beat_ns ? beat_ns : board->opened_ns;
	/* It may have turned since the clock was read. */
	uint64_t silent_s = now_ns > since_ns ? (now_ns - since_ns) / 1000000000 : 0;

	if (atomic_load(&board->ending) || silent_s <= (beat_ns ? HTTP_BEAT_MAX_S : HTTP_START_MAX_S))
		return true;
	snprintf(why, HTTP_WHY_SIZE, beat_ns ? "its loop has not turned for %llu s" : "it has been starting for %llu s",
		(unsigned long long)silent_s);
	return false;
}

bool http_board_is_ready(struct http_board *board, uint64_t now_ns, char why[HTTP_WHY_SIZE])
{
	if (atomic_load(&board->ending)) {
		snprintf(why, HTTP_WHY_SIZE, "it ends");
		return false;
	}
	if (!http_board_is_alive(board, now_ns, why))
		return false;
	pthread_mutex_lock(&board->lock);
	snprintf(why, HTTP_WHY_SIZE, "%s", board->why);
	pthread_mutex_unlock(&board->lock);
	return why[0] == '\0';
}

void http_board_read(struct http_board *board, struct buffer *page)
{
	pthread_mutex_lock(&board->lock);
	buffer_append(page, board->page.data, board->page.length);
	pthread_mutex_unlock(&board->lock);
}

void http_board_close(struct http_board *board)
{
	if (!board)
		return;
	buffer_free(&board->page);
	pthread_mutex_destroy(&board->lock);
	free(board);
}
