/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-calls [CGROUP.PROCS] [empty]: what system calls cost, on stdout. It puts itself into the cgroup named, if the name
 * is not empty; with `empty` it attaches a program that does nothing to the exit of system calls: the least that any hook
 * there costs. calls.py compares.
 *
 * A line is a short run: the operation, its nanoseconds, and those of a step of a bare loop just before. The loop tells how
 * fast the processor was: on a virtual machine its other half may belong to somebody else, and then everything takes
 * longer, by far more than what is to be measured.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

enum { RUNS = 150, STEPS = 20000 };

static int zero_fd, udp_fd, listen_fd;
static struct sockaddr_in udp_peer, tcp_peer;
static unsigned int number;

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void do_getpid(void)
{
	(void)syscall(SYS_getpid);
}

static void do_read(void)
{
	char byte;

	check(read(zero_fd, &byte, 1) == 1, "read");
}

static void do_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	check(fd >= 0, "open");
	close(fd);
}

/* Another file each time: nothing to collapse. */
static void do_open_new(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/kernel/../kernel/./%s", number++ % 2 ? "ostype" : "osrelease");
	fd = open(path, O_RDONLY);
	check(fd >= 0, "open");
	close(fd);
}

static void do_open_missing(void)
{
	check(open("/etc/no-such-file", O_RDONLY) < 0 && errno == ENOENT, "open");
}

static void do_connect(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), accepted;
	const struct linger reset = {1, 0}; /* no TIME_WAIT: ports would run out */

	check(fd >= 0 && connect(fd, (void *)&tcp_peer, sizeof(tcp_peer)) == 0, "connect");
	accepted = accept(listen_fd, NULL, NULL);
	check(accepted >= 0, "accept");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	close(accepted);
}

static void do_send(void)
{
	(void)sendto(udp_fd, "x", 1, 0, (void *)&udp_peer, sizeof(udp_peer));
}

static void do_exec(void)
{
	char *const arguments[] = {"/bin/true", NULL}, *const environment[] = {NULL};
	int status;
	pid_t pid;

	check(posix_spawn(&pid, arguments[0], NULL, NULL, arguments, environment) == 0, "spawn");
	check(waitpid(pid, &status, 0) == pid && status == 0, "wait");
}

static const struct operation {
	const char *name;
	void (*run)(void);
	int times; /* in one run: a few hundred microseconds */
} operations[] = {
	{"getpid", do_getpid, 2000},
	{"read", do_read, 1000},
	{"open", do_open, 100},
	{"open another", do_open_new, 50},
	{"open ENOENT", do_open_missing, 200},
	{"connect TCP", do_connect, 8},
	{"UDP send", do_send, 100},
	{"fork+exec", do_exec, 1},
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void measure(const struct operation *operation)
{
	double from = now(), between, to;

	for (volatile int i = 0; i < STEPS; i++)
		;
	between = now();
	for (int i = 0; i < operation->times; i++)
		operation->run();
	to = now();
	printf("%s\t%.1f\t%.4f\n", operation->name, (to - between) / operation->times, (between - from) / STEPS);
}

static void attach_empty(void)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct btf *kernel = btf__load_vmlinux_btf();
	int hook = kernel ? btf__find_by_name_kind(kernel, "btf_trace_sys_exit", BTF_KIND_TYPEDEF) : -1;
	struct bpf_prog_load_opts options = {
		.sz = sizeof(options),
		.expected_attach_type = BPF_TRACE_RAW_TP,
		.attach_btf_id = (__u32)hook,
	};
	int program;

	check(hook > 0, "the kernel's BTF");
	program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "nothing", "GPL", nothing, 2, &options);
	check(program >= 0 && bpf_raw_tracepoint_open(NULL, program) >= 0, "attach");
	btf__free(kernel);
}

static void open_sockets(void)
{
	socklen_t length = sizeof(tcp_peer);
	int sink = socket(AF_INET, SOCK_DGRAM, 0);

	udp_peer = tcp_peer = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(listen_fd, (void *)&tcp_peer, length) == 0 && listen(listen_fd, 16) == 0, "listen");
	check(getsockname(listen_fd, (void *)&tcp_peer, &length) == 0, "getsockname");
	/* Bound, never read: datagrams end in a full queue, which costs the same every time. */
	check(bind(sink, (void *)&udp_peer, length) == 0 && getsockname(sink, (void *)&udp_peer, &length) == 0, "bind");
	udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
	zero_fd = open("/dev/zero", O_RDONLY);
}

int main(int argc, char **argv)
{
	if (argc > 1 && *argv[1]) {
		int fd = open(argv[1], O_WRONLY);

		check(fd >= 0 && write(fd, "0", 1) == 1, argv[1]);
		close(fd);
	}
	if (argc > 2 && strcmp(argv[2], "empty") == 0)
		attach_empty();
	open_sockets();
	/* One of each in turn, so that each meets the machine at its fast and at its slow moments. */
	for (int run = 0; run < RUNS; run++)
		for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
			measure(&operations[i]);
	return 0;
}
