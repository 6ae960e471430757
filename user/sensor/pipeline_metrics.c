/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sensor on its board: alive at every tick, and once a second is it ready, and its metrics. They are numbers that the
 * stages count in any case; nobody waits for who reads them.
 */
#include "sensor/pipeline_inside.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "grpc/tls.h"
#include "http/process.h"
#include "sensor/metrics.h"

/* event_lost.stage, of what this thread declares. */
static const char *const stages[PIPELINE_STAGES] = {"ring-critical", "ring-bulk", "kernel", "sensor"};
static const uint64_t publish_ns = 1000ull * 1000 * 1000, runs_ns = 5000ull * 1000 * 1000;

/* --- writing ---------------------------------------------------------------------------------------------------------- */

static const struct metric_spec *begin(struct buffer *page, enum sensor_metric metric)
{
	metric_begin(page, &sensor_metrics[metric]);
	return &sensor_metrics[metric];
}

static void one(struct buffer *page, enum sensor_metric metric, uint64_t number)
{
	metric_one(page, &sensor_metrics[metric], number);
}

static void with(struct buffer *page, const struct metric_spec *spec, const char *value, uint64_t number)
{
	metric_count(page, spec, (const char *const[]){value}, number);
}

/* --- what came, and what was told ----------------------------------------------------------------------------------------- */

static void put_records(const struct pipeline *pipeline, struct buffer *page)
{
	static const char *const names[KERNEL_KINDS_END] = {
#define KIND(name, number, text, ring) [number] = #name,
		KERNEL_KINDS(KIND)
#undef KIND
	};
	const struct books *books = &pipeline->books;
	const struct metric_spec *spec = begin(page, SENSOR_RECORDS);
	uint64_t held = 0;

	for (int kind = 0; kind < KERNEL_KINDS_END; kind++) {
		char name[32] = "";

		held += books->arrived[kind] - books->settled[kind];
		for (size_t i = 0; names[kind] && names[kind][i] && i < sizeof(name) - 1; i++)
			name[i] = (char)tolower((unsigned char)names[kind][i]);
		if (name[0])
			with(page, spec, name, books->arrived[kind]);
	}
	one(page, SENSOR_RECORDS_HELD, held);
	one(page, SENSOR_RECORDS_MALFORMED, pipeline->malformed);
}

static void put_events(const struct pipeline *pipeline, struct buffer *page)
{
	const struct metric_spec *spec = begin(page, SENSOR_EVENTS);
	struct stream_counters counters;

	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (event_action_name((enum event_action)action))
			with(page, spec, event_action_name((enum event_action)action), pipeline->board.told[action]);
	one(page, SENSOR_FINDINGS, pipeline->board.findings);
	spec = begin(page, SENSOR_LOST);
	for (int stage = 0; stage < PIPELINE_STAGES; stage++)
		with(page, spec, stages[stage], pipeline->board.lost[stage]);
	if (pipeline->stream) {
		stream_counters(pipeline->stream, &counters);
		with(page, spec, "spool", counters.taken);
	}
	spec = begin(page, SENSOR_FILTERED);
	for (int action = 1; action < EVENT_ACTIONS_END; action++)
		if (pipeline->board.filtered[action] > 0)
			with(page, spec, event_action_name((enum event_action)action),
				pipeline->board.filtered[action]);
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

static void put_containers(const struct pipeline *pipeline, struct buffer *page)
{
	const struct metric_spec *spec = begin(page, SENSOR_CONTAINERS);
	struct container_counters counters;
	size_t living, ended;

	container_counters(pipeline->containers, &counters);
	with(page, spec, "named", counters.containers - counters.late);
	with(page, spec, "unnamed", counters.late);
	one(page, SENSOR_CONTAINER_QUEUE, counters.waiting);
	one(page, SENSOR_CONTAINER_NAMED, counters.named);
	spec = begin(page, SENSOR_CONTAINER_PENDING);
	with(page, spec, "late", counters.pending_late);
	with(page, spec, "full", counters.pending_full);
	with(page, spec, "at_once", counters.pending_at_once);
	one(page, SENSOR_CONTAINER_LATE, counters.completed_late);
	one(page, SENSOR_CONTAINER_NEVER, counters.never);
	one(page, SENSOR_CONTAINER_EVICTED, counters.evicted);
	process_count(pipeline->processes, &living, &ended);
	spec = begin(page, SENSOR_PROCESSES);
	with(page, spec, "living", living);
	with(page, spec, "ended", ended);
	one(page, SENSOR_FLOWS, flows_count(pipeline->flows));
	one(page, SENSOR_FLOWS_PUSHED_OUT, flows_pushed_out(pipeline->flows));
}

/* --- the way to the collector --------------------------------------------------------------------------------------------- */

/* Since when something waits: what had been made then is not acknowledged yet. */
static double ack_lag_s(struct pipeline *pipeline, const struct stream_counters *counters)
{
	if (counters->acknowledged >= counters->last) {
		pipeline->board.lag_ns = 0;
		return 0;
	}
	if (pipeline->board.lag_ns == 0 || counters->acknowledged >= pipeline->board.lag_sequence) {
		pipeline->board.lag_ns = pipeline->now_ns;
		pipeline->board.lag_sequence = counters->last;
	}
	return (double)(pipeline->now_ns - pipeline->board.lag_ns) / 1e9;
}

static void put_tls(const struct pipeline *pipeline, struct buffer *page)
{
	const struct grpc_trust *trust = &pipeline->settings->trust;
	const struct metric_spec *spec;

	if (!trust->tls)
		return;
	spec = begin(page, SENSOR_TLS_END);
	metric_number(
		page, spec, (const char *const[]){trust->certificate}, (double)grpc_tls_certificate_end(trust->tls));
	/* Both in one file: a series is there once. */
	if (strcmp(trust->certificate, trust->ca) != 0)
		metric_number(page, spec, (const char *const[]){trust->ca}, (double)grpc_tls_ca_end(trust->tls));
}

static void put_spool(const struct pipeline *pipeline, struct buffer *page, const struct stream_counters *counters)
{
	int64_t now_s = (int64_t)((pipeline->boot_unix_ns + pipeline->now_ns) / 1000000000);
	bool aged = counters->spool_since_s > 0 && counters->spool_since_s < now_s;

	if (!pipeline->spool)
		return;
	one(page, SENSOR_SPOOL, counters->spool_bytes);
	one(page, SENSOR_SPOOL_LIMIT, pipeline->settings->spool_bytes);
	one(page, SENSOR_SPOOL_AGE, aged ? (uint64_t)(now_s - counters->spool_since_s) : 0);
	one(page, SENSOR_SPOOL_FAILING, !counters->spool_works);
}

static void put_stream(struct pipeline *pipeline, struct buffer *page)
{
	struct stream_counters counters;

	if (!pipeline->stream)
		return;
	stream_counters(pipeline->stream, &counters);
	one(page, SENSOR_MADE, counters.last);
	one(page, SENSOR_ACKNOWLEDGED, counters.acknowledged);
	metric_begin(page, &sensor_metrics[SENSOR_ACK_LAG]);
	metric_number(page, &sensor_metrics[SENSOR_ACK_LAG], NULL, ack_lag_s(pipeline, &counters));
	one(page, SENSOR_CONNECTED, counters.connected);
	one(page, SENSOR_CONNECTIONS, counters.greetings);
	one(page, SENSOR_CONNECTION_FAILURES, counters.failures);
	one(page, SENSOR_BATCHES_REFUSED, counters.refused);
	one(page, SENSOR_MEMORY, counters.memory_bytes);
	one(page, SENSOR_MEMORY_LIMIT, pipeline->settings->stream_bytes);
	one(page, SENSOR_QUEUE, counters.queued);
	put_spool(pipeline, page, &counters);
	put_tls(pipeline, page);
}

/* --- what is watched ------------------------------------------------------------------------------------------------------ */

/* Who asks for them asks another process. */
static void put_programs(struct pipeline *pipeline, struct buffer *page)
{
	struct pipeline_board *board = &pipeline->board;
	const struct metric_spec *spec;
	double cpu_s, resident_bytes;

	if (pipeline->now_ns >= board->next_runs_ns) {
		board->run_count = loader_runs(pipeline->loader, board->runs);
		board->next_runs_ns = pipeline->now_ns + runs_ns;
	}
	if (http_process_usage(loader_pid(pipeline->loader), &cpu_s, &resident_bytes)) {
		metric_number(page, begin(page, SENSOR_LOADER_CPU), NULL, cpu_s);
		metric_number(page, begin(page, SENSOR_LOADER_MEMORY), NULL, resident_bytes);
	}
	spec = begin(page, SENSOR_PROGRAMS);
	for (size_t i = 0; i < board->run_count; i++)
		with(page, spec, board->runs[i].name, 1);
	if (!pipeline->settings->bpf_stats)
		return;
	spec = begin(page, SENSOR_PROGRAM_RUNS);
	for (size_t i = 0; i < board->run_count; i++)
		with(page, spec, board->runs[i].name, board->runs[i].runs);
	spec = begin(page, SENSOR_PROGRAM_SECONDS);
	for (size_t i = 0; i < board->run_count; i++)
		metric_number(
			page, spec, (const char *const[]){board->runs[i].name}, (double)board->runs[i].run_ns / 1e9);
}

static void put_rings(const struct pipeline *pipeline, struct buffer *page)
{
	static const char *const names[KERNEL_RINGS] = {"critical", "bulk"};
	const struct metric_spec *spec = begin(page, SENSOR_RING);
	size_t sizes[KERNEL_RINGS];

	for (enum kernel_ring ring = 0; ring < KERNEL_RINGS; ring++)
		with(page, spec, names[ring], loader_waiting(pipeline->loader, ring, &sizes[ring]));
	spec = begin(page, SENSOR_RING_SIZE);
	for (enum kernel_ring ring = 0; ring < KERNEL_RINGS; ring++)
		with(page, spec, names[ring], sizes[ring]);
}

static void put_coverage(const struct pipeline *pipeline, struct buffer *page)
{
	const struct metric_spec *spec = begin(page, SENSOR_HOOKS);
	char hash[DIGEST_TEXT_SIZE];
	size_t count;
	const struct loader_hook *hooks = loader_hooks(pipeline->loader, &count);

	for (size_t i = 0; i < count; i++)
		metric_count(page, spec, (const char *const[]){hooks[i].promise, hooks[i].hook ? hooks[i].hook : ""},
			hooks[i].attached);
	spec = begin(page, SENSOR_PROMISES);
	for (enum event_promise_state state = EVENT_SEEN; event_promise_state_name(state); state++)
		with(page, spec, event_promise_state_name(state), coverage_number(pipeline->coverage, state));
	one(page, SENSOR_BULK_WAITS, pipeline->bulk_waits);
	if (pipeline->budget.limit_millicpu) {
		one(page, SENSOR_BUDGET_STEP, pipeline->budget.step);
		one(page, SENSOR_BUDGET_USED, pipeline->budget.used_millicpu);
		one(page, SENSOR_BUDGET_LIMIT, pipeline->budget.limit_millicpu);
		one(page, SENSOR_BUDGET_CHANGES, pipeline->budget.changes);
	}
	one(page, SENSOR_RULES, pipeline->detect ? detect_rules(pipeline->detect) : 0);
	if (pipeline->detect)
		with(page, begin(page, SENSOR_RULESET), digest_format(&pipeline->rules_hash, hash), 1);
}

static void put_reloads(const struct pipeline *pipeline, struct buffer *page)
{
	const struct metric_spec *spec = begin(page, SENSOR_RELOADS);
	struct config_reloads counters;

	pipeline_reloads(pipeline, &counters);
	with(page, spec, "taken", counters.taken);
	with(page, spec, "refused", counters.refused);
	one(page, SENSOR_RELOAD_GOOD, counters.last_taken);
	one(page, SENSOR_RELOADED, counters.last_s);
}

/* --- the board ------------------------------------------------------------------------------------------------------------ */

/* NULL, or why it does not do its job. */
static const char *find_fault(const struct pipeline *pipeline)
{
	struct stream_counters counters;

	if (!pipeline->stream)
		return NULL;
	stream_counters(pipeline->stream, &counters);
	if (counters.connected || (pipeline->spool && counters.spool_works))
		return NULL;
	return pipeline->spool ? "no collector answers, and the spool takes nothing more"
			       : "no collector answers, and there is no spool";
}

void pipeline_publish(struct pipeline *pipeline)
{
	struct pipeline_board *board = &pipeline->board;
	struct buffer *page = &board->page;

	if (!board->http)
		return;
	http_board_beat(board->http);
	if (pipeline->now_ns < board->next_ns)
		return;
	board->next_ns = pipeline->now_ns + publish_ns;
	buffer_clear(page);
	metric_count(page, begin(page, SENSOR_BUILD), (const char *const[]){TAFFRAIL_VERSION, version_commit()}, 1);
	put_records(pipeline, page);
	put_events(pipeline, page);
	put_containers(pipeline, page);
	put_stream(pipeline, page);
	put_programs(pipeline, page);
	put_rings(pipeline, page);
	put_coverage(pipeline, page);
	put_reloads(pipeline, page);
	http_board_page(board->http, page);
	http_board_ready(board->http, find_fault(pipeline));
}

void pipeline_note_more(struct pipeline_board *board, const struct event *event)
{
	board->findings += event->rule != NULL;
	if (event->action == EVENT_FILTERED)
		for (int action = 1; action < EVENT_ACTIONS_END; action++)
			board->filtered[action] += event->filtered.counts[action];
	if (event->action == EVENT_LOST)
		for (int stage = 0; stage < PIPELINE_STAGES; stage++)
			if (text_equal(event->lost.stage, text_of(stages[stage])))
				board->lost[stage] += event->lost.count;
}
