/* SPDX-License-Identifier: Apache-2.0 */
/* Query.Status: the account of each epoch that the store knows, to whoever asks. */
#ifndef TAFFRAIL_COLLECTOR_STATUS_H
#define TAFFRAIL_COLLECTOR_STATUS_H

#include "collector/receive.h"
#include "collector/store.h"
#include "grpc/server.h"

enum {
	STATUS_READERS_MAX = 16,      /* at a time */
	STATUS_HOSTS_MAX = 256,       /* in a request */
	STATUS_QUEUED_MAX = 256 << 10 /* bytes that wait for one reader; it gets more when it reads */
};

struct status;

/* 0 or -ENOMEM. */
int status_open(struct status **status, const struct store *store, const struct receiver *receiver);

/* The row for the server's table; the status, the store and the receiver outlive the server. */
struct grpc_handler status_handler(struct status *status);

/* After the server is closed. NULL is allowed. */
void status_close(struct status *status);

#endif
