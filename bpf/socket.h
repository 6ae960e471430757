/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that matter: what is kept with one, and its addresses.
 *
 * A socket changes its state, and its packets leave, in whatever softirq runs; so who made the call is noted with the
 * socket by those hooks that run in the caller's own context, and never taken from `current` elsewhere.
 */
#ifndef TAFFRAIL_SOCKET_H
#define TAFFRAIL_SOCKET_H

#include "bpf/atomic.h"
#include "bpf/flow.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"
#include "bpf/ring.h"

enum {
	SOCKETS_MAX = 65536,
	PROTOCOL_MPTCP = 262,

	/* socket_entry.flags */
	SOCKET_IN_CALL = FLAG(0),     /* a connect began, and its system call has not returned */
	SOCKET_BEGUN = FLAG(1),       /* CONNECT was sent, CONNECT_DONE not yet */
	SOCKET_FAILED = FLAG(2),      /* CONNECT_DONE told a failure that the program has still to fetch */
	SOCKET_ESTABLISHED = FLAG(3), /* DISCONNECT will follow */
	SOCKET_ACCEPTED = FLAG(4),
	SOCKET_SENDS = FLAG(5),    /* a datagram is on its way whose source address is not known yet */
	SOCKET_ARRIVED = FLAG(7),  /* from outside, and nobody has accepted it yet */
	SOCKET_LEFT_OUT = FLAG(6), /* CONNECT was left out, and counted: CONNECT_DONE will not be told either */
};

/* What is known of a socket while it matters. */
struct socket_entry {
	struct kernel_header owner; /* who connected, accepted or sent */
	u64 flags;
	u64 established_ns;
	struct kernel_tuple tuple; /* of a connect or a datagram: the remote end */
	struct flow_watch watch;   /* of a connection, from when it is established */
};

/* By the socket's address in the kernel; sock_release and the end of a connection take entries away. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, u64);
	__type(value, struct socket_entry);
} sockets SEC(".maps") __weak;

static const struct socket_entry no_entry = {};

/* datagram.bpf.c: tells the datagram that the entry remembers, if there is one (SOCKET_SENDS). */
void datagram_tell(struct socket_entry *entry);

/* A new entry, or the socket's own, made new. NULL where the map is full: that is counted as a loss of `kind`. */
static __always_inline struct socket_entry *entry_new(u64 key, u32 kind)
{
	struct socket_entry *entry = NULL;

	if (bpf_map_update_elem(&sockets, &key, &no_entry, BPF_ANY) == 0)
		entry = bpf_map_lookup_elem(&sockets, &key);
	if (!entry)
		ring_unsent(kind, kind == KERNEL_FLOW ? KERNEL_RING_BULK : KERNEL_RING_CRITICAL);
	return entry;
}

/* --- what the kernel counts of a connection ------------------------------------------------------------------------------ */

enum { SOCK_DONE_BIT = 1 << 1 }; /* enum sock_flags: a FIN has come (tcp_fin) */

struct tcp_counts {
	u64 bytes_sent, bytes_received; /* payload */
	u64 packets_sent, packets_received;
};

static __always_inline void tcp_count(struct sock *sk, struct tcp_counts *counts)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	counts->bytes_sent = kernel_get(tcp, bytes_sent) - kernel_get(tcp, bytes_retrans);
	counts->bytes_received = kernel_get(tcp, bytes_received);
	/* A FIN counts as a byte. */
	if (counts->bytes_received && kernel_get(sk, __sk_common.skc_flags) & SOCK_DONE_BIT)
		counts->bytes_received--;
	counts->packets_sent = kernel_get(tcp, segs_out);
	counts->packets_received = kernel_get(tcp, segs_in);
}

/* --- addresses ------------------------------------------------------------------------------------------------------ */

/* ::ffff:a.b.c.d becomes a.b.c.d. True if it was one. */
static __always_inline bool unmap(struct kernel_address *address)
{
	u32 *word = (u32 *)address->bytes;

	if (word[0] || word[1] || word[2] != bpf_htonl(0xffff))
		return false;
	word[0] = word[3];
	word[2] = word[3] = 0;
	return true;
}

/* Both ends as the socket has them. */
static __always_inline void read_tuple(struct kernel_tuple *tuple, struct sock *sk)
{
	tuple->family = kernel_get(sk, __sk_common.skc_family);
	tuple->protocol = kernel_get(sk, sk_protocol);
	tuple->type = kernel_get(sk, sk_type);
	if (tuple->protocol == PROTOCOL_MPTCP)
		tuple->protocol = IPPROTO_TCP;
	if (tuple->family != AF_INET && tuple->family != AF_INET6)
		return;
	tuple->local_port_be = kernel_get((struct inet_sock *)sk, inet_sport);
	tuple->remote_port_be = kernel_get(sk, __sk_common.skc_dport);
	if (tuple->family == AF_INET6) {
		BPF_CORE_READ_INTO(&tuple->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&tuple->remote, sk, __sk_common.skc_v6_daddr);
		if (!unmap(&tuple->local) && !unmap(&tuple->remote))
			return;
		tuple->family = AF_INET;
		__builtin_memset(&tuple->local, 0, sizeof(tuple->local));
		__builtin_memset(&tuple->remote, 0, sizeof(tuple->remote));
	}
	*(u32 *)tuple->local.bytes = kernel_get(sk, __sk_common.skc_rcv_saddr);
	*(u32 *)tuple->remote.bytes = kernel_get(sk, __sk_common.skc_daddr);
}

static __always_inline bool is_inet(struct sock *sk)
{
	u16 family = kernel_get(sk, __sk_common.skc_family);

	return family == AF_INET || family == AF_INET6;
}

/* Which end is the server is not kept anywhere: it is taken to be the one with the smaller port. */
static __always_inline bool is_server(const struct kernel_tuple *tuple)
{
	return bpf_ntohs(tuple->local_port_be) < bpf_ntohs(tuple->remote_port_be);
}

#endif
