/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connect, accept, listen, the end of a TCP connection. The addresses are the kernel's: of the cgroup hooks, which get
 * the kernel's copy, and of the socket itself.
 *
 * A connect has up to three witnesses: the address hook (it begins), the state of a TCP socket (it succeeded or failed),
 * and the return of the system call (it failed before it began, or is not TCP). The first that knows the outcome tells
 * it: each takes the flag SOCKET_BEGUN away before it speaks.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/flow.h"
#include "bpf/policy.h"
#include "bpf/raw.h"
#include "bpf/socket.h"
#include "bpf/task.h"
#include "bpf/uring.h"

enum {
	STATE_ESTABLISHED = 1, /* TCP_ESTABLISHED, … of the kernel's tcp_states.h */
	STATE_SYN_SENT = 2,
	STATE_SYN_RECEIVED = 3,
	STATE_CLOSE = 7,
	STATE_LISTEN = 10,
};

/* --- records -------------------------------------------------------------------------------------------------------- */

static __always_inline void take_owner(struct kernel_header *header, const struct socket_entry *entry)
{
	*header = entry->owner;
	header->time_ns = bpf_ktime_get_boot_ns();
}

static __always_inline bool is_any(const struct kernel_address *address)
{
	const u32 *words = (const u32 *)address->bytes;

	return !(words[0] | words[1] | words[2] | words[3]);
}

/*
 * The remote end of a connecting socket is the one that was asked for: the socket forgets it when it fails. Its own address it
 * forgets then, too (inet_reset_saddr); the entry has it from when the failure came.
 */
static __always_inline void read_connecting(
	struct kernel_tuple *tuple, struct sock *sk, const struct socket_entry *entry)
{
	struct kernel_address local = entry->tuple.local;

	read_tuple(tuple, sk);
	tuple->family = entry->tuple.family;
	tuple->remote = entry->tuple.remote;
	tuple->remote_port_be = entry->tuple.remote_port_be;
	if (tuple->family == AF_INET) {
		*(u32 *)tuple->local.bytes = kernel_get(sk, __sk_common.skc_rcv_saddr);
		__builtin_memset(tuple->local.bytes + 4, 0, 12);
	}
	if (is_any(&tuple->local))
		tuple->local = local;
}

/* CONNECT_DONE of a socket whose CONNECT was sent: once, by whoever takes the flag. */
static __noinline void send_outcome(struct socket_entry *entry, u64 key, struct sock *sk, int result, bool unknown)
{
	struct kernel_network done = {};

	if (!flags_take(&entry->flags, SOCKET_BEGUN))
		return;
	if (entry->flags & SOCKET_LEFT_OUT)
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
	struct tcp_counts counts;

	if (!flags_take(&entry->flags, SOCKET_ESTABLISHED))
		return;
	take_owner(&end.header, entry);
	if (policy_leaves_out(&end.header, KERNEL_DISCONNECT))
		return;
	end.connection = key;
	end.established_ns = entry->established_ns;
	tcp_count(sk, &counts);
	end.bytes_sent = counts.bytes_sent;
	end.bytes_received = counts.bytes_received;
	end.packets_sent = counts.packets_sent;
	end.packets_received = counts.packets_received;
	end.error = kernel_get(sk, sk_err);
	end.accepted = !!(entry->flags & SOCKET_ACCEPTED);
	end.tuple = entry->tuple;
	ring_send(&end.header, KERNEL_DISCONNECT, KERNEL_RING_CRITICAL, sizeof(end));
}

/* --- connect begins (cgroup hooks, in the caller's context) ---------------------------------------------------------- */

static __always_inline int connect_begins(u64 key, struct kernel_network *begin)
{
	struct socket_entry *entry;

	if (!task_current(&begin->header))
		return 1;
	begin->header.flags |= uring_flag(key);
	begin->connection = key;
	if (begin->tuple.protocol == IPPROTO_UDP)
		flow_socket_begins(key, &begin->header);
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry) /* a datagram that is still held back goes where it was sent to (IPv6, MSG_MORE) */
		datagram_tell(entry);
	entry = entry_new(key, KERNEL_CONNECT_DONE);
	if (entry) {
		entry->owner = begin->header;
		entry->tuple = begin->tuple;
		flags_begin(&entry->flags, SOCKET_IN_CALL | SOCKET_BEGUN);
	}
	if (policy_leaves_out(&begin->header, KERNEL_CONNECT)) {
		if (entry)
			flags_set(&entry->flags, SOCKET_LEFT_OUT);
		return 1;
	}
	ring_send(&begin->header, KERNEL_CONNECT, KERNEL_RING_CRITICAL, sizeof(*begin));
	return 1;
}

SEC("cgroup/connect4")
int network_connect4(struct bpf_sock_addr *address)
{
	struct kernel_network begin = {
		.tuple = {.family = AF_INET, .protocol = address->protocol, .type = address->type}};
	struct bpf_sock *sk = address->sk;

	if (!sk)
		return 1;
	*(u32 *)begin.tuple.remote.bytes = address->user_ip4;
	begin.tuple.remote_port_be = address->user_port;
	return connect_begins((u64)sk, &begin);
}

SEC("cgroup/connect6")
int network_connect6(struct bpf_sock_addr *address)
{
	struct kernel_network begin = {
		.tuple = {.family = AF_INET6, .protocol = address->protocol, .type = address->type}};
	struct bpf_sock *sk = address->sk;
	u32 *words = (u32 *)begin.tuple.remote.bytes;

	if (!sk)
		return 1;
	words[0] = address->user_ip6[0];
	words[1] = address->user_ip6[1];
	words[2] = address->user_ip6[2];
	words[3] = address->user_ip6[3];
	if (unmap(&begin.tuple.remote))
		begin.tuple.family = AF_INET;
	begin.tuple.remote_port_be = address->user_port;
	return connect_begins((u64)sk, &begin);
}

/* --- TCP states (in any context) -------------------------------------------------------------------------------------- */

static __always_inline void connect_failed(struct socket_entry *entry, u64 key, struct sock *sk)
{
	int error = kernel_get(sk, sk_err);

	if (error) {
		flags_set(&entry->flags, SOCKET_FAILED);
		read_connecting(&entry->tuple, sk, entry);
		send_outcome(entry, key, sk, -error, false);
	} else if (!(entry->flags & SOCKET_IN_CALL)) {
		send_outcome(entry, key, sk, 0, true); /* the program closed it */
		bpf_map_delete_elem(&sockets, &key);
	} /* else: the call's return tells the error */
}

/* TCP sockets that began to listen in a system call which has not returned: a room that no flood of connections takes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u64);
	__type(value, u8);
} listening SEC(".maps");

/* What has been seen of an established connection is what the socket has: sampling begins behind it. */
static __always_inline void connection_begins(struct socket_entry *entry, struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	entry->established_ns = bpf_ktime_get_boot_ns();
	entry->watch.next[FLOW_IN] = kernel_get(tcp, rcv_nxt);
	entry->watch.next[FLOW_OUT] = kernel_get(tcp, snd_nxt);
	flow_begin(&entry->watch, &entry->owner, &entry->tuple);
}

/*
 * A connection that came to a socket of a container's: data may be there before anybody accepts it, in whatever context. Its
 * container is told by the cgroup of the socket, which is that of the listener's; whose process it is, by the accept.
 */
static __noinline void connection_arrives(u64 key)
{
	struct sock *sk = socket_plain(key);
	struct container container = {};
	struct socket_entry *entry;

	if (!container_of_socket(sk, &container) && !trace_host)
		return;
	entry = entry_new(key, KERNEL_FLOW);
	if (!entry)
		return;
	entry->owner.flags = container.flags | KERNEL_NO_PROCESS;
	entry->owner.marks = container.marks;
	entry->owner.cgroup_id = container.cgroup_id;
	__builtin_memcpy(entry->owner.container_id, container.id, sizeof(container.id));
	read_tuple(&entry->tuple, sk);
	entry->watch.inbound = 1;
	connection_begins(entry, sk);
	flags_begin(&entry->flags, SOCKET_ARRIVED);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(network_state, struct sock *sk, int before, int after)
{
	u64 key = (u64)sk;
	struct socket_entry *entry;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == STATE_LISTEN) {
		struct container container;
		u8 yes = 1;

		if (task_wanted(bpf_get_current_task_btf(), &container))
			bpf_map_update_elem(&listening, &key, &yes, BPF_ANY);
		return 0;
	}
	if (after != STATE_ESTABLISHED && after != STATE_CLOSE)
		return 0;
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (after == STATE_ESTABLISHED) {
		if (!entry || !(entry->flags & SOCKET_BEGUN)) {
			if (before == STATE_SYN_RECEIVED)
				connection_arrives(key);
			return 0;
		}
		read_connecting(&entry->tuple, sk, entry);
		connection_begins(entry, sk);
		flags_set(&entry->flags, SOCKET_ESTABLISHED);
		send_outcome(entry, key, sk, 0, false);
	} else if (!entry) {
		return 0;
	} else if (entry->flags & SOCKET_BEGUN) {
		connect_failed(entry, key, sk);
	} else if (entry->flags & SOCKET_ESTABLISHED) {
		send_end(entry, key, sk);
		bpf_map_delete_elem(&sockets, &key);
	} else if (flags_take(&entry->flags, SOCKET_ARRIVED)) {
		flow_tcp_tell(entry, key, true);
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

	if (entry)
		datagram_tell(entry);
	if (sk->protocol == IPPROTO_UDP)
		flow_socket_ends(key);
	if (!entry)
		return 1;
	if (sk->protocol != IPPROTO_TCP || sk->state == STATE_CLOSE) {
		/* A call whose return was not seen as this socket's: on arm64 a tracer can change the descriptor unseen. */
		send_outcome(entry, key, socket_plain(key), 0, true);
		bpf_map_delete_elem(&sockets, &key);
	}
	return 1;
}

/* --- connections that are there already ------------------------------------------------------------------------------ */

/*
 * Sockets from before the programs, read once by the loader: TCP connections, so that their ends are told, and whether there is a
 * packet socket, so that its frames are looked for.
 */
SEC("iter/task_file")
int network_list(struct bpf_iter__task_file *iterator)
{
	struct task_struct *task = iterator->task;
	struct file *file = iterator->file;
	struct container container;
	struct socket_entry *entry;
	struct socket *socket;
	struct sock *sk;
	u64 key;
	u8 state;

	if (!task || !file || !task_stands(task))
		return 0;
	if ((kernel_get(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK || !task_wanted(task, &container))
		return 0;
	socket = kernel_get(file, private_data);
	sk = kernel_get(socket, sk);
	key = (u64)sk;
	if (sk && kernel_get(sk, __sk_common.skc_family) == AF_PACKET)
		packet_socket_seen = 1;
	if (sk && kernel_get(sk, sk_protocol) == IPPROTO_UDP && is_inet(sk)) {
		struct kernel_header owner = {};

		task_fill(&owner, task, &container);
		flow_socket_begins(key, &owner);
	}
	if (!sk || kernel_get(sk, sk_protocol) != IPPROTO_TCP || !is_inet(sk) || bpf_map_lookup_elem(&sockets, &key))
		return 0;
	state = kernel_get(sk, __sk_common.skc_state);
	if (state == STATE_CLOSE || state == STATE_LISTEN || state == STATE_SYN_SENT || state == STATE_SYN_RECEIVED)
		return 0;
	entry = entry_new(key, KERNEL_DISCONNECT);
	if (!entry)
		return 0;
	task_fill(&entry->owner, task, &container);
	read_tuple(&entry->tuple, sk);
	flags_set(&entry->flags, SOCKET_ESTABLISHED | (is_server(&entry->tuple) ? SOCKET_ACCEPTED : 0));
	entry->watch.told = flow_seconds;
	return 0;
}

/* --- system calls that have returned ----------------------------------------------------------------------------------- */

static __always_inline bool connect_goes_on(s64 result)
{
	return result == -EINPROGRESS || result == -EALREADY || result == -EISCONN || result == -EINTR ||
	       (result <= -ERESTARTSYS && result >= -ERESTART_RESTARTBLOCK);
}

/* UDP-Lite has none: udplite_prot lacks the pre_connect of udp_prot. */
static __always_inline bool has_address_hook(struct sock *sk)
{
	u16 protocol = kernel_get(sk, sk_protocol);

	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/*
 * A connect that the address hook did not see: a unix or raw socket's, or it failed before. Without `sk`, where another
 * thread took the descriptor away, there is only what is claimed.
 */
static __noinline void connect_alone(const struct call *call, struct sock *sk)
{
	u16 family = sk ? kernel_get(sk, __sk_common.skc_family) : AF_UNSPEC;
	struct scratch *scratch;
	struct kernel_network *network;
	u32 end = sizeof(*network);

	if (policy_leaves_out(&call->header, KERNEL_CONNECT_DONE))
		return;
	scratch = network_scratch(call, KERNEL_CONNECT_DONE);
	if (!scratch)
		return;
	network = (void *)scratch->record;
	if (sk)
		read_tuple(&network->tuple, sk);
	if (call->result < 0 || !sk) {
		end = claimed_address(scratch, call, end);
	} else if (family == AF_UNIX) {
		struct sock *peer = kernel_get((struct unix_sock *)sk, peer);

		if (peer)
			end = unix_name(scratch, end, &network->unix_name, peer);
		if (!network->unix_name.length)
			end = claimed_address(scratch, call, end);
	}
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&network->header, KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}

/* What the call has returned, for those who do not wait for the outcome. */
static __noinline void connect_returned(const struct call *call, struct socket_entry *entry, struct sock *sk)
{
	struct kernel_network returned = {};

	returned.header = call->header;
	returned.connection = (u64)sk;
	returned.result = call->result;
	returned.result_unknown = call->unknown;
	returned.descriptor = call->descriptor;
	read_connecting(&returned.tuple, sk, entry);
	ring_send(&returned.header, KERNEL_CONNECT_RETURNED, KERNEL_RING_CRITICAL, sizeof(returned));
}

__hidden __noinline void network_connected(const struct call *call)
{
	struct sock *sk = socket_of_call(call, call->fd);
	u64 key = (u64)sk;
	struct socket_entry *entry;
	u16 family, type, claimed = AF_UNSPEC;
	u64 flags;

	family = sk ? kernel_get(sk, __sk_common.skc_family) : AF_UNSPEC;
	if (call->result == 0 && !call->object && family != AF_UNIX) {
		/* Another thread may have changed the descriptor meanwhile; an inet connect has been seen anyway. */
		read_sockaddr(call, &claimed, 0, sizeof(claimed));
		if (claimed == AF_UNIX) {
			connect_alone(call, NULL);
			return;
		}
		if (!sk)
			ring_unsent(KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL);
	}
	if (!sk)
		return;
	type = kernel_get(sk, sk_type);
	if (family == AF_VSOCK)
		vsock_connected(call, sk);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	if (kernel_get(sk, sk_protocol) == PROTOCOL_MPTCP) /* its subflows tell */
		return;
	entry = bpf_map_lookup_elem(&sockets, &key);
	flags = entry ? entry->flags : 0;
	if (flags & SOCKET_IN_CALL && call->result != -EALREADY && call->result != -EISCONN) {
		if (call_asked(KERNEL_CALL_CONNECT))
			connect_returned(call, entry, sk);
		/* A call that goes on, or is made anew (a signal), has not fetched the failure that was told meanwhile. */
		flags_clear(&entry->flags, SOCKET_IN_CALL);
		if (!connect_goes_on(call->result))
			flags_clear(&entry->flags, SOCKET_FAILED);
		if (kernel_get(sk, sk_protocol) != IPPROTO_TCP || (call->result < 0 && !connect_goes_on(call->result)))
			send_outcome(entry, key, sk, call->result, false);
		if (kernel_get(sk, sk_protocol) !=
			IPPROTO_TCP) { /* nothing follows: the table is for those that matter */
			datagram_tell(entry);
			bpf_map_delete_elem(&sockets, &key);
		}
		return;
	}
	if (family == AF_UNIX ? call->result == -EAGAIN && type != SOCK_STREAM : connect_goes_on(call->result))
		return;
	if (flags & SOCKET_FAILED && call->result < 0) {
		flags_clear(&entry->flags, SOCKET_FAILED);
		return;
	}
	/* Raw sockets, SCTP and the like have no address hook. */
	if (call->result < 0 || family == AF_UNIX || type == SOCK_RAW || !has_address_hook(sk))
		connect_alone(call, sk);
}

/*
 * Another thread can put another socket at the descriptor before this program looks, or nothing. One that it put there
 * has a second reference, which one that was just accepted has not. What is in doubt is a loss, and told as that.
 */
static __always_inline bool socket_unsure(const struct call *call, struct sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (call->object || kernel_get(task, files, count.counter) < 2)
		return false;
	/* References first, and twice: as for files (file_unsure() in bpf/file.bpf.c). */
	for (int i = 0; i < 2; i++) {
		if (compat_file_references(file_of_descriptor(task, call->result)) > 1 ||
			socket_of_call(call, call->result) != sk)
			return true;
	}
	return false;
}

__hidden __noinline void network_accepted(const struct call *call)
{
	struct sock *sk = socket_of_call(call, call->result);
	u64 key = (u64)sk;
	struct scratch *scratch;
	struct kernel_network *network;
	struct socket_entry *entry;
	u32 end = sizeof(*network);
	u16 family;

	if (!sk || socket_unsure(call, sk)) {
		ring_unsent(KERNEL_ACCEPT, KERNEL_RING_CRITICAL);
		return;
	}
	family = kernel_get(sk, __sk_common.skc_family);
	if (family == AF_VSOCK)
		vsock_told(call, sk, KERNEL_ACCEPT);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	/* A filter of system calls can let a call "return" what it never made: no socket that connected was accepted. */
	entry = bpf_map_lookup_elem(&sockets, &key);
	if (entry && entry->flags & (SOCKET_BEGUN | SOCKET_ESTABLISHED) && !(entry->flags & SOCKET_ACCEPTED))
		return;
	scratch = network_scratch(call, KERNEL_ACCEPT);
	if (!scratch)
		return;
	network = (void *)scratch->record;
	read_tuple(&network->tuple, sk);
	if (family == AF_UNIX)
		end = unix_name(scratch, end, &network->unix_name, sk);
	else if (kernel_get(sk, sk_protocol) == IPPROTO_TCP)
		network->connection = key;
	if (end <= KERNEL_RECORD_MAX && !policy_leaves_out(&call->header, KERNEL_ACCEPT))
		ring_send(&network->header, KERNEL_ACCEPT, KERNEL_RING_CRITICAL, end);
	if (network->connection) {
		/* What its first bytes were may have been told; from here on they are this process's. */
		bool arrived = entry && flags_take(&entry->flags, SOCKET_ARRIVED);

		if (!arrived)
			entry = entry_new(key, KERNEL_DISCONNECT);
		if (entry) {
			entry->owner = call->header;
			entry->tuple = network->tuple;
			if (!arrived) {
				entry->watch.inbound = 1;
				connection_begins(entry, sk);
			}
			entry->established_ns = network->header.time_ns;
			flags_set(&entry->flags, SOCKET_ESTABLISHED | SOCKET_ACCEPTED);
			/* It may have ended before it was accepted: then no state comes any more. */
			if (kernel_get(sk, __sk_common.skc_state) == STATE_CLOSE) {
				send_end(entry, key, sk);
				bpf_map_delete_elem(&sockets, &key);
			}
		}
	}
	scratch_give(scratch);
}

__hidden __noinline void network_listened(const struct call *call)
{
	struct sock *sk = socket_of_call(call, call->fd);
	u64 key = (u64)sk;
	struct scratch *scratch;
	struct kernel_network *network;
	u32 end = sizeof(*network);
	u16 family;

	if (!sk) {
		if (call->result == 0) /* another thread took the descriptor away */
			ring_unsent(KERNEL_LISTEN, KERNEL_RING_CRITICAL);
		return;
	}
	family = kernel_get(sk, __sk_common.skc_family);
	if (family == AF_VSOCK)
		vsock_told(call, sk, KERNEL_LISTEN);
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	if (family != AF_UNIX) {
		/* A second listen only changes the backlog. */
		if (bpf_map_delete_elem(&listening, &key) != 0 && call->result >= 0 &&
			kernel_get(sk, sk_protocol) == IPPROTO_TCP)
			return;
	}
	if (policy_leaves_out(&call->header, KERNEL_LISTEN))
		return;
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
