/* SPDX-License-Identifier: Apache-2.0 */
/* The part of kernel_event.h that numbers system calls. */
#ifndef TAFFRAIL_KERNEL_CALL_H
#define TAFFRAIL_KERNEL_CALL_H

/*
 * System calls, each with one number on all architectures and in both tables: those of enum event_call. Append only.
 *   CALL(NAME, number)
 */
#define KERNEL_CALLS(CALL)                                                                                             \
	CALL(EXECVE, 1)                                                                                                \
	CALL(EXECVEAT, 2)                                                                                              \
	CALL(OPEN, 3)                                                                                                  \
	CALL(OPENAT, 4)                                                                                                \
	CALL(OPENAT2, 5)                                                                                               \
	CALL(CREAT, 6)                                                                                                 \
	CALL(OPEN_BY_HANDLE_AT, 7)                                                                                     \
	CALL(CONNECT, 8)                                                                                               \
	CALL(ACCEPT, 9)                                                                                                \
	CALL(ACCEPT4, 10)                                                                                              \
	CALL(LISTEN, 11)                                                                                               \
	CALL(SOCKET, 12)                                                                                               \
	CALL(SENDTO, 13)                                                                                               \
	CALL(SENDMSG, 14)                                                                                              \
	CALL(SENDMMSG, 15)                                                                                             \
	CALL(RECVFROM, 16)                                                                                             \
	CALL(RECVMSG, 17)                                                                                              \
	CALL(RECVMMSG, 18)                                                                                             \
	CALL(LINK, 19)                                                                                                 \
	CALL(LINKAT, 20)                                                                                               \
	CALL(SYMLINK, 21)                                                                                              \
	CALL(SYMLINKAT, 22)                                                                                            \
	CALL(UNLINK, 23)                                                                                               \
	CALL(UNLINKAT, 24)                                                                                             \
	CALL(RMDIR, 25)                                                                                                \
	CALL(RENAME, 26)                                                                                               \
	CALL(RENAMEAT, 27)                                                                                             \
	CALL(RENAMEAT2, 28)                                                                                            \
	CALL(CHMOD, 29)                                                                                                \
	CALL(FCHMOD, 30)                                                                                               \
	CALL(FCHMODAT, 31)                                                                                             \
	CALL(FCHMODAT2, 32)                                                                                            \
	CALL(MKDIR, 33)                                                                                                \
	CALL(MKDIRAT, 34)                                                                                              \
	CALL(DUP, 35)                                                                                                  \
	CALL(DUP2, 36)                                                                                                 \
	CALL(DUP3, 37)                                                                                                 \
	CALL(PTRACE, 38)                                                                                               \
	CALL(SETUID, 39)                                                                                               \
	CALL(SETGID, 40)                                                                                               \
	CALL(SETREUID, 41)                                                                                             \
	CALL(SETREGID, 42)                                                                                             \
	CALL(SETRESUID, 43)                                                                                            \
	CALL(SETRESGID, 44)                                                                                            \
	CALL(SETFSUID, 45)                                                                                             \
	CALL(SETFSGID, 46)                                                                                             \
	CALL(SETNS, 47)                                                                                                \
	CALL(UNSHARE, 48)                                                                                              \
	CALL(BPF, 49)                                                                                                  \
	CALL(INIT_MODULE, 50)                                                                                          \
	CALL(FINIT_MODULE, 51)                                                                                         \
	CALL(USERFAULTFD, 52)                                                                                          \
	CALL(MOUNT, 53)                                                                                                \
	CALL(UMOUNT, 54)                                                                                               \
	CALL(MOVE_MOUNT, 55)

enum kernel_call {
	KERNEL_CALL_NONE = 0, /* not known, or none */
#define CALL(name, number) KERNEL_CALL_##name = number,
	KERNEL_CALLS(CALL)
#undef CALL
		KERNEL_CALLS_END, /* below 63: sets of calls are a word, with a bit for what stands below */
};

/* In a set of calls that are wanted: those that receive tell all that is received, and with it what it was. */
#define KERNEL_WANT_DATA (1ull << 63)

/* The calls of no kind that is told always: from recvfrom on. */
#define KERNEL_CALLS_BY_NEED (~KERNEL_WANT_DATA & ~0ull << KERNEL_CALL_RECVFROM)

#endif
