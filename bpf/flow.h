/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows: what is counted of one while it goes on, and how many of its messages are still to be sampled.
 *
 * A TCP connection is counted by the kernel itself; its sampling is kept with its socket (struct socket_entry). A flow of
 * datagrams has an entry of its own, by its socket and peer. Packets are seen by the cgroup hooks at the root, in whatever
 * context runs: whose they are was noted by the hooks in the owner's own context.
 */
#ifndef TAFFRAIL_FLOW_H
#define TAFFRAIL_FLOW_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

enum {
	FLOWS_MAX = 65536,
	FLOW_RANGES_MAX = 64,
	SAMPLE_MESSAGES = 4, /* of each direction */
	/* On the port of DNS so many in each second: a socket may ask its server all day. */
	SAMPLE_NAME_MESSAGES = 16,

	FLOW_IN = 0, /* indices by direction */
	FLOW_OUT = 1,
	FLOW_CONNECTED = 2, /* beside it: the socket of datagrams has a peer, so it is the one that opened the flow */
};

/* Set by the loader. */
const volatile __u32 flow_interval __weak = 0; /* seconds between two reports of a flow that goes on; 0: none */
const volatile __u32 flow_idle __weak = 60;    /* seconds without a packet that end a flow of datagrams */
const volatile bool flow_samples __weak = false;
__u32 flow_samples_paused __weak = 0; /* by user space, while the sensor costs more than it may; DNS goes on */
const volatile bool flow_ranges __weak = false; /* is there anything in flow_inside? */

/* A clock that costs nothing to read: seconds since boot, set by user space ten times a second. */
__u32 flow_seconds __weak = 0;

/* Networks whose flows are not sampled. Filled before the programs are attached. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOW_RANGES_MAX);
	__type(key, struct kernel_network_prefix);
	__type(value, u8);
} flow_inside SEC(".maps") __weak;

/* What is left to do for a flow. */
struct flow_watch {
	u32 told;     /* in the second of the last report */
	u32 refilled; /* the same, of the allowance for DNS */
	u32 next[2];  /* TCP: the sequence number from which on nothing was seen */
	u8 left[2];   /* messages still to be sampled */
	u8 number[2]; /* messages that were seen while any was to be sampled */
	u8 names;     /* one end is DNS's port */
	u8 inbound;
	u8 zero[2];
};

static __always_inline bool flow_is_inside(const struct kernel_tuple *tuple)
{
	struct kernel_network_prefix prefix = {.bits = 128, .address = tuple->remote};

	if (!flow_ranges)
		return false;
	if (tuple->family == AF_INET) {
		u32 *words = (u32 *)prefix.address.bytes;

		words[3] = words[0];
		words[0] = words[1] = 0;
		words[2] = bpf_htonl(0xffff);
	}
	return bpf_map_lookup_elem(&flow_inside, &prefix) != NULL;
}

/* The flow begins: are its messages sampled? The canary's are, whatever was configured. */
static __always_inline void flow_begin(
	struct flow_watch *watch, const struct kernel_header *owner, const struct kernel_tuple *tuple)
{
	u8 left = 0;

	watch->told = watch->refilled = flow_seconds;
	watch->names = tuple->remote_port_be == bpf_htons(KERNEL_PORT_NAMES) ||
		       tuple->local_port_be == bpf_htons(KERNEL_PORT_NAMES);
	if (owner->flags & KERNEL_CANARY ||
		(flow_samples && !watch->names && !flow_samples_paused && !flow_is_inside(tuple)))
		left = SAMPLE_MESSAGES;
	if (flow_samples && watch->names)
		left = SAMPLE_NAME_MESSAGES;
	watch->left[FLOW_IN] = watch->left[FLOW_OUT] = left;
}

/* Is it time to tell how far it has come? One of those that ask at a time is told so, as a rule. */
static __always_inline bool flow_due(struct flow_watch *watch)
{
	u32 now = flow_seconds;

	if (!flow_interval || now - watch->told < flow_interval)
		return false;
	watch->told = now;
	return true;
}

/* flow.bpf.c. Tells how far a connection has come; `final`: to its end. */
struct socket_entry;
void flow_tcp_tell(struct socket_entry *entry, u64 socket, bool final);

/* A packet of a socket, at the cgroup hooks; `out`: FLOW_OUT or FLOW_IN. */
void flow_tcp_packet(struct __sk_buff *packet, u64 socket, u32 out);
/* True: it is the first of its direction, or its flow is not counted. False also where the socket is none that is watched. */
bool flow_datagram_packet(struct __sk_buff *packet, u64 socket, u32 out);

/* A socket of datagrams is connected, bound or sends first: its flows are the header's process's. */
void flow_socket_begins(u64 socket, const struct kernel_header *owner);
/* It sends to a peer by its address. Did it do so before, and its flow goes on? Of `send` the peer alone is looked at. */
bool flow_known(u64 socket, const struct kernel_network *send);
/* Then it is known; `send` has the process too. */
void flow_asked(u64 socket, const struct kernel_network *send);
/* It is closed. */
void flow_socket_ends(u64 socket);

#endif
