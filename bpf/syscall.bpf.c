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
	CALL_CONNECT = 42,
	CALL_ACCEPT = 43,
	CALL_LISTEN = 50,
	CALL_EXECVE = 59,
	CALL_CREAT = 85,
	CALL_OPENAT = 257,
	CALL_ACCEPT4 = 288,
	CALL_OPEN_BY_HANDLE = 304,
	CALL_EXECVEAT = 322,
	CALL_OPENAT2 = 437,

	/* of the 32-bit table */
	COMPAT_OPEN = 5,
	COMPAT_CREAT = 8,
	COMPAT_EXECVE = 11,
	COMPAT_SOCKETCALL = 102,
	COMPAT_OPENAT = 295,
	COMPAT_OPEN_BY_HANDLE = 342,
	COMPAT_EXECVEAT = 358,
	COMPAT_CONNECT = 362,
	COMPAT_LISTEN = 363,
	COMPAT_ACCEPT4 = 364,

	TS_COMPAT = 2, /* thread_info.status: in a 32-bit system call */

	/* The first argument of socketcall (linux/net.h). */
	SOCKETCALL_CONNECT = 3,
	SOCKETCALL_LISTEN = 4,
	SOCKETCALL_ACCEPT = 5,
	SOCKETCALL_ACCEPT4 = 18,
};
#endif

static __always_inline bool native_matters(u64 number)
{
	switch (number) {
	case CALL_OPEN:
	case CALL_CONNECT:
	case CALL_ACCEPT:
	case CALL_LISTEN:
	case CALL_EXECVE:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_ACCEPT4:
	case CALL_OPEN_BY_HANDLE:
	case CALL_EXECVEAT:
	case CALL_OPENAT2: return true;
	default: return false;
	}
}

/* What stands for a 32-bit number in the 64-bit table; 0 (read) for what does not matter. */
static __always_inline u64 compat_number(u64 number)
{
	switch (number) {
	case COMPAT_OPEN: return CALL_OPEN;
	case COMPAT_CREAT: return CALL_CREAT;
	case COMPAT_EXECVE: return CALL_EXECVE;
	case COMPAT_SOCKETCALL: return COMPAT_SOCKETCALL;
	case COMPAT_OPENAT: return CALL_OPENAT;
	case COMPAT_OPEN_BY_HANDLE: return CALL_OPEN_BY_HANDLE;
	case COMPAT_EXECVEAT: return CALL_EXECVEAT;
	case COMPAT_CONNECT: return CALL_CONNECT;
	case COMPAT_LISTEN: return CALL_LISTEN;
	case COMPAT_ACCEPT4: return CALL_ACCEPT4;
	case CALL_OPENAT2: return CALL_OPENAT2; /* newer calls have one number in all tables */
	default: return 0;
	}
}

struct call_arguments {
	u64 at[4];
};

/* socketcall(2): a number of its own, and where its arguments are. */
static __always_inline u64 read_socketcall(struct call_arguments *arguments)
{
	u32 given[3] = {};

	bpf_probe_read_user(given, sizeof(given), (void *)arguments->at[1]);
	switch (arguments->at[0]) {
	case SOCKETCALL_CONNECT: arguments->at[0] = CALL_CONNECT; break;
	case SOCKETCALL_LISTEN: arguments->at[0] = CALL_LISTEN; break;
	case SOCKETCALL_ACCEPT:
	case SOCKETCALL_ACCEPT4: arguments->at[0] = CALL_ACCEPT; break;
	default: return 0;
	}
	u64 number = arguments->at[0];

	arguments->at[0] = given[0];
	arguments->at[1] = given[1];
	arguments->at[2] = given[2];
	return number;
}

/* The arguments, of whichever table, and the number as if of the 64-bit one. 0: it does not matter. */
static __always_inline u64 read_registers(
	struct pt_regs *regs, u64 number, bool compat, struct call_arguments *arguments)
{
	if (!compat) {
		*arguments = (struct call_arguments){{regs->di, regs->si, regs->dx, regs->r10}};
		return number;
	}
	*arguments = (struct call_arguments){{(u32)regs->bx, (u32)regs->cx, (u32)regs->dx, (u32)regs->si}};
	return number == COMPAT_SOCKETCALL ? read_socketcall(arguments) : compat_number(number);
}

/* openat2's struct open_how: flags, mode, resolve. */
static __always_inline void read_open_how(struct call *call, u64 address)
{
	u64 how[2] = {};

	bpf_probe_read_user(how, sizeof(how), (void *)address);
	call->flags = how[0];
	call->mode = how[1];
}

static __always_inline void call_file(struct call *call, u64 number, const struct call_arguments *arguments)
{
	const u64 *at = arguments->at;

	switch (number) {
	case CALL_OPEN:
		call->address = at[0];
		call->flags = at[1];
		call->mode = at[2];
		break;
	case CALL_CREAT:
		call->address = at[0];
		call->flags = 01 | 0100 | 01000; /* O_WRONLY, O_CREAT, O_TRUNC */
		call->mode = at[1];
		break;
	case CALL_OPENAT:
		call->fd = at[0];
		call->address = at[1];
		call->flags = at[2];
		call->mode = at[3];
		break;
	case CALL_OPENAT2:
		call->fd = at[0];
		call->address = at[1];
		read_open_how(call, at[2]);
		break;
	default: /* CALL_OPEN_BY_HANDLE */ call->flags = at[2]; break;
	}
	file_opened(call);
}

/* Those promises that no function hook serves (KERNEL_SYSCALL_*): set by the loader before this is attached. */
__u32 syscall_serves = ~0u;

static __always_inline u32 promise_of(u64 number)
{
	switch (number) {
	case CALL_OPEN:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_OPENAT2: return KERNEL_SYSCALL_OPEN;
	case CALL_OPEN_BY_HANDLE: return KERNEL_SYSCALL_HANDLE;
	case CALL_EXECVE:
	case CALL_EXECVEAT: return KERNEL_SYSCALL_EXEC;
	case CALL_CONNECT: return KERNEL_SYSCALL_CONNECT;
	case CALL_ACCEPT:
	case CALL_ACCEPT4: return KERNEL_SYSCALL_ACCEPT;
	case CALL_LISTEN: return KERNEL_SYSCALL_LISTEN;
	default: return ~0u;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	struct call_arguments arguments;
	struct call call = {};
	u64 number = regs->orig_ax;
	bool compat;

	/* Which table it is of is asked only where the number may matter in either. */
	if (!native_matters(number) && !compat_number(number))
		return 0;
	compat = bpf_get_current_task_btf()->thread_info.status & TS_COMPAT;
	if (compat ? !compat_number(number) : !native_matters(number))
		return 0;
	if (!task_current(&call.header))
		return 0;
	number = read_registers(regs, number, compat, &arguments);
	if (!(syscall_serves & promise_of(number)))
		return 0;
	if (compat)
		call.header.flags |= KERNEL_COMPAT;
	call.result = result;
	call.fd = AT_FDCWD;
	switch (number) {
	case CALL_OPEN:
	case CALL_CREAT:
	case CALL_OPENAT:
	case CALL_OPENAT2:
	case CALL_OPEN_BY_HANDLE: call_file(&call, number, &arguments); break;
	case CALL_EXECVE:
		call.address = arguments.at[0];
		if (result < 0)
			process_exec_failed(&call);
		break;
	case CALL_EXECVEAT:
		call.fd = arguments.at[0];
		call.address = arguments.at[1];
		if (result < 0)
			process_exec_failed(&call);
		break;
	case CALL_CONNECT:
		call.fd = arguments.at[0];
		call.address = arguments.at[1];
		call.length = arguments.at[2];
		network_connected(&call);
		break;
	case CALL_ACCEPT:
	case CALL_ACCEPT4:
		if (result >= 0)
			network_accepted(&call);
		break;
	case CALL_LISTEN:
		call.fd = arguments.at[0];
		network_listened(&call);
		break;
	}
	return 0;
}
