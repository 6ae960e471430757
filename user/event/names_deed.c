/* SPDX-License-Identifier: Apache-2.0 */
/* Names of what a call was asked to do: requests, commands and flags, as the kernel's headers have them. */
#include <stdio.h>

#include "event/event.h"
#include "event/names.h"

struct bit {
	uint64_t bits;
	const char *name;
};

static const struct bit clone_flags[] = {
	{0x80, "CLONE_NEWTIME"},
	{0x100, "CLONE_VM"},
	{0x200, "CLONE_FS"},
	{0x400, "CLONE_FILES"},
	{0x800, "CLONE_SIGHAND"},
	{0x10000, "CLONE_THREAD"},
	{0x20000, "CLONE_NEWNS"},
	{0x40000, "CLONE_SYSVSEM"},
	{0x2000000, "CLONE_NEWCGROUP"},
	{0x4000000, "CLONE_NEWUTS"},
	{0x8000000, "CLONE_NEWIPC"},
	{0x10000000, "CLONE_NEWUSER"},
	{0x20000000, "CLONE_NEWPID"},
	{0x40000000, "CLONE_NEWNET"},
	{0, NULL},
};

static const struct bit mount_flags[] = {
	{1 << 0, "MS_RDONLY"},
	{1 << 1, "MS_NOSUID"},
	{1 << 2, "MS_NODEV"},
	{1 << 3, "MS_NOEXEC"},
	{1 << 4, "MS_SYNCHRONOUS"},
	{1 << 5, "MS_REMOUNT"},
	{1 << 6, "MS_MANDLOCK"},
	{1 << 7, "MS_DIRSYNC"},
	{1 << 8, "MS_NOSYMFOLLOW"},
	{1 << 10, "MS_NOATIME"},
	{1 << 11, "MS_NODIRATIME"},
	{1 << 12, "MS_BIND"},
	{1 << 13, "MS_MOVE"},
	{1 << 14, "MS_REC"},
	{1 << 15, "MS_SILENT"},
	{1 << 16, "MS_POSIXACL"},
	{1 << 17, "MS_UNBINDABLE"},
	{1 << 18, "MS_PRIVATE"},
	{1 << 19, "MS_SLAVE"},
	{1 << 20, "MS_SHARED"},
	{1 << 21, "MS_RELATIME"},
	{1 << 24, "MS_STRICTATIME"},
	{1 << 25, "MS_LAZYTIME"},
	{0, NULL},
};

static const struct bit umount_flags[] = {
	{1, "MNT_FORCE"}, {2, "MNT_DETACH"}, {4, "MNT_EXPIRE"}, {8, "UMOUNT_NOFOLLOW"}, {0, NULL}};

static const struct bit at_flags[] = {{0x100, "AT_SYMLINK_NOFOLLOW"}, {0x200, "AT_REMOVEDIR"},
	{0x400, "AT_SYMLINK_FOLLOW"}, {0x1000, "AT_EMPTY_PATH"}, {0, NULL}};

static const struct bit rename_flags[] = {
	{1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"}, {0, NULL}};

static const struct bit module_flags[] = {{1, "MODULE_INIT_IGNORE_MODVERSIONS"}, {2, "MODULE_INIT_IGNORE_VERMAGIC"},
	{4, "MODULE_INIT_COMPRESSED_FILE"}, {0, NULL}};

static const struct bit descriptor_flags[] = {
	{1, "UFFD_USER_MODE_ONLY"}, {04000, "O_NONBLOCK"}, {02000000, "O_CLOEXEC"}, {0, NULL}};

static const struct bit no_flags[] = {{0, NULL}};

static void name_bits(
	const struct bit *bits, uint64_t flags, void (*each)(void *context, const char *name), void *context)
{
	char rest[24];

	for (; bits->name; bits++)
		if (flags & bits->bits) {
			flags &= ~bits->bits;
			each(context, bits->name);
		}
	if (!flags)
		return;
	snprintf(rest, sizeof(rest), "0x%llx", (unsigned long long)flags);
	each(context, rest);
}

void name_change_flags(const struct event *event, void (*each)(void *context, const char *name), void *context)
{
	name_bits(event->action == EVENT_RENAME ? rename_flags : at_flags, event->change.flags, each, context);
}

void name_deed_flags(const struct event *event, void (*each)(void *context, const char *name), void *context)
{
	const struct bit *bits = no_flags;

	switch (event->action) {
	case EVENT_SETNS:
	case EVENT_UNSHARE: bits = clone_flags; break;
	case EVENT_MODULE: bits = module_flags; break;
	case EVENT_DUP:
	case EVENT_USERFAULTFD: bits = descriptor_flags; break;
	case EVENT_MOUNT:
		if (event->call == EVENT_CALL_UMOUNT)
			bits = umount_flags;
		else if (event->call != EVENT_CALL_MOVE_MOUNT)
			bits = mount_flags;
		break;
	default: break;
	}
	name_bits(bits, event->deed.flags, each, context);
}

static const char *name_of_trace(uint64_t request)
{
	static const char *const first[] = {"PTRACE_TRACEME", "PTRACE_PEEKTEXT", "PTRACE_PEEKDATA", "PTRACE_PEEKUSR",
		"PTRACE_POKETEXT", "PTRACE_POKEDATA", "PTRACE_POKEUSR", "PTRACE_CONT", "PTRACE_KILL",
		"PTRACE_SINGLESTEP", NULL, NULL, "PTRACE_GETREGS", "PTRACE_SETREGS", "PTRACE_GETFPREGS",
		"PTRACE_SETFPREGS", "PTRACE_ATTACH", "PTRACE_DETACH", "PTRACE_GETFPXREGS", "PTRACE_SETFPXREGS", NULL,
		NULL, NULL, NULL, "PTRACE_SYSCALL", "PTRACE_GET_THREAD_AREA", "PTRACE_SET_THREAD_AREA", NULL, NULL,
		NULL, "PTRACE_ARCH_PRCTL", "PTRACE_SYSEMU", "PTRACE_SYSEMU_SINGLESTEP", "PTRACE_SINGLEBLOCK"};
	static const char *const later[] = {"PTRACE_SETOPTIONS", "PTRACE_GETEVENTMSG", "PTRACE_GETSIGINFO",
		"PTRACE_SETSIGINFO", "PTRACE_GETREGSET", "PTRACE_SETREGSET", "PTRACE_SEIZE", "PTRACE_INTERRUPT",
		"PTRACE_LISTEN", "PTRACE_PEEKSIGINFO", "PTRACE_GETSIGMASK", "PTRACE_SETSIGMASK",
		"PTRACE_SECCOMP_GET_FILTER", "PTRACE_SECCOMP_GET_METADATA", "PTRACE_GET_SYSCALL_INFO",
		"PTRACE_GET_RSEQ_CONFIGURATION"};
	const uint64_t later_from = 0x4200;

	if (request < sizeof(first) / sizeof(first[0]))
		return first[request];
	request -= later_from;
	return request < sizeof(later) / sizeof(later[0]) ? later[request] : NULL;
}

static const char *name_of_bpf(uint64_t command)
{
	static const char *const names[] = {"BPF_MAP_CREATE", "BPF_MAP_LOOKUP_ELEM", "BPF_MAP_UPDATE_ELEM",
		"BPF_MAP_DELETE_ELEM", "BPF_MAP_GET_NEXT_KEY", "BPF_PROG_LOAD", "BPF_OBJ_PIN", "BPF_OBJ_GET",
		"BPF_PROG_ATTACH", "BPF_PROG_DETACH", "BPF_PROG_TEST_RUN", "BPF_PROG_GET_NEXT_ID",
		"BPF_MAP_GET_NEXT_ID", "BPF_PROG_GET_FD_BY_ID", "BPF_MAP_GET_FD_BY_ID", "BPF_OBJ_GET_INFO_BY_FD",
		"BPF_PROG_QUERY", "BPF_RAW_TRACEPOINT_OPEN", "BPF_BTF_LOAD", "BPF_BTF_GET_FD_BY_ID",
		"BPF_TASK_FD_QUERY", "BPF_MAP_LOOKUP_AND_DELETE_ELEM", "BPF_MAP_FREEZE", "BPF_BTF_GET_NEXT_ID",
		"BPF_MAP_LOOKUP_BATCH", "BPF_MAP_LOOKUP_AND_DELETE_BATCH", "BPF_MAP_UPDATE_BATCH",
		"BPF_MAP_DELETE_BATCH", "BPF_LINK_CREATE", "BPF_LINK_UPDATE", "BPF_LINK_GET_FD_BY_ID",
		"BPF_LINK_GET_NEXT_ID", "BPF_ENABLE_STATS", "BPF_ITER_CREATE", "BPF_LINK_DETACH", "BPF_PROG_BIND_MAP",
		"BPF_TOKEN_CREATE"};

	return command < sizeof(names) / sizeof(names[0]) ? names[command] : NULL;
}

const char *name_of_request(const struct event *event, char *room)
{
	uint64_t request = event->deed.request;
	const char *name = NULL;

	if (event->action == EVENT_PTRACE)
		name = name_of_trace(request);
	else if (event->action == EVENT_BPF)
		name = name_of_bpf(request);
	else if (event->action == EVENT_SETNS)
		for (const struct bit *bit = clone_flags; bit->name; bit++)
			if (bit->bits == request)
				name = bit->name;
	if (name)
		return name;
	snprintf(room, 24, "%llu", (unsigned long long)request);
	return room;
}
