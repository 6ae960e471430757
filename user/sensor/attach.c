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
	PROMISES_MAX = 32,
	LINKS_MAX = 64,
	HOOK_SIZE = 192,
	ATTACH_UNIX_SENDMSG = 50, /* BPF_CGROUP_UNIX_SENDMSG (6.7), which libbpf 1.1 does not know */
};

/* A program, and where it hangs. */
struct part {
	const char *program;
	const char *functions[FUNCTIONS_MAX]; /* of a function hook: the first that this kernel has */
	bool optional;                        /* a kernel without it has not got what it sees either */
	const char *instead_of;               /* a program that makes it needless where that one is loaded */
};

enum way_kind { WAY_NONE, WAY_TRACE, WAY_CGROUP, WAY_FUNCTION, WAY_SYSCALL };

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

#define TRACE(name)                                                                                                    \
	{                                                                                                              \
		.kind = WAY_TRACE, .parts[0].program = (name)                                                          \
	}
#define CGROUP(name)                                                                                                   \
	{                                                                                                              \
		.kind = WAY_CGROUP, .parts[0].program = (name)                                                         \
	}
#define FUNCTIONS(...)                                                                                                 \
	{                                                                                                              \
		.kind = WAY_FUNCTION, .parts = { __VA_ARGS__ }                                                         \
	}
#define ALWAYS(name, ...)                                                                                              \
	{                                                                                                              \
		(name), {__VA_ARGS__}, false, NULL                                                                     \
	}
#define WHERE(name, ...)                                                                                               \
	{                                                                                                              \
		(name), {__VA_ARGS__}, true, NULL                                                                      \
	}
#define SYSCALL(bit)                                                                                                   \
	{                                                                                                              \
		.kind = WAY_SYSCALL, .syscall = (bit), .parts[0].program = "syscall_exit"                              \
	}

/*
 * Where a way has several parts, the first sees what succeeds and most that fails; the others what fails further out.
 * do_filp_open became do_file_open in 541003b576c3 ("rename do_filp_open() to do_file_open()", 7.0).
 */
static const struct promise promises[] = {
	{"exec", {TRACE("process_exec")}},
	{"arrivals in containers", {TRACE("process_moves")}},
	{"fork", {TRACE("process_fork")}},
	{"end", {TRACE("process_exit")}},
	{"failed exec",
		{FUNCTIONS(ALWAYS("function_exec", "__x64_sys_execve"), ALWAYS("function_execat", "__x64_sys_execveat"),
			 WHERE("function_exec_compat", "__ia32_compat_sys_execve"),
			 WHERE("function_execat_compat", "__ia32_compat_sys_execveat")),
			SYSCALL(KERNEL_SYSCALL_EXEC)}},
	{"open", {FUNCTIONS(ALWAYS("function_opened", "do_filp_open", "do_file_open"),
			  ALWAYS("function_not_opened", "do_sys_openat2"), WHERE("function_ring_begins", "io_openat2"),
			  WHERE("function_ring_ends", "io_openat2")),
			 SYSCALL(KERNEL_SYSCALL_OPEN)}},
	{"open by handle", {FUNCTIONS(ALWAYS("function_handle_found", "do_file_open_root"),
				    ALWAYS("function_handle_opened", "do_handle_open")),
				   SYSCALL(KERNEL_SYSCALL_HANDLE)}},
	{"connect", {FUNCTIONS(ALWAYS("function_connected", "__sys_connect_file"),
			     ALWAYS("function_not_connected", "__sys_connect")),
			    SYSCALL(KERNEL_SYSCALL_CONNECT)}},
	{"accept", {FUNCTIONS(ALWAYS("function_accepted", "do_accept")), SYSCALL(KERNEL_SYSCALL_ACCEPT)}},
	{"listen",
		{FUNCTIONS(ALWAYS("function_listened", "inet_listen"), ALWAYS("function_listened_unix", "unix_listen"),
			 WHERE("function_listened_mptcp", "mptcp_listen"),
			 ALWAYS("function_listened_else", "__sys_listen"),
			 WHERE("function_listened_ring", "__sys_listen_socket")),
			SYSCALL(KERNEL_SYSCALL_LISTEN)}},
	{"socket", {FUNCTIONS(ALWAYS("function_socket", "__sys_socket")), SYSCALL(KERNEL_SYSCALL_SOCKET)}},
	{"fast open, packets sent", {FUNCTIONS(ALWAYS("function_fast_open", "__inet_stream_connect"),
					     WHERE("function_packet_sent", "packet_sendmsg"),
					     WHERE("function_old_packet_sent", "packet_sendmsg_spkt"),
					     {"function_unix_sent", {"unix_dgram_sendmsg"}, false, "unix_sendmsg"}),
					    SYSCALL(KERNEL_SYSCALL_SEND)}},
	{"TCP connect, listen, disconnect", {TRACE("network_state")}},
	{"connect over IPv4", {CGROUP("network_connect4")}},
	{"connect over IPv6", {CGROUP("network_connect6")}},
	{"UDP send over IPv4", {CGROUP("datagram_sendmsg4")}},
	{"UDP send over IPv6", {CGROUP("datagram_sendmsg6")}},
	{"the source of a UDP send", {CGROUP("datagram_egress")}},
	{"the end of a socket", {CGROUP("network_release")}},
	{"flow, dns, first bytes", {CGROUP("flow_ingress")}},
	{"the owner of a UDP port over IPv4", {CGROUP("flow_bound4")}},
	{"the owner of a UDP port over IPv6", {CGROUP("flow_bound6")}},
	{"datagrams to unix sockets", {CGROUP("unix_sendmsg")}},
	{"io_uring", {TRACE("uring_submit"), TRACE("uring_submit_before")}},
	{"what comes of io_uring", {TRACE("uring_complete"), TRACE("uring_complete_before")}},
	{"io_uring with a full queue", {TRACE("uring_overflow")}},
	{"signals to the sensor", {TRACE("guard_signal")}},
};

enum { PROMISES = sizeof(promises) / sizeof(promises[0]) };
_Static_assert(sizeof(promises) / sizeof(promises[0]) < PROMISES_MAX, "more promises than there is room for");

struct attach {
	struct btf *btf; /* the kernel's, where function hooks are looked for; else NULL */
	bool by_function;
	size_t chosen[PROMISES_MAX]; /* index of the way */
	struct loader_hook hooks[PROMISES_MAX];
	char names[PROMISES_MAX][HOOK_SIZE]; /* what the hooks' `hook` points to */
	size_t hook_count;
	struct bpf_link *links[LINKS_MAX];
	size_t of[LINKS_MAX]; /* which hook a link belongs to */
	bool gone[LINKS_MAX]; /* told by attach_gone */
	size_t link_count;
	bool exit_kept;   /* the program at the exit of system calls is attached for promises … */
	bool exit_wanted; /* … or only for calls that are asked for: its link and its hook are the last */
};

int attach_open(struct attach **attach)
{
	*attach = calloc(1, sizeof(**attach));
	return *attach ? 0 : -ENOMEM;
}

/* --- what this kernel has ------------------------------------------------------------------------------------------- */

static void set_loaded(struct bpf_object *object, const char *name, bool loaded)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	if (program)
		bpf_program__set_autoload(program, loaded);
}

/* Parameters of a tracepoint, without the first, which is none of its own; -1: there is no such tracepoint. */
static int tracepoint_parameters(const struct btf *types, const char *name)
{
	char text[96];
	const struct btf_type *type;
	__s32 id;

	snprintf(text, sizeof(text), "btf_trace_%s", name);
	id = btf__find_by_name_kind(types, text, BTF_KIND_TYPEDEF);
	type = id > 0 ? btf__type_by_id(types, (__u32)id) : NULL;
	type = type ? btf__type_by_id(types, type->type) : NULL; /* a pointer */
	type = type && btf_is_ptr(type) ? btf__type_by_id(types, type->type) : NULL;
	return type && btf_is_func_proto(type) ? btf_vlen(type) - 1 : -1;
}

static bool has_attach_type(const struct btf *types, const char *name)
{
	__s32 id = btf__find_by_name_kind(types, "bpf_attach_type", BTF_KIND_ENUM);
	const struct btf_type *type = id > 0 ? btf__type_by_id(types, (__u32)id) : NULL;

	for (int i = 0; type && i < btf_vlen(type); i++) {
		const char *member = btf__name_by_offset(types, btf_enum(type)[i].name_off);

		if (member && strcmp(member, name) == 0)
			return true;
	}
	return false;
}

/* Programs whose hook another kernel has are left out; where there is none at all, bpf/ says what serves instead. */
static void choose_variants(struct bpf_object *object, const struct btf *types)
{
	int submit = tracepoint_parameters(types, "io_uring_submit_req");
	int before = tracepoint_parameters(types, "io_uring_submit_sqe");
	int complete = tracepoint_parameters(types, "io_uring_complete");
	bool unix_hook = has_attach_type(types, "BPF_CGROUP_UNIX_SENDMSG");
	bool uring = (submit == 1 || before == 2) && (complete == 3 || complete == 7);

	set_loaded(object, "uring_submit", uring && submit == 1);
	set_loaded(object, "uring_submit_before", uring && submit != 1);
	set_loaded(object, "uring_complete", uring && complete == 3);
	set_loaded(object, "uring_complete_before", uring && complete == 7);
	set_loaded(object, "uring_overflow", uring);
	set_loaded(object, "unix_sendmsg", unix_hook);
	bpf_program__set_expected_attach_type(
		bpf_object__find_program_by_name(object, "unix_sendmsg"), (enum bpf_attach_type)ATTACH_UNIX_SENDMSG);
}

/* Loads and attaches a program that does nothing at the return of a function. */
static int try_function(__s32 function)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct bpf_prog_load_opts options;
	int program, link, error = 0;

	memset(&options, 0, sizeof(options)); /* the padding too: libbpf refuses what is not zero there */
	options.sz = sizeof(options);
	options.expected_attach_type = BPF_TRACE_FEXIT;
	options.attach_btf_id = (__u32)function;
	program = bpf_prog_load(
		BPF_PROG_TYPE_TRACING, "taffrail_try", "GPL", nothing, sizeof(nothing) / sizeof(nothing[0]), &options);
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

static bool loads(const struct bpf_object *object, const char *name)
{
	const struct bpf_program *program = bpf_object__find_program_by_name(object, name);

	return program && bpf_program__autoload(program);
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

		if (part->instead_of && loads(object, part->instead_of))
			continue;
		if (function && bpf_program__set_attach_target(program, 0, function) == 0)
			bpf_program__set_autoload(program, true);
		else if (!part->optional)
			return false;
	}
	return true;
}

static void leave_out(const struct way *way, struct bpf_object *object)
{
	for (size_t i = 0; i < PARTS_MAX && way->parts[i].program; i++)
		set_loaded(object, way->parts[i].program, false);
}

/* Can this way be gone on this kernel? A function way's programs are then pointed to their functions. */
static bool usable(const struct attach *attach, struct bpf_object *object, const struct way *way, bool functions)
{
	switch (way->kind) {
	case WAY_FUNCTION:
		leave_out(way, object); /* what aim() finds is loaded after all */
		if (functions && aim(way, object, attach->btf))
			return true;
		leave_out(way, object);
		return false;
	case WAY_TRACE:
	case WAY_CGROUP: return loads(object, way->parts[0].program);
	case WAY_SYSCALL: return true;
	case WAY_NONE: break;
	}
	return false;
}

int attach_choose(struct attach *attach, struct bpf_object *object, enum loader_mode mode)
{
	bool functions = false;

	if (!attach->btf)
		attach->btf = btf__load_vmlinux_btf();
	if (!attach->btf)
		return -errno;
	if (mode != LOADER_TRACEPOINT) {
		int refused = probe(attach->btf);

		if (refused && mode == LOADER_FUNCTION)
			return refused;
		functions = !refused;
	}
	choose_variants(object, attach->btf);
	attach->by_function = false;
	for (size_t i = 0; i < PROMISES; i++) {
		size_t way = 0;

		while (way < WAYS_MAX && !usable(attach, object, &promises[i].ways[way], functions))
			way++;
		attach->chosen[i] = way;
		if (way < WAYS_MAX && promises[i].ways[way].kind == WAY_FUNCTION)
			attach->by_function = true;
	}
	return 0;
}

bool attach_kernel_has(const struct attach *attach, const char *function)
{
	return attach->btf && btf__find_by_name_kind(attach->btf, function, BTF_KIND_FUNC) > 0;
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

	if (bpf_program__expected_attach_type(program) == (enum bpf_attach_type)ATTACH_UNIX_SENDMSG)
		section = "cgroup/sendmsg_unix";
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
	attach->of[attach->link_count] = attach->hook_count;
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
			if (part->optional || part->instead_of)
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

/*
 * Keeps one promise, by the way that was chosen or the one after it. What sys_exit is to serve is taken away
 * from `*spares`.
 */
static int keep(struct attach *attach, struct bpf_object *object, size_t which, int cgroup_fd, uint32_t *spares)
{
	const struct promise *promise = &promises[which];
	const struct way *way = &promise->ways[attach->chosen[which]];
	struct loader_hook *hook = &attach->hooks[attach->hook_count];
	char *name = attach->names[attach->hook_count];
	int error;

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
	*spares &= ~way->syscall;
	snprintf(name, HOOK_SIZE, "tp_btf/sys_exit");
	return 0;
}

/* The one program at the exit of system calls, for those promises that are left to it. */
static int keep_rest(struct attach *attach, struct bpf_object *object)
{
	static const struct way rest = SYSCALL(0);
	char name[HOOK_SIZE];
	size_t first = 0;
	int error;

	for (size_t i = 0; i < attach->hook_count; i++)
		if (!attach->hooks[i].attached)
			first = i;
	error = attach_way(attach, object, &rest, -1, name);
	if (error)
		return error;
	attach->of[attach->link_count - 1] = first;
	attach->exit_kept = true;
	for (size_t i = 0; i < attach->hook_count; i++)
		attach->hooks[i].attached = true;
	return 0;
}

int attach_calls(struct attach *attach, struct bpf_object *object, bool wanted)
{
	static const struct way rest = SYSCALL(0);
	struct loader_hook *hook = &attach->hooks[attach->hook_count];
	char *name = attach->names[attach->hook_count];
	int error;

	if (attach->exit_kept || wanted == attach->exit_wanted)
		return 0;
	if (!wanted) {
		detach_to(attach, attach->link_count - 1);
		attach->gone[attach->link_count] = false;
		attach->hooks[--attach->hook_count].attached = false;
		attach->exit_wanted = false;
		return 0;
	}
	error = attach_way(attach, object, &rest, -1, name);
	if (error)
		return error;
	*hook = (struct loader_hook){"calls that are asked for", name, true};
	attach->of[attach->link_count - 1] = attach->hook_count++;
	attach->exit_wanted = true;
	return 0;
}

static void forget(struct attach *attach)
{
	attach_end(attach);
	attach->hook_count = 0;
	attach->exit_kept = attach->exit_wanted = false;
	memset(attach->gone, 0, sizeof(attach->gone));
}

int attach_all(struct attach *attach, struct bpf_object *object, int cgroup_fd, uint32_t *syscall_spares, char *why,
	size_t why_size)
{
	uint32_t all = 0;
	int error = 0;

	for (size_t i = 0; i < PROMISES; i++)
		for (size_t way = 0; way < WAYS_MAX; way++)
			all |= promises[i].ways[way].syscall;
	forget(attach);
	*syscall_spares = all; /* none is told twice while they are attached */
	for (size_t i = 0; i < PROMISES && !error; i++) {
		if (attach->chosen[i] == WAYS_MAX) /* this kernel has not got it */
			continue;
		error = keep(attach, object, i, cgroup_fd, syscall_spares);
		if (error)
			snprintf(why, why_size, "%s: the BPF program cannot be attached to %s: %s", promises[i].name,
				attach->names[attach->hook_count], strerror(-error));
		attach->hook_count++;
	}
	if (error)
		return error;
	if (*syscall_spares != all) {
		error = keep_rest(attach, object);
		if (error)
			snprintf(why, why_size, "the BPF program cannot be attached to the exit of system calls: %s",
				strerror(-error));
	}
	if (!error) { /* they are 5 MiB, for as long as the loader lives */
		btf__free(attach->btf);
		attach->btf = NULL;
	}
	return error;
}

const struct loader_hook *attach_hooks(const struct attach *attach, size_t *count)
{
	*count = attach->hook_count;
	return attach->hooks;
}

size_t attach_gone(struct attach *attach, void (*each)(void *context, const struct loader_hook *hook), void *context)
{
	size_t count = 0;

	for (size_t i = 0; i < attach->link_count; i++) {
		struct bpf_link_info info = {0};
		__u32 size = sizeof(info);

		if (attach->gone[i])
			continue;
		/* A link to a cgroup that was detached keeps its descriptor and loses its cgroup. */
		if (bpf_obj_get_info_by_fd(bpf_link__fd(attach->links[i]), &info, &size) == 0 &&
			(info.type != BPF_LINK_TYPE_CGROUP || info.cgroup.cgroup_id != 0))
			continue;
		attach->gone[i] = true;
		count++;
		each(context, &attach->hooks[attach->of[i]]);
	}
	return count;
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
