/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's structures, as far as the programs read them: every field that stands here is a dependency on the
 * kernel, and none that does not. Offsets are those of the running kernel (CO-RE); order and padding mean nothing.
 * Fields that were renamed or moved between kernels are in compat.h.
 */
#ifndef TAFFRAIL_KERNEL_TYPES_H
#define TAFFRAIL_KERNEL_TYPES_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* --- registers of a system call ------------------------------------------------------------------------------------ */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long bx, cx, dx, si, di, bp, r8, r9, r10, ax, orig_ax;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	u64 regs[31];
	u64 orig_x0;
	s32 syscallno;
};
#else
#error "system call registers of this architecture are not known"
#endif

struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};

/* --- files --------------------------------------------------------------------------------------------------------- */
struct qstr {
	u64 hash_len; /* length in the upper half (little endian: len follows hash) */
	u32 len;
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
};

struct inode {
	u16 i_mode;
	unsigned long i_ino;
	struct super_block *i_sb;
	void *i_private;
};

typedef struct {
	u32 sequence;
} seqcount_t;

typedef struct {
	seqcount_t seqcount;
} seqcount_spinlock_t;

struct dentry {
	seqcount_spinlock_t d_seq; /* odd while its name or parent is being changed */
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct mnt_namespace;

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	u32 f_mode;
	u32 f_flags;
	struct inode *f_inode;
	struct path f_path;
	void *private_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

typedef struct {
	int counter;
} atomic_t;

struct files_struct {
	atomic_t count;
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root, pwd;
};

/* --- tasks --------------------------------------------------------------------------------------------------------- */
struct kernfs_node {
	const char *name;
	u64 id;
};

struct cgroup_root {
	int hierarchy_id; /* 0: v2 */
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct cgroup_subsys_state *subsys[16];
};

enum cgroup_subsys_id {
	memory_cgrp_id = 1000, /* the kernel's own values, by bpf_core_enum_value */
	pids_cgrp_id = 1001,
};

struct pid_namespace {
	struct task_struct *child_reaper;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

enum pid_type {
	PIDTYPE_PGID = 1000,
	PIDTYPE_SID = 1001,
};

struct tty_driver {
	int major;
	int minor_start;
};

struct tty_struct {
	int index;
	struct tty_driver *driver;
	char name[64];
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
	struct pid *pids[4];
	struct tty_struct *tty;
};

typedef struct {
	u32 val;
} kuid_t;

typedef struct {
	u32 val;
} kgid_t;

struct cred {
	kuid_t uid, euid, fsuid;
	kgid_t gid, egid, fsgid;
};

struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
	struct file *exe_file;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct proc_ns_operations;

struct ns_common {
	const struct proc_ns_operations *ops;
};

struct list_head {
	struct list_head *next;
};

struct thread_info {
	unsigned long flags;
	u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int pid;
	int tgid;
	int exit_code;
	u64 start_boottime;
	u64 self_exec_id;
	char comm[16];
	kuid_t loginuid;
	unsigned int sessionid;
	const struct cred *cred;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct signal_struct *signal;
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct list_head ptraced, ptrace_entry;
	struct pid *thread_pid;
	struct css_set *cgroups;
};

struct linux_binprm {
	int argc;
	struct file *file;
	const char *filename;
	const char *interp;
	const char *fdpath; /* the filename, where it was made from a descriptor */
};

struct kernel_siginfo {
	int si_code;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	u32 fd;
	struct file *file;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	const void *key; /* NULL at the end */
};

/* --- sockets ------------------------------------------------------------------------------------------------------- */
struct in6_addr {
	struct {
		u8 u6_addr8[16];
	} in6_u;
};

typedef struct {
	s64 counter;
} atomic64_t;

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	int sk_err;
	u16 sk_type;
	u16 sk_protocol;
	struct sock_cgroup_data sk_cgrp_data;
	struct socket *sk_socket;
};

struct inet_sock {
	__be16 inet_sport;
};

struct tcp_sock {
	u64 bytes_sent, bytes_received, bytes_retrans;
	u32 segs_in, segs_out;
	u32 rcv_nxt, snd_nxt;
};

struct sockaddr_un {
	u16 sun_family;
	char sun_path[108];
};

struct unix_address {
	int len; /* of the whole sockaddr */
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct socket {
	struct sock *sk;
	struct file *file;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct sockaddr_vm {
	unsigned int svm_port, svm_cid;
};

struct vsock_sock {
	struct sockaddr_vm local_addr, remote_addr;
};

struct packet_sock {
	int ifindex; /* what it is bound to */
};

struct bpf_sock_addr_kern {
	struct sock *sk;
	void *uaddr;
	u32 uaddrlen;
};

/* --- io_uring ------------------------------------------------------------------------------------------------------ */
struct io_rsrc_node {
	unsigned long file_ptr;
};

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
};

struct io_file_table {
	struct io_rsrc_data data;
};

struct io_ring_ctx {
	struct io_file_table file_table;
};

struct io_cqe {
	u64 user_data;
	int fd; /* until it completes */
};

/* A request; what its operation keeps (io_open, …) lies at its start. */
struct io_kiocb {
	struct file *file;
	u8 opcode;
	u32 flags; /* of 64 bits since 6.10: the low ones are meant */
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	void *async_data;
};

struct filename {
	const char *name;
};

struct open_how {
	u64 flags, mode, resolve;
};

struct io_open {
	int dfd;
	u32 file_slot;
	struct filename *filename;
	struct open_how how;
};

struct io_accept {
	int iou_flags;
	u32 file_slot;
};

struct io_connect {
	void *addr;
	int addr_len;
};

struct io_socket {
	int domain, type, protocol;
};

struct msghdr {
	void *msg_name;
	int msg_namelen;
};

struct io_async_msghdr {
	struct msghdr msg;
	char addr[128];
};

struct io_uring_cqe {
	u64 user_data;
	s32 res;
	u32 flags;
};

#pragma clang attribute pop

/*
 * The map helpers answer 0 or an error that is compared with 0, never by its sign: until d7ba4cc900bf ("bpf: return long from
 * bpf_map_ops funcs", 6.4) they gave an int where the verifier calls them directly, and in 64 bits that is no negative number.
 */

/* What no kernel has changed, and no uapi header that compiles for BPF holds. */
enum {
	AF_UNSPEC = 0,
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	SOCK_STREAM = 1,
	AF_NETLINK = 16,
	AF_PACKET = 17,
	AF_VSOCK = 40,
	SOCK_DGRAM = 2,
	SOCK_RAW = 3,
	IPPROTO_ICMP = 1,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_ICMPV6 = 58,
	IPPROTO_SCTP = 132,
	IPPROTO_UDPLITE = 136,

	MSG_FASTOPEN = 0x20000000,

	S_IFMT = 0170000,
	S_IFSOCK = 0140000,
	S_IFREG = 0100000,
	S_IFBLK = 0060000,
	S_IFDIR = 0040000,
	S_IFCHR = 0020000,
	S_IFIFO = 0010000,

	EPERM = 1,
	ENOENT = 2,
	EINTR = 4,
	EAGAIN = 11,
	ENOMEM = 12,
	EACCES = 13,
	EFAULT = 14,
	EINVAL = 22,
	EMFILE = 24,
	ENAMETOOLONG = 36,
	EOPNOTSUPP = 95,
	EISCONN = 106,
	ECANCELED = 125,
	EALREADY = 114,
	EINPROGRESS = 115,
	ERESTARTSYS = 512, /* from here to 516: the call starts again, or ends in EINTR */
	ERESTART_RESTARTBLOCK = 516,

	AT_FDCWD = -100,

	TASK_IO_WORKER = 0x10, /* PF_IO_WORKER: io-wq and SQPOLL threads */
};

/* The last argument of container_of is a CO-RE field, so the offset is the running kernel's. */
#define kernel_container_of(pointer, type, member) ((type *)((char *)(pointer)-bpf_core_field_offset(type, member)))

/* For every file, for no file may ask for the current task in another way. */
#include "bpf/read.h"

#endif
