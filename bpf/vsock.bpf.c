/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets between a machine and its host: a context id and a port of 32 bits each, and no address hook at all. */
#include "bpf/address.h"
#include "bpf/call.h"

/*
 * Both ends. Where vsock is a module that was loaded after the sensor, its types are not known: they have followed the
 * struct sock and a pointer since c0cfa2d8a788 ("vsock: add multi-transports support", 5.5).
 */
static __always_inline void read_ends(struct kernel_tuple *tuple, struct sock *sk)
{
	struct vsock_sock *vsock = (void *)sk;
	u32 *local = (u32 *)tuple->local.bytes, *remote = (u32 *)tuple->remote.bytes;
	struct {
		u16 family, zero;
		u32 port, id, flags;
	} ends[2] = {};

	if (bpf_core_type_exists(struct vsock_sock)) {
		local[0] = kernel_get(vsock, local_addr.svm_cid);
		local[1] = kernel_get(vsock, local_addr.svm_port);
		remote[0] = kernel_get(vsock, remote_addr.svm_cid);
		remote[1] = kernel_get(vsock, remote_addr.svm_port);
		return;
	}
	bpf_probe_read_kernel(ends, sizeof(ends), (char *)sk + bpf_core_type_size(struct sock) + sizeof(void *));
	local[0] = ends[0].id;
	local[1] = ends[0].port;
	remote[0] = ends[1].id;
	remote[1] = ends[1].port;
}

__hidden __noinline void vsock_told(const struct call *call, struct sock *sk, u32 kind)
{
	struct scratch *scratch = network_scratch(call, KERNEL_CONNECT_DONE);
	struct kernel_network *record;

	if (!scratch)
		return;
	record = (void *)scratch->record;
	record->result_unknown = call->unknown;
	record->tuple.family = AF_VSOCK;
	record->tuple.type = kernel_get(sk, sk_type);
	read_ends(&record->tuple, sk);
	if (call->result == -EINPROGRESS) { /* no hook tells when it is done */
		record->result = 0;
		record->result_unknown = true;
	}
	if (kind == KERNEL_ACCEPT)
		ring_send(&record->header, KERNEL_ACCEPT, KERNEL_RING_CRITICAL, sizeof(*record));
	else if (kind == KERNEL_LISTEN)
		ring_send(&record->header, KERNEL_LISTEN, KERNEL_RING_CRITICAL, sizeof(*record));
	else
		ring_send(&record->header, KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL, sizeof(*record));
	scratch_give(scratch);
}

/* The address is the socket's, which keeps the one that it was asked for also where that fails. */
__hidden __noinline void vsock_connected(const struct call *call, struct sock *sk)
{
	if (call->result == -EALREADY || call->result == -EISCONN)
		return;
	vsock_told(call, sk, KERNEL_CONNECT_DONE);
}
