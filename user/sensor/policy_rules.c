/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/policy_rules.h"

#include <errno.h>
#include <string.h>

static const unsigned int all_modes = (1u << KERNEL_MODES) - 1;

size_t policy_word_count(const struct config_node *words)
{
	return words->shape == CONFIG_WORD ? 1 : words->count;
}

const char *policy_word(const struct config_node *words, size_t index)
{
	return words->shape == CONFIG_WORD ? words->word : words->items[index].word;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* Each word as FILE:LINE of it; takes it, or returns -EINVAL after it has said why not. */
typedef int take_word(
	const struct config_tree *tree, const struct config_node *node, const char *word, struct policy_rule *rule);

/* One word, or some; `what` names the key in messages. */
static int read_words(const struct config_tree *tree, const struct config_node *words, const char *what,
	take_word *take, struct policy_rule *rule)
{
	if (words->shape == CONFIG_MAPPING || policy_word_count(words) == 0)
		return config_refuse(tree, words, "%s takes a word or a list of words", what);
	for (size_t i = 0; i < policy_word_count(words); i++) {
		const struct config_node *node = words->shape == CONFIG_WORD ? words : &words->items[i];
		int error;

		if (node->shape != CONFIG_WORD || node->word[0] == '\0')
			return config_refuse(tree, node, "%s takes a word or a list of words", what);
		error = take(tree, node, node->word, rule);
		if (error)
			return error;
	}
	return 0;
}

uint64_t policy_kinds(void)
{
	uint64_t kinds = 0;

	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (event_action_name(action) && event_action_category(action) != EVENT_HEALTH &&
			event_action_category(action) != EVENT_CONTAINER && action != EVENT_VERDICT)
			kinds |= 1ull << action;
	return kinds;
}

uint64_t policy_kinds_by_need(void)
{
	return 1ull << EVENT_RECEIVE | event_category_actions(EVENT_CHANGE) | event_category_actions(EVENT_DEED);
}

static int take_kind(
	const struct config_tree *tree, const struct config_node *node, const char *word, struct policy_rule *rule)
{
	static const struct {
		const char *word;
		enum event_action action;
	} short_names[] = {{"connect", EVENT_CONNECT}, {"accept", EVENT_ACCEPT}, {"disconnect", EVENT_DISCONNECT}};
	int action = event_action_find(text_of(word));

	for (size_t i = 0; i < sizeof(short_names) / sizeof(short_names[0]); i++)
		if (strcmp(short_names[i].word, word) == 0)
			action = short_names[i].action;
	if (!(policy_kinds() >> action & 1))
		return config_refuse(tree, node,
			"kinds takes kinds of events (exec, fork, end, open, connect, accept, listen, send, "
			"disconnect, socket, flow, dns, or "
			"as event.action calls them), not \"%.200s\"",
			word);
	rule->kinds |= 1ull << action;
	return 0;
}

static int take_mode(
	const struct config_tree *tree, const struct config_node *node, const char *word, struct policy_rule *rule)
{
	static const char *const modes[KERNEL_MODES] = {"read", "write", "create"};

	for (int mode = 0; mode < KERNEL_MODES; mode++)
		if (strcmp(modes[mode], word) == 0) {
			rule->modes |= 1u << mode;
			return 0;
		}
	return config_refuse(tree, node, "modes takes read, write and create, not \"%.200s\"", word);
}

static int take_pattern(
	const struct config_tree *tree, const struct config_node *node, const char *word, struct policy_rule *rule)
{
	const char *star = strchr(word, '*');

	(void)rule;
	if (star && star[1])
		return config_refuse(tree, node, "a * stands at the end only, not as in \"%.200s\"", word);
	return 0;
}

/* A path that the kernel never has would never match, and nobody would notice. */
static int take_path(
	const struct config_tree *tree, const struct config_node *node, const char *word, struct policy_rule *rule)
{
	(void)rule;
	if (word[0] != '/' || strstr(word, "//") || strstr(word, "/./") || strstr(word, "/../"))
		return config_refuse(tree, node,
			"paths takes beginnings of absolute paths without //, /./ and /../, not \"%.200s\"", word);
	if (strchr(word, '*'))
		return config_refuse(tree, node, "paths takes beginnings of paths, without a *, not \"%.200s\"", word);
	if (strlen(word) > POLICY_PREFIX_MAX)
		return config_refuse(tree, node, "paths takes beginnings of at most %d bytes", POLICY_PREFIX_MAX);
	return 0;
}

static int read_labels(const struct config_tree *tree, const struct config_node *labels, struct policy_rule *rule)
{
	if (labels->shape != CONFIG_MAPPING || labels->count == 0)
		return config_refuse(tree, labels, "labels takes keys with their values: {app: web}");
	for (size_t i = 0; i < labels->count; i++) {
		int error = read_words(tree, &labels->items[i], "a label", take_pattern, rule);

		if (error)
			return error;
	}
	rule->labels = labels;
	return 0;
}

static int read_condition(const struct config_tree *tree, const struct config_node *node, struct policy_rule *rule)
{
	if (strcmp(node->key, "kinds") == 0)
		return read_words(tree, node, "kinds", take_kind, rule);
	if (strcmp(node->key, "modes") == 0)
		return read_words(tree, node, "modes", take_mode, rule);
	if (strcmp(node->key, "labels") == 0)
		return read_labels(tree, node, rule);
	if (strcmp(node->key, "namespaces") == 0) {
		rule->namespaces = node;
		return read_words(tree, node, "namespaces", take_pattern, rule);
	}
	if (strcmp(node->key, "paths") == 0) {
		rule->paths = node;
		return read_words(tree, node, "paths", take_path, rule);
	}
	return config_refuse(tree, node, "there is no key record.leave_out.%.200s", node->key);
}

static struct policy_rule *new_rule(
	struct policy_rules *rules, const struct config_tree *tree, const struct config_node *node)
{
	if (rules->count == KERNEL_RULES) {
		config_refuse(tree, node, "record takes at most %d rules", KERNEL_RULES);
		return NULL;
	}
	return &rules->items[rules->count++];
}

static int read_rule(struct policy_rules *rules, const struct config_tree *tree, const struct config_node *node)
{
	const uint64_t opens = 1ull << EVENT_OPEN;
	struct policy_rule *rule = new_rule(rules, tree, node);

	if (!rule)
		return -EINVAL;
	if (node->shape != CONFIG_MAPPING || node->count == 0)
		return config_refuse(
			tree, node, "a rule is made of kinds, namespaces, labels, paths and modes, of one at least");
	for (size_t i = 0; i < node->count; i++) {
		int error = read_condition(tree, &node->items[i], rule);

		if (error)
			return error;
	}
	if ((rule->paths || rule->modes) && rule->kinds & ~opens)
		return config_refuse(tree, node, "paths and modes are those of opens: no other kinds beside them");
	if (!rule->kinds)
		rule->kinds = rule->paths || rule->modes ? opens : policy_kinds();
	if (!rule->modes)
		rule->modes = all_modes;
	return 0;
}

static int read_leave_out(struct policy_rules *rules, const struct config_tree *tree, const struct config_node *list)
{
	if (list->shape == CONFIG_WORD && list->word[0] == '\0')
		return 0;
	if (list->shape != CONFIG_SEQUENCE)
		return config_refuse(tree, list, "record.leave_out takes a list of rules");
	for (size_t i = 0; i < list->count; i++) {
		int error = read_rule(rules, tree, &list->items[i]);

		if (error)
			return error;
	}
	return 0;
}

/* Only these kinds: a rule that leaves out all others. What is recorded by need alone is asked for by being named. */
static int read_only(struct policy_rules *rules, const struct config_tree *tree, const struct config_node *node)
{
	struct policy_rule only = {0};
	int error = read_words(tree, node, "kinds", take_kind, &only);
	struct policy_rule *rule;

	rules->also |= only.kinds & policy_kinds_by_need();
	if (error || (only.kinds | policy_kinds_by_need()) == policy_kinds())
		return error;
	rule = new_rule(rules, tree, node);
	if (!rule)
		return -EINVAL;
	*rule = (struct policy_rule){.kinds = policy_kinds() & ~only.kinds, .modes = all_modes, .others = true};
	return 0;
}

/* Beside what is recorded anyway: kinds by need, every socket, and of opens what a relative path starts from. */
static int take_also(
	const struct config_tree *tree, const struct config_node *node, const char *word, struct policy_rule *rule)
{
	const uint64_t more = 1ull << EVENT_SOCKET | 1ull << EVENT_OPEN;
	int action = event_action_find(text_of(word));

	if (!((policy_kinds_by_need() | more) >> action & 1))
		return config_refuse(tree, node,
			"also takes kinds that are recorded where they are asked for alone (link, symlink, unlink, "
			"rmdir, "
			"rename, chmod, mkdir, dup, ptrace, setuid, setns, unshare, bpf, module, userfaultfd, mount, "
			"receive), socket for every socket, and open for the names of relative paths, not \"%.200s\"",
			word);
	rule->kinds |= 1ull << action;
	return 0;
}

static int read_also(struct policy_rules *rules, const struct config_tree *tree, const struct config_node *node)
{
	struct policy_rule also = {0};
	int error = read_words(tree, node, "also", take_also, &also);

	rules->also |= also.kinds;
	return error;
}

/* When all keys are known: what was asked for is left out by no `kinds`, and has its calls. */
static void settle_also(struct policy_rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rules->items[i].others)
			rules->items[i].kinds &= ~rules->also;
	for (int call = 1; call < EVENT_CALLS_END; call++)
		if (rules->also >> event_call_action(call) & 1)
			rules->calls |= 1ull << call;
	if (rules->also >> EVENT_RMDIR & 1) /* which it can be */
		rules->calls |= 1ull << EVENT_CALL_UNLINKAT;
}

static int check_paths(const struct policy_rules *rules, const struct config_tree *tree)
{
	size_t count = 0;

	for (size_t i = 0; i < rules->count; i++) {
		const struct policy_rule *rule = &rules->items[i];

		count += rule->paths ? policy_word_count(rule->paths) : 0;
		if (count > POLICY_PREFIXES_MAX)
			return config_refuse(
				tree, rule->paths, "record takes at most %d paths in all", POLICY_PREFIXES_MAX);
	}
	return 0;
}

int policy_rules_read(struct policy_rules *rules, const struct config_tree *tree)
{
	const struct config_node *root = &tree->root;

	*rules = (struct policy_rules){0};
	if (!tree->file || (root->shape == CONFIG_WORD && root->word[0] == '\0'))
		return 0;
	if (root->shape != CONFIG_MAPPING)
		return config_refuse(tree, root, "record takes keys of its own: kinds, also and leave_out");
	for (size_t i = 0; i < root->count; i++) {
		const struct config_node *node = &root->items[i];
		int error;

		if (strcmp(node->key, "kinds") == 0)
			error = read_only(rules, tree, node);
		else if (strcmp(node->key, "also") == 0)
			error = read_also(rules, tree, node);
		else if (strcmp(node->key, "leave_out") == 0)
			error = read_leave_out(rules, tree, node);
		else
			error = config_refuse(tree, node, "there is no key record.%.200s", node->key);
		if (error)
			return error;
	}
	settle_also(rules);
	return check_paths(rules, tree);
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

/* Is the text one of the words, or does it begin as one that ends in *? */
static bool words_match(const struct config_node *words, struct text text)
{
	for (size_t i = 0; i < policy_word_count(words); i++) {
		struct text word = text_of(policy_word(words, i));

		if (word.data[word.length - 1] == '*') {
			word.length--;
			if (text_starts_with(text, word))
				return true;
		} else if (text_equal(text, word)) {
			return true;
		}
	}
	return false;
}

bool policy_rule_names(const struct policy_rule *rule, const struct event_container *names)
{
	if (rule->namespaces &&
		(names->pod_namespace.length == 0 || !words_match(rule->namespaces, names->pod_namespace)))
		return false;
	for (size_t i = 0; rule->labels && i < rule->labels->count; i++) {
		const struct config_node *label = &rule->labels->items[i];
		struct text key = text_of(label->key);
		bool found = false;

		for (size_t j = 0; !found && j < names->label_count; j++)
			found = text_equal(names->labels[j].key, key) && words_match(label, names->labels[j].value);
		if (!found)
			return false;
	}
	return true;
}

static bool equal_rules(const struct policy_rule *a, const struct policy_rule *b)
{
	return a->kinds == b->kinds && a->modes == b->modes && a->others == b->others &&
	       config_nodes_equal(a->namespaces, b->namespaces) && config_nodes_equal(a->labels, b->labels) &&
	       config_nodes_equal(a->paths, b->paths);
}

bool policy_rules_begin(const struct policy_rules *rules, const struct policy_rules *first)
{
	if (rules->count < first->count)
		return false;
	for (size_t i = 0; i < first->count; i++)
		if (!equal_rules(&rules->items[i], &first->items[i]))
			return false;
	return true;
}
