/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the pipeline's stages. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/census.h"

enum { SETTLE_MS = 2000 }; /* at start: for the names of what runs already */

static int ask_for_names(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct pipeline *pipeline = context;

	return metadata_ask(pipeline->metadata, id);
}

/* Takes the processes that were there before the sensor into the table. */
static void take_process(void *context, const struct record *record, struct text args)
{
	struct pipeline *pipeline = context;

	process_apply(pipeline->processes, record, pipeline->boot_unix_ns);
	if (args.length > 0)
		(void)process_set_arguments(
			pipeline->processes, (pid_t)record->header->tgid, record->header->start_ns, args);
}

static int take_census(struct pipeline *pipeline)
{
	char proc[4096];

	snprintf(proc, sizeof(proc), "%s/proc", pipeline->settings->host_root ? pipeline->settings->host_root : "");
	return census_take(pipeline->loader, proc, take_process, pipeline);
}

static int open_encoder(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	int error;

	if (settings->stdout_lines)
		return encode_open_lines(&pipeline->encoder, STDOUT_FILENO);

	const struct stream_options options = {.collector = settings->collector,
		.host = host_view(pipeline->host),
		.memory_bytes = settings->stream_bytes};

	error = stream_open(&pipeline->stream, &options);
	return error ? error : encode_open_stream(&pipeline->encoder, pipeline->stream, host_view(pipeline->host));
}

static int open_metadata(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct metadata_options options = {
		.sockets = settings->cri.items,
		.socket_count = settings->cri.count,
		.states = settings->cri_state.items,
		.state_count = settings->cri_state.count,
		.host_root = settings->host_root,
	};

	return metadata_open(&pipeline->metadata, &options);
}

static enum loader_mode mode_of(const char *hooks)
{
	if (!hooks || strcmp(hooks, "auto") == 0)
		return LOADER_AUTO;
	return strcmp(hooks, "function") == 0 ? LOADER_FUNCTION : LOADER_TRACEPOINT;
}

static int open_loader(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct loader_options options = {
		.host = settings->host_events,
		.environment = settings->environment,
		.critical_bytes = settings->critical_bytes,
		.bulk_bytes = settings->bulk_bytes,
		.hooks = mode_of(settings->hooks),
	};
	char why[512];
	int error = loader_open(&pipeline->loader, &options, why, sizeof(why));

	if (error) {
		log_error("%s", why);
		return error;
	}
	pipeline->cpus = loader_cpus(pipeline->loader);
	pipeline->counters = calloc(pipeline->cpus, sizeof(*pipeline->counters));
	return pipeline->counters ? loss_open(&pipeline->loss, pipeline->cpus) : -ENOMEM;
}

static int open_tables(struct pipeline *pipeline)
{
	const struct connection_ops connections = {process_hold, process_release, pipeline_send_connection, pipeline};
	const struct container_ops containers = {ask_for_names, pipeline_send_waiting, pipeline};
	int error = process_open(&pipeline->processes, host_view(pipeline->host)->boot_id.data);

	if (!error)
		error = connection_open(&pipeline->connections, &connections);
	if (!error)
		error = container_open(&pipeline->containers, &containers);
	return error;
}

int pipeline_open(struct pipeline **out, const struct settings *settings)
{
	struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
	int error = 0;

	if (!pipeline)
		return -ENOMEM;
	pipeline->settings = settings;
	pipeline->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pipeline->boot_unix_ns = clock_unix_offset_ns();
	if (pipeline->stop_fd < 0)
		error = -errno;
	if (!error)
		error = host_open(&pipeline->host, settings->host_root ? settings->host_root : "", settings->host_id,
			settings->host_name, settings->cluster);
	if (!error)
		error = open_tables(pipeline);
	if (!error) { /* the rights first: without them nothing else is worth starting */
		error = open_loader(pipeline);
		if (error) {
			pipeline_close(pipeline);
			return error;
		}
	}
	if (!error)
		error = open_metadata(pipeline);
	if (!error)
		error = open_encoder(pipeline);
	if (!error)
		error = take_census(pipeline);
	if (error) {
		log_error("cannot start: %s", strerror(-error));
		pipeline_close(pipeline);
		return error;
	}
	(void)metadata_settle(pipeline->metadata, SETTLE_MS);
	metadata_answers(pipeline->metadata, pipeline->containers);
	*out = pipeline;
	return 0;
}

void pipeline_close(struct pipeline *pipeline)
{
	if (!pipeline)
		return;
	metadata_close(pipeline->metadata);
	container_close(pipeline->containers);
	connection_close(pipeline->connections);
	encode_close(pipeline->encoder);
	stream_close(pipeline->stream);
	process_close(pipeline->processes);
	loss_close(pipeline->loss);
	loader_close(pipeline->loader);
	host_close(pipeline->host);
	free(pipeline->counters);
	buffer_free(&pipeline->scratch);
	if (pipeline->stop_fd >= 0)
		close(pipeline->stop_fd);
	free(pipeline);
}
