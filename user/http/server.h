/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 for probes and Prometheus, in a thread of its own: GET and HEAD of three pages, and nothing else.
 *
 *	/healthz   200, or 503 with a sentence: the program's loop is stuck
 *	/readyz    200, or 503 with a sentence: it does not do its job, or not yet
 *	/metrics   the board's page, and this process's own figures
 *
 * Each connection has one request of a bounded size and a few seconds, and is closed behind its answer. Of many at a time
 * the oldest makes room for the newest: who holds connections open does not keep a probe out.
 */
#ifndef TAFFRAIL_HTTP_SERVER_H
#define TAFFRAIL_HTTP_SERVER_H

#include <stddef.h>

#include "base/metric.h"
#include "grpc/address.h"
#include "http/board.h"

struct http_server;

enum { HTTP_CONNECTIONS_MAX = 32, HTTP_DEADLINE_S = 5 };

/* Rows for a program's tables of keys and options (base/options.h). */
#define HTTP_KEY(target)                                                                                               \
	{                                                                                                              \
		"http", CONFIG_TEXT, (target), 0, 0, "where /healthz, /readyz and /metrics are served"                 \
	}
#define HTTP_OPTION                                                                                                    \
	{                                                                                                              \
		"http", "ADDR", "http", "/healthz, /readyz, /metrics at HOST:PORT or unix:PATH"                        \
	}

/* Listens, says where, and starts the thread. 0, or -errno after it has said what is wrong. */
int http_server_open(struct http_server **server, const struct grpc_address *address);

/* What it shows; lives as long as the server. NULL for NULL. */
struct http_board *http_server_board(struct http_server *server);

/* Ends the thread: after the last use of the board. NULL is allowed. */
void http_server_close(struct http_server *server);

/* The server's own rows of the documentation's table: of requests, and http/process.h's. */
extern const struct metric_spec http_server_metrics[];

#endif
