/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of x86-64: their numbers, those of the 32-bit table (int 0x80), and where the registers have what. */
#ifndef TAFFRAIL_SYSCALL_X86_H
#define TAFFRAIL_SYSCALL_X86_H

#include "bpf/kernel_types.h"

enum { TS_COMPAT = 2 }; /* thread_info.status: in a 32-bit system call */

/* arch/x86/entry/syscalls/syscall_64.tbl */
static const u8 native_calls[CALL_NUMBERS] = {
	[2] = KERNEL_CALL_OPEN,
	[32] = KERNEL_CALL_DUP,
	[33] = KERNEL_CALL_DUP2,
	[41] = KERNEL_CALL_SOCKET,
	[42] = KERNEL_CALL_CONNECT,
	[43] = KERNEL_CALL_ACCEPT,
	[44] = KERNEL_CALL_SENDTO,
	[45] = KERNEL_CALL_RECVFROM,
	[46] = KERNEL_CALL_SENDMSG,
	[47] = KERNEL_CALL_RECVMSG,
	[50] = KERNEL_CALL_LISTEN,
	[59] = KERNEL_CALL_EXECVE,
	[82] = KERNEL_CALL_RENAME,
	[83] = KERNEL_CALL_MKDIR,
	[84] = KERNEL_CALL_RMDIR,
	[85] = KERNEL_CALL_CREAT,
	[86] = KERNEL_CALL_LINK,
	[87] = KERNEL_CALL_UNLINK,
	[88] = KERNEL_CALL_SYMLINK,
	[90] = KERNEL_CALL_CHMOD,
	[91] = KERNEL_CALL_FCHMOD,
	[101] = KERNEL_CALL_PTRACE,
	[105] = KERNEL_CALL_SETUID,
	[106] = KERNEL_CALL_SETGID,
	[113] = KERNEL_CALL_SETREUID,
	[114] = KERNEL_CALL_SETREGID,
	[117] = KERNEL_CALL_SETRESUID,
	[119] = KERNEL_CALL_SETRESGID,
	[122] = KERNEL_CALL_SETFSUID,
	[123] = KERNEL_CALL_SETFSGID,
	[165] = KERNEL_CALL_MOUNT,
	[166] = KERNEL_CALL_UMOUNT,
	[175] = KERNEL_CALL_INIT_MODULE,
	[257] = KERNEL_CALL_OPENAT,
	[258] = KERNEL_CALL_MKDIRAT,
	[263] = KERNEL_CALL_UNLINKAT,
	[264] = KERNEL_CALL_RENAMEAT,
	[265] = KERNEL_CALL_LINKAT,
	[266] = KERNEL_CALL_SYMLINKAT,
	[268] = KERNEL_CALL_FCHMODAT,
	[272] = KERNEL_CALL_UNSHARE,
	[288] = KERNEL_CALL_ACCEPT4,
	[292] = KERNEL_CALL_DUP3,
	[299] = KERNEL_CALL_RECVMMSG,
	[304] = KERNEL_CALL_OPEN_BY_HANDLE_AT,
	[307] = KERNEL_CALL_SENDMMSG,
	[308] = KERNEL_CALL_SETNS,
	[313] = KERNEL_CALL_FINIT_MODULE,
	[316] = KERNEL_CALL_RENAMEAT2,
	[321] = KERNEL_CALL_BPF,
	[322] = KERNEL_CALL_EXECVEAT,
	[323] = KERNEL_CALL_USERFAULTFD,
	[429] = KERNEL_CALL_MOVE_MOUNT,
	[437] = KERNEL_CALL_OPENAT2,
	[452] = KERNEL_CALL_FCHMODAT2,
};

/* arch/x86/entry/syscalls/syscall_32.tbl; those of 16-bit ids are the calls that they are now */
static const u8 compat_calls[CALL_NUMBERS] = {
	[5] = KERNEL_CALL_OPEN,
	[8] = KERNEL_CALL_CREAT,
	[9] = KERNEL_CALL_LINK,
	[10] = KERNEL_CALL_UNLINK,
	[11] = KERNEL_CALL_EXECVE,
	[15] = KERNEL_CALL_CHMOD,
	[21] = KERNEL_CALL_MOUNT,
	[23] = KERNEL_CALL_SETUID,
	[26] = KERNEL_CALL_PTRACE,
	[38] = KERNEL_CALL_RENAME,
	[39] = KERNEL_CALL_MKDIR,
	[40] = KERNEL_CALL_RMDIR,
	[41] = KERNEL_CALL_DUP,
	[46] = KERNEL_CALL_SETGID,
	[52] = KERNEL_CALL_UMOUNT,
	[63] = KERNEL_CALL_DUP2,
	[70] = KERNEL_CALL_SETREUID,
	[71] = KERNEL_CALL_SETREGID,
	[83] = KERNEL_CALL_SYMLINK,
	[94] = KERNEL_CALL_FCHMOD,
	[102] = CALL_MULTIPLEXED,
	[128] = KERNEL_CALL_INIT_MODULE,
	[138] = KERNEL_CALL_SETFSUID,
	[139] = KERNEL_CALL_SETFSGID,
	[164] = KERNEL_CALL_SETRESUID,
	[170] = KERNEL_CALL_SETRESGID,
	[203] = KERNEL_CALL_SETREUID,
	[204] = KERNEL_CALL_SETREGID,
	[208] = KERNEL_CALL_SETRESUID,
	[210] = KERNEL_CALL_SETRESGID,
	[213] = KERNEL_CALL_SETUID,
	[214] = KERNEL_CALL_SETGID,
	[215] = KERNEL_CALL_SETFSUID,
	[216] = KERNEL_CALL_SETFSGID,
	[295] = KERNEL_CALL_OPENAT,
	[296] = KERNEL_CALL_MKDIRAT,
	[301] = KERNEL_CALL_UNLINKAT,
	[302] = KERNEL_CALL_RENAMEAT,
	[303] = KERNEL_CALL_LINKAT,
	[304] = KERNEL_CALL_SYMLINKAT,
	[306] = KERNEL_CALL_FCHMODAT,
	[310] = KERNEL_CALL_UNSHARE,
	[330] = KERNEL_CALL_DUP3,
	[337] = KERNEL_CALL_RECVMMSG,
	[342] = KERNEL_CALL_OPEN_BY_HANDLE_AT,
	[345] = KERNEL_CALL_SENDMMSG,
	[346] = KERNEL_CALL_SETNS,
	[350] = KERNEL_CALL_FINIT_MODULE,
	[353] = KERNEL_CALL_RENAMEAT2,
	[357] = KERNEL_CALL_BPF,
	[358] = KERNEL_CALL_EXECVEAT,
	[359] = KERNEL_CALL_SOCKET,
	[362] = KERNEL_CALL_CONNECT,
	[363] = KERNEL_CALL_LISTEN,
	[364] = KERNEL_CALL_ACCEPT4,
	[369] = KERNEL_CALL_SENDTO,
	[370] = KERNEL_CALL_SENDMSG,
	[371] = KERNEL_CALL_RECVFROM,
	[372] = KERNEL_CALL_RECVMSG,
	[374] = KERNEL_CALL_USERFAULTFD,
	[417] = KERNEL_CALL_RECVMMSG,
	[429] = KERNEL_CALL_MOVE_MOUNT,
	[437] = KERNEL_CALL_OPENAT2,
	[452] = KERNEL_CALL_FCHMODAT2,
};

static __always_inline u64 call_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* The flags of a send (64-bit table). */
static __always_inline u64 call_send_flags(const struct pt_regs *regs, u32 call)
{
	return call == KERNEL_CALL_SENDMSG ? regs->dx : regs->r10;
}

/* Is the task in a 32-bit system call? */
static __always_inline bool call_compat(struct task_struct *task)
{
	return kernel_read(task, thread_info.status) & TS_COMPAT;
}

/* The first four arguments. */
static __always_inline void call_arguments(const struct pt_regs *regs, bool compat, u64 at[4])
{
	at[0] = compat ? (u32)regs->bx : regs->di;
	at[1] = compat ? (u32)regs->cx : regs->si;
	at[2] = compat ? (u32)regs->dx : regs->dx;
	at[3] = compat ? (u32)regs->si : regs->r10;
}

/* … and the fifth and sixth. */
static __always_inline void call_more_arguments(const struct pt_regs *regs, bool compat, u64 at[2])
{
	at[0] = compat ? (u32)regs->di : regs->r8;
	at[1] = compat ? (u32)regs->bp : regs->r9;
}

#endif
