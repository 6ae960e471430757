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

enum { UNIX_PEERS_MAX = 8192, UNIX_FAMILY_SIZE = 2, UNIX_NAME_ROOM = 112 };

/* A name that a socket has sent to: address and inode number name the socket, and a relative path starts somewhere. */
struct unix_peer {
	u64 sk;
	u64 inode;
	u64 from;
	u64 length;
	char name[UNIX_NAME_ROOM];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, UNIX_PEERS_MAX);
	__type(key, struct unix_peer);
	__type(value, u8);
} unix_peers SEC(".maps");

extern void *bpf_cast_to_kern_ctx(void *object) __ksym __weak;

/* How long the name in a sockaddr of `length` bytes is; 0: there is none. */
static __always_inline u32 unix_name_length(u32 length)
{
	if (length <= UNIX_FAMILY_SIZE)
		return 0;
	length -= UNIX_FAMILY_SIZE;
	return length < KERNEL_UNIX_NAME_MAX ? length : KERNEL_UNIX_NAME_MAX;
}

/*
 * Names the peer by the sockaddr's name that lies in the scratch: a path ends at its NUL, and what comes after it makes no
 * other name. False if it was told before.
 */
static __always_inline bool peer_new(struct unix_peer *peer, struct sock *sk, const char *given, u32 length)
{
	long found;

	peer->sk = (u64)sk;
	peer->inode = socket_inode(sk);
	peer->length = length;
	if (given[0]) {
		struct fs_struct *fs = kernel_read(bpf_get_current_task_btf(), fs);

		peer->from = given[0] == '/' ? (u64)kernel_get(fs, root.dentry) : (u64)kernel_get(fs, pwd.dentry);
		found = bpf_probe_read_kernel_str(peer->name, KERNEL_UNIX_NAME_MAX + 1, given);
		peer->length = found > 0 ? found - 1 : 0;
	} else {
		bpf_probe_read_kernel(peer->name, length & 127, given);
	}
	return !bpf_map_lookup_elem(&unix_peers, peer);
}

/* A record of zeros, the place of its name, and the peer, all in a scratch: the stack is short. NULL: there is none. */
static __always_inline struct kernel_network *send_begin(struct scratch **scratch, char **name, struct unix_peer **peer)
{
	struct kernel_network *send;

	*scratch = scratch_take();
	if (!*scratch) {
		ring_unsent(KERNEL_SEND, KERNEL_RING_CRITICAL);
		return NULL;
	}
	send = (void *)(*scratch)->record;
	__builtin_memset(send, 0, sizeof(*send));
	*name = scratch_at(*scratch, sizeof(*send));
	*peer = (void *)(*scratch)->path;
	__builtin_memset(*name, 0, UNIX_NAME_ROOM);
	__builtin_memset(*peer, 0, sizeof(**peer));
	return send;
}

/* Sends the record, if no other thread has just done it. */
static __always_inline void send_name(struct kernel_network *send, const struct unix_peer *peer, struct sock *sk)
{
	u32 end = sizeof(*send), length = peer->length;
	u8 one = 1;

	if (bpf_map_update_elem(&unix_peers, peer, &one, BPF_NOEXIST))
		return;
	send->header.flags |= uring_flag((u64)sk);
	read_tuple(&send->tuple, sk);
	end = string_note(&send->unix_name, end, length & 127);
	ring_send(&send->header, KERNEL_SEND, KERNEL_RING_CRITICAL, end);
}

/* The attach type, BPF_CGROUP_UNIX_SENDMSG, is the loader's to set: libbpf 1.1 has no name for it. */
SEC("cgroup/sendmsg4")
int unix_sendmsg(struct bpf_sock_addr *address)
{
	struct bpf_sock_addr_kern *given = bpf_cast_to_kern_ctx(address);
	struct task_struct *task = bpf_get_current_task_btf();
	struct container container;
	struct unix_peer *peer;
	struct kernel_network *send;
	struct scratch *scratch;
	struct sock *sk = given->sk;
	void *from = given->uaddr;
	u32 length = unix_name_length(given->uaddrlen);
	char *name;

	if (!sk || !from || !length || !task_wanted(task, &container))
		return 1;
	send = send_begin(&scratch, &name, &peer);
	if (!send)
		return 1;
	if (bpf_probe_read_kernel(name, length & 127, (char *)from + UNIX_FAMILY_SIZE) == 0 &&
		peer_new(peer, sk, name, length)) {
		task_fill(&send->header, task, &container);
		send_name(send, peer, sk);
	}
	scratch_give(scratch);
	return 1;
}

__hidden __noinline void unix_sent(const struct call *call, struct sock *sk)
{
	struct unix_peer *peer;
	struct kernel_network *send;
	struct scratch *scratch;
	u32 length = unix_name_length(call->length);
	u16 family = 0;
	char *name;

	if (call->result < 0 || (!call->address && !call->name) || !length || kernel_get(sk, sk_type) != SOCK_DGRAM)
		return;
	if (read_sockaddr(call, &family, 0, sizeof(family)) < 0 || family != AF_UNIX)
		return;
	send = send_begin(&scratch, &name, &peer);
	if (!send)
		return;
	send->header = call->header;
	send->descriptor = call->descriptor;
	if (read_sockaddr(call, name, UNIX_FAMILY_SIZE, length & 127) == 0 && peer_new(peer, sk, name, length))
		send_name(send, peer, sk);
	scratch_give(scratch);
}
