/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `record:` of the configuration: what is recorded, as rules that say what is left out.
 *
 *	record:
 *	  kinds: [exec, connect]                      # only these
 *	  also: [chmod, rename]                       # these too, which are recorded where they are asked for alone
 *	  leave_out:                                  # an event is left out if one of these holds
 *	    - kinds: [open]                           # and of one all conditions must hold
 *	      namespaces: [kube-system, "monitoring-*"]
 *	      labels: {app: noisy}
 *	      paths: [/proc/, /sys/]
 *	      modes: [read]
 */
#ifndef TAFFRAIL_SENSOR_POLICY_RULES_H
#define TAFFRAIL_SENSOR_POLICY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"
#include "event/event.h"
#include "sensor/record.h"

enum {
	POLICY_PREFIXES_MAX = 4096, /* of all rules */
	POLICY_PREFIX_MAX = KERNEL_PREFIX_MAX - 1,
};

/* The conditions of one rule, which all must hold. Nodes are the configuration's; NULL: no such condition. */
struct policy_rule {
	uint64_t kinds;                       /* bit 1 << enum event_action */
	unsigned int modes;                   /* bit 1 << enum kernel_mode; all: no such condition */
	const struct config_node *namespaces; /* words */
	const struct config_node *labels;     /* each key with words */
	const struct config_node *paths;      /* words */
	bool others;                          /* it leaves out what `kinds` does not name */
};

struct policy_rules {
	struct policy_rule items[KERNEL_RULES];
	size_t count;
	uint64_t also;  /* bit 1 << enum event_action: kinds that are recorded by need, or more fully */
	uint64_t calls; /* bit 1 << enum event_call: those that make them */
};

/* The kinds that may be left out: all but what the sensor says of itself, and what its detectors find. */
uint64_t policy_kinds(void);
/* Those of them that are recorded only where somebody asks for them. */
uint64_t policy_kinds_by_need(void);

/*
 * Reads the tree, which must live as long as the rules. 0, or -EINVAL after it has logged `FILE:LINE: reason`. A tree
 * of which nothing was said has no rules.
 */
int policy_rules_read(struct policy_rules *rules, const struct config_tree *tree);

/* Are the first of these rules those, all of them? Then what those leave out these do, too, and each is where it was. */
bool policy_rules_begin(const struct policy_rules *rules, const struct policy_rules *first);

/* The words of a condition: one word, or a sequence of them. */
size_t policy_word_count(const struct config_node *words);
const char *policy_word(const struct config_node *words, size_t index);

/* Do the rule's namespaces and labels hold for a container of these names? */
bool policy_rule_names(const struct policy_rule *rule, const struct event_container *names);

#endif
