/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of rules: events as a sensor makes them, and rules in a few words. */
#ifndef TAFFRAIL_TEST_RULES_H
#define TAFFRAIL_TEST_RULES_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "detect/rules.h"

#define TEXT(words) TEXT_STATIC(words)
#define ADDRESS4(a, b, c, d, p)                                                                                        \
	{                                                                                                              \
		.family = AF_INET, .bytes = {a, b, c, d}, .port = (p)                                                  \
	}

/* init → sshd → bash → curl, in a container; and cron on the host. */
static const struct event_process test_init = {.pid = 100,
	.vpid = 1,
	.sid = 100,
	.pgid = 100,
	.name = TEXT("init"),
	.executable = TEXT("/sbin/init"),
	.args = TEXT("/sbin/init"),
	.image_known = true};
static const struct event_process test_sshd = {.pid = 200,
	.vpid = 20,
	.sid = 200,
	.pgid = 200,
	.name = TEXT("sshd"),
	.executable = TEXT("/usr/sbin/sshd"),
	.args = TEXT("sshd:\0-D"),
	.image_known = true,
	.start_ns = 1700000000000000000u,
	.parent = &test_init};
static const struct event_process test_bash = {.pid = 300,
	.vpid = 30,
	.sid = 300,
	.pgid = 300,
	.name = TEXT("bash"),
	.executable = TEXT("/usr/bin/bash"),
	.args = TEXT("-bash"),
	.image_known = true,
	.start_ns = 1700000100000000000u,
	.parent = &test_sshd};
static const struct event_process test_curl = {.pid = 400,
	.vpid = 40,
	.sid = 300,
	.pgid = 400,
	.uid = 33,
	.gid = 33,
	.login_uid = UINT32_MAX,
	.session_id = UINT32_MAX,
	.name = TEXT("curl"),
	.executable = TEXT("/usr/bin/curl"),
	.args = TEXT("curl\0-o\0/tmp/Out\0http://x.example/a"),
	.args_count = 4,
	.environment = TEXT("HOME=/root\0HTTP_PROXY=http://p:1"),
	.working_directory = TEXT("/var/tmp"),
	.tty_major = 136,
	.tty_minor = 2,
	.cap_effective = 1ull << 21 | 1ull << 16,
	.cap_permitted = 1ull << 21,
	.inode = 4711,
	.ctime_ns = 1700000199000000000u,
	.mtime_ns = 1600000000000000001u,
	.namespace_ns = 1700000198000000000u,
	.upper = true,
	.image_known = true,
	.start_ns = 1700000200000000000u,
	.parent = &test_bash};
static const struct event_process test_cron = {.pid = 500,
	.vpid = 500,
	.sid = 500,
	.pgid = 500,
	.login_uid = 1000,
	.name = TEXT("cron"),
	.executable = TEXT("/usr/sbin/cron"),
	.args = TEXT("cron"),
	.args_count = 1,
	.image_known = true};

static const struct event_label test_labels[] = {{TEXT("app"), TEXT("web")}, {TEXT("tier"), TEXT("2")}};
static const struct event_mount test_mounts[] = {
	{TEXT("/proc/sys"), TEXT("/host/proc"), TEXT("bind"), TEXT("ro,rprivate")},
	{TEXT("/var/run/docker.sock"), TEXT("/docker.sock"), TEXT("bind"), TEXT("rw")}};
static const struct event_spec test_spec = {.privileged = true, .mounts = test_mounts, .mount_count = 2};
static const struct text test_ips[] = {TEXT("10.1.2.3")};
static const struct event_container test_container = {.id = {0xab, 0xcd, 0xef, 1, 2, 3, 4},
	.name = TEXT("web"),
	.image_name = TEXT("docker.io/library/nginx"),
	.image_tag = TEXT("1.25"),
	.pod_name = TEXT("web-0"),
	.pod_namespace = TEXT("shop"),
	.pod_ips = test_ips,
	.pod_ip_count = 1,
	.labels = test_labels,
	.label_count = 2,
	.runtime = TEXT("containerd"),
	.spec = &test_spec};

#define COMMON                                                                                                         \
	.sequence = 7, .time_ns = 1700000201000000000u, .process = &test_curl, .container = &test_container, .count = 1

static const struct event test_exec = {.action = EVENT_EXEC, .call = EVENT_CALL_EXECVE, COMMON, .descriptor = -1};
static const struct event test_host_exec = {.action = EVENT_EXEC,
	.call = EVENT_CALL_EXECVEAT,
	.sequence = 8,
	.descriptor = -1,
	.process = &test_cron,
	.count = 1};
static const struct event test_bare = {
	.action = EVENT_EXEC, .call = EVENT_CALL_EXECVE, .sequence = 9, .descriptor = -1, .count = 1};
static const struct event test_write = {.action = EVENT_OPEN,
	.call = EVENT_CALL_OPENAT,
	COMMON,
	.descriptor = -1,
	.result = 5,
	.file = {.path = TEXT("/usr/lib/passwd.d/Shadow.txt"),
		.argument = TEXT("../lib/passwd.d/../passwd.d/Shadow.txt"),
		.named = TEXT("/lib/passwd.d/Shadow.txt"),
		.flags = O_WRONLY | O_CREAT | O_TRUNC,
		.created_mode = 0755,
		.inode = 77,
		.mode = 0100644,
		.created = true}};
static const struct event test_missing_file = {.action = EVENT_OPEN,
	.call = EVENT_CALL_OPEN,
	COMMON,
	.descriptor = -1,
	.outcome = EVENT_FAILURE,
	.error = ENOENT,
	.result = -ENOENT,
	.file = {.argument = TEXT("/etc/none"), .named = TEXT("/etc/none"), .flags = O_RDONLY}};
static const struct event test_connect = {.action = EVENT_CONNECT,
	.call = EVENT_CALL_CONNECT,
	COMMON,
	.outcome = EVENT_UNKNOWN,
	.error = EINPROGRESS,
	.result = -EINPROGRESS,
	.descriptor = 3,
	.network = {.source = ADDRESS4(10, 1, 2, 3, 40000),
		.destination = ADDRESS4(93, 184, 216, 34, 443),
		.family = AF_INET,
		.protocol = IPPROTO_TCP,
		.type = SOCK_STREAM}};
static const struct event test_connect6 = {.action = EVENT_CONNECT,
	.call = EVENT_CALL_CONNECT,
	COMMON,
	.descriptor = 3,
	.network = {.source = {.family = AF_INET6, .bytes = {0xfd, [15] = 1}, .port = 40001},
		.destination = {.family = AF_INET6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 2}, .port = 80},
		.family = AF_INET6,
		.protocol = IPPROTO_TCP,
		.type = SOCK_STREAM}};
static const struct event test_send = {.action = EVENT_SEND,
	.call = EVENT_CALL_SENDTO,
	COMMON,
	.result = 30,
	.descriptor = 4,
	.network = {.source = ADDRESS4(10, 1, 2, 3, 5353),
		.destination = ADDRESS4(192, 168, 1, 1, 53),
		.family = AF_INET,
		.protocol = IPPROTO_UDP,
		.type = SOCK_DGRAM}};
static const struct event test_receive = {.action = EVENT_RECEIVE,
	.call = EVENT_CALL_RECVFROM,
	COMMON,
	.result = 2000,
	.descriptor = 6,
	.network = {.source = ADDRESS4(172, 16, 9, 9, 50000),
		.destination = ADDRESS4(10, 1, 2, 3, 8080),
		.family = AF_INET,
		.protocol = IPPROTO_TCP,
		.type = SOCK_STREAM,
		.ingress = true,
		.data = TEXT("GET\0\xca\xfe\xba\xbe"),
		.connected = true,
		.again = true}};
static const struct event test_accept = {.action = EVENT_ACCEPT,
	.call = EVENT_CALL_ACCEPT4,
	COMMON,
	.result = 6,
	.descriptor = 6,
	.network = {.source = ADDRESS4(172, 16, 9, 9, 50000),
		.destination = ADDRESS4(10, 1, 2, 3, 8080),
		.family = AF_INET,
		.protocol = IPPROTO_TCP,
		.type = SOCK_STREAM,
		.ingress = true}};
static const struct event test_unix = {.action = EVENT_CONNECT,
	.call = EVENT_CALL_CONNECT,
	COMMON,
	.descriptor = 9,
	.network = {.unix_name = TEXT("/run/docker.sock"), .family = AF_UNIX, .type = SOCK_STREAM}};
static const struct event test_packet = {.action = EVENT_SOCKET,
	.call = EVENT_CALL_SOCKET,
	COMMON,
	.result = 8,
	.descriptor = 8,
	.network = {.family = AF_PACKET, .type = SOCK_RAW}};
static const struct event test_chmod = {.action = EVENT_CHMOD,
	.call = EVENT_CALL_FCHMODAT,
	COMMON,
	.descriptor = -1,
	.change = {.named = TEXT("/tmp/x"), .argument = TEXT("x"), .mode = 04711}};
static const struct event test_rename = {.action = EVENT_RENAME,
	.call = EVENT_CALL_RENAMEAT,
	COMMON,
	.descriptor = -1,
	.change = {.named = TEXT("/bin/ls"), .new_named = TEXT("/tmp/.ls"), .argument = TEXT("ls")}};
static const struct event test_symlink = {.action = EVENT_SYMLINK,
	.call = EVENT_CALL_SYMLINK,
	COMMON,
	.descriptor = -1,
	.change = {.named = TEXT("/tmp/l"), .target = TEXT("/etc/shadow")}};
static const struct event test_unlink = {.action = EVENT_UNLINK,
	.call = EVENT_CALL_UNLINKAT,
	COMMON,
	.descriptor = -1,
	.change = {.named = TEXT("/root/.bash_history")}};
static const struct event test_ptrace = {.action = EVENT_PTRACE,
	.call = EVENT_CALL_PTRACE,
	COMMON,
	.descriptor = -1,
	.deed = {.request = 16, .other = 1}};
static const struct event test_bpf = {
	.action = EVENT_BPF, .call = EVENT_CALL_BPF, COMMON, .descriptor = -1, .result = 7, .deed = {.request = 5}};
static const struct event test_setuid = {.action = EVENT_SETUID,
	.call = EVENT_CALL_SETUID,
	COMMON,
	.descriptor = -1,
	.deed = {.id = 0, .other = UINT32_MAX}};
static const struct event test_dup = {.action = EVENT_DUP,
	.call = EVENT_CALL_DUP2,
	COMMON,
	.result = 1,
	.deed = {.request = 3,
		.descriptor_type = 7,
		.socket = {.source = {.family = AF_INET, .bytes = {10, 1, 2, 3}, .port = 4},
			.destination = {.family = AF_INET, .bytes = {5, 6, 7, 8}, .port = 9},
			.family = AF_INET,
			.protocol = IPPROTO_TCP,
			.type = SOCK_STREAM}}};
static const struct event test_unshare = {
	.action = EVENT_UNSHARE, .call = EVENT_CALL_UNSHARE, COMMON, .descriptor = -1, .deed = {.flags = 0x10020000}};

static inline struct text test_user(void *context, const struct event *event, uint32_t uid)
{
	(void)context;
	(void)event;
	return uid == 33 ? TEXT_LITERAL("www-data") : uid == 0 ? TEXT_LITERAL("root") : (struct text){0};
}

static inline struct text test_host_name(
	void *context, const struct event *event, const struct event_address *address, size_t number)
{
	static const struct text names[] = {TEXT("example.com"), TEXT("www.example.com")};

	(void)context;
	(void)event;
	return address->bytes[0] == 93 && number < 2 ? names[number] : (struct text){0};
}

static const struct rules_names test_names = {.user = test_user, .host = test_host_name};

/* What the loader said, one problem a line, without files' names. */
static inline const char *test_problems(const struct rules_loader *loader)
{
	static char said[16384];
	struct rules_report report;
	size_t length = 0;

	rules_loader_report(loader, &report);
	said[0] = '\0';
	for (size_t i = 0; i < report.error_count + report.warning_count && length < sizeof(said); i++) {
		const struct rules_problem *problem =
			i < report.error_count ? &report.errors[i] : &report.warnings[i - report.error_count];

		length += (size_t)snprintf(said + length, sizeof(said) - length, "%u:%u: %s: %s\n", problem->line,
			problem->column, i < report.error_count ? "error" : "warning", problem->message);
	}
	return said;
}

/* Loads one file's text; NULL if it does not load. What was said of it is in `said`. */
static inline struct rules *test_load(const char *yaml, const struct rules_options *options, const char **said)
{
	struct rules_loader *loader;
	struct rules *rules;

	cr_assert_eq(rules_loader_open(&loader), 0);
	rules_loader_add_text(loader, "rules.yaml", text_of(yaml));
	cr_assert_neq(rules_loader_compile(loader, options, &rules), -ENOMEM);
	*said = test_problems(loader);
	rules_loader_close(loader);
	return rules;
}

struct test_matches {
	char names[1024]; /* joined by commas */
	size_t count;
	struct rules_evaluator *evaluator;
	struct buffer output;
};

static inline void test_matched(void *context, const struct rules_rule *rule)
{
	struct test_matches *matches = context;
	size_t length = strlen(matches->names);

	snprintf(matches->names + length, sizeof(matches->names) - length, "%s%.*s", matches->count++ ? "," : "",
		(int)rule->name.length, rule->name.data);
	rules_output(matches->evaluator, rule, &matches->output);
}

/* The names of the rules that an event meets, and the output of them. Free the output's buffer. */
static inline struct test_matches test_match(const struct rules *rules, const struct event *event)
{
	struct test_matches matches = {0};

	cr_assert_eq(rules_evaluator_open(&matches.evaluator, rules, &test_names), 0);
	cr_assert_eq(rules_evaluate(matches.evaluator, event, test_matched, &matches), matches.count);
	rules_evaluator_close(matches.evaluator);
	return matches;
}

/* 1 or 0: is the condition true of the event? -1: it does not load. */
static inline int test_truth(const char *condition, const struct event *event)
{
	static const char head[] = "- rule: r\n  desc: d\n  output: o\n  priority: info\n  condition: |\n    ";
	struct buffer yaml = {0};
	struct test_matches matches;
	struct rules *rules;
	const char *said;

	buffer_append(&yaml, head, sizeof(head) - 1);
	buffer_append(&yaml, condition, strlen(condition));
	buffer_append(&yaml, "\n", 2);
	rules = test_load(yaml.data, NULL, &said);
	buffer_free(&yaml);
	if (!rules)
		return -1;
	matches = test_match(rules, event);
	buffer_free(&matches.output);
	rules_free(rules);
	return matches.count > 0;
}

/* A line of the corpus: a condition, and what test_truth() says of it. */
struct truth {
	const struct event *event;
	const char *condition;
	int expected;
};

static inline void test_truths(const struct truth *truths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(test_truth(truths[i].condition, truths[i].event), truths[i].expected, "%s",
			truths[i].condition);
}

#define EXPECT(truths) test_truths(truths, sizeof(truths) / sizeof((truths)[0]))

#endif
