/* SPDX-License-Identifier: Apache-2.0 */
/* System calls by their numbers, and the registers with which a thread came into one. */
#ifndef TAFFRAIL_SYSCALL_H
#define TAFFRAIL_SYSCALL_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"
#include "bpf/read.h"

enum {
	CALL_NUMBERS = 512,
	CALL_MULTIPLEXED = 0x80, /* socketcall: beside enum kernel_call in the tables, and nowhere else */
};

#if defined(__TARGET_ARCH_x86)
#include "bpf/syscall_x86.h"
#elif defined(__TARGET_ARCH_arm64)
#include "bpf/syscall_arm64.h"
#endif

/* enum kernel_call or CALL_MULTIPLEXED by the number of either table. 0: one that never matters. */
static __always_inline u32 call_of(u64 number, bool compat)
{
	if (number >= CALL_NUMBERS)
		return KERNEL_CALL_NONE;
	return compat ? compat_calls[number] : native_calls[number];
}

/* The first argument of socketcall (linux/net.h), as the call that it stands for. */
static __noinline u32 call_multiplexed(u64 which)
{
	switch (which) {
	case 1: return KERNEL_CALL_SOCKET;
	case 3: return KERNEL_CALL_CONNECT;
	case 4: return KERNEL_CALL_LISTEN;
	case 5: return KERNEL_CALL_ACCEPT;
	case 11: return KERNEL_CALL_SENDTO;
	case 12: return KERNEL_CALL_RECVFROM;
	case 16: return KERNEL_CALL_SENDMSG;
	case 17: return KERNEL_CALL_RECVMSG;
	case 18: return KERNEL_CALL_ACCEPT4;
	case 19: return KERNEL_CALL_RECVMMSG;
	case 20: return KERNEL_CALL_SENDMMSG;
	default: return KERNEL_CALL_NONE;
	}
}

/* The registers of the system call that the running task is in. bpf_task_pt_regs came with 5.15: not in classic objects. */
static __always_inline struct pt_regs *task_registers(struct task_struct *task)
{
#ifdef TAFFRAIL_CLASSIC
	return NULL;
#else
	return (struct pt_regs *)bpf_task_pt_regs(task);
#endif
}

/* The call that the running task is in, as far as it may matter (enum kernel_call); 0 for threads of the kernel's. */
static __always_inline u32 call_entered(struct task_struct *task)
{
	struct pt_regs *regs = task_registers(task);
	bool compat = call_compat(task);
	u64 at[4];
	u32 call;

	if (!regs || kernel_read(task, flags) & TASK_IO_WORKER)
		return KERNEL_CALL_NONE;
	call = call_of(call_number(regs), compat);
	if (call != CALL_MULTIPLEXED)
		return call;
	call_arguments(regs, compat, at);
	return call_multiplexed(at[0]);
}

#endif
