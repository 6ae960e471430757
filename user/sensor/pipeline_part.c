/* SPDX-License-Identifier: Apache-2.0 */
/* The sensor becomes two: what holds the rights over BPF, and what reads strangers' bytes. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/log.h"

static int open_loader(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct loader_options options = {
		.host_root = settings->host_root,
		.host = settings->host_events,
		.environment = settings->environment,
		.collapse = settings->opens_window_ms != 0,
		.critical_bytes = settings->critical_bytes,
		.bulk_bytes = settings->bulk_bytes,
		.count_runs = settings->bpf_stats,
		.hooks = loader_mode(settings->hooks),
		.flows = {.interval_s = (uint32_t)(settings->flows_interval_ms / 1000),
			.idle_s = (uint32_t)(settings->flows_idle_ms / 1000),
			.samples = settings->samples,
			.ranges = settings->unsampled.ranges,
			.range_count = settings->unsampled.count},
		.pin_path = pipeline_pin_path(pipeline),
		.nest = pipeline->nest,
	};
	char why[512];
	int error = loader_open(&pipeline->loader, &options, why, sizeof(why));

	if (error)
		log_error("%s", why);
	return error;
}

int pipeline_attach(struct pipeline *pipeline)
{
	const struct kernel_prefix *prefixes;
	const uint64_t *prefix_rules;
	size_t prefix_count = policy_prefixes(pipeline->policy, &prefixes, &prefix_rules);
	char pin_name[PIN_NAME_SIZE];
	const struct loader_start start = {
		.policy = policy_masks(pipeline->policy),
		.prefixes = prefixes,
		.prefix_rules = prefix_rules,
		.prefix_count = prefix_count,
		.calls = pipeline->calls,
		.pin_name = pipeline_pin_path(pipeline) ? pin_name : NULL,
		.page = pipeline_write_page,
		.context = pipeline,
	};
	char why[512];
	int error;

	pipeline_pin_name(pipeline, pin_name);
	pipeline_find_formers(pipeline);
	error = loader_attach(pipeline->loader, &start, why, sizeof(why));

	if (error) {
		log_error("%s", why);
		return error;
	}
	pipeline->cpus = loader_cpus(pipeline->loader);
	pipeline->lanes = loader_lanes(pipeline->loader);
	pipeline->counters = calloc((size_t)pipeline->cpus * pipeline->lanes, sizeof(*pipeline->counters));
	return pipeline->counters ? 0 : -ENOMEM;
}

int pipeline_part(struct pipeline **out, const struct settings *settings)
{
	struct pipeline *pipeline = calloc(1, sizeof(*pipeline));
	int error;

	if (!pipeline)
		return -ENOMEM;
	pipeline->settings = pipeline->live = settings;
	pipeline->guarded[0].status_fd = pipeline->guarded[1].status_fd = -1;
	pipeline->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = pipeline->stop_fd < 0 ? -errno : 0;
	if (!settings->replay) {
		error = error ? error : canary_nest_open(&pipeline->nest);
		error = error ? error : open_loader(pipeline);
	}
	if (error) {
		pipeline_close(pipeline);
		return error;
	}
	*out = pipeline;
	return 0;
}
