/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/attach.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/log.h"

enum {
	FUNCTIONS_MAX = 2, /* names that a function has had */
	PARTS_MAX = 5,
	WAYS_MAX = 2,
	PROMISES_MAX = 24,
	LINKS_MAX = 64,
	HOOK_SIZE = 192,
};

/* A program, and where it hangs. */
struct part {
	const char *program;
	const char *functions[FUNCTIONS_MAX]; /* of a function hook: the first that this kernel has */
	bool optional;                        /* a kernel without it has not got what it sees either */
};

enum way_kind { WAY_TRACE, WAY_CGROUP, WAY_FUNCTION, WAY_SYSCALL };

/* One way to keep a promise: all its parts together. */
struct way {
	enum way_kind kind;
	uint32_t syscall; /* WAY_SYSCALL: its part of the program at the exit of system calls */
	struct part parts[PARTS_MAX];
};

struct promise {
	const char *name;
	struct way ways[WAYS_MAX]; /* the best first */
};

#define TRACE(...)                                                                                                     \
	{                                                                                                              \
		.kind = WAY_TRACE, .parts = { {__VA_ARGS__} }                                                          \
	}
#define CGROUP(...)                                                                                                    \
	{                                                                                                              \
		.kind = WAY_CGROUP, .parts = { {__VA_ARGS__} }                                                         \
	}
#define SYSCALL(bit)                                                                                                   \
	{                                                                                                              \
		.kind = WAY_SYSCALL, .syscall = (bit), .parts = { {"syscall_exit", {NULL}, false} }                    \
	}

/*
 * Where a way has several parts, the first sees what succeeds and most that fails; the others what fails further out.
 * do_filp_open became do_file_open in 541003b576c3 ("rename do_filp_open() to do_file_open()", 7.0).
 */
static const struct promise promises[] = {
	{"exec", {TRACE("process_exec")}},
	{"arrivals in containers", {TRACE("process_arrives")}},
	{"fork", {TRACE("process_fork")}},
	{"end", {TRACE("process_exit")}},
	{"failed exec", {{WAY_FUNCTION, 0,
				 {{"function_exec", {"__x64_sys_execve"}, false},
					 {"function_execat", {"__x64_sys_execveat"}, false},
					 {"function_exec_compat", {"__ia32_compat_sys_execve"}, true},
					 {"function_execat_compat", {"__ia32_compat_sys_execveat"}, true}}},
				SYSCALL(KERNEL_SYSCALL_EXEC)}},
	{"open", {{WAY_FUNCTION, 0,
			  {{"function_opened", {"do_filp_open", "do_file_open"}, false},
				  {"function_not_opened", {"do_sys_openat2"}, false},
				  {"function_ring_begins", {"io_openat2"}, true},
				  {"function_ring_ends", {"io_openat2"}, true}}},
			 SYSCALL(KERNEL_SYSCALL_OPEN)}},
	{"open by handle", {{WAY_FUNCTION, 0,
				    {{"function_handle_found", {"do_file_open_root"}, false},
					    {"function_handle_opened", {"do_handle_open"}, false}}},
				   SYSCALL(KERNEL_SYSCALL_HANDLE)}},
	{"connect", {{WAY_FUNCTION, 0,
			     {{"function_connected", {"__sys_connect_file"}, false},
				     {"function_not_connected", {"__sys_connect"}, false}}},
			    SYSCALL(KERNEL_SYSCALL_CONNECT)}},
	{"accept", {{WAY_FUNCTION, 0, {{"function_accepted", {"do_accept"}, false}}}, SYSCALL(KERNEL_SYSCALL_ACCEPT)}},
	{"listen", {{WAY_FUNCTION, 0,
			    {{"function_listened", {"inet_listen"}, false},
				    {"function_listened_unix", {"unix_listen"}, false},
				    {"function_listened_mptcp", {"mptcp_listen"}, true},
				    {"function_not_listened", {"__sys_listen"}, false}}},
			   SYSCALL(KERNEL_SYSCALL_LISTEN)}},
	{"TCP connect, listen, disconnect", {TRACE("network_state")}},
	{"connect over IPv4", {CGROUP("network_connect4")}},
	{"connect over IPv6", {CGROUP("network_connect6")}},
	{"UDP send over IPv4", {CGROUP("datagram_sendmsg4")}},
	{"UDP send over IPv6", {CGROUP("datagram_sendmsg6")}},
	{"the source of a UDP send", {CGROUP("datagram_egress")}},
	{"the end of a socket", {CGROUP("network_release")}},
};

enum { PROMISES = sizeof(promises) / sizeof(promises[0]) };
_Static_assert(sizeof(promises) / sizeof(promises[0]) <= PROMISES_MAX, "more promises than there is room for");

struct attach {
	struct btf *btf; /* the kernel's, where function hooks are looked for; else NULL */
	bool by_function;
	size_t chosen[PROMISES_MAX]; /* index of the way */
	struct loader_hook hooks[PROMISES_MAX];
	char names[PROMISES_MAX][HOOK_SIZE]; /* what the hooks' `hook` points to */
	size_t hook_count;
	struct bpf_link *links[LINKS_MAX];
	size_t link_count;
};

int attach_open(struct attach **attach)
{
	*attach = calloc(1, sizeof(**attach));
	return *attach ? 0 : -ENOMEM;
}

/* --- what this kernel has ------------------------------------------------------------------------------------------- */

/* Loads and attaches a program that does nothing at the return of a function. */
static int try_function(__s32 function)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(
		bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_FEXIT, .attach_btf_id = (__u32)function);
	int program = bpf_prog_load(
		BPF_PROG_TYPE_TRACING, "taffrail_try", "GPL", nothing, sizeof(nothing) / sizeof(nothing[0]), &options);
	int link, error = 0;

	if (program < 0)
		return -errno;
	link = bpf_raw_tracepoint_open(NULL, program);
	if (link < 0)
		error = -errno;
	else
		close(link);
	close(program);
	return error;
}

/* 0 if function hooks can be used here, or -errno. */
static int probe(const struct btf *btf)
{
	__s32 function = btf__find_by_name_kind(btf, "do_sys_openat2", BTF_KIND_FUNC);

	return function > 0 ? try_function(function) : -ENOENT;
}

/* The first of the functions that this kernel has, or NULL. */
static const char *find_function(const struct part *part, const struct btf *btf)
{
	for (size_t i = 0; i < FUNCTIONS_MAX && part->functions[i]; i++)
		if (btf__find_by_name_kind(btf, part->functions[i], BTF_KIND_FUNC) > 0)
			return part->functions[i];
	return NULL;
}

/* --- choosing ------------------------------------------------------------------------------------------------------- */

/* Points the way's programs to their functions. False if a part is missing that is no optional one. */
static bool aim(const struct way *way, struct bpf_object *object, const struct btf *btf)
{
	for (size_t i = 0; i < PARTS_MAX && way->parts[i].program; i++) {
		const struct part *part = &way->parts[i];
		struct bpf_program *program = bpf_object__find_program_by_name(object, part->program);
		const char *function = program ? find_function(part, btf) : NULL;

		if (function && bpf_program__set_attach_target(program, 0, function) == 0)
			bpf_program__set_autoload(program, true);
		else if (!part->optional)
			return false;
	}
	return true;
}

static void leave_out(const struct way *way, struct bpf_object *object)
{
	for (size_t i = 0; i < PARTS_MAX && way->parts[i].program; i++) {
		struct bpf_program *program = bpf_object__find_program_by_name(object, way->parts[i].program);

		if (program)
			bpf_program__set_autoload(program, false);
	}
}

int attach_choose(struct attach *attach, struct bpf_object *object, enum loader_mode mode)
{
	int refused = -ENOENT;

	if (mode != LOADER_TRACEPOINT) {
		if (!attach->btf)
			attach->btf = btf__load_vmlinux_btf();
		refused = attach->btf ? probe(attach->btf) : -errno;
		if (refused && mode == LOADER_FUNCTION)
			return refused;
	}
	attach->by_function = false;
	for (size_t i = 0; i < PROMISES; i++) {
		const struct way *way = promises[i].ways;

		attach->chosen[i] = 0;
		if (way->kind != WAY_FUNCTION)
			continue;
		leave_out(way, object); /* what aim() finds is loaded after all */
		if (!refused && aim(way, object, attach->btf)) {
			attach->by_function = true;
			continue;
		}
		leave_out(way, object);
		attach->chosen[i] = 1;
	}
	return 0;
}

bool attach_by_function(const struct attach *attach)
{
	return attach->by_function;
}

/* --- attaching ------------------------------------------------------------------------------------------------------- */

/* Adds the hook's name: where the program really hangs. */
static void name_hook(char *name, const struct part *part, const struct bpf_program *program, const struct btf *btf)
{
	const char *section = bpf_program__section_name(program);
	const char *function = btf ? find_function(part, btf) : NULL;
	size_t length = strlen(name);
	int prefix = (int)strcspn(section, "/");

	if (function)
		snprintf(name + length, HOOK_SIZE - length, "%s%.*s/%s", length ? ", " : "", prefix, section, function);
	else
		snprintf(name + length, HOOK_SIZE - length, "%s%s", length ? ", " : "", section);
}

static int attach_part(struct attach *attach, const struct bpf_program *program, bool cgroup, int cgroup_fd)
{
	struct bpf_link *link = NULL;

	if (attach->link_count == LINKS_MAX)
		return -ENOSPC;
	link = cgroup ? bpf_program__attach_cgroup(program, cgroup_fd) : bpf_program__attach(program);
	if (!link)
		return -errno;
	attach->links[attach->link_count++] = link;
	return 0;
}

static void detach_to(struct attach *attach, size_t count)
{
	while (attach->link_count > count)
		bpf_link__destroy(attach->links[--attach->link_count]);
}

/* Attaches all parts of a way, or none. Names the hooks in `name`. */
static int attach_way(
	struct attach *attach, struct bpf_object *object, const struct way *way, int cgroup_fd, char *name)
{
	size_t before = attach->link_count;

	name[0] = '\0';
	for (size_t i = 0; i < PARTS_MAX && way->parts[i].program; i++) {
		const struct part *part = &way->parts[i];
		const struct bpf_program *program = bpf_object__find_program_by_name(object, part->program);
		int error;

		if (!program || !bpf_program__autoload(program)) {
			if (part->optional)
				continue;
			detach_to(attach, before);
			return -ENOENT;
		}
		name_hook(name, part, program, attach->btf);
		error = attach_part(attach, program, way->kind == WAY_CGROUP, cgroup_fd);
		if (error) {
			detach_to(attach, before);
			return error;
		}
	}
	return 0;
}

/* Keeps one promise, by the way that was chosen or the one after it. What sys_exit is to serve is added to `*syscalls`. */
static int keep(struct attach *attach, struct bpf_object *object, size_t which, int cgroup_fd, uint32_t *syscalls)
{
	const struct promise *promise = &promises[which];
	struct loader_hook *hook = &attach->hooks[which];
	char *name = attach->names[which];
	const struct way *way = &promise->ways[attach->chosen[which]];
	int error = 0;

	*hook = (struct loader_hook){promise->name, name, false};
	if (way->kind != WAY_SYSCALL) {
		error = attach_way(attach, object, way, cgroup_fd, name);
		hook->attached = !error;
		if (!error || way->kind != WAY_FUNCTION)
			return error;
		log_warning("%s: %s is refused (%s): the exit of system calls serves it", promise->name, name,
			strerror(-error));
		way++;
	}
	*syscalls |= way->syscall;
	snprintf(name, HOOK_SIZE, "tp_btf/sys_exit");
	return 0;
}

/* The one program at the exit of system calls, for those promises that are left to it. */
static int keep_rest(struct attach *attach, struct bpf_object *object, uint32_t syscalls)
{
	static const struct way rest = SYSCALL(0);
	char name[HOOK_SIZE];
	int error;

	if (!syscalls)
		return 0;
	error = attach_way(attach, object, &rest, -1, name);
	for (size_t i = 0; i < PROMISES && !error; i++)
		attach->hooks[i].attached = true;
	return error;
}

int attach_all(struct attach *attach, struct bpf_object *object, int cgroup_fd, uint32_t *syscall_spares, char *why,
	size_t why_size)
{
	uint32_t syscalls = 0;
	int error = 0;

	for (size_t i = 0; i < PROMISES && !error; i++) {
		error = keep(attach, object, i, cgroup_fd, &syscalls);
		attach->hook_count = i + 1;
		if (error)
			snprintf(why, why_size, "%s: the BPF program cannot be attached to %s: %s", promises[i].name,
				attach->names[i], strerror(-error));
	}
	if (error)
		return error;
	*syscall_spares = ~syscalls;
	error = keep_rest(attach, object, syscalls);
	if (error)
		snprintf(why, why_size, "the BPF program cannot be attached to the exit of system calls: %s",
			strerror(-error));
	return error;
}

const struct loader_hook *attach_hooks(const struct attach *attach, size_t *count)
{
	*count = attach->hook_count;
	return attach->hooks;
}

void attach_end(struct attach *attach)
{
	detach_to(attach, 0);
	for (size_t i = 0; i < attach->hook_count; i++)
		attach->hooks[i].attached = false;
}

void attach_close(struct attach *attach)
{
	if (!attach)
		return;
	attach_end(attach);
	btf__free(attach->btf);
	free(attach);
}
