/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of grpc/: what client.c (the connection's life) and call.c (the calls on it) share. */
#ifndef TAFFRAIL_GRPC_CLIENT_INSIDE_H
#define TAFFRAIL_GRPC_CLIENT_INSIDE_H

#include "grpc/client.h"
#include "grpc/link.h"

enum grpc_client_state {
	GRPC_CLIENT_DOWN,
	GRPC_CLIENT_CONNECTING, /* connect, then the peer's SETTINGS */
	GRPC_CLIENT_UP,
	GRPC_CLIENT_DRAINING,
};

/* Counted: the owner's pointer is one reference, each function that calls back another while it runs. */
struct grpc_client {
	struct event_base *base;
	struct grpc_address address;
	struct grpc_client_options options; /* defaults filled in, strings our own */
	bool attached;                      /* over a stream given to us: there is no address */
	unsigned references;
	bool closed; /* by its owner: no callback any more */
	enum grpc_client_state state;
	bool drain; /* the owner asked */

	struct grpc_connect *connect;
	struct grpc_link *link;
	struct event *timer; /* CONNECTING: the limit; DOWN: the next try, if there is one */
	uint32_t retry_ms;   /* the next wait, before its random part */
	uint64_t up_ms;
	struct grpc_exchanges waiting; /* calls that wait for the connection */
};

extern const struct grpc_role grpc_call_role;

/* Submit a call: it joins the link. -ENOMEM, -ESHUTDOWN. */
int grpc_call_start(struct grpc_call *call);
/* End a call with its on_done. */
void grpc_call_end(struct grpc_call *call, enum grpc_status status, const char *message);
static inline struct grpc_call *grpc_call_of(struct grpc_exchange *exchange)
{
	return (struct grpc_call *)exchange; /* its first member */
}

/* The role's callbacks that concern the connection. */
void grpc_client_on_ready(void *client);
void grpc_client_on_goaway(void *client, uint32_t error_code, const char *text);
void grpc_client_on_down(void *client, int error, const char *reason);

#endif
