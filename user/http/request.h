/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a request (RFC 9112), as far as a server needs it that has a few pages and takes nothing: its first line is
 * understood, of the header fields only whether a body follows.
 */
#ifndef TAFFRAIL_HTTP_REQUEST_H
#define TAFFRAIL_HTTP_REQUEST_H

#include <stdbool.h>

#include "base/text.h"

enum { HTTP_HEAD_MAX = 8192 }; /* bytes of a head; what has no end before them is refused */

struct http_request {
	bool head;        /* HEAD: the answer has no body */
	struct text path; /* of the target, without its query: a view of the bytes */
};

/*
 * Reads what has come so far. 0: more must come; 200: `request` is filled; else the status to refuse it with: 400, 405, 413 (a
 * body), 431 (a head that is too long), 505.
 */
int http_request_read(struct http_request *request, struct text bytes);

#endif
