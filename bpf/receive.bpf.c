/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams that a socket without a peer has received: the first from each sender, as the call told the program. */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/family.h"
#include "bpf/raw.h"

enum { PEER_RECEIVED = 1u << 31 }; /* in peer.protocol: not one that was sent to */

/* Where the sender's address is; 0: the program did not ask. The first of several messages stands for them. */
static __always_inline u64 sender_address(const struct call *call, const u64 at[6])
{
	u64 address = 0;

	if (call->header.call == KERNEL_CALL_RECVFROM)
		return at[4];
	bpf_probe_read_user(&address, call->header.flags & KERNEL_COMPAT ? 4 : 8, (void *)at[1]);
	return address;
}

static __noinline void received_from(struct call *call, struct sock *sk, struct scratch *scratch)
{
	struct kernel_network *received = (void *)scratch->record;
	struct peer peer = {.cookie = (u64)sk ^ socket_inode(sk) << 32};
	u8 one = 1;

	read_tuple(&received->tuple, sk);
	call->length = 0; /* no unix name */
	if (call->address)
		claimed_address(scratch, call, 0);
	peer.address = received->tuple.remote;
	peer.family = received->tuple.family;
	peer.port_be = received->tuple.remote_port_be;
	peer.protocol = PEER_RECEIVED;
	if (bpf_map_update_elem(&peers, &peer, &one, BPF_NOEXIST) == 0)
		ring_send(&received->header, KERNEL_RECEIVE, KERNEL_RING_BULK, sizeof(*received));
}

__hidden __noinline void network_received(struct call *call, struct pt_regs *regs)
{
	struct family_arguments arguments;
	struct scratch *scratch;
	struct sock *sk;
	u16 family;

	if (call->result < 0)
		return;
	family_read(call, regs, &arguments);
	call_socket_at(call, arguments.at[0]);
	sk = socket_of_call(call, call->fd);
	if (!sk)
		return;
	family = kernel_get(sk, __sk_common.skc_family);
	if ((family != AF_INET && family != AF_INET6) || kernel_get(sk, sk_type) == SOCK_STREAM ||
		kernel_get(sk, __sk_common.skc_dport))
		return;
	call->address = sender_address(call, arguments.at);
	scratch = network_scratch(call, KERNEL_RECEIVE);
	if (!scratch)
		return;
	received_from(call, sk, scratch);
	scratch_give(scratch);
}
