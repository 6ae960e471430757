/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams to a unix socket by its name: the first of each socket to each name. From 859051dd165e ("bpf: Implement cgroup
 * sockaddr hooks for unix sockets", 6.7) on a hook gets the kernel's copy of the name; before, the name is read from user
 * memory when the call has returned.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/task.h"
#include "bpf/uring.h"

enum { UNIX_PEERS_MAX = 8192, UNIX_FAMILY_SIZE = 2 };

/* A name that a socket has sent to: address and inode number name the socket. */
struct unix_peer {
	u64 sk;
	u64 inode;
	u32 length;
	char name[KERNEL_UNIX_NAME_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, UNIX_PEERS_MAX);
	__type(key, struct unix_peer);
	__type(value, u8);
} unix_peers SEC(".maps");

extern void *bpf_cast_to_kern_ctx(void *object) __ksym __weak;

/* Sends the record, whose process part is `header`, if that is the first to the name in `peer`. */
static __always_inline void unix_tell(const struct kernel_header *header, struct unix_peer *peer, struct sock *sk)
{
	struct scratch *scratch;
	struct kernel_network *send;
	u32 end = sizeof(*send);
	u8 one = 1;

	/* A path ends at its NUL; what comes after it makes no other name. */
	if (bpf_map_update_elem(&unix_peers, peer, &one, BPF_NOEXIST) < 0)
		return;
	scratch = scratch_take();
	if (!scratch) {
		ring_unsent(KERNEL_SEND, KERNEL_RING_CRITICAL);
		return;
	}
	send = (void *)scratch->record;
	__builtin_memset(send, 0, sizeof(*send));
	send->header = *header;
	send->header.flags |= uring_flag((u64)sk);
	read_tuple(&send->tuple, sk);
	__builtin_memcpy(scratch_at(scratch, end), peer->name, sizeof(peer->name));
	end = string_note(&send->unix_name, end, peer->length);
	if (end <= KERNEL_RECORD_MAX)
		ring_send(&send->header, KERNEL_SEND, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}

/* Who is asked for, with the length that the name has. False if there is none. */
static __always_inline bool peer_begin(struct unix_peer *peer, struct sock *sk, u32 length)
{
	if (length <= UNIX_FAMILY_SIZE)
		return false;
	length -= UNIX_FAMILY_SIZE;
	if (length > KERNEL_UNIX_NAME_MAX)
		length = KERNEL_UNIX_NAME_MAX;
	peer->sk = (u64)sk;
	peer->inode = socket_inode(sk);
	peer->length = length;
	return true;
}

/* The attach type, BPF_CGROUP_UNIX_SENDMSG, is the loader's to set: libbpf 1.1 has no name for it. */
SEC("cgroup/sendmsg4")
int unix_sendmsg(struct bpf_sock_addr *address)
{
	struct bpf_sock_addr_kern *given = bpf_cast_to_kern_ctx(address);
	struct unix_peer peer = {};
	struct kernel_header header;
	struct sock *sk = given->sk;
	void *from = given->uaddr;

	if (!sk || !from || !peer_begin(&peer, sk, given->uaddrlen))
		return 1;
	if (bpf_probe_read_kernel(peer.name, peer.length & 127, (char *)from + UNIX_FAMILY_SIZE) < 0)
		return 1;
	if (bpf_map_lookup_elem(&unix_peers, &peer) || !task_current(&header))
		return 1;
	unix_tell(&header, &peer, sk);
	return 1;
}

__hidden __noinline void unix_sent(const struct call *call, struct sock *sk)
{
	struct unix_peer peer = {};
	u16 family = 0;

	if (call->result < 0 || !call->address || BPF_CORE_READ(sk, sk_type) != SOCK_DGRAM)
		return;
	if (!peer_begin(&peer, sk, call->length))
		return;
	if (bpf_probe_read_user(&family, sizeof(family), (void *)call->address) < 0 || family != AF_UNIX)
		return;
	if (bpf_probe_read_user(peer.name, peer.length & 127, (char *)call->address + UNIX_FAMILY_SIZE) < 0)
		return;
	if (!bpf_map_lookup_elem(&unix_peers, &peer))
		unix_tell(&call->header, &peer, sk);
}
