/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "grpc/address.h"
#include "http/server.h"
#include "http/process.h"
#include "sensor/budget.h"
#include "sensor/metrics.h"
#include "sensor/ruleset.h"
#include "sensor/spool.h"

enum { KEYS = 64 }; /* room */

/* The keys, bound to one struct settings. */
static void bind_keys(struct config_key keys[KEYS], struct settings *settings)
{
	const uint64_t ring_min = 1 << 20, ring_max = 1 << 30;
	const struct config_key all[KEYS] = {
		{"stdout", CONFIG_BOOL, &settings->stdout_lines, 0, 0,
			"write ECS JSON lines to stdout, without a collector"},
		{"collector", CONFIG_LIST, &settings->collectors, 0, 0, "where the collector listens, or several do"},
		{"spool.dir", CONFIG_TEXT, &settings->spool, 0, 0, "directory for what no collector has yet"},
		{"spool.max_bytes", CONFIG_SIZE, &settings->spool_bytes, 16 << 20, 1ull << 44, "its size"},
		{"spool.wait", CONFIG_DURATION, &settings->spool_wait_ms, 0, 86400000, "wait for another sensor on it"},
		{"spool.fsync", CONFIG_TEXT, &settings->spool_sync_word, 0, 0,
			"always, interval or never: when the disk is waited for"},
		{"handover", CONFIG_TEXT, &settings->handover, 0, 0, "file that tells the next start of the processes"},
		{"recording", CONFIG_TEXT, &settings->recording, 0, 0, "file that gets all that comes from the kernel"},
		{"replay", CONFIG_TEXT, &settings->replay, 0, 0, "a recording that takes the kernel's place"},
		{"cri.sockets", CONFIG_LIST, &settings->cri, 0, 0, "sockets of the container runtimes"},
		{"cri.state", CONFIG_LIST, &settings->cri_state, 0, 0, "state directories of the container runtimes"},
		{"cri.annotations", CONFIG_LIST, &settings->cri_annotations, 0, 0,
			"keys of pods' annotations that events carry"},
		{"host.events", CONFIG_BOOL, &settings->host_events, 0, 0, "also events outside containers"},
		{"host.root", CONFIG_TEXT, &settings->host_root, 0, 0, "where the host's file system is mounted"},
		{"host.bpffs", CONFIG_TEXT, &settings->bpffs, 0, 0,
			"directory of a BPF file system that keeps the rings of a sensor that is killed; none: it is "
			"not "
			"used"},
		{"host.id", CONFIG_TEXT, &settings->host_id, 0, 0, "the machine's id; names the sensor"},
		{"host.name", CONFIG_TEXT, &settings->host_name, 0, 0, "the machine's name"},
		{"cluster.name", CONFIG_TEXT, &settings->cluster, 0, 0, "the cluster's name"},
		{"exec.environment", CONFIG_BOOL, &settings->environment, 0, 0, "take the environment of each exec"},
		{"hooks", CONFIG_TEXT, &settings->hooks, 0, 0,
			"auto, tracepoint, or function: which hooks the kernel programs use"},
		{"rings.critical", CONFIG_SIZE, &settings->critical_bytes, ring_min, ring_max,
			"size of the critical ring"},
		{"rings.bulk", CONFIG_SIZE, &settings->bulk_bytes, ring_min, ring_max, "size of the bulk ring"},
		{"opens.window", CONFIG_DURATION, &settings->opens_window_ms, 0, 60000,
			"equal opens are one count for so long; 0: each is told"},
		{"flows.interval", CONFIG_DURATION, &settings->flows_interval_ms, 0, 86400000,
			"how often a flow that goes on is told; 0: at its end alone"},
		{"flows.idle", CONFIG_DURATION, &settings->flows_idle_ms, 1000, 3600000,
			"without a packet for so long a flow of datagrams has ended"},
		{"samples.take", CONFIG_BOOL, &settings->samples, 0, 0,
			"take the first bytes of flows' first messages"},
		{"samples.leave_out", CONFIG_LIST, &settings->unsampled_words, 0, 0,
			"networks to which only DNS is sampled; none: there are none"},
		{"stream.memory", CONFIG_SIZE, &settings->stream_bytes, 1 << 20, 1ull << 34,
			"batches that the collector has not acknowledged"},
		{"coverage.interval", CONFIG_DURATION | CONFIG_LIVE, &settings->coverage_interval_ms, 0, 86400000,
			"how often it is tried whether everything is seen"},
		{"budget.cpu", CONFIG_TEXT, &settings->budget_word, 0, 0, "what it may cost: 5% of one CPU, or 50m"},
		{"budget.window", CONFIG_DURATION, &settings->budget_window_ms, 1000, 600000, "its window"},
		{"check", CONFIG_BOOL, &settings->check, 0, 0, "only try whether everything is seen"},
		{"json", CONFIG_BOOL, &settings->json, 0, 0, "tell what was found as JSON"},
		{"drain", CONFIG_DURATION | CONFIG_LIVE, &settings->drain_ms, 0, 600000,
			"how long SIGTERM waits for the collector"},
		OPTIONS_LOG_KEYS(&settings->log),
		{"check_config", CONFIG_BOOL, &settings->check_config, 0, 0, "only look whether all of this is right"},
		{"rules", CONFIG_LIST | CONFIG_LIVE, &settings->rule_paths, 0, 0, "files and directories of rules"},
		{"no_rules", CONFIG_BOOL | CONFIG_LIVE, &settings->no_rules, 0, 0, "judge by no rule"},
		{"rule_matching", CONFIG_TEXT | CONFIG_LIVE, &settings->rule_matching, 0, 0,
			"first or all: which of the rules that an event meets are told"},
		{"findings.limit", CONFIG_NUMBER | CONFIG_LIVE, &settings->findings_limit, 0, 1000000,
			"findings of one rule in one container that are told in a window; 0: all"},
		{"findings.window", CONFIG_DURATION | CONFIG_LIVE, &settings->findings_window_ms, 1000, 86400000,
			"that window"},
		{"falco_json", CONFIG_BOOL, &settings->falco_json, 0, 0, "only findings, as Falco prints them"},
		{"falco_text", CONFIG_BOOL, &settings->falco_text, 0, 0, "only findings, as lines for people"},
		{"record", CONFIG_TREE | CONFIG_LIVE, &settings->record, 0, 0, "what is recorded"},
		GRPC_TRUST_KEYS(&settings->trust),
		GRPC_TRUST_NAME_KEY(&settings->trust),
		HTTP_KEY(&settings->http),
		{"bpf_stats", CONFIG_BOOL, &settings->bpf_stats, 0, 0,
			"/metrics tells how often and how long each BPF program ran: needs CAP_SYS_ADMIN, and makes "
			"every program of the machine a little slower"},
		{"outbound", CONFIG_TREE | CONFIG_LIVE, &settings->outbound, 0, 0,
			"what detectors of behaviour take for suspicious: docs/outbound.md"},
		CONFIG_END,
	};

	for (int i = 0; i < KEYS; i++)
		keys[i] = all[i];
}

static const struct metric_spec *const metrics[] = {sensor_metrics, http_server_metrics, http_process_metrics, NULL};

static const struct option_spec options[] = {
	{"stdout", NULL, "stdout", "write ECS JSON to stdout, one document a line"},
	{"collector", "ADDR", "collector", "collector at HOST:PORT or unix:PATH; repeatable"},
	GRPC_TRUST_OPTIONS,
	{"spool", "DIR", "spool.dir", "keep what no collector has yet in DIR"},
	{"check", NULL, "check", NULL},
	{"json", NULL, "json", "only try whether it sees everything here (as JSON)"},
	{"record", "FILE", "recording", NULL},
	{"replay", "FILE", "replay", "write what comes in to FILE; run on such a one"},
	{"cri", "PATH", "cri.sockets", "a runtime's socket (else the usual ones); repeatable"},
	{"rules", "PATH", "rules", NULL},
	{"no-rules", NULL, "no_rules", "files or directories of rules (else its own); none"},
	{"falco-json", NULL, "falco_json", "with --stdout: only findings, as Falco prints them"},
	{"host", NULL, "host.events", "also events outside containers"},
	{"http", "ADDR", "http", NULL},
	{"bpf-stats", NULL, "bpf_stats", "/healthz, /readyz, /metrics; there run times of BPF"},
	OPTIONS_LOG_OPTION,
	{"check-config", NULL, "check_config", "only look whether options and configuration are right"},
	{0},
};

static bool hooks_known(const char *hooks)
{
	return strcmp(hooks, "auto") == 0 || strcmp(hooks, "tracepoint") == 0 || strcmp(hooks, "function") == 0;
}

/* The collectors and the spool. -1, or the exit code. */
static int check_stream(struct settings *settings, const struct program_spec *program)
{
	static const char *const syncs[] = {
		[SPOOL_ALWAYS] = "always", [SPOOL_INTERVAL] = "interval", [SPOOL_NEVER] = "never"};
	const char *sync = settings->spool_sync_word ? settings->spool_sync_word : syncs[SPOOL_INTERVAL];
	int code = grpc_trust_read(&settings->trust, program);
	struct grpc_address address;
	char why[256];

	if (code >= 0)
		return code;
	for (size_t i = 0; i < settings->collectors.count; i++) {
		const char *collector = settings->collectors.items[i];

		if (grpc_address_parse(collector, &address, why, sizeof(why)) < 0)
			return options_wrong_key(program, "collector", "--collector \"%s\": %s", collector, why);
		code = grpc_trust_allows(&settings->trust, program, "collector", collector, &address);
		if (code >= 0)
			return code;
	}
	if (settings->spool && settings->collectors.count == 0)
		return options_wrong_key(program, "spool.dir", "--spool is for --collector");
	for (settings->spool_sync = SPOOL_ALWAYS; strcmp(syncs[settings->spool_sync], sync) != 0;
		settings->spool_sync++)
		if (settings->spool_sync == SPOOL_NEVER)
			return options_wrong_key(
				program, "spool.fsync", "spool.fsync \"%s\": always, interval or never", sync);
	return -1;
}

/* Which of the ways to run it is. -1, or the exit code. */
static int check_mode(const struct settings *settings)
{
	bool collector = settings->collectors.count > 0;

	if (settings->stdout_lines && collector)
		return options_wrong("--stdout and --collector exclude each other");
	if (settings->replay && settings->recording)
		return options_wrong("--replay and --record exclude each other");
	if (settings->replay && !settings->stdout_lines && !collector)
		return options_wrong("--replay needs --stdout or --collector ADDR");
	if (settings->check && (settings->stdout_lines || collector || settings->recording || settings->replay))
		return options_wrong("--check excludes --stdout, --collector, --record and --replay");
	if (settings->check && settings->check_config)
		return options_wrong("--check and --check-config exclude each other");
	if (settings->json && !settings->check)
		return options_wrong("--json is for --check");
	if (!settings->check && !settings->stdout_lines && !collector && !settings->recording)
		return options_wrong("it needs --stdout, --collector ADDR, --record FILE or --check; try --help");
	return -1;
}

/* -1, or the exit code. */
static int check_http(struct settings *settings, const struct program_spec *program)
{
	char why[256];

	if (!settings->http)
		return -1;
	if (grpc_address_parse(settings->http, &settings->http_address, why, sizeof(why)) < 0)
		return options_wrong_key(program, "http", "--http \"%s\": %s", settings->http, why);
	if (settings->replay || settings->check)
		return options_wrong(
			"--http is for a sensor that runs, not for --%s", settings->replay ? "replay" : "check");
	return -1;
}

/* The words. -1, or the exit code. */
static int check_words(struct settings *settings, const struct program_spec *program)
{
	if (settings->no_rules && settings->rule_paths.count > 0)
		return options_wrong_key(program, "no_rules", "--rules and --no-rules exclude each other");
	if (settings->rule_matching && strcmp(settings->rule_matching, "first") != 0 &&
		strcmp(settings->rule_matching, "all") != 0)
		return options_wrong_key(
			program, "rule_matching", "rule_matching \"%s\": first or all", settings->rule_matching);
	if ((settings->falco_json || settings->falco_text) && !settings->stdout_lines)
		return options_wrong("--falco-json is for --stdout");
	if (settings->budget_word && !budget_parse(settings->budget_word, &settings->budget_millicpu))
		return options_wrong_key(program, "budget.cpu",
			"budget.cpu \"%s\": a share of one CPU, as 5%% or 50m, 1m at least", settings->budget_word);
	if (settings->hooks && !hooks_known(settings->hooks))
		return options_wrong_key(
			program, "hooks", "hooks \"%s\": auto, tracepoint or function", settings->hooks);
	return options_log_check(program, &settings->log);
}

/* What is said as text or as a tree becomes what rooms take; all of it is judged. -1, or the exit code. */
static int understand(struct settings *settings, const struct program_spec *program)
{
	const char *wrong = unsampled_read(&settings->unsampled, &settings->unsampled_words);
	int code;

	if (wrong)
		return options_wrong_key(program, "samples.leave_out",
			"samples.leave_out \"%s\": it takes at most %d networks (10.0.0.0/8) and addresses, or none",
			wrong, FLOW_RANGES_MAX);
	if (policy_rules_read(&settings->rules, &settings->record) < 0 ||
		outbound_settings_read(&settings->outbound_settings, &settings->outbound) < 0)
		return 2;
	code = check_mode(settings);
	code = code < 0 ? check_stream(settings, program) : code;
	code = code < 0 ? check_http(settings, program) : code;
	return code < 0 ? check_words(settings, program) : code;
}

static void print_rules(void)
{
	struct digest_sum hash = ruleset_pack_hash();
	char text[DIGEST_TEXT_SIZE];

	printf(", rules %s", digest_format(&hash, text));
}

static int read_all(struct settings *settings, int argc, char **argv, bool again)
{
	struct config_key keys[KEYS];
	const struct program_spec program = {
		.name = "taffrail-sensor",
		.usage = "--stdout | --collector ADDR | --record FILE | --check ...",
		.summary = "records what containers execute, open and connect to",
		.options = options,
		.keys = keys,
		.metrics = metrics,
		.notes = "Ready when stderr says \"taffrail-sensor: ready\". SIGTERM drains and ends it.\n"
			 "Exit: 0 ended as asked; 1 cannot run, or --check misses some; 2 wrong usage.",
		.call = &settings->call,
		.again = again,
		.print_build = print_rules,
	};
	int code;

	*settings = (struct settings){.critical_bytes = 8 << 20,
		.bulk_bytes = 16 << 20,
		.stream_bytes = 64 << 20,
		.spool_bytes = 1 << 30,
		.coverage_interval_ms = 600000,
		.drain_ms = 5000,
		.opens_window_ms = 1000,
		.budget_window_ms = 10000,
		.flows_interval_ms = 300000,
		.flows_idle_ms = 60000,
		.samples = true,
		.findings_limit = 100,
		.findings_window_ms = 60000};
	bind_keys(keys, settings);
	code = options_read(&program, argc, argv);
	if (code < 0)
		code = understand(settings, &program);
	if (code >= 0)
		sensor_settings_free(settings);
	return code;
}

int sensor_settings_read(struct settings *settings, int argc, char **argv)
{
	int code = read_all(settings, argc, argv, false);

	if (code < 0)
		options_log_use(&settings->log);
	return code;
}

int sensor_settings_again(struct settings *settings, const struct options_call *call)
{
	return read_all(settings, call->argc, call->argv, true) < 0 ? 0 : -EINVAL;
}

/* For those that only read. */
static void bind_const(struct config_key keys[KEYS], const struct settings *settings)
{
	bind_keys(keys, (struct settings *)(uintptr_t)settings);
}

void sensor_settings_tell(const struct settings *start, const struct settings *last, const struct settings *now)
{
	struct config_key start_keys[KEYS], last_keys[KEYS], now_keys[KEYS];

	bind_const(start_keys, start);
	bind_const(last_keys, last);
	bind_const(now_keys, now);
	config_tell_restarts(start_keys, last_keys, now_keys);
}

void sensor_settings_free(struct settings *settings)
{
	struct config_key keys[KEYS];

	grpc_trust_close(&settings->trust);
	bind_keys(keys, settings);
	config_free(keys);
}
