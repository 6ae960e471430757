/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of containers' sockets: how many and how much for each flow, and the first bytes of its first messages.
 *
 * Bytes of TCP are counted by the kernel, and read where a report is due. Those of datagrams are counted here, by socket and
 * peer, from the socket's first bind, connect or send until it is closed, or for as long as packets come. A table that is
 * full counts a loss for each packet that it turns away.
 */
#include "bpf/flow.h"
#include "bpf/loop.h"
#include "bpf/raw.h"
#include "bpf/ring.h"
#include "bpf/socket.h"
#include "bpf/task.h"
#include "bpf/uring.h"

enum {
	UDP_HEADER = 8,
	IPV6_EXTENSIONS_MAX = 4,
	IPV6_HOP_BY_HOP = 0,
	IPV6_ROUTING = 43,
	IPV6_FRAGMENT = 44,
	IPV6_OPTIONS = 60,

	TCP_FLAG_SYN = 1 << 1, /* bits of tcp_start.flags */

	FLOW_CHAIN_MAX = 16, /* flows of a socket that end with it at once; others end by idleness */
};

/* The beginning of a TCP header. */
struct tcp_start {
	u16 ports[2];
	__be32 sequence, acknowledged;
	u8 offset; /* in its upper half, of the payload, in words */
	u8 flags;
	u16 window;
};

/* A flow of datagrams. Not by the socket's address alone, which another socket may have later. */
struct flow_key {
	u64 socket;
	u64 since_ns; /* of the socket's entry */
	struct kernel_address remote;
	u16 family;
	u16 remote_port_be;
	u32 zero;
};

struct flow_socket {
	struct kernel_header owner;
	u64 since_ns;
	struct flow_key last; /* its flow that began last */
};

struct flow_entry {
	struct kernel_header owner;
	u64 number; /* kernel_flow.connection */
	u64 start_ns, last_ns;
	u64 bytes[2], packets[2];
	struct kernel_tuple tuple;
	struct flow_watch watch;
	u32 seen;               /* in the second of its last packet */
	u32 asked;              /* it was sent to by its address, so the peer was told */
	struct flow_key before; /* the flow of the socket that began before it */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS_MAX);
	__type(key, u64);
	__type(value, struct flow_socket);
} flow_sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, FLOWS_MAX);
	__type(key, struct flow_key);
	__type(value, struct flow_entry);
} flows SEC(".maps");

static const struct flow_socket no_socket = {};
static const struct flow_entry no_flow = {};

/* --- where a packet's parts stand ------------------------------------------------------------------------------------- */

/* Where the header of `protocol` begins; 0: nowhere. */
static __noinline u32 transport_of_v6(struct __sk_buff *packet, u32 protocol)
{
	u32 at = IPV6_HEADER_SIZE;
	u8 next = 0;

	if (bpf_skb_load_bytes(packet, IPV6_NEXT, &next, 1) < 0)
		return 0;
#pragma unroll
	for (u32 i = 0; i < IPV6_EXTENSIONS_MAX; i++) {
		u8 start[2] = {};

		if (next == protocol)
			return at;
		if (next != IPV6_HOP_BY_HOP && next != IPV6_ROUTING && next != IPV6_OPTIONS && next != IPV6_FRAGMENT)
			return 0;
		if (bpf_skb_load_bytes(packet, at, start, sizeof(start)) < 0)
			return 0;
		at += next == IPV6_FRAGMENT ? 8 : (start[1] + 1) * 8;
		next = start[0];
	}
	return next == protocol ? at : 0;
}

static __always_inline u32 transport_of(struct __sk_buff *packet, u32 protocol)
{
	u8 first = 0;

	if (packet->protocol != bpf_htons(ETHERTYPE_IPV4))
		return transport_of_v6(packet, protocol);
	if (bpf_skb_load_bytes(packet, 0, &first, 1) < 0)
		return 0;
	return (first & 15) * 4;
}

/* The headers of a datagram, as they stand one behind the other where nothing is between them. */
struct datagram_v4 {
	u8 version, service[7], hops, protocol, sum[2];
	__be32 source, destination;
	u16 ports[2] __attribute__((aligned(4)));
};

struct datagram_v6 {
	u8 version[6], next, hops;
	struct kernel_address source, destination;
	u16 ports[2] __attribute__((aligned(4)));
};

/* A word of two ports, the source's first; not by an index, of which clang makes arithmetic that the verifier refuses. */
static __always_inline void ports_set(struct kernel_tuple *tuple, u32 ports, u32 out)
{
	u16 first = ports & 0xffff, second = ports >> 16; /* all machines that run this are little-endian */

	tuple->local_port_be = out ? first : second;
	tuple->remote_port_be = out ? second : first;
}

/* Both ends of a datagram, `local` being the socket's. Returns where its payload begins; 0: it cannot be read. */
static __always_inline u32 datagram_ends_v4(struct __sk_buff *packet, struct kernel_tuple *tuple, u32 out)
{
	struct datagram_v4 header;
	u32 at = sizeof(header) - sizeof(header.ports);

	if (bpf_skb_load_bytes(packet, 0, &header, sizeof(header)) < 0)
		return 0;
	if ((header.version & 15) * 4 != at) { /* there are options */
		at = (header.version & 15) * 4;
		if (bpf_skb_load_bytes(packet, at, header.ports, sizeof(header.ports)) < 0)
			return 0;
	}
	tuple->family = AF_INET;
	*(u32 *)tuple->local.bytes = out ? header.source : header.destination;
	*(u32 *)tuple->remote.bytes = out ? header.destination : header.source;
	ports_set(tuple, *(u32 *)header.ports, out);
	return at + UDP_HEADER;
}

static __always_inline u32 datagram_ends_v6(struct __sk_buff *packet, struct kernel_tuple *tuple, u32 out)
{
	struct datagram_v6 header;
	u32 at = IPV6_HEADER_SIZE;

	if (bpf_skb_load_bytes(packet, 0, &header, sizeof(header)) < 0)
		return 0;
	if (header.next != IPPROTO_UDP) {
		at = transport_of_v6(packet, IPPROTO_UDP);
		if (!at || bpf_skb_load_bytes(packet, at, header.ports, sizeof(header.ports)) < 0)
			return 0;
	}
	tuple->family = AF_INET6;
	if (out) {
		tuple->local = header.source;
		tuple->remote = header.destination;
	} else {
		tuple->local = header.destination;
		tuple->remote = header.source;
	}
	ports_set(tuple, *(u32 *)header.ports, out);
	return at + UDP_HEADER;
}

static __noinline u32 datagram_ends(struct __sk_buff *packet, struct kernel_tuple *tuple, u32 out)
{
	tuple->protocol = IPPROTO_UDP;
	tuple->type = SOCK_DGRAM;
	return packet->protocol == bpf_htons(ETHERTYPE_IPV4) ? datagram_ends_v4(packet, tuple, out)
							     : datagram_ends_v6(packet, tuple, out);
}

/* --- samples ------------------------------------------------------------------------------------------------------------ */

/* What a sample says of its flow. */
struct sampled {
	u64 connection, start_ns;
	u32 at, size; /* of the message in its packet */
	u32 out;
};

/* Is it the beginning of a TLS ClientHello (RFC 8446, 5.1)? The name of the server stands in it, behind much else. */
static __always_inline bool is_hello(struct __sk_buff *packet, const struct sampled *message)
{
	u8 start[6] = {};

	return bpf_skb_load_bytes(packet, message->at, start, sizeof(start)) == 0 && start[0] == 22 && start[1] == 3 &&
	       start[5] == 1;
}

/*
 * Sends the message's first bytes and takes it from what is left to be sampled. `left` is kept by whoever runs: of two that
 * run at a time on a flow both may take the same one, and a message more is sampled.
 */
static __noinline void sample_send(struct __sk_buff *packet, const struct sampled *message,
	const struct kernel_header *owner, const struct kernel_tuple *tuple, struct flow_watch *watch)
{
	struct scratch *scratch = scratch_take();
	u32 out = message->out & 1, most = watch->names ? KERNEL_SAMPLE_NAME_BYTES : KERNEL_SAMPLE_BYTES;
	u32 length = message->size < most ? message->size : most;
	bool answer = !out && !watch->inbound && tuple->remote_port_be == bpf_htons(KERNEL_PORT_NAMES);
	bool hello = tuple->protocol == IPPROTO_TCP && out != watch->inbound && !watch->number[out] &&
		     is_hello(packet, message);
	bool names = answer || hello;
	struct kernel_sample *sample;

	if (hello)
		length = message->size < KERNEL_SAMPLE_NAME_BYTES ? message->size : KERNEL_SAMPLE_NAME_BYTES;
	watch->left[out]--;
	if (!scratch) {
		if (names)
			ring_unsent(KERNEL_ANSWER, KERNEL_RING_CRITICAL);
		else
			ring_unsent(KERNEL_SAMPLE, KERNEL_RING_BULK);
		return;
	}
	sample = (void *)scratch->record;
	__builtin_memset(sample, 0, sizeof(*sample));
	sample->header = *owner;
	sample->header.time_ns = bpf_ktime_get_boot_ns();
	sample->connection = message->connection;
	sample->start_ns = message->start_ns;
	sample->tuple = *tuple;
	sample->whole = message->size;
	sample->out = out;
	sample->number = watch->number[out];
	sample->inbound = watch->inbound;
	if (watch->number[out] < 255)
		watch->number[out]++;
	barrier_var(length);
	length = ((length - 1) & (KERNEL_SAMPLE_NAME_BYTES - 1)) + 1;
	if (bpf_skb_load_bytes(packet, message->at, scratch->record + sizeof(*sample), length) == 0) {
		string_note(&sample->data, sizeof(*sample), length);
		if (names)
			ring_send(&sample->header, KERNEL_ANSWER, KERNEL_RING_CRITICAL, sizeof(*sample) + length);
		else
			ring_send(&sample->header, KERNEL_SAMPLE, KERNEL_RING_BULK, sizeof(*sample) + length);
	}
	scratch_give(scratch);
}

/* --- TCP ---------------------------------------------------------------------------------------------------------------- */

/* FLOW of a connection: in between, or, if nobody had accepted it, at its end. */
__hidden __noinline void flow_tcp_tell(struct socket_entry *entry, u64 socket, bool final)
{
	struct sock *sk = socket_plain(socket);
	struct kernel_flow flow = {};
	struct tcp_counts counts;

	tcp_count(sk, &counts);
	flow.header = entry->owner;
	flow.header.time_ns = flow.last_ns = bpf_ktime_get_boot_ns();
	flow.connection = socket;
	flow.start_ns = entry->established_ns;
	flow.bytes_sent = counts.bytes_sent;
	flow.bytes_received = counts.bytes_received;
	flow.packets_sent = counts.packets_sent;
	flow.packets_received = counts.packets_received;
	flow.tuple = entry->tuple;
	flow.error = final ? kernel_get(sk, sk_err) : 0;
	flow.inbound = entry->watch.inbound;
	flow.final = final;
	ring_send(&flow.header, KERNEL_FLOW, KERNEL_RING_BULK, sizeof(flow));
}

/* A segment: is it the next of its direction, and not one that was seen? `next` moves on; what was left out is not waited for. */
static __always_inline void tcp_sample(struct __sk_buff *packet, u64 socket, struct socket_entry *entry, u32 out)
{
	struct flow_watch *watch = &entry->watch;
	struct sampled message = {.connection = socket, .start_ns = entry->established_ns, .out = out};
	struct tcp_start start = {};
	u32 sequence, end, at = transport_of(packet, IPPROTO_TCP);
	bool fresh;

	if (!at || bpf_skb_load_bytes(packet, at, &start, sizeof(start)) < 0)
		return;
	at += (start.offset >> 4) * 4;
	if (at >= packet->len)
		return;
	message.at = at;
	message.size = packet->len - at;
	sequence = bpf_ntohl(start.sequence) + (start.flags & TCP_FLAG_SYN ? 1 : 0);
	end = sequence + message.size;
	fresh = (s32)(sequence - watch->next[out & 1]) >= 0;
	if ((s32)(end - watch->next[out & 1]) <= 0)
		return;
	watch->next[out & 1] = end;
	if (fresh)
		sample_send(packet, &message, &entry->owner, &entry->tuple, watch);
}

__hidden __noinline void flow_tcp_packet(struct __sk_buff *packet, u64 socket, u32 out)
{
	struct socket_entry *entry = bpf_map_lookup_elem(&sockets, &socket);

	if (!entry)
		return;
	if (entry->watch.names && entry->watch.refilled != flow_seconds && flow_samples) {
		entry->watch.refilled = flow_seconds;
		entry->watch.left[FLOW_IN] = entry->watch.left[FLOW_OUT] = SAMPLE_NAME_MESSAGES;
	}
	if (entry->watch.left[out & 1])
		tcp_sample(packet, socket, entry, out);
	if (entry->established_ns && flow_due(&entry->watch))
		flow_tcp_tell(entry, socket, false);
}

/* --- datagrams ------------------------------------------------------------------------------------------------------------ */

/* FLOW of datagrams. Nothing is told of one that had none. With a key it ends, and is told by whoever takes it away. */
static __noinline void datagram_flow_tell(struct flow_entry *from, const struct flow_key *ends)
{
	struct kernel_flow flow = {};

	flow.header = from->owner;
	flow.header.time_ns = ends ? bpf_ktime_get_boot_ns() : from->last_ns;
	flow.connection = from->number;
	flow.start_ns = from->start_ns;
	flow.last_ns = from->last_ns;
	flow.bytes_sent = from->bytes[FLOW_OUT];
	flow.bytes_received = from->bytes[FLOW_IN];
	flow.packets_sent = from->packets[FLOW_OUT];
	flow.packets_received = from->packets[FLOW_IN];
	flow.tuple = from->tuple;
	flow.inbound = from->watch.inbound;
	flow.final = ends != NULL;
	if (ends && bpf_map_delete_elem(&flows, ends) != 0)
		return;
	if (flow.packets_sent || flow.packets_received)
		ring_send(&flow.header, KERNEL_FLOW, KERNEL_RING_BULK, sizeof(flow));
}

static __always_inline void key_set(
	struct flow_key *key, u64 socket, const struct flow_socket *of, const struct kernel_tuple *tuple)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->socket = socket;
	key->since_ns = of->since_ns;
	key->remote = tuple->remote;
	key->family = tuple->family;
	key->remote_port_be = tuple->remote_port_be;
}

/* A new flow; of two that make it at a time both get the same. NULL: there is no room, and that is counted. */
static __noinline struct flow_entry *flow_new(struct flow_socket *of, const struct flow_key *key,
	const struct kernel_header *owner, const struct kernel_tuple *tuple, bool inbound)
{
	bool first = bpf_map_update_elem(&flows, key, &no_flow, BPF_NOEXIST) == 0;
	struct flow_entry *flow = bpf_map_lookup_elem(&flows, key);

	if (!flow) {
		ring_unsent(KERNEL_FLOW, KERNEL_RING_BULK);
		return NULL;
	}
	if (!first)
		return flow;
	flow->owner = *owner;
	flow->number = (u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	flow->start_ns = flow->last_ns = bpf_ktime_get_boot_ns();
	flow->tuple = *tuple;
	flow->seen = flow_seconds;
	flow->watch.inbound = inbound;
	flow->before = of->last;
	of->last = *key;
	flow_begin(&flow->watch, owner, tuple);
	return flow;
}

/* The socket's entry, made if it is not there: then the owner is the header's process. */
static __noinline struct flow_socket *flow_socket_of(u64 socket, const struct kernel_header *owner)
{
	struct flow_socket *of = bpf_map_lookup_elem(&flow_sockets, &socket);

	if (of)
		return of;
	if (bpf_map_update_elem(&flow_sockets, &socket, &no_socket, BPF_NOEXIST) == 0) {
		of = bpf_map_lookup_elem(&flow_sockets, &socket);
		if (of) {
			of->owner = *owner;
			of->since_ns = bpf_ktime_get_boot_ns();
		}
	}
	if (!of)
		ring_unsent(KERNEL_FLOW, KERNEL_RING_BULK);
	return of;
}

__hidden __noinline void flow_socket_begins(u64 socket, const struct kernel_header *owner)
{
	flow_socket_of(socket, owner);
}

__hidden __noinline bool flow_known(u64 socket, const struct kernel_network *send)
{
	struct flow_socket *of = bpf_map_lookup_elem(&flow_sockets, &socket);
	struct flow_entry *flow;
	struct flow_key key;

	if (!of)
		return false;
	key_set(&key, socket, of, &send->tuple);
	flow = bpf_map_lookup_elem(&flows, &key);
	return flow && flow->asked;
}

__hidden __noinline void flow_asked(u64 socket, const struct kernel_network *send)
{
	struct flow_socket *of = flow_socket_of(socket, &send->header);
	struct flow_entry *flow;
	struct flow_key key;

	if (!of)
		return;
	key_set(&key, socket, of, &send->tuple);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		flow = flow_new(of, &key, &send->header, &send->tuple, false);
	if (flow)
		flow->asked = 1;
}

/* One flow after the other, from the last on. */
static long flow_socket_step(u32 index, void *data)
{
	struct flow_key *key = data, before;
	struct flow_entry *flow = bpf_map_lookup_elem(&flows, key);

	(void)index;
	if (!flow)
		return 1;
	before = flow->before;
	datagram_flow_tell(flow, key);
	*key = before;
	return 0;
}

__hidden __noinline void flow_socket_ends(u64 socket)
{
	struct flow_socket *of = bpf_map_lookup_elem(&flow_sockets, &socket);
	struct flow_key key;

	if (!of)
		return;
	key = of->last;
	loop(FLOW_CHAIN_MAX, flow_socket_step, &key);
	bpf_map_delete_elem(&flow_sockets, &socket);
}

/* How many datagrams a packet stands for that the kernel has put together, or will take apart. */
static __always_inline u32 datagrams_of(struct __sk_buff *packet)
{
	u32 segments = packet->gso_segs;

	return segments ? segments : 1;
}

__hidden __noinline bool flow_datagram_packet(struct __sk_buff *packet, u64 socket, u32 how)
{
	u32 out = how & FLOW_OUT;
	struct flow_socket *of = bpf_map_lookup_elem(&flow_sockets, &socket);
	struct kernel_tuple tuple = {};
	struct sampled message = {.out = out};
	struct flow_entry *flow;
	struct flow_key key;
	bool first;

	if (!of)
		return false;
	message.at = datagram_ends(packet, &tuple, out);
	if (!message.at || packet->len < message.at)
		return true;
	message.size = packet->len - message.at;
	key_set(&key, socket, of, &tuple);
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow)
		flow = flow_new(of, &key, &of->owner, &tuple, how == FLOW_IN);
	if (!flow)
		return true;
	if (!flow->packets[FLOW_IN] && !flow->packets[FLOW_OUT]) /* before it the source may not have been known */
		flow->tuple = tuple;
	first = flow->packets[out & 1] == 0;
	flow->last_ns = bpf_ktime_get_boot_ns();
	flow->seen = flow_seconds;
	__sync_fetch_and_add(&flow->packets[out & 1], datagrams_of(packet));
	__sync_fetch_and_add(&flow->bytes[out & 1], message.size);
	if (flow->watch.names && flow->watch.refilled != flow_seconds && flow_samples) {
		flow->watch.refilled = flow_seconds;
		flow->watch.left[FLOW_IN] = flow->watch.left[FLOW_OUT] = SAMPLE_NAME_MESSAGES;
	}
	if (flow->watch.left[out & 1] && message.size) {
		message.connection = flow->number;
		message.start_ns = flow->start_ns;
		sample_send(packet, &message, &flow->owner, &flow->tuple, &flow->watch);
	}
	if (flow_due(&flow->watch))
		datagram_flow_tell(flow, NULL);
	return first;
}

/* --- hooks ---------------------------------------------------------------------------------------------------------------- */

SEC("cgroup_skb/ingress")
int flow_ingress(struct __sk_buff *packet)
{
	struct bpf_sock *sk = packet->sk;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	if (sk->protocol == IPPROTO_TCP)
		flow_tcp_packet(packet, (u64)sk, FLOW_IN);
	else if (sk->protocol == IPPROTO_UDP)
		flow_datagram_packet(
			packet, (u64)sk, FLOW_IN | (sk->state == BPF_TCP_ESTABLISHED ? FLOW_CONNECTED : 0));
	return 1;
}

/* A socket of datagrams has its port: whoever sends to it from now on talks to this process. */
static __always_inline int flow_bound(struct bpf_sock *sk)
{
	struct kernel_header owner = {};

	if (sk->protocol == IPPROTO_UDP && task_current(&owner))
		flow_socket_begins((u64)sk, &owner);
	return 1;
}

SEC("cgroup/post_bind4")
int flow_bound4(struct bpf_sock *sk)
{
	return flow_bound(sk);
}

SEC("cgroup/post_bind6")
int flow_bound6(struct bpf_sock *sk)
{
	return flow_bound(sk);
}

/* Flows of datagrams that have been idle for long: run by user space, now and then. */
SEC("iter/bpf_map_elem")
int flow_sweep(struct bpf_iter__bpf_map_elem *element)
{
	const struct flow_key *found = element->key;
	struct flow_entry *flow;
	struct flow_key key;

	if (!found)
		return 0;
	key = *found;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow && flow_seconds - flow->seen >= flow_idle)
		datagram_flow_tell(flow, &key);
	return 0;
}
