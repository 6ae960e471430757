/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows as the detectors see them, whether the kernel or a capture told of them: TCP connections, and datagrams between
 * two ends. And the ranges of addresses that are inside: one's own network, where peers are ordinary.
 */
#ifndef TAFFRAIL_DETECT_FLOW_H
#define TAFFRAIL_DETECT_FLOW_H

#include "detect/payload.h"

enum {
	FLOW_MESSAGES = 4,            /* messages of each direction that are sampled */
	FLOW_SAMPLE_BYTES = 64,       /* of each, from its first byte on */
	FLOW_SAMPLE_NAME_BYTES = 512, /* on ports of DNS: answers stand behind their questions */
	FLOW_RANGES_MAX = 64,
};

/* How far a flow has come. */
enum flow_state {
	FLOW_OPEN,     /* datagrams; or a connection whose beginning was not seen */
	FLOW_SYN_SENT, /* no answer yet */
	FLOW_ESTABLISHED,
	FLOW_REFUSED, /* by a reset, or by a router's word that nobody is there */
	FLOW_TIMED_OUT,
};

/* What the P2P detector remembers of a flow; all zero at its beginning, and nobody else's. */
struct flow_notes {
	uint64_t sent, received; /* bits 1 << enum payload_kind */
	uint32_t transaction;    /* of the connect to a UDP tracker */
	uint16_t utp_connection, utp_sequence;
	uint16_t utp_received_connection, utp_received_sequence;
	uint8_t utp;    /* bits: a message of this direction, out or in, had uTP's header */
	uint8_t random; /* bits: the first message of this direction looks random */
	bool counted;   /* it is among the endpoints */
};

/* What the other outbound detectors remember of a flow (outbound.h); all zero at its beginning, and nobody else's. */
struct flow_marks {
	uint64_t bytes_out, bytes_in; /* that were counted */
	bool begun;                   /* it was counted among what was opened */
	bool answered, failed;
	bool named; /* its name was looked at */
};

/* One end's view: `local` is the end that is judged. */
struct flow {
	uint64_t start_ns, last_ns; /* Unix time */
	struct event_address local, remote;
	uint8_t transport; /* IPPROTO_TCP or IPPROTO_UDP */
	bool inbound;      /* the remote end opened it */
	bool partial;      /* its beginning was not seen, so who opened it is a guess */
	enum flow_state state;
	uint64_t bytes_out, bytes_in; /* payload */
	uint64_t packets_out, packets_in;
	struct text name; /* that the local end had resolved to the remote's address; empty: none, or not known */
	struct flow_notes notes;
	struct flow_marks marks;
};

/* A message whose first bytes were sampled; its bytes are good during the call only. */
struct flow_message {
	uint64_t time_ns;
	bool out;            /* the local end sent it */
	unsigned int number; /* of its direction, from 0 */
	struct payload payload;
};

/* The remote end was there: it took the connection, or something came from it. */
bool flow_is_answered(const struct flow *flow);
/* Nobody was. */
bool flow_has_failed(const struct flow *flow);

/* The same flow from its other end; the notes and marks are empty. */
struct flow flow_flip(const struct flow *flow);

bool flow_address_equal(const struct event_address *a, const struct event_address *b); /* without the ports */
/* 224.0.0.0/4, ff00::/8, 255.255.255.255: a name for many, not for somebody. */
bool flow_address_is_many(const struct event_address *address);

enum { FLOW_END_TEXT = 64 };
/* "198.18.0.1:6881", "[fd00::1]:6881", without the port if it is 0. Returns `text`. */
const char *flow_end_format(char text[FLOW_END_TEXT], const struct event_address *address);

/* --- inside --------------------------------------------------------------------------------------------------------------- */

struct flow_range {
	struct event_address address;
	unsigned int bits;
};

struct flow_ranges {
	struct flow_range ranges[FLOW_RANGES_MAX];
	size_t count;
};

/*
 * RFC 1918, 100.64/10 (RFC 6598), 169.254/16, loopback, multicast and broadcast, fc00::/7, fe80::/10. Documentation
 * (RFC 5737) and benchmark (RFC 2544) networks are outside, so that tests can have an outside of their own.
 */
void flow_ranges_default(struct flow_ranges *ranges);
/* Adds "10.0.0.0/8", "fd00::/8" or one address. 0, -EINVAL for what is none, -ENOSPC past FLOW_RANGES_MAX. */
int flow_ranges_add(struct flow_ranges *ranges, const char *text);
bool flow_ranges_hold(const struct flow_ranges *ranges, const struct event_address *address);

/* --- the table ------------------------------------------------------------------------------------------------------------ */

struct flow_table;

/*
 * Room for `capacity` flows, all of it taken now, each with `extra` bytes of the owner's. 0 or -ENOMEM.
 */
int flow_table_open(struct flow_table **table, size_t capacity, size_t extra);
/* The extra bytes of the flow between these ends, in this order; NULL if it is not there. It counts as used now. */
void *flow_table_find(struct flow_table *table, uint8_t transport, const struct event_address *one,
	const struct event_address *other);
/*
 * Adds a flow that is not there; where the table is full, in place of the one that was not used longest. Its extra bytes
 * are zero. Allocates nothing.
 */
void *flow_table_add(struct flow_table *table, uint8_t transport, const struct event_address *one,
	const struct event_address *other);
/* The one that was used last before that of `extra`; NULL: the one that was used last. NULL at the end. */
void *flow_table_next(const struct flow_table *table, const void *extra);
/* How many were pushed out by others. */
uint64_t flow_table_pushed_out(const struct flow_table *table);
/* May be called with NULL. */
void flow_table_close(struct flow_table *table);

#endif
