/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs: what a rule says of an event, and the fields that go with it. */
#include "test_rules.h"

static struct rules *with_output(const char *output)
{
	char yaml[1024];
	const char *said;
	struct rules *rules;

	snprintf(yaml, sizeof(yaml),
		"- rule: r\n  desc: d\n  priority: info\n  condition: evt.num>=0\n  output: |-\n    %s\n", output);
	rules = test_load(yaml, NULL, &said);
	return rules;
}

static void expect_output(const struct event *event, const char *output, const char *expected)
{
	struct rules *rules = with_output(output);
	struct test_matches matches;

	cr_assert(rules, "%s does not load", output);
	matches = test_match(rules, event);
	buffer_append(&matches.output, "", 1);
	cr_expect_str_eq(matches.output.data, expected);
	buffer_free(&matches.output);
	rules_free(rules);
}

Test(rules_output, fields_and_words)
{
	expect_output(&test_exec, "just words", "just words");
	expect_output(&test_exec, "a %proc.name b", "a curl b");
	expect_output(&test_exec, "%proc.name%proc.pname", "curlbash");
	expect_output(&test_exec, "(%proc.name) [%proc.pid].", "(curl) [400].");
	expect_output(&test_exec, "ends with a dot: %proc.name.", "ends with a dot: curl.");
	expect_output(&test_exec, "%proc.name.txt", "curl.txt");
	expect_output(&test_exec, "gparent=%proc.aname[2] none=%proc.aname[9]", "gparent=sshd none=<NA>");
	expect_output(&test_exec, "%proc.aname", "curl");
	expect_output(&test_exec, "%proc.name[%proc.pid] %proc.pname[a b] %proc.name[", "curl[400] bash[a b] curl[");
	expect_output(&test_exec, "%proc.pid_%proc.ppid", "400_300");
	expect_output(&test_exec, "file=%fd.name user=%user.name uid=%user.uid login=%user.loginuid",
		"file=<NA> user=www-data uid=33 login=-1");
	expect_output(&test_exec, "%k8s.pod.label[app]", "web");
	expect_output(&test_exec, "%container.id %container.image.repository", "abcdef010203 docker.io/library/nginx");
	expect_output(&test_exec, "x %container.info", "x");
	expect_output(&test_exec, "x %container.info y", "x y");
	expect_output(&test_exec, "100%% of %proc.name", "100% of curl");
	expect_output(&test_exec, "*%proc.name", "curl");
	expect_output(&test_write, "%evt.arg.flags", "O_WRONLY|O_CREAT|O_TRUNC");
	expect_output(&test_write, "%evt.is_open_write %evt.rawres %evt.res", "true 5 SUCCESS");
	expect_output(&test_connect, "%fd.name %fd.sip %fd.rport %fd.sip.name %fd.ip",
		"10.1.2.3:40000->93.184.216.34:443 93.184.216.34 443 www.example.com 93.184.216.34");
	expect_output(&test_bpf, "%evt.arg.cmd", "BPF_PROG_LOAD");
	expect_output(&test_unlink, "%evt.args", "res=0 name=/root/.bash_history flags=0");
	expect_output(&test_exec, "%evt.time.iso8601", "2023-11-14T22:16:41.000000000Z");
	expect_output(&test_exec, "%evt.rawtime", "1700000201000000000");
}

Test(rules_output, blanks_around_it_are_not_meant)
{
	static const char head[] = "- rule: r\n  desc: d\n  priority: info\n  condition: evt.num>=0\n  output: ";
	static const char *const ways[] = {">\n    a\n    %proc.name\n", "|\n    a %proc.name\n",
		"\" a %proc.name \\n\"\n", "a\n    %proc.name\n\n\n", ">+\n    a %proc.name\n\n\n"};

	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct buffer yaml = {0};
		struct test_matches matches;
		struct rules *rules;
		const char *said;

		buffer_append(&yaml, head, sizeof(head) - 1);
		buffer_append(&yaml, ways[i], strlen(ways[i]) + 1);
		rules = test_load(yaml.data, NULL, &said);
		cr_assert(rules, "%s: %s", ways[i], said);
		matches = test_match(rules, &test_exec);
		buffer_append(&matches.output, "", 1);
		cr_expect_str_eq(matches.output.data, "a curl");
		buffer_free(&matches.output);
		buffer_free(&yaml);
		rules_free(rules);
	}
}

Test(rules_output, widths_and_transformers)
{
	expect_output(&test_exec, "<%8proc.name>", "<curl    >");
	expect_output(&test_exec, "<%<8>proc.name>", "<curl    >");
	expect_output(&test_exec, "<%2proc.name>", "<cu>");
	expect_output(&test_exec, "<%4proc.name>", "<curl>");
	expect_output(&test_exec, "%toupper(proc.name) %basename(proc.exepath) %len(proc.name)", "CURL curl 4");
	expect_output(&test_exec, "%join(\"/\", proc.aname)", "bash/sshd/init");
}

Test(rules_output, what_is_wrong_does_not_load)
{
	static const char *const wrong[] = {"%proc.nosuch", "%", "a % b", "%nofield", "%proc.namex", "%evt.arg.nosuch",
		"%k8s.pod.label", "%toupper(proc.pid)", "%toupper(proc.name"};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		cr_expect_null(with_output(wrong[i]), "%s", wrong[i]);
}

struct collected {
	struct rules_evaluator *evaluator;
	char text[512];
};

static void collect_field(void *context, struct text name, const struct rules_value *value)
{
	struct collected *collected = context;
	size_t length = strlen(collected->text);

	snprintf(collected->text + length, sizeof(collected->text) - length, "%.*s:%d:%.*s;", (int)name.length,
		name.data, value->type, (int)value->text.length, value->text.data);
}

static void collect(void *context, const struct rules_rule *rule)
{
	struct collected *collected = context;

	rules_output_fields(collected->evaluator, rule, collect_field, context);
}

Test(rules_output, fields_come_once_with_their_types)
{
	struct rules *rules = with_output(
		"%proc.name %proc.pid %proc.name %fd.name %proc.is_exe_upper_layer %proc.aname[2] %toupper(proc.name)");
	struct collected collected = {0};

	cr_assert(rules);
	cr_assert_eq(rules_evaluator_open(&collected.evaluator, rules, NULL), 0);
	cr_assert_eq(rules_evaluate(collected.evaluator, &test_exec, collect, &collected), 1);
	cr_expect_str_eq(collected.text,
		"proc.name:1:curl;proc.pid:2:400;fd.name:0:<NA>;proc.is_exe_upper_layer:3:true;"
		"proc.aname[2]:1:sshd;toupper(proc.name):1:CURL;");
	rules_evaluator_close(collected.evaluator);
	rules_free(rules);
}

/* An evaluator sees event after event: nothing of one is left for the next. */
Test(rules_output, events_are_kept_apart)
{
	const char *said;
	struct rules *rules = test_load(
		"- rule: r\n  desc: d\n  priority: info\n  condition: proc.aname=sshd and user.name=www-data\n"
		"  output: '%proc.cmdline'\n",
		NULL, &said);
	struct test_matches matches = {0};

	cr_assert(rules, "%s", said);
	cr_assert_eq(rules_evaluator_open(&matches.evaluator, rules, &test_names), 0);
	for (int i = 0; i < 1000; i++) {
		cr_assert_eq(rules_evaluate(matches.evaluator, &test_exec, test_matched, &matches), 1);
		cr_assert_eq(rules_evaluate(matches.evaluator, &test_host_exec, test_matched, &matches), 0);
		cr_assert_eq(rules_evaluate(matches.evaluator, &test_bare, test_matched, &matches), 0);
	}
	rules_evaluator_close(matches.evaluator);
	buffer_free(&matches.output);
	rules_free(rules);
}

/* A regular expression that would take for ever is given up, and that is counted. */
Test(rules_output, regex_has_limits)
{
	static char words[200];
	struct event_process process = test_curl;
	struct event event = test_exec;
	const char *said;
	struct rules *rules =
		test_load("- rule: r\n  desc: d\n  priority: info\n  condition: proc.name regex '(a|aa)+[bc]'\n"
			  "  output: x\n",
			NULL, &said);
	struct test_matches matches = {0};
	struct rules_counters counters;

	cr_assert(rules, "%s", said);
	memset(words, 'a', sizeof(words));
	process.name = (struct text){words, sizeof(words)};
	event.process = &process;
	cr_assert_eq(rules_evaluator_open(&matches.evaluator, rules, NULL), 0);
	cr_expect_eq(rules_evaluate(matches.evaluator, &event, test_matched, &matches), 0);
	rules_evaluator_counters(matches.evaluator, &counters);
	cr_expect_eq(counters.regex_limits, 1);
	cr_assert_not_null(counters.regex_rule);
	cr_expect(text_equal(counters.regex_rule->name, TEXT_LITERAL("r")));
	rules_evaluator_close(matches.evaluator);
	rules_free(rules);
}

Test(rules_output, every_field_can_be_asked_for)
{
	static const struct event *const events[] = {&test_exec, &test_bare, &test_write, &test_connect, &test_unix,
		&test_chmod, &test_dup, &test_bpf, &test_host_exec};
	struct rules_field field;
	char output[256];

	for (size_t i = 0; rules_field_at(i, &field); i++) {
		struct rules *rules;

		cr_assert(field.help[0] && field.type[0]);
		snprintf(output, sizeof(output), "%%%s%s", field.name,
			!field.argument                         ? ""
			: strcmp(field.argument, "number") == 0 ? "[1]"
			: strcmp(field.argument, "name") == 0   ? "[res]"
								: "[x]");
		rules = with_output(output);
		cr_assert(rules, "%s", output);
		for (size_t k = 0; k < sizeof(events) / sizeof(*events); k++) {
			struct test_matches matches = test_match(rules, events[k]);

			buffer_free(&matches.output);
		}
		rules_free(rules);
	}
}
