/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a call, the name that it is bound to or that it was given, and the record of both. */
#ifndef TAFFRAIL_ADDRESS_H
#define TAFFRAIL_ADDRESS_H

#include "bpf/call.h"
#include "bpf/file.h"
#include "bpf/ring.h"
#include "bpf/socket.h"

/* The struct sock of an open file, or NULL. */
static __always_inline struct sock *socket_of_file(struct file *file)
{
	struct socket *socket;

	if (!file || (kernel_get(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = kernel_get(file, private_data);
	return kernel_get(socket, sk);
}

/* The socket of the call: the one that its hook had, or the one behind the descriptor. */
static __always_inline struct sock *socket_of_call(const struct call *call, u32 fd)
{
	if (call->object)
		return (void *)call->object;
	if (call->gone)
		return NULL;
	return socket_of_file(file_of_descriptor(bpf_get_current_task_btf(), fd));
}

/* Appends a bound unix socket's name. */
static __always_inline u32 unix_name(struct scratch *scratch, u32 end, struct kernel_string *string, struct sock *sk)
{
	struct unix_address *address = kernel_get((struct unix_sock *)sk, addr);
	u32 length = address ? kernel_get(address, len) - 2 : 0; /* less sun_family */

	string_note(string, 0, 0);
	if (!length || length > KERNEL_UNIX_NAME_MAX)
		return end;
	if (bpf_probe_read_kernel(scratch_at(scratch, end), length & 127, address->name[0].sun_path) < 0)
		return end;
	return string_note(string, end, length);
}

/* Bytes of the sockaddr from `offset`: of the kernel's copy, or, claimed, of user memory. */
static __always_inline long read_sockaddr(const struct call *call, void *to, u32 offset, u32 size)
{
	if (call->name)
		return bpf_probe_read_kernel(to, size, (void *)(call->name + offset));
	return bpf_probe_read_user(to, size, (void *)(call->address + offset));
}

/* What a call that failed was given: claimed where it comes from user memory, but there is nothing else. */
static __always_inline u32 claimed_address(struct scratch *scratch, const struct call *call, u32 end)
{
	struct kernel_network *network = (void *)scratch->record;
	struct {
		u16 family;
		__be16 port;
		u32 words[6]; /* IPv4: the address first; IPv6: flow, then the address */
	} given = {};
	u32 length = call->length;

	if (read_sockaddr(call, &given, 0, sizeof(u16) + sizeof(u16) + sizeof(u32)) < 0)
		return end;
	if (given.family == AF_UNIX && length > 2) {
		length -= 2;
		if (length > KERNEL_UNIX_NAME_MAX)
			length = KERNEL_UNIX_NAME_MAX;
		if (read_sockaddr(call, scratch_at(scratch, end), 2, length & 127) < 0)
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
	read_sockaddr(call, &network->tuple.remote, 8, 16);
	if (unmap(&network->tuple.remote))
		network->tuple.family = AF_INET;
	return end;
}

static __always_inline struct scratch *network_scratch(const struct call *call, u32 kind)
{
	struct scratch *scratch = scratch_take();
	struct kernel_network *network;

	if (!scratch) {
		ring_unsent(kind, kind == KERNEL_RECEIVE ? KERNEL_RING_BULK : KERNEL_RING_CRITICAL);
		return NULL;
	}
	network = (void *)scratch->record;
	__builtin_memset(network, 0, sizeof(*network));
	network->header = call->header;
	network->result = call->result;
	network->result_unknown = call->unknown;
	network->descriptor = call->descriptor;
	return scratch;
}

/* The inode number of a socket: with its address it names the socket for good, which an address alone does not. */
static __always_inline u64 socket_inode(struct sock *sk)
{
	struct socket *socket = kernel_get(sk, sk_socket);

	if (!socket)
		return 0;
	return kernel_get(kernel_container_of(socket, struct socket_alloc, socket), vfs_inode.i_ino);
}

#endif
