/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records that the BPF programs write into the rings: the only contract between kernel and user space, and the only
 * file of bpf/ that user space includes (kernel_call.h is a part of it).
 *
 * Every record is one of the structs below, starts with a kernel_header, and is followed by its strings, which it names
 * by offset from the record's first byte. Numbers are in the machine's byte order, addresses and ports in network order
 * where a name says _be. Times are CLOCK_BOOTTIME in nanoseconds. Pids are those of the initial pid namespace, user and
 * group ids those of the initial user namespace, unless a name says otherwise.
 *
 * Sizes and offsets are asserted at the end; the BPF compiler and the user-space compiler both check them.
 */
#ifndef TAFFRAIL_KERNEL_EVENT_H
#define TAFFRAIL_KERNEL_EVENT_H

#include <linux/types.h>

#include "bpf/kernel_call.h"

/*
 * Kinds of records. Append only: a number is never used again, for recordings outlive the build that made them.
 *   KIND(NAME, number, "name", ring)
 */
#define KERNEL_KINDS(KIND)                                                                                             \
	KIND(EXEC, 1, "exec", KERNEL_RING_CRITICAL)                                                                    \
	KIND(EXEC_FAILED, 2, "exec", KERNEL_RING_CRITICAL)                                                             \
	KIND(FORK, 3, "fork", KERNEL_RING_CRITICAL)                                                                    \
	KIND(EXIT, 4, "end", KERNEL_RING_CRITICAL)                                                                     \
	KIND(OPEN, 5, "open", KERNEL_RING_BULK)                                                                        \
	KIND(CONNECT, 6, "connection_attempted", KERNEL_RING_CRITICAL)                                                 \
	KIND(CONNECT_DONE, 7, "connection_attempted", KERNEL_RING_CRITICAL)                                            \
	KIND(ACCEPT, 8, "connection_accepted", KERNEL_RING_CRITICAL)                                                   \
	KIND(LISTEN, 9, "listen", KERNEL_RING_CRITICAL)                                                                \
	KIND(SEND, 10, "send", KERNEL_RING_CRITICAL)                                                                   \
	KIND(DISCONNECT, 11, "disconnect_received", KERNEL_RING_CRITICAL)                                              \
	KIND(PROCESS, 12, "process", KERNEL_RING_CRITICAL)                                                             \
	KIND(SOCKET, 14, "socket", KERNEL_RING_CRITICAL)                                                               \
	KIND(TAMPER, 15, "tamper", KERNEL_RING_CRITICAL)                                                               \
	KIND(CGROUP_LEFT, 16, "cgroup_left", KERNEL_RING_CRITICAL)                                                     \
	KIND(NESTED, 17, "nested", KERNEL_RING_CRITICAL)                                                               \
	KIND(LINK, 18, "link", KERNEL_RING_BULK)                                                                       \
	KIND(SYMLINK, 19, "symlink", KERNEL_RING_BULK)                                                                 \
	KIND(UNLINK, 20, "unlink", KERNEL_RING_BULK)                                                                   \
	KIND(RMDIR, 21, "rmdir", KERNEL_RING_BULK)                                                                     \
	KIND(RENAME, 22, "rename", KERNEL_RING_BULK)                                                                   \
	KIND(CHMOD, 23, "chmod", KERNEL_RING_BULK)                                                                     \
	KIND(MKDIR, 24, "mkdir", KERNEL_RING_BULK)                                                                     \
	KIND(DUP, 25, "dup", KERNEL_RING_BULK)                                                                         \
	KIND(PTRACE, 26, "ptrace", KERNEL_RING_CRITICAL)                                                               \
	KIND(SETUID, 27, "setuid", KERNEL_RING_CRITICAL)                                                               \
	KIND(SETNS, 28, "setns", KERNEL_RING_CRITICAL)                                                                 \
	KIND(UNSHARE, 29, "unshare", KERNEL_RING_CRITICAL)                                                             \
	KIND(BPF, 30, "bpf", KERNEL_RING_CRITICAL)                                                                     \
	KIND(MODULE, 31, "module", KERNEL_RING_CRITICAL)                                                               \
	KIND(USERFAULTFD, 32, "userfaultfd", KERNEL_RING_CRITICAL)                                                     \
	KIND(MOUNT, 33, "mount", KERNEL_RING_CRITICAL)                                                                 \
	KIND(RECEIVE, 34, "receive", KERNEL_RING_BULK)                                                                 \
	KIND(CONNECT_RETURNED, 35, "connection_attempted", KERNEL_RING_CRITICAL)                                       \
	KIND(FLOW, 36, "flow", KERNEL_RING_BULK)                                                                       \
	KIND(SAMPLE, 37, "sample", KERNEL_RING_BULK)                                                                   \
	KIND(ANSWER, 38, "dns", KERNEL_RING_CRITICAL)

enum kernel_ring {
	KERNEL_RING_CRITICAL = 0, /* what must never be lost */
	KERNEL_RING_BULK = 1,     /* what may come in floods: opens */
	KERNEL_RINGS = 2,
};

enum kernel_kind {
#define KIND(name, number, text, ring) KERNEL_##name = number,
	KERNEL_KINDS(KIND)
#undef KIND
		KERNEL_KINDS_END, /* one past the last */
};

enum {
	KERNEL_NAME_SIZE = 16,         /* TASK_COMM_LEN, with its NUL */
	KERNEL_CONTAINER_ID_SIZE = 32, /* 64 hexadecimal digits as bytes */
	KERNEL_PATH_MAX = 4096,        /* longest path carried; a longer one keeps its tail */
	KERNEL_ARGS_MAX = 32768,       /* longest argument block carried */
	KERNEL_ENVIRONMENT_MAX = 8192,
	KERNEL_ANCESTORS = 8,
	KERNEL_UNIX_NAME_MAX = 108,     /* sun_path */
	KERNEL_DATA_MAX = 80,           /* bytes of what was received */
	KERNEL_SAMPLE_BYTES = 64,       /* first bytes of a message that are sampled … */
	KERNEL_SAMPLE_NAME_BYTES = 512, /* … on the port of DNS, and of a TLS ClientHello */
	KERNEL_PORT_NAMES = 53,
	KERNEL_RECORD_MAX = 65536,
	KERNEL_LOSS_KINDS = 64, /* room of the loss counters, indexed by kind */
	KERNEL_LANES = 4,       /* lanes of numbers that a CPU has before Linux 5.17; after it, one */
	KERNEL_LANE_SHIFT = 13, /* the lane, above the CPU's number */
};

/* A string of a record: bytes, not NUL-terminated, at `offset` from the record's start. length 0: absent. */
struct kernel_string {
	__u16 offset;
	__u16 length;
};

/* kernel_header.flags */
enum {
	KERNEL_IN_CONTAINER = 1 << 0, /* container_id is set */
	KERNEL_CGROUP_V1 = 1 << 1,    /* cgroup_id is of a v1 hierarchy */
	KERNEL_COMPAT = 1 << 2,       /* a 32-bit system call */
	KERNEL_NO_PROCESS = 1 << 3,   /* the process is not known: a socket older than the sensor */
	KERNEL_CANARY = 1 << 4,       /* of the sensor's own canary: proof that the hooks see, no event */
	KERNEL_URING = 1 << 5,        /* asked for through io_uring */
};

/* kernel_header.marks */
enum {
	KERNEL_SETUP = 1 << 0, /* the container runtime's own, on its way into the container */
	KERNEL_LEFT_CGROUP =
		1 << 1,            /* the container is the one it was in before; its cgroup is another's or nobody's */
	KERNEL_IN_NESTED = 1 << 2, /* a cgroup inside the container's is named like one too: NESTED told which */
	KERNEL_ASKED = 1 << 3,     /* told only because somebody asked for it: an ordinary socket */
	KERNEL_RULES_ALONE = 1 << 4, /* told for its data alone: rules see it, nobody records it */
};

/*
 * What every record starts with. (tgid, start_ns) names a process, exec_counter its image: the rings arrive out of
 * order, and an open must not join the wrong image.
 * For FORK they are the child's; for network records those of the process that made the call, kept with the socket.
 */
struct kernel_header {
	__u16 kind;
	__u16 cpu;      /* with the lane of its numbers above KERNEL_LANE_SHIFT */
	__u32 size;     /* of the whole record, strings included */
	__u64 sequence; /* per CPU, lane and ring, from 1; a number that does not arrive is a lost record */
	__u64 time_ns;  /* when it happened */
	__u64 start_ns; /* task_struct.start_boottime of the thread group's leader */
	__u32 tgid;
	__u32 tid;
	__u32 exec_counter; /* task_struct.self_exec_id, its low 32 bits */
	__u8 ring;
	__u8 flags;
	__u8 marks;
	__u8 call; /* enum kernel_call: by which it was done */
	__u64 cgroup_id;
	__u8 container_id[KERNEL_CONTAINER_ID_SIZE];
};

/* kernel_exec.executable_flags */
enum {
	KERNEL_EXE_UPPER = 1 << 0,     /* overlayfs: the file is in the upper layer, not in the image */
	KERNEL_EXE_COPIED_UP = 1 << 1, /* overlayfs: from the image, changed since (also by chmod) */
	KERNEL_EXE_MEMFD = 1 << 2,
	KERNEL_EXE_DELETED = 1 << 3,
	KERNEL_EXE_FOREIGN = 1 << 4, /* of another mount namespace, or a detached mount */
};

/* What descriptors 0 to 2 are at exec. */
enum kernel_fd_type {
	KERNEL_FD_CLOSED = 0,
	KERNEL_FD_FILE = 1,
	KERNEL_FD_DIRECTORY = 2,
	KERNEL_FD_CHAR = 3,
	KERNEL_FD_BLOCK = 4,
	KERNEL_FD_PIPE = 5,
	KERNEL_FD_UNIX = 6,
	KERNEL_FD_INET = 7,
	KERNEL_FD_SOCKET = 8, /* of another family */
	KERNEL_FD_OTHER = 9,
};

/* Fields of a record that were cut: bits of `truncated`. */
enum {
	KERNEL_CUT_ARGS = 1 << 0,
	KERNEL_CUT_ENVIRONMENT = 1 << 1,
	KERNEL_CUT_PATH = 1 << 2,      /* executable, or the file's path: its tail is kept */
	KERNEL_CUT_ARGUMENT = 1 << 3,  /* a path as the program gave it */
	KERNEL_CUT_DIRECTORY = 1 << 4, /* working directory, or what a relative path starts from */
	KERNEL_CUT_ANCESTORS = 1 << 5, /* there are more than KERNEL_ANCESTORS */
	KERNEL_CUT_NEW = 1 << 6,       /* new_argument or new_directory */
};

struct kernel_ancestor {
	__u64 start_ns;
	__u32 tgid;
	__u32 exec_counter;
	__u8 in_container; /* in any container */
	__u8 zero[3];
	struct kernel_string executable;
	char name[KERNEL_NAME_SIZE];
};

/*
 * EXEC: a successful exec; the credentials are those after it.
 * PROCESS: a process that is there already, told by the task iterator on request and never through a ring: the same
 * layout, without args and environment, which only the process itself may read in a program.
 */
struct kernel_exec {
	struct kernel_header header;
	__u32 vpid;    /* pid in the process's own pid namespace */
	__u32 old_tid; /* thread that called exec: not tgid when it was no leader */
	__u32 uid, gid, euid, egid;
	__u32 login_uid; /* 4294967295: not set */
	__u32 session;   /* audit session id, 4294967295: not set */
	__u32 sid, pgid; /* process session and group leader */
	__u64 cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	__u64 inode;              /* of the executable */
	__u64 ctime_ns, mtime_ns; /* of it, Unix time; before 1970: 0 */
	__u64 namespace_ns;       /* when the first process of its pid namespace began, boot time; 0: it has ended */
	__u32 device;             /* of its file system: major << 20 | minor */
	__u32 mode;
	__u16 tty_major, tty_minor; /* both 0: no controlling terminal */
	__u32 args_count;           /* arguments that the program was given; PROCESS: 0 */
	__u32 args_size;            /* bytes of the whole argument block, carried or not */
	__u16 truncated;
	__u8 executable_flags;
	__u8 ancestor_count;
	__u8 fd_types[3]; /* enum kernel_fd_type */
	__u8 zero[5];
	char name[KERNEL_NAME_SIZE];
	struct kernel_string executable; /* the file that was mapped; for a script its interpreter */
	struct kernel_string filename;   /* as given; for a script the script, with its path if given by descriptor */
	struct kernel_string interp;     /* bprm->interp: differs from filename for a script */
	struct kernel_string cwd;
	struct kernel_string args;        /* claimed: user memory. NUL-separated */
	struct kernel_string environment; /* claimed; only when asked for */
	struct kernel_string tty;         /* its name: pts0 */
	struct kernel_string reserved;
	struct kernel_ancestor ancestors[KERNEL_ANCESTORS]; /* parent first */
};

struct kernel_exec_failed {
	struct kernel_header header;
	__s32 result; /* -errno */
	__u16 truncated;
	__u16 zero;
	struct kernel_string argument;  /* claimed: the path as given */
	struct kernel_string directory; /* what a relative path starts from */
};

/* A new process (not a thread). The header is the child's. */
struct kernel_fork {
	struct kernel_header header;
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 parent_exec_counter;
	__u32 vpid;
	__u32 uid, gid, euid, egid;
	__u32 sid, pgid;
	__u8 parent_in_container; /* the same container as the child's */
	__u8 zero[3];
	char name[KERNEL_NAME_SIZE];
};

/* The last thread of a process has ended. */
struct kernel_exit {
	struct kernel_header header;
	__s32 status; /* as wait(2) gives it: code << 8 | signal | 0x80 for a core dump */
	__u32 zero;
};

/* kernel_open.file_flags */
enum {
	KERNEL_FILE_CREATED = 1 << 0, /* the kernel made the file in this open: FMODE_CREATED */
	KERNEL_FILE_FOREIGN = 1 << 1, /* of another mount namespace, or a detached mount */
	KERNEL_FILE_DELETED = 1 << 2,
	KERNEL_FILE_UPPER = 1 << 3,
	KERNEL_FILE_COPIED_UP = 1 << 4,
	KERNEL_FILE_UNSURE = 1 << 5,  /* the descriptor may have been replaced before the hook looked */
	KERNEL_FILE_UNKNOWN = 1 << 6, /* io_uring: it was asked for, and nothing tells what came of it */
	KERNEL_FILE_EXACT = 1 << 7,   /* io_uring: seen as it was opened, not behind a descriptor later */
};

struct kernel_open {
	struct kernel_header header;
	__s32 result; /* the descriptor, or -errno */
	__u32 flags;  /* O_*, as given and as the file has them */
	__u64 inode;
	__u32 device;
	__u32 mode;         /* the file's, as stat(2) gives it */
	__u32 created_mode; /* the mode argument, where O_CREAT or O_TMPFILE was given */
	__u32 count;        /* opens that this record stands for: 1, or more in what user space makes of repeats */
	__u64 repeat; /* equal opens that follow are counted under this number (struct kernel_repeats); 0: they are not */
	__u16 truncated;
	__u8 file_flags;
	__u8 zero;
	struct kernel_string path;     /* the kernel's; absent if the open failed */
	struct kernel_string argument; /* claimed: as given */
	struct kernel_string
		directory; /* what a relative path starts from: if it failed, by io_uring, or if asked for */
};

struct kernel_address {
	__u8 bytes[16]; /* IPv4: the first 4; vsock: context id and port, 4 each, in the machine's order */
};

/* The two ends of a socket; `local` is this process's own side. */
struct kernel_tuple {
	_Alignas(4) __u16 family; /* AF_INET, AF_INET6, AF_UNIX, AF_VSOCK, AF_PACKET; a v4-mapped address is AF_INET */
	__u16 protocol; /* IPPROTO_TCP, … ; of a raw send the packet's own; AF_PACKET: an Ethernet type, big endian */
	__u16 type;     /* SOCK_STREAM, … */
	__u16 zero;
	struct kernel_address local, remote;
	__u16 local_port_be, remote_port_be;
};

/*
 * CONNECT: the kernel was asked to connect; its outcome follows as CONNECT_DONE with the same `connection`.
 * CONNECT_DONE alone: it failed before a CONNECT, or the socket is not an inet one (unix: one record, outcome known).
 * LISTEN, ACCEPT, SEND (first datagram or raw packet to a peer), RECEIVE (the first from a peer): one record each.
 * CONNECT_RETURNED: what the call returned, while its outcome may be open still; beside the two others, if asked for.
 */
struct kernel_network {
	struct kernel_header header;
	__u64 connection;    /* socket cookie or address, unique while the socket lives; 0: none */
	__s32 result;        /* 0, -errno, or for ACCEPT the new descriptor */
	__u8 result_unknown; /* CONNECT_DONE: the program gave up first; io_uring: nothing tells the outcome */
	__u8 connected;      /* RECEIVE: the socket has a peer … */
	__u8 client;         /* … and this process's side is the client */
	__u8 zero;
	struct kernel_tuple tuple;
	__u32 descriptor;               /* of the socket, plus 1; 0: not known */
	__u32 interface;                /* AF_PACKET: index of the network device */
	struct kernel_string unix_name; /* sun_path; an abstract name starts with a NUL byte */
};

/* RECEIVE. With KERNEL_RULES_ALONE also what is not the first from its peer, and what came by a connection. */
struct kernel_received {
	struct kernel_network network;
	struct kernel_string data; /* claimed: its first bytes, where they are wanted */
	__u32 zero;
};

/* A socket of a kind that says something by being there (bpf/raw.bpf.c). */
struct kernel_socket {
	struct kernel_header header;
	__s32 result; /* the descriptor, or -errno */
	__u16 family; /* AF_* */
	__u16 type;   /* SOCK_* without its flags */
	__u32 protocol;
	__u8 result_unknown; /* io_uring: nothing tells the outcome */
	__u8 zero[3];
};

/* A TCP connection that had been established has ended. Bytes are payload. */
struct kernel_disconnect {
	struct kernel_header header;
	__u64 connection;
	__u64 established_ns; /* 0: before the sensor's start */
	__u64 bytes_sent, bytes_received;
	__u64 packets_sent, packets_received; /* the kernel counts 32 bits of them; 0: not known */
	__s32 error;                          /* sk_err: 0, or ECONNRESET, ETIMEDOUT, … */
	__u8 accepted;                        /* this process's side is the server */
	__u8 zero[3];
	struct kernel_tuple tuple;
	__u32 zero2;
};

/*
 * FLOW: how far a flow has come, all numbers from its start on: at intervals, and at the end of those that no DISCONNECT
 * ends (datagrams; a connection that nobody accepted, which has no process). Bytes are payload.
 */
struct kernel_flow {
	struct kernel_header header; /* of who connected, bound or sent first */
	__u64 connection;            /* as kernel_network has it; of datagrams a number of the flow's own */
	__u64 start_ns, last_ns;     /* first and last packet; of TCP: established, and now. start_ns 0: not known */
	__u64 bytes_sent, bytes_received;
	__u64 packets_sent, packets_received;
	struct kernel_tuple tuple;
	__s32 error;  /* of TCP, at its end */
	__u8 inbound; /* the remote end opened it */
	__u8 final;
	__u8 zero[6];
};

/*
 * SAMPLE: the first bytes of one of a flow's first messages. It may come before the ACCEPT of its connection.
 * ANSWER: the same of what names a flow, and so must be read before the records of flows that follow it, in their ring: what came
 * from a server of names that this side had opened the flow to; the hello of a client of TLS.
 */
struct kernel_sample {
	struct kernel_header header;
	__u64 connection; /* as kernel_flow has it */
	__u64 start_ns;   /* of the flow */
	struct kernel_tuple tuple;
	__u32 whole; /* bytes that the message had */
	__u8 out;    /* this side sent it */
	__u8 number; /* of its direction, from 0; more than 255 are 255 */
	__u8 inbound;
	__u8 zero;
	struct kernel_string data;
};

/*
 * LINK, SYMLINK, UNLINK, RMDIR, RENAME, CHMOD, MKDIR: names and modes of files; header.call says which call it was. All
 * but `path` is claimed: user memory, read when the call has returned.
 */
struct kernel_change {
	struct kernel_header header;
	__s32 result;
	__u32 flags; /* AT_*, RENAME_* */
	__u64 inode; /* 0: not known */
	__u32 mode;  /* CHMOD, MKDIR: as given */
	__u16 truncated;
	__u16 zero;
	struct kernel_string path;          /* the kernel's, of a descriptor (fchmod) */
	struct kernel_string argument;      /* what is changed or made; LINK, RENAME: the old name */
	struct kernel_string directory;     /* what a relative argument starts from */
	struct kernel_string new_argument;  /* LINK, RENAME */
	struct kernel_string new_directory; /* what that starts from */
	struct kernel_string target;        /* SYMLINK: its text */
};

/*
 * DUP, PTRACE, SETUID, SETNS, UNSHARE, BPF, MODULE, USERFAULTFD, MOUNT: what a process did to its rights, its
 * descriptors, its namespaces, another process, or the kernel.
 */
struct kernel_deed {
	struct kernel_header header;
	__s32 result;
	__u32 descriptor; /* that was made, or that it was about, plus 1; 0: none */
	__u64 request;    /* PTRACE, BPF: the request or command; DUP: the old descriptor; SETNS: CLONE_NEW* */
	__u64 flags;      /* as given */
	__u32 id;         /* SETUID: the kernel's after it, or as given where it failed; 4294967295: unchanged */
	__u32 other;      /* PTRACE: the tracee; as given where the kernel has none of that number */
	__u16 truncated;
	__u8 descriptor_type;           /* DUP: enum kernel_fd_type */
	__u8 accepted;                  /* DUP: of a socket, this process's side is the server */
	struct kernel_string path;      /* DUP, MODULE: of the descriptor; MOUNT of a descriptor: the source's */
	struct kernel_string argument;  /* claimed. MOUNT: where */
	struct kernel_string directory; /* what a relative argument starts from */
	struct kernel_string source;    /* claimed. MOUNT */
	struct kernel_string type;
	struct kernel_string data; /* claimed. MOUNT; MODULE: its parameters */
	char other_name[KERNEL_NAME_SIZE];
	struct kernel_tuple tuple; /* DUP: of a socket */
};

/* What the program at the exit of system calls serves, as far as function hooks do not: bits of its `syscall_spares`. */
enum {
	KERNEL_SYSCALL_OPEN = 1 << 0,
	KERNEL_SYSCALL_HANDLE = 1 << 1, /* open_by_handle_at */
	KERNEL_SYSCALL_EXEC = 1 << 2,   /* one that failed */
	KERNEL_SYSCALL_CONNECT = 1 << 3,
	KERNEL_SYSCALL_ACCEPT = 1 << 4,
	KERNEL_SYSCALL_LISTEN = 1 << 5,
	KERNEL_SYSCALL_SOCKET = 1 << 6,
	KERNEL_SYSCALL_SEND = 1 << 7, /* where no address hook sees it */
};

/* TAMPER: a signal from a container, made for the sensor. The header's process is the sender. */
struct kernel_tamper {
	struct kernel_header header;
	__s32 signal;
	__s32 code;                  /* si_code: SI_USER, SI_TKILL, SI_QUEUE, … */
	char name[KERNEL_NAME_SIZE]; /* the sender's, at this moment */
};

/*
 * CGROUP_LEFT: a process of a container, or a child at its birth, came into a cgroup that is not the container's. The
 * header's process is the one that was moved, its container the one that it stays.
 */
struct kernel_cgroup_left {
	struct kernel_header header;
	__u32 actor_tgid;
	__u8 in_other; /* the new cgroup is another container's */
	__u8 zero[3];
	__u8 other_id[KERNEL_CONTAINER_ID_SIZE];
	char actor_name[KERNEL_NAME_SIZE];
	struct kernel_string path; /* of the new cgroup, from its hierarchy's root */
	__u32 zero2;
};

/* NESTED: the cgroup header.cgroup_id, below the container's own, is named like the container `inner_id`. */
struct kernel_nested {
	struct kernel_header header;
	__u8 inner_id[KERNEL_CONTAINER_ID_SIZE];
};

/* What the BPF side counts, per CPU and lane; user space reads it and owes a record for every difference. */
struct kernel_counters {
	__u64 sequence[KERNEL_RINGS];    /* the last number given out */
	__u64 lost[KERNEL_LOSS_KINDS];   /* records that found their ring full, by kind */
	__u64 unsent[KERNEL_LOSS_KINDS]; /* records that could not be built: no scratch, no map room */
	__u64 lost_repeats;              /* repeats of opens whose own record was lost */
};

/*
 * Repeats of opens. The first open of its kind leaves as a record and claims a word for its number, in one of two places;
 * those that follow only add to it. User space takes the count away, and with it the word, in the shared memory itself:
 * every change of a word, on either side, is one atomic instruction, so no open is counted twice or not at all.
 *
 * A word is 0 while it is free, else the number's upper 40 bits and, below, a count.
 */
enum {
	KERNEL_REPEAT_WORDS = 1 << 14,
	KERNEL_REPEAT_SHIFT = 24, /* bits of the count; what does not fit leaves as a record of its own */
};
#define KERNEL_REPEAT_COUNT ((1ull << KERNEL_REPEAT_SHIFT) - 1)
#define KERNEL_REPEAT_FIRST(number) ((number) & (KERNEL_REPEAT_WORDS - 1))
#define KERNEL_REPEAT_SECOND(number) (((number) >> 10) & (KERNEL_REPEAT_WORDS - 1))

struct kernel_repeats {
	__u64 words[KERNEL_REPEAT_WORDS];
};

/*
 * What is not recorded: rules, each a bit; a record is left out if one rule's conditions all hold. These masks say for
 * each condition's value which rules it satisfies (user/sensor/policy.h compiles them, bpf/policy.h applies them).
 */
enum {
	KERNEL_RULES = 64,
	KERNEL_PREFIX_MAX = 256, /* the longest key of an LPM trie (LPM_DATA_SIZE_MAX) */
};

/* How a file was opened. Each open has one mode. */
enum kernel_mode { KERNEL_MODE_READ = 0, KERNEL_MODE_WRITE = 1, KERNEL_MODE_CREATE = 2, KERNEL_MODES = 3 };

struct kernel_policy {
	__u64 kinds[KERNEL_KINDS_END]; /* that may be left out in the kernel; 0: user space decides */
	__u64 modes[KERNEL_MODES];
	__u64 unnamed;  /* rules for every container; of the others the containers have each a mask */
	__u64 pathless; /* rules without paths */
	__u64 plain;    /* rules without paths and modes */
};

/* The key of the trie of networks whose flows are not sampled. IPv4 is ::ffff:a.b.c.d, its prefixes are longer by 96. */
struct kernel_network_prefix {
	__u32 bits;
	struct kernel_address address;
};

/* The key of the trie of path prefixes; its value are the rules that have this prefix, or one of which it is a part. */
struct kernel_prefix {
	__u32 bits;
	char path[KERNEL_PREFIX_MAX];
};

#define KERNEL_ASSERT(type, bytes) _Static_assert(sizeof(struct type) == (bytes), #type " has another size")
KERNEL_ASSERT(kernel_string, 4);
KERNEL_ASSERT(kernel_header, 88);
KERNEL_ASSERT(kernel_ancestor, 40);
KERNEL_ASSERT(kernel_exec, 88 + 40 + 40 + 40 + 4 + 8 + 4 + 8 + 16 + 32 + 320);
KERNEL_ASSERT(kernel_exec_failed, 104);
KERNEL_ASSERT(kernel_fork, 88 + 16 + 28 + 4 + 16);
KERNEL_ASSERT(kernel_exit, 96);
KERNEL_ASSERT(kernel_open, 88 + 32 + 8 + 4 + 12);
KERNEL_ASSERT(kernel_tuple, 44);
KERNEL_ASSERT(kernel_network, 88 + 16 + 44 + 4 + 8);
KERNEL_ASSERT(kernel_received, 160 + 8);
KERNEL_ASSERT(kernel_disconnect, 88 + 56 + 44 + 4);
KERNEL_ASSERT(kernel_flow, 88 + 56 + 44 + 12);
KERNEL_ASSERT(kernel_sample, 88 + 16 + 44 + 12);
KERNEL_ASSERT(kernel_change, 88 + 16 + 8 + 24);
KERNEL_ASSERT(kernel_deed, 88 + 8 + 16 + 12 + 24 + 16 + 44);
_Static_assert(KERNEL_CALLS_END < 64, "a set of calls is a word, with a bit for KERNEL_WANT_DATA");
KERNEL_ASSERT(kernel_socket, 104);
KERNEL_ASSERT(kernel_tamper, 88 + 8 + 16);
KERNEL_ASSERT(kernel_cgroup_left, 88 + 8 + 32 + 16 + 8);
KERNEL_ASSERT(kernel_nested, 88 + 32);
KERNEL_ASSERT(kernel_counters, 8 * (2 + 64 + 64 + 1));
KERNEL_ASSERT(kernel_repeats, 8 * KERNEL_REPEAT_WORDS);
KERNEL_ASSERT(kernel_policy, 8 * (KERNEL_KINDS_END + 3 + 3));
KERNEL_ASSERT(kernel_prefix, 4 + 256);
KERNEL_ASSERT(kernel_network_prefix, 4 + 16);

#endif
