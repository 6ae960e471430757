/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "test_config.h"

static struct {
	bool on;
	char *word;
	uint64_t number, size, duration, any;
	struct config_list list, other;
	struct config_tree tree;
} got;

static const struct config_key keys[] = {
	{"on", CONFIG_BOOL, &got.on, 0, 0, ""},
	{"word", CONFIG_TEXT, &got.word, 0, 0, ""},
	{"a.number", CONFIG_NUMBER, &got.number, 3, 100, ""},
	{"a.size", CONFIG_SIZE, &got.size, 1024, 1ull << 34, ""},
	{"a.b.duration", CONFIG_DURATION, &got.duration, 10, 3600000, ""},
	{"any", CONFIG_NUMBER, &got.any, 0, 0, ""},
	{"list", CONFIG_LIST, &got.list, 0, 0, ""},
	{"a.list", CONFIG_LIST, &got.other, 0, 0, ""},
	{"tree", CONFIG_TREE, &got.tree, 0, 0, ""},
	CONFIG_END,
};

static int read_text(const char *yaml)
{
	return read_bytes(keys, yaml, strlen(yaml), NULL);
}

static void expect_refused(const char *yaml, const char *message)
{
	read_refused(keys, yaml, NULL, message);
}

Test(config, a_file_sets_keys_of_all_types)
{
	cr_assert_eq(read_text("# comment\non: yes\nword: \"two words\"\na:\n  number: 42\n  size: 16M\n  b:\n    "
			       "duration: 250ms\n"
			       "  list: alone\nany: 18446744073709551615\nlist:\n  - one\n  - two\n"),
		0, "%s", said);
	cr_assert(got.on);
	cr_assert_str_eq(got.word, "two words");
	cr_assert_eq(got.number, 42);
	cr_assert_eq(got.size, 16 << 20);
	cr_assert_eq(got.duration, 250);
	cr_assert_eq(got.any, UINT64_MAX);
	cr_assert_eq(got.list.count, 2);
	cr_assert_str_eq(got.list.items[0], "one");
	cr_assert_str_eq(got.list.items[1], "two");
	cr_assert_eq(got.other.count, 1);
	cr_assert_str_eq(got.other.items[0], "alone");
	cr_assert_str_empty(said);
	config_free(keys);
	cr_assert_null(got.word);
	cr_assert_eq(got.list.count, 0);
	config_free(keys);
}

Test(config, files_that_say_nothing_are_fine)
{
	static const char *const empty[] = {
		"", "\n", "# only a comment\n", "---\n", "--- {}\n", "{}", "a:\n", "~", "list: []"};

	for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++)
		cr_assert(read_text(empty[i]) == 0 || strcmp(empty[i], "~") == 0, "%s: %s", empty[i], said);
}

Test(config, a_later_list_replaces_an_earlier)
{
	cr_assert_eq(read_text("list: [a, b, c]"), 0);
	cr_assert_eq(read_text("list: [d]"), 0);
	cr_assert_eq(got.list.count, 1);
	cr_assert_str_eq(got.list.items[0], "d");
	cr_assert_eq(read_text("list: []"), 0);
	cr_assert_eq(got.list.count, 0);
	config_free(keys);
}

Test(config, a_tree_keeps_shapes_words_keys_and_lines)
{
	const struct config_node *root = &got.tree.root, *rules, *rule;
	char why[256];

	cr_assert_null(got.tree.file);
	cr_assert_eq(
		read_text("on: yes\ntree:\n  kinds: [a, \"b c\"]\n  rules:\n    - {x: 1, y: {z: []}}\n    - two\n  "
			  "empty:\nword: w\n"),
		0, "%s", said);
	cr_assert_str_eq(got.word, "w");
	cr_assert_eq(root->shape, CONFIG_MAPPING);
	cr_assert_eq(root->count, 3);
	cr_assert_str_eq(root->items[0].key, "kinds");
	cr_assert_eq(root->items[0].line, 3);
	cr_assert_eq(root->items[0].shape, CONFIG_SEQUENCE);
	cr_assert_eq(root->items[0].count, 2);
	cr_assert_str_eq(root->items[0].items[1].word, "b c");
	rules = &root->items[1];
	cr_assert_eq(rules->count, 2);
	cr_assert_str_eq(rules->items[1].word, "two");
	cr_assert_eq(rules->items[1].line, 6);
	rule = &rules->items[0];
	cr_assert_eq(rule->line, 5);
	cr_assert_str_eq(rule->items[0].word, "1");
	cr_assert_str_eq(rule->items[1].items[0].key, "z");
	cr_assert_eq(rule->items[1].items[0].shape, CONFIG_SEQUENCE);
	cr_assert_eq(rule->items[1].items[0].count, 0);
	cr_assert_str_empty(root->items[2].word);

	struct capture capture = capture_begin(STDERR_FILENO);

	cr_assert_eq(config_refuse(&got.tree, rule, "so \033%s", "not"), -EINVAL);
	capture_end(&capture, said, sizeof(said));
	cr_assert(strstr(said, ":5: so ?not\n"), "%s", said);
	cr_assert_eq(read_text("tree: word\n"), 0);
	cr_assert_str_eq(root->word, "word");
	cr_assert_eq(root->count, 0);
	cr_assert_eq(config_assign(keys, "tree", "{}", false, why, sizeof(why)), -EINVAL);
	cr_assert_str_eq(why, "tree takes what only a configuration file can say, not \"{}\"");
	config_free(keys);
	cr_assert_null(got.tree.file);
	config_free(keys);
}

Test(config, a_tree_has_its_limits)
{
	static char bytes[1 << 20];
	size_t length = (size_t)sprintf(bytes, "tree: [");

	expect_refused("tree: {a: 1, b: 2, a: 3}\n", "FILE:1: a is said twice");
	expect_refused("tree:\n  ? [a]\n  : b\n", "FILE:2: a key must be a word");
	expect_refused("tree: &t [1]\nlist: *t\n", "FILE:2: aliases");
	expect_refused("tree:\n  a: [*t]\n", "FILE:2: aliases");
	expect_refused("tree: []\ntree: []\n", "FILE:2: tree is said twice");
	expect_refused("tree: [[[[[[[[[[1]]]]]]]]]]\n", "FILE:1: this is deeper than");
	expect_refused("tree: [1, 2\n", "FILE:2: this is no YAML");
	for (int i = 0; i < 70000; i++)
		length += (size_t)sprintf(bytes + length, "a,");
	sprintf(bytes + length, "]");
	expect_refused(bytes, "FILE:1: this is more than");
	length = (size_t)sprintf(bytes, "tree: {");
	for (int i = 0; i < 300; i++)
		length += (size_t)sprintf(bytes + length, "k%d: x,", i);
	sprintf(bytes + length, "}");
	expect_refused(bytes, "FILE:1: this is more than");
}

Test(config, what_is_wrong_is_said_with_its_line)
{
	expect_refused("on: yes\nnope: 1\n", "FILE:2: there is no key nope");
	expect_refused("a:\n  number: 5\n  nope: 1\n", "FILE:3: there is no key a.nope");
	expect_refused("\n\non: maybe\n", "FILE:3: on takes true or false, not \"maybe\"");
	expect_refused("a:\n  number: 101", "FILE:2: a.number takes a number, from 3 to 100, not \"101\"");
	expect_refused("on:\n  sub: 1\n", "FILE:1: on takes true or false");
	expect_refused("word: [a]\n", "FILE:1: word takes a text");
	expect_refused("list: {a: b}\n", "FILE:1: list takes a list of texts");
	expect_refused("list:\n  - a\n  - [b]\n", "FILE:3: list takes a list of texts");
	expect_refused("a: 5\n", "FILE:1: a takes keys of its own");
	expect_refused("a: [1]\n", "FILE:1: a takes keys of its own");
	expect_refused("- a\n", "FILE:1: a configuration is made of keys and values");
	expect_refused("on: yes\n---\non: no\n", "FILE:2: a configuration is one document");
	expect_refused("on: yes\nword: x\non: no\n", "FILE:3: on is said twice");
	expect_refused("a: {number: 5}\nword: b\na: {number: 6}\n", "FILE:3: a.number is said twice");
	expect_refused("[a, b]: c\n", "FILE:1: a key must be a word");
	expect_refused("? [a]\n: b\n", "FILE:1: a key must be a word");
	expect_refused("on: yes\nword: \"open\n", "FILE:3: this is no YAML");
	expect_refused("on: yes\n\tword: x\n", "FILE:2: this is no YAML");
	expect_refused("word: &x y\nlist: [*x]\n", "FILE:2: aliases (*x) are not taken here");
	expect_refused("\"\": 1\n", "FILE:1: there is no key");
	expect_refused("a.number: 5\na: {number: 6}\n", "FILE:2: a.number is said twice");
}

Test(config, bytes_that_are_no_text_are_said_with_their_line)
{
	expect_refused("on: yes\n# fine\nword: \xff\n", "FILE:3: this is no YAML");
	expect_refused("on: yes\nword: a\x01\n", "FILE:2: this is no YAML");
}

Test(config, a_key_or_value_with_a_nul_is_no_other_key_or_value)
{
	expect_refused("\"on\\0x\": yes\n", "FILE:1: ");
	expect_refused("on: \"yes\\0no\"\n", "FILE:1: ");
	expect_refused("word: \"a\\0b\"\n", "FILE:1: ");
	expect_refused("on: yes\nlist:\n  - a\n  - \"b\\0c\"\n", "FILE:4: ");
	expect_refused("a: \"\\0x\"\n", "FILE:1: ");
}

Test(config, words_of_the_file_drive_no_terminal)
{
	cr_assert_eq(read_text("\"\\x1b[31m\\x07\\n\\x9b31m\\u202e\": 1\n"), -EINVAL);
	for (const char *c = said; *c; c++) {
		cr_assert(((unsigned char)*c >= ' ' && *c != 127) || c[1] == '\0', "byte %02x", (unsigned char)*c);
		cr_assert(*c != '\xc2' || (unsigned char)c[1] >= 0xa0, "a C1 control");
	}
}

Test(config, hostile_files_are_refused_quickly)
{
	static char bytes[(1 << 20) + 2];

	memset(bytes, '#', sizeof(bytes));
	cr_assert_eq(read_bytes(keys, bytes, sizeof(bytes) - 1, NULL), -EINVAL);
	cr_assert(strstr(said, "FILE:1: is larger than a configuration can be"), "%s", said);
	cr_assert_eq(read_bytes(keys, bytes, 1 << 20, NULL), 0, "%s", said);
	for (size_t i = 0; i < (1 << 20) - 8; i += 3)
		memcpy(bytes + i, "a: ", 3);
	cr_assert_eq(read_bytes(keys, bytes, 1 << 20, NULL), -EINVAL);
	memset(bytes, '[', sizeof(bytes));
	cr_assert_eq(read_bytes(keys, bytes, 1 << 20, NULL), -EINVAL);
	memset(bytes, '{', sizeof(bytes));
	cr_assert_eq(read_bytes(keys, bytes, 1 << 20, NULL), -EINVAL);
	memset(bytes, '\n', sizeof(bytes));
	for (int i = 0; i < 900; i++) {
		memset(bytes + i * (i + 3) / 2, ' ', (size_t)i);
		memcpy(bytes + i * (i + 3) / 2 + i, "a:\n", 3);
	}
	cr_assert_eq(read_bytes(keys, bytes, 1 << 19, NULL), -EINVAL, "a ladder of keys");
	memset(bytes, 'a', 1000);
	memcpy(bytes + 1000, ": 1\n", 4);
	cr_assert_eq(read_bytes(keys, bytes, 1004, NULL), -EINVAL, "a long key");
	config_free(keys);
}

Test(config, files_that_cannot_be_read_are_said_too)
{
	struct capture capture = capture_begin(STDERR_FILENO);

	cr_assert_eq(config_read(keys, "/nonexistent/taffrail.yaml"), -EINVAL);
	cr_assert_eq(config_read(keys, "/tmp"), -EINVAL);
	cr_assert_str_eq(capture_end(&capture, said, sizeof(said)),
		"/nonexistent/taffrail.yaml:1: cannot be read: No such file or directory\n"
		"/tmp:1: cannot be read: Is a directory\n");
}

static void expect_value(const char *path, const char *value, int64_t expected, const uint64_t *target)
{
	char why[256] = "";
	int error = config_assign(keys, path, value, false, why, sizeof(why));

	cr_assert_eq(error, expected < 0 ? -EINVAL : 0, "%s=%s", path, value);
	if (expected < 0)
		cr_assert_eq(strncmp(why, path, strlen(path)), 0, "%s=%s says \"%s\"", path, value, why);
	else
		cr_assert_eq(*target, (uint64_t)expected, "%s=%s is %" PRIu64, path, value, *target);
}

Test(config, numbers_sizes_and_durations_have_their_bounds_and_units)
{
	static const struct {
		const char *path, *value;
		int64_t expected;
	} cases[] = {{"a.number", "3", 3}, {"a.number", "100", 100}, {"a.number", "2", -1}, {"a.number", "101", -1},
		{"a.number", "-5", -1}, {"a.number", "+5", -1}, {"a.number", " 5", -1}, {"a.number", "5 ", -1},
		{"a.number", "", -1}, {"a.number", "0x10", -1}, {"a.number", "5K", -1}, {"a.number", "5.0", -1},
		{"a.number", "1e1", -1}, {"a.number", "007", 7}, {"any", "0", 0}, {"any", "18446744073709551616", -1},
		{"any", "99999999999999999999999999", -1}, {"a.size", "1K", 1024}, {"a.size", "1023", -1},
		{"a.size", "16G", 1ll << 34}, {"a.size", "17179869185", -1}, {"a.size", "1k", -1},
		{"a.size", "1KB", -1}, {"a.size", "1T", -1}, {"a.size", "18014398509481984K", -1},
		{"a.size", "18014398509481985K", -1}, {"a.size", "17179869184G", -1}, {"a.size", "2M", 2 << 20},
		{"a.b.duration", "10ms", 10}, {"a.b.duration", "9ms", -1}, {"a.b.duration", "5s", 5000},
		{"a.b.duration", "5", 5000}, {"a.b.duration", "2m", 120000}, {"a.b.duration", "1h", 3600000},
		{"a.b.duration", "2h", -1}, {"a.b.duration", "3601", -1}, {"a.b.duration", "1d", -1},
		{"a.b.duration", "5 s", -1}, {"a.b.duration", "18446744073709552", -1}, {"a.b.duration", "0", -1}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_value(cases[i].path, cases[i].value, cases[i].expected,
			strcmp(cases[i].path, "any") == 0        ? &got.any
			: strcmp(cases[i].path, "a.number") == 0 ? &got.number
			: strcmp(cases[i].path, "a.size") == 0   ? &got.size
								 : &got.duration);
}

Test(config, a_value_that_is_refused_leaves_what_was_there)
{
	char why[256];

	got.number = 50;
	cr_assert_eq(config_assign(keys, "a.number", "5000", false, why, sizeof(why)), -EINVAL);
	cr_assert_eq(got.number, 50);
	got.on = true;
	cr_assert_eq(config_assign(keys, "on", "", false, why, sizeof(why)), -EINVAL);
	cr_assert(got.on);
}

Test(config, keys_that_are_none_are_refused)
{
	static const char *const none[] = {"", "a", "a.", ".a", "a.numbe", "a.number.", "a.number.x", "ON", "on "};
	char why[64];

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		memset(why, 'x', sizeof(why));
		cr_assert_eq(config_assign(keys, none[i], "1", false, why, sizeof(why)), -EINVAL, "%s", none[i]);
		cr_assert(memchr(why, '\0', sizeof(why)), "the reason ends");
		cr_assert_eq(strncmp(why, "there is no key", 15), 0);
	}
}

Test(config, more_adds_to_a_list_and_without_it_replaces)
{
	char why[64];

	cr_assert_eq(config_assign(keys, "list", "a", false, why, sizeof(why)), 0);
	cr_assert_eq(config_assign(keys, "list", "b", true, why, sizeof(why)), 0);
	cr_assert_eq(got.list.count, 2);
	cr_assert_str_eq(got.list.items[1], "b");
	cr_assert_eq(config_assign(keys, "list", "c", false, why, sizeof(why)), 0);
	cr_assert_eq(got.list.count, 1);
	cr_assert_str_eq(got.list.items[0], "c");
	cr_assert_eq(config_assign(keys, "word", "x", true, why, sizeof(why)), 0);
	cr_assert_eq(config_assign(keys, "word", "y", true, why, sizeof(why)), 0);
	cr_assert_str_eq(got.word, "y");
	config_free(keys);
}

/* Is a key's value another one after the second text? */
static bool changes(const char *first, const char *second, const char *path)
{
	static struct {
		bool on;
		char *word;
		uint64_t number;
		struct config_list list;
		struct config_tree tree;
	} before;
	const struct config_key old_keys[] = {
		{"on", CONFIG_BOOL | CONFIG_LIVE, &before.on, 0, 0, ""},
		{"word", CONFIG_TEXT, &before.word, 0, 0, ""},
		{"any", CONFIG_NUMBER, &before.number, 0, 0, ""},
		{"list", CONFIG_LIST | CONFIG_LIVE, &before.list, 0, 0, ""},
		{"tree", CONFIG_TREE | CONFIG_LIVE, &before.tree, 0, 0, ""},
		CONFIG_END,
	};
	bool changed;

	memset(&before, 0, sizeof(before));
	memset(&got, 0, sizeof(got));
	cr_assert_eq(read_bytes(old_keys, first, strlen(first), NULL), 0, "%s", said);
	cr_assert_eq(read_text(second), 0, "%s", said);
	changed = !config_equal(config_find(old_keys, path), config_find(keys, path));
	config_free(old_keys);
	config_free(keys);
	return changed;
}

Test(config, values_are_compared_by_what_they_say)
{
	cr_assert_not(changes("on: yes", "# x\non: true", "on"));
	cr_assert(changes("on: yes", "on: no", "on"));
	cr_assert_not(changes("", "", "word"));
	cr_assert(changes("", "word: a", "word"));
	cr_assert(changes("word: a", "word: b", "word"));
	cr_assert_not(changes("word: a", "word: \"a\"", "word"));
	cr_assert(changes("any: 1", "any: 2", "any"));
	cr_assert_not(changes("list: [a, b]", "list:\n  - a\n  - b", "list"));
	cr_assert(changes("list: [a, b]", "list: [b, a]", "list"));
	cr_assert(changes("list: [a, b]", "list: [a]", "list"));
	cr_assert_not(changes("tree: {a: [x, y], b: {c: d}}", "\n\ntree:\n  a: [x, y]\n  b:\n    c: d\n", "tree"));
	cr_assert(changes("tree: {a: [x, y]}", "tree: {a: [x, z]}", "tree"));
	cr_assert(changes("tree: {a: [x]}", "tree: {b: [x]}", "tree"));
	cr_assert(changes("tree: {a: [x]}", "tree: {a: x}", "tree"));
	cr_assert(changes("tree: {a: [x]}", "", "tree"));
}
