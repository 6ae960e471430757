/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole way of an event, in the order in which the functions stand below:
 *
 *	take_record   a record leaves its ring, is checked, and its number noted
 *	              → process: which image did it
 *	              → connection: two records of a connect become one
 *	name_record   → container: which container; without names yet, it waits in the container's queue
 *	send_record   → decode: the event's own fields → encoder
 *
 * Only this file sees all stages; they know nothing of one another.
 */
#include "sensor/pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/connection.h"
#include "sensor/container.h"
#include "sensor/decode.h"
#include "sensor/host.h"
#include "sensor/loader.h"
#include "sensor/loss.h"
#include "sensor/metadata.h"
#include "sensor/encode.h"
#include "sensor/proc.h"
#include "sensor/process.h"
#include "sensor/record.h"
#include "sensor/stream.h"

enum {
	BULK_SLICE = 4096, /* bulk records between two looks at everything else */
	SLEEP_MS = 10,     /* bulk records below the ring's wake-up mark wait no longer */
	NAP_MS = 2,        /* as long as records come they are looked for so often, and none needs to call */
	NAPS = 10,         /* that brought nothing; then it sleeps until one calls */
	SETTLE_MS = 2000,  /* at start: for the names of what runs already */
};
static const uint64_t tick_ns = 100ull * 1000 * 1000;
static const uint64_t ended_grace_ns = 2ull * 1000 * 1000 * 1000;
static const uint64_t clock_check_ns = 1000ull * 1000 * 1000;

struct pipeline {
	const struct settings *settings;
	struct loader *loader;
	struct loss *loss;
	struct process_table *processes;
	struct connection_table *connections;
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

/* An event that waits for its container's names: a copy of its record, and its process image. */
struct waiting {
	const struct event_process *image; /* held */
	_Alignas(struct kernel_header) char bytes[];
};

/* --- the way of a record --------------------------------------------------------------------------------------------- */

/* Decode and send: the end of the way. `names` may be less than everything while `pending`. */
static void send_record(struct pipeline *pipeline, const struct record *record, const struct event_process *image,
	const struct event_container *names, bool pending)
{
	struct event event;

	decode_event(record, pipeline->boot_unix_ns, &pipeline->scratch, &event);
	event.sequence = ++pipeline->sequence;
	event.host = host_view(pipeline->host);
	event.process = image;
	event.container = names;
	event.pending = pending;
	encode_event(pipeline->encoder, &event);
}

static void send_waiting(void *context, void *item, const struct event_container *names, bool pending)
{
	struct pipeline *pipeline = context;
	struct waiting *waiting = item;
	struct record record = {.header = (const void *)waiting->bytes};

	send_record(pipeline, &record, waiting->image, names, pending);
	process_release(waiting->image);
	free(waiting);
}

/* A copy that can wait, for the ring wants its bytes back. NULL where there is no memory. */
static struct waiting *copy_record(const struct record *record, const struct event_process *image)
{
	struct waiting *waiting = malloc(sizeof(*waiting) + record->header->size);

	if (!waiting)
		return NULL;
	memcpy(waiting->bytes, record->header, record->header->size);
	waiting->image = process_hold(image);
	return waiting;
}

/* Gives the record its container, or lets it wait there for the container's names. */
static void name_record(struct pipeline *pipeline, const struct record *record, const struct event_process *image)
{
	const struct kernel_header *header = record->header;
	const struct event_container *names = NULL;
	enum container_state state = CONTAINER_KNOWN;
	struct container *container;

	if (!(header->flags & KERNEL_IN_CONTAINER)) {
		send_record(pipeline, record, image, NULL, false);
		return;
	}
	container = container_find(pipeline->containers, header->container_id, &state, &names);
	if (state == CONTAINER_WAITING) {
		struct waiting *waiting = copy_record(record, image);
		size_t size = sizeof(*waiting) + header->size;

		if (waiting && container_wait(container, waiting, size, clock_boottime_ns()) == 0)
			return;
		/* No room: all that waits leaves now, and this one behind it. */
		container_flush(container);
		if (waiting) {
			process_release(waiting->image);
			free(waiting);
		}
		container_find(pipeline->containers, header->container_id, &state, &names);
	}
	send_record(pipeline, record, image, names, state != CONTAINER_KNOWN);
}

static void send_connection(void *context, const struct record *record, const struct event_process *image)
{
	name_record(context, record, image);
}

static bool is_connection(const struct kernel_header *header)
{
	return header->kind == KERNEL_CONNECT || header->kind == KERNEL_CONNECT_DONE || header->kind == KERNEL_ACCEPT ||
	       header->kind == KERNEL_DISCONNECT;
}

/* The whole way starts here: bytes of a ring. Never fails: what cannot be used is counted and left. */
static int take_record(void *context, const void *bytes, size_t size)
{
	struct pipeline *pipeline = context;
	struct record record;
	const char *why;

	if (record_check(&record, bytes, size, &why) < 0) {
		pipeline->malformed++;
		log_limited("a record of %zu bytes is %s: left out", size, why);
		return 0;
	}
	loss_seen(pipeline->loss, record.header);
	if (record.header->ring == KERNEL_RING_BULK) {
		pipeline->bulk_ns = record.header->time_ns;
		/* Its fork or exec was sent before it, into the other ring. */
		if (!process_knows(pipeline->processes, record.header))
			loader_read(pipeline->loader, KERNEL_RING_CRITICAL, take_record, pipeline, SIZE_MAX);
	}

	const struct event_process *image = process_apply(pipeline->processes, &record, pipeline->boot_unix_ns);

	if (record.header->kind == KERNEL_EXIT && !image)
		return 0;
	if (is_connection(record.header) && connection_judge(pipeline->connections, &record, &image) != CONNECTION_SEND)
		return 0;
	name_record(pipeline, &record, image);
	return 0;
}

/* --- what runs beside it --------------------------------------------------------------------------------------------- */

static void report_loss(void *context, const struct event_lost *lost)
{
	struct pipeline *pipeline = context;
	struct event event = {
		.action = EVENT_LOST,
		.time_ns = pipeline->boot_unix_ns + clock_boottime_ns(),
		.sequence = ++pipeline->sequence,
		.host = host_view(pipeline->host),
		.count = 1,
		.lost = *lost,
	};

	event.lost.start_ns += pipeline->boot_unix_ns;
	event.lost.end_ns += pipeline->boot_unix_ns;
	encode_event(pipeline->encoder, &event);
	log_limited("%llu records lost in %.*s of CPU %d", (unsigned long long)lost->count, (int)lost->stage.length,
		lost->stage.data, lost->cpu);
}

/* Reads both rings, the critical one first and to its end. True if they were read empty. */
static bool read_rings(struct pipeline *pipeline)
{
	size_t critical, bulk;

	if (!encode_room(pipeline->encoder))
		return false;
	critical = loader_read(pipeline->loader, KERNEL_RING_CRITICAL, take_record, pipeline, SIZE_MAX);
	bulk = loader_read(pipeline->loader, KERNEL_RING_BULK, take_record, pipeline, BULK_SLICE);
	if (critical + bulk > 0)
		pipeline->naps_left = NAPS;
	if (bulk < BULK_SLICE)
		pipeline->bulk_ns = clock_boottime_ns();
	return bulk < BULK_SLICE;
}

/* Ten times a second: losses, deadlines, what can be forgotten. */
static void tick(struct pipeline *pipeline, uint64_t now_ns, bool final)
{
	const struct kernel_counters *counters = NULL;

	if (loader_counters(pipeline->loader, pipeline->counters, pipeline->cpus) == 0 && read_rings(pipeline))
		counters = pipeline->counters;
	connection_expire(pipeline->connections, final ? UINT64_MAX : now_ns);
	container_expire(pipeline->containers, final ? UINT64_MAX : now_ns);
	loss_declare(pipeline->loss, counters, now_ns, final, report_loss, pipeline);
	if (pipeline->bulk_ns > ended_grace_ns)
		process_expire(pipeline->processes, pipeline->bulk_ns - ended_grace_ns);
	if (now_ns >= pipeline->next_clock_check_ns) {
		pipeline->boot_unix_ns = clock_unix_offset_ns();
		pipeline->next_clock_check_ns = now_ns + clock_check_ns;
	}
	pipeline->next_tick_ns = now_ns + tick_ns;
}

/*
 * Waits for the metadata, the stream or pipeline_stop to call, and for records. To call the reader costs a program far
 * more than its record does, so the first record after a silence calls, and those that follow closely are found by
 * naps.
 */
static void wait_for_more(struct pipeline *pipeline)
{
	struct pollfd fds[] = {
		{.fd = metadata_fd(pipeline->metadata), .events = POLLIN},
		{.fd = pipeline->stop_fd, .events = POLLIN},
		{.fd = pipeline->stream ? stream_fd(pipeline->stream) : -1, .events = POLLIN},
		{.fd = loader_wait_fd(pipeline->loader), .events = POLLIN},
	};
	nfds_t count = sizeof(fds) / sizeof(fds[0]);

	if (pipeline->naps_left > 0) {
		pipeline->naps_left--;
		(void)poll(fds, count - 1, NAP_MS);
		return;
	}
	if (!loader_sleep(pipeline->loader, true))
		(void)poll(fds, count, SLEEP_MS);
	loader_sleep(pipeline->loader, false);
}

static void drain(struct pipeline *pipeline)
{
	loader_detach(pipeline->loader);
	while (!read_rings(pipeline) && encode_flush(pipeline->encoder, clock_boottime_ns(), true) == 0)
		if (!encode_room(pipeline->encoder))
			(void)poll(NULL, 0, SLEEP_MS);
	/* What waits for names has its deadline still to come: give the runtime that time. */
	while (container_waiting(pipeline->containers) > 0) {
		metadata_answers(pipeline->metadata, pipeline->containers);
		container_expire(pipeline->containers, clock_boottime_ns());
		(void)encode_flush(pipeline->encoder, clock_boottime_ns(), true);
		(void)poll(NULL, 0, SLEEP_MS);
	}
	tick(pipeline, clock_boottime_ns(), true);
}

int pipeline_run(struct pipeline *pipeline)
{
	int error = 0;

	while (!atomic_load(&pipeline->stopping) && error == 0) {
		bool empty = read_rings(pipeline);
		uint64_t now_ns = clock_boottime_ns();

		metadata_answers(pipeline->metadata, pipeline->containers);
		if (now_ns >= pipeline->next_tick_ns)
			tick(pipeline, now_ns, false);
		error = encode_flush(pipeline->encoder, now_ns, false);
		if (empty || !encode_room(pipeline->encoder))
			wait_for_more(pipeline);
	}
	if (error)
		return error;
	drain(pipeline);
	error = encode_flush(pipeline->encoder, clock_boottime_ns(), true);
	if (pipeline->stream)
		stream_finish(pipeline->stream, pipeline->settings->drain_ms);
	return error;
}

void pipeline_stop(struct pipeline *pipeline)
{
	uint64_t one = 1;

	atomic_store(&pipeline->stopping, true);
	(void)!write(pipeline->stop_fd, &one, sizeof(one));
}

/* --- opening and closing --------------------------------------------------------------------------------------------- */

static int ask_for_names(void *context, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	struct pipeline *pipeline = context;

	return metadata_ask(pipeline->metadata, id);
}

/* Records of the processes that are there already, kept until they can be sorted by start: parents come first. */
struct census {
	struct buffer records;
	size_t *offsets;
	size_t count, room;
};

static int count_process(void *context, const void *bytes, size_t size)
{
	struct census *census = context;

	if (census->count == census->room) {
		size_t room = census->room ? 2 * census->room : 256;
		size_t *offsets = realloc(census->offsets, room * sizeof(*offsets));

		if (!offsets)
			return -ENOMEM;
		census->offsets = offsets;
		census->room = room;
	}
	census->offsets[census->count++] = census->records.length;
	buffer_append(&census->records, bytes, size);
	buffer_append(
		&census->records, "\0\0\0\0\0\0\0", -size % _Alignof(struct kernel_header)); /* the next one aligned */
	return census->records.failed ? -ENOMEM : 0;
}

static int compare_starts(const void *a, const void *b, void *records)
{
	const struct kernel_header *first = (const void *)((const char *)records + *(const size_t *)a);
	const struct kernel_header *second = (const void *)((const char *)records + *(const size_t *)b);

	return (first->start_ns > second->start_ns) - (first->start_ns < second->start_ns);
}

/* Takes the processes that were there before the sensor into the table, with the arguments that /proc still has. */
static int take_census(struct pipeline *pipeline)
{
	struct census census = {0};
	ssize_t count = loader_processes(pipeline->loader, count_process, &census);
	char proc[4096];
	const char *why;

	snprintf(proc, sizeof(proc), "%s/proc", pipeline->settings->host_root ? pipeline->settings->host_root : "");
	if (census.count > 0)
		qsort_r(census.offsets, census.count, sizeof(census.offsets[0]), compare_starts, census.records.data);
	for (size_t i = 0; i < census.count; i++) {
		struct record record;

		if (record_check(&record, census.records.data + census.offsets[i],
			    census.records.length - census.offsets[i], &why) < 0)
			continue;
		process_apply(pipeline->processes, &record, pipeline->boot_unix_ns);
		if (proc_arguments(&pipeline->scratch, proc, (pid_t)record.header->tgid) == 0)
			(void)process_set_arguments(pipeline->processes, (pid_t)record.header->tgid,
				record.header->start_ns,
				(struct text){pipeline->scratch.data, pipeline->scratch.length});
	}
	free(census.offsets);
	buffer_free(&census.records);
	return count < 0 ? (int)count : 0;
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

static int open_loader(struct pipeline *pipeline)
{
	const struct settings *settings = pipeline->settings;
	const struct loader_options options = {
		.host = settings->host_events,
		.environment = settings->environment,
		.critical_bytes = settings->critical_bytes,
		.bulk_bytes = settings->bulk_bytes,
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
	const struct connection_ops connections = {process_hold, process_release, send_connection, pipeline};
	const struct container_ops containers = {ask_for_names, send_waiting, pipeline};
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
