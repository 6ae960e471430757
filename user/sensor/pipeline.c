/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole way of an event, in the order in which the functions stand below:
 *
 *	pipeline_take_record  a record leaves its ring, is checked, and its number noted
 *	                      → process: which image did it
 *	                      → connection: two records of a connect become one
 *	                      → flows: which name it goes to; first bytes end here
 *	                      → repeat: an end waits for its opens
 *	name_record           → container: which container; without names yet, it waits in the container's queue
 *	send_record           → decode: the event's own fields → policy: is it recorded? → encoder
 *
 * What comes in is time, records, names and counters: with --record all four go to a file in the order in which they
 * were taken, and pipeline_replay.c takes them from there. pipeline_open.c opens the stages. Only these files see them
 * all; the stages know nothing of one another.
 */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "sensor/guard.h"
#include "sensor/decode.h"

enum {
	BULK_SLICE = 512, /* bulk records, and counts of opens, between two looks at everything else */
	SLEEP_MS = 10,    /* bulk records below the ring's wake-up mark wait no longer */
	NAP_MS = 1,       /* as long as records come they are looked for so often, and none needs to call */
	NAPS = 20,        /* that brought nothing; then it sleeps until one calls */
};
static const uint64_t tick_ns = 100ull * 1000 * 1000;
static const uint64_t ended_grace_ns = 2ull * 1000 * 1000 * 1000, clock_check_ns = 1000ull * 1000 * 1000;

/* An event that waits for its container's names: a copy of its record, and its process image. */
struct waiting {
	const struct event_process *image; /* held */
	_Alignas(struct kernel_header) char bytes[];
};

/* --- the way of a record --------------------------------------------------------------------------------------------- */

void pipeline_send(struct pipeline *pipeline, struct event *event)
{
	event->sequence = ++pipeline->sequence;
	event->host = host_view(pipeline->host);
	pipeline_note_told(&pipeline->board, event);
	encode_event(pipeline->encoder, event);
}

/* What makes an alert of an event by itself. False: nothing. */
static bool judge(const struct record *record, struct event *event, struct guard_alert *alert)
{
	switch (record->header->kind) {
	case KERNEL_TAMPER: guard_signal(alert, record); break;
	case KERNEL_CGROUP_LEFT: guard_cgroup_left(alert, event); break;
	default: return false;
	}
	event->rule = &alert->rule;
	log_limited("%s", alert->message);
	return true;
}

/* The container's start, before the exec that is it. */
static void send_start(struct pipeline *pipeline, const struct event *exec)
{
	struct event event = *exec;

	memset(&event.file, 0, sizeof(event.file));
	event.action = EVENT_CONTAINER_STARTED;
	event.truncated = 0;
	event.life = (struct event_life){.spec = exec->container ? exec->container->spec : NULL};
	pipeline_send(pipeline, &event);
}

/* What is known of a network event beside its own record. */
static void add_flow(struct pipeline *pipeline, const struct record *record, struct event *event)
{
	if (event_action_category(event->action) != EVENT_NETWORK)
		return;
	flows_describe(pipeline->flows, record, pipeline->now_ns, &event->network);
	if (event->action != EVENT_DNS)
		return;
	event->network.dns = flows_answer(pipeline->flows, record);
	if (event->network.dns && event->network.dns->cut)
		event->truncated |= EVENT_CUT_RESOLVED_IP;
}

/* Decode and send: the end of the way. `names` may be less than everything while `pending`. */
static void send_record(struct pipeline *pipeline, const struct record *record, const struct event_process *image,
	const struct event_container *names, bool pending)
{
	struct guard_alert alert;
	struct event event;
	bool recorded;

	decode_event(record, pipeline->boot_unix_ns, &pipeline->scratch, &event);
	event.process = image;
	add_flow(pipeline, record, &event);
	if (image && image->setup && event_action_category(event.action) != EVENT_NETWORK)
		event.runtime_setup = true;
	event.container = names;
	event.pending = pending;
	event.nested_id = nested_find(pipeline->nested, record);
	if (life_begins(record, image))
		send_start(pipeline, &event);
	recorded = policy_asked(pipeline->policy, record) &&
		   (judge(record, &event, &alert) || !policy_leaves_out(pipeline->policy, &event));
	if (recorded)
		pipeline_send(pipeline, &event);
	pipeline_judge(pipeline, record, &event, recorded ? event.sequence : 0);
	/* What a connect returned says of most nothing yet. */
	if (record->header->kind != KERNEL_CONNECT_RETURNED)
		pipeline_outbound_event(pipeline, &event, recorded ? event.sequence : 0);
	pipeline_settled(pipeline, record);
}

void pipeline_send_end(void *context, const struct record *record, const struct event_process *image)
{
	struct pipeline *pipeline = context;
	const struct event_container *names;
	enum container_state state;
	struct event event;

	container_find(pipeline->containers, record->header->container_id, &state, &names);
	decode_event(record, pipeline->boot_unix_ns, &pipeline->scratch, &event);
	event.life = (struct event_life){.exit_code = names->exited ? names->exit_code : event.end.code,
		.exit_reason = names->exited ? names->exit_reason : (struct text){0}};
	event.action = EVENT_CONTAINER_STOPPED;
	event.process = image;
	event.container = names;
	event.pending = state != CONTAINER_KNOWN;
	pipeline_send(pipeline, &event);
	pipeline_forget_outbound(pipeline, record->header->container_id);
}

void pipeline_send_named(void *context, const struct event_container *names)
{
	struct pipeline *pipeline = context;
	struct event event = {
		.action = EVENT_CONTAINER_NAMED,
		.time_ns = pipeline->boot_unix_ns + pipeline->now_ns,
		.container = names,
		.count = 1,
	};

	pipeline_send(pipeline, &event);
}

void pipeline_send_waiting(void *context, void *item, const struct event_container *names, bool pending)
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
		uint64_t patience_ns = header->marks & KERNEL_SETUP ? CONTAINER_SETUP_WAIT_NS : CONTAINER_WAIT_NS;

		if (waiting && container_wait(container, waiting, size, patience_ns, pipeline->now_ns) == 0)
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

void pipeline_send_held(void *context, const struct record *record, const struct event_process *image)
{
	name_record(context, record, image);
}

static void take_end(struct pipeline *pipeline, const struct record *record, const struct event_process *image)
{
	if (!image) {
		pipeline_settled(pipeline, record);
		return;
	}
	life_ends(pipeline->life, record, image, pipeline->now_ns);
	if (pipeline->repeats)
		repeat_end(pipeline->repeats, record, image);
	else
		name_record(pipeline, record, image);
}

static void take_connection(struct pipeline *pipeline, const struct record *record, const struct event_process *image)
{
	enum connection_verdict verdict = connection_judge(pipeline->connections, record, &image);

	if (policy_stops(pipeline->policy, KERNEL_DISCONNECT, record->header))
		connection_forget(pipeline->connections, record);
	(void)flows_take(pipeline->flows, record, image, pipeline->boot_unix_ns, pipeline->now_ns);
	if (verdict == CONNECTION_SEND || verdict == CONNECTION_JOINED)
		name_record(pipeline, record, image);
	else if (verdict == CONNECTION_DROP)
		pipeline_settled(pipeline, record);
	/* Behind the event that tells it, too: a batch that leaves before that one has no part of it. */
	if (verdict == CONNECTION_JOINED)
		books_settled(&pipeline->books, KERNEL_CONNECT, 1);
}

/*
 * The whole way starts here: bytes of a ring, or of a recording of one. What cannot be used is counted and left;
 * returns 0 in any case.
 */
int pipeline_take_record(void *context, const void *bytes, size_t size)
{
	struct pipeline *pipeline = context;
	struct record record;
	const char *why;

	if (record_check(&record, bytes, size, &why) < 0) {
		pipeline->malformed++;
		log_limited("a record of %zu bytes is %s: left out", size, why);
		return 0;
	}
	if (!loss_seen(pipeline->loss, record.header)) {
		pipeline->malformed++;
		log_limited("a record of CPU %d, which there is not: left out", (int)record.header->cpu);
		return 0;
	}
	pipeline_arrived(pipeline, &record);
	if (record.header->flags & KERNEL_CANARY && pipeline_take_canary(pipeline, &record)) {
		pipeline_settled(pipeline, &record);
		return 0;
	}
	if (pipeline_told_elsewhere(pipeline, &record)) {
		pipeline_settled(pipeline, &record);
		return 0;
	}
	pipeline_note_kind(pipeline, record.header->kind);
	if (record.header->ring == KERNEL_RING_BULK) {
		pipeline->bulk_ns = record.header->time_ns;
		/* Its fork or exec was sent before it, into the other ring; so was what its cgroup is named like. */
		if (pipeline->loader &&
			(!process_knows(pipeline->processes, record.header) ||
				!flows_knows(pipeline->flows, record.header) ||
				(record.header->marks & KERNEL_IN_NESTED && !nested_find(pipeline->nested, &record))))
			loader_read(pipeline->loader, KERNEL_RING_CRITICAL, pipeline_take_record, pipeline, SIZE_MAX);
	}
	if (record.header->flags & KERNEL_CANARY && !pipeline_unmark(pipeline, &record))
		return 0; /* without memory: it stays in the books as held */
	/* Behind those that it had read before it: in a replay they come first. */
	recording_record(pipeline->recording, pipeline->now_ns, record.header);

	const struct event_process *image = process_apply(pipeline->processes, &record, pipeline->boot_unix_ns);

	switch (record.header->kind) {
	case KERNEL_NESTED:
		nested_note(pipeline->nested, &record);
		pipeline_settled(pipeline, &record);
		return 0;
	case KERNEL_EXIT: take_end(pipeline, &record, image); return 0;
	case KERNEL_CONNECT:
	case KERNEL_CONNECT_DONE:
	case KERNEL_ACCEPT:
	case KERNEL_DISCONNECT: take_connection(pipeline, &record, image); return 0;
	default: break;
	}
	if (!flows_take(pipeline->flows, &record, image, pipeline->boot_unix_ns, pipeline->now_ns)) {
		pipeline_settled(pipeline, &record);
		return 0;
	}
	name_record(pipeline, &record, image);
	if (record.header->kind == KERNEL_OPEN && record.open->repeat && pipeline->repeats)
		repeat_begin(pipeline->repeats, &record, image);
	return 0;
}

/* --- what runs beside it --------------------------------------------------------------------------------------------- */

/* A process that was there before the sensor, and its arguments if they are known. */
void pipeline_take_process(void *context, const struct record *record, struct text args)
{
	struct pipeline *pipeline = context;

	recording_process(pipeline->recording, pipeline->now_ns, record->header, args);
	process_apply(pipeline->processes, record, pipeline->boot_unix_ns);
	if (args.length > 0)
		(void)process_set_arguments(
			pipeline->processes, (pid_t)record->header->tgid, record->header->start_ns, args);
}

/* Names for a container, from the runtime or from a recording; takes the reference. */
void pipeline_take_names(void *context, struct container_meta *meta)
{
	struct pipeline *pipeline = context;

	recording_container(
		pipeline->recording, pipeline->now_ns, container_meta_view(meta), container_meta_standing(meta));
	container_meta_hold(meta);
	container_answer(pipeline->containers, meta, pipeline->now_ns);
	life_named(pipeline->life, container_meta_view(meta));
	container_meta_release(meta);
}

static void report_loss(void *context, const struct event_lost *lost)
{
	struct pipeline *pipeline = context;
	struct event event = {
		.action = EVENT_LOST,
		.time_ns = pipeline->boot_unix_ns + pipeline->now_ns,
		.count = 1,
		.lost = *lost,
	};

	event.lost.start_ns += pipeline->boot_unix_ns;
	event.lost.end_ns += pipeline->boot_unix_ns;
	pipeline_send(pipeline, &event);
	log_limited("%llu records lost in %.*s of CPU %d", (unsigned long long)lost->count, (int)lost->stage.length,
		lost->stage.data, lost->cpu);
}

/* The pipeline's clock: it stands still while records are taken, so that a recording of it is exact. */
static uint64_t look_at_clock(struct pipeline *pipeline)
{
	return pipeline->now_ns = clock_boottime_ns();
}

/*
 * The bulk ring has been read up to `read_ns`: what ended before leaves (UINT64_MAX: all that is held), and counts whose
 * window has passed. What made 20,000 of them in one second is counted 20,000 times in another: not all at once, for an
 * exec must not wait for them.
 */
void pipeline_settle(struct pipeline *pipeline, uint64_t read_ns)
{
	struct repeat_table *repeats = pipeline->repeats;

	if (!repeats || (!repeat_holds(repeats) && !repeat_due(repeats, pipeline->now_ns)))
		return;
	recording_settle(pipeline->recording, pipeline->now_ns, read_ns);
	repeat_ends(repeats, read_ns);
	repeat_expire(repeats, pipeline->now_ns, BULK_SLICE);
}

/*
 * What is under way to the collector is what an exec must wait for. While that is much, what is not urgent stays in its ring, if
 * the ring has room.
 */
static bool bulk_waits(struct pipeline *pipeline)
{
	return encode_is_behind(pipeline->encoder) && !atomic_load(&pipeline->stopping) &&
	       !loader_is_crowded(pipeline->loader);
}

/* Reads both rings, the critical one first and to its end. True if they were read empty. */
static bool read_rings(struct pipeline *pipeline)
{
	size_t critical, bulk;

	pipeline->bulk_waits = bulk_waits(pipeline);
	if (!encode_room(pipeline->encoder))
		return false;
	critical = loader_read(pipeline->loader, KERNEL_RING_CRITICAL, pipeline_take_record, pipeline, SIZE_MAX);
	if (pipeline->bulk_waits) {
		pipeline->naps_left = NAPS;
		return false;
	}
	bulk = loader_read(pipeline->loader, KERNEL_RING_BULK, pipeline_take_record, pipeline, BULK_SLICE);
	if (critical + bulk > 0)
		pipeline->naps_left = NAPS;
	if (bulk < BULK_SLICE)
		pipeline->bulk_ns = pipeline->now_ns;
	/* Records may leave a ring a little out of their order. */
	pipeline_settle(
		pipeline, bulk < BULK_SLICE ? pipeline->bulk_ns : pipeline->bulk_ns - PIPELINE_BULK_DISORDER_NS);
	return bulk < BULK_SLICE;
}

/* Deadlines, losses, what can be forgotten. `counters` as loss_declare takes them. */
void pipeline_tick(struct pipeline *pipeline, const struct kernel_counters *counters, bool final)
{
	const struct recording_tick tick = {pipeline->boot_unix_ns, pipeline->bulk_ns, final, counters};

	recording_tick(pipeline->recording, pipeline->now_ns, &tick);
	/* The counters first: in a replay they are good until the next frame is read, as the counts of repeats are. */
	loss_declare(pipeline->loss, counters, pipeline->now_ns, final, report_loss, pipeline);
	connection_expire(pipeline->connections, final ? UINT64_MAX : pipeline->now_ns);
	flows_expire(pipeline->flows, pipeline->now_ns);
	if (pipeline->repeats && final)
		repeat_finish(pipeline->repeats, pipeline->now_ns);
	container_expire(pipeline->containers, final ? UINT64_MAX : pipeline->now_ns);
	life_expire(pipeline->life, final ? UINT64_MAX : pipeline->now_ns);
	pipeline_watch_rules(pipeline, final);
	pipeline_watch_outbound(pipeline, final);
	if (pipeline->bulk_ns > ended_grace_ns)
		process_expire(pipeline->processes, pipeline->bulk_ns - ended_grace_ns);
}

/* Ten times a second. */
static void tick(struct pipeline *pipeline, bool final)
{
	const struct kernel_counters *counters = NULL;

	loader_flows(pipeline->loader, pipeline->now_ns);
	/* Rings that were drained are empty whether there is room for more or not. */
	if (loader_counters(pipeline->loader, pipeline->counters, (size_t)pipeline->cpus * pipeline->lanes) == 0 &&
		(read_rings(pipeline) || pipeline->drained))
		counters = pipeline->counters;
	/* Behind the records that were read just now: a recording tells it with the tick. */
	if (pipeline->now_ns >= pipeline->next_clock_check_ns) {
		pipeline->boot_unix_ns = clock_unix_offset_ns();
		pipeline->next_clock_check_ns = pipeline->now_ns + clock_check_ns;
	}
	pipeline_tick(pipeline, counters, final);
	if (policy_due(pipeline->policy, pipeline->now_ns, final) &&
		loader_policy_counts(pipeline->loader, pipeline->left_out) == 0)
		pipeline_filtered(pipeline);
	if (!final)
		pipeline_watch_health(pipeline);
	ledger_alive(pipeline->ledger, pipeline->boot_unix_ns + pipeline->now_ns);
	pipeline_publish(pipeline);
	pipeline->next_tick_ns = pipeline->now_ns + tick_ns;
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

void pipeline_expire(struct pipeline *pipeline)
{
	container_expire(pipeline->containers, pipeline->now_ns);
	life_expire(pipeline->life, pipeline->now_ns);
}

/* To their end, or until nobody has taken anything for as long as `drain` says: then the rest is left in the rings. */
static void drain_rings(struct pipeline *pipeline)
{
	while (!(pipeline->drained = read_rings(pipeline))) {
		if (encode_flush(pipeline->encoder, look_at_clock(pipeline), true) < 0)
			return;
		if (encode_room(pipeline->encoder))
			continue;
		if (pipeline->now_ns >= pipeline->deadline_ns) {
			log_error("no collector takes anything: what the rings hold is left there");
			return;
		}
		(void)poll(NULL, 0, SLEEP_MS);
	}
}

static void drain(struct pipeline *pipeline)
{
	pipeline_relieve(pipeline);
	loader_detach(pipeline->loader);
	pipeline_watch_missed(pipeline);
	drain_rings(pipeline);
	pipeline_settle(pipeline, UINT64_MAX);
	/* What waits for names, or for how it ended, has its deadline still to come: give the runtime that time. */
	while (container_waiting(pipeline->containers) > 0 || life_waiting(pipeline->life) > 0) {
		look_at_clock(pipeline);
		metadata_answers(pipeline->metadata, pipeline_take_names, pipeline);
		recording_expire(pipeline->recording, pipeline->now_ns);
		pipeline_expire(pipeline);
		(void)encode_flush(pipeline->encoder, pipeline->now_ns, true);
		(void)poll(NULL, 0, SLEEP_MS);
	}
	look_at_clock(pipeline);
	tick(pipeline, true);
	pipeline_watch_attribution(pipeline, true);
	recording_end(pipeline->recording, pipeline->now_ns);
}

/* What was recorded, or what happens: until there is no more of it, or pipeline_stop. */
static int carry(struct pipeline *pipeline)
{
	int error = 0;

	if (pipeline->reader)
		return pipeline_replay(pipeline);
	while (!atomic_load(&pipeline->stopping) && error == 0 && !loader_is_lost(pipeline->loader)) {
		bool empty;

		look_at_clock(pipeline);
		empty = read_rings(pipeline);
		metadata_answers(pipeline->metadata, pipeline_take_names, pipeline);
		if (pipeline->now_ns >= pipeline->next_tick_ns)
			tick(pipeline, false);
		error = encode_flush(pipeline->encoder, pipeline->now_ns, false);
		if (pipeline->repeats && repeat_due(pipeline->repeats, pipeline->now_ns))
			empty = false;
		if (empty || pipeline->bulk_waits || !encode_room(pipeline->encoder))
			wait_for_more(pipeline);
	}
	http_board_end(pipeline->board.http);
	pipeline->deadline_ns = look_at_clock(pipeline) + pipeline->live->drain_ms * 1000000;
	if (error == 0)
		drain(pipeline);
	/* What its rings held is told; what they could not tell is the next life's to declare. */
	return loader_is_lost(pipeline->loader) && error == 0 ? -ENOTCONN : error;
}

int pipeline_run(struct pipeline *pipeline)
{
	int error, flushed;

	pipeline->began = true;
	error = carry(pipeline);
	pipeline_hand_over(pipeline);
	if (error == 0 && pipeline->drained)
		pipeline_close_books(pipeline);
	flushed = encode_flush(pipeline->encoder, clock_boottime_ns(), true);
	if (pipeline->stream) /* that has had its time already where the rings could not be drained for it */
		stream_finish(pipeline->stream, pipeline->reader || pipeline->drained ? pipeline->live->drain_ms : 0);
	return error ? error : flushed;
}

void pipeline_stop(struct pipeline *pipeline)
{
	uint64_t one = 1;

	atomic_store(&pipeline->stopping, true);
	(void)!write(pipeline->stop_fd, &one, sizeof(one));
}
