/* SPDX-License-Identifier: Apache-2.0 */
#include "event/names.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
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

static const char *const capabilities[] = {"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL",
	"SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
	"IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN",
	"SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE",
	"AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE"};

void name_capabilities(uint64_t set, void (*each)(void *context, const char *name), void *context)
{
	char name[40];

	for (size_t bit = 0; bit < 64; bit++) {
		if (!(set >> bit & 1))
			continue;
		if (bit < sizeof(capabilities) / sizeof(capabilities[0]))
			snprintf(name, sizeof(name), "CAP_%s", capabilities[bit]);
		else
			snprintf(name, sizeof(name), "CAP_%zu", bit);
		each(context, name);
	}
}

uint64_t name_to_capability(struct text name)
{
	const struct text prefix = TEXT_LITERAL("CAP_");

	if (!text_starts_with(name, prefix))
		return 0;
	name = (struct text){name.data + prefix.length, name.length - prefix.length};
	for (size_t bit = 0; bit < sizeof(capabilities) / sizeof(capabilities[0]); bit++)
		if (text_equal(name, text_of(capabilities[bit])))
			return 1ull << bit;
	return 0;
}

void name_namespaces(uint32_t set, void (*each)(void *context, const char *name), void *context)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} namespaces[] = {
		{EVENT_NAMESPACE_PID, "pid"},
		{EVENT_NAMESPACE_NETWORK, "network"},
		{EVENT_NAMESPACE_IPC, "ipc"},
		{EVENT_NAMESPACE_UTS, "uts"},
		{EVENT_NAMESPACE_MOUNT, "mount"},
	};

	for (size_t i = 0; i < sizeof(namespaces) / sizeof(namespaces[0]); i++)
		if (set & namespaces[i].bit)
			each(context, namespaces[i].name);
}

const char *name_of_qos(int qos)
{
	switch (qos) {
	case EVENT_GUARANTEED: return "guaranteed";
	case EVENT_BURSTABLE: return "burstable";
	case EVENT_BEST_EFFORT: return "besteffort";
	default: return NULL;
	}
}

const char *name_of_source(int source)
{
	switch (source) {
	case EVENT_SOURCE_CRI: return "cri";
	case EVENT_SOURCE_BUNDLE: return "bundle";
	case EVENT_SOURCE_STATE: return "state";
	default: return NULL;
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
	if (family == AF_PACKET)
		return "packet";
	if (family != AF_INET && family != AF_INET6)
		return NULL;
	switch (protocol) {
	case IPPROTO_TCP: return "tcp";
	case IPPROTO_UDP: return "udp";
	case IPPROTO_UDPLITE: return "udplite";
	case IPPROTO_SCTP: return "sctp";
	case IPPROTO_DCCP: return "dccp";
	case IPPROTO_MPTCP: return "mptcp";
	case IPPROTO_ICMP: return "icmp";
	case IPPROTO_ICMPV6: return "ipv6-icmp";
	case IPPROTO_IGMP: return "igmp";
	case IPPROTO_IPIP: return "ipv4";
	case IPPROTO_GRE: return "gre";
	case IPPROTO_ESP: return "esp";
	case IPPROTO_AH: return "ah";
	default: return NULL;
	}
}

bool name_has_ports(int protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE ||
	       protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP || protocol == IPPROTO_MPTCP;
}

static const char *number_in(char *room, const char *format, int number)
{
	snprintf(room, 16, format, number);
	return room;
}

const char *name_of_socket_family(int family, char *room)
{
	switch (family) {
	case AF_UNIX: return "unix";
	case AF_INET: return "inet";
	case AF_INET6: return "inet6";
	case AF_NETLINK: return "netlink";
	case AF_PACKET: return "packet";
	case AF_KEY: return "key";
	case AF_X25: return "x25";
	case AF_RDS: return "rds";
	case AF_CAN: return "can";
	case AF_TIPC: return "tipc";
	case AF_BLUETOOTH: return "bluetooth";
	case AF_ALG: return "alg";
	case AF_NFC: return "nfc";
	case AF_VSOCK: return "vsock";
	case AF_KCM: return "kcm";
	case AF_QIPCRTR: return "qipcrtr";
	case AF_SMC: return "smc";
	case AF_XDP: return "xdp";
	default: return number_in(room, "%d", family);
	}
}

const char *name_of_socket_type(int type, char *room)
{
	switch (type) {
	case SOCK_STREAM: return "stream";
	case SOCK_DGRAM: return "dgram";
	case SOCK_RAW: return "raw";
	case SOCK_RDM: return "rdm";
	case SOCK_SEQPACKET: return "seqpacket";
	case SOCK_DCCP: return "dccp";
	case SOCK_PACKET: return "packet";
	default: return number_in(room, "%d", type);
	}
}

const char *name_of_socket_protocol(int family, int protocol, char *room)
{
	const char *name = name_of_transport(family, protocol);

	switch (family) {
	case AF_PACKET: return number_in(room, "0x%04x", ntohs((uint16_t)protocol));
	case AF_NETLINK:
		if (protocol == NETLINK_XFRM)
			return "xfrm";
		if (protocol == NETLINK_AUDIT)
			return "audit";
		if (protocol == NETLINK_CONNECTOR)
			return "connector";
		if (protocol == NETLINK_NETFILTER)
			return "netfilter";
		break;
	case AF_INET:
	case AF_INET6:
		if (name)
			return name;
		break;
	default: break;
	}
	return number_in(room, "%d", protocol);
}

/* IANA: Domain Name System (DNS) Parameters. */
const char *name_of_dns_type(uint16_t type, char *room)
{
	static const struct {
		uint16_t type;
		const char *name;
	} types[] = {{1, "A"}, {2, "NS"}, {5, "CNAME"}, {6, "SOA"}, {10, "NULL"}, {12, "PTR"}, {15, "MX"}, {16, "TXT"},
		{28, "AAAA"}, {33, "SRV"}, {35, "NAPTR"}, {43, "DS"}, {46, "RRSIG"}, {48, "DNSKEY"}, {64, "SVCB"},
		{65, "HTTPS"}, {251, "IXFR"}, {252, "AXFR"}, {255, "ANY"}, {257, "CAA"}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].type == type)
			return types[i].name;
	return number_in(room, "TYPE%d", type);
}

const char *name_of_dns_response(uint8_t code, char *room)
{
	static const char *const codes[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
		"YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"};

	return code < sizeof(codes) / sizeof(codes[0]) ? codes[code] : number_in(room, "RCODE%d", code);
}

const char *name_of_descriptor(uint8_t type)
{
	static const char *const names[] = {
		"closed", "file", "dir", "char", "block", "pipe", "unix", "inet", "socket", "other"};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "other";
}

static bool are_digits(struct text text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return true;
}

bool name_is_technique(struct text text)
{
	const size_t plain = sizeof("T1059") - 1, with_sub = sizeof("T1059.004") - 1;

	if ((text.length != plain && text.length != with_sub) || text.data[0] != 'T')
		return false;
	if (!are_digits((struct text){text.data + 1, plain - 1}))
		return false;
	return text.length == plain ||
	       (text.data[plain] == '.' && are_digits((struct text){text.data + plain + 1, with_sub - plain - 1}));
}
