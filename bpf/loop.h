/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops: bpf_loop where the kernel has it (5.17), else the steps one after another. For that they must be few: a long
 * loop calls a global function, which the verifier looks at once, that does some steps at a time.
 */
#ifndef TAFFRAIL_LOOP_H
#define TAFFRAIL_LOOP_H

#include "bpf/kernel_types.h"

/* Calls `long step(u32 index, void *data)` for 0 to count - 1 (a constant), until it returns 1. */
#ifdef TAFFRAIL_CLASSIC
/*
 * Before 5.18 or so the verifier takes a jump back for a loop, but no loop whose end falls through into its beginning,
 * as clang likes to lay it out. So the last thing before that is a jump to what follows; all that changes is in memory.
 */
#define loop(count, step, data)                                                                                        \
	do {                                                                                                           \
		u32 loop_index = 0;                                                                                    \
		while (loop_index < (count) && !step(loop_index, data)) {                                              \
			loop_index++;                                                                                  \
			asm volatile("goto +0" : "+r"(loop_index) : "r"(data) : "memory");                             \
		}                                                                                                      \
	} while (0)
#else
#define loop(count, step, data) bpf_loop(count, step, data, 0)
#endif

#endif
