/* SPDX-License-Identifier: Apache-2.0 */
/* System calls by their numbers, and the registers with which a thread came into one. */
#ifndef TAFFRAIL_SYSCALL_H
#define TAFFRAIL_SYSCALL_H

#include "bpf/kernel_types.h"
#include "bpf/read.h"

/*
 * Which numbers matter, in the 64-bit table and in the 32-bit one, is told by a table of bytes: one is read where a chain of
 * comparisons would tax every call of the machine.
 */
enum { CALL_NATIVE = 1, CALL_COMPAT = 2, CALL_NUMBERS = 512 };

#if defined(__TARGET_ARCH_x86)
#include "bpf/syscall_x86.h"
#elif defined(__TARGET_ARCH_arm64)
#include "bpf/syscall_arm64.h"
#endif

/* The registers of the system call that the running task is in. bpf_task_pt_regs came with 5.15: not in classic objects. */
static __always_inline struct pt_regs *task_registers(struct task_struct *task)
{
#ifdef TAFFRAIL_CLASSIC
	return NULL;
#else
	return (struct pt_regs *)bpf_task_pt_regs(task);
#endif
}

#endif
