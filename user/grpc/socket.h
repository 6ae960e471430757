/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets to listen on: bound without stealing what another process has, listening, not accepting yet. */
#ifndef TAFFRAIL_GRPC_SOCKET_H
#define TAFFRAIL_GRPC_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>

#include "grpc/address.h"

#define GRPC_SOCKETS                                                                                                   \
	8 /* of one address: "localhost" and "" have one in each family, a name as many as it has addresses */

struct grpc_socket {
	int fd;         /* the caller's; does not block */
	char path[108]; /* of a unix socket; "" otherwise */
	dev_t device;   /* ... and which file that was, so that only our own is removed */
	ino_t inode;
};

/*
 * Opens all sockets of an address; the caller has nothing to listen(2) for. `loopback_only`: any other address is -EPERM.
 * `*port` becomes the port that they have, of a unix socket 0. Returns how many, or -errno with a sentence in `error`.
 * A socket file is mode 0660; a dead one is taken over, one that somebody listens on is -EADDRINUSE.
 */
int grpc_sockets_open(struct grpc_socket sockets[GRPC_SOCKETS], const struct grpc_address *address, bool loopback_only,
	uint16_t *port, char *error, size_t error_size);

/* Removes a unix socket's file, if it is still the one that was made. Before it is closed: nobody meets a dead socket then. */
void grpc_socket_unlink(const struct grpc_socket *socket);

#endif
