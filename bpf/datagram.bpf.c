/* SPDX-License-Identifier: Apache-2.0 */
/* UDP: the first datagram of each socket to each peer. */
#include "bpf/flow.h"
#include "bpf/policy.h"
#include "bpf/raw.h"
#include "bpf/socket.h"
#include "bpf/task.h"
#include "bpf/uring.h"

__hidden __noinline void datagram_tell(struct socket_entry *entry)
{
	struct kernel_network send = {};

	if (!flags_take(&entry->flags, SOCKET_SENDS))
		return;
	send.header = entry->owner;
	send.tuple = entry->tuple;
	ring_send(&send.header, KERNEL_SEND, KERNEL_RING_CRITICAL, sizeof(send));
}

/* --- the hooks -------------------------------------------------------------------------------------------------------- */

/*
 * The first datagram to a peer. Where the socket is bound to an address the record leaves here; else the kernel chooses
 * the source by its routes after this hook, and the record leaves with the packet (datagram_egress), or, if none came,
 * without a source when the socket sends to the next peer or is closed.
 */
static __always_inline int datagram_begins(u64 key, u64 cookie, struct kernel_network *send)
{
	struct socket_entry *entry;
	struct peer peer = {
		.cookie = cookie,
		.address = send->tuple.remote,
		.family = send->tuple.family,
		.port_be = send->tuple.remote_port_be,
	};
	u64 *local = (u64 *)send->tuple.local.bytes;
	bool bound = local[0] || local[1];
	u8 one = 1;

	/* A flow that goes on is the shortest way; most of what a machine sends is no container's, and found out next. */
	if (send->tuple.protocol == IPPROTO_UDP && flow_known(key, send))
		return 1;
	if (!task_untimed(&send->header))
		return 1;
	if (send->tuple.protocol == IPPROTO_UDP)
		flow_asked(key, send);
	if (bpf_map_lookup_elem(&peers, &peer))
		return 1;
	send->header.time_ns = bpf_ktime_get_boot_ns();
	/* Of two threads that send to one new peer at a time, one tells. */
	if (bpf_map_update_elem(&peers, &peer, &one, BPF_NOEXIST))
		return 1;
	send->header.flags |= uring_flag(key);
	if (policy_leaves_out(&send->header, KERNEL_SEND))
		return 1;
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry)
		datagram_tell(entry);
	if (!bound)
		entry = entry_new(key, KERNEL_SEND);
	if (bound || !entry) {
		ring_send(&send->header, KERNEL_SEND, KERNEL_RING_CRITICAL, sizeof(*send));
		return 1;
	}
	entry->owner = send->header;
	entry->tuple = send->tuple;
	flags_set(&entry->flags, SOCKET_SENDS);
	return 1;
}

SEC("cgroup/sendmsg4")
int datagram_sendmsg4(struct bpf_sock_addr *address)
{
	struct kernel_network send = {};
	struct bpf_sock *sk = address->sk;

	if (!sk || !address->user_port) /* without an address: connected, but with options of its own */
		return 1;
	send.tuple.family = AF_INET;
	send.tuple.protocol = address->protocol;
	send.tuple.type = address->type;
	*(u32 *)send.tuple.remote.bytes = address->user_ip4;
	send.tuple.remote_port_be = address->user_port;
	*(u32 *)send.tuple.local.bytes = address->msg_src_ip4;
	if (!address->msg_src_ip4)
		*(u32 *)send.tuple.local.bytes = sk->src_ip4;
	send.tuple.local_port_be = bpf_htons(sk->src_port);
	return datagram_begins((u64)sk, bpf_get_socket_cookie(address), &send);
}

SEC("cgroup/sendmsg6")
int datagram_sendmsg6(struct bpf_sock_addr *address)
{
	struct kernel_network send = {};
	struct bpf_sock *sk = address->sk;
	u32 *remote = (u32 *)send.tuple.remote.bytes, *local = (u32 *)send.tuple.local.bytes;

	if (!sk || !address->user_port) /* without an address: connected, but with options of its own */
		return 1;
	send.tuple.family = AF_INET6;
	send.tuple.protocol = address->protocol;
	send.tuple.type = address->type;
	remote[0] = address->user_ip6[0];
	remote[1] = address->user_ip6[1];
	remote[2] = address->user_ip6[2];
	remote[3] = address->user_ip6[3];
	local[0] = address->msg_src_ip6[0];
	local[1] = address->msg_src_ip6[1];
	local[2] = address->msg_src_ip6[2];
	local[3] = address->msg_src_ip6[3];
	send.tuple.remote_port_be = address->user_port;
	send.tuple.local_port_be = bpf_htons(sk->src_port);
	return datagram_begins((u64)sk, bpf_get_socket_cookie(address), &send);
}

/* Reads the source of the packet if it goes to where the entry's datagram goes. */
static __always_inline bool packet_source(struct __sk_buff *packet, struct kernel_tuple *tuple)
{
	struct kernel_address to = {};
	bool v4 = packet->protocol == bpf_htons(ETHERTYPE_IPV4);
	u32 size = v4 ? 4 : 16;

	if (tuple->family != (v4 ? AF_INET : AF_INET6))
		return false;
	if (v4) {
		if (bpf_skb_load_bytes(packet, IPV4_DESTINATION, to.bytes, 4) < 0)
			return false;
	} else if (bpf_skb_load_bytes(packet, IPV6_DESTINATION, to.bytes, 16) < 0) {
		return false;
	}
	for (u32 i = 0; i < 16; i++)
		if (i < size && to.bytes[i] != tuple->remote.bytes[i])
			return false;
	if (v4)
		return bpf_skb_load_bytes(packet, IPV4_SOURCE, tuple->local.bytes, 4) == 0;
	return bpf_skb_load_bytes(packet, IPV6_SOURCE, tuple->local.bytes, 16) == 0;
}

SEC("cgroup_skb/egress")
int datagram_egress(struct __sk_buff *packet)
{
	struct bpf_sock *sk = packet->sk;
	struct socket_entry *entry;
	u64 key;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	if (raw_is(sk->type, sk->protocol))
		raw_sent(packet, (u64)sk);
	key = (u64)sk;
	if (sk->protocol == IPPROTO_TCP)
		flow_tcp_packet(packet, key, FLOW_OUT);
	if (sk->protocol != IPPROTO_UDP || !flow_datagram_packet(packet, key, FLOW_OUT))
		return 1;
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry && entry->flags & SOCKET_SENDS && packet_source(packet, &entry->tuple))
		datagram_tell(entry);
	return 1;
}
