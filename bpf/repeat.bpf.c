/* SPDX-License-Identifier: Apache-2.0 */
/* The words in which repeats of opens are counted. */
#include "bpf/repeat.h"

enum {
	REPEAT_TRIES = 4, /* several threads that count at once; then it leaves as a record */
	REPEAT_TEXT_WORDS = KERNEL_PATH_MAX / 8,
};

/* Shared with user space, which maps it. */
struct kernel_repeats repeats = {};

#ifndef TAFFRAIL_CLASSIC
__weak u64 repeat_mix_text(u32 slot, u32 offset, u32 length, u64 hash)
{
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &slot);
	u32 whole = length / 8;
	const u64 *words;

	if (!scratch || offset > KERNEL_PATH_MAX || whole >= REPEAT_TEXT_WORDS)
		return repeat_mix(hash, length);
	words = (const u64 *)(scratch->record + offset);
	for (u32 i = 0; i < REPEAT_TEXT_WORDS; i++) {
		if (i >= whole)
			break;
		hash = repeat_mix(hash, words[i]);
	}
	/* What stands behind the text in its last word is of another record. */
	return repeat_mix(hash ^ length, words[whole] & ((1ull << 8 * (length & 7)) - 1));
}

/* Adds one to the word if it is this number's. */
static __always_inline bool repeat_add(u64 *word, u64 number)
{
	u64 before = *(volatile u64 *)word;

	for (int i = 0; i < REPEAT_TRIES; i++) {
		u64 found;

		if ((before ^ number) >> KERNEL_REPEAT_SHIFT || (before & KERNEL_REPEAT_COUNT) == KERNEL_REPEAT_COUNT)
			return false;
		found = __sync_val_compare_and_swap(word, before, before + 1);
		if (found == before)
			return true;
		before = found;
	}
	return false;
}

__weak int repeat_counted(u64 number)
{
	return repeat_add(&repeats.words[KERNEL_REPEAT_FIRST(number)], number) ||
	       repeat_add(&repeats.words[KERNEL_REPEAT_SECOND(number)], number);
}

__weak int repeat_claim(u64 number)
{
	u64 begun = number & ~KERNEL_REPEAT_COUNT;
	u64 *first = &repeats.words[KERNEL_REPEAT_FIRST(number)],
	    *second = &repeats.words[KERNEL_REPEAT_SECOND(number)];

	if (!*(volatile u64 *)first && __sync_val_compare_and_swap(first, 0, begun) == 0)
		return true;
	return !*(volatile u64 *)second && __sync_val_compare_and_swap(second, 0, begun) == 0;
}

static __always_inline u64 repeat_take(u64 *word, u64 number)
{
	/* While its number is here, nobody else changes it but to add: user space never heard of it. */
	if ((*(volatile u64 *)word ^ number) >> KERNEL_REPEAT_SHIFT)
		return 0;
	return __sync_lock_test_and_set(word, 0) & KERNEL_REPEAT_COUNT;
}

__weak int repeat_withdraw(u64 number)
{
	u32 zero = 0;
	struct kernel_counters *count = bpf_map_lookup_elem(&counters, &zero);
	u64 lost = repeat_take(&repeats.words[KERNEL_REPEAT_FIRST(number)], number) +
		   repeat_take(&repeats.words[KERNEL_REPEAT_SECOND(number)], number);

	if (count && lost)
		__sync_fetch_and_add(&count->lost_repeats, lost);
	return 0;
}
#else
__weak u64 repeat_mix_text(u32 slot, u32 offset, u32 length, u64 hash)
{
	return hash;
}

__weak int repeat_counted(u64 number)
{
	return 0;
}

__weak int repeat_claim(u64 number)
{
	return 0;
}

__weak int repeat_withdraw(u64 number)
{
	return 0;
}
#endif
