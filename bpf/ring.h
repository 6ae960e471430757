/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two rings, the counters, and the scratch memory in which records with strings are built.
 *
 * Every record, sent or not, spends a number of its ring on its CPU: so a number that does not arrive is a lost record,
 * and user space finds every loss. A program never fails its hook; it counts.
 */
#ifndef TAFFRAIL_RING_H
#define TAFFRAIL_RING_H

#include "bpf/file.h"
#include "bpf/kernel_types.h"
#include "bpf/kernel_event.h"
#include "bpf/lane.h"

enum {
	BULK_WAKE_BYTES = 256 * 1024,
	SCRATCH_PER_CPU = 2,         /* the loader multiplies it with the CPUs */
	STRING_OFFSET_MASK = 0x7fff, /* where a string may start: what comes before the arguments is shorter */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 * 1024 * 1024);
} critical SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024);
} bulk SEC(".maps") __weak;

/* What one step needs of a dentry, in the order in which the kernel has it. */
struct path_dentry {
	u32 flags;
	u32 sequence;
	u64 hash[2];
	struct dentry *parent;
	u64 hash_len;
	const unsigned char *name;
};

/* A path on its way from a file upwards (path.bpf.c). */
struct path_walk {
	struct dentry *start, *dentry;
	struct dentry *root; /* of the mount */
	struct mount *mount;
	/* What is read stands here, for on older kernels the stack is too small for it. */
	struct path_dentry read;
	u32 at; /* where the path begins in scratch.path */
	u32 found;
	u32 ended;
};

/* One record in the making. Not per CPU alone: where a program can be preempted, two share the CPU. */
struct scratch {
	u32 busy;
	u32 slot; /* its key in the map */
	struct path_walk walk;
	struct file_facts facts;
	char record[KERNEL_RECORD_MAX];
	char path[2 * KERNEL_PATH_MAX]; /* built from the middle down: so any offset and any length stay inside */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_PER_CPU);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps") __weak;

/* Set by the reader before it waits; whoever calls it clears it, so it is called once. */
__u32 reader_asleep __weak = 0;

static __always_inline bool ring_claim_call(void)
{
	return reader_asleep && mark_claim(&reader_asleep);
}

static __always_inline u64 ring_wakeup(u32 kind, enum kernel_ring ring)
{
	if (!reader_asleep || kind == KERNEL_CONNECT) /* its outcome follows, and calls */
		return BPF_RB_NO_WAKEUP;
	if (ring == KERNEL_RING_BULK && bpf_ringbuf_query(&bulk, BPF_RB_AVAIL_DATA) < BULK_WAKE_BYTES)
		return BPF_RB_NO_WAKEUP;
	return ring_claim_call() ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/*
 * Sends `size` bytes that start with `header`, whose process part is filled; its time is now, unless it has one. `kind` and
 * `ring` are constants. `size` is bounded where it is not one. False: the ring was full, and that is counted.
 */
static __always_inline bool ring_send(struct kernel_header *header, u32 kind, enum kernel_ring ring, u32 size)
{
	struct kernel_counters *count;
	long error;
	u64 sequence;
	u16 cpu;

	count = lane_number(ring, &cpu, &sequence);
	if (!count)
		return false;
	/* Whoever calls has bounded it, but a compiler may have compared a copy; 6.1 does not know one for the other. */
	if (!__builtin_constant_p(size)) {
		barrier_var(size);
		if (size > KERNEL_RECORD_MAX)
			return false;
	}
	if (!header->time_ns)
		header->time_ns = bpf_ktime_get_boot_ns();
	header->kind = kind;
	header->cpu = cpu;
	header->size = size;
	header->ring = ring;
	header->sequence = sequence;
	if (ring == KERNEL_RING_BULK)
		error = bpf_ringbuf_output(&bulk, header, size, ring_wakeup(kind, ring));
	else
		error = bpf_ringbuf_output(&critical, header, size, ring_wakeup(kind, ring));
	if (error)
		__sync_fetch_and_add(&count->lost[kind], 1);
	return !error;
}

/* Counts a record that could not be built; it spends its number as well. */
static __always_inline void ring_unsent(u32 kind, enum kernel_ring ring)
{
	u64 sequence;
	u16 cpu;
	struct kernel_counters *count = lane_number(ring, &cpu, &sequence);

	if (count)
		__sync_fetch_and_add(&count->unsent[kind], 1);
}

/* --- scratch ------------------------------------------------------------------------------------------------------- */

/* A scratch of this CPU that nobody uses, or NULL. The record in it holds what the last one left. */
static __always_inline struct scratch *scratch_take(void)
{
	u32 slot = bpf_get_smp_processor_id() * SCRATCH_PER_CPU;

#pragma unroll
	for (u32 i = 0; i < SCRATCH_PER_CPU; i++, slot++) {
		u32 key = slot;
		struct scratch *scratch = bpf_map_lookup_elem(&scratches, &key);

		if (scratch && try_lock(&scratch->busy)) {
			scratch->slot = slot;
			return scratch;
		}
	}
	return NULL;
}

static __always_inline void scratch_give(struct scratch *scratch)
{
	unlock(&scratch->busy);
}

/* Where the next string goes: bounded for the verifier, though no record comes so far. */
static __always_inline char *scratch_at(struct scratch *scratch, u32 end)
{
	return scratch->record + (end & STRING_OFFSET_MASK);
}

/* Notes a string of `length` bytes at `end`, and returns the record's new end. */
static __always_inline u32 string_note(struct kernel_string *string, u32 end, u32 length)
{
	string->offset = length ? end : 0;
	string->length = length;
	return end + length;
}

/*
 * Appends a NUL-terminated kernel or user string of at most `max` bytes (a constant) without its NUL. What cannot be
 * read is absent. `*cut` tells that it filled all the room.
 */
static __always_inline u32 string_kernel(
	struct scratch *scratch, u32 end, struct kernel_string *string, const void *from, u32 max, bool *cut)
{
	long length = bpf_probe_read_kernel_str(scratch_at(scratch, end), max, from);

	*cut = length == max;
	return string_note(string, end, length > 0 ? length - 1 : 0);
}

static __always_inline u32 string_user(
	struct scratch *scratch, u32 end, struct kernel_string *string, const void *from, u32 max, bool *cut)
{
	long length = bpf_probe_read_user_str(scratch_at(scratch, end), max, from);

	*cut = length == max;
	return string_note(string, end, length > 0 ? length - 1 : 0);
}

#endif
