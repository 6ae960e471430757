/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families of calls that are told only while somebody wants them (calls_wanted). The exit of system calls hands them to
 * their rooms: change.bpf.c (names and modes of files), deed.bpf.c (rights, descriptors, namespaces, other processes, the
 * kernel) and receive.bpf.c.
 *
 * What a call was given is claimed: registers, which nobody changes while it runs, and user memory, read when it has
 * returned. What it was about is the kernel's where a descriptor leads there.
 */
#ifndef TAFFRAIL_FAMILY_H
#define TAFFRAIL_FAMILY_H

#include "bpf/call.h"
#include "bpf/syscall.h"

/* All six arguments of a call. */
struct family_arguments {
	u64 at[6];
};

static __always_inline void family_read(
	const struct call *call, const struct pt_regs *regs, struct family_arguments *arguments)
{
	bool compat = call->header.flags & KERNEL_COMPAT;

	call_arguments(regs, compat, arguments->at);
	call_more_arguments(regs, compat, arguments->at + 4);
	if (call_of(call_number(regs), compat) == CALL_MULTIPLEXED) {
		u32 given[6] = {};

		/* Of some there are fewer, and perhaps no memory behind them: three are enough then. */
		if (bpf_probe_read_user(given, sizeof(given), (void *)arguments->at[1]) < 0)
			bpf_probe_read_user(given, 3 * sizeof(u32), (void *)arguments->at[1]);
		for (u32 i = 0; i < 6; i++)
			arguments->at[i] = given[i];
	}
}

/* The kind of a record of this call, if it is of one of the families; UNLINK also of what removes a directory. */
static __always_inline u32 family_kind(u32 which)
{
	static const u8 kinds[KERNEL_CALLS_END] = {
		[KERNEL_CALL_RECVFROM] = KERNEL_RECEIVE,
		[KERNEL_CALL_RECVMSG] = KERNEL_RECEIVE,
		[KERNEL_CALL_RECVMMSG] = KERNEL_RECEIVE,
		[KERNEL_CALL_LINK] = KERNEL_LINK,
		[KERNEL_CALL_LINKAT] = KERNEL_LINK,
		[KERNEL_CALL_SYMLINK] = KERNEL_SYMLINK,
		[KERNEL_CALL_SYMLINKAT] = KERNEL_SYMLINK,
		[KERNEL_CALL_UNLINK] = KERNEL_UNLINK,
		[KERNEL_CALL_UNLINKAT] = KERNEL_UNLINK,
		[KERNEL_CALL_RMDIR] = KERNEL_RMDIR,
		[KERNEL_CALL_RENAME] = KERNEL_RENAME,
		[KERNEL_CALL_RENAMEAT] = KERNEL_RENAME,
		[KERNEL_CALL_RENAMEAT2] = KERNEL_RENAME,
		[KERNEL_CALL_CHMOD] = KERNEL_CHMOD,
		[KERNEL_CALL_FCHMOD] = KERNEL_CHMOD,
		[KERNEL_CALL_FCHMODAT] = KERNEL_CHMOD,
		[KERNEL_CALL_FCHMODAT2] = KERNEL_CHMOD,
		[KERNEL_CALL_MKDIR] = KERNEL_MKDIR,
		[KERNEL_CALL_MKDIRAT] = KERNEL_MKDIR,
		[KERNEL_CALL_DUP] = KERNEL_DUP,
		[KERNEL_CALL_DUP2] = KERNEL_DUP,
		[KERNEL_CALL_DUP3] = KERNEL_DUP,
		[KERNEL_CALL_PTRACE] = KERNEL_PTRACE,
		[KERNEL_CALL_SETUID] = KERNEL_SETUID,
		[KERNEL_CALL_SETGID] = KERNEL_SETUID,
		[KERNEL_CALL_SETREUID] = KERNEL_SETUID,
		[KERNEL_CALL_SETREGID] = KERNEL_SETUID,
		[KERNEL_CALL_SETRESUID] = KERNEL_SETUID,
		[KERNEL_CALL_SETRESGID] = KERNEL_SETUID,
		[KERNEL_CALL_SETFSUID] = KERNEL_SETUID,
		[KERNEL_CALL_SETFSGID] = KERNEL_SETUID,
		[KERNEL_CALL_SETNS] = KERNEL_SETNS,
		[KERNEL_CALL_UNSHARE] = KERNEL_UNSHARE,
		[KERNEL_CALL_BPF] = KERNEL_BPF,
		[KERNEL_CALL_INIT_MODULE] = KERNEL_MODULE,
		[KERNEL_CALL_FINIT_MODULE] = KERNEL_MODULE,
		[KERNEL_CALL_USERFAULTFD] = KERNEL_USERFAULTFD,
		[KERNEL_CALL_MOUNT] = KERNEL_MOUNT,
		[KERNEL_CALL_UMOUNT] = KERNEL_MOUNT,
		[KERNEL_CALL_MOVE_MOUNT] = KERNEL_MOUNT,
	};

	return which < KERNEL_CALLS_END ? kinds[which] : 0;
}

/* family.h's rooms; the call's header, result and `fd` (AT_FDCWD) are set */
void change_returned(struct call *call, struct pt_regs *regs, u32 kind);
void deed_returned(struct call *call, struct pt_regs *regs, u32 kind);
void network_received(struct call *call, struct pt_regs *regs);

static __always_inline void family_returned(struct call *call, struct pt_regs *regs)
{
	u32 kind = family_kind(call->header.call);

	if (kind == KERNEL_RECEIVE)
		network_received(call, regs);
	else if (kind >= KERNEL_LINK && kind <= KERNEL_MKDIR)
		change_returned(call, regs, kind);
	else if (kind)
		deed_returned(call, regs, kind);
}

#endif
