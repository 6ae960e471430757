/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an event costs against rules: those of the files, as one set, and sets of 100 and 1,000 made here, of which an
 * event meets none.
 *
 *	bench-rules [--events N] [--only EVENT] [FILE...]
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "detect/rules.h"

enum { ROUNDS = 199 }; /* short ones: somebody else runs in between */

static size_t matches;

static void matched(void *context, const struct rules_rule *rule)
{
	(void)context;
	(void)rule;
	matches++;
}

/* --- events ------------------------------------------------------------------------------------------------------------- */

static const struct event_process runtime = {.pid = 10,
	.name = TEXT_STATIC("containerd-shim"),
	.executable = TEXT_STATIC("/usr/bin/containerd-shim-runc-v2"),
	.args = TEXT_STATIC("/usr/bin/containerd-shim-runc-v2\0-namespace\0k8s.io"),
	.image_known = true};
static const struct event_process entry = {.pid = 11,
	.vpid = 1,
	.name = TEXT_STATIC("docker-entrypoi"),
	.executable = TEXT_STATIC("/bin/dash"),
	.args = TEXT_STATIC("/bin/sh\0/docker-entrypoint.sh"),
	.image_known = true,
	.parent = &runtime};
static const struct event_process process = {.pid = 12,
	.vpid = 7,
	.uid = 33,
	.start_ns = 1700000000000000000u,
	.login_uid = UINT32_MAX,
	.name = TEXT_STATIC("php-fpm"),
	.executable = TEXT_STATIC("/usr/sbin/php-fpm8.2"),
	.args = TEXT_STATIC("php-fpm: pool www\0--nodaemonize\0--fpm-config\0/etc/php/8.2/fpm/php-fpm.conf"),
	.args_count = 4,
	.environment = TEXT_STATIC("PATH=/usr/bin\0HOME=/var/www"),
	.working_directory = TEXT_STATIC("/var/www/html"),
	.cap_permitted = 0xa80425fb,
	.cap_effective = 0xa80425fb,
	.image_known = true,
	.parent = &entry};
static const struct event_container container = {.id = {1, 2, 3},
	.name = TEXT_STATIC("web"),
	.image_name = TEXT_STATIC("registry.example/shop/web"),
	.image_tag = TEXT_STATIC("1.4"),
	.pod_name = TEXT_STATIC("web-0"),
	.pod_namespace = TEXT_STATIC("shop")};

#define COMMON .sequence = 1, .time_ns = 1700000009000000000u, .process = &process, .container = &container, .count = 1
#define ADDRESS(a, b, c, d, number)                                                                                    \
	{                                                                                                              \
		.family = AF_INET, .bytes = {a, b, c, d}, .port = (number)                                             \
	}

static const struct {
	const char *name;
	struct event event;
} events[] = {
	{"exec", {.action = EVENT_EXEC, .call = EVENT_CALL_EXECVE, COMMON, .descriptor = -1}},
	{"open", {.action = EVENT_OPEN,
			 .call = EVENT_CALL_OPENAT,
			 COMMON,
			 .result = 9,
			 .descriptor = 9,
			 .file = {.path = TEXT_STATIC("/var/www/html/lib/Controller/Page.php"),
				 .named = TEXT_STATIC("/var/www/html/lib/Controller/Page.php"),
				 .argument = TEXT_STATIC("/var/www/html/lib/Controller/Page.php"),
				 .flags = O_RDONLY | O_CLOEXEC}}},
	{"write", {.action = EVENT_OPEN,
			  .call = EVENT_CALL_OPENAT,
			  COMMON,
			  .result = 9,
			  .descriptor = 9,
			  .file = {.path = TEXT_STATIC("/var/www/html/cache/index.tmp"),
				  .named = TEXT_STATIC("/var/www/html/cache/index.tmp"),
				  .argument = TEXT_STATIC("cache/index.tmp"),
				  .flags = O_WRONLY | O_CREAT | O_TRUNC,
				  .created_mode = 0644}}},
	{"connect", {.action = EVENT_CONNECT,
			    .call = EVENT_CALL_CONNECT,
			    COMMON,
			    .descriptor = 5,
			    .network = {.source = ADDRESS(10, 1, 2, 3, 40000),
				    .destination = ADDRESS(10, 9, 8, 7, 5432),
				    .family = AF_INET,
				    .protocol = IPPROTO_TCP,
				    .type = SOCK_STREAM}}},
	{"send", {.action = EVENT_SEND,
			 .call = EVENT_CALL_SENDTO,
			 COMMON,
			 .descriptor = 5,
			 .network = {.source = ADDRESS(10, 1, 2, 3, 40000),
				 .destination = ADDRESS(10, 0, 0, 10, 53),
				 .family = AF_INET,
				 .protocol = IPPROTO_UDP,
				 .type = SOCK_DGRAM}}},
	{"rename", {.action = EVENT_RENAME,
			   .call = EVENT_CALL_RENAMEAT2,
			   COMMON,
			   .descriptor = -1,
			   .change = {.named = TEXT_STATIC("/var/www/html/cache/index.tmp"),
				   .new_named = TEXT_STATIC("/var/www/html/cache/index.php")}}},
};

enum { EVENTS = sizeof(events) / sizeof(events[0]) };

/* --- measuring ---------------------------------------------------------------------------------------------------------- */

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

/* Nanoseconds an event, of the best round: the others were held up by somebody else. */
static double measure(struct rules_evaluator *evaluator, const struct event *event, unsigned long count)
{
	double best = 0;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns(), took;

		for (unsigned long i = 0; i < count; i++)
			rules_evaluate(evaluator, event, matched, NULL);
		took = (now_ns() - start) / (double)count;
		if (round == 0 || took < best)
			best = took;
	}
	return best;
}

/* The mean of all kinds of events; a line of each. */
static double measure_set(const char *name, const struct rules *rules, unsigned long count, const char *only)
{
	struct rules_evaluator *evaluator;
	double sum = 0;

	if (rules_evaluator_open(&evaluator, rules, NULL) < 0)
		exit(1);
	printf("%-16s", name);
	for (size_t i = 0; i < EVENTS; i++) {
		double took =
			only && strcmp(only, events[i].name) != 0 ? 0 : measure(evaluator, &events[i].event, count);

		printf("%10.0f", took);
		sum += took;
	}
	printf("%10.0f\n", sum / EVENTS);
	rules_evaluator_close(evaluator);
	return sum / EVENTS;
}

/* Rules as people write them: each of a program, a file, a place or a command of its own. */
static struct rules *make_rules(unsigned int count)
{
	static const char *const conditions[] = {
		"evt.type in (execve, execveat) and container.id != host and proc.name in (tool%u, other%u)",
		"evt.type in (open, openat, openat2) and evt.is_open_write=true and fd.name startswith /opt/a%u/lib%u",
		"evt.type in (open, openat, openat2) and evt.is_open_read=true and fd.name endswith /secret%u.key%u",
		"evt.type in (execve, execveat) and proc.cmdline contains \"--attack%u-%u\" and not proc.pname=sshd",
		"evt.type=connect and fd.sport = 1%u and proc.name != allowed%u",
		"evt.type in (sendto, sendmsg) and (proc.name = bot%u or proc.exe endswith /bot%u)",
		"evt.type in (rename, renameat, renameat2) and evt.arg.newpath startswith /boot%u/kernel%u",
		"evt.type in (open, openat, openat2) and container.image.repository = registry/bad%u/image%u",
	};
	struct rules_loader *loader;
	struct buffer yaml = {0};
	struct rules *rules = NULL;
	char words[512];

	for (unsigned int i = 0; i < count; i++) {
		buffer_append(&yaml, words,
			(size_t)snprintf(words, sizeof(words),
				"- rule: r%u\n  desc: d\n  priority: info\n  output: o\n  condition: ", i));
		buffer_append(&yaml, words, (size_t)snprintf(words, sizeof(words), conditions[i % 8], i, i));
		buffer_append(&yaml, "\n", 1);
	}
	if (rules_loader_open(&loader) == 0) {
		rules_loader_add_text(loader, "made", (struct text){yaml.data, yaml.length});
		rules_loader_compile(loader, NULL, &rules);
		rules_loader_close(loader);
	}
	buffer_free(&yaml);
	return rules;
}

static struct rules *load_files(int count, char **files)
{
	struct rules_options options = {.priority = RULES_DEBUG, .all = true};
	struct rules_loader *loader;
	struct rules *rules = NULL;

	if (rules_loader_open(&loader) < 0)
		return NULL;
	for (int i = 0; i < count; i++)
		rules_loader_add(loader, files[i]);
	rules_loader_compile(loader, &options, &rules);
	rules_loader_close(loader);
	return rules;
}

int main(int argc, char **argv)
{
	struct rules *hundred = make_rules(100), *thousand = make_rules(1000), *files;
	unsigned long count = 2000;
	const char *only = NULL;
	double few, many;

	for (; argc > 2 && argv[1][0] == '-'; argc -= 2, argv += 2) {
		if (strcmp(argv[1], "--events") == 0)
			count = strtoul(argv[2], NULL, 10);
		else
			only = argv[2];
	}
	files = load_files(argc - 1, argv + 1);
	if (!hundred || !thousand || !files || count == 0)
		return 1;
	printf("%-16s", "ns an event");
	for (size_t i = 0; i < EVENTS; i++)
		printf("%10s", events[i].name);
	printf("%10s\n", "mean");
	if (argc > 1)
		measure_set("the files", files, count, only);
	few = measure_set("100 rules", hundred, count, only);
	many = measure_set("1,000 rules", thousand, count, only);
	printf("1,000 rules cost %.2f times what 100 cost (the goal is 3)\n", many / few);
	rules_free(files);
	rules_free(hundred);
	rules_free(thousand);
	return 0;
}
