/* SPDX-License-Identifier: Apache-2.0 */
/* The process table goes from one life of the sensor to the next: so an upgrade loses no lineage. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "event/wire.h"
#include "sensor/handover.h"

enum {
	BATCH_SIZE = 1 << 20,
	PROCESSES_MAX = 1 << 16, /* that are handed over; a node has a few thousand */
};

static const char file_name[] = "processes.taffrail";

/* Where it is; NULL: nowhere. */
static const char *find_path(const struct pipeline *pipeline, char room[PATH_MAX])
{
	const struct settings *settings = pipeline->settings;

	if (settings->handover)
		return strcmp(settings->handover, "none") == 0 ? NULL : settings->handover;
	if (!settings->spool || snprintf(room, PATH_MAX, "%s/%s", settings->spool, file_name) >= PATH_MAX)
		return NULL;
	return room;
}

/* --- at the end ------------------------------------------------------------------------------------------------------- */

struct leaving {
	const struct event_host *host;
	struct wire_batch *batch;
	struct buffer body;
	uint64_t first, count; /* of the batch, and of all */
	bool full;
};

static void end_batch(struct leaving *leaving)
{
	struct buffer *up;

	if (leaving->count < leaving->first)
		return;
	up = wire_batch_finish(leaving->batch, leaving->host, leaving->first, leaving->count);
	if (!up ||
		!handover_add(&leaving->body, (struct text){up->data + WIRE_UP_HEADER, up->length - WIRE_UP_HEADER})) {
		leaving->full = true;
		leaving->count = leaving->first - 1;
	}
	wire_bytes_free(up);
	leaving->first = leaving->count + 1;
}

static bool leave_process(void *context, const struct event_process *image)
{
	struct leaving *leaving = context;
	const struct event event = {.action = EVENT_FORK, .sequence = ++leaving->count, .count = 1, .process = image};

	wire_batch_add(leaving->batch, &event);
	if (wire_batch_size(leaving->batch) > BATCH_SIZE)
		end_batch(leaving);
	if (leaving->count >= PROCESSES_MAX)
		leaving->full = true;
	return !leaving->full;
}

void pipeline_hand_over(struct pipeline *pipeline)
{
	struct leaving leaving = {.host = host_view(pipeline->host), .first = 1};
	char room[PATH_MAX];
	const char *path = find_path(pipeline, room);
	int error;

	if (!path || pipeline->reader)
		return;
	error = wire_batch_open(&leaving.batch);
	if (!error) {
		process_each(pipeline->processes, leave_process, &leaving);
		end_batch(&leaving);
		error = handover_write(path, leaving.host->boot_id.data, pipeline->now_ns, &leaving.body);
	}
	if (error)
		log_warning("handover %s: %s: of the ancestors of what runs the next start knows only what the kernel "
			    "still tells",
			path, strerror(-error));
	else if (leaving.full)
		log_warning("handover %s: of the processes only the oldest %llu have room", path,
			(unsigned long long)leaving.count);
	else
		log_debug("handover %s: %llu processes", path, (unsigned long long)leaving.count);
	wire_batch_close(leaving.batch);
	buffer_free(&leaving.body);
}

/* --- at the start ----------------------------------------------------------------------------------------------------- */

/* NULL, or what is wrong with the batch: then what stood before the fault stays. */
static const char *take_batch(struct pipeline *pipeline, const void *bytes, size_t size, uint64_t *count)
{
	const char *wrong = NULL;
	struct wire_events events;
	char why[WIRE_WHY_SIZE];
	int error = wire_read(&events, bytes, size, why);

	if (error)
		return error == -ENOMEM ? "out of memory" : "processes of a former life that cannot be read";
	for (size_t i = 0; i < events.count && !wrong; i++) {
		error = events.events[i].process ? process_restore(pipeline->processes, events.events[i].process)
						 : -EBADMSG;
		wrong = error == -EBADMSG ? "a process of a former life that is none"
			: error           ? "there is no room for all"
					  : NULL;
		*count += !error;
	}
	wire_free(&events);
	return wrong;
}

const char *pipeline_replay_former(struct pipeline *pipeline, const void *bytes, size_t size)
{
	uint64_t count = 0;

	return take_batch(pipeline, bytes, size, &count);
}

static const char *take_batches(struct pipeline *pipeline, struct text batches, uint64_t *count)
{
	const char *wrong = NULL;
	struct text batch;
	int more;

	while (!wrong && (more = handover_next(&batches, &batch)) > 0) {
		/* What cannot be used is not recorded either: a replay would end there. */
		wrong = take_batch(pipeline, batch.data, batch.length, count);
		if (!wrong)
			recording_former(pipeline->recording, pipeline->now_ns, batch);
	}
	return wrong ? wrong : more < 0 ? "its batches have other lengths than it says" : NULL;
}

void pipeline_take_over(struct pipeline *pipeline)
{
	char room[PATH_MAX], why[HANDOVER_WHY], *bytes;
	const char *path = find_path(pipeline, room), *wrong;
	uint64_t count = 0;
	struct text batches;
	int error;

	if (!path)
		return;
	error = handover_read(path, host_view(pipeline->host)->boot_id.data, pipeline->now_ns, &bytes, &batches, why);
	if (error == -ENOENT)
		return;
	if (error == -ESTALE) {
		log_info("handover %s: %s: what runs is known from the kernel alone", path, why);
		return;
	}
	if (error) {
		log_warning("handover %s: %s: it is not used, and of the ancestors of what runs only what the kernel "
			    "tells is known",
			path, why);
		return;
	}
	wrong = take_batches(pipeline, batches, &count);
	if (wrong)
		log_warning("handover %s: %s: %llu processes were read before", path, wrong, (unsigned long long)count);
	free(bytes);
	pipeline->handed_over = count;
}

void pipeline_taken_over(struct pipeline *pipeline)
{
	size_t ended = process_restored(pipeline->processes);

	if (pipeline->handed_over)
		log_info("handover: %llu processes are known from before, %zu have ended since",
			(unsigned long long)(pipeline->handed_over - ended), ended);
}
