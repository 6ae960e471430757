/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the pipeline share: all stages, and the functions that stages call back. */
#ifndef TAFFRAIL_SENSOR_PIPELINE_INSIDE_H
#define TAFFRAIL_SENSOR_PIPELINE_INSIDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "sensor/connection.h"
#include "sensor/container.h"
#include "sensor/encode.h"
#include "sensor/host.h"
#include "sensor/loader.h"
#include "sensor/loss.h"
#include "sensor/metadata.h"
#include "sensor/pipeline.h"
#include "sensor/process.h"
#include "sensor/record.h"
#include "sensor/repeat.h"
#include "sensor/stream.h"

struct pipeline {
	const struct settings *settings;
	struct loader *loader;
	struct loss *loss;
	struct process_table *processes;
	struct connection_table *connections;
	struct repeat_table *repeats; /* NULL: opens are not collapsed */
	struct container_table *containers;
	struct metadata *metadata;
	struct stream *stream;
	struct encoder *encoder;
	struct host *host;

	struct buffer scratch;
	struct kernel_counters *counters; /* one per CPU */
	unsigned int cpus;
	uint64_t boot_unix_ns;
	uint64_t sequence;
	uint64_t bulk_ns; /* records of the bulk ring up to this time have been read */
	uint64_t next_tick_ns, next_clock_check_ns;
	unsigned int naps_left;
	uint64_t malformed;
	int stop_fd;
	atomic_bool stopping;
};

/* container_ops.send: a record that has waited for its container's names. */
void pipeline_send_waiting(void *context, void *item, const struct event_container *names, bool pending);

/* connection_ops.send, repeat_ops.send: a record that has waited for another one. */
void pipeline_send_held(void *context, const struct record *record, const struct event_process *image);

#endif
