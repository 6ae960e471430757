/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that say something by being there: raw, packet, vsock, and all the kinds that containers have no use for. And
 * what raw and packet sockets send, which no address hook sees.
 */
#include "bpf/raw.h"
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/task.h"
#include "bpf/uring.h"

enum {
	PROTOCOL_MPTCP_SOCKET = 262,
	SOCK_TYPE_MASK = 0xf,
	SOCK_PACKET_OLD = 10, /* a packet socket, of whichever family it is asked for */
	DEVICE_NAME = 14,     /* of its sockaddr_pkt, after the family */

	/* AF_NETLINK's protocols that watch or change what protects the machine (linux/netlink.h). */
	NETLINK_XFRM = 6,
	NETLINK_AUDIT = 9,
	NETLINK_CONNECTOR = 11,
	NETLINK_NETFILTER = 12,

	IPV4_PROTOCOL = 9, /* offset in the IP header */
};

/* --- sockets ---------------------------------------------------------------------------------------------------------- */

/* What is left out is what programs open by the thousand: streams and datagrams of TCP, UDP and unix, routes' netlink. */
static __always_inline bool socket_matters(u32 family, u32 type, u32 protocol)
{
	switch (family) {
	case AF_UNSPEC:
	case AF_UNIX: return false;
	case AF_INET:
	case AF_INET6:
		if (type == SOCK_STREAM)
			return protocol && protocol != IPPROTO_TCP && protocol != PROTOCOL_MPTCP_SOCKET;
		if (type == SOCK_DGRAM)
			return protocol && protocol != IPPROTO_UDP && protocol != IPPROTO_UDPLITE;
		return true;
	case AF_NETLINK:
		return protocol == NETLINK_XFRM || protocol == NETLINK_AUDIT || protocol == NETLINK_CONNECTOR ||
		       protocol == NETLINK_NETFILTER;
	default: return true;
	}
}

__hidden __noinline void socket_created(const struct call *call, u32 family, u32 type, u32 protocol)
{
	struct kernel_socket record = {};
	bool ordinary;

	type &= SOCK_TYPE_MASK;
	ordinary = !socket_matters(family, type, protocol);
	if (ordinary && !call_asked(KERNEL_CALL_SOCKET))
		return;
	/* While the canary flies, sends are looked at anyway. */
	if ((family == AF_PACKET || type == SOCK_PACKET_OLD) && call->result >= 0 &&
		!(call->header.flags & KERNEL_CANARY))
		packet_socket_seen = 1;
	record.header = call->header;
	if (ordinary)
		record.header.marks |= KERNEL_ASKED;
	record.result = call->result;
	record.result_unknown = call->unknown;
	record.family = family;
	record.type = type;
	record.protocol = protocol;
	ring_send(&record.header, KERNEL_SOCKET, KERNEL_RING_CRITICAL, sizeof(record));
}

/* --- raw packets (in the sender's context) ------------------------------------------------------------------------------ */

static __always_inline bool read_v4(struct __sk_buff *packet, struct kernel_tuple *tuple, u32 *header)
{
	u8 first = 0, protocol = 0;

	if (bpf_skb_load_bytes(packet, 0, &first, 1) < 0 ||
		bpf_skb_load_bytes(packet, IPV4_PROTOCOL, &protocol, 1) < 0 ||
		bpf_skb_load_bytes(packet, IPV4_SOURCE, tuple->local.bytes, 4) < 0 ||
		bpf_skb_load_bytes(packet, IPV4_DESTINATION, tuple->remote.bytes, 4) < 0)
		return false;
	tuple->family = AF_INET;
	tuple->protocol = protocol;
	*header = (first & 15) * 4;
	return true;
}

static __always_inline bool read_v6(struct __sk_buff *packet, struct kernel_tuple *tuple, u32 *header)
{
	u8 protocol = 0;

	if (bpf_skb_load_bytes(packet, IPV6_NEXT, &protocol, 1) < 0 ||
		bpf_skb_load_bytes(packet, IPV6_SOURCE, tuple->local.bytes, 16) < 0 ||
		bpf_skb_load_bytes(packet, IPV6_DESTINATION, tuple->remote.bytes, 16) < 0)
		return false;
	tuple->family = AF_INET6;
	tuple->protocol = protocol;
	*header = IPV6_HEADER_SIZE;
	return true;
}

/* Source and destination port, where the packet's protocol has them. */
static __always_inline void read_ports(struct __sk_buff *packet, struct kernel_tuple *tuple, u32 header)
{
	u16 ports[2] = {};

	if (tuple->protocol != IPPROTO_TCP && tuple->protocol != IPPROTO_UDP && tuple->protocol != IPPROTO_UDPLITE &&
		tuple->protocol != IPPROTO_SCTP)
		return;
	if (bpf_skb_load_bytes(packet, header, ports, sizeof(ports)) < 0)
		return;
	tuple->local_port_be = ports[0];
	tuple->remote_port_be = ports[1];
}

__hidden __noinline void raw_sent(struct __sk_buff *packet, u64 socket)
{
	struct sock *sk = socket_plain(socket);
	struct kernel_network send = {};
	struct peer peer = {};
	u32 header = 0;
	u8 one = 1;
	bool v4 = packet->protocol == bpf_htons(ETHERTYPE_IPV4);

	/* The kernel's own sockets, which answer pings in whatever context runs, have no file. */
	if (!kernel_get(sk, sk_socket, file))
		return;
	if (v4 ? !read_v4(packet, &send.tuple, &header) : !read_v6(packet, &send.tuple, &header))
		return;
	send.tuple.type = kernel_get(sk, sk_type);
	read_ports(packet, &send.tuple, header);
	peer.cookie = bpf_get_socket_cookie(packet);
	peer.address = send.tuple.remote;
	peer.family = send.tuple.family;
	peer.port_be = send.tuple.remote_port_be;
	peer.protocol = send.tuple.protocol;
	if (bpf_map_lookup_elem(&peers, &peer) || !task_current(&send.header))
		return;
	if (bpf_map_update_elem(&peers, &peer, &one, BPF_NOEXIST))
		return;
	send.header.flags |= uring_flag((u64)sk);
	ring_send(&send.header, KERNEL_SEND, KERNEL_RING_CRITICAL, sizeof(send));
}

/* --- sends by descriptor (at the exit of system calls, or as io_uring is asked) --------------------------------------------- */

/* The first frame of a packet socket on each network device. */
__hidden __noinline void packet_sent(const struct call *call, struct sock *sk)
{
	struct peer peer = {.cookie = (u64)sk, .family = AF_PACKET};
	struct scratch *scratch;
	struct kernel_network *send;
	u32 interface = 0;
	u8 one = 1;

	if (call->result < 0)
		return;
	if (bpf_core_type_exists(struct packet_sock))
		interface = kernel_get((struct packet_sock *)sk, ifindex);
	*(u64 *)peer.address.bytes = socket_inode(sk);
	if (kernel_get(sk, sk_type) == SOCK_PACKET_OLD) {
		char device[16] = {}; /* which it names with each frame: its number is not known here */
		u64 *words = (u64 *)device;

		if (call->address || call->name)
			read_sockaddr(call, device, 2, DEVICE_NAME);
		*(u64 *)(peer.address.bytes + 8) = words[0];
		peer.protocol = words[1];
		peer.port_be = words[1] >> 32;
	} else {
		if (!interface && (call->address || call->name)) /* not bound: of the sockaddr_ll, claimed or not */
			read_sockaddr(call, &interface, 4, sizeof(interface));
		peer.protocol = interface;
	}
	if (bpf_map_update_elem(&peers, &peer, &one, BPF_NOEXIST))
		return;
	scratch = network_scratch(call, KERNEL_SEND);
	if (!scratch)
		return;
	send = (void *)scratch->record;
	send->result = 0; /* not the bytes */
	send->interface = interface;
	read_tuple(&send->tuple, sk);
	ring_send(&send->header, KERNEL_SEND, KERNEL_RING_CRITICAL, sizeof(*send));
	scratch_give(scratch);
}

__hidden __noinline bool socket_sent(const struct call *call)
{
	struct sock *sk = socket_of_call(call, call->fd);

	if (!sk)
		return false;
	switch (kernel_get(sk, __sk_common.skc_family)) {
	case AF_PACKET: packet_sent(call, sk); return false;
	case AF_UNIX:
		if (unix_by_exit)
			unix_sent(call, sk);
		return false;
	case AF_INET:
	case AF_INET6: return call->flags & MSG_FASTOPEN;
	default: return false;
	}
}
