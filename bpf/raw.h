/* SPDX-License-Identifier: Apache-2.0 */
/* Packets on their way out: the peers that were told already, and those packets that a raw socket made itself. */
#ifndef TAFFRAIL_RAW_H
#define TAFFRAIL_RAW_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

enum {
	PEERS_MAX = 65536,

	ETHERTYPE_IPV4 = 0x0800,
	IPV4_SOURCE = 12, /* offset in the IP header */
	IPV4_DESTINATION = 16,
	IPV6_SOURCE = 8,
	IPV6_DESTINATION = 24,
	IPV6_NEXT = 6,
	IPV6_HEADER_SIZE = 40,
};

/* A peer that a socket has sent to. The cookie, not the address: it is never used again. */
struct peer {
	u64 cookie;
	struct kernel_address address;
	u16 family;
	u16 port_be;
	u32 protocol; /* of a raw packet; else 0 */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PEERS_MAX);
	__type(key, struct peer);
	__type(value, u8);
} peers SEC(".maps") __weak;

/* Has a container a packet socket? Mostly none has, and then nobody looks at what is sent by descriptor. */
__u32 packet_socket_seen __weak = 0;

/* Does a socket of this type and protocol send without any address hook? Raw ones, and those that ping without rights. */
static __always_inline bool raw_is(u32 type, u32 protocol)
{
	return type == SOCK_RAW || protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* raw.bpf.c: tells the packet of such a socket, if it is the first to its peer. In the sender's context. */
void raw_sent(struct __sk_buff *packet, u64 socket);

struct call;

/* raw.bpf.c: a send of a packet socket. */
void packet_sent(const struct call *call, struct sock *sk);

#endif
