/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program says of itself: its loop writes on the board now and then, the server's thread reads it whenever somebody
 * asks. So who asks never waits for the loop, and the loop never for who asks.
 *
 * All functions do nothing for NULL: nobody asks.
 */
#ifndef TAFFRAIL_HTTP_BOARD_H
#define TAFFRAIL_HTTP_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/buffer.h"

struct http_board;

enum {
	HTTP_WHY_SIZE = 512,    /* bytes of a sentence, with its NUL */
	HTTP_BEAT_MAX_S = 30,   /* a loop that has not turned for so long is stuck */
	HTTP_START_MAX_S = 300, /* … and one that has not begun for so long */
};

/* 0 or -errno. It is not ready, because it starts. */
int http_board_open(struct http_board **board);

/* The loop's, from here on. It turns. */
void http_board_beat(struct http_board *board);

/* NULL: it is ready; else a sentence that says why not. Copied. */
void http_board_ready(struct http_board *board, const char *why);

/* Another page of metrics. Takes the bytes; `page` gets those of an older page, to be written into. */
void http_board_page(struct http_board *board, struct buffer *page);

/* It ends as it was asked to: alive while it does, and not ready. */
void http_board_end(struct http_board *board);

/* What the thread that answers has used of a CPU: whoever asks causes it, and not the loop. The server says by which clock. */
uint64_t http_board_cpu_ns(const struct http_board *board);
void http_board_clock(struct http_board *board, clockid_t clock);

/* From any thread. True: it is alive, or ready; else `why` says why not. */
bool http_board_is_alive(struct http_board *board, uint64_t now_ns, char why[HTTP_WHY_SIZE]);
bool http_board_is_ready(struct http_board *board, uint64_t now_ns, char why[HTTP_WHY_SIZE]);
/* Appends the page. */
void http_board_read(struct http_board *board, struct buffer *page);

/* NULL is allowed. */
void http_board_close(struct http_board *board);

#endif
