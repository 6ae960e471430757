/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sockets have received: the first datagram from each sender to a socket without a peer, as the call told the program;
 * and, as long as somebody wants to see what it was (KERNEL_WANT_DATA), everything.
 */
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/family.h"
#include "bpf/raw.h"

enum {
	PEER_RECEIVED = 1u << 31, /* in peer.protocol: not one that was sent to */
	PARTS_MAX = 8,   /* of a message's memory that are looked at: most often its first has all that is taken */
	DATA_MASK = 127, /* holds KERNEL_DATA_MAX */
};

static __always_inline bool data_wanted(void)
{
	return calls_wanted & KERNEL_WANT_DATA;
}

/* Where the sender's address is; 0: the program did not ask. The first of several messages stands for them. */
static __always_inline u64 sender_address(const struct call *call, const u64 at[6])
{
	u64 address = 0;

	if (call->header.call == KERNEL_CALL_RECVFROM)
		return at[4];
	bpf_probe_read_user(&address, call->header.flags & KERNEL_COMPAT ? 4 : 8, (void *)at[1]);
	return address;
}

/* --- what it was ------------------------------------------------------------------------------------------------------- */

/* Appends a piece of the program's memory behind the `got` bytes that stand there. Returns how many do then. */
static __noinline u32 take_piece(struct scratch *scratch, u32 got, u32 wanted, u64 address, u64 length)
{
	u32 size = got < wanted ? wanted - got : 0;

	if (length < size)
		size = length;
	if (size == 0 || bpf_probe_read_user(scratch->record + sizeof(struct kernel_received) + (got & DATA_MASK),
				 size & DATA_MASK, (void *)address) < 0)
		return got;
	return got + size;
}

/* Words of user memory, each as wide as the program's pointers are. */
static __always_inline void read_words(const struct call *call, u64 *words, u32 count, u64 address)
{
	if (!(call->header.flags & KERNEL_COMPAT)) {
		bpf_probe_read_user(words, count * sizeof(u64), (void *)address);
		return;
	}
	for (u32 i = 0; i < count; i++)
		bpf_probe_read_user(&words[i], sizeof(u32), (void *)(address + i * sizeof(u32)));
}

/* The same of a struct msghdr: name, length of the name, pieces, how many. */
static __noinline u32 take_message(const struct call *call, struct scratch *scratch, u64 message, u32 wanted)
{
	u32 width = call->header.flags & KERNEL_COMPAT ? sizeof(u32) : sizeof(u64), got = 0;
	u64 pieces[2] = {};

	read_words(call, pieces, 2, message + 2 * width);
	for (u32 i = 0; i < PARTS_MAX && i < pieces[1] && got < wanted; i++) {
		u64 piece[2] = {};

		read_words(call, piece, 2, pieces[0] + (u64)i * 2 * width);
		got = take_piece(scratch, got, wanted, piece[0], piece[1]);
	}
	return got;
}

/* Appends the first bytes of what the call has received. Returns the record's end. */
static __noinline u32 take_data(const struct call *call, struct scratch *scratch, const u64 at[6])
{
	struct kernel_received *received = (void *)scratch->record;
	u64 size = call->result;
	u32 wanted, got;

	if (call->header.call == KERNEL_CALL_RECVMMSG) { /* messages: the first one's length stands behind its header */
		u32 first = 0;

		bpf_probe_read_user(
			&first, sizeof(first), (void *)(at[1] + (call->header.flags & KERNEL_COMPAT ? 28 : 56)));
		size = first;
	}
	wanted = size < KERNEL_DATA_MAX ? size : KERNEL_DATA_MAX;
	if (call->header.call == KERNEL_CALL_RECVFROM)
		got = take_piece(scratch, 0, wanted, at[1], at[2]);
	else
		got = take_message(call, scratch, at[1], wanted);
	return string_note(&received->data, sizeof(*received), got & DATA_MASK);
}

/* --- from whom --------------------------------------------------------------------------------------------------------- */

/* By a socket that has a peer. */
static __noinline void read_connection(struct sock *sk, struct kernel_network *received)
{
	u64 key = (u64)sk;
	struct socket_entry *entry = bpf_map_lookup_elem(&sockets, &key);

	read_tuple(&received->tuple, sk);
	received->connected = 1;
	received->client = entry ? !(entry->flags & SOCKET_ACCEPTED) : !is_server(&received->tuple);
}

/* By one that has none. True: it is the first from this sender. */
static __noinline bool read_sender(struct call *call, struct sock *sk, struct scratch *scratch)
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
	return bpf_map_update_elem(&peers, &peer, &one, BPF_NOEXIST) == 0;
}

__hidden __noinline void network_received(struct call *call, struct pt_regs *regs)
{
	struct family_arguments arguments;
	struct kernel_received *received;
	struct scratch *scratch;
	bool connected, told = false;
	struct sock *sk;
	u16 family;
	u32 end = sizeof(*received);

	if (call->result < 0)
		return;
	family_read(call, regs, &arguments);
	call_socket_at(call, arguments.at[0]);
	sk = socket_of_call(call, call->fd);
	if (!sk)
		return;
	family = kernel_get(sk, __sk_common.skc_family);
	connected = kernel_get(sk, sk_type) == SOCK_STREAM || kernel_get(sk, __sk_common.skc_dport);
	if ((family != AF_INET && family != AF_INET6) || (connected && !data_wanted()))
		return;
	call->address = sender_address(call, arguments.at);
	scratch = network_scratch(call, KERNEL_RECEIVE);
	if (!scratch)
		return;
	received = (void *)scratch->record;
	string_note(&received->data, 0, 0);
	received->zero = 0;
	if (connected)
		read_connection(sk, &received->network);
	else
		told = read_sender(call, sk, scratch);
	if (data_wanted())
		end = take_data(call, scratch, arguments.at);
	if (!told)
		received->network.header.marks |= KERNEL_RULES_ALONE;
	if ((told || received->data.length) && end <= KERNEL_RECORD_MAX)
		ring_send(&received->network.header, KERNEL_RECEIVE, KERNEL_RING_BULK, end);
	scratch_give(scratch);
}
