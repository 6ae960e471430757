/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of arm64: their numbers, those of the 32-bit table (AArch32), and where the registers have what. */
#ifndef TAFFRAIL_SYSCALL_ARM64_H
#define TAFFRAIL_SYSCALL_ARM64_H

#include "bpf/kernel_types.h"

/* include/uapi/asm-generic/unistd.h */
enum {
	CALL_OPENAT = 56,
	CALL_SOCKET = 198,
	CALL_LISTEN = 201,
	CALL_ACCEPT = 202,
	CALL_CONNECT = 203,
	CALL_SENDTO = 206,
	CALL_SENDMSG = 211,
	CALL_EXECVE = 221,
	CALL_ACCEPT4 = 242,
	CALL_OPEN_BY_HANDLE = 265,
	CALL_SENDMMSG = 269,
	CALL_EXECVEAT = 281,
	CALL_OPENAT2 = 437,

	/* Calls of the 32-bit table alone: numbers that no table has. */
	CALL_OPEN = 1 << 20,
	CALL_CREAT,
};

/* arch/arm/tools/syscall.tbl, the EABI: there is no socketcall in it. */
enum {
	COMPAT_OPEN = 5,
	COMPAT_CREAT = 8,
	COMPAT_EXECVE = 11,
	COMPAT_SOCKET = 281,
	COMPAT_CONNECT = 283,
	COMPAT_LISTEN = 284,
	COMPAT_ACCEPT = 285,
	COMPAT_SENDTO = 290,
	COMPAT_SENDMSG = 296,
	COMPAT_OPENAT = 322,
	COMPAT_ACCEPT4 = 366,
	COMPAT_SENDMMSG = 374,
	COMPAT_OPEN_BY_HANDLE = 371,
	COMPAT_EXECVEAT = 387,
	COMPAT_SOCKETCALL = 1 << 21,

	TIF_32BIT = 22, /* thread_info.flags: an AArch32 task, of which every call is of the 32-bit table */
};

_Static_assert((int)CALL_EXECVEAT == (int)COMPAT_SOCKET, "the one number of both tables that means another call");

static const u8 call_tables[CALL_NUMBERS] = {
	[CALL_OPENAT] = CALL_NATIVE,
	[CALL_LISTEN] = CALL_NATIVE,
	[CALL_ACCEPT] = CALL_NATIVE,
	[CALL_CONNECT] = CALL_NATIVE,
	[CALL_SOCKET] = CALL_NATIVE,
	[CALL_SENDTO] = CALL_NATIVE,
	[CALL_SENDMSG] = CALL_NATIVE,
	[CALL_SENDMMSG] = CALL_NATIVE,
	[CALL_EXECVE] = CALL_NATIVE,
	[CALL_ACCEPT4] = CALL_NATIVE,
	[CALL_OPEN_BY_HANDLE] = CALL_NATIVE,
	[CALL_EXECVEAT] = CALL_NATIVE | CALL_COMPAT, /* COMPAT_SOCKET */
	[CALL_OPENAT2] = CALL_NATIVE | CALL_COMPAT,  /* newer calls have one number in all tables */
	[COMPAT_OPEN] = CALL_COMPAT,
	[COMPAT_CREAT] = CALL_COMPAT,
	[COMPAT_EXECVE] = CALL_COMPAT,
	[COMPAT_CONNECT] = CALL_COMPAT,
	[COMPAT_SENDTO] = CALL_COMPAT,
	[COMPAT_SENDMSG] = CALL_COMPAT,
	[COMPAT_SENDMMSG] = CALL_COMPAT,
	[COMPAT_LISTEN] = CALL_COMPAT,
	[COMPAT_ACCEPT] = CALL_COMPAT,
	[COMPAT_OPENAT] = CALL_COMPAT,
	[COMPAT_ACCEPT4] = CALL_COMPAT,
	[COMPAT_OPEN_BY_HANDLE] = CALL_COMPAT,
	[COMPAT_EXECVEAT] = CALL_COMPAT,
};

/* What stands for a 32-bit number that matters in the 64-bit table. */
static __always_inline u64 compat_number(u64 number)
{
	switch (number) {
	case COMPAT_OPEN: return CALL_OPEN;
	case COMPAT_CREAT: return CALL_CREAT;
	case COMPAT_EXECVE: return CALL_EXECVE;
	case COMPAT_CONNECT: return CALL_CONNECT;
	case COMPAT_SOCKET: return CALL_SOCKET;
	case COMPAT_SENDTO: return CALL_SENDTO;
	case COMPAT_SENDMSG: return CALL_SENDMSG;
	case COMPAT_SENDMMSG: return CALL_SENDMMSG;
	case COMPAT_LISTEN: return CALL_LISTEN;
	case COMPAT_ACCEPT: return CALL_ACCEPT;
	case COMPAT_OPENAT: return CALL_OPENAT;
	case COMPAT_ACCEPT4: return CALL_ACCEPT4;
	case COMPAT_OPEN_BY_HANDLE: return CALL_OPEN_BY_HANDLE;
	case COMPAT_EXECVEAT: return CALL_EXECVEAT;
	default: return number;
	}
}

static __always_inline u64 call_number(const struct pt_regs *regs)
{
	return (u32)regs->syscallno;
}

/* The flags of a send (64-bit table). */
static __always_inline u64 call_send_flags(const struct pt_regs *regs, u64 number)
{
	return regs->regs[number == CALL_SENDMSG ? 2 : 3];
}

/* Is the task in a 32-bit system call? */
static __always_inline bool call_compat(struct task_struct *task)
{
	return kernel_read(task, thread_info.flags) & 1ul << TIF_32BIT;
}

/* The first four arguments; regs[0] has become the result. */
static __always_inline void call_arguments(const struct pt_regs *regs, bool compat, u64 at[4])
{
	at[0] = compat ? (u32)regs->orig_x0 : regs->orig_x0;
	at[1] = compat ? (u32)regs->regs[1] : regs->regs[1];
	at[2] = compat ? (u32)regs->regs[2] : regs->regs[2];
	at[3] = compat ? (u32)regs->regs[3] : regs->regs[3];
}

/* … and the fifth and sixth. */
static __always_inline void call_more_arguments(const struct pt_regs *regs, bool compat, u64 at[2])
{
	at[0] = compat ? (u32)regs->regs[4] : regs->regs[4];
	at[1] = compat ? (u32)regs->regs[5] : regs->regs[5];
}

#endif
