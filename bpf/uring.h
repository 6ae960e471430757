/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that are driven through io_uring. The address hooks of connect and send cannot tell by themselves who called
 * them, so uring.bpf.c notes the socket before the request is issued.
 */
#ifndef TAFFRAIL_URING_H
#define TAFFRAIL_URING_H

#include "bpf/address.h"
#include "bpf/canary.h"
#include "bpf/kernel_types.h"

enum {
	URING_SOCKETS_MAX = 4096,
	TASK_KERNEL = 0x200000, /* PF_KTHREAD */
};

/* By address; the value is the inode number, for another socket may come to lie there. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, URING_SOCKETS_MAX);
	__type(key, u64);
	__type(value, u64);
} uring_sockets SEC(".maps") __weak;

/* Has there been any? Mostly not, and then nobody needs to look. */
__u32 uring_socket_seen __weak = 0;

/* Of the sensor's canary nobody needs to look for longer than it flies. */
static __always_inline void uring_note(struct sock *sk, bool canary)
{
	u64 key = (u64)sk, inode = socket_inode(sk);
	u64 *known = bpf_map_lookup_elem(&uring_sockets, &key);

	if (!canary)
		uring_socket_seen = 1;
	if (!known || *known != inode)
		bpf_map_update_elem(&uring_sockets, &key, &inode, BPF_ANY);
}

/* The address of a socket as a plain number: the verifier lets nobody read behind a struct bpf_sock as behind a struct sock. */
static __always_inline struct sock *socket_plain(u64 socket)
{
	struct sock *sk = NULL;

	bpf_probe_read_kernel(&sk, sizeof(sk), &socket);
	return sk;
}

/* KERNEL_URING, if what a hook sees the socket at `key` do was asked for through io_uring. */
static __always_inline u8 uring_flag(u64 key)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u64 *known;

	if (kernel_read(task, flags) & TASK_IO_WORKER)
		return KERNEL_URING;
	if (!uring_socket_seen && !canary_tgid)
		return 0;
	known = bpf_map_lookup_elem(&uring_sockets, &key);
	return known && *known == socket_inode(socket_plain(key)) ? KERNEL_URING : 0;
}

#endif
