/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of x86-64: their numbers, those of the 32-bit table (int 0x80), and where the registers have what. */
#ifndef TAFFRAIL_SYSCALL_X86_H
#define TAFFRAIL_SYSCALL_X86_H

#include "bpf/kernel_types.h"

/* arch/x86/entry/syscalls/syscall_64.tbl */
enum {
	CALL_OPEN = 2,
	CALL_SOCKET = 41,
	CALL_CONNECT = 42,
	CALL_ACCEPT = 43,
	CALL_SENDTO = 44,
	CALL_SENDMSG = 46,
	CALL_LISTEN = 50,
	CALL_EXECVE = 59,
	CALL_CREAT = 85,
	CALL_OPENAT = 257,
	CALL_ACCEPT4 = 288,
	CALL_OPEN_BY_HANDLE = 304,
	CALL_SENDMMSG = 307,
	CALL_EXECVEAT = 322,
	CALL_OPENAT2 = 437,
};

/* arch/x86/entry/syscalls/syscall_32.tbl */
enum {
	COMPAT_OPEN = 5,
	COMPAT_CREAT = 8,
	COMPAT_EXECVE = 11,
	COMPAT_SOCKETCALL = 102,
	COMPAT_OPENAT = 295,
	COMPAT_OPEN_BY_HANDLE = 342,
	COMPAT_SENDMMSG = 345,
	COMPAT_EXECVEAT = 358,
	COMPAT_SOCKET = 359,
	COMPAT_CONNECT = 362,
	COMPAT_LISTEN = 363,
	COMPAT_ACCEPT4 = 364,
	COMPAT_SENDTO = 369,
	COMPAT_SENDMSG = 370,

	TS_COMPAT = 2, /* thread_info.status: in a 32-bit system call */
};

static const u8 call_tables[CALL_NUMBERS] = {
	[CALL_OPEN] = CALL_NATIVE,
	[CALL_CONNECT] = CALL_NATIVE,
	[CALL_SOCKET] = CALL_NATIVE,
	[CALL_SENDTO] = CALL_NATIVE,
	[CALL_SENDMSG] = CALL_NATIVE,
	[CALL_SENDMMSG] = CALL_NATIVE,
	[CALL_ACCEPT] = CALL_NATIVE,
	[CALL_LISTEN] = CALL_NATIVE,
	[CALL_EXECVE] = CALL_NATIVE,
	[CALL_CREAT] = CALL_NATIVE,
	[CALL_OPENAT] = CALL_NATIVE,
	[CALL_ACCEPT4] = CALL_NATIVE,
	[CALL_OPEN_BY_HANDLE] = CALL_NATIVE,
	[CALL_EXECVEAT] = CALL_NATIVE,
	[CALL_OPENAT2] = CALL_NATIVE | CALL_COMPAT, /* newer calls have one number in all tables */
	[COMPAT_OPEN] = CALL_COMPAT,
	[COMPAT_CREAT] = CALL_COMPAT,
	[COMPAT_EXECVE] = CALL_COMPAT,
	[COMPAT_SOCKETCALL] = CALL_COMPAT,
	[COMPAT_OPENAT] = CALL_COMPAT,
	[COMPAT_OPEN_BY_HANDLE] = CALL_COMPAT,
	[COMPAT_EXECVEAT] = CALL_COMPAT,
	[COMPAT_CONNECT] = CALL_COMPAT,
	[COMPAT_SOCKET] = CALL_COMPAT,
	[COMPAT_SENDTO] = CALL_COMPAT,
	[COMPAT_SENDMSG] = CALL_COMPAT,
	[COMPAT_SENDMMSG] = CALL_COMPAT,
	[COMPAT_LISTEN] = CALL_COMPAT,
	[COMPAT_ACCEPT4] = CALL_COMPAT,
};

/* What stands for a 32-bit number that matters in the 64-bit table. */
static __always_inline u64 compat_number(u64 number)
{
	switch (number) {
	case COMPAT_OPEN: return CALL_OPEN;
	case COMPAT_CREAT: return CALL_CREAT;
	case COMPAT_EXECVE: return CALL_EXECVE;
	case COMPAT_OPENAT: return CALL_OPENAT;
	case COMPAT_OPEN_BY_HANDLE: return CALL_OPEN_BY_HANDLE;
	case COMPAT_EXECVEAT: return CALL_EXECVEAT;
	case COMPAT_CONNECT: return CALL_CONNECT;
	case COMPAT_SOCKET: return CALL_SOCKET;
	case COMPAT_SENDTO: return CALL_SENDTO;
	case COMPAT_SENDMSG: return CALL_SENDMSG;
	case COMPAT_SENDMMSG: return CALL_SENDMMSG;
	case COMPAT_LISTEN: return CALL_LISTEN;
	case COMPAT_ACCEPT4: return CALL_ACCEPT4;
	default: return number;
	}
}

static __always_inline u64 call_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* The flags of a send (64-bit table). */
static __always_inline u64 call_send_flags(const struct pt_regs *regs, u64 number)
{
	return number == CALL_SENDMSG ? regs->dx : regs->r10;
}

/* Is the task in a 32-bit system call? */
static __always_inline bool call_compat(struct task_struct *task)
{
	return kernel_read(task, thread_info.status) & TS_COMPAT;
}

/* The arguments. */
static __always_inline void call_arguments(const struct pt_regs *regs, bool compat, u64 at[6])
{
	at[0] = compat ? (u32)regs->bx : regs->di;
	at[1] = compat ? (u32)regs->cx : regs->si;
	at[2] = compat ? (u32)regs->dx : regs->dx;
	at[3] = compat ? (u32)regs->si : regs->r10;
	at[4] = compat ? (u32)regs->di : regs->r8;
	at[5] = compat ? (u32)regs->bp : regs->r9;
}

#endif
