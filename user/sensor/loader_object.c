/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/loader_object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "bpf/taffrail_classic.skel.h"
#pragma GCC diagnostic pop

/* --- which one ------------------------------------------------------------------------------------------------------ */

static bool program_loads(const struct bpf_insn *code, size_t length)
{
	int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", code, length, NULL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The atomic add that gives the old value back: since 5.12, on arm64 since 5.18. */
static bool has_atomic_fetch(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .src_reg = BPF_REG_0, .off = -8},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW,
			.dst_reg = BPF_REG_10,
			.src_reg = BPF_REG_0,
			.off = -8,
			.imm = BPF_ADD | BPF_FETCH},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return program_loads(code, sizeof(code) / sizeof(code[0]));
}

/* So that a process that may load nothing is not taken for an old kernel. */
static bool may_load(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return program_loads(code, sizeof(code) / sizeof(code[0]));
}

bool object_needs_classic(void)
{
	return may_load() &&
	       (!has_atomic_fetch() || libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SKB, BPF_FUNC_loop, NULL) == 0);
}

/* --- variables ------------------------------------------------------------------------------------------------------ */

/* Where a variable stands in its section (".rodata", ".bss"). -ENOENT: nowhere. */
static int find_variable(const struct btf *btf, const char *section, const char *name, __u32 *offset, __u32 *size)
{
	int id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
	const struct btf_type *type = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);
	const struct btf_var_secinfo *variable;

	if (!type)
		return -ENOENT;
	variable = btf_var_secinfos(type);
	for (unsigned int i = 0; i < btf_vlen(type); i++, variable++)
		if (strcmp(btf__name_by_offset(btf, btf__type_by_id(btf, variable->type)->name_off), name) == 0) {
			*offset = variable->offset;
			*size = variable->size;
			return 0;
		}
	return -ENOENT;
}

/*
 * Calls `take` for each variable of the modern object's section, with its place there and in the classic object's. The
 * compiler puts constants of its own between them, so the places differ.
 */
static int each_variable(const struct btf *classic, const char *section, void *context,
	int (*take)(void *context, __u32 modern, __u32 classic, __u32 size))
{
	struct bpf_object *object;
	size_t bytes_size;
	const void *bytes = taffrail_bpf__elf_bytes(&bytes_size);
	const struct btf_type *type;
	const struct btf *btf;
	int id, error = 0;

	object = bpf_object__open_mem(bytes, bytes_size, NULL);
	if (!object)
		return -errno;
	btf = bpf_object__btf(object);
	id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
	type = id < 0 ? NULL : btf__type_by_id(btf, (__u32)id);
	for (unsigned int i = 0; type && i < btf_vlen(type) && !error; i++) {
		const struct btf_var_secinfo *variable = &btf_var_secinfos(type)[i];
		const struct btf_type *of = btf__type_by_id(btf, variable->type);
		__u32 offset, size;

		if (btf_var(of)->linkage == BTF_VAR_STATIC) /* the programs' own */
			continue;
		error = find_variable(classic, section, btf__name_by_offset(btf, of->name_off), &offset, &size);
		if (!error && size != variable->size)
			error = -EINVAL;
		if (!error)
			error = take(context, variable->offset, offset, size);
	}
	bpf_object__close(object);
	return error;
}

struct copies {
	char *from, *to;
	size_t from_size, to_size;
};

static int copy_out(void *context, __u32 modern, __u32 classic, __u32 size)
{
	struct copies *copies = context;

	if ((size_t)modern + size > copies->to_size || (size_t)classic + size > copies->from_size)
		return -EINVAL;
	memcpy(copies->to + modern, copies->from + classic, size);
	return 0;
}

static int copy_back(void *context, __u32 modern, __u32 classic, __u32 size)
{
	struct copies *copies = context;

	if ((size_t)modern + size > copies->to_size || (size_t)classic + size > copies->from_size)
		return -EINVAL;
	memcpy(copies->from + classic, copies->to + modern, size);
	return 0;
}

/* Those that are shared while the programs run cannot be copied: they have the same place in both. */
static int same_place(void *context, __u32 modern, __u32 classic, __u32 size)
{
	(void)context;
	(void)size;
	return modern == classic ? 0 : -EINVAL;
}

static int settings_copy(struct object *object, int (*copy)(void *context, __u32 modern, __u32 classic, __u32 size))
{
	struct copies copies = {
		.from = object->values, .to = object->settings, .to_size = sizeof(*object->skeleton->rodata)};

	if (!bpf_map__initial_value(object->skeleton->maps.rodata, &copies.from_size))
		return -EINVAL;
	return each_variable(bpf_object__btf(object->skeleton->obj), ".rodata", &copies, copy);
}

/* --- opening, loading, closing -------------------------------------------------------------------------------------- */

int object_open(struct object *object, bool classic)
{
	int error;

	*object = (struct object){.classic = classic, .skeleton = calloc(1, sizeof(*object->skeleton))};
	if (!object->skeleton)
		return -ENOMEM;
	error = taffrail_bpf__create_skeleton(object->skeleton);
	if (error)
		goto fail;
	if (classic)
		object->skeleton->skeleton->data =
			(void *)taffrail_classic_bpf__elf_bytes(&object->skeleton->skeleton->data_sz);
	error = bpf_object__open_skeleton(object->skeleton->skeleton, NULL);
	if (error)
		goto fail;
	if (!classic)
		return 0;
	object->values = object->skeleton->rodata;
	object->settings = calloc(1, sizeof(*object->skeleton->rodata));
	if (!object->settings) {
		error = -ENOMEM;
		goto fail;
	}
	error = settings_copy(object, copy_out);
	if (!error)
		error = each_variable(bpf_object__btf(object->skeleton->obj), ".bss", NULL, same_place);
	if (error)
		goto fail;
	object->skeleton->rodata = object->settings;
	return 0;
fail:
	object_close(object);
	return error;
}

int object_load(struct object *object, char *why, size_t why_size)
{
	struct utsname system;
	int error = object->classic ? settings_copy(object, copy_back) : 0;

	if (!error)
		error = bpf_object__load_skeleton(object->skeleton->skeleton);
	if (error == -EPERM) {
		snprintf(why, why_size,
			"this process may not load BPF programs: run it as root, or with the capabilities CAP_BPF, "
			"CAP_PERFMON and CAP_NET_ADMIN (and CAP_SYS_RESOURCE before Linux 5.11)");
	} else if (error) {
		uname(&system);
		snprintf(why, why_size,
			"this kernel, Linux %s, does not load the BPF programs (%s): they need 5.10 or newer with BTF",
			system.release, strerror(-error));
	}
	return error;
}

void object_close(struct object *object)
{
	taffrail_bpf__destroy(object->skeleton);
	free(object->settings);
	*object = (struct object){0};
}
