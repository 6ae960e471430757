/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is recorded: the rules of the configuration, compiled into masks in which each rule is a bit.
 *
 * The same masks go to the kernel (loader.h), which leaves out what it can before a record is built, and are applied
 * here to every event at the end of its way, when its container's names are known. So the kernel's part is an economy
 * and never changes what is recorded. These are left to user space: exec, fork and end, which the process table needs;
 * kinds that somebody else needs (`needed_kinds`); and a connect or accept whose end is recorded, for its process must
 * be known then.
 */
#ifndef TAFFRAIL_SENSOR_POLICY_H
#define TAFFRAIL_SENSOR_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/policy_rules.h"
#include "sensor/record.h"

struct policy;

/*
 * Compiles the rules, which must live as long as the policy. `needed_kinds`: bits 1 << enum event_action of what rules
 * and detectors must see whatever is recorded. `now_ns`: boot time. 0 or -ENOMEM.
 */
int policy_open(struct policy **policy, const struct policy_rules *rules, uint64_t needed_kinds, uint64_t now_ns);

/* Goes on where `before` was: what that has counted and not told yet. Before a container is named to it. */
void policy_inherit(struct policy *policy, const struct policy *before);

/* The kernel has only the first `count` of the rules: the others are user space's alone. */
void policy_kernel_has(struct policy *policy, size_t count);

/* For the kernel: the masks, and the path prefixes with the rules of each. Good as long as the policy. */
const struct kernel_policy *policy_masks(const struct policy *policy);
size_t policy_prefixes(const struct policy *policy, const struct kernel_prefix **prefixes, const uint64_t **rules);

/*
 * A container's names have become known, or have changed. True if `*rules`, those with namespaces or labels that hold
 * for it, are others than before: the kernel wants to know. Without any rules of that kind nothing is kept.
 */
bool policy_name(struct policy *policy, const struct event_container *names, uint64_t *rules);
/* A container is forgotten. True if it had rules. */
bool policy_forget(struct policy *policy, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/*
 * Is the record of what is recorded always, or of what the configuration asks for? Else it was for somebody else, and no
 * document comes of it.
 */
bool policy_asked(const struct policy *policy, const struct record *record);

/* Is the event left out? Then it is counted. Of its container only the id is read: the names are policy_name's. */
bool policy_leaves_out(struct policy *policy, const struct event *event);

/* Does the kernel leave out records of this kind and of this record's container? */
bool policy_stops(const struct policy *policy, enum kernel_kind kind, const struct kernel_header *header);

/* The kernel leaves out more than the rules ask for (loader_thin_out): that is told as well. */
void policy_thinned(struct policy *policy);

/* Is it time to tell what was left out: once a minute, or `final`? */
bool policy_due(const struct policy *policy, uint64_t now_ns, bool final);

/*
 * What was left out since it was told last. `kernel` counts what the kernel has left out so far, by kind. False: nothing.
 * Times are boot nanoseconds; `filtered->counts` is good until the next call.
 */
bool policy_tell(struct policy *policy, const uint64_t kernel[KERNEL_KINDS_END], uint64_t now_ns,
	struct event_filtered *filtered);

/* NULL is allowed. */
void policy_close(struct policy *policy);

#endif
