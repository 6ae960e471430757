/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of arm64: their numbers, those of the 32-bit table (AArch32), and where the registers have what. */
#ifndef TAFFRAIL_SYSCALL_ARM64_H
#define TAFFRAIL_SYSCALL_ARM64_H

#include "bpf/kernel_types.h"

enum { TIF_32BIT = 22 }; /* thread_info.flags: an AArch32 task, of which every call is of the 32-bit table */

/* include/uapi/asm-generic/unistd.h */
static const u8 native_calls[CALL_NUMBERS] = {
	[23] = KERNEL_CALL_DUP,
	[24] = KERNEL_CALL_DUP3,
	[34] = KERNEL_CALL_MKDIRAT,
	[35] = KERNEL_CALL_UNLINKAT,
	[36] = KERNEL_CALL_SYMLINKAT,
	[37] = KERNEL_CALL_LINKAT,
	[38] = KERNEL_CALL_RENAMEAT,
	[39] = KERNEL_CALL_UMOUNT,
	[40] = KERNEL_CALL_MOUNT,
	[52] = KERNEL_CALL_FCHMOD,
	[53] = KERNEL_CALL_FCHMODAT,
	[56] = KERNEL_CALL_OPENAT,
	[97] = KERNEL_CALL_UNSHARE,
	[105] = KERNEL_CALL_INIT_MODULE,
	[117] = KERNEL_CALL_PTRACE,
	[143] = KERNEL_CALL_SETREGID,
	[144] = KERNEL_CALL_SETGID,
	[145] = KERNEL_CALL_SETREUID,
	[146] = KERNEL_CALL_SETUID,
	[147] = KERNEL_CALL_SETRESUID,
	[149] = KERNEL_CALL_SETRESGID,
	[151] = KERNEL_CALL_SETFSUID,
	[152] = KERNEL_CALL_SETFSGID,
	[198] = KERNEL_CALL_SOCKET,
	[201] = KERNEL_CALL_LISTEN,
	[202] = KERNEL_CALL_ACCEPT,
	[203] = KERNEL_CALL_CONNECT,
	[206] = KERNEL_CALL_SENDTO,
	[207] = KERNEL_CALL_RECVFROM,
	[211] = KERNEL_CALL_SENDMSG,
	[212] = KERNEL_CALL_RECVMSG,
	[221] = KERNEL_CALL_EXECVE,
	[242] = KERNEL_CALL_ACCEPT4,
	[243] = KERNEL_CALL_RECVMMSG,
	[265] = KERNEL_CALL_OPEN_BY_HANDLE_AT,
	[268] = KERNEL_CALL_SETNS,
	[269] = KERNEL_CALL_SENDMMSG,
	[273] = KERNEL_CALL_FINIT_MODULE,
	[276] = KERNEL_CALL_RENAMEAT2,
	[280] = KERNEL_CALL_BPF,
	[281] = KERNEL_CALL_EXECVEAT,
	[282] = KERNEL_CALL_USERFAULTFD,
	[429] = KERNEL_CALL_MOVE_MOUNT,
	[437] = KERNEL_CALL_OPENAT2,
	[452] = KERNEL_CALL_FCHMODAT2,
};

/* arch/arm/tools/syscall.tbl, the EABI: there is no socketcall in it */
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
	[281] = KERNEL_CALL_SOCKET,
	[283] = KERNEL_CALL_CONNECT,
	[284] = KERNEL_CALL_LISTEN,
	[285] = KERNEL_CALL_ACCEPT,
	[290] = KERNEL_CALL_SENDTO,
	[292] = KERNEL_CALL_RECVFROM,
	[296] = KERNEL_CALL_SENDMSG,
	[297] = KERNEL_CALL_RECVMSG,
	[322] = KERNEL_CALL_OPENAT,
	[323] = KERNEL_CALL_MKDIRAT,
	[328] = KERNEL_CALL_UNLINKAT,
	[329] = KERNEL_CALL_RENAMEAT,
	[330] = KERNEL_CALL_LINKAT,
	[331] = KERNEL_CALL_SYMLINKAT,
	[333] = KERNEL_CALL_FCHMODAT,
	[337] = KERNEL_CALL_UNSHARE,
	[358] = KERNEL_CALL_DUP3,
	[365] = KERNEL_CALL_RECVMMSG,
	[366] = KERNEL_CALL_ACCEPT4,
	[371] = KERNEL_CALL_OPEN_BY_HANDLE_AT,
	[374] = KERNEL_CALL_SENDMMSG,
	[375] = KERNEL_CALL_SETNS,
	[379] = KERNEL_CALL_FINIT_MODULE,
	[382] = KERNEL_CALL_RENAMEAT2,
	[386] = KERNEL_CALL_BPF,
	[387] = KERNEL_CALL_EXECVEAT,
	[388] = KERNEL_CALL_USERFAULTFD,
	[417] = KERNEL_CALL_RECVMMSG,
	[429] = KERNEL_CALL_MOVE_MOUNT,
	[437] = KERNEL_CALL_OPENAT2,
	[452] = KERNEL_CALL_FCHMODAT2,
};

static __always_inline u64 call_number(const struct pt_regs *regs)
{
	return (u32)regs->syscallno;
}

/* The flags of a send (64-bit table). */
static __always_inline u64 call_send_flags(const struct pt_regs *regs, u32 call)
{
	return regs->regs[call == KERNEL_CALL_SENDMSG ? 2 : 3];
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
