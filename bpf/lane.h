/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers of records. Every record, sent or not, spends a number of its ring on its CPU: so a number that does not
 * arrive is a lost record, and user space finds every loss.
 *
 * In the classic object, which has no atomic add that tells the sum, a CPU has several lanes, each with numbers of its
 * own: whoever finds one held by a program that it interrupted (or, from 5.11 on, that was preempted) takes the next.
 */
#ifndef TAFFRAIL_LANE_H
#define TAFFRAIL_LANE_H

#include "bpf/atomic.h"
#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"

#ifdef TAFFRAIL_CLASSIC
enum { LANES = KERNEL_LANES };
#else
enum { LANES = 1 };
#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LANES);
	__type(key, u32);
	__type(value, struct kernel_counters);
} counters SEC(".maps") __weak;

/* Records that found no lane free, and so have no number: programs that interrupt one another KERNEL_LANES deep. */
__u64 unnumbered __weak = 0;

#ifdef TAFFRAIL_CLASSIC
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LANES);
	__type(key, u32);
	__type(value, u32);
} lane_locks SEC(".maps") __weak;

/* Takes the next number of `ring` and tells whose it is. NULL: there is none, and that is counted. */
static __always_inline struct kernel_counters *lane_number(enum kernel_ring ring, u16 *cpu, u64 *sequence)
{
	for (u32 i = 0; i < LANES; i++) {
		u32 lane = i;
		struct kernel_counters *count = bpf_map_lookup_elem(&counters, &lane);
		u32 *lock = bpf_map_lookup_elem(&lane_locks, &lane);

		if (!count || !lock || !try_lock(lock))
			continue;
		*sequence = ++*(volatile u64 *)&count->sequence[ring];
		unlock(lock);
		*cpu = bpf_get_smp_processor_id() | i << KERNEL_LANE_SHIFT;
		return count;
	}
	__sync_fetch_and_add(&unnumbered, 1);
	return NULL;
}
#else
static __always_inline struct kernel_counters *lane_number(enum kernel_ring ring, u16 *cpu, u64 *sequence)
{
	u32 zero = 0;
	struct kernel_counters *count = bpf_map_lookup_elem(&counters, &zero);

	if (!count)
		return NULL;
	*cpu = bpf_get_smp_processor_id();
	*sequence = __sync_fetch_and_add(&count->sequence[ring], 1) + 1;
	return count;
}
#endif

#endif
