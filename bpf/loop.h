/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops: bpf_loop where the kernel has it (5.17), else a loop that the verifier follows step by step. For that it must be
 * short: a long one calls a global function, which the verifier looks at once, that does some steps at a time.
 */
#ifndef TAFFRAIL_LOOP_H
#define TAFFRAIL_LOOP_H

#include "bpf/kernel_types.h"

/* Calls `long step(u32 index, void *data)` for 0 to count - 1 (a constant), until it returns 1. */
#ifdef TAFFRAIL_CLASSIC
#define loop(count, step, data)                                                                                        \
	do {                                                                                                           \
		for (u32 loop_index = 0; loop_index < (count); loop_index++)                                           \
			if (step(loop_index, data))                                                                    \
				break;                                                                                 \
	} while (0)
#else
#define loop(count, step, data) bpf_loop(count, step, data, 0)
#endif

#endif
