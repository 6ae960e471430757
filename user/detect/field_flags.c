/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/field_flags.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "event/names.h"

struct named {
	uint64_t number;
	struct text name;
};

#define NAMED(number)                                                                                                  \
	{                                                                                                              \
		number, TEXT_STATIC(#number)                                                                           \
	}
#define NAMED_NOTHING                                                                                                  \
	{                                                                                                              \
		0                                                                                                      \
	}

static const struct named modes[] = {NAMED(S_IXOTH), NAMED(S_IWOTH), NAMED(S_IROTH), NAMED(S_IXGRP), NAMED(S_IWGRP),
	NAMED(S_IRGRP), NAMED(S_IXUSR), NAMED(S_IWUSR), NAMED(S_IRUSR), NAMED(S_ISVTX), NAMED(S_ISGID), NAMED(S_ISUID),
	NAMED_NOTHING};

static const struct named clones[] = {NAMED(CLONE_FILES), NAMED(CLONE_FS), NAMED(CLONE_SYSVSEM), NAMED(CLONE_THREAD),
	NAMED(CLONE_VM), NAMED(CLONE_SIGHAND), NAMED(CLONE_NEWNS), NAMED(CLONE_NEWCGROUP), NAMED(CLONE_NEWUTS),
	NAMED(CLONE_NEWIPC), NAMED(CLONE_NEWUSER), NAMED(CLONE_NEWPID), NAMED(CLONE_NEWNET),
	{0x80, TEXT_STATIC("CLONE_NEWTIME")}, NAMED_NOTHING};

static const struct named mounts[] = {{MS_RDONLY, TEXT_STATIC("RDONLY")}, {MS_NOSUID, TEXT_STATIC("NOSUID")},
	{MS_NODEV, TEXT_STATIC("NODEV")}, {MS_NOEXEC, TEXT_STATIC("NOEXEC")},
	{MS_SYNCHRONOUS, TEXT_STATIC("SYNCHRONOUS")}, {MS_REMOUNT, TEXT_STATIC("REMOUNT")},
	{MS_MANDLOCK, TEXT_STATIC("MANDLOCK")}, {MS_DIRSYNC, TEXT_STATIC("DIRSYNC")},
	{MS_NOATIME, TEXT_STATIC("NOATIME")}, {MS_NODIRATIME, TEXT_STATIC("NODIRATIME")},
	{MS_BIND, TEXT_STATIC("BIND")}, {MS_MOVE, TEXT_STATIC("MOVE")}, {MS_REC, TEXT_STATIC("REC")},
	{MS_SILENT, TEXT_STATIC("SILENT")}, {MS_UNBINDABLE, TEXT_STATIC("UNBINDABLE")},
	{MS_PRIVATE, TEXT_STATIC("PRIVATE")}, {MS_SLAVE, TEXT_STATIC("SLAVE")}, {MS_SHARED, TEXT_STATIC("SHARED")},
	{MS_RELATIME, TEXT_STATIC("RELATIME")}, {MS_STRICTATIME, TEXT_STATIC("STRICTATIME")}, NAMED_NOTHING};

static const struct named renames[] = {{1, TEXT_STATIC("RENAME_NOREPLACE")}, {2, TEXT_STATIC("RENAME_EXCHANGE")},
	{4, TEXT_STATIC("RENAME_WHITEOUT")}, NAMED_NOTHING};
static const struct named unlinks[] = {NAMED(AT_REMOVEDIR), NAMED_NOTHING};
static const struct named execs[] = {
	{1, TEXT_STATIC("EXE_UPPER_LAYER")}, {2, TEXT_STATIC("EXE_FROM_MEMFD")}, NAMED_NOTHING};

static const struct named *const flags[] = {
	[FLAGS_MODE] = modes,
	[FLAGS_CLONE] = clones,
	[FLAGS_MOUNT] = mounts,
	[FLAGS_RENAME] = renames,
	[FLAGS_UNLINK] = unlinks,
	[FLAGS_EXEC] = execs,
};

/* Names as they come, with something between. */
struct joining {
	struct field_text text;
	char between;
	bool some;
};

static void join(void *context, const char *name)
{
	struct joining *joining = context;

	if (joining->some)
		field_text_byte(&joining->text, joining->between);
	joining->some = true;
	field_text_add(&joining->text, text_of(name));
}

struct text field_flags(struct extraction *extraction, enum field_flags which, uint64_t bits)
{
	struct joining joining = {.text = field_text_begin(extraction), .between = '|'};

	if (which == FLAGS_OPEN)
		name_open_flags((uint32_t)bits, join, &joining);
	else
		for (const struct named *flag = flags[which]; flag->name.data; flag++)
			if (bits & flag->number)
				join(&joining, flag->name.data);
	if (!joining.some)
		field_text_byte(&joining.text, '0');
	return field_text_end(&joining.text);
}

struct text field_capabilities(struct extraction *extraction, uint64_t set)
{
	struct joining joining = {.text = field_text_begin(extraction), .between = ' '};

	name_capabilities(set, join, &joining);
	return field_text_end(&joining.text);
}

static struct text find(const struct named *names, uint64_t number)
{
	for (; names->name.data; names++)
		if (names->number == number)
			return names->name;
	return (struct text){0};
}

struct text field_ptrace_request(uint64_t request)
{
	static const struct named requests[] = {{0, TEXT_STATIC("PTRACE_TRACEME")}, {1, TEXT_STATIC("PTRACE_PEEKTEXT")},
		{2, TEXT_STATIC("PTRACE_PEEKDATA")}, {3, TEXT_STATIC("PTRACE_PEEKUSR")},
		{4, TEXT_STATIC("PTRACE_POKETEXT")}, {5, TEXT_STATIC("PTRACE_POKEDATA")},
		{6, TEXT_STATIC("PTRACE_POKEUSR")}, {7, TEXT_STATIC("PTRACE_CONT")}, {8, TEXT_STATIC("PTRACE_KILL")},
		{9, TEXT_STATIC("PTRACE_SINGLESTEP")}, {12, TEXT_STATIC("PTRACE_GETREGS")},
		{13, TEXT_STATIC("PTRACE_SETREGS")}, {14, TEXT_STATIC("PTRACE_GETFPREGS")},
		{15, TEXT_STATIC("PTRACE_SETFPREGS")}, {16, TEXT_STATIC("PTRACE_ATTACH")},
		{17, TEXT_STATIC("PTRACE_DETACH")}, {18, TEXT_STATIC("PTRACE_GETFPXREGS")},
		{19, TEXT_STATIC("PTRACE_SETFPXREGS")}, {21, TEXT_STATIC("PTRACE_OLDSETOPTIONS")},
		{24, TEXT_STATIC("PTRACE_SYSCALL")}, {25, TEXT_STATIC("PTRACE_GET_THREAD_AREA")},
		{26, TEXT_STATIC("PTRACE_SET_THREAD_AREA")}, {30, TEXT_STATIC("PTRACE_ARCH_PRCTL")},
		{31, TEXT_STATIC("PTRACE_SYSEMU")}, {32, TEXT_STATIC("PTRACE_SYSEMU_SINGLESTEP")},
		{33, TEXT_STATIC("PTRACE_SINGLEBLOCK")}, {0x4200, TEXT_STATIC("PTRACE_SETOPTIONS")},
		{0x4201, TEXT_STATIC("PTRACE_GETEVENTMSG")}, {0x4202, TEXT_STATIC("PTRACE_GETSIGINFO")},
		{0x4203, TEXT_STATIC("PTRACE_SETSIGINFO")}, {0x4204, TEXT_STATIC("PTRACE_GETREGSET")},
		{0x4205, TEXT_STATIC("PTRACE_SETREGSET")}, {0x4206, TEXT_STATIC("PTRACE_SEIZE")},
		{0x4207, TEXT_STATIC("PTRACE_INTERRUPT")}, {0x4208, TEXT_STATIC("PTRACE_LISTEN")},
		{0x4209, TEXT_STATIC("PTRACE_PEEKSIGINFO")}, {0x420a, TEXT_STATIC("PTRACE_GETSIGMASK")},
		{0x420b, TEXT_STATIC("PTRACE_SETSIGMASK")}, NAMED_NOTHING};

	return find(requests, request);
}

struct text field_bpf_command(uint64_t command)
{
	static const struct text commands[] = {TEXT_STATIC("BPF_MAP_CREATE"), TEXT_STATIC("BPF_MAP_LOOKUP_ELEM"),
		TEXT_STATIC("BPF_MAP_UPDATE_ELEM"), TEXT_STATIC("BPF_MAP_DELETE_ELEM"),
		TEXT_STATIC("BPF_MAP_GET_NEXT_KEY"), TEXT_STATIC("BPF_PROG_LOAD"), TEXT_STATIC("BPF_OBJ_PIN"),
		TEXT_STATIC("BPF_OBJ_GET"), TEXT_STATIC("BPF_PROG_ATTACH"), TEXT_STATIC("BPF_PROG_DETACH"),
		TEXT_STATIC("BPF_PROG_TEST_RUN"), TEXT_STATIC("BPF_PROG_GET_NEXT_ID"),
		TEXT_STATIC("BPF_MAP_GET_NEXT_ID"), TEXT_STATIC("BPF_PROG_GET_FD_BY_ID"),
		TEXT_STATIC("BPF_MAP_GET_FD_BY_ID"), TEXT_STATIC("BPF_OBJ_GET_INFO_BY_FD"),
		TEXT_STATIC("BPF_PROG_QUERY"), TEXT_STATIC("BPF_RAW_TRACEPOINT_OPEN"), TEXT_STATIC("BPF_BTF_LOAD"),
		TEXT_STATIC("BPF_BTF_GET_FD_BY_ID"), TEXT_STATIC("BPF_TASK_FD_QUERY"),
		TEXT_STATIC("BPF_MAP_LOOKUP_AND_DELETE_ELEM"), TEXT_STATIC("BPF_MAP_FREEZE"),
		TEXT_STATIC("BPF_BTF_GET_NEXT_ID"), TEXT_STATIC("BPF_MAP_LOOKUP_BATCH"),
		TEXT_STATIC("BPF_MAP_LOOKUP_AND_DELETE_BATCH"), TEXT_STATIC("BPF_MAP_UPDATE_BATCH"),
		TEXT_STATIC("BPF_MAP_DELETE_BATCH"), TEXT_STATIC("BPF_LINK_CREATE"), TEXT_STATIC("BPF_LINK_UPDATE"),
		TEXT_STATIC("BPF_LINK_GET_FD_BY_ID"), TEXT_STATIC("BPF_LINK_GET_NEXT_ID"),
		TEXT_STATIC("BPF_ENABLE_STATS"), TEXT_STATIC("BPF_ITER_CREATE"), TEXT_STATIC("BPF_LINK_DETACH"),
		TEXT_STATIC("BPF_PROG_BIND_MAP"), TEXT_STATIC("BPF_TOKEN_CREATE")};

	return command < sizeof(commands) / sizeof(commands[0]) ? commands[command] : (struct text){0};
}

struct text field_socket_domain(uint32_t family)
{
	static const struct named families[] = {NAMED(AF_UNSPEC), NAMED(AF_UNIX), NAMED(AF_INET), NAMED(AF_AX25),
		NAMED(AF_IPX), NAMED(AF_APPLETALK), NAMED(AF_NETROM), NAMED(AF_BRIDGE), NAMED(AF_ATMPVC), NAMED(AF_X25),
		NAMED(AF_INET6), NAMED(AF_ROSE), NAMED(AF_DECnet), NAMED(AF_NETBEUI), NAMED(AF_SECURITY), NAMED(AF_KEY),
		NAMED(AF_NETLINK), NAMED(AF_PACKET), NAMED(AF_ASH), NAMED(AF_ECONET), NAMED(AF_ATMSVC), NAMED(AF_RDS),
		NAMED(AF_SNA), NAMED(AF_IRDA), NAMED(AF_PPPOX), NAMED(AF_WANPIPE), NAMED(AF_LLC), NAMED(AF_CAN),
		NAMED(AF_TIPC), NAMED(AF_BLUETOOTH), NAMED(AF_IUCV), NAMED(AF_RXRPC), NAMED(AF_ISDN), NAMED(AF_PHONET),
		NAMED(AF_IEEE802154), NAMED(AF_CAIF), NAMED(AF_ALG), NAMED(AF_NFC), NAMED(AF_VSOCK), NAMED(AF_KCM),
		NAMED(AF_QIPCRTR), NAMED(AF_SMC), NAMED(AF_XDP), NAMED_NOTHING};

	return find(families, family);
}
