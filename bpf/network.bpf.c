/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: connect, accept, listen, the first datagram to each peer, the end of a TCP connection.
 *
 * The addresses are the kernel's: of the cgroup hooks, which get the kernel's copy, and of the socket itself. A socket
 * changes its state in whatever softirq runs, so who made the call is noted with the socket (`sockets`) by those hooks
 * that run in the caller's own context, and never taken from `current` elsewhere.
 *
 * A connect has up to three witnesses: the address hook (it begins), the state of a TCP socket (it succeeded or failed),
 * and the return of the system call (it failed before it began, or is not TCP). The first that knows the outcome tells
 * it: each takes the flag SOCKET_BEGUN away before it speaks.
 */
#include "bpf/call.h"
#include "bpf/task.h"

enum {
	SOCKETS_MAX = 65536,
	PEERS_MAX = 65536,

	SOCKET_IN_CALL = 1 << 0,     /* a connect began, and its system call has not returned */
	SOCKET_BEGUN = 1 << 1,       /* CONNECT was sent, CONNECT_DONE not yet */
	SOCKET_FAILED = 1 << 2,      /* CONNECT_DONE told a failure that the program has still to fetch */
	SOCKET_ESTABLISHED = 1 << 3, /* DISCONNECT will follow */
	SOCKET_ACCEPTED = 1 << 4,
	SOCKET_LISTENING = 1 << 5, /* it began to listen, and the system call has not returned */
	SOCKET_SENDS = 1 << 6,     /* a datagram is on its way whose source address is not known yet */

	STATE_ESTABLISHED = 1, /* TCP_ESTABLISHED, … of the kernel's tcp_states.h */
	STATE_SYN_SENT = 2,
	STATE_CLOSE = 7,
	STATE_LISTEN = 10,

	SOCK_RAW = 3,
	SOCK_DONE_BIT = 1 << 1, /* enum sock_flags: a FIN has come (tcp_fin) */
	PROTOCOL_MPTCP = 262,

	IPV4_SOURCE = 12, /* offset in the IP header */
	IPV4_DESTINATION = 16,
	IPV6_SOURCE = 8,
	IPV6_DESTINATION = 24,
};

/* What is known of a socket while it matters. */
struct socket_entry {
	struct kernel_header owner; /* who connected, accepted or sent */
	u64 flags;
	u64 established_ns;
	struct kernel_tuple tuple; /* of a connect or a datagram: the remote end */
};

/* By the socket's address in the kernel; sock_release and the end of a connection take entries away. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, u64);
	__type(value, struct socket_entry);
} sockets SEC(".maps");

/* A peer that a socket has sent to. The cookie, not the address: it is never used again. */
struct peer {
	u64 cookie;
	struct kernel_address address;
	u16 family;
	u16 port_be;
	u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PEERS_MAX);
	__type(key, struct peer);
	__type(value, u8);
} peers SEC(".maps");

static const struct socket_entry no_entry = {};

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
	tuple->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	tuple->protocol = BPF_CORE_READ(sk, sk_protocol);
	tuple->type = BPF_CORE_READ(sk, sk_type);
	if (tuple->protocol == PROTOCOL_MPTCP)
		tuple->protocol = IPPROTO_TCP;
	if (tuple->family != AF_INET && tuple->family != AF_INET6)
		return;
	tuple->local_port_be = BPF_CORE_READ((struct inet_sock *)sk, inet_sport);
	tuple->remote_port_be = BPF_CORE_READ(sk, __sk_common.skc_dport);
	if (tuple->family == AF_INET6) {
		BPF_CORE_READ_INTO(&tuple->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&tuple->remote, sk, __sk_common.skc_v6_daddr);
		if (!unmap(&tuple->local) && !unmap(&tuple->remote))
			return;
		tuple->family = AF_INET;
		__builtin_memset(&tuple->local, 0, sizeof(tuple->local));
		__builtin_memset(&tuple->remote, 0, sizeof(tuple->remote));
	}
	*(u32 *)tuple->local.bytes = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	*(u32 *)tuple->remote.bytes = BPF_CORE_READ(sk, __sk_common.skc_daddr);
}

/* The remote end of a connecting socket is the one that was asked for: the socket forgets it when it fails. */
static __always_inline void read_connecting(
	struct kernel_tuple *tuple, struct sock *sk, const struct socket_entry *entry)
{
	read_tuple(tuple, sk);
	tuple->family = entry->tuple.family;
	tuple->remote = entry->tuple.remote;
	tuple->remote_port_be = entry->tuple.remote_port_be;
	if (tuple->family == AF_INET) {
		*(u32 *)tuple->local.bytes = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		__builtin_memset(tuple->local.bytes + 4, 0, 12);
	}
}

/* --- records -------------------------------------------------------------------------------------------------------- */

static __always_inline void take_owner(struct kernel_header *header, const struct socket_entry *entry)
{
	*header = entry->owner;
	header->time_ns = bpf_ktime_get_boot_ns();
}

/* CONNECT_DONE of a socket whose CONNECT was sent: once, by whoever takes the flag. */
static __noinline void send_outcome(struct socket_entry *entry, u64 key, struct sock *sk, int result, bool unknown)
{
	struct kernel_network done = {};

	if (!(__sync_fetch_and_and(&entry->flags, ~(u64)SOCKET_BEGUN) & SOCKET_BEGUN))
		return;
	take_owner(&done.header, entry);
	done.connection = key;
	done.result = result;
	done.result_unknown = unknown;
	read_connecting(&done.tuple, sk, entry);
	ring_send(&done.header, KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL, sizeof(done));
}

/* DISCONNECT of a connection that was told: once. */
static __noinline void send_end(struct socket_entry *entry, u64 key, struct sock *sk)
{
	struct kernel_disconnect end = {};
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	if (!(__sync_fetch_and_and(&entry->flags, ~(u64)SOCKET_ESTABLISHED) & SOCKET_ESTABLISHED))
		return;
	take_owner(&end.header, entry);
	end.connection = key;
	end.established_ns = entry->established_ns;
	end.bytes_sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	end.bytes_received = BPF_CORE_READ(tcp, bytes_received);
	/* A FIN counts as a byte. */
	if (end.bytes_received && BPF_CORE_READ(sk, __sk_common.skc_flags) & SOCK_DONE_BIT)
		end.bytes_received--;
	end.error = BPF_CORE_READ(sk, sk_err);
	end.accepted = !!(entry->flags & SOCKET_ACCEPTED);
	end.tuple = entry->tuple;
	ring_send(&end.header, KERNEL_DISCONNECT, KERNEL_RING_CRITICAL, sizeof(end));
}

/* SEND of the datagram that the entry remembers; `local` is where it comes from, or what of it is known. */
static __noinline void send_datagram(struct socket_entry *entry)
{
	struct kernel_network send = {};

	if (!(__sync_fetch_and_and(&entry->flags, ~(u64)SOCKET_SENDS) & SOCKET_SENDS))
		return;
	send.header = entry->owner;
	send.tuple = entry->tuple;
	ring_send(&send.header, KERNEL_SEND, KERNEL_RING_CRITICAL, sizeof(send));
}

/* A new entry, or the socket's own, made new. NULL where the map is full: that is counted as a loss of `kind`. */
static __always_inline struct socket_entry *entry_new(u64 key, u32 kind)
{
	struct socket_entry *entry = NULL;

	if (bpf_map_update_elem(&sockets, &key, &no_entry, BPF_ANY) == 0)
		entry = bpf_map_lookup_elem(&sockets, &key);
	if (!entry)
		ring_unsent(kind, KERNEL_RING_CRITICAL);
	return entry;
}

/* --- connect begins (cgroup hooks, in the caller's context) ---------------------------------------------------------- */

static __always_inline int connect_begins(u64 key, const struct kernel_tuple *tuple)
{
	struct kernel_network begin = {};
	struct socket_entry *entry;

	if (!task_current(&begin.header))
		return 1;
	begin.connection = key;
	begin.tuple = *tuple;
	entry = entry_new(key, KERNEL_CONNECT_DONE);
	if (entry) {
		entry->owner = begin.header;
		entry->tuple = *tuple;
		entry->flags = SOCKET_IN_CALL | SOCKET_BEGUN;
	}
	ring_send(&begin.header, KERNEL_CONNECT, KERNEL_RING_CRITICAL, sizeof(begin));
	return 1;
}

SEC("cgroup/connect4")
int network_connect4(struct bpf_sock_addr *address)
{
	struct kernel_tuple tuple = {.family = AF_INET, .protocol = address->protocol, .type = address->type};
	struct bpf_sock *sk = address->sk;

	if (!sk)
		return 1;
	*(u32 *)tuple.remote.bytes = address->user_ip4;
	tuple.remote_port_be = address->user_port;
	return connect_begins((u64)sk, &tuple);
}

SEC("cgroup/connect6")
int network_connect6(struct bpf_sock_addr *address)
{
	struct kernel_tuple tuple = {.family = AF_INET6, .protocol = address->protocol, .type = address->type};
	struct bpf_sock *sk = address->sk;
	u32 *words = (u32 *)tuple.remote.bytes;

	if (!sk)
		return 1;
	words[0] = address->user_ip6[0];
	words[1] = address->user_ip6[1];
	words[2] = address->user_ip6[2];
	words[3] = address->user_ip6[3];
	if (unmap(&tuple.remote))
		tuple.family = AF_INET;
	tuple.remote_port_be = address->user_port;
	return connect_begins((u64)sk, &tuple);
}

/* --- TCP states (in any context) -------------------------------------------------------------------------------------- */

static __always_inline void connect_failed(struct socket_entry *entry, u64 key, struct sock *sk)
{
	int error = BPF_CORE_READ(sk, sk_err);

	if (error) {
		__sync_fetch_and_or(&entry->flags, SOCKET_FAILED);
		send_outcome(entry, key, sk, -error, false);
	} else if (!(entry->flags & SOCKET_IN_CALL)) {
		send_outcome(entry, key, sk, 0, true); /* the program closed it */
		bpf_map_delete_elem(&sockets, &key);
	} /* else: the call's return tells the error */
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(network_state, struct sock *sk, int before, int after)
{
	u64 key = (u64)sk;
	struct socket_entry *entry;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == STATE_LISTEN) {
		struct kernel_header owner = {};

		if (!task_current(&owner))
			return 0;
		entry = entry_new(key, KERNEL_LISTEN);
		if (!entry)
			return 0;
		entry->owner = owner;
		entry->flags = SOCKET_LISTENING;
		return 0;
	}
	if (after != STATE_ESTABLISHED && after != STATE_CLOSE)
		return 0;
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (!entry)
		return 0;
	if (after == STATE_ESTABLISHED) {
		if (!(entry->flags & SOCKET_BEGUN))
			return 0;
		read_connecting(&entry->tuple, sk, entry);
		entry->established_ns = bpf_ktime_get_boot_ns();
		__sync_fetch_and_or(&entry->flags, SOCKET_ESTABLISHED);
		send_outcome(entry, key, sk, 0, false);
	} else if (entry->flags & SOCKET_BEGUN) {
		connect_failed(entry, key, sk);
	} else if (entry->flags & SOCKET_ESTABLISHED) {
		send_end(entry, key, sk);
		bpf_map_delete_elem(&sockets, &key);
	} else if (before == STATE_LISTEN) {
		bpf_map_delete_elem(&sockets, &key);
	}
	return 0;
}

/* The last descriptor of an inet socket is closed. TCP may go on; then its state takes the entry away. */
SEC("cgroup/sock_release")
int network_release(struct bpf_sock *sk)
{
	u64 key = (u64)sk;
	struct socket_entry *entry = bpf_map_lookup_elem(&sockets, &key);

	if (!entry)
		return 1;
	if (entry->flags & SOCKET_SENDS)
		send_datagram(entry);
	if (sk->protocol != IPPROTO_TCP || sk->state == STATE_CLOSE)
		bpf_map_delete_elem(&sockets, &key);
	return 1;
}

/* --- datagrams -------------------------------------------------------------------------------------------------------- */

/*
 * The first datagram to a peer. Where the socket is bound to an address the record leaves here; else the kernel chooses
 * the source by its routes after this hook, and the record leaves with the packet (network_egress), or, if none came,
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

	if (bpf_map_lookup_elem(&peers, &peer) || !task_current(&send->header))
		return 1;
	/* Of two threads that send to one new peer at a time, one tells. */
	if (bpf_map_update_elem(&peers, &peer, &one, BPF_NOEXIST) < 0)
		return 1;
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry && entry->flags & SOCKET_SENDS)
		send_datagram(entry);
	if (!bound)
		entry = entry_new(key, KERNEL_SEND);
	if (bound || !entry) {
		ring_send(&send->header, KERNEL_SEND, KERNEL_RING_CRITICAL, sizeof(*send));
		return 1;
	}
	entry->owner = send->header;
	entry->tuple = send->tuple;
	__sync_fetch_and_or(&entry->flags, SOCKET_SENDS);
	return 1;
}

SEC("cgroup/sendmsg4")
int network_sendmsg4(struct bpf_sock_addr *address)
{
	struct kernel_network send = {};
	struct bpf_sock *sk = address->sk;

	if (!sk)
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
int network_sendmsg6(struct bpf_sock_addr *address)
{
	struct kernel_network send = {};
	struct bpf_sock *sk = address->sk;
	u32 *remote = (u32 *)send.tuple.remote.bytes, *local = (u32 *)send.tuple.local.bytes;

	if (!sk)
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
	bool v4 = packet->protocol == bpf_htons(0x0800);
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
int network_egress(struct __sk_buff *packet)
{
	struct bpf_sock *sk = packet->sk;
	struct socket_entry *entry;
	u64 key;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP)
		return 1;
	key = (u64)sk;
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry && entry->flags & SOCKET_SENDS && packet_source(packet, &entry->tuple))
		send_datagram(entry);
	return 1;
}

/* --- system calls that have returned ----------------------------------------------------------------------------------- */

static __always_inline struct sock *socket_of_descriptor(u32 fd)
{
	struct file *file = file_of_descriptor(bpf_get_current_task_btf(), fd);
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

/* Appends a bound unix socket's name. */
static __always_inline u32 unix_name(struct scratch *scratch, u32 end, struct kernel_string *string, struct sock *sk)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	u32 length = address ? BPF_CORE_READ(address, len) - 2 : 0; /* less sun_family */

	string_note(string, 0, 0);
	if (!length || length > KERNEL_UNIX_NAME_MAX)
		return end;
	if (bpf_probe_read_kernel(scratch_at(scratch, end), length & 127, address->name[0].sun_path) < 0)
		return end;
	return string_note(string, end, length);
}

/* What a call that failed was given: claimed, but there is nothing else. */
static __always_inline u32 claimed_address(struct scratch *scratch, const struct call *call, u32 end)
{
	struct kernel_network *network = (void *)scratch->record;
	struct {
		u16 family;
		__be16 port;
		u32 words[6]; /* IPv4: the address first; IPv6: flow, then the address */
	} given = {};
	u32 length = call->length;

	if (bpf_probe_read_user(&given, sizeof(u16) + sizeof(u16) + sizeof(u32), (void *)call->address) < 0)
		return end;
	if (given.family == AF_UNIX && length > 2) {
		length -= 2;
		if (length > KERNEL_UNIX_NAME_MAX)
			length = KERNEL_UNIX_NAME_MAX;
		if (bpf_probe_read_user(scratch_at(scratch, end), length & 127, (void *)(call->address + 2)) < 0)
			return end;
		network->tuple.family = AF_UNIX;
		return string_note(&network->unix_name, end, length);
	}
	if (given.family != AF_INET && given.family != AF_INET6)
		return end;
	network->tuple.family = given.family;
	network->tuple.remote_port_be = given.port;
	if (given.family == AF_INET) {
		*(u32 *)network->tuple.remote.bytes = given.words[0];
		return end;
	}
	bpf_probe_read_user(&network->tuple.remote, 16, (void *)(call->address + 8));
	if (unmap(&network->tuple.remote))
		network->tuple.family = AF_INET;
	return end;
}

static __always_inline struct scratch *network_scratch(const struct call *call, u32 kind)
{
	struct scratch *scratch = scratch_take();
	struct kernel_network *network;

	if (!scratch) {
		ring_unsent(kind, KERNEL_RING_CRITICAL);
		return NULL;
	}
	network = (void *)scratch->record;
	__builtin_memset(network, 0, sizeof(*network));
	network->header = call->header;
	network->result = call->result;
	return scratch;
}

static __always_inline bool connect_goes_on(s64 result)
{
	return result == -EINPROGRESS || result == -EALREADY || result == -EISCONN || result == -EINTR ||
	       (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK);
}

/* A connect that the address hook did not see: a unix or raw socket's, or it failed before. */
static __noinline void connect_alone(const struct call *call, struct sock *sk)
{
	u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	struct scratch *scratch = network_scratch(call, KERNEL_CONNECT_DONE);
	struct kernel_network *network;
	u32 end = sizeof(*network);

	if (!scratch)
		return;
	network = (void *)scratch->record;
	read_tuple(&network->tuple, sk);
	if (call->result < 0) {
		end = claimed_address(scratch, call, end);
	} else if (family == AF_UNIX) {
		struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);

		if (peer)
			end = unix_name(scratch, end, &network->unix_name, peer);
		if (!network->unix_name.length)
			end = claimed_address(scratch, call, end);
	}
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&network->header, KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}

__hidden void network_connected(const struct call *call)
{
	struct sock *sk = socket_of_descriptor(call->fd);
	u64 key = (u64)sk;
	struct socket_entry *entry;
	u16 family, type;
	u64 flags;

	if (!sk)
		return;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	type = BPF_CORE_READ(sk, sk_type);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	if (BPF_CORE_READ(sk, sk_protocol) == PROTOCOL_MPTCP) /* its subflows tell */
		return;
	entry = bpf_map_lookup_elem(&sockets, &key);
	flags = entry ? entry->flags : 0;
	if (flags & SOCKET_IN_CALL && call->result != -EALREADY && call->result != -EISCONN) {
		__sync_fetch_and_and(&entry->flags, ~(u64)(SOCKET_IN_CALL | SOCKET_FAILED));
		if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP ||
			(call->result < 0 && !connect_goes_on(call->result)))
			send_outcome(entry, key, sk, call->result, false);
		return;
	}
	if (flags & SOCKET_FAILED && call->result < 0) {
		__sync_fetch_and_and(&entry->flags, ~(u64)SOCKET_FAILED);
		return;
	}
	if (family == AF_UNIX ? call->result == -EAGAIN && type != SOCK_STREAM : connect_goes_on(call->result))
		return;
	if (call->result < 0 || family == AF_UNIX || type == SOCK_RAW)
		connect_alone(call, sk);
}

__hidden void network_accepted(const struct call *call)
{
	struct sock *sk = socket_of_descriptor(call->result);
	u64 key = (u64)sk;
	struct scratch *scratch;
	struct kernel_network *network;
	struct socket_entry *entry;
	u32 end = sizeof(*network);
	u16 family;

	if (!sk)
		return;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	scratch = network_scratch(call, KERNEL_ACCEPT);
	if (!scratch)
		return;
	network = (void *)scratch->record;
	read_tuple(&network->tuple, sk);
	if (family == AF_UNIX)
		end = unix_name(scratch, end, &network->unix_name, sk);
	else if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		network->connection = key;
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&network->header, KERNEL_ACCEPT, KERNEL_RING_CRITICAL, end);
	if (network->connection) {
		entry = entry_new(key, KERNEL_DISCONNECT);
		if (entry) {
			entry->owner = call->header;
			entry->tuple = network->tuple;
			entry->established_ns = call->header.time_ns;
			__sync_fetch_and_or(&entry->flags, SOCKET_ESTABLISHED | SOCKET_ACCEPTED);
			/* It may have ended before it was accepted: then no state comes any more. */
			if (BPF_CORE_READ(sk, __sk_common.skc_state) == STATE_CLOSE) {
				send_end(entry, key, sk);
				bpf_map_delete_elem(&sockets, &key);
			}
		}
	}
	scratch_give(scratch);
}

__hidden void network_listened(const struct call *call)
{
	struct sock *sk = socket_of_descriptor(call->fd);
	u64 key = (u64)sk;
	struct socket_entry *entry;
	struct scratch *scratch;
	struct kernel_network *network;
	u32 end = sizeof(*network);
	u16 family;

	if (!sk)
		return;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	if (family != AF_UNIX) {
		entry = bpf_map_lookup_elem(&sockets, &key);
		/* A second listen only changes the backlog. */
		if (entry && entry->flags & SOCKET_LISTENING)
			bpf_map_delete_elem(&sockets, &key);
		else if (call->result >= 0 && BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
			return;
	}
	scratch = network_scratch(call, KERNEL_LISTEN);
	if (!scratch)
		return;
	network = (void *)scratch->record;
	read_tuple(&network->tuple, sk);
	if (family == AF_UNIX)
		end = unix_name(scratch, end, &network->unix_name, sk);
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&network->header, KERNEL_LISTEN, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}
