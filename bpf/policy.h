/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the configuration does not want recorded is left out here, before its record is built, and counted.
 *
 * The rules are masks (struct kernel_policy) that the loader sets before it loads the programs: constants to the
 * verifier. Of a kind that no rule speaks of, so of all kinds by default, it removes the test altogether. User space
 * judges by the same rules what passes here, so a container whose names come late costs more but gives no other events.
 */
#ifndef TAFFRAIL_POLICY_H
#define TAFFRAIL_POLICY_H

#include "bpf/kernel_event.h"
#include "bpf/kernel_types.h"
#include "bpf/ring.h"

enum {
	POLICY_ACCESS = 03, /* O_ACCMODE */
	POLICY_CREATE = 0100,
	POLICY_TRUNCATE = 01000,
	POLICY_TEMPORARY = 020000000,
};

const volatile struct kernel_policy policy __weak = {};

/* Set by user space when the rules have changed while the programs run: from then on it alone leaves out. */
__u32 policy_over __weak;

/*
 * Set and changed by user space while the sensor costs more than it may: of opens that only read 1 of 2^n is told (bits 0 to 7),
 * of the others 1 of 2^n (bits 8 to 15). By chance: nobody can know which.
 */
__u32 opens_thinned __weak = 0;

/* By container: which of the rules with namespaces or labels hold for it. Set while its names are known. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, u8[KERNEL_CONTAINER_ID_SIZE]);
	__type(value, u64);
} policy_containers SEC(".maps") __weak;

/* Path prefixes. Filled before the programs are attached. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct kernel_prefix);
	__type(value, u64);
} policy_paths SEC(".maps") __weak;

struct policy_counts {
	u64 left_out[KERNEL_LOSS_KINDS];
};

/* What was left out, by kind. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct policy_counts);
} policy_left_out SEC(".maps") __weak;

/* Counts an event of a kind (a constant) that was left out. True, for the caller to return. */
static __always_inline bool policy_count(u32 kind)
{
	u32 zero = 0;
	struct policy_counts *counts = bpf_map_lookup_elem(&policy_left_out, &zero);

	if (counts)
		__sync_fetch_and_add(&counts->left_out[kind], 1);
	return true;
}

/* The rules that would leave out a record of this kind (a constant), as far as kind and container tell. 0: none. */
static __always_inline u64 policy_rules(const struct kernel_header *header, u32 kind)
{
	u64 rules = policy.kinds[kind], *named = NULL;

	/* The sensor's canary tries the hooks, not the configuration. */
	if (!rules || header->flags & KERNEL_CANARY || *(volatile u32 *)&policy_over)
		return 0;
	if (rules & ~policy.unnamed && header->flags & KERNEL_IN_CONTAINER)
		named = bpf_map_lookup_elem(&policy_containers, header->container_id);
	return rules & (policy.unnamed | (named ? *named : 0));
}

/* Is a record of this kind (a constant, not OPEN) left out? Then it is counted. */
static __always_inline bool policy_leaves_out(const struct kernel_header *header, u32 kind)
{
	return policy_rules(header, kind) && policy_count(kind);
}

/* As event.type tells: an open that made the file, one that may change it, one that does not. */
static __always_inline u32 policy_mode(u32 flags, bool created)
{
	if (created)
		return KERNEL_MODE_CREATE;
	return flags & (POLICY_ACCESS | POLICY_TRUNCATE) ? KERNEL_MODE_WRITE : KERNEL_MODE_READ;
}

/* Is it one that is not told now, for there are too many? Then it is counted. */
static __always_inline bool policy_thins_out(const struct kernel_header *header, u32 flags)
{
	u32 thinned = opens_thinned;

	if (!thinned || header->flags & KERNEL_CANARY)
		return false;
	if (flags & (POLICY_ACCESS | POLICY_CREATE | POLICY_TRUNCATE | POLICY_TEMPORARY))
		thinned >>= 8;
	return bpf_get_prandom_u32() & ((1ull << (thinned & 31)) - 1) && policy_count(KERNEL_OPEN);
}

/*
 * An open, before anything of it is read: left out already? A failed one is judged here to its end, by the flags it
 * asked for; the kernel has no path of it, so no rule with paths leaves it out. Else `*rules` are what to go on with.
 */
static __always_inline bool policy_open_leaves_out(
	const struct kernel_header *header, s64 result, u32 flags, u64 *rules)
{
	*rules = policy_rules(header, KERNEL_OPEN);
	if (!*rules)
		return false;
	if (*rules & policy.plain)
		return policy_count(KERNEL_OPEN);
	if (result >= 0)
		return false;
	*rules &= policy.pathless & policy.modes[policy_mode(flags, false)];
	return *rules && policy_count(KERNEL_OPEN);
}

/*
 * The same with the file's flags (O_*, KERNEL_FILE_*), before its path is walked. An open in doubt is no other file's:
 * only rules without paths and modes leave it out, and they have been asked.
 */
static __always_inline bool policy_file_leaves_out(u64 *rules, u32 flags, u8 file_flags)
{
	if (!policy.kinds[KERNEL_OPEN] || !*rules)
		return false;
	if (file_flags & KERNEL_FILE_UNSURE)
		*rules = 0;
	else
		*rules &= policy.modes[policy_mode(flags, file_flags & KERNEL_FILE_CREATED)];
	return *rules & policy.pathless && policy_count(KERNEL_OPEN);
}

/*
 * The same with its path, `length` bytes at `path` in the scratch (what follows them in it is of no account). What is
 * cut has lost its beginning, and what is of another mount namespace has a beginning that its maker chose: no prefix
 * is theirs.
 */
static __always_inline bool policy_path_leaves_out(
	u64 rules, struct scratch *scratch, const char *path, u32 length, u16 truncated, u8 file_flags)
{
	/* The upper half of the path's room: there for the verifier, and for nobody else. */
	struct kernel_prefix *key = (void *)(scratch->path + KERNEL_PATH_MAX);
	u64 *matching;

	if (!policy.kinds[KERNEL_OPEN] || !rules || !length)
		return false;
	if (truncated & KERNEL_CUT_PATH || file_flags & KERNEL_FILE_FOREIGN)
		return false;
	key->bits = 8 * (length < KERNEL_PREFIX_MAX ? length : KERNEL_PREFIX_MAX);
	if (bpf_probe_read_kernel(key->path, sizeof(key->path), path) < 0)
		return false;
	matching = bpf_map_lookup_elem(&policy_paths, key);
	return matching && rules & *matching && policy_count(KERNEL_OPEN);
}

#endif
