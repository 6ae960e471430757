/* SPDX-License-Identifier: Apache-2.0 */
/* The collector's rooms put together: receive → store → outputs and watchers. */
#ifndef TAFFRAIL_COLLECTOR_COLLECTOR_H
#define TAFFRAIL_COLLECTOR_COLLECTOR_H

#include "collector/settings.h"

struct collector;
struct http_board;

/* Opens all, and says that it is ready. `board`: where its health and metrics are shown; NULL: nowhere. 0, or -errno after one sentence that says what cannot be used. */
int collector_open(struct collector **collector, struct settings *settings, struct http_board *board);

/* Until SIGTERM or SIGINT; then everything that came is stored and handed on. 0, or -EPIPE: an output's reader went away. */
int collector_run(struct collector *collector);

/* NULL is allowed. */
void collector_close(struct collector *collector);

#endif
