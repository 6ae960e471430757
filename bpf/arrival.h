/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arrivals: the container runtime's own process on its way into a container.
 *
 * runc puts its `init` into the container's cgroup first, from outside, and that goes on to unpack itself, to open some
 * seventy files and to fork twice before it executes what the container is for. None of that is the container's doing.
 * Its records are marked KERNEL_SETUP. An arrival is recognised when it enters, by who moves it and by its executable's
 * name, which nobody inside the container can bring about; it ends with the first exec that is not the runtime's own once
 * more. Who is a member (member.h) is never taken for one.
 */
#ifndef TAFFRAIL_ARRIVAL_H
#define TAFFRAIL_ARRIVAL_H

#include "bpf/container.h"
#include "bpf/kernel_types.h"
#include "bpf/member.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);   /* tgid */
	__type(value, u64); /* start_boottime: tgids are used again */
} arrivals SEC(".maps") __weak;

/* How many there are: mostly none, and then nobody needs to look. */
__u32 arrival_count __weak = 0;

static __always_inline bool arrival_is(struct task_struct *task)
{
	u32 tgid = kernel_read(task, tgid);
	u64 *start;

	if (!arrival_count)
		return false;
	start = bpf_map_lookup_elem(&arrivals, &tgid);
	return start && *start == kernel_read(task, group_leader, start_boottime);
}

static __always_inline void arrival_note(struct task_struct *task)
{
	u32 tgid = kernel_read(task, tgid);
	u64 start = kernel_read(task, group_leader, start_boottime);

	if (bpf_map_update_elem(&arrivals, &tgid, &start, BPF_NOEXIST) == 0)
		__sync_fetch_and_add(&arrival_count, 1);
}

/* Was it one? */
static __always_inline bool arrival_end(struct task_struct *task)
{
	u32 tgid = kernel_read(task, tgid);

	if (!arrival_count || bpf_map_delete_elem(&arrivals, &tgid) != 0)
		return false;
	__sync_fetch_and_add(&arrival_count, -1);
	return true;
}

/* Is that the name of an OCI runtime's executable, or of the copy that runc makes of itself? */
static __always_inline bool arrival_name(struct file *executable)
{
	const unsigned char *from = kernel_get(executable, f_path.dentry, d_name.name);
	char name[16] = {};
	u64 *words = (u64 *)name;

	bpf_probe_read_kernel_str(name, sizeof(name), from);
	/* "runc", "crun", "youki", "memfd:runc_cloned:…", "memfd:crun_cloned:…": compared as little-endian words */
	return words[0] == 0x636e7572ull || words[0] == 0x6e757263ull || words[0] == 0x696b756f79ull ||
	       (words[0] == 0x75723a64666d656dull && words[1] == 0x6e6f6c635f636eull) ||
	       (words[0] == 0x72633a64666d656dull && words[1] == 0x6e6f6c635f6e75ull);
}

/* Has the process come from outside, by the hand of the runtime, which is its parent? */
static __always_inline bool comes_from_runtime(struct task_struct *task, struct file *executable)
{
	struct task_struct *parent = kernel_get(task, group_leader, real_parent);
	struct file *parents = kernel_get(parent, mm, exe_file);

	if (!executable || !parents || !arrival_name(executable) || !arrival_name(parents))
		return false;
	return !member_of(task) && !container_contains((u64)parent);
}

#endif
