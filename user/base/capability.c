/* SPDX-License-Identifier: Apache-2.0 */
#include "base/capability.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CAPABILITIES = 64 };

static int get(pid_t pid, struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = pid};

	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

const char *capability_name(int number)
{
	switch (number) {
	case CAP_DAC_READ_SEARCH: return "CAP_DAC_READ_SEARCH";
	case CAP_NET_ADMIN: return "CAP_NET_ADMIN";
	case CAP_NET_RAW: return "CAP_NET_RAW";
	case CAP_SYS_PTRACE: return "CAP_SYS_PTRACE";
	case CAP_SYS_ADMIN: return "CAP_SYS_ADMIN";
	case CAP_SYS_RESOURCE: return "CAP_SYS_RESOURCE";
	case CAP_PERFMON: return "CAP_PERFMON";
	case CAP_BPF: return "CAP_BPF";
	default: return NULL;
	}
}

uint64_t capability_effective(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return get(0, data) < 0 ? 0 : (uint64_t)data[1].effective << 32 | data[0].effective;
}

uint64_t capability_permitted(void)
{
	return capability_of(0);
}

uint64_t capability_of(pid_t pid)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return get(pid, data) < 0 ? 0 : (uint64_t)data[1].permitted << 32 | data[0].permitted;
}

int capability_keep(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	keep &= capability_permitted();
	/* Refused without CAP_SETPCAP, and past the last that this kernel has: what counts is below. */
	for (unsigned long number = 0; number < CAPABILITIES; number++)
		if (!(keep >> number & 1))
			(void)prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	data[0].effective = data[0].permitted = (uint32_t)keep;
	data[1].effective = data[1].permitted = (uint32_t)(keep >> 32);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
