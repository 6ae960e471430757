/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

static const uint64_t tell_every_ns = 60ull * 1000 * 1000 * 1000;

/* A container for which rules with namespaces or labels hold. */
struct named {
	struct table_node node;
	uint8_t id[EVENT_CONTAINER_ID_SIZE];
	uint64_t rules;
};

struct policy {
	const struct policy_rules *rules;
	struct kernel_policy masks;
	uint64_t kinds[EVENT_ACTIONS_END]; /* as masks.kinds, of all that may be left out anywhere */
	struct table named;

	/* In the order of their bytes, so that a prefix stands before what it is a prefix of. */
	struct kernel_prefix *prefixes;
	uint64_t *prefix_rules; /* its own and those of the shorter ones in it */
	size_t *shorter;        /* the longest prefix that is a part of it; its own index: none */
	size_t prefix_count;

	uint64_t left_out[EVENT_ACTIONS_END]; /* here, since it was told */
	uint64_t told[KERNEL_KINDS_END];      /* of the kernel's counts */
	uint64_t counts[EVENT_ACTIONS_END];   /* what policy_tell hands out */
	uint64_t told_ns;
	bool inherited; /* there may be something to tell without rules */
	bool thinned;   /* … as the kernel thins out opens */
};

/* --- compiling ------------------------------------------------------------------------------------------------------- */

static struct text prefix_text(const struct kernel_prefix *prefix)
{
	return (struct text){prefix->path, prefix->bits / 8};
}

static int compare_texts(struct text a, struct text b)
{
	size_t common = a.length < b.length ? a.length : b.length;
	int order = memcmp(a.data, b.data, common);

	return order ? order : (a.length > b.length) - (a.length < b.length);
}

/* A prefix of one rule, before equal ones are joined. */
struct rule_prefix {
	struct text path;
	uint64_t rule;
};

static int compare_prefixes(const void *a, const void *b)
{
	return compare_texts(((const struct rule_prefix *)a)->path, ((const struct rule_prefix *)b)->path);
}

/* Puts sorted prefixes into the policy, equal ones as one. */
static void join_prefixes(struct policy *policy, const struct rule_prefix *from, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t last = policy->prefix_count - 1;

		if (policy->prefix_count > 0 && text_equal(prefix_text(&policy->prefixes[last]), from[i].path)) {
			policy->prefix_rules[last] |= from[i].rule;
			continue;
		}
		last = policy->prefix_count++;
		policy->prefixes[last].bits = (uint32_t)(8 * from[i].path.length);
		memcpy(policy->prefixes[last].path, from[i].path.data, from[i].path.length);
		policy->prefix_rules[last] = from[i].rule;
	}
	for (size_t i = 0; i < policy->prefix_count; i++) {
		struct text own = prefix_text(&policy->prefixes[i]);
		size_t at = i;

		policy->shorter[i] = i;
		while (at > 0 && policy->shorter[i] == i) {
			size_t before = at == i ? i - 1 : policy->shorter[at];

			if (before == at)
				break;
			if (text_starts_with(own, prefix_text(&policy->prefixes[before])))
				policy->shorter[i] = before;
			at = before;
		}
		if (policy->shorter[i] != i)
			policy->prefix_rules[i] |= policy->prefix_rules[policy->shorter[i]];
	}
}

static int compile_prefixes(struct policy *policy)
{
	struct rule_prefix *all;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < policy->rules->count; i++)
		if (policy->rules->items[i].paths)
			count += policy_word_count(policy->rules->items[i].paths);
	if (count == 0)
		return 0;
	all = calloc(count, sizeof(*all));
	policy->prefixes = calloc(count, sizeof(*policy->prefixes));
	policy->prefix_rules = calloc(count, sizeof(*policy->prefix_rules));
	policy->shorter = calloc(count, sizeof(*policy->shorter));
	if (!all || !policy->prefixes || !policy->prefix_rules || !policy->shorter) {
		free(all);
		return -ENOMEM;
	}
	for (size_t i = 0; i < policy->rules->count; i++) {
		const struct config_node *paths = policy->rules->items[i].paths;

		for (size_t j = 0; paths && j < policy_word_count(paths); j++)
			all[at++] = (struct rule_prefix){text_of(policy_word(paths, j)), 1ull << i};
	}
	qsort(all, count, sizeof(*all), compare_prefixes);
	join_prefixes(policy, all, count);
	free(all);
	return 0;
}

/* Kinds that the kernel's programs ask bpf/policy.h about. */
static bool kernel_asks(enum kernel_kind kind)
{
	switch (kind) {
	case KERNEL_EXEC_FAILED:
	case KERNEL_OPEN:
	case KERNEL_CONNECT:
	case KERNEL_CONNECT_DONE:
	case KERNEL_ACCEPT:
	case KERNEL_LISTEN:
	case KERNEL_SEND:
	case KERNEL_DISCONNECT: return true;
	default: return false;
	}
}

static void compile_rule(struct policy *policy, const struct policy_rule *rule, uint64_t bit)
{
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (rule->kinds >> action & 1)
			policy->kinds[action] |= bit;
	for (int mode = 0; mode < KERNEL_MODES; mode++)
		if (rule->modes >> mode & 1)
			policy->masks.modes[mode] |= bit;
	if (!rule->namespaces && !rule->labels)
		policy->masks.unnamed |= bit;
	if (!rule->paths)
		policy->masks.pathless |= bit;
	if (!rule->paths && rule->modes == (1u << KERNEL_MODES) - 1)
		policy->masks.plain |= bit;
}

/* What of the kinds' masks the kernel may apply. */
static void compile_kernel_kinds(struct policy *policy, uint64_t needed)
{
	uint64_t ends = needed >> EVENT_DISCONNECT & 1 ? 0 : policy->kinds[EVENT_DISCONNECT];

	for (int kind = 1; kind < KERNEL_KINDS_END; kind++) {
		enum event_action action = record_action(kind);

		if (!kernel_asks(kind) || needed >> action & 1)
			continue;
		policy->masks.kinds[kind] = policy->kinds[action];
		if (action == EVENT_CONNECT || action == EVENT_ACCEPT)
			policy->masks.kinds[kind] &= ends;
	}
}

int policy_open(struct policy **out, const struct policy_rules *rules, uint64_t needed_kinds, uint64_t now_ns)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return -ENOMEM;
	policy->rules = rules;
	policy->told_ns = now_ns;
	table_init(&policy->named);
	for (size_t i = 0; i < rules->count; i++)
		compile_rule(policy, &rules->items[i], 1ull << i);
	compile_kernel_kinds(policy, needed_kinds);
	if (compile_prefixes(policy) < 0) {
		policy_close(policy);
		return -ENOMEM;
	}
	*out = policy;
	return 0;
}

void policy_inherit(struct policy *policy, const struct policy *before)
{
	memcpy(policy->left_out, before->left_out, sizeof(policy->left_out));
	memcpy(policy->told, before->told, sizeof(policy->told));
	policy->told_ns = before->told_ns;
	policy->inherited = before->inherited || before->rules->count > 0;
}

void policy_kernel_has(struct policy *policy, size_t count)
{
	uint64_t rules = count < KERNEL_RULES ? (1ull << count) - 1 : UINT64_MAX;

	for (int kind = 0; kind < KERNEL_KINDS_END; kind++)
		policy->masks.kinds[kind] &= rules;
}

const struct kernel_policy *policy_masks(const struct policy *policy)
{
	return &policy->masks;
}

size_t policy_prefixes(const struct policy *policy, const struct kernel_prefix **prefixes, const uint64_t **rules)
{
	*prefixes = policy->prefixes;
	*rules = policy->prefix_rules;
	return policy->prefix_count;
}

/* --- containers ------------------------------------------------------------------------------------------------------ */

static bool matches(const struct table_node *node, const void *id)
{
	return memcmp(table_entry(node, struct named, node)->id, id, EVENT_CONTAINER_ID_SIZE) == 0;
}

static struct named *find(const struct policy *policy, const uint8_t *id)
{
	struct table_node *node = table_find(&policy->named, hash_bytes(id, EVENT_CONTAINER_ID_SIZE), matches, id);

	return node ? table_entry(node, struct named, node) : NULL;
}

bool policy_name(struct policy *policy, const struct event_container *names, uint64_t *rules)
{
	struct named *named = find(policy, names->id);

	*rules = 0;
	for (size_t i = 0; i < policy->rules->count; i++)
		if (!(policy->masks.unnamed >> i & 1) && policy_rule_names(&policy->rules->items[i], names))
			*rules |= 1ull << i;
	if (*rules == (named ? named->rules : 0))
		return false;
	if (*rules == 0)
		return policy_forget(policy, names->id);
	if (!named) {
		named = calloc(1, sizeof(*named));
		if (!named || table_insert(&policy->named, &named->node,
				      hash_bytes(names->id, EVENT_CONTAINER_ID_SIZE)) < 0) {
			free(named);
			return false; /* without memory its events are recorded */
		}
		memcpy(named->id, names->id, sizeof(named->id));
	}
	named->rules = *rules;
	return true;
}

bool policy_forget(struct policy *policy, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct named *named = find(policy, id);

	if (!named)
		return false;
	table_remove(&policy->named, &named->node);
	free(named);
	return true;
}

/* --- judging --------------------------------------------------------------------------------------------------------- */

/* Those of the rules that hold for this container; `id` NULL: outside of all. */
static uint64_t of_container(const struct policy *policy, uint64_t rules, const uint8_t *id)
{
	const struct named *named = rules & ~policy->masks.unnamed && id ? find(policy, id) : NULL;

	return rules & (policy->masks.unnamed | (named ? named->rules : 0));
}

/* The rules of the longest prefix that the path has. */
static uint64_t of_path(const struct policy *policy, struct text path)
{
	size_t low = 0, high = policy->prefix_count;

	/* The last prefix that is not behind the path: what the path begins with is it, or a part of it. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_texts(prefix_text(&policy->prefixes[middle]), path) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return 0;
	for (size_t at = low - 1;; at = policy->shorter[at]) {
		if (text_starts_with(path, prefix_text(&policy->prefixes[at])))
			return policy->prefix_rules[at];
		if (policy->shorter[at] == at)
			return 0;
	}
}

/* Those of the rules that hold for this open: as bpf/policy.h judges. */
static uint64_t of_open(const struct policy *policy, uint64_t rules, const struct event *event)
{
	const struct event_file *file = &event->file;
	int mode = KERNEL_MODE_READ;

	if (file->unsure)
		return rules & policy->masks.plain;
	if (file->created)
		mode = KERNEL_MODE_CREATE;
	else if (file->flags & (O_ACCMODE | O_TRUNC))
		mode = KERNEL_MODE_WRITE;
	rules &= policy->masks.modes[mode];
	if (rules & policy->masks.pathless || !rules)
		return rules & policy->masks.pathless;
	if (event->outcome != EVENT_SUCCESS || file->foreign || event->truncated & EVENT_CUT_FILE_PATH)
		return 0;
	return rules & of_path(policy, file->path);
}

bool policy_asked(const struct policy *policy, const struct record *record)
{
	const struct kernel_header *header = record->header;
	uint64_t kind = 1ull << record_action(header->kind);

	if (header->kind == KERNEL_CONNECT_RETURNED || header->marks & KERNEL_RULES_ALONE)
		return false;
	return !(kind & policy_kinds_by_need() || header->marks & KERNEL_ASKED) || kind & policy->rules->also;
}

bool policy_leaves_out(struct policy *policy, const struct event *event)
{
	uint64_t rules = policy->kinds[event->action];

	if (rules)
		rules = of_container(policy, rules, event->container ? event->container->id : NULL);
	if (rules && event->action == EVENT_OPEN)
		rules = of_open(policy, rules, event);
	if (!rules)
		return false;
	policy->left_out[event->action] += event->count;
	return true;
}

bool policy_stops(const struct policy *policy, enum kernel_kind kind, const struct kernel_header *header)
{
	uint64_t rules = policy->masks.kinds[kind];

	return rules &&
	       of_container(policy, rules, header->flags & KERNEL_IN_CONTAINER ? header->container_id : NULL) != 0;
}

/* --- telling --------------------------------------------------------------------------------------------------------- */

bool policy_due(const struct policy *policy, uint64_t now_ns, bool final)
{
	return (policy->rules->count > 0 || policy->inherited || policy->thinned) &&
	       (final || now_ns - policy->told_ns >= tell_every_ns);
}

void policy_thinned(struct policy *policy)
{
	policy->thinned = true;
}

bool policy_tell(struct policy *policy, const uint64_t kernel[KERNEL_KINDS_END], uint64_t now_ns,
	struct event_filtered *filtered)
{
	*filtered = (struct event_filtered){.counts = policy->counts, .start_ns = policy->told_ns, .end_ns = now_ns};
	memcpy(policy->counts, policy->left_out, sizeof(policy->counts));
	memset(policy->left_out, 0, sizeof(policy->left_out));
	for (int kind = 1; kind < KERNEL_KINDS_END; kind++) {
		filtered->in_kernel += kernel[kind] - policy->told[kind];
		policy->counts[record_action(kind)] += kernel[kind] - policy->told[kind];
		policy->told[kind] = kernel[kind];
	}
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		filtered->count += policy->counts[action];
	policy->told_ns = now_ns;
	return filtered->count > 0;
}

void policy_close(struct policy *policy)
{
	struct table_node *node;

	if (!policy)
		return;
	table_for_each(&policy->named, node) {
		struct named *named = table_entry(node, struct named, node);

		table_remove(&policy->named, &named->node);
		free(named);
	}
	table_free(&policy->named);
	free(policy->prefixes);
	free(policy->prefix_rules);
	free(policy->shorter);
	free(policy);
}
