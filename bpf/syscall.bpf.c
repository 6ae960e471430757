/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one program at the exit of system calls. Every call of the machine passes here, so the number is tested first,
 * then the container; only then anything is read.
 */
#include "bpf/call.h"
#include "bpf/syscall.h"
#include "bpf/task.h"

enum {
	/* The first argument of socketcall (linux/net.h). */
	SOCKETCALL_CONNECT = 3,
	SOCKETCALL_LISTEN = 4,
	SOCKETCALL_ACCEPT = 5,
	SOCKETCALL_ACCEPT4 = 18,
};

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
	call_arguments(regs, compat, arguments->at);
	if (!compat)
		return number;
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

/* Those promises that function hooks serve (KERNEL_SYSCALL_*): set by the loader before this is attached. */
__u32 syscall_spares = 0;

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
	default: return 0;
	}
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	struct call_arguments arguments;
	struct call call = {};
	u64 number = call_number(regs);
	u8 tables = number < CALL_NUMBERS ? call_tables[number] : 0;
	bool compat;

	if (!tables)
		return 0;
	/* Which table the number is of is asked only where it may matter in either. */
	compat = call_compat(bpf_get_current_task_btf());
	if (!(tables & (compat ? CALL_COMPAT : CALL_NATIVE)) || !task_untimed(&call.header))
		return 0;
	number = read_registers(regs, number, compat, &arguments);
	if (syscall_spares & promise_of(number))
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
