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
 * Before 5.18 or so the verifier takes a jump back for a loop, but no loop whose end falls through into its beginning, nor
 * one that begins behind a call, as clang likes to lay them out. So both ends are jumps to what follows; all that changes is
 * in memory.
 */
#define loop_edge(data) asm volatile("goto +0" : "+r"(loop_index) : "r"(data) : "memory")
#define loop(count, step, data)                                                                                        \
	do {                                                                                                           \
		u32 loop_index = 0;                                                                                    \
		while (loop_index < (count)) {                                                                         \
			loop_edge(data);                                                                               \
			if (step(loop_index, data))                                                                    \
				break;                                                                                 \
			loop_index++;                                                                                  \
			loop_edge(data);                                                                               \
		}                                                                                                      \
	} while (0)
#else
#define loop(count, step, data) bpf_loop(count, step, data, 0)
#endif

#endif
