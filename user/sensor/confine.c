/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sched.h>
#include <unistd.h>

#include "base/capability.h"
#include "base/filter.h"
#include "base/log.h"
#include "sensor/confine_calls.h"

/* What the canary may try where it was given: raw and packet sockets, a file by its handle. */
#define OF_CANARY (CAPABILITY(CAP_NET_RAW) | CAPABILITY(CAP_DAC_READ_SEARCH))

/* --- what is needed ---------------------------------------------------------------------------------------------------- */

int confine_lacks(char *why, size_t why_size)
{
	static const int needed[] = {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};
	const uint64_t has = capability_effective();
	char names[64] = "";
	size_t length = 0;

	/* The kernel takes it for each of the three. */
	if (has & CAPABILITY(CAP_SYS_ADMIN))
		return 0;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!(has & CAPABILITY(needed[i])))
			length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", length ? ", " : "",
				capability_name(needed[i]));
	if (length == 0)
		return 0;
	snprintf(why, why_size,
		"this process lacks %s, without which it may not load its BPF programs: run it as root, or give it "
		"CAP_BPF, "
		"CAP_PERFMON and CAP_NET_ADMIN (in a pod: securityContext.capabilities.add; in a unit: "
		"AmbientCapabilities)",
		names);
	return -EPERM;
}

/* --- the worker -------------------------------------------------------------------------------------------------------- */

/* Sanitizers look into their own process by ptrace(2), from a process that they clone. */
#if defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static void add_arguments(struct filter *filter)
{
	const uint32_t pass = SECCOMP_RET_ALLOW, families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
	const uint32_t controls[] = {FIONREAD, FIONBIO, 0x5401 /* TCGETS: isatty */};
	const int own[] = {
		PR_SET_NAME, PR_GET_NAME, PR_SET_DUMPABLE, PR_GET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS};
	/* Not those that have others signalled (F_SETOWN), or wait (F_SETLEASE). */
	const int descriptors[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL};
	const int protects[] = {SYS_mmap, SYS_mprotect};

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		filter_argument(filter, SYS_socket, 0, UINT32_MAX, families[i], pass);
		filter_argument(filter, SYS_socketpair, 0, UINT32_MAX, families[i], pass);
	}
	for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		filter_argument(filter, SYS_ioctl, 1, UINT32_MAX, controls[i], pass);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		filter_argument(filter, SYS_prctl, 0, UINT32_MAX, (uint32_t)own[i], pass);
	for (size_t i = 0; i < sizeof(descriptors) / sizeof(descriptors[0]); i++)
		filter_argument(filter, SYS_fcntl, 1, UINT32_MAX, (uint32_t)descriptors[i], pass);
	/* A process's number is an int: the kernel does not look at the upper half. */
	filter_argument(filter, SYS_tgkill, 0, UINT32_MAX, (uint32_t)getpid(), pass);
	filter_argument(filter, SYS_prlimit64, 0, UINT32_MAX, 0, pass);
	/* Threads, not processes. clone3 passes its flags in memory, where no filter looks: libc takes clone instead. */
	filter_argument(filter, SYS_clone, 0, CLONE_THREAD, CLONE_THREAD, pass);
	/* Memory is written or executed, not both. */
	for (size_t i = 0; i < sizeof(protects) / sizeof(protects[0]); i++) {
		filter_argument(filter, protects[i], 2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC,
			SECCOMP_RET_KILL_PROCESS);
		filter_call(filter, protects[i], pass);
	}
}

static int install(void)
{
	struct filter filter;

	filter_begin(&filter, SECCOMP_RET_KILL_PROCESS, -1);
	for (size_t i = 0; i < confine_worker_call_count; i++)
		filter_call(&filter, confine_worker_calls[i], SECCOMP_RET_ALLOW);
	add_arguments(&filter);
	for (size_t i = 0; i < confine_intruder_call_count; i++)
		filter_call(&filter, confine_intruder_calls[i], SECCOMP_RET_KILL_PROCESS);
	for (size_t i = 0; i < confine_foreign_call_count; i++)
		filter_call(&filter, confine_foreign_calls[i], SECCOMP_RET_KILL_PROCESS);
	return filter_install(&filter, SECCOMP_RET_ERRNO | ENOSYS);
}

/*
 * Whatever it handles, a Landlock domain shuts /proc/PID/mem of all processes outside it, which the filter takes for a file like others. This
 * one handles what the worker never does. It also takes away what the worker does not need: a rename or link into another directory.
 */
static void shut_others_memory(void)
{
	const struct landlock_ruleset_attr ruleset = {
		.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_CHAR};
	/* The size of its first version: what later ones handle is not asked for. */
	const int fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset.handled_access_fs), 0);

	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		log_debug("no Landlock (%s): memory of this user's other processes may be open to this one",
			strerror(errno));
	if (fd >= 0)
		close(fd);
}

int confine_worker(void)
{
	int error = capability_keep(SANITIZED ? CAPABILITY(CAP_SYS_PTRACE) : 0);

	if (!error)
		shut_others_memory();
	if (!error && !SANITIZED)
		error = install();
	if (error)
		log_error("the sensor cannot give up its rights, and does not run with them: %s", strerror(-error));
	return error;
}

/* --- the loader -------------------------------------------------------------------------------------------------------- */

int confine_loading(void)
{
	return capability_keep(CAPABILITY(CAP_BPF) | CAPABILITY(CAP_PERFMON) | CAPABILITY(CAP_NET_ADMIN) |
			       CAPABILITY(CAP_SYS_ADMIN) /* mounts a bpffs where there is none */ |
			       CAPABILITY(CAP_SYS_RESOURCE) /* locks the maps' memory, before Linux 5.11 */ |
			       OF_CANARY);
}

int confine_loader(bool mounted)
{
	const bool by_admin = mounted || !(capability_permitted() & CAPABILITY(CAP_BPF));
	const uint64_t admin = by_admin ? CAPABILITY(CAP_SYS_ADMIN) : 0;
	struct filter filter;
	int error = capability_keep(CAPABILITY(CAP_BPF) | OF_CANARY | admin);

	if (error)
		return error;
		/* Its canary opens a file by the 32-bit table: open(2) is 5 there. */
#if defined(__x86_64__)
	filter_begin(&filter, SECCOMP_RET_ERRNO | EPERM, 5);
#else
	filter_begin(&filter, SECCOMP_RET_ERRNO | EPERM, -1);
#endif
	if (mounted)
		filter_call(&filter, SYS_umount2, SECCOMP_RET_ALLOW);
	for (size_t i = 0; i < confine_foreign_call_count; i++)
		filter_call(&filter, confine_foreign_calls[i], SECCOMP_RET_ERRNO | EPERM);
	return filter_install(&filter, SECCOMP_RET_ALLOW);
}

int confine_canary(void)
{
	return capability_keep(OF_CANARY);
}

void confine_say(pid_t loader)
{
	const uint64_t has = capability_of(loader);
	char names[160] = "";
	size_t length = 0;

	for (int number = 0; number < 64; number++)
		if (has & CAPABILITY(number) && capability_name(number))
			length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s", length ? ", " : "",
				capability_name(number));
	log_info("confined: no capabilities here%s; the loader (process %d) has %s",
		SANITIZED ? ", but no filter, for the sanitizers' sake" : ", and a filter of system calls", loader,
		length ? names : "none");
}
