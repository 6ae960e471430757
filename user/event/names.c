/* SPDX-License-Identifier: Apache-2.0 */
#include "event/names.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "event/event.h"

const char *name_of_error(int error, char *room)
{
	const char *name = strerrorname_np(error);

	if (name)
		return name;
	snprintf(room, 16, "E%d", error);
	return room;
}

/* The bits of open(2) on x86-64. O_SYNC and O_TMPFILE hold the bits of O_DSYNC and O_DIRECTORY, so they come first. */
static const struct {
	uint32_t bits;
	const char *name;
} open_flags[] = {
	{O_CREAT, "O_CREAT"},
	{O_EXCL, "O_EXCL"},
	{O_NOCTTY, "O_NOCTTY"},
	{O_TRUNC, "O_TRUNC"},
	{O_APPEND, "O_APPEND"},
	{O_NONBLOCK, "O_NONBLOCK"},
	{O_SYNC, "O_SYNC"},
	{O_DSYNC, "O_DSYNC"},
	{O_ASYNC, "O_ASYNC"},
	{EVENT_OPEN_DIRECT, "O_DIRECT"},
	{EVENT_OPEN_LARGE, "O_LARGEFILE"},
	{EVENT_OPEN_TEMPORARY, "O_TMPFILE"},
	{EVENT_OPEN_DIRECTORY, "O_DIRECTORY"},
	{EVENT_OPEN_NO_FOLLOW, "O_NOFOLLOW"},
	{O_NOATIME, "O_NOATIME"},
	{O_CLOEXEC, "O_CLOEXEC"},
	{O_PATH, "O_PATH"},
};

void name_open_flags(uint32_t flags, void (*each)(void *context, const char *name), void *context)
{
	static const char *const modes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
	uint32_t left = flags & ~(uint32_t)O_ACCMODE;

	each(context, modes[flags & O_ACCMODE]);
	for (size_t i = 0; i < sizeof(open_flags) / sizeof(open_flags[0]); i++)
		if ((left & open_flags[i].bits) == open_flags[i].bits) {
			left &= ~open_flags[i].bits;
			each(context, open_flags[i].name);
		}
	if (left) {
		char rest[16];

		snprintf(rest, sizeof(rest), "0x%x", left);
		each(context, rest);
	}
}

void name_capabilities(uint64_t set, void (*each)(void *context, const char *name), void *context)
{
	static const char *const names[] = {"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL",
		"SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN",
		"NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
		"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
		"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
		"BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE"};
	char name[40];

	for (size_t bit = 0; bit < 64; bit++) {
		if (!(set >> bit & 1))
			continue;
		if (bit < sizeof(names) / sizeof(names[0]))
			snprintf(name, sizeof(name), "CAP_%s", names[bit]);
		else
			snprintf(name, sizeof(name), "CAP_%zu", bit);
		each(context, name);
	}
}

const char *name_of_file_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return "file";
	case S_IFDIR: return "dir";
	case S_IFLNK: return "symlink";
	case S_IFCHR: return "char";
	case S_IFBLK: return "block";
	case S_IFIFO: return "fifo";
	case S_IFSOCK: return "socket";
	default: return NULL;
	}
}

const char *name_of_transport(int family, int protocol)
{
	if (family == AF_UNIX)
		return "unix";
	if (family == AF_VSOCK)
		return "vsock";
	switch (protocol) {
	case IPPROTO_TCP: return "tcp";
	case IPPROTO_UDP: return "udp";
	case IPPROTO_UDPLITE: return "udplite";
	case IPPROTO_SCTP: return "sctp";
	case IPPROTO_DCCP: return "dccp";
	case IPPROTO_MPTCP: return "mptcp";
	case IPPROTO_ICMP: return "icmp";
	case IPPROTO_ICMPV6: return "ipv6-icmp";
	default: return NULL;
	}
}

const char *name_of_descriptor(uint8_t type)
{
	static const char *const names[] = {
		"closed", "file", "dir", "char", "block", "pipe", "unix", "inet", "socket", "other"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "other";
}
