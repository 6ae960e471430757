/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked for through io_uring, and never passes a system call of its own: noted when it is submitted, in the context of
 * who submits it (or of the SQPOLL thread, which carries the owner's process and cgroup), told when it completes.
 *
 * The kernel has copied the path by the time that it is submitted, so no thread can change it; the file is found behind the
 * descriptor when it completes. Whatever completes without an event (IOSQE_CQE_SKIP_SUCCESS) is told when it is submitted,
 * its outcome unknown. A completion that finds its queue full takes another way, and tells user_data only.
 */
#include "bpf/uring.h"
#include "bpf/address.h"
#include "bpf/call.h"
#include "bpf/raw.h"
#include "bpf/task.h"

enum {
	URING_CALLS_MAX = 16384,
	URING_NAMES_MAX = 4096,
	URING_SHOTS_MAX = 16384,
	SEARCHES = 4,
	URING_ADDRESS_MAX = 128, /* struct sockaddr_storage */

	/* linux/io_uring.h */
	OP_SENDMSG = 9,
	OP_ACCEPT = 13,
	OP_CONNECT = 16,
	OP_OPENAT = 18,
	OP_SEND = 26,
	OP_OPENAT2 = 28,
	OP_SOCKET = 45,
	OP_SEND_ZC = 47,
	OP_SENDMSG_ZC = 48,
	OP_LISTEN = 57,
	SQE_FIXED_FILE = 1 << 0, /* the low bits of io_kiocb.flags are the sqe's */
	SQE_CQE_SKIP_SUCCESS = 1 << 6,
	CQE_MORE = 1 << 1,
	ACCEPT_MULTISHOT = 1 << 0,

	FILE_POINTER_FLAGS = 7, /* in the low bits of io_rsrc_node.file_ptr */
};

static const u32 SLOT_ALLOC = ~0u; /* IORING_FILE_INDEX_ALLOC: the result is the slot */

/* A request that matters, from its submission until it completes. */
struct uring_call {
	struct kernel_header header;
	u64 ring, user_data;
	u32 opcode;
	s32 fd;                          /* of an open: what a relative path starts from */
	u32 flags, mode;                 /* of an open */
	u32 family, type, protocol;      /* of a new socket */
	u32 slot;                        /* of the ring's own table, counted from 1; 0: an ordinary descriptor */
	u32 length;                      /* of the address */
	u32 claimed;                     /* by a completion that found it by a search: two may search at a time */
	u32 twin;                        /* another with the same user_data was on its way */
	char address[URING_ADDRESS_MAX]; /* of a connect */
	struct call call; /* what tell makes of it: here, for more of the stack goes into reading paths */
};

/* By the address of the struct io_kiocb. A plain hash: where it is full, the call is told at once, its outcome unknown. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, URING_CALLS_MAX);
	__type(key, u64);
	__type(value, struct uring_call);
} uring_calls SEC(".maps");

struct uring_name {
	char path[KERNEL_PATH_MAX];
};

/* The paths of opens, by the same key. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, URING_NAMES_MAX);
	__type(key, u64);
	__type(value, struct uring_name);
} uring_names SEC(".maps");

/* What a completion without a request is known by. */
struct uring_shot {
	u64 ring, user_data;
};

/* Accepts of many connections: all but the last completion come without the request. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, URING_SHOTS_MAX);
	__type(key, struct uring_shot);
	__type(value, u64);
} uring_shots SEC(".maps");

/* Are there any of these? */
static volatile u32 uring_call_seen = 0, uring_shot_seen = 0;

static const struct uring_call no_call = {};
static const struct uring_name no_name = {};

/* --- the kernel's side of a request ------------------------------------------------------------------------------------ */

static __always_inline bool opens(u32 opcode)
{
	return opcode == OP_OPENAT || opcode == OP_OPENAT2;
}

static __always_inline bool sends(u32 opcode)
{
	return opcode == OP_SENDMSG || opcode == OP_SEND || opcode == OP_SENDMSG_ZC || opcode == OP_SEND_ZC;
}

/* Do function hooks tell it? */
static __always_inline bool spared(u32 opcode)
{
	if (opens(opcode))
		return syscall_spares & KERNEL_SYSCALL_OPEN;
	switch (opcode) {
	case OP_CONNECT: return syscall_spares & KERNEL_SYSCALL_CONNECT;
	case OP_ACCEPT: return syscall_spares & KERNEL_SYSCALL_ACCEPT;
	case OP_LISTEN: return syscall_spares & KERNEL_SYSCALL_LISTEN;
	default: return false;
	}
}

/* Does its completion matter? */
static __always_inline bool completes(u32 opcode)
{
	return opens(opcode) || opcode == OP_CONNECT || opcode == OP_ACCEPT || opcode == OP_SOCKET ||
	       opcode == OP_LISTEN;
}

/* The file in a slot (counted from 0) of the ring's own table, or NULL. */
static __noinline struct file *file_of_slot(u64 ring, u32 slot)
{
	struct io_ring_ctx *context = (void *)ring;
	struct io_ring_ctx___files *before = (void *)ring;
	struct io_rsrc_node **nodes, *node = NULL;
	unsigned long pointer = 0;

	if (bpf_core_field_exists(context->file_table.data)) {
		if (slot >= kernel_get(context, file_table.data.nr))
			return NULL;
		nodes = kernel_get(context, file_table.data.nodes);
		bpf_probe_read_kernel(&node, sizeof(node), nodes + slot);
		pointer = node ? kernel_get(node, file_ptr) : 0;
	} else if (bpf_core_field_exists(before->file_table.files)) {
		if (slot >= kernel_get(before, nr_user_files))
			return NULL;
		pointer = (unsigned long)(kernel_get(before, file_table.files) + slot);
		bpf_probe_read_kernel(&pointer, sizeof(pointer), (void *)pointer);
	}
	return (void *)(pointer & ~(unsigned long)FILE_POINTER_FLAGS);
}

/* The socket that a request is for, as far as it can be found when it is submitted. */
static __always_inline struct sock *socket_of_request(struct io_kiocb *request, u32 flags)
{
	s32 fd = kernel_get(request, cqe.fd);

	if (flags & SQE_FIXED_FILE)
		return socket_of_file(file_of_slot((u64)kernel_get(request, ctx), fd));
	return socket_of_file(file_of_descriptor(bpf_get_current_task_btf(), fd));
}

/* The socket that a request is for: its file once it was issued; before, what its descriptor means now. */
static __noinline struct sock *socket_of_key(u64 key)
{
	struct io_kiocb *request = (void *)key;
	struct file *file = kernel_get(request, file);
	u32 flags = 0;

	if (file)
		return socket_of_file(file);
	bpf_probe_read_kernel(&flags, sizeof(flags), (char *)request + bpf_core_field_offset(struct io_kiocb, flags));
	return socket_of_request(request, flags);
}

/* --- telling ------------------------------------------------------------------------------------------------------------ */

/* An outcome that nobody will tell: the record that there is, of the socket as it is now. */
static __noinline void tell_unknown(const struct call *call, u32 opcode)
{
	struct sock *sk = (void *)call->object;
	struct scratch *scratch;
	struct kernel_network *network;
	u32 end = sizeof(*network);
	u16 family;

	if (!sk)
		return;
	family = kernel_get(sk, __sk_common.skc_family);
	if (opcode == OP_CONNECT && (family == AF_INET || family == AF_INET6))
		return; /* the address hook tells it */
	if (family == AF_VSOCK) {
		vsock_told(call, sk,
			opcode == OP_ACCEPT   ? KERNEL_ACCEPT
			: opcode == OP_LISTEN ? KERNEL_LISTEN
					      : KERNEL_CONNECT_DONE);
		return;
	}
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return;
	scratch = network_scratch(call, KERNEL_CONNECT_DONE);
	if (!scratch)
		return;
	network = (void *)scratch->record;
	read_tuple(&network->tuple, sk);
	if (opcode == OP_CONNECT)
		end = claimed_address(scratch, call, end);
	else if (family == AF_UNIX)
		end = unix_name(scratch, end, &network->unix_name, sk);
	if (end > KERNEL_RECORD_MAX)
		end = KERNEL_RECORD_MAX;
	if (opcode == OP_ACCEPT)
		ring_send(&network->header, KERNEL_ACCEPT, KERNEL_RING_CRITICAL, end);
	else if (opcode == OP_LISTEN)
		ring_send(&network->header, KERNEL_LISTEN, KERNEL_RING_CRITICAL, end);
	else
		ring_send(&network->header, KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL, end);
	scratch_give(scratch);
}

/* The object behind the result: in the ring's table, or behind a descriptor of the process that submitted the request. */
static __always_inline void find_object(struct call *call, const struct uring_call *from)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (from->slot) {
		call->object = (u64)file_of_slot(from->ring, from->slot == SLOT_ALLOC ? call->result : from->slot - 1);
		call->gone = !call->object;
	} else {
		call->gone = from->header.tgid != (u32)kernel_read(task, tgid);
	}
}

static __always_inline void tell_open(struct call *call, const struct uring_call *from, u64 key)
{
	call->name = (u64)bpf_map_lookup_elem(&uring_names, &key);
	call->flags = from->flags;
	call->mode = from->mode;
	call->fd = from->fd;
	if (!call->unknown && call->result >= 0)
		find_object(call, from);
	file_opened(call);
}

static __always_inline void tell_accept(struct call *call, const struct uring_call *from, u64 key)
{
	struct sock *sk;

	if (call->result < 0)
		return;
	find_object(call, from);
	sk = call->object ? socket_of_file((void *)call->object)
	     : call->gone ? NULL
			  : socket_of_file(file_of_descriptor(bpf_get_current_task_btf(), call->result));
	call->object = (u64)sk;
	if (sk) {
		network_accepted(call);
		return;
	}
	/* Closed already: who came is not known any more, that somebody came is. */
	call->object = (u64)socket_of_key(key);
	call->unknown = true;
	tell_unknown(call, OP_ACCEPT);
}

/* Tells what came of a call, or, `unknown`, that it was asked for. */
static __noinline void tell(struct uring_call *from, u64 key, s32 result, bool unknown)
{
	u32 opcode = from->opcode;
	struct call *call = &from->call;

	__builtin_memset(call, 0, sizeof(*call));
	call->header = from->header;
	call->result = result;
	call->unknown = unknown;
	if (opens(opcode)) {
		tell_open(call, from, key);
		return;
	}
	if (opcode == OP_SOCKET) {
		socket_created(call, from->family, from->type, from->protocol);
		return;
	}
	if (opcode == OP_ACCEPT && !unknown) {
		tell_accept(call, from, key);
		return;
	}
	call->object = (u64)socket_of_key(key);
	call->name = (u64)from->address;
	call->length = from->length;
	if (unknown) {
		tell_unknown(call, opcode);
	} else if (opcode == OP_LISTEN && call->object) {
		network_listened(call);
	} else if (opcode == OP_CONNECT && call->object) {
		if (result == -ECANCELED) /* the request; the socket goes on connecting */
			call->result = -EINTR;
		network_connected(call);
	}
}

/* --- submitted ------------------------------------------------------------------------------------------------------------ */

static __always_inline void read_open(struct uring_call *call, u64 key, struct io_kiocb *request)
{
	struct io_open *open = (void *)request;
	struct io_open___delayed *delayed = (void *)request;
	struct filename *name = NULL;
	struct uring_name *copy = NULL;

	call->fd = kernel_get(open, dfd);
	call->slot = kernel_get(open, file_slot);
	call->flags = kernel_get(open, how.flags) & ~OPEN_LARGE; /* which it adds to every open */
	call->mode = kernel_get(open, how.mode);
	if (bpf_core_field_exists(open->filename))
		name = kernel_get(open, filename);
	else if (bpf_core_field_exists(delayed->filename))
		name = kernel_get(delayed, filename.__incomplete_filename);
	if (bpf_map_update_elem(&uring_names, &key, &no_name, BPF_ANY) == 0)
		copy = bpf_map_lookup_elem(&uring_names, &key);
	if (copy && name)
		bpf_probe_read_kernel_str(copy->path, sizeof(copy->path), kernel_get(name, name));
}

/* A connect's address: the kernel's copy, or, before it made one at this time (6.10), claimed. */
static __always_inline void read_connect(struct uring_call *call, struct io_kiocb *request)
{
	struct io_connect *connect = (void *)request;
	struct io_async_msghdr *copy = kernel_get(request, async_data);

	call->length = kernel_get(connect, addr_len);
	if (copy && bpf_core_field_exists(copy->addr))
		bpf_probe_read_kernel(call->address, sizeof(call->address),
			(char *)copy + bpf_core_field_offset(struct io_async_msghdr, addr));
	else
		bpf_probe_read_user(
			call->address, (call->length > 127 ? 127 : call->length) & 127, kernel_get(connect, addr));
}

static __always_inline void read_accept(struct uring_call *call, u64 key, struct io_kiocb *request)
{
	struct io_accept *accept = (void *)request;
	struct uring_shot shot = {call->ring, call->user_data};

	call->slot = kernel_get(accept, file_slot);
	/* 6.10 began to keep the flags with the request; before, any may be of many. */
	if (bpf_core_field_exists(accept->iou_flags) && !(kernel_get(accept, iou_flags) & ACCEPT_MULTISHOT))
		return;
	uring_shot_seen = 1;
	bpf_map_update_elem(&uring_shots, &shot, &key, BPF_ANY);
}

static __always_inline void read_socket(struct uring_call *call, struct io_kiocb *request)
{
	struct io_socket *socket = (void *)request;

	call->family = kernel_get(socket, domain);
	call->type = kernel_get(socket, type);
	call->protocol = kernel_get(socket, protocol);
}

/* A function of its own, for what it takes of the stack is free again afterwards. */
static __noinline bool sender_wanted(struct kernel_header *header)
{
	return task_current(header);
}

/* A send: the hooks of its socket tell it; a packet socket has none. */
static __noinline int send_submitted(struct io_kiocb *request, u32 flags)
{
	struct io_async_msghdr *copy;
	struct call call = {};
	struct sock *sk;

	if (!sender_wanted(&call.header))
		return 0;
	sk = socket_of_request(request, flags);
	if (!sk)
		return 0;
	uring_note(sk, call.header.flags & KERNEL_CANARY);
	if (syscall_spares & KERNEL_SYSCALL_SEND || kernel_get(sk, __sk_common.skc_family) != AF_PACKET)
		return 0;
	call.header.flags |= KERNEL_URING;
	call.object = (u64)sk;
	copy = kernel_get(request, async_data);
	if (copy && bpf_core_field_exists(copy->msg)) {
		call.name = (u64)kernel_get(copy, msg.msg_name); /* the kernel's copy, or NULL */
		call.length = kernel_get(copy, msg.msg_namelen);
	}
	packet_sent(&call, sk);
	return 0;
}

static __noinline void forget(u64 key, const struct uring_call *call)
{
	struct uring_shot shot = {call->ring, call->user_data};
	u64 *held;

	if (opens(call->opcode))
		bpf_map_delete_elem(&uring_names, &key);
	if (call->opcode == OP_ACCEPT && uring_shot_seen) {
		held = bpf_map_lookup_elem(&uring_shots, &shot);
		if (held && *held == key)
			bpf_map_delete_elem(&uring_shots, &shot);
	}
	bpf_map_delete_elem(&uring_calls, &key);
}

static __noinline int call_submitted(struct io_kiocb *request)
{
	u32 opcode = request->opcode, flags;
	u64 key = (u64)request;
	struct container container;
	struct task_struct *task;
	struct uring_call *call = NULL;
	struct scratch *spare = NULL;
	struct sock *sk;

	task = bpf_get_current_task_btf();
	if (!task_wanted(task, &container))
		return 0;
	flags = request->flags;
	if (opcode == OP_CONNECT || (spared(opcode) && !opens(opcode))) {
		sk = socket_of_request(request, flags);
		if (sk)
			uring_note(sk, container.flags & KERNEL_CANARY);
	}
	if (spared(opcode))
		return 0;
	if (bpf_map_update_elem(&uring_calls, &key, &no_call, BPF_ANY) == 0)
		call = bpf_map_lookup_elem(&uring_calls, &key);
	/* Where others hold all the room it is told at once: nobody may blind who has nothing to do with him. */
	if (!call && (spare = scratch_take())) {
		call = (void *)spare->path;
		*call = no_call;
	}
	if (!call) {
		if (opens(opcode))
			ring_unsent(KERNEL_OPEN, KERNEL_RING_BULK);
		else
			ring_unsent(KERNEL_CONNECT_DONE, KERNEL_RING_CRITICAL);
		return 0;
	}
	uring_call_seen = 1;
	task_fill(&call->header, task, &container);
	call->header.flags |= KERNEL_URING;
	call->ring = (u64)request->ctx;
	call->user_data = kernel_get(request, cqe.user_data);
	call->opcode = opcode;
	if (opens(opcode))
		read_open(call, key, request);
	else if (opcode == OP_CONNECT)
		read_connect(call, request);
	else if (opcode == OP_ACCEPT)
		read_accept(call, key, request);
	else if (opcode == OP_SOCKET)
		read_socket(call, request);
	if (spare || flags & SQE_CQE_SKIP_SUCCESS) {
		tell(call, key, 0, true);
		forget(key, call);
	}
	if (spare)
		scratch_give(spare);
	return 0;
}

static __always_inline int submitted(struct io_kiocb *request)
{
	u32 opcode = request->opcode;

	if (sends(opcode))
		return send_submitted(request, request->flags);
	return completes(opcode) ? call_submitted(request) : 0;
}

/* 6.5: 48863ffd3e81 ("io_uring: fix trace_io_uring_submit_sqe…") */
SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(uring_submit, struct io_kiocb *request)
{
	return submitted(request);
}

/* Before: the same request, and whether it may block. */
SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(uring_submit_before, struct io_kiocb *request)
{
	return submitted(request);
}

/* --- completed ------------------------------------------------------------------------------------------------------------ */

static __always_inline int completed(u64 ring, u64 key, u64 user_data, s32 result, u32 flags)
{
	struct uring_call *call;

	if (!key) {
		struct uring_shot shot = {ring, user_data};
		u64 *held;

		if (!uring_shot_seen || !(flags & CQE_MORE))
			return 0;
		held = bpf_map_lookup_elem(&uring_shots, &shot);
		if (!held)
			return 0;
		key = *held;
	} else if (!uring_call_seen || !completes(kernel_get((struct io_kiocb *)key, opcode))) {
		return 0;
	}
	call = bpf_map_lookup_elem(&uring_calls, &key);
	if (!call || call->ring != ring || call->user_data != user_data)
		return 0;
	tell(call, key, result, false);
	if (!(flags & CQE_MORE))
		forget(key, call);
	return 0;
}

/* 6.17 on. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(uring_complete, struct io_ring_ctx *ring, void *request, struct io_uring_cqe *event)
{
	u64 user_data = kernel_get(event, user_data);
	s32 result = kernel_get(event, res);
	u32 flags = kernel_get(event, flags);

	return completed((u64)ring, (u64)request, user_data, result, flags);
}

/* 5.19 to 6.16. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(uring_complete_before, void *ring, void *request, u64 user_data, int result, unsigned int flags)
{
	return completed((u64)ring, (u64)request, user_data, result, flags);
}

/* A completion that found the queue full: which request it is of must be found by what it tells. */
struct search {
	struct uring_shot shot;
	u64 key;
	u64 found; /* 2: at least two */
};

#ifndef TAFFRAIL_CLASSIC
static long search_call(void *map, const u64 *key, struct uring_call *call, struct search *search)
{
	(void)map;
	if (call->claimed || call->ring != search->shot.ring || call->user_data != search->shot.user_data)
		return 0;
	if (search->found) {
		call->twin = 1;
		search->found = 2;
		return 1;
	}
	search->key = *key;
	search->found = 1;
	return 0;
}
#endif

SEC("tp_btf/io_uring_cqe_overflow")
int BPF_PROG(uring_overflow, void *ring, u64 user_data, s32 result, u32 flags)
{
	struct search search = {.shot = {(u64)ring, user_data}};
	struct uring_call *call = NULL;
	struct task_struct *task = bpf_get_current_task_btf();
	struct container container;
	u64 key = 0;

	/* The search is long, and not for everybody. A kernel thread completes what is left when a process ends. */
	if (!uring_call_seen || (!(kernel_read(task, flags) & TASK_KERNEL) && !task_wanted(task, &container)))
		return 0;
#ifndef TAFFRAIL_CLASSIC /* it came with 5.13, and a completion that tells its request with 5.19 */
	for (u32 i = 0; i < SEARCHES && !call; i++) {
		search.found = 0;
		bpf_for_each_map_elem(&uring_calls, search_call, &search, 0);
		if (!search.found)
			return 0;
		key = search.key;
		call = bpf_map_lookup_elem(&uring_calls, &key);
		if (call && !try_lock(&call->claimed))
			call = NULL;
	}
#endif
	if (!call)
		return 0;
	/* Two with the same user_data: each completes once, but which is which nobody knows. */
	tell(call, key, result, search.found > 1 || call->twin);
	if (flags & CQE_MORE)
		unlock(&call->claimed);
	else
		forget(key, call);
	return 0;
}
