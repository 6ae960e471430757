/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of grpc/: TLS under a link. */
#ifndef TAFFRAIL_GRPC_TLS_INSIDE_H
#define TAFFRAIL_GRPC_TLS_INSIDE_H

#include <stdbool.h>
#include <sys/types.h>

#include "grpc/tls.h"

struct bufferevent;
struct event_base;
struct stack_st_GENERAL_NAME;
struct x509_st;

/* A stream over a connected socket, which is its own then; NULL without memory. */
struct bufferevent *grpc_tls_accept(struct grpc_tls *tls, struct event_base *base, int fd);
/* `name`: what the server's certificate must be issued for, a DNS name or an IP address. */
struct bufferevent *grpc_tls_connect(struct grpc_tls *tls, struct event_base *base, int fd, const char *name);

/* After BEV_EVENT_CONNECTED: both speak HTTP/2 (ALPN, RFC 7301). NULL, or what is wrong. */
const char *grpc_tls_check(struct bufferevent *stream);
/* Has the handshake been done? */
bool grpc_tls_is_up(struct bufferevent *stream);
/* After BEV_EVENT_ERROR or _EOF: what the peer said before and libevent did not read. Bytes, or 0 or less at its end. */
ssize_t grpc_tls_read(struct bufferevent *stream, void *bytes, size_t size);
/*
 * Behind these: 0, TLS has nothing to complain of; or -EKEYREJECTED (a certificate was refused, by
 * either side), -EPROTO, with a sentence for the log.
 */
int grpc_tls_error(struct bufferevent *stream, char *text, size_t size);
/* The peer's, or NULL without memory; the caller frees it. */
struct grpc_identity *grpc_tls_identity(struct bufferevent *stream);
void grpc_identity_read(struct grpc_identity *identity, struct x509_st *certificate);
/* NULL: none. */
void grpc_identity_take(struct grpc_identity *identity, const struct stack_st_GENERAL_NAME *names);
/* Says close_notify, if that can be said now. Before the stream is freed. */
void grpc_tls_farewell(struct bufferevent *stream);

#endif
