/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "http/board.h"
#include "http/request.h"

static struct http_request request;

static int take(const char *bytes)
{
	request = (struct http_request){0};
	return http_request_read(&request, text_of(bytes));
}

/* --- requests ----------------------------------------------------------------------------------------------------------- */

Test(http_request, get_and_head_of_a_page)
{
	cr_assert_eq(take("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), 200);
	cr_assert(text_equal(request.path, TEXT_LITERAL("/metrics")));
	cr_assert_not(request.head);
	cr_assert_eq(take("HEAD /healthz?verbose=1&x=/ HTTP/1.0\r\n\r\n"), 200);
	cr_assert(text_equal(request.path, TEXT_LITERAL("/healthz")));
	cr_assert(request.head);
	cr_assert_eq(take("\r\n\nGET / HTTP/1.1\n\n"), 200);
}

Test(http_request, every_beginning_waits_for_more)
{
	const char whole[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n";

	for (size_t length = 0; length < sizeof(whole) - 1; length++)
		cr_assert_eq(http_request_read(&request, (struct text){whole, length}), 0, "%zu", length);
	cr_assert_eq(take(whole), 200);
}

Test(http_request, what_is_no_request_is_refused)
{
	static const struct {
		const char *bytes;
		int status;
	} wrong[] = {
		{"\x16\x03\x01 a TLS hello\n\n", 400},
		{"GET\r\n\r\n", 400},
		{"GET /\r\n\r\n", 400},
		{"GET  / HTTP/1.1\r\n\r\n", 400},
		{"GET http://x/metrics HTTP/1.1\r\n\r\n", 400},
		{"GET / HTTP/1.1 \r\n\r\n", 505},
		{"GET / HTTP/2.0\r\n\r\n", 505},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		{"POST /metrics HTTP/1.1\r\n\r\n", 405},
		{"get / HTTP/1.1\r\n\r\n", 405},
		{"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 413},
		{"GET / HTTP/1.1\r\ncontent-length:\t 00\r\n\r\n", 200},
		{"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 413},
		{"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nName : value\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nName: one\r\n two\r\n\r\n", 400},
		{"GET / HTTP/1.1\r\nName: a\rb\r\n\r\n", 400},
		{"GET /\x01 HTTP/1.1\r\n\r\n", 400},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_eq(take(wrong[i].bytes), wrong[i].status, "%s: %d", wrong[i].bytes, take(wrong[i].bytes));
}

Test(http_request, a_head_that_does_not_end_is_too_long)
{
	char *bytes = malloc(HTTP_HEAD_MAX + 1);

	memset(bytes, 'a', HTTP_HEAD_MAX + 1);
	cr_assert_eq(http_request_read(&request, (struct text){bytes, HTTP_HEAD_MAX}), 0);
	cr_assert_eq(http_request_read(&request, (struct text){bytes, HTTP_HEAD_MAX + 1}), 431);
	memcpy(bytes, "GET / HTTP/1.1\n", 15);
	cr_assert_eq(http_request_read(&request, (struct text){bytes, HTTP_HEAD_MAX + 1}), 431);
	free(bytes);
}

/* --- the board ------------------------------------------------------------------------------------------------------------ */

static const uint64_t second_ns = 1000000000;

Test(http_board, a_program_is_alive_while_its_loop_turns)
{
	struct http_board *board;
	char why[HTTP_WHY_SIZE] = "";
	uint64_t now_ns = clock_boottime_ns();

	cr_assert_eq(http_board_open(&board), 0);
	cr_assert(http_board_is_alive(board, now_ns + HTTP_START_MAX_S * second_ns, why));
	cr_assert_not(http_board_is_alive(board, now_ns + (HTTP_START_MAX_S + 2) * second_ns, why));
	cr_assert(strstr(why, "it has been starting for 30"), "%s", why);
	http_board_beat(board);
	now_ns = clock_boottime_ns();
	cr_assert(http_board_is_alive(board, now_ns, why));
	cr_assert(http_board_is_alive(board, now_ns - second_ns, why));
	cr_assert_not(http_board_is_alive(board, now_ns + (HTTP_BEAT_MAX_S + 2) * second_ns, why));
	cr_assert(strstr(why, "its loop has not turned for 3"), "%s", why);
	http_board_end(board);
	cr_assert(http_board_is_alive(board, now_ns + 3600 * second_ns, why));
	http_board_close(board);
}

Test(http_board, ready_is_what_it_says_as_long_as_it_is_alive)
{
	struct http_board *board;
	char why[HTTP_WHY_SIZE] = "";
	uint64_t now_ns;

	cr_assert_eq(http_board_open(&board), 0);
	now_ns = clock_boottime_ns();
	cr_assert_not(http_board_is_ready(board, now_ns, why));
	cr_assert_str_eq(why, "it starts");
	http_board_beat(board);
	http_board_ready(board, NULL);
	cr_assert(http_board_is_ready(board, now_ns, why));
	cr_assert_not(http_board_is_ready(board, now_ns + 100 * second_ns, why));
	http_board_ready(board, "the disk is full");
	cr_assert_not(http_board_is_ready(board, now_ns, why));
	cr_assert_str_eq(why, "the disk is full");
	http_board_ready(board, NULL);
	http_board_end(board);
	cr_assert_not(http_board_is_ready(board, now_ns, why));
	cr_assert_str_eq(why, "it ends");
	http_board_close(board);
}

Test(http_board, a_page_is_read_as_often_as_wanted_and_replaced_as_a_whole)
{
	struct http_board *board;
	struct buffer page = {0}, read = {0};

	cr_assert_eq(http_board_open(&board), 0);
	http_board_read(board, &read);
	cr_assert_eq(read.length, 0);
	buffer_append(&page, "one\n", 4);
	http_board_page(board, &page);
	cr_assert_eq(page.length, 0);
	http_board_read(board, &read);
	http_board_read(board, &read);
	cr_assert_eq(read.length, 8);
	cr_assert_arr_eq(read.data, "one\none\n", 8);
	buffer_append(&page, "two\n", 4);
	http_board_page(board, &page);
	cr_assert_eq(page.length, 0, "the older page's memory is used again");
	page.failed = true; /* half a page is none */
	http_board_page(board, &page);
	buffer_clear(&read);
	http_board_read(board, &read);
	cr_assert_arr_eq(read.data, "two\n", 4);
	buffer_free(&page);
	buffer_free(&read);
	http_board_close(board);
}

Test(http_board, nobody_asks)
{
	struct buffer page = {0};

	http_board_beat(NULL);
	http_board_ready(NULL, "it is not");
	http_board_page(NULL, &page);
	http_board_end(NULL);
	http_board_close(NULL);
}
