/* SPDX-License-Identifier: Apache-2.0 */
/* Where a peer listens: a TCP address or a unix socket, as people write them in options and configuration files. */
#ifndef TAFFRAIL_GRPC_ADDRESS_H
#define TAFFRAIL_GRPC_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define GRPC_ADDRESS_TEXT_SIZE 300 /* holds every address's text with its NUL */

enum grpc_address_kind {
	GRPC_ADDRESS_INET = 1,
	GRPC_ADDRESS_UNIX,
};

/* Plain values, owned by whoever holds it; nothing to free. */
struct grpc_address {
	enum grpc_address_kind kind;
	char host[254]; /* INET: a name, or a literal without its brackets; "" is every address of the machine */
	uint16_t port;  /* INET: host byte order; 0 lets the kernel choose (listening only) */
	char path[108]; /* UNIX: a path, always shorter than sun_path so that its NUL fits */
};

/*
 * Read "HOST:PORT", "[V6]:PORT", ":PORT", "unix:PATH", "unix:///PATH" (gRPC's own spelling), or "/PATH".
 * Returns 0, or -EINVAL with a sentence in `error` that quotes what is wrong (always NUL-terminated, no newline).
 */
int grpc_address_parse(const char *text, struct grpc_address *address, char *error, size_t error_size);

/* Write the address as grpc_address_parse reads it; returns `text`. `size`: GRPC_ADDRESS_TEXT_SIZE always suffices. */
const char *grpc_address_format(const struct grpc_address *address, char *text, size_t size);

/*
 * Can nobody but this machine reach it? True for unix sockets, 127.0.0.0/8, ::1 and the name "localhost", which is
 * never looked up (RFC 6761, 6.3). Plain text is for these only. A name is false: what it means is not known here.
 */
bool grpc_address_is_loopback(const struct grpc_address *address);

/* The same of a socket's address: AF_UNIX, 127.0.0.0/8 (v4-mapped too), ::1. */
bool grpc_sockaddr_is_loopback(const struct sockaddr *socket_address);

/* "192.0.2.1:443", "[2001:db8::1]:443", "unix:/path", "unix:" for an unnamed unix socket; returns `text`. */
const char *grpc_sockaddr_format(const struct sockaddr *socket_address, socklen_t length, char *text, size_t text_size);

/*
 * Fill up to `capacity` socket addresses for an address that needs no look-up: literals, "localhost" (both families),
 * "" (both families), unix sockets. Returns how many, or -ENOENT if `host` is a name that must be looked up.
 */
struct grpc_endpoint {
	struct sockaddr_storage address;
	socklen_t length;
};
int grpc_address_endpoints(const struct grpc_address *address, struct grpc_endpoint *endpoints, size_t capacity);

#endif
