/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the pipeline's stages. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/census.h"
#include "sensor/confine.h"
#include "sensor/guard.h"

enum { WAIT_MS = 20 };     /* how often it is looked whether the spool is free */
enum { SETTLE_MS = 2000 }; /* at start: for the names of what runs already */

static int ask_for_names(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct pipeline *pipeline = context;

	return pipeline->metadata ? metadata_ask(pipeline->metadata, id) : 0;
}

static int ask_for_end(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct pipeline *pipeline = context;

	return pipeline->metadata ? metadata_ask_exit(pipeline->metadata, id) : 0; /* a recording has the answers */
}

static int take_census(struct pipeline *pipeline)
{
	char proc[4096];

	snprintf(proc, sizeof(proc), "%s/proc", pipeline->settings->host_root ? pipeline->settings->host_root : "");
	return census_take(pipeline->loader, proc, pipeline_take_process, pipeline);
}

static int open_spool(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct spool_options options = {
		.path = settings->spool,
		.max_bytes = settings->spool_bytes,
		.fsync = (enum spool_fsync)settings->spool_sync,
		.host = host_view(pipeline->host),
	};
	char why[512];
	int error = settings->spool ? spool_open(&pipeline->spool, &options, why, sizeof(why)) : 0;

	if (error == -EBUSY && settings->spool_wait_ms > 0)
		error = pipeline_wait_for_spool(pipeline, &options, why, sizeof(why));
	if (error)
		log_error("--spool %s", why);
	return error;
}

static int open_encoder(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	int error;

	if (!settings->stdout_lines && settings->collectors.count == 0)
		return encode_open_nothing(&pipeline->encoder);
	if (settings->stdout_lines)
		return encode_open_lines(&pipeline->encoder, STDOUT_FILENO,
			settings->falco_json   ? ENCODE_FALCO_JSON
			: settings->falco_text ? ENCODE_FALCO_TEXT
					       : ENCODE_ECS);

	error = open_spool(pipeline);
	error = error ? error : pipeline_open_ledger(pipeline);
	if (error)
		return error;
	pipeline_note_spool(pipeline);
	error = pipeline_adopt_formers(pipeline);
	if (error)
		return error;

	const struct stream_build build = {
		.rules = pipeline->loaded ? pipeline->loaded->hash : (struct digest_sum){.bytes = {0}},
		.configuration = settings->call.places.hash};
	const struct stream_options options = {.collectors = settings->collectors.items,
		.collector_count = settings->collectors.count,
		.host = host_view(pipeline->host),
		.trust = &settings->trust,
		.spool = pipeline->spool,
		.memory_bytes = settings->stream_bytes,
		.build = build,
		.ledger = pipeline->ledger,
		.formers = pipeline->formers};

	error = stream_open(&pipeline->stream, &options);
	return error ? error
		     : encode_open_stream(&pipeline->encoder, pipeline->stream, host_view(pipeline->host),
			       &(const struct encode_books){pipeline_sum, pipeline});
}

static int open_metadata(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct metadata_options options = {
		.sockets = settings->cri.items,
		.socket_count = settings->cri.count,
		.states = settings->cri_state.items,
		.state_count = settings->cri_state.count,
		.annotations = settings->cri_annotations.items,
		.annotation_count = settings->cri_annotations.count,
		.host_root = settings->host_root,
	};

	return metadata_open(&pipeline->metadata, &options);
}

/* From the kernel, or as it was when it was recorded. */
static uint64_t take_repeats(void *context, uint64_t number)
{
	struct pipeline *pipeline = context;
	struct recording_repeat repeat = {.number = number};

	if (pipeline->loader) {
		repeat.count = loader_take_repeats(pipeline->loader, number);
		recording_repeat(pipeline->recording, pipeline->now_ns, &repeat);
	} else {
		repeat.count = pipeline_replay_repeats(pipeline, number);
	}
	pipeline_counted(pipeline, repeat.count);
	return repeat.count;
}

/* The kernel leaves out what it can of a container's events as soon as its names are known. */
static void container_named(void *context, const struct event_container *names)
{
	struct pipeline *pipeline = context;
	uint64_t rules;
	int error;

	if (!policy_name(pipeline->policy, names, &rules) || !pipeline->loader)
		return;
	error = loader_policy_container(pipeline->loader, names->id, rules);
	if (error) /* not the events' matter: they are left out in user space */
		log_limited("the kernel cannot be told what of a container is not recorded: %s", strerror(-error));
}

static void container_forgotten(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct pipeline *pipeline = context;

	if (policy_forget(pipeline->policy, id) && pipeline->loader)
		(void)loader_policy_container(pipeline->loader, id, 0);
}

static int open_tables(struct pipeline *pipeline)
{
	const struct repeat_ops repeats = {take_repeats, pipeline_send_held, process_hold, process_release, pipeline};
	const struct connection_ops connections = {process_hold, process_release, pipeline_send_held, pipeline};
	const struct flows_ops flows = {process_hold, process_release};
	const struct container_ops containers = {ask_for_names, pipeline_send_waiting, pipeline, container_named,
		container_forgotten, pipeline_send_named};
	const struct life_ops life = {ask_for_end, pipeline_send_end, process_hold, process_release, pipeline};
	int error = process_open(&pipeline->processes, host_view(pipeline->host)->boot_id.data);

	if (!error)
		error = connection_open(&pipeline->connections, &connections);
	if (!error)
		error = flows_open(&pipeline->flows, &flows);
	if (!error)
		error = container_open(&pipeline->containers, &containers);
	if (!error)
		error = nested_open(&pipeline->nested);
	if (!error)
		error = life_open(&pipeline->life, &life);
	if (!error && pipeline->opens_window_ns)
		error = repeat_open(&pipeline->repeats, &repeats, pipeline->opens_window_ns);
	return error ? error : loss_open(&pipeline->loss, pipeline->cpus, pipeline->lanes);
}

static int open_recording(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct recording_host host = {.host = host_view(pipeline->host),
		.cpus = pipeline->cpus,
		.lanes = pipeline->lanes,
		.boot_unix_ns = pipeline->boot_unix_ns,
		.opens_window_ns = pipeline->opens_window_ns,
		.calls = pipeline->calls};
	int error;

	if (!settings->recording)
		return 0;
	error = recording_create(&pipeline->recording, settings->recording);
	if (error)
		log_error("%s: %s", settings->recording, strerror(-error));
	else
		recording_host(pipeline->recording, pipeline->now_ns, &host);
	return error;
}

/* After the clock, and before the kernel's programs, which hold it as constants. */
static int open_policy(struct pipeline *pipeline)
{
	pipeline->needed_kinds = pipeline_rules_kinds(pipeline->loaded ? pipeline->loaded->rules : NULL) |
				 pipeline_outbound_kinds(pipeline);
	return policy_open(&pipeline->policy, &pipeline->settings->rules, pipeline->needed_kinds, pipeline->now_ns);
}

static int open_coverage(struct pipeline *pipeline)
{
	const struct canary_ops canary = coverage_canary(pipeline->nest, pipeline->loader);
	size_t count;
	const struct loader_hook *hooks = loader_hooks(pipeline->loader, &count);

	pipeline->guarded[0].status_fd = guard_open(getpid());
	pipeline->guarded[1].status_fd = guard_open(loader_pid(pipeline->loader));
	return coverage_open(
		&pipeline->coverage, &canary, hooks, count, pipeline->settings->coverage_interval_ms * 1000000);
}

/* The kernel, and what it needs. Says what is wrong, as a rule. */
static int open_kernel(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	int error = host_open(&pipeline->host, settings->host_root ? settings->host_root : "", settings->host_id,
		settings->host_name, settings->cluster);

	pipeline->boot_unix_ns = clock_unix_offset_ns();
	pipeline->now_ns = clock_boottime_ns();
	pipeline->opens_window_ns = settings->opens_window_ms * 1000 * 1000;
	if (error)
		log_error("this machine cannot be named: %s", strerror(-error));
	pipeline->calls = settings->rules.calls | (pipeline->loaded ? detect_wants(pipeline->loaded->rules) : 0);
	error = error ? error : open_policy(pipeline);
	error = error ? error : pipeline_attach(pipeline); /* without it nothing else is worth starting */
	error = error ? error : open_coverage(pipeline);
	return error ? error : open_recording(pipeline);
}

/* In place of the kernel. Says what is wrong. */
static int open_replay(struct pipeline *pipeline)
{
	const char *path = pipeline->settings->replay, *why = "a host with a name that is too long";
	struct recording_frame frame = {0};
	int error = recording_open(&pipeline->reader, path, &frame, &why);

	if (!error)
		error = host_open_recorded(&pipeline->host, frame.host.host);
	if (error == -EBADMSG)
		log_error("%s: offset %llu: %s", path, (unsigned long long)frame.offset, why);
	else if (error)
		log_error("%s: %s", path, strerror(-error));
	pipeline->cpus = frame.host.cpus;
	pipeline->lanes = frame.host.lanes;
	pipeline->opens_window_ns = frame.host.opens_window_ns;
	pipeline->calls = frame.host.calls;
	pipeline->boot_unix_ns = frame.host.boot_unix_ns;
	pipeline->now_ns = frame.now_ns;
	return error ? error : open_policy(pipeline);
}

/* The census and the names of what runs already. */
static int open_sources(struct pipeline *pipeline)
{
	int error = open_metadata(pipeline);

	if (!error)
		pipeline_take_over(pipeline);
	error = error ? error : take_census(pipeline);
	pipeline_taken_over(pipeline);
	if (error)
		return error;
	(void)metadata_settle(pipeline->metadata, SETTLE_MS);
	pipeline->now_ns = clock_boottime_ns();
	metadata_answers(pipeline->metadata, pipeline_take_names, pipeline);
	return 0;
}

int pipeline_open(struct pipeline *pipeline, struct http_board *board)
{
	const struct settings *settings = pipeline->settings;
	int error;

	pipeline->board.http = board;
	error = pipeline_load_rules(pipeline);
	error = error ? error : settings->replay ? open_replay(pipeline) : open_kernel(pipeline);
	if (error) {
		pipeline_close(pipeline);
		return error;
	}
	error = open_tables(pipeline);
	error = error ? error : open_encoder(pipeline);
	error = error ? error : pipeline_open_detect(pipeline);
	error = error ? error : pipeline_open_outbound(pipeline);
	if (!settings->replay) {
		error = error ? error : open_sources(pipeline);
		error = error ? error : reload_open(&pipeline->reload, &settings->call);
		if (!error)
			confine_say(loader_pid(pipeline->loader));
	}
	if (error) {
		log_error("cannot start: %s", strerror(-error));
		pipeline_close(pipeline);
		return error;
	}
	return 0;
}

void pipeline_close(struct pipeline *pipeline)
{
	if (!pipeline)
		return;
	reload_close(pipeline->reload);
	outbound_close(pipeline->outbound); /* it may have something to tell */
	pipeline->outbound = NULL;          /* and nobody it any more: what waits for names leaves below */
	metadata_close(pipeline->metadata);
	container_close(pipeline->containers);
	life_close(pipeline->life);
	nested_close(pipeline->nested);
	connection_close(pipeline->connections);
	flows_close(pipeline->flows);
	repeat_close(pipeline->repeats);
	pipeline_close_detect(pipeline);
	encode_close(pipeline->encoder);
	pipeline_unpin(pipeline, stream_close(pipeline->stream));
	spool_close(pipeline->spool);
	pipeline_close_formers(pipeline);
	ledger_close(pipeline->ledger);
	process_close(pipeline->processes);
	loss_close(pipeline->loss);
	coverage_close(pipeline->coverage);
	loader_close(pipeline->loader);
	canary_nest_close(pipeline->nest);
	recording_close(pipeline->recording);
	recording_reader_close(pipeline->reader);
	policy_close(pipeline->policy);
	reloaded_free(pipeline->reloaded);
	host_close(pipeline->host);
	free(pipeline->counters);
	buffer_free(&pipeline->scratch);
	buffer_free(&pipeline->unmarked);
	buffer_free(&pipeline->outbound_message);
	buffer_free(&pipeline->board.page);
	for (size_t i = 0; i < sizeof(pipeline->guarded) / sizeof(pipeline->guarded[0]); i++)
		if (pipeline->guarded[i].status_fd >= 0)
			close(pipeline->guarded[i].status_fd);
	if (pipeline->stop_fd >= 0)
		close(pipeline->stop_fd);
	free(pipeline);
}
