/* SPDX-License-Identifier: Apache-2.0 */
/* Files of rules: what they define, how they change what others defined, and what is said of those that are wrong. */
#include "test_rules.h"

#define RULE(name, condition) "- rule: " name "\n  desc: d\n  output: o\n  priority: info\n  condition: " condition "\n"

/* The rules that curl's exec meets; "-" and what was said where the file does not load. */
static const char *met(const char *yaml)
{
	static char result[4096];
	const struct rules_options options = {.priority = RULES_DEBUG, .all = true};
	const char *said;
	struct rules *rules = test_load(yaml, &options, &said);
	struct test_matches matches;

	if (!rules) {
		snprintf(result, sizeof(result), "-%s", said);
		return result;
	}
	matches = test_match(rules, &test_exec);
	snprintf(result, sizeof(result), "%s", matches.names);
	buffer_free(&matches.output);
	rules_free(rules);
	return result;
}

static void expect_said(const char *yaml, const char *words)
{
	const char *said;
	struct rules *rules = test_load(yaml, NULL, &said);

	cr_expect(strstr(said, words), "of\n%s\nit says\n%snot %s", yaml, said, words);
	rules_free(rules);
}

Test(rules_load, documents_of_both_shapes)
{
	cr_assert_str_eq(met(""), "");
	cr_assert_str_eq(met("---\n...\n---\n"), "");
	cr_assert_str_eq(met(RULE("a", "proc.name=curl")), "a");
	cr_assert_str_eq(met("---\n" RULE("a", "proc.name=curl") "---\n" RULE("b", "proc.name=curl") "...\n"), "a,b");
	cr_assert_str_eq(met("[{rule: a, desc: d, output: o, priority: info, condition: proc.name=curl}]"), "a");
	cr_assert_str_eq(met("\xef\xbb\xbf" RULE("a", "proc.name=curl")), "a");
	cr_assert_str_eq(
		met("- list: l\n  items: &x [curl]\n- list: m\n  items: *x\n" RULE("a", "proc.name in (m)")), "a");
	expect_said("rule: a", "1:1: error: rules are a list of items");
	expect_said("- just a word", "1:3: error: an item is made of keys");
	expect_said("- rule: a\n  - b", "2:3: error: this is no YAML");
	expect_said("- a: *b\n", "1:6: error: there is no anchor &b");
	expect_said("- what: 3\n", "1:3: warning: an item `what` is not known");
}

Test(rules_load, versions)
{
	static const char *const fine[] = {"57", "0.57.0", "0.63.0", "63", "0.10.3-rc1"};
	static const char *const wrong[] = {"64", "1.0.0", "0.64.0", "0.63.1", "x", "0.1", "[]"};
	char yaml[128];
	const char *said;

	for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++) {
		snprintf(yaml, sizeof(yaml), "- required_engine_version: %s\n", fine[i]);
		cr_expect_str_eq(met(yaml), "");
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		snprintf(yaml, sizeof(yaml), "- required_engine_version: %s\n", wrong[i]);
		cr_expect_null(test_load(yaml, NULL, &said), "%s", wrong[i]);
		cr_expect(strstr(said, "1:28: error: "), "%s", said);
	}
	cr_expect_str_eq(met("- required_plugin_versions:\n  - name: container\n    version: 0.4.0\n"), "");
	expect_said("- required_plugin_versions:\n  - name: k8saudit\n    version: 0.4.0\n",
		"2:11: warning: there is no plugin");
}

Test(rules_load, lists_are_text)
{
	cr_expect_str_eq(met("- list: l\n  items: [curl]\n" RULE("a", "proc.name in (l)")), "a");
	cr_expect_str_eq(met("- list: l\n  items: []\n" RULE("a", "proc.name in (x, l)")), "");
	cr_expect_str_eq(met("- list: l\n  items: []\n" RULE("a", "proc.name in (l, curl)")), "a");
	cr_expect_str_eq(met("- list: l\n  items: []\n" RULE("a", "proc.name in (x,l,curl)")), "a");
	cr_expect_str_eq(met("- list: l\n  items: []\n" RULE("a", "not proc.name in (l)")), "a");
	cr_expect_str_eq(met("- list: l\n  items: [a b, curl]\n" RULE("a", "proc.name in (l)")), "a");
	cr_expect_str_eq(met("- list: l\n  items: ['\"a b\"', curl]\n" RULE("a", "proc.name in (l)")), "a");
	cr_expect_str_eq(met(RULE("a", "proc.name in (l)") "- list: l\n  items: [curl]\n"), "a", "no order");
	/* One level deep, and only what was defined before. */
	cr_expect_str_eq(
		met("- list: i\n  items: [curl]\n- list: l\n  items: [x, i]\n" RULE("a", "proc.name in (l)")), "a");
	/* By text it is found all the same, where the inner one comes later. */
	cr_expect_str_eq(
		met("- list: l\n  items: [x, i]\n- list: i\n  items: [curl]\n" RULE("a", "proc.name in (l)")), "a");
	cr_expect_str_eq(met("- list: h\n  items: [curl]\n- list: i\n  items: [h]\n- list: l\n  items: [i]\n" RULE(
				 "a", "proc.name in (l)")),
		"", "two levels are one too many");
	cr_expect_str_eq(met("- list: l\n  items: [x]\n- list: l\n  append: true\n  items: [curl]\n" RULE(
				 "a", "proc.name in (l)")),
		"a");
	cr_expect_str_eq(met("- list: l\n  items: [x]\n- list: l\n  override: {items: append}\n  items: [curl]\n" RULE(
				 "a", "proc.name in (l)")),
		"a");
	cr_expect_str_eq(
		met("- list: l\n  items: [curl]\n- list: l\n  items: [x]\n" RULE("a", "proc.name in (l)")), "");
	expect_said("- list: l\n  append: true\n  items: [curl]\n", "1:9: error: there is no list l before this");
	expect_said("- list: l\n", "1:3: error: a list has `items`");
	expect_said("- list: l\n  items: [[a]]\n", "2:11: error: a list's items are texts");
	expect_said("- list: l\n  items: [a]\n", "1:9: warning: the list l is not used");
	expect_said("- list: l\n  items: [a]\n  foo: 1\n", "3:3: warning: the key `foo` is not known");
}

Test(rules_load, macros_see_those_before)
{
	cr_expect_str_eq(met("- macro: m\n  condition: proc.name=curl\n" RULE("a", "m")), "a");
	cr_expect_str_eq(
		met(RULE("a", "m and not n") "- macro: m\n  condition: proc.name=curl\n- macro: n\n  condition: "
					     "proc.name=x\n"),
		"a", "rules see all");
	cr_expect_str_eq(
		met("- macro: m\n  condition: proc.name=x\n- macro: m\n  condition: proc.name=curl\n" RULE("a", "m")),
		"a");
	cr_expect_str_eq(met("- macro: m\n  condition: proc.name=x or proc.pname=bash\n- macro: m\n  append: true\n  "
			     "condition: and proc.name=y\n" RULE("a", "m")),
		"", "appended as text");
	expect_said("- macro: m\n  condition: n\n- macro: n\n  condition: proc.name=x\n" RULE("a", "m"),
		"2:14: error: the macro n is not defined before");
	expect_said(
		"- macro: m\n  condition: proc.name=x\n- macro: n\n  condition: m\n- macro: m\n  condition: n\n" RULE(
			"a", "m"),
		"names itself");
	expect_said("- macro: m\n  condition: m\n" RULE("a", "m"),
		"2:14: error: the macro m is not defined before this one");
	expect_said(RULE("a", "proc.name=x and nosuch"), "5:30: error: there is no macro nosuch");
	expect_said("- macro: m\n  condition: proc.name=x\n", "1:10: warning: the macro m is not used");
	expect_said("- macro: m\n", "1:3: error: the item has no `condition`");
	expect_said("- macro: m\n  condition: (proc.name=x\n", "2:26: error: a ')' is expected here");
}

Test(rules_load, rules_are_replaced_in_place)
{
	cr_expect_str_eq(met(RULE("a", "proc.name=x") RULE("b", "proc.name=curl") RULE("a", "proc.name=curl")), "a,b");
	cr_expect_str_eq(met(RULE("a", "proc.name=curl") "- rule: a\n  enabled: false\n"), "");
	cr_expect_str_eq(
		met(RULE("a", "proc.name=curl") "- rule: a\n  enabled: false\n- rule: a\n  enabled: true\n"), "a");
	cr_expect_str_eq(
		met(RULE("a", "proc.name=curl") "- rule: a\n  append: true\n  condition: and proc.pname=x\n"), "");
	cr_expect_str_eq(met(RULE("a", "proc.name=curl or proc.name=y") "- rule: a\n  append: true\n  condition: and "
									"proc.pname=x\n"),
		"a", "the `and` binds the last word only");
	cr_expect_str_eq(met(RULE("a", "proc.name=x") "- rule: a\n  override: {condition: replace}\n  condition: "
						      "proc.name=curl\n"),
		"a");
	cr_expect_str_eq(met(RULE("a", "proc.name=x") "- rule: a\n  override: {condition: append, enabled: replace}\n"
						      "  condition: or proc.name=curl\n  enabled: true\n"),
		"a");
	expect_said("- rule: a\n  append: true\n  condition: x\n", "1:9: error: there is no rule a before this");
	expect_said("- rule: a\n  enabled: false\n", "1:9: error: there is no rule a before this");
	expect_said(
		RULE("a", "proc.name=x") "- rule: a\n  append: true\n  override: {condition: append}\n  condition: x\n",
		"`append` and `override` exclude each other");
	expect_said(RULE("a", "proc.name=x") "- rule: a\n  override: {condition: append}\n  condition: or proc.name=y\n"
					     "  priority: info\n",
		"9:3: error: `priority` must be listed under `override`");
	expect_said(RULE("a", "proc.name=x") "- rule: a\n  override: {priority: append}\n  priority: info\n",
		"7:14: error: `priority` of a rule cannot be overridden by append");
	expect_said(RULE("a", "proc.name=x") "- rule: a\n  override: {desc: both}\n  desc: d\n",
		"a key is overridden by append or replace");
	expect_said(
		RULE("a", "proc.name=x") "- rule: a\n  override: {desc: replace}\n", "but the item does not have it");
	expect_said("- rule: a\n  condition: proc.name=x\n  desc: d\n  output: o\n",
		"1:3: error: the item has no `priority`");
	expect_said(RULE("a", "proc.name=x") "  enabled: perhaps\n", "6:12: error: `enabled` takes true or false");
	expect_said(RULE("a", "proc.name=x") "  source: k8s_audit\n", "6:11: warning: there is no source k8s_audit");
	expect_said(RULE("a", "proc.name=x") "  nosuch: 1\n", "6:3: warning: the key `nosuch` is not known");
	expect_said(RULE("a", "proc.nosuch=x"), "5:14: error: there is no field proc.nosuch");
	expect_said(RULE("a", "proc.nosuch=x") "  skip-if-unknown-filter: true\n", "1:9: warning: the rule is skipped");
	expect_said(RULE("a", "proc.name=x and evt.type=nosuch"), "5:39: error: there is no event type nosuch");
	expect_said(RULE("a", "evt.num=0"), "1:9: warning: the rule can never match: no type of event is left");
	expect_said(RULE("a", "evt.type=open and evt.type=connect"), "the rule can never match");
	expect_said(RULE("a", "evt.type=read"), "no event is of a type that it asks for");
	expect_said(RULE("a", "evt.type=open and proc.name in ()"), "its condition is always false");
	expect_said(RULE("a", "proc.name=x"), "types of events, which costs time");
}

Test(rules_load, all_problems_at_once)
{
	const char *said;

	cr_assert_null(test_load(
		RULE("a", "proc.nosuch=x and evt.type=nosuch and nomacro") "- macro: m\n" RULE("b", "proc.pid=x"), NULL,
		&said));
	cr_expect(strstr(said, "no field proc.nosuch") && strstr(said, "no event type nosuch") &&
			  strstr(said, "no macro nomacro") && strstr(said, "no `condition`") &&
			  strstr(said, "\"x\" is no whole number"),
		"%s", said);
}

Test(rules_load, exceptions)
{
#define EXCEPTION(words) RULE("a", "proc.name=curl or proc.name=y") "  exceptions:\n" words
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: [proc.name, proc.pname], values: [[curl, x]]}\n")), "a");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: [proc.name, proc.pname], values: [[x, y], [curl, bash]]}\n")), "");
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: [proc.name, proc.pname], comps: [=, in], values: [[curl, "
				       "[x, bash]]]}\n")),
		"");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: [proc.name, proc.cmdline], comps: [=, contains], values: [[curl, "
			      "curl -o]]}\n")),
		"");
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: proc.name, values: [x, curl]}\n")), "");
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: proc.name, values: [x, y]}\n")), "a");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: proc.exepath, comps: pmatch, values: [/usr/bin]}\n")), "");
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: [proc.name]}\n")), "a");
	cr_expect_str_eq(met("- list: l\n  items: [x, curl]\n" EXCEPTION(
				 "  - {name: e, fields: [proc.name], comps: [in], values: "
				 "[[l]]}\n")),
		"");
	cr_expect_str_eq(
		met(EXCEPTION(
			"  - {name: e, fields: [proc.name]}\n") "- rule: a\n  append: true\n  exceptions:\n  - {name: "
								"e, values: [[curl]]}\n"),
		"");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: [proc.name]}\n") "- rule: a\n  override: {exceptions: append}\n"
								      "  exceptions:\n  - {name: f, fields: proc.name, "
								      "values: [curl]}\n"),
		"");
	expect_said(EXCEPTION("  - {name: e, fields: [proc.name], values: [[curl, x]]}\n"),
		"7:45: error: each of the values is");
	expect_said(EXCEPTION("  - {name: e, fields: [proc.name], comps: [=, =]}\n"), "a list as long as");
	expect_said(EXCEPTION("  - {name: e, fields: proc.name, comps: =, values: [x]}\n"), "in, pmatch or intersects");
	expect_said(EXCEPTION("  - {name: e, values: [x]}\n"), "has no `fields`");
	expect_said(EXCEPTION("  - {name: e, fields: [proc.nosuch]}\n"), "7:24: error: there is no field proc.nosuch");
	expect_said(EXCEPTION("  - {fields: proc.name}\n"), "the item has no `name`");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: ['tolower(proc.name)', 'proc.aname[2]', evt.arg.flags]}\n")), "a");
	cr_expect_str_eq(
		met(EXCEPTION(
			"  - {name: e, fields: ['toupper(proc.name)', 'proc.aname[2]'], values: [[CURL, sshd]]}\n")),
		"");
	expect_said(EXCEPTION("  - {name: e, fields: ['proc.name[2]']}\n"), "7:25: error: proc.name takes no argument");
	expect_said(EXCEPTION("  - {name: e, fields: [proc.name x]}\n"), "7:33: error: nothing more is expected");
	expect_said(EXCEPTION("  - {name: e, fields: [name]}\n"), "7:24: error: a field is expected here");
	expect_said(EXCEPTION("  - {name: e, fields: [proc.name]}\n") "- rule: a\n  append: true\n  exceptions:\n  - "
								      "{name: e, fields: "
								      "[x]}\n",
		"only values can be added");
}

Test(rules_load, places_in_folded_text)
{
	expect_said("- rule: a\n  desc: d\n  output: >\n    one\n    %proc.nosuch\n  priority: info\n  condition: >\n"
		    "    proc.name=x\n\n    and proc.nosuch=3\n",
		"10:9: error: there is no field proc.nosuch");
	expect_said("- rule: a\n  desc: d\n  output: >\n    one\n    %proc.nosuch\n  priority: info\n  condition: "
		    "proc.name=x\n",
		"5:6: error: there is no field proc.nosuch");
	expect_said(
		"- {rule: a, desc: d, output: o, priority: info, condition: \"proc.name='a' \\n and proc.nosuch=3\"}\n",
		"1:82: error: there is no field proc.nosuch");
	expect_said("- {rule: a, desc: d, output: o, priority: info, condition: "
		    "\"proc.name=\\u00e4\\x20and\\u0020proc.nosuch=3\"}\n",
		"1:90: error: there is no field proc.nosuch");
}

Test(rules_load, options_choose)
{
	static const char yaml[] = RULE("a", "proc.name=curl") "  tags: [x]\n" RULE(
		"b", "proc.name=curl") "  tags: [y, z]\n"
				       "- rule: c\n  desc: d\n  output: o\n  priority: CRITICAL\n  condition: "
				       "proc.name=curl\n";
	static const struct text x[] = {TEXT("x")}, z[] = {TEXT("z")};
	static const struct {
		struct rules_options options;
		const char *names;
	} cases[] = {
		{{.priority = RULES_DEBUG, .all = true}, "a,b,c"},
		{{.priority = RULES_DEBUG}, "a"},
		{{.priority = RULES_WARNING, .all = true}, "c"},
		{{.priority = RULES_DEBUG, .all = true, .tags = z, .tag_count = 1}, "b"},
		{{.priority = RULES_DEBUG, .all = true, .without_tags = x, .without_tag_count = 1}, "b,c"},
	};
	const char *said;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct rules *rules = test_load(yaml, &cases[i].options, &said);
		struct test_matches matches;

		cr_assert(rules, "%s", said);
		cr_assert_eq(rules_count(rules), 3);
		matches = test_match(rules, &test_exec);
		cr_expect_str_eq(matches.names, cases[i].names);
		buffer_free(&matches.output);
		rules_free(rules);
	}
}

/* An ordinary socket is told only for a rule that can match it. */
Test(rules_load, who_asks_for_packet_sockets_does_not_want_all_of_them)
{
	static const struct {
		const char *condition;
		bool wants;
	} cases[] = {
		{"evt.type=socket", true},
		{"evt.type=socket and evt.arg.domain contains AF_PACKET", false},
		{"evt.type=socket and evt.arg.domain in (AF_PACKET, AF_VSOCK) and proc.name=x", false},
		{"evt.type=socket and (evt.arg.domain=AF_PACKET or proc.name=x)", true},
		{"evt.type=socket and not evt.arg.domain=AF_PACKET", true},
		{"evt.type=socket and evt.arg.domain contains AF_INET", true},
		{"evt.type=socket and evt.arg.domain startswith AF_P", true},
		{"evt.type in (socket, ptrace) and not evt.arg.domain != AF_PACKET", true},
		{"evt.type!=socket", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char yaml[512];
		const char *said;
		struct rules *rules;

		snprintf(yaml, sizeof(yaml), "- rule: r\n  desc: d\n  output: o\n  priority: info\n  condition: %s\n",
			cases[i].condition);
		rules = test_load(yaml, NULL, &said);
		cr_assert(rules, "%s", said);
		cr_expect_eq(rules_wants(rules) >> EVENT_CALL_SOCKET & 1, cases[i].wants, "%s", cases[i].condition);
		rules_free(rules);
	}
}

Test(rules_load, calls_are_told)
{
	const char *said;
	struct rules *rules = test_load(RULE("a", "evt.type in (open, connect) and not evt.type=connect")
						RULE("b", "evt.type=ptrace") "  enabled: false\n",
		NULL, &said);

	cr_assert(rules, "%s", said);
	cr_expect_eq(rules_calls(rules), 1ull << EVENT_CALL_OPEN);
	cr_expect_eq(rules_calls_of(rules, rules_find(rules, TEXT_LITERAL("b"))), 1ull << EVENT_CALL_PTRACE);
	rules_free(rules);
}

/* Of a rule with that condition and output: the calls whose data it asks for. */
static uint64_t data_calls(const char *condition, const char *output, const char *more)
{
	char yaml[1024];
	const char *said;
	struct rules *rules;
	uint64_t calls;

	snprintf(yaml, sizeof(yaml),
		"- macro: bytes\n  condition: evt.buffer bcontains cafe\n"
		"- rule: r\n  desc: d\n  priority: info\n  condition: %s\n  output: \"%s\"\n%s",
		condition, output, more);
	rules = test_load(yaml, NULL, &said);
	cr_assert(rules, "%s", said);
	calls = rules_data_calls(rules);
	rules_free(rules);
	return calls;
}

Test(rules_load, who_asks_for_data_is_told)
{
	const uint64_t from = 1ull << EVENT_CALL_RECVFROM, both = from | 1ull << EVENT_CALL_RECVMSG;

	cr_expect_eq(data_calls("evt.type=recvfrom and proc.name=x", "o %evt.args %evt.res", ""), 0);
	cr_expect_eq(data_calls("evt.type in (recvfrom, recvmsg) and proc.name=x and not bytes", "o", ""), both);
	cr_expect_eq(data_calls("evt.type=recvfrom and (proc.name=x or len(evt.buffer) > 3)", "o", ""), from);
	cr_expect_eq(data_calls("evt.type=recvfrom and proc.name = val(evt.buffer)", "o", ""), from);
	cr_expect_eq(data_calls("evt.type=recvfrom and evt.arg.data startswith x", "o", ""), from);
	cr_expect_eq(data_calls("evt.type=recvfrom", "o %evt.buffer", ""), from);
	cr_expect_eq(
		data_calls("evt.type=recvfrom", "o", "  threshold: {count: 2, within: 1s, by: [evt.buffer]}\n"), from);
	cr_expect_eq(data_calls("evt.type=execve", "o",
			     "  sequence: {after: evt.type=recvmsg and bytes, within: 1s, by: process}\n"),
		1ull << EVENT_CALL_RECVMSG);
	cr_expect_eq(data_calls("evt.type=recvfrom and bytes", "o", "  enabled: false\n"), 0);
	cr_expect_eq(data_calls("evt.type=recvfrom and (evt.type=recvmsg and bytes or proc.name=x)", "o", ""), 0);
}

Test(rules_load, what_is_deep_is_refused)
{
	struct buffer yaml = {0};
	const char *said;
	struct rules *rules;

	for (int depth = 900; depth <= 1100; depth += 200) {
		buffer_clear(&yaml);
		buffer_append(&yaml, RULE("a", ""), strlen(RULE("a", "")) - 1);
		for (int i = 0; i < depth; i++)
			buffer_append(&yaml, "(", 1);
		buffer_append(&yaml, "proc.name=curl", 14);
		for (int i = 0; i < depth; i++)
			buffer_append(&yaml, ")", 1);
		buffer_append(&yaml, "\n", 2);
		rules = test_load(yaml.data, NULL, &said);
		cr_expect_eq(rules != NULL, depth < 1000, "%.200s", said);
		rules_free(rules);
	}
	/* A chain of macros is as deep. */
	buffer_clear(&yaml);
	buffer_append(&yaml, "- macro: m0\n  condition: proc.name=curl\n", 40);
	for (int i = 1; i < 2000; i++) {
		char macro[64];

		snprintf(macro, sizeof(macro), "- macro: m%d\n  condition: not m%d\n", i, i - 1);
		buffer_append(&yaml, macro, strlen(macro));
	}
	buffer_append(&yaml, RULE("a", "m1999"), strlen(RULE("a", "m1999")) + 1);
	rules = test_load(yaml.data, NULL, &said);
	cr_expect_null(rules);
	cr_expect(strstr(said, "nested deeper than 1000"));
	buffer_free(&yaml);
}

/* TAFFRAIL_FALCO_RULES: a folder with Falco's own files, which are not part of this tree. */
Test(rules_load, upstream_files_load)
{
	const char *folder = getenv("TAFFRAIL_FALCO_RULES");
	static const char *const files[] = {"falco_rules.yaml", "falco-incubating_rules.yaml"};
	struct rules_loader *loader;
	struct rules_report report;
	struct rules *rules;
	char path[4096];

	if (!folder)
		cr_skip_test("TAFFRAIL_FALCO_RULES says no folder of Falco's rules");
	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(rules_loader_open(&loader), 0);
		snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		rules_loader_add(loader, path);
		cr_expect_eq(rules_loader_compile(loader, NULL, &rules), 0, "%s: %s", files[i], test_problems(loader));
		rules_loader_report(loader, &report);
		cr_expect(report.rules >= 25 && report.error_count == 0);
		rules_free(rules);
		rules_loader_close(loader);
	}
}

/* What is not recorded is missing, but files that ask for it load. */
Test(rules_load, names_that_no_event_tells)
{
	static const char *const conditions[] = {"evt.type in (pread, pwrite, prlimit, llseek)",
		"evt.type in (useradded, userdeleted, groupadded, groupdeleted)", "evt.type=timerfd",
		"evt.arg.option=x and evt.arg.fds=y and evt.arg.home=z", "evt.arg.dqb_btime exists",
		"evt.reltime.s > 5 or evt.latency.human = x or evt.deltatime.ns > 3", "evt.is_syslog=true",
		"evt.buflen.net.in > 4", "evt.count.error.file = 1", "thread.cgroups contains x",
		"thread.cgroup[cpu] contains x", "thread.vmsize > 3", "k8s.deployment.label[app]=x",
		"k8s.svc.labels contains x", "k8s.cluster.name=x"};
	char yaml[512];
	const char *said;

	for (size_t i = 0; i < sizeof(conditions) / sizeof(*conditions); i++) {
		struct rules *rules;

		snprintf(yaml, sizeof(yaml), RULE("a", "%s"), conditions[i]);
		rules = test_load(yaml, NULL, &said);
		cr_expect(rules, "%s: %s", conditions[i], said);
		rules_free(rules);
	}
}

/* What Falco takes though it is unusual: files that have it load there. */
Test(rules_load, unusual_items)
{
	static const char skipped[] = RULE("a", "ka.verb=get") "  source: k8s_audit\n";

	cr_expect_str_eq(met("-\n" RULE("a", "proc.name=curl") "- ~\n"), "a", "nothing behind a dash");
	cr_expect_str_eq(met(RULE("a", "proc.name=curl") "  source:\n"), "a");
	cr_expect_str_eq(met(RULE("a", "proc.name=curl") "  override: {}\n"), "a");
	cr_expect_str_eq(
		met("- list: l\n  override: {items: replace}\n  items: [curl]\n" RULE("a", "proc.name in (l)")), "a");
	cr_expect_str_eq(
		met("- macro: m\n  override: {condition: replace}\n  condition: proc.name=curl\n" RULE("a", "m")), "a");
	cr_expect_str_eq(met(RULE("a", "proc.name=curl") "  capture: true\n  capture_duration: 5000\n"), "a");
	expect_said(RULE("a", "proc.name=curl") "  capture_duration: long\n", "6:21: error: `capture_duration` takes");
	expect_said("- list: l\n  override: {items: append}\n  items: [curl]\n", "1:9: error: there is no list l");
	/* What changes a rule that was skipped is skipped, too. */
	for (size_t i = 0; i < 3; i++) {
		static const char *const changes[] = {"- rule: a\n  append: true\n  condition: and ka.verb=x\n",
			"- rule: a\n  enabled: false\n",
			"- rule: a\n  override: {condition: append}\n  condition: and x\n"};
		char yaml[512];

		snprintf(yaml, sizeof(yaml), "%s%s", skipped, changes[i]);
		cr_expect_str_eq(met(yaml), "", "%s", changes[i]);
		expect_said(yaml, "7:9: warning: the rule a was skipped for its source");
	}
	expect_said(RULE("a", "ka.verb=get") "  source: k8s_audit\n- rule: b\n  enabled: false\n",
		"7:9: error: there is no rule b before this");
}

Test(rules_load, exceptions_with_quantifiers)
{
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: proc.name, comps: startswith oneof, values: [x, cu]}\n")), "");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: proc.name, comps: ' contains  allof ', values: [u, z]}\n")), "a");
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: [proc.name, proc.pname], comps: [endswith anyof, =], "
				       "values: [[[x, rl], bash]]}\n")),
		"");
	cr_expect_str_eq(
		met(EXCEPTION("  - {name: e, fields: [proc.name], comps: [glob anyof], values: [['c*']]}\n")), "");
	expect_said(EXCEPTION("  - {name: e, fields: proc.name, comps: in oneof, values: [x]}\n"),
		"7:41: error: \"in oneof\" is no operator");
	expect_said(EXCEPTION("  - {name: e, fields: proc.name, comps: startswith of, values: [x]}\n"),
		"7:41: error: \"startswith of\" is no operator");
	expect_said(EXCEPTION("  - {name: e, fields: proc.name, comps: startswith oneof it, values: [x]}\n"),
		"is no operator");
	/* A word of that name is no quantifier without a list. */
	cr_expect_str_eq(met(RULE("a", "proc.name != oneof and proc.pname startswith ba")), "a");
	cr_expect_str_eq(met(RULE("a", "not proc.name contains allof")), "a");
	cr_expect_str_eq(met("- list: l\n  items: [x, cu]\n" RULE("a", "proc.name startswith anyof (l)")), "a");
}

/* Falco says so, and goes on with both. */
Test(rules_load, exceptions_of_one_name)
{
	cr_expect_str_eq(met(EXCEPTION("  - {name: e, fields: proc.pname, values: [x]}\n"
				       "  - {name: e, fields: proc.name, values: [curl]}\n")),
		"");
	expect_said(EXCEPTION("  - {name: e, fields: proc.pname, values: [x]}\n"
			      "  - {name: e, fields: proc.name, values: [curl]}\n"),
		"8:12: warning: the rule has an exception e already");
}

Test(rules_load, types_that_are_not_known)
{
	expect_said(
		RULE("a", "evt.type=nosuch") "  skip-if-unknown-filter: true\n", "1:9: warning: the rule is skipped");
	expect_said("- macro: m\n  condition: evt.type in (open, nosuch)\n" RULE(
			    "a", "m") "  skip-if-unknown-filter: true\n" RULE("b", "m"),
		"2:33: error: there is no event type nosuch");
}

Test(rules_load, brackets_hold_all_but_blanks_and_quotes)
{
	cr_expect_str_eq(met(RULE("a", "not container.mount.dest[/a(b),c] exists and proc.name=curl")), "");
	cr_expect_str_eq(met(RULE("a", "container.mount.dest[/a(b),c]=N/A")), "a");
}

/* `before`, a number from 0, `after`: so many times. */
static void append_numbered(struct buffer *yaml, const char *before, const char *after, int count)
{
	char line[64];

	for (int i = 0; i < count; i++)
		buffer_append(yaml, line, (size_t)snprintf(line, sizeof(line), "%s%d%s", before, i, after));
}

/* What is long takes its time, but not the square of it. */
Test(rules_load, what_is_long_is_read_in_time, .timeout = 20)
{
	struct buffer yaml = {0};
	const char *said;
	struct rules *rules;

	buffer_append(&yaml, RULE("a", "proc.name=curl"), strlen(RULE("a", "proc.name=curl")));
	append_numbered(&yaml, "  k", ": 1\n", 300000);
	buffer_append(&yaml, "", 1);
	rules = test_load(yaml.data, NULL, &said);
	cr_expect(rules && strstr(said, "6:3: warning: the key `k0` is not known"));
	rules_free(rules);

	buffer_clear(&yaml);
	buffer_append(&yaml, "- list: l\n  items:\n", 19);
	append_numbered(&yaml, "  - &a", " the-same\n", 200000);
	append_numbered(&yaml, "  - *a", "\n", 200000);
	buffer_append(&yaml, RULE("a", "proc.name in (l)"), strlen(RULE("a", "proc.name in (l)")) + 1);
	rules = test_load(yaml.data, NULL, &said);
	cr_expect(rules, "%s", said);
	rules_free(rules);

	buffer_clear(&yaml);
	buffer_append(&yaml, RULE("a", "proc.name=curl") "  tags: [", strlen(RULE("a", "proc.name=curl")) + 9);
	append_numbered(&yaml, "t", ", ", 300000);
	buffer_append(&yaml, "t]\n", 4);
	cr_expect_null(test_load(yaml.data, NULL, &said));
	cr_expect(strstr(said, "6:9: error: a rule has at most 1000 `tags`"), "%s", said);
	buffer_free(&yaml);
}

Test(rules_load, the_last_anchor_of_a_name_is_meant)
{
	cr_expect_str_eq(met("- list: l\n  items: [&a x, &a curl, *a]\n" RULE("a", "proc.name in (l)")), "a");
	cr_expect_str_eq(met("- list: l\n  items: [&a x, *a, &a y]\n" RULE("a", "proc.name in (l)")), "");
	expect_said("- list: l\n  items: &a [x]\n---\n- list: m\n  items: *a\n", "5:10: error: there is no anchor &a");
}

Test(rules_load, a_key_that_is_there_twice)
{
	static const char yaml[] = RULE("a", "proc.name=curl") "  condition: proc.name=x\n";

	cr_expect_str_eq(met(yaml), "a", "the first one counts");
	expect_said(yaml, "6:3: warning: the item has a `condition` already");
}
