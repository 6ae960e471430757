/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeats: an open that is equal to one before it costs a count instead of a record (struct kernel_repeats).
 *
 * Equal means: of the same process image, the same file with the same flags or the same error, and the same argument.
 * That is 64 bits of a hash with a key that nobody outside knows; so a program can neither make two opens look equal nor
 * choose which words are taken.
 */
#ifndef TAFFRAIL_REPEAT_H
#define TAFFRAIL_REPEAT_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"
#include "bpf/ring.h"

/* Set by the loader: never with the classic object, for it takes an atomic compare and exchange (5.12). */
const volatile bool repeat_collapse __weak = false;
const volatile __u64 repeat_key[2] __weak = {0, 0}; /* set by the loader, at random */

/*
 * With one multiplication, and be it by a secret number, a flipped top bit would come out as the same two flipped bits
 * whatever the key is, and the next word could flip them back. The second makes what comes out depend on the key.
 */
static __always_inline u64 repeat_mix(u64 hash, u64 word)
{
	hash = (hash ^ word) * 0x9fb21c651e98df25ull;
	hash = (hash ^ hash >> 32) * (repeat_key[1] | 1);
	return hash ^ hash >> 29;
}

static __always_inline u64 repeat_number(u64 hash)
{
	hash = repeat_mix(hash, repeat_key[1]);
	return hash >> KERNEL_REPEAT_SHIFT ? hash : hash | 1ull << KERNEL_REPEAT_SHIFT;
}

/*
 * repeat.bpf.c. Global functions of scalars: the verifier looks at each once, not at every place that calls it.
 *
 * Mixes in `length` bytes of the record in scratch number `slot`, from `offset` on, which is a multiple of 8.
 */
u64 repeat_mix_text(u32 slot, u32 offset, u32 length, u64 hash);

/* Is it counted with an equal one? Then there is nothing to send. */
int repeat_counted(u64 number);

/* Claims a word, so that equal ones that follow are counted. False where both places are taken: they leave as records. */
int repeat_claim(u64 number);

/* The record that claimed the word was lost, so nobody could say what was counted there: it is lost as well. */
int repeat_withdraw(u64 number);

#endif
