/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline's detectors of behaviour: what they are told of, and what becomes of their findings. */
#include "sensor/pipeline_inside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

enum { TREE_MAX = 4 /* programs above the one that opens a file that are told of it */ };

/* --- findings ------------------------------------------------------------------------------------------------------------- */

static void set_flow(struct event_network *network, const struct flow *flow)
{
	bool inbound = flow->inbound;

	*network = (struct event_network){
		.source = inbound ? flow->remote : flow->local,
		.destination = inbound ? flow->local : flow->remote,
		.family = flow->remote.family,
		.protocol = flow->transport,
		.type = flow->transport == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM,
		.ingress = inbound,
		.source_bytes = inbound ? flow->bytes_in : flow->bytes_out,
		.destination_bytes = inbound ? flow->bytes_out : flow->bytes_in,
	};
}

/* The names that a container has now; NULL: outside containers. */
static const struct event_container *names_of(struct pipeline *pipeline, const uint8_t *container_id, bool *pending)
{
	const struct event_container *names = NULL;
	enum container_state state;

	*pending = false;
	if (!container_id)
		return NULL;
	container_find(pipeline->containers, container_id, &state, &names);
	*pending = state != CONTAINER_KNOWN;
	return names;
}

static void send_finding(void *context, const struct outbound_finding *finding)
{
	struct pipeline *pipeline = context;
	struct event_rule rule = finding->event_rule;
	struct buffer *message = &pipeline->outbound_message;
	struct event event = {
		.action = EVENT_VERDICT,
		.descriptor = -1,
		.time_ns = finding->time_ns,
		.count = 1,
		.process = finding->process,
		.rule = &rule,
	};

	event.container = names_of(pipeline, finding->container_id, &event.pending);
	if (finding->flow)
		set_flow(&event.network, finding->flow);
	buffer_clear(message);
	outbound_sentence(message, finding, event.container);
	/* For want of memory there is none: the finding itself is told. */
	rule.message = (struct text){message->data, message->failed ? 0 : message->length};
	rule.allowed = outbound_is_allowed(event.container, finding->rule);
	rule.cause = pipeline->outbound_cause;
	pipeline_send(pipeline, &event);
}

static void send_held(void *context, const struct outbound_held *held)
{
	struct pipeline *pipeline = context;
	char message[160];
	struct event_rule rule = {
		.name = text_of(outbound_rule_name(held->rule)),
		.ruleset = TEXT_LITERAL("taffrail"),
		.severity = EVENT_NOTICE,
		.priority = TEXT_LITERAL("Notice"),
		.suppressed = held->count,
	};
	struct event event = {
		.action = EVENT_SUPPRESSED,
		.time_ns = held->time_ns,
		.count = 1,
		.process = held->process,
		.rule = &rule,
	};

	event.container = names_of(pipeline, held->container_id, &event.pending);
	snprintf(message, sizeof(message),
		"%" PRIu64 " times that a detector met again what it had told were held back", held->count);
	rule.message = text_of(message);
	rule.allowed = outbound_is_allowed(event.container, held->rule);
	pipeline_send(pipeline, &event);
}

/* --- what is fed ---------------------------------------------------------------------------------------------------------- */

static void feed_open(struct pipeline *pipeline, const struct outbound_who *who, const struct event *event)
{
	bool written =
		event->file.created || (event->file.flags & O_ACCMODE) != O_RDONLY || event->file.flags & O_TRUNC;
	struct outbound_who above = *who;

	if (!outbound_file(pipeline->outbound, who, event->file.path, written, event->time_ns))
		return;
	/* Of a client that lets others move its files these are its own, too. */
	for (int i = 0; i < TREE_MAX; i++) {
		const struct event_process *parent = above.process->parent;

		if (!parent || !parent->in_container || !who->container_id ||
			memcmp(parent->container_id, who->container_id, EVENT_CONTAINER_ID_SIZE) != 0)
			break;
		above.process = parent;
		if (!text_equal(parent->executable, who->process->executable))
			outbound_file(pipeline->outbound, &above, event->file.path, written, event->time_ns);
	}
}

void pipeline_outbound_event(struct pipeline *pipeline, const struct event *event, uint64_t cause)
{
	struct outbound_who who = {event->container ? event->container->id : NULL, event->process};

	if (!pipeline->outbound || !event->process || event->runtime_setup)
		return;
	pipeline->outbound_cause = cause;
	switch (event->action) {
	case EVENT_EXEC:
		if (event->outcome == EVENT_SUCCESS)
			outbound_exec(pipeline->outbound, &who, event->time_ns);
		break;
	case EVENT_OPEN:
		if (event->outcome == EVENT_SUCCESS)
			feed_open(pipeline, &who, event);
		break;
	case EVENT_SEND:
		if (event->network.type == SOCK_RAW && !event->network.ingress)
			outbound_raw(pipeline->outbound, &who, (uint8_t)event->network.protocol,
				&event->network.destination, event->time_ns);
		break;
	default: break;
	}
	pipeline->outbound_cause = 0;
}

static void take_flow(void *context, struct flow *flow, const struct flows_owner *owner, uint64_t now_ns)
{
	struct pipeline *pipeline = context;

	if (owner->image)
		outbound_flow(pipeline->outbound, &(struct outbound_who){owner->container_id, owner->image}, flow,
			pipeline->boot_unix_ns + now_ns);
}

static void take_message(
	void *context, struct flow *flow, const struct flows_owner *owner, const struct flow_message *message)
{
	struct pipeline *pipeline = context;

	if (owner->image)
		outbound_message(
			pipeline->outbound, &(struct outbound_who){owner->container_id, owner->image}, flow, message);
}

/* --- its life ------------------------------------------------------------------------------------------------------------- */

static void hold_image(void *context, const struct event_process *process)
{
	(void)context;
	process_hold(process);
}

static void release_image(void *context, const struct event_process *process)
{
	(void)context;
	process_release(process);
}

uint64_t pipeline_outbound_kinds(const struct pipeline *pipeline)
{
	const bool *off = pipeline->live->outbound_settings.off;

	for (int rule = 0; rule < OUTBOUND_RULES_END; rule++)
		if (!off[rule])
			return 1ull << EVENT_CONNECT | 1ull << EVENT_ACCEPT | 1ull << EVENT_DISCONNECT;
	return 0;
}

int pipeline_open_outbound(struct pipeline *pipeline)
{
	struct outbound_ops ops = {send_finding, send_held, hold_image, release_image, pipeline, 0};
	const struct flows_watcher watcher = {.flow = take_flow, .message = take_message, .context = pipeline};
	int error;

	/* Of the epoch: a replay finds the same, and nobody in a container knows it beforehand. */
	memcpy(&ops.seed, host_view(pipeline->host)->epoch, sizeof(ops.seed));
	pipeline->outbound_settings = pipeline->live->outbound_settings; /* here they stay, whatever is read anew */
	error = outbound_open(&pipeline->outbound, &pipeline->outbound_settings, &ops);
	if (!error)
		flows_watch(pipeline->flows, &watcher);
	return error;
}

/* Whoever fills the tables makes the detectors forget: it is to be known. */
static void say_forgotten(struct pipeline *pipeline)
{
	struct outbound_counters counters;
	uint64_t forgotten;

	outbound_counters(pipeline->outbound, &counters);
	forgotten = flows_pushed_out(pipeline->flows) + counters.active_pushed_out + counters.detectors_pushed_out;
	if (forgotten > pipeline->outbound_forgotten)
		log_limited("detectors of behaviour: more flows, programs or peers at a time than there is room for: "
			    "%llu were "
			    "forgotten (outbound.active, outbound.p2p.detectors)",
			(unsigned long long)(forgotten - pipeline->outbound_forgotten));
	pipeline->outbound_forgotten = forgotten;
}

void pipeline_watch_outbound(struct pipeline *pipeline, bool final)
{
	if (!pipeline->outbound)
		return;
	outbound_tick(pipeline->outbound, pipeline->boot_unix_ns + pipeline->now_ns);
	say_forgotten(pipeline);
	if (!final)
		return;
	flows_watch(pipeline->flows, &(struct flows_watcher){0});
	outbound_close(pipeline->outbound);
	pipeline->outbound = NULL;
}

void pipeline_forget_outbound(struct pipeline *pipeline, const uint8_t container_id[EVENT_CONTAINER_ID_SIZE])
{
	if (pipeline->outbound)
		outbound_forget(pipeline->outbound, container_id);
}
