/* SPDX-License-Identifier: Apache-2.0 */
/* The collector on its board (http/board.h): once a second, from its loop. */
#ifndef TAFFRAIL_COLLECTOR_PUBLISH_H
#define TAFFRAIL_COLLECTOR_PUBLISH_H

#include <stddef.h>

struct access;
struct event_base;
struct grpc_server;
struct grpc_trust;
struct http_board;
struct output;
struct publish;
struct receiver;
struct reread;
struct store;

/* What is shown; all of it must outlive it. */
struct publish_options {
	struct event_base *base;
	struct http_board *board;
	const char *data; /* the data directory */
	const struct store *store;
	const struct receiver *receiver;
	const struct grpc_server *server;
	const struct access *access;
	const struct grpc_trust *trust;
	const struct reread *reread;
	struct output *const *outputs;
	size_t output_count;
};

/* Shows it at once, and then each second. 0 or -ENOMEM; without a board it does nothing, and `*publish` is NULL. */
int publish_open(struct publish **publish, const struct publish_options *options);

/* Before what is shown is closed: it ends. NULL is allowed. */
void publish_close(struct publish *publish);

#endif
