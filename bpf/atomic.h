/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several CPUs, or programs that interrupt one another, may do at a time.
 *
 * The modern object uses the atomic operations that give the old value back; kernels know them from 5.12 on, and those
 * before refuse them even in dead code. The classic object (TAFFRAIL_CLASSIC) has the atomic add alone, which gives
 * nothing back, and the map operations, of which one of many succeeds.
 */
#ifndef TAFFRAIL_ATOMIC_H
#define TAFFRAIL_ATOMIC_H

#include "bpf/kernel_types.h"

/* --- a lock that nobody waits for ----------------------------------------------------------------------------------- */

#ifdef TAFFRAIL_CLASSIC
/*
 * Whoever adds and then reads 1 holds it: a later one reads what both added, until the holder has taken its part back.
 * Two that come at the same moment may both read 2 and both go away, which callers must be ready for anyway.
 */
static __always_inline bool try_lock(u32 *lock)
{
	__sync_fetch_and_add(lock, 1);
	if (*(volatile u32 *)lock == 1)
		return true;
	__sync_fetch_and_add(lock, -1);
	return false;
}

static __always_inline void unlock(u32 *lock)
{
	__sync_fetch_and_add(lock, -1);
}
#else
static __always_inline bool try_lock(u32 *lock)
{
	return !__sync_lock_test_and_set(lock, 1);
}

static __always_inline void unlock(u32 *lock)
{
	__sync_lock_test_and_set(lock, 0);
}
#endif

/* Takes a mark that was set to 1 away. True for one taker; in the classic object maybe for two at the same moment. */
static __always_inline bool mark_claim(u32 *mark)
{
#ifdef TAFFRAIL_CLASSIC
	*(volatile u32 *)mark = 0;
	return true;
#else
	return __sync_lock_test_and_set(mark, 0);
#endif
}

/* --- flags of a map's value ------------------------------------------------------------------------------------------ */

#ifdef TAFFRAIL_CLASSIC
/* A byte each, so that a plain store sets or clears one and leaves the others alone: eight at most. */
#define FLAG(number) (1ull << 8 * (number))

enum {
	FLAGS_MAX = 8,
	FLAGS_SET_MAX = 262144,
};

struct flag_set {
	u64 flags; /* address */
	u64 number;
};

/*
 * Flags that are set and can be taken: of many that delete a key at a time, one succeeds. What nobody takes (a value
 * that was deleted) is driven out some day; it does no harm, for the flags themselves are looked at first.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLAGS_SET_MAX);
	__type(key, struct flag_set);
	__type(value, u8);
} flags_set_now SEC(".maps") __weak;

/* A function for itself: the stack is short. */
static __noinline void flags_mark(u64 *flags, u64 number)
{
	struct flag_set key = {(u64)flags, number};
	u8 one = 1;

	bpf_map_update_elem(&flags_set_now, &key, &one, BPF_ANY);
	((volatile u8 *)flags)[number & (FLAGS_MAX - 1)] = 1;
}

static __always_inline bool flags_unmark(u64 *flags, u64 number)
{
	struct flag_set key = {(u64)flags, number};

	if (bpf_map_delete_elem(&flags_set_now, &key)) /* not "< 0": d7ba4cc900bf (6.4) */
		return false;
	((volatile u8 *)flags)[number & (FLAGS_MAX - 1)] = 0;
	return true;
}

static __always_inline void flags_set(u64 *flags, u64 bits)
{
#pragma unroll
	for (u32 i = 0; i < FLAGS_MAX; i++)
		if (bits & FLAG(i))
			flags_mark(flags, i);
}

/* `bits` are a constant here, and in flags_take. */
static __always_inline void flags_clear(u64 *flags, u64 bits)
{
#pragma unroll
	for (u32 i = 0; i < FLAGS_MAX; i++)
		if (bits & FLAG(i))
			((volatile u8 *)flags)[i] = 0;
}

/* Clears one flag. True for exactly one of those that find it set. */
static __always_inline bool flags_take(u64 *flags, u64 bit)
{
	return *(volatile u64 *)flags & bit && flags_unmark(flags, (__builtin_ffsll(bit) - 1) / 8);
}
#else
#define FLAG(number) (1ull << (number))

static __always_inline void flags_set(u64 *flags, u64 bits)
{
	__sync_fetch_and_or(flags, bits);
}

static __always_inline void flags_clear(u64 *flags, u64 bits)
{
	__sync_fetch_and_and(flags, ~bits);
}

/* Clears one flag. True for exactly one of those that find it set. */
static __always_inline bool flags_take(u64 *flags, u64 bit)
{
	return __sync_fetch_and_and(flags, ~bit) & bit;
}
#endif

/* The first flags of a value that nobody else sees yet. */
static __always_inline void flags_begin(u64 *flags, u64 bits)
{
#ifdef TAFFRAIL_CLASSIC
	flags_set(flags, bits);
#else
	*flags = bits;
#endif
}

#endif
