/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one program at the exit of system calls. Every call of the machine passes here, so the number is tested first,
 * then the container; only then anything is read.
 */
#include "bpf/call.h"
#include "bpf/task.h"

#if defined(__TARGET_ARCH_x86)
enum {
	CALL_OPEN = 2,
	CALL_EXECVE = 59,
	CALL_CREAT = 85,
	CALL_OPENAT = 257,
	CALL_OPEN_BY_HANDLE = 304,
	CALL_EXECVEAT = 322,
	CALL_OPENAT2 = 437,

	/* of the 32-bit table */
	COMPAT_OPEN = 5,
	COMPAT_CREAT = 8,
	COMPAT_EXECVE = 11,
	COMPAT_OPENAT = 295,
	COMPAT_OPEN_BY_HANDLE = 342,
	COMPAT_EXECVEAT = 358,
	COMPAT_OPENAT2 = 437,

	TS_COMPAT = 2, /* thread_info.status: in a 32-bit system call */
};
#endif

static __always_inline bool call_number_matters(u64 number)
{
	switch (number) {
	case CALL_OPEN:
	case CALL_EXECVE:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_OPEN_BY_HANDLE:
	case CALL_EXECVEAT:
	case CALL_OPENAT2: return true;
	default: return false;
	}
}

/* openat2's struct open_how: flags, mode, resolve. */
static __always_inline void read_open_how(struct call *call, u64 address)
{
	u64 how[2] = {};

	bpf_probe_read_user(how, sizeof(how), (void *)address);
	call->flags = how[0];
	call->mode = how[1];
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	u64 number = regs->orig_ax;
	struct call call = {};

	if (!call_number_matters(number))
		return 0;
	if (!task_current(&call.header))
		return 0;
	call.result = result;
	call.fd = AT_FDCWD;
	switch (number) {
	case CALL_OPEN:
		call.address = regs->di;
		call.flags = regs->si;
		call.mode = regs->dx;
		break;
	case CALL_CREAT:
		call.address = regs->di;
		call.flags = 01 | 0100 | 01000; /* O_WRONLY, O_CREAT, O_TRUNC */
		call.mode = regs->si;
		break;
	case CALL_OPENAT:
		call.fd = regs->di;
		call.address = regs->si;
		call.flags = regs->dx;
		call.mode = regs->r10;
		break;
	case CALL_OPENAT2:
		call.fd = regs->di;
		call.address = regs->si;
		read_open_how(&call, regs->dx);
		break;
	case CALL_OPEN_BY_HANDLE:
		call.flags = regs->dx;
		break;
	case CALL_EXECVE:
	case CALL_EXECVEAT:
		if (result >= 0)
			return 0;
		if (number == CALL_EXECVEAT) {
			call.fd = regs->di;
			call.address = regs->si;
		} else {
			call.address = regs->di;
		}
		process_exec_failed(&call);
		return 0;
	}
	file_opened(&call);
	return 0;
}
