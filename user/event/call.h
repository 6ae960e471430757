/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls by which events happen. What event.h says of them knows events, too. */
#ifndef TAFFRAIL_EVENT_CALL_H
#define TAFFRAIL_EVENT_CALL_H

/*
 * The system call by which it happened: what rules call evt.type. Append only.
 *   CALL(NAME, number, "name")
 */
#define EVENT_CALLS(CALL)                                                                                              \
	CALL(EXECVE, 1, "execve")                                                                                      \
	CALL(EXECVEAT, 2, "execveat")                                                                                  \
	CALL(OPEN, 3, "open")                                                                                          \
	CALL(OPENAT, 4, "openat")                                                                                      \
	CALL(OPENAT2, 5, "openat2")                                                                                    \
	CALL(CREAT, 6, "creat")                                                                                        \
	CALL(OPEN_BY_HANDLE_AT, 7, "open_by_handle_at")                                                                \
	CALL(CONNECT, 8, "connect")                                                                                    \
	CALL(ACCEPT, 9, "accept")                                                                                      \
	CALL(ACCEPT4, 10, "accept4")                                                                                   \
	CALL(LISTEN, 11, "listen")                                                                                     \
	CALL(SOCKET, 12, "socket")                                                                                     \
	CALL(SENDTO, 13, "sendto")                                                                                     \
	CALL(SENDMSG, 14, "sendmsg")                                                                                   \
	CALL(SENDMMSG, 15, "sendmmsg")                                                                                 \
	CALL(RECVFROM, 16, "recvfrom")                                                                                 \
	CALL(RECVMSG, 17, "recvmsg")                                                                                   \
	CALL(RECVMMSG, 18, "recvmmsg")                                                                                 \
	CALL(LINK, 19, "link")                                                                                         \
	CALL(LINKAT, 20, "linkat")                                                                                     \
	CALL(SYMLINK, 21, "symlink")                                                                                   \
	CALL(SYMLINKAT, 22, "symlinkat")                                                                               \
	CALL(UNLINK, 23, "unlink")                                                                                     \
	CALL(UNLINKAT, 24, "unlinkat")                                                                                 \
	CALL(RMDIR, 25, "rmdir")                                                                                       \
	CALL(RENAME, 26, "rename")                                                                                     \
	CALL(RENAMEAT, 27, "renameat")                                                                                 \
	CALL(RENAMEAT2, 28, "renameat2")                                                                               \
	CALL(CHMOD, 29, "chmod")                                                                                       \
	CALL(FCHMOD, 30, "fchmod")                                                                                     \
	CALL(FCHMODAT, 31, "fchmodat")                                                                                 \
	CALL(FCHMODAT2, 32, "fchmodat2")                                                                               \
	CALL(MKDIR, 33, "mkdir")                                                                                       \
	CALL(MKDIRAT, 34, "mkdirat")                                                                                   \
	CALL(DUP, 35, "dup")                                                                                           \
	CALL(DUP2, 36, "dup2")                                                                                         \
	CALL(DUP3, 37, "dup3")                                                                                         \
	CALL(PTRACE, 38, "ptrace")                                                                                     \
	CALL(SETUID, 39, "setuid")                                                                                     \
	CALL(SETGID, 40, "setgid")                                                                                     \
	CALL(SETREUID, 41, "setreuid")                                                                                 \
	CALL(SETREGID, 42, "setregid")                                                                                 \
	CALL(SETRESUID, 43, "setresuid")                                                                               \
	CALL(SETRESGID, 44, "setresgid")                                                                               \
	CALL(SETFSUID, 45, "setfsuid")                                                                                 \
	CALL(SETFSGID, 46, "setfsgid")                                                                                 \
	CALL(SETNS, 47, "setns")                                                                                       \
	CALL(UNSHARE, 48, "unshare")                                                                                   \
	CALL(BPF, 49, "bpf")                                                                                           \
	CALL(INIT_MODULE, 50, "init_module")                                                                           \
	CALL(FINIT_MODULE, 51, "finit_module")                                                                         \
	CALL(USERFAULTFD, 52, "userfaultfd")                                                                           \
	CALL(MOUNT, 53, "mount")                                                                                       \
	CALL(UMOUNT, 54, "umount2")                                                                                    \
	CALL(MOVE_MOUNT, 55, "move_mount")

enum event_call {
	EVENT_CALL_NONE = 0, /* not known, or none: an event's usual call is event_call_of */
#define CALL(name, number, text) EVENT_CALL_##name = number,
	EVENT_CALLS(CALL)
#undef CALL
		EVENT_CALLS_END,
};

#endif
