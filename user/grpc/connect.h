/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of grpc/: from an address to a connected socket, without blocking: look the name up, try what it yields. */
#ifndef TAFFRAIL_GRPC_CONNECT_H
#define TAFFRAIL_GRPC_CONNECT_H

#include <stdbool.h>

struct event_base;
struct grpc_address;
struct grpc_connect;

/*
 * Called once, from the loop: a connected, non-blocking, close-on-exec socket that is the callee's from now on, or -errno
 * and a sentence. The attempt must be closed, here or later.
 */
typedef void grpc_connect_done(void *context, int socket_or_error, const char *reason);

/*
 * Start. `loopback_only`: a name that turns out to mean another machine is -EPERM. There is no time limit but two seconds
 * for each but the last of several endpoints: the caller closes when it has waited enough. -ENOMEM.
 */
int grpc_connect_open(struct event_base *base, const struct grpc_address *address, bool loopback_only,
	grpc_connect_done *done, void *context, struct grpc_connect **connect);
/* Also gives up what is under way; done is not called any more. NULL is allowed. */
void grpc_connect_close(struct grpc_connect *connect);

#endif
