/* SPDX-License-Identifier: Apache-2.0 */
/* What is recorded: from the configuration's words to masks, and from masks to verdicts. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "sensor/policy.h"
#include "test_config.h"

static struct config_tree tree;
static struct policy_rules rules;
static const struct config_key keys[] = {{"record", CONFIG_TREE, &tree, 0, 0, ""}, CONFIG_END};
static int read_record(void)
{
	return policy_rules_read(&rules, &tree);
}

static int read_rules(const char *yaml)
{
	return read_bytes(keys, yaml, strlen(yaml), read_record);
}

static void expect_refused(const char *yaml, const char *message)
{
	read_refused(keys, yaml, read_record, message);
}

static struct policy *compiled(const char *yaml, uint64_t needed)
{
	struct policy *policy;

	cr_assert_eq(read_rules(yaml), 0, "%s", said);
	cr_assert_eq(policy_open(&policy, &rules, needed, 1), 0);
	return policy;
}

static void closed(struct policy *policy)
{
	policy_close(policy);
	config_free(keys);
}

static const struct event_label labels[] = {
	{TEXT_STATIC("app"), TEXT_STATIC("noisy-web")}, {TEXT_STATIC("tier"), TEXT_STATIC("2")}};
static struct event_container pod = {.id = {7},
	.pod_namespace = TEXT_STATIC("shop"),
	.pod_name = TEXT_STATIC("web"),
	.labels = labels,
	.label_count = 2};

static struct event opened(const char *path, uint32_t flags)
{
	return (struct event){
		.action = EVENT_OPEN, .count = 1, .container = &pod, .file = {.path = text_of(path), .flags = flags}};
}

static bool left_out(struct policy *policy, enum event_action action)
{
	struct event event = {.action = action, .count = 1, .container = &pod};

	return policy_leaves_out(policy, &event);
}

static bool open_left_out(struct policy *policy, const char *path, uint32_t flags)
{
	struct event event = opened(path, flags);

	return policy_leaves_out(policy, &event);
}

/* The verdict of the longest key of the kernel's trie that the path begins with: what bpf/policy.h gets from it. */
static uint64_t trie_rules(const struct policy *policy, const char *path)
{
	const struct kernel_prefix *prefixes;
	const uint64_t *prefix_rules;
	size_t count = policy_prefixes(policy, &prefixes, &prefix_rules), longest = 0;
	uint64_t found = 0;

	for (size_t i = 0; i < count; i++)
		if (prefixes[i].bits / 8 >= longest && strncmp(path, prefixes[i].path, prefixes[i].bits / 8) == 0) {
			longest = prefixes[i].bits / 8;
			found = prefix_rules[i];
		}
	return found;
}

/* --- words ------------------------------------------------------------------------------------------------------------ */

Test(policy, nothing_said_leaves_nothing_out)
{
	static const char *const nothing[] = {"", "record:\n", "record: {}\n", "record: {leave_out: []}\n",
		"record:\n  leave_out:\n",
		("record: {kinds: [exec, fork, end, open, connect, accept, listen, send, disconnect, socket, flow, "
		 "dns]}\n")};

	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
		struct policy *policy = compiled(nothing[i], 0);
		const struct kernel_policy none = {0};

		cr_assert_eq(memcmp(policy_masks(policy), &none, sizeof(none)), 0, "%s", nothing[i]);
		for (int action = 1; action < EVENT_ACTIONS_END; action++)
			cr_assert_not(left_out(policy, action));
		cr_assert_not(policy_due(policy, UINT64_MAX, true));
		closed(policy);
	}
}

Test(policy, what_is_wrong_is_said_with_its_line)
{
	expect_refused("record: exec\n", "FILE:1: record takes keys of its own");
	expect_refused("record: [exec]\n", "FILE:1: record takes keys of its own");
	expect_refused("record:\n  kind: [exec]\n", "FILE:2: there is no key record.kind");
	expect_refused("record:\n  kinds: [exec,\n    opne]\n", "FILE:3: kinds takes kinds of events");
	expect_refused("record: {kinds: []}\n", "FILE:1: kinds takes a word or a list of words");
	expect_refused("record: {kinds: [[exec]]}\n", "FILE:1: kinds takes a word or a list of words");
	expect_refused("record: {kinds: [events_lost]}\n", "FILE:1: kinds takes kinds of events");
	expect_refused("record: {kinds: [events_filtered]}\n", "FILE:1: kinds takes kinds of events");
	expect_refused("record: {kinds: [\"\"]}\n", "FILE:1: kinds takes a word or a list of words");
	expect_refused("record: {leave_out: {kinds: [exec]}}\n", "FILE:1: record.leave_out takes a list of rules");
	expect_refused("record: {leave_out: all}\n", "FILE:1: record.leave_out takes a list of rules");
	expect_refused("record:\n  leave_out:\n    - {}\n", "FILE:3: a rule is made of");
	expect_refused("record:\n  leave_out:\n    - exec\n", "FILE:3: a rule is made of");
	expect_refused("record:\n  leave_out:\n    - kinds: open\n      path: /x\n",
		"FILE:4: there is no key record.leave_out.path");
	expect_refused("record:\n  leave_out:\n    - modes: append\n", "FILE:3: modes takes read, write and create");
	expect_refused(
		"record:\n  leave_out:\n    - paths: [proc]\n", "FILE:3: paths takes beginnings of absolute paths");
	expect_refused(
		"record:\n  leave_out:\n    - paths: [/a//b]\n", "FILE:3: paths takes beginnings of absolute paths");
	expect_refused(
		"record:\n  leave_out:\n    - paths: [/a/../b]\n", "FILE:3: paths takes beginnings of absolute paths");
	expect_refused(
		"record:\n  leave_out:\n    - paths: [/a/*]\n", "FILE:3: paths takes beginnings of paths, without a *");
	expect_refused("record:\n  leave_out:\n    - paths: {a: b}\n", "FILE:3: paths takes a word or a list of words");
	expect_refused("record:\n  leave_out:\n    - kinds: [exec]\n      paths: [/x]\n",
		"FILE:3: paths and modes are those of opens");
	expect_refused("record:\n  leave_out:\n    - kinds: [open, exec]\n      modes: [read]\n",
		"FILE:3: paths and modes are those of opens");
	expect_refused("record:\n  leave_out:\n    - namespaces: [\"a*b\"]\n", "FILE:3: a * stands at the end only");
	expect_refused("record:\n  leave_out:\n    - labels: [app]\n", "FILE:3: labels takes keys with their values");
	expect_refused("record:\n  leave_out:\n    - labels: {}\n", "FILE:3: labels takes keys with their values");
	expect_refused("record:\n  leave_out:\n    - labels:\n        app: {a: b}\n",
		"FILE:4: a label takes a word or a list of words");
	expect_refused("record:\n  leave_out:\n    - labels: {app: \"*a\"}\n", "FILE:3: a * stands at the end only");
}

Test(policy, there_are_at_most_64_rules_and_4096_paths_of_255_bytes)
{
	static char yaml[1 << 20];
	size_t length = (size_t)sprintf(yaml, "record:\n  leave_out:\n");

	for (int i = 0; i < 64; i++)
		length += (size_t)sprintf(yaml + length, "    - namespaces: [n%d]\n", i);
	cr_assert_eq(read_rules(yaml), 0, "%s", said);
	cr_assert_eq(rules.count, 64);
	config_free(keys);
	sprintf(yaml + length, "    - namespaces: [n]\n");
	expect_refused(yaml, "FILE:67: record takes at most 64 rules");
	sprintf(yaml + length, "  kinds: [exec]\n");
	expect_refused(yaml, "FILE:67: record takes at most 64 rules");
	length = (size_t)sprintf(yaml, "record:\n  leave_out:\n  - paths: [");
	for (int i = 0; i < 4096; i++)
		length += (size_t)sprintf(yaml + length, "/%d,", i);
	sprintf(yaml + length, "]\n");
	cr_assert_eq(read_rules(yaml), 0, "%s", said);
	config_free(keys);
	sprintf(yaml + length, "]\n  - paths: /x\n");
	expect_refused(yaml, "FILE:4: record takes at most 4096 paths");
	sprintf(yaml, "record: {leave_out: [{paths: [/%0254d]}]}\n", 0);
	cr_assert_eq(read_rules(yaml), 0, "%s", said);
	config_free(keys);
	sprintf(yaml, "record: {leave_out: [{paths: [/%0255d]}]}\n", 0);
	expect_refused(yaml, "FILE:1: paths takes beginnings of at most 255 bytes");
}

/* What is recorded by need: the calls that make it. */
Test(policy, also_asks_for_calls)
{
	const uint64_t chmods = 1ull << EVENT_CALL_CHMOD | 1ull << EVENT_CALL_FCHMOD | 1ull << EVENT_CALL_FCHMODAT |
				1ull << EVENT_CALL_FCHMODAT2;
	struct policy *policy;

	closed(compiled("", 0));
	cr_assert_eq(rules.calls, 0, "none without being asked for");
	policy = compiled("record: {also: [chmod, rmdir, socket]}\n", 0);
	cr_assert_eq(rules.calls,
		chmods | 1ull << EVENT_CALL_RMDIR | 1ull << EVENT_CALL_UNLINKAT | 1ull << EVENT_CALL_SOCKET);
	cr_assert_not(left_out(policy, EVENT_CHMOD));
	closed(policy);
	policy = compiled("record:\n  kinds: [exec, chmod]\n  also: mount\n", 0);
	cr_assert_eq(rules.calls,
		chmods | 1ull << EVENT_CALL_MOUNT | 1ull << EVENT_CALL_UMOUNT | 1ull << EVENT_CALL_MOVE_MOUNT,
		"what kinds names is asked for");
	cr_assert_not(left_out(policy, EVENT_CHMOD));
	cr_assert_not(left_out(policy, EVENT_MOUNT), "kinds leaves out nothing that also asks for");
	cr_assert(left_out(policy, EVENT_OPEN));
	closed(policy);
	expect_refused("record: {also: [exec]}\n",
		"FILE:1: also takes kinds that are recorded where they are asked for alone");
	expect_refused("record: {also: {chmod: 1}}\n", "FILE:1: also takes a word or a list of words");
}

Test(policy, what_somebody_else_asked_for_makes_no_document)
{
	struct kernel_header header = {.kind = KERNEL_UNLINK};
	struct record record = {.header = &header};
	struct policy *policy = compiled("record: {also: rmdir}\n", 0);

	cr_assert_not(policy_asked(policy, &record), "rmdir by unlinkat brings files' unlinkat along");
	header.kind = KERNEL_RMDIR;
	cr_assert(policy_asked(policy, &record));
	header.kind = KERNEL_OPEN;
	cr_assert(policy_asked(policy, &record));
	header.kind = KERNEL_CONNECT_RETURNED;
	cr_assert_not(policy_asked(policy, &record));
	header.kind = KERNEL_SOCKET;
	cr_assert(policy_asked(policy, &record));
	header.marks = KERNEL_ASKED;
	cr_assert_not(policy_asked(policy, &record), "an ordinary socket");
	closed(policy);
	policy = compiled("record: {also: socket}\n", 0);
	cr_assert(policy_asked(policy, &record));
	closed(policy);
	policy = compiled("record: {also: receive}\n", 0);
	header = (struct kernel_header){.kind = KERNEL_RECEIVE};
	cr_assert(policy_asked(policy, &record));
	header.marks = KERNEL_RULES_ALONE;
	cr_assert_not(policy_asked(policy, &record), "told for its data alone");
	closed(policy);
}

/* --- verdicts --------------------------------------------------------------------------------------------------------- */

Test(policy, only_these_kinds)
{
	struct policy *policy = compiled("record: {kinds: [exec, connection_attempted]}\n", 0);

	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		cr_assert_eq(left_out(policy, action),
			event_action_name(action) && event_action_category(action) != EVENT_HEALTH &&
				event_action_category(action) != EVENT_CONTAINER && action != EVENT_VERDICT &&
				action != EVENT_EXEC && action != EVENT_CONNECT,
			"action %d", action);
	closed(policy);
}

Test(policy, all_conditions_of_a_rule_must_hold_and_one_rule_is_enough)
{
	struct policy *policy = compiled("record:\n"
					 "  leave_out:\n"
					 "    - {kinds: open, paths: [/proc/, /sys/], modes: read}\n"
					 "    - {modes: [write, create], paths: /tmp/}\n"
					 "    - {kinds: [send, end]}\n",
		0);
	struct event event;

	cr_assert(open_left_out(policy, "/proc/self/maps", O_RDONLY));
	cr_assert(open_left_out(policy, "/sys/x", O_RDONLY | O_CREAT), "it created nothing");
	cr_assert_not(open_left_out(policy, "/proc/self/maps", O_WRONLY));
	cr_assert_not(open_left_out(policy, "/proc", O_RDONLY), "not the directory itself");
	cr_assert_not(open_left_out(policy, "/processes", O_RDONLY));
	cr_assert_not(open_left_out(policy, "/", O_RDONLY));
	cr_assert_not(open_left_out(policy, "", O_RDONLY));
	cr_assert(open_left_out(policy, "/tmp/x", O_RDWR));
	cr_assert(open_left_out(policy, "/tmp/x", O_RDONLY | O_TRUNC));
	cr_assert_not(open_left_out(policy, "/tmp/x", O_RDONLY));
	event = opened("/tmp/x", O_RDONLY);
	event.file.created = true;
	cr_assert(policy_leaves_out(policy, &event));
	cr_assert(left_out(policy, EVENT_SEND));
	cr_assert(left_out(policy, EVENT_END));
	cr_assert_not(left_out(policy, EVENT_EXEC));
	closed(policy);
}

Test(policy, no_path_is_believed_that_is_in_doubt_cut_foreign_or_claimed)
{
	struct policy *policy = compiled("record: {leave_out: [{paths: /proc/}, {modes: write}]}\n", 0);
	struct event event = opened("/proc/x", O_RDONLY);

	cr_assert(policy_leaves_out(policy, &event));
	event.file.foreign = true;
	cr_assert_not(policy_leaves_out(policy, &event), "its root is not the machine's");
	event = opened("/proc/x", O_RDONLY);
	event.truncated = EVENT_CUT_FILE_PATH;
	cr_assert_not(policy_leaves_out(policy, &event), "its beginning is gone");
	event = opened("/proc/x", O_RDONLY);
	event.outcome = EVENT_FAILURE;
	cr_assert_not(policy_leaves_out(policy, &event), "the path is the program's word");
	event.file.flags = O_WRONLY;
	cr_assert(policy_leaves_out(policy, &event), "but the mode is what it asked for");
	event = opened("/proc/x", O_WRONLY);
	event.file.unsure = true;
	cr_assert_not(policy_leaves_out(policy, &event), "neither path nor mode need be its own");
	closed(policy);
	policy = compiled("record: {leave_out: [{kinds: open}]}\n", 0);
	cr_assert(policy_leaves_out(policy, &event));
	closed(policy);
}

Test(policy, the_longest_prefix_has_the_rules_of_all_that_are_in_it)
{
	struct policy *policy = compiled("record:\n"
					 "  leave_out:\n"
					 "    - {paths: [/a/, /a/b/c, /zz], modes: read}\n"
					 "    - {paths: [/a/b, /a/b/c, /a/], modes: write}\n"
					 "    - {paths: [/a/b/c/d, /], modes: create}\n",
		0);
	static const struct {
		const char *path;
		uint64_t rules;
	} cases[] = {{"/", 4}, {"/a", 4}, {"/a/", 7}, {"/a/a", 7}, {"/a/b", 7}, {"/a/b/c", 7}, {"/a/b/c/d/e", 7},
		{"/a/c", 7}, {"/b", 4}, {"/zy", 4}, {"/zz", 5}, {"/zzz", 5}, {"/\xff", 4}, {"a", 0}};
	const struct kernel_prefix *prefixes;
	const uint64_t *prefix_rules;

	cr_assert_eq(policy_prefixes(policy, &prefixes, &prefix_rules), 6, "equal ones are one");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct event created = opened(cases[i].path, O_RDWR | O_CREAT);

		cr_assert_eq(trie_rules(policy, cases[i].path), cases[i].rules, "%s", cases[i].path);
		created.file.created = true;
		cr_assert_eq(open_left_out(policy, cases[i].path, O_RDONLY), cases[i].rules & 1, "%s", cases[i].path);
		cr_assert_eq(
			open_left_out(policy, cases[i].path, O_WRONLY), cases[i].rules >> 1 & 1, "%s", cases[i].path);
		cr_assert_eq(policy_leaves_out(policy, &created), cases[i].rules >> 2 & 1, "%s", cases[i].path);
	}
	closed(policy);
}

/* Against the plain meaning: is any of the rule's words the beginning of the path? */
Test(policy, prefixes_mean_the_same_compiled)
{
	static char yaml[65536];
	char words[300][12];

	srandom(20251125);
	for (int round = 0; round < 50; round++) {
		size_t length = (size_t)sprintf(yaml, "record:\n  leave_out:\n    - {modes: write, paths: [");
		int count = 1 + (int)(random() % 300);
		struct policy *policy;

		for (int i = 0; i < count; i++) {
			size_t letters = 1 + (size_t)random() % 10;

			words[i][0] = '/';
			for (size_t j = 1; j < letters; j++)
				words[i][j] = (char)('a' + random() % 2);
			words[i][letters] = '\0';
			length += (size_t)sprintf(yaml + length, "%s, ", words[i]);
		}
		sprintf(yaml + length, "]}\n");
		policy = compiled(yaml, 0);
		for (int probe = 0; probe < 500; probe++) {
			char path[16] = "/";
			bool expected = false;

			for (size_t j = 1, letters = (size_t)random() % 14; j < letters; j++)
				path[j] = (char)('a' + random() % 2);
			for (int i = 0; i < count; i++)
				expected |= strncmp(path, words[i], strlen(words[i])) == 0;
			cr_assert_eq(open_left_out(policy, path, O_WRONLY), expected, "%s in %s", path, yaml);
			cr_assert_eq(trie_rules(policy, path), expected, "%s in %s", path, yaml);
		}
		closed(policy);
	}
}

Test(policy, names_of_a_container_count_from_when_they_are_known)
{
	struct policy *policy = compiled("record:\n"
					 "  leave_out:\n"
					 "    - {kinds: exec, namespaces: [kube-system, \"sh*\"]}\n"
					 "    - {kinds: fork, labels: {app: [quiet, \"noisy-*\"], tier: 2}}\n"
					 "    - {kinds: end, labels: {app: noisy}}\n"
					 "    - {kinds: send, namespaces: shop, labels: {tier: \"*\"}}\n"
					 "    - {kinds: listen}\n",
		0);
	struct event_container other = pod;
	uint64_t mask = 99;

	cr_assert_not(left_out(policy, EVENT_EXEC), "its names are not known");
	cr_assert(left_out(policy, EVENT_LISTEN));
	cr_assert(policy_name(policy, &pod, &mask));
	cr_assert_eq(mask, 1 | 2 | 8);
	cr_assert_not(policy_name(policy, &pod, &mask), "nothing new");
	cr_assert(left_out(policy, EVENT_EXEC));
	cr_assert(left_out(policy, EVENT_FORK));
	cr_assert_not(left_out(policy, EVENT_END));
	cr_assert(left_out(policy, EVENT_SEND));
	other.label_count = 1;
	cr_assert(policy_name(policy, &other, &mask), "a label is gone");
	cr_assert_eq(mask, 1);
	cr_assert_not(left_out(policy, EVENT_FORK));
	other.pod_namespace = TEXT_LITERAL("s");
	cr_assert(policy_name(policy, &other, &mask));
	cr_assert_eq(mask, 0);
	cr_assert_not(left_out(policy, EVENT_EXEC));
	cr_assert_not(policy_forget(policy, pod.id), "it has no rules any more");
	cr_assert(policy_name(policy, &pod, &mask));
	cr_assert(policy_forget(policy, pod.id));
	cr_assert_not(left_out(policy, EVENT_EXEC));
	other.pod_namespace = (struct text){0};
	cr_assert_not(
		policy_name(policy, &other, &mask), "a container without a pod is in no namespace, not even in *");
	closed(policy);
}

/* --- the kernel's part ------------------------------------------------------------------------------------------------ */

Test(policy, the_kernel_gets_what_it_may_leave_out)
{
	struct policy *policy = compiled("record:\n"
					 "  leave_out:\n"
					 "    - {kinds: [exec, fork, end, open, connect, disconnect]}\n"
					 "    - {kinds: [accept, listen, send], namespaces: shop}\n"
					 "    - {paths: /proc/}\n"
					 "    - {modes: read}\n",
		0);
	const struct kernel_policy *masks = policy_masks(policy);
	struct kernel_header header = {.container_id = {7}};
	uint64_t mask;

	cr_assert_eq(masks->kinds[KERNEL_EXEC], 0, "the process table needs it");
	cr_assert_eq(masks->kinds[KERNEL_FORK], 0);
	cr_assert_eq(masks->kinds[KERNEL_EXIT], 0);
	cr_assert_eq(masks->kinds[KERNEL_PROCESS], 0);
	cr_assert_eq(masks->kinds[KERNEL_EXEC_FAILED], 1);
	cr_assert_eq(masks->kinds[KERNEL_OPEN], 1 | 4 | 8);
	cr_assert_eq(masks->kinds[KERNEL_CONNECT], 1);
	cr_assert_eq(masks->kinds[KERNEL_CONNECT_DONE], 1);
	cr_assert_eq(masks->kinds[KERNEL_DISCONNECT], 1);
	cr_assert_eq(masks->kinds[KERNEL_ACCEPT], 0, "the end is recorded, and wants its process");
	cr_assert_eq(masks->kinds[KERNEL_LISTEN], 2);
	cr_assert_eq(masks->kinds[KERNEL_SEND], 2);
	cr_assert_eq(masks->unnamed, 1 | 4 | 8);
	cr_assert_eq(masks->pathless, 1 | 2 | 8);
	cr_assert_eq(masks->plain, 1 | 2);
	cr_assert_eq(masks->modes[KERNEL_MODE_READ], 15);
	cr_assert_eq(masks->modes[KERNEL_MODE_WRITE], 7);
	cr_assert(policy_stops(policy, KERNEL_DISCONNECT, &header));
	cr_assert_not(policy_stops(policy, KERNEL_LISTEN, &header));
	policy_name(policy, &pod, &mask);
	cr_assert_not(policy_stops(policy, KERNEL_LISTEN, &header), "that record is of no container");
	header.flags = KERNEL_IN_CONTAINER;
	cr_assert(policy_stops(policy, KERNEL_LISTEN, &header));
	closed(policy);
}

Test(policy, what_others_need_is_left_out_behind_them)
{
	const char *yaml = "record: {leave_out: [{kinds: [open, connect, disconnect, send, exec]}]}\n";
	struct policy *policy = compiled(yaml, 1ull << EVENT_OPEN | 1ull << EVENT_DISCONNECT | 1ull << EVENT_EXEC);
	const struct kernel_policy *masks = policy_masks(policy);

	cr_assert_eq(masks->kinds[KERNEL_OPEN], 0);
	cr_assert_eq(masks->kinds[KERNEL_DISCONNECT], 0);
	cr_assert_eq(masks->kinds[KERNEL_CONNECT], 0, "the end that is needed wants its process");
	cr_assert_eq(masks->kinds[KERNEL_EXEC_FAILED], 0);
	cr_assert_eq(masks->kinds[KERNEL_SEND], 1);
	cr_assert(left_out(policy, EVENT_OPEN));
	cr_assert(left_out(policy, EVENT_DISCONNECT));
	cr_assert(left_out(policy, EVENT_CONNECT));
	cr_assert(left_out(policy, EVENT_EXEC));
	closed(policy);
}

/* --- telling ---------------------------------------------------------------------------------------------------------- */

Test(policy, what_was_left_out_is_told_once_with_its_time)
{
	const uint64_t minute = 60ull * 1000 * 1000 * 1000;
	struct policy *policy = compiled("record: {leave_out: [{kinds: [open, exec, connect, disconnect]}]}\n", 0);
	uint64_t kernel[KERNEL_KINDS_END] = {[KERNEL_OPEN] = 1000, [KERNEL_CONNECT] = 3, [KERNEL_CONNECT_DONE] = 4};
	struct event many = opened("/x", O_RDONLY);
	struct event_filtered filtered;

	many.count = 20;
	cr_assert(policy_leaves_out(policy, &many));
	cr_assert(left_out(policy, EVENT_EXEC));
	cr_assert_not(policy_due(policy, minute, false));
	cr_assert(policy_due(policy, minute, true));
	cr_assert(policy_due(policy, minute + 1, false));
	cr_assert(policy_tell(policy, kernel, minute + 1, &filtered));
	cr_assert_eq(filtered.start_ns, 1);
	cr_assert_eq(filtered.end_ns, minute + 1);
	cr_assert_eq(filtered.count, 1028);
	cr_assert_eq(filtered.in_kernel, 1007);
	cr_assert_eq(filtered.counts[EVENT_OPEN], 1020);
	cr_assert_eq(filtered.counts[EVENT_EXEC], 1);
	cr_assert_eq(filtered.counts[EVENT_CONNECT], 7);
	cr_assert_eq(filtered.counts[EVENT_DISCONNECT], 0);
	cr_assert_not(policy_due(policy, minute + 2, false));
	cr_assert_not(policy_tell(policy, kernel, 2 * minute + 1, &filtered), "nothing since");
	kernel[KERNEL_OPEN]++;
	cr_assert(policy_tell(policy, kernel, 3 * minute + 1, &filtered));
	cr_assert_eq(filtered.start_ns, 2 * minute + 1);
	cr_assert_eq(filtered.count, 1);
	cr_assert_eq(filtered.counts[EVENT_OPEN], 1);
	closed(policy);
}

Test(policy, another_policy_goes_on_telling_what_was_left_out)
{
	uint64_t kernel[KERNEL_KINDS_END] = {0};
	struct policy *before = compiled("record:\n  leave_out:\n    - kinds: [exec, connect]\n", 0), *policy;
	static struct policy_rules none;
	struct event_filtered filtered;

	kernel[KERNEL_CONNECT] = 3;
	cr_assert(left_out(before, EVENT_EXEC));
	cr_assert_eq(policy_open(&policy, &none, UINT64_MAX, 5), 0);
	cr_assert_not(policy_due(policy, 6, true), "without rules there is nothing to tell");
	policy_inherit(policy, before);
	closed(before);
	cr_assert(policy_due(policy, 6, true));
	cr_assert(policy_tell(policy, kernel, 6, &filtered));
	cr_assert_eq(filtered.start_ns, 1);
	cr_assert_eq(filtered.count, 4);
	cr_assert_eq(filtered.in_kernel, 3);
	cr_assert_eq(filtered.counts[EVENT_EXEC], 1);
	cr_assert_not(policy_tell(policy, kernel, 7, &filtered));
	cr_assert_not(left_out(policy, EVENT_EXEC));
	policy_close(policy);
}

Test(policy, rules_that_were_added_are_not_the_kernels)
{
	static struct policy_rules first, other;
	static struct config_tree first_tree, other_tree;
	const struct config_key first_keys[] = {{"record", CONFIG_TREE, &first_tree, 0, 0, ""}, CONFIG_END},
				other_keys[] = {{"record", CONFIG_TREE, &other_tree, 0, 0, ""}, CONFIG_END};
	const char *begin = "record: {leave_out: [{kinds: [listen], namespaces: [a]}, {paths: [/proc/]}",
		   *others[] = {", {kinds: [send]}]}", "], also: [mkdir]}"};
	struct kernel_header header = {.kind = KERNEL_SEND};
	struct policy *policy;
	char text[256];

	snprintf(text, sizeof(text), "%s]}", begin);
	cr_assert_eq(read_bytes(first_keys, text, strlen(text), NULL), 0, "%s", said);
	cr_assert_eq(policy_rules_read(&first, &first_tree), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(text, sizeof(text), "\n%s%s", begin, others[i]);
		cr_assert_eq(read_bytes(other_keys, text, strlen(text), NULL), 0, "%s", said);
		cr_assert_eq(policy_rules_read(&other, &other_tree), 0);
		cr_assert(policy_rules_begin(&other, &first), "%s", text);
		cr_assert_eq(policy_rules_begin(&first, &other), i == 1);
	}
	snprintf(text, sizeof(text), "%s%s", begin, others[0]);
	cr_assert_eq(read_bytes(other_keys, text, strlen(text), NULL), 0, "%s", said);
	cr_assert_eq(policy_rules_read(&other, &other_tree), 0);
	cr_assert_eq(policy_open(&policy, &other, 0, 1), 0);
	cr_assert(policy_stops(policy, KERNEL_SEND, &header));
	policy_kernel_has(policy, first.count);
	cr_assert_not(policy_stops(policy, KERNEL_SEND, &header), "the kernel does not know that rule");
	cr_assert_eq(policy_masks(policy)->kinds[KERNEL_LISTEN], 1);
	cr_assert(left_out(policy, EVENT_SEND), "the sensor does");
	policy_close(policy);
	snprintf(text, sizeof(text), "record: {leave_out: [{kinds: [listen], namespaces: [b]}, {paths: [/proc/]}]}");
	cr_assert_eq(read_bytes(other_keys, text, strlen(text), NULL), 0, "%s", said);
	cr_assert_eq(policy_rules_read(&other, &other_tree), 0);
	cr_assert_not(policy_rules_begin(&other, &first));
	config_free(first_keys);
	config_free(other_keys);
}
