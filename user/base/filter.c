/* SPDX-License-Identifier: Apache-2.0 */
#include "base/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE AUDIT_ARCH_X86_64
#define X32 0x40000000u /* __X32_SYSCALL_BIT */
#elif defined(__aarch64__)
#define MACHINE AUDIT_ARCH_AARCH64
#else
#error "which machine's system calls?"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))

static void add(struct filter *filter, struct sock_filter instruction)
{
	if (filter->length < FILTER_MAX)
		filter->code[filter->length++] = instruction;
	else
		filter->error = -E2BIG;
}

static void add_return(struct filter *filter, uint32_t action)
{
	add(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Goes on where it is equal, else passes over `skip`. */
static void add_equal(struct filter *filter, uint32_t value, uint8_t skip)
{
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

void filter_begin(struct filter *filter, uint32_t foreign, int except)
{
	filter->length = 0;
	filter->error = 0;
	add(filter, (struct sock_filter)LOAD(arch));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 3 + (except >= 0), 0));
	add(filter, (struct sock_filter)LOAD(nr));
	if (except >= 0)
		add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)except, 1, 0));
	add_return(filter, foreign);
	add_return(filter, except >= 0 ? SECCOMP_RET_ALLOW : foreign);
	add(filter, (struct sock_filter)LOAD(nr));
#if defined(X32)
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1));
	add_return(filter, foreign);
#endif
}

void filter_call(struct filter *filter, int call, uint32_t action)
{
	add_equal(filter, (uint32_t)call, 1);
	add_return(filter, action);
}

void filter_argument(
	struct filter *filter, int call, unsigned int index, uint32_t mask, uint32_t value, uint32_t action)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower half of an argument comes first");
	const uint32_t at = (uint32_t)(offsetof(struct seccomp_data, args) + index * sizeof(uint64_t));

	add_equal(filter, (uint32_t)call, 5);
	add(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
	add(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
	add_equal(filter, value, 1);
	add_return(filter, action);
	add(filter, (struct sock_filter)LOAD(nr));
}

int filter_install(struct filter *filter, uint32_t other)
{
	struct sock_fprog program;

	add_return(filter, other);
	if (filter->error)
		return filter->error;
	program = (struct sock_fprog){(unsigned short)filter->length, filter->code};
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0 ? -EPERM : 0;
}
