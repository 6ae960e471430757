/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that are not preempted. While a tracing program is, the kernel passes over it for every other task of that CPU
 * ("recursion"), and what those do is not seen. Function hooks can be preempted on every preemptible kernel, tracepoints
 * since 7.0. So a program holds its CPU from its first instruction that takes time to its last. What is missed all the same
 * the kernel counts, and the loader reads that (loader_missed).
 */
#ifndef TAFFRAIL_HOLD_H
#define TAFFRAIL_HOLD_H

#include "bpf/kernel_types.h"

/* Set by the loader: must and may programs hold their CPU? (A program that does may call global functions since 6.15.) */
const volatile bool preemptible __weak = false;

#ifdef TAFFRAIL_CLASSIC
#define hold_begin()
#define hold_end()
#else
/* fc7566ad0a82 ("bpf: Introduce bpf_preempt_[disable,enable] kfuncs", 6.10) */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

static __always_inline void hold_begin(void)
{
	if (preemptible)
		bpf_preempt_disable();
}

static __always_inline void hold_end(void)
{
	if (preemptible)
		bpf_preempt_enable();
}
#endif

/* As libbpf's BPF_PROG, of a program that holds its CPU all along. */
#define HOLD_PROG(name, args...)                                                                                       \
	name(unsigned long long *ctx);                                                                                 \
	static __always_inline int name##_held(unsigned long long *ctx, ##args);                                       \
	int name(unsigned long long *ctx)                                                                              \
	{                                                                                                              \
		int result;                                                                                            \
                                                                                                                       \
		hold_begin();                                                                                          \
		_Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wint-conversion\"")                  \
		result = name##_held(___bpf_ctx_cast(args));                                                           \
		_Pragma("GCC diagnostic pop") hold_end();                                                              \
		return result;                                                                                         \
	}                                                                                                              \
	static __always_inline int name##_held(unsigned long long *ctx, ##args)

#endif
