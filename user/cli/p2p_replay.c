/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/p2p_replay.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/table.h"

enum {
	OPENER, /* which of a flow's ends: who opened it, */
	ACCEPTOR,
	PORT_SERVICE = 1024,
	PORT_DNS = 53,
};

static const uint64_t second = 1000ull * 1000 * 1000;

/* What one end sent over TCP: runs of payload, each a message until the other end sends some. */
struct stream {
	bool known;          /* next is */
	uint32_t first;      /* the sequence number of its SYN, or of what was seen first */
	uint32_t next;       /* the sequence number behind all that was sent */
	uint32_t start;      /* that of the message's first byte */
	unsigned int number; /* of messages that began */
	size_t told;         /* bytes of the message that the detectors have seen */
	uint64_t here;       /* bits: its first bytes that came */
	uint8_t bytes[FLOW_SAMPLE_BYTES];
};

/* A flow as both its ends see it. */
struct replay_flow {
	struct flow views[2]; /* [OPENER] is who opened it */
	struct stream streams[2];
	uint64_t told_ns;
	bool closed;
	bool has_spoken;
	int speaker; /* whose payload was the last that was new */
};

struct judged {
	struct table_node node;
	struct judged *next;
	struct event_address address;
	struct p2p *p2p;
	bool opened; /* a flow, or it is one of the local ones: it is reported */
};

struct p2p_replay {
	const struct p2p_thresholds *thresholds;
	const struct flow_ranges *inside, *local;
	struct flow_table *flows;
	struct table judged;
	struct judged *first, **last;
	uint64_t start_ns, now_ns, not_judged;
};

int p2p_replay_open(struct p2p_replay **replay, size_t flows, const struct p2p_thresholds *thresholds,
	const struct flow_ranges *inside, const struct flow_ranges *local)
{
	struct p2p_replay *made = calloc(1, sizeof(*made));

	*replay = NULL;
	if (!made)
		return -ENOMEM;
	made->thresholds = thresholds;
	made->inside = inside;
	made->local = local;
	made->last = &made->first;
	table_init(&made->judged);
	if (flow_table_open(&made->flows, flows, sizeof(struct replay_flow)) < 0) {
		free(made);
		return -ENOMEM;
	}
	*replay = made;
	return 0;
}

void p2p_replay_close(struct p2p_replay *replay)
{
	if (!replay)
		return;
	for (struct judged *judged = replay->first, *next; judged; judged = next) {
		next = judged->next;
		p2p_close(judged->p2p);
		free(judged);
	}
	table_free(&replay->judged);
	flow_table_close(replay->flows);
	free(replay);
}

/* --- who is judged -------------------------------------------------------------------------------------------------------- */

static bool is_judged(const struct table_node *node, const void *key)
{
	return flow_address_equal(&table_entry(node, struct judged, node)->address, key);
}

static bool is_nobody(const struct event_address *address)
{
	static const uint8_t zero[16];

	return memcmp(address->bytes, zero, sizeof(zero)) == 0 || flow_address_is_many(address);
}

static struct judged *add_judged(struct p2p_replay *replay, const struct event_address *address, uint64_t hash)
{
	struct judged *judged = table_count(&replay->judged) < P2P_REPLAY_ADDRESSES ? calloc(1, sizeof(*judged)) : NULL;

	if (!judged) {
		replay->not_judged++;
		return NULL;
	}
	judged->address = *address;
	judged->address.port = 0;
	if (p2p_open(&judged->p2p, replay->thresholds, replay->inside) < 0 ||
		table_insert(&replay->judged, &judged->node, hash) < 0) {
		p2p_close(judged->p2p);
		free(judged);
		replay->not_judged++;
		return NULL;
	}
	*replay->last = judged;
	replay->last = &judged->next;
	return judged;
}

/*
 * The detector of that end of a flow; NULL: it is not judged. Who only answers may still open a flow later: what it said until
 * then counts, as long as half the room is free.
 */
static struct p2p *detector_of(struct p2p_replay *replay, const struct flow *view)
{
	const struct event_address *address = &view->local;
	uint64_t hash = hash_bytes(address->bytes, sizeof(address->bytes));
	struct table_node *node = table_find(&replay->judged, hash, is_judged, address);
	struct judged *judged = node ? table_entry(node, struct judged, node) : NULL;

	if (!judged) {
		if (replay->local ? !flow_ranges_hold(replay->local, address) : is_nobody(address))
			return NULL;
		if (!replay->local && view->inbound &&
			(view->packets_out == 0 || table_count(&replay->judged) >= P2P_REPLAY_ADDRESSES / 2))
			return NULL;
		judged = add_judged(replay, address, hash);
	}
	if (judged && (replay->local || !view->inbound))
		judged->opened = true;
	return judged ? judged->p2p : NULL;
}

void p2p_replay_report(struct p2p_replay *replay,
	void (*each)(void *context, const struct event_address *address, const struct p2p_report *report),
	void *context)
{
	for (struct judged *judged = replay->first; judged; judged = judged->next)
		if (judged->opened)
			each(context, &judged->address, p2p_report_get(judged->p2p, replay->now_ns));
}

void p2p_replay_counters(const struct p2p_replay *replay, struct p2p_replay_counters *counters)
{
	*counters = (struct p2p_replay_counters){
		.not_judged = replay->not_judged, .flows_pushed_out = flow_table_pushed_out(replay->flows)};
}

/* --- flows ---------------------------------------------------------------------------------------------------------------- */

static void tell_flow(struct p2p_replay *replay, struct replay_flow *flow)
{
	flow->told_ns = replay->now_ns;
	for (int end = OPENER; end <= ACCEPTOR; end++) {
		struct p2p *p2p = detector_of(replay, &flow->views[end]);

		if (p2p)
			p2p_flow(p2p, &flow->views[end], replay->now_ns);
	}
}

static void tell_state(struct p2p_replay *replay, struct replay_flow *flow, enum flow_state state)
{
	flow->views[OPENER].state = flow->views[ACCEPTOR].state = state;
	tell_flow(replay, flow);
}

static void tell_message(struct p2p_replay *replay, struct replay_flow *flow, int sender, unsigned int number,
	const struct payload *payload)
{
	struct flow_message message = {.time_ns = replay->now_ns, .number = number, .payload = *payload};

	for (int end = OPENER; end <= ACCEPTOR; end++) {
		struct p2p *p2p = detector_of(replay, &flow->views[end]);

		message.out = end == sender;
		if (p2p)
			p2p_message(p2p, &flow->views[end], &message);
	}
}

static void begin_flow(
	struct p2p_replay *replay, struct replay_flow *flow, const struct packet *packet, bool by_source, bool partial)
{
	*flow = (struct replay_flow){0};
	flow->views[OPENER] = (struct flow){.start_ns = replay->now_ns,
		.last_ns = replay->now_ns,
		.local = by_source ? packet->source : packet->destination,
		.remote = by_source ? packet->destination : packet->source,
		.transport = packet->transport,
		.partial = partial};
	flow->views[ACCEPTOR] = flow_flip(&flow->views[OPENER]);
}

/* The flow that the packet belongs to, if there is one, and which of its ends sent it. */
static struct replay_flow *find_flow(struct p2p_replay *replay, const struct packet *packet, int *sender)
{
	struct replay_flow *flow =
		flow_table_find(replay->flows, packet->transport, &packet->source, &packet->destination);

	if (!flow)
		flow = flow_table_find(replay->flows, packet->transport, &packet->destination, &packet->source);
	if (!flow)
		return NULL;
	*sender = flow->views[OPENER].local.port == packet->source.port &&
				  flow_address_equal(&flow->views[OPENER].local, &packet->source)
			  ? OPENER
			  : ACCEPTOR;
	return flow;
}

static void count_packet(struct replay_flow *flow, int sender, const struct packet *packet)
{
	struct flow *view = &flow->views[sender], *other = &flow->views[!sender];

	view->packets_out++;
	other->packets_in++;
	view->bytes_out += packet->whole;
	other->bytes_in += packet->whole;
	view->last_ns = other->last_ns = packet->time_ns;
}

/* --- TCP ------------------------------------------------------------------------------------------------------------------ */

/*
 * Takes a segment's payload. What was there before changes nothing; what comes out of order finds its place among the first
 * bytes of the message; what the capture has lost leaves a hole, and what stands behind it is not told.
 */
static void take_segment(struct p2p_replay *replay, struct replay_flow *flow, int sender, const struct packet *packet)
{
	struct stream *stream = &flow->streams[sender];
	uint32_t sequence = packet->sequence + ((packet->flags & PACKET_SYN) != 0), end;
	size_t contiguous = 0;
	bool is_new;

	if (!stream->known) {
		stream->known = true;
		stream->first = packet->sequence;
		stream->next = sequence;
	}
	end = sequence + (uint32_t)packet->whole;
	is_new = (int32_t)(end - stream->next) > 0;
	if (packet->whole == 0)
		return;
	if (is_new && (!flow->has_spoken || flow->speaker != sender)) {
		stream->start = stream->next;
		stream->here = 0;
		stream->told = 0;
		stream->number++;
		flow->has_spoken = true;
		flow->speaker = sender;
	}
	if (is_new)
		stream->next = end;
	for (size_t i = 0; i < packet->length && stream->number > 0; i++) {
		uint32_t at = sequence + (uint32_t)i - stream->start;

		if (at >= FLOW_SAMPLE_BYTES && (int32_t)at >= 0)
			break;
		if (at >= FLOW_SAMPLE_BYTES || (stream->here & 1ull << at))
			continue;
		stream->bytes[at] = packet->bytes[i];
		stream->here |= 1ull << at;
	}
	while (contiguous < FLOW_SAMPLE_BYTES && (stream->here & 1ull << contiguous))
		contiguous++;
	if (contiguous <= stream->told || stream->number > FLOW_MESSAGES)
		return;
	stream->told = contiguous;
	tell_message(replay, flow, sender, stream->number - 1,
		&(struct payload){.bytes = stream->bytes,
			.length = contiguous,
			.whole = stream->next - stream->start,
			.transport = IPPROTO_TCP,
			.from_port = (uint16_t)packet->source.port,
			.to_port = (uint16_t)packet->destination.port});
}

/* Who opened a connection whose beginning is not there: who has not the port of a service, else who has the higher one. */
static bool source_opened(const struct packet *packet)
{
	bool from_service = packet->source.port < PORT_SERVICE, to_service = packet->destination.port < PORT_SERVICE;

	if (from_service != to_service)
		return to_service;
	return packet->source.port >= packet->destination.port;
}

static void take_tcp(struct p2p_replay *replay, const struct packet *packet)
{
	bool syn = packet->flags & PACKET_SYN, ack = packet->flags & PACKET_ACK;
	int sender = OPENER;
	struct replay_flow *flow = find_flow(replay, packet, &sender);
	enum flow_state state;

	/* A SYN over what has ended, or over a connection of before: the ports are used anew. A repeated one changes nothing. */
	if (flow && syn && !ack && (flow->closed || sender == ACCEPTOR || flow->views[OPENER].state != FLOW_SYN_SENT)) {
		bool again = !flow->closed && sender == OPENER && flow->streams[OPENER].first == packet->sequence;

		if (!again) {
			begin_flow(replay, flow, packet, true, false);
			sender = OPENER;
			tell_state(replay, flow, FLOW_SYN_SENT);
		}
	}
	if (!flow) {
		bool by_source = syn ? !ack : source_opened(packet);

		if (!syn && (packet->flags & PACKET_RST))
			return;
		flow = flow_table_add(replay->flows, packet->transport, &packet->source, &packet->destination);
		begin_flow(replay, flow, packet, by_source, !syn);
		sender = by_source ? OPENER : ACCEPTOR;
		tell_state(replay, flow, syn && !ack ? FLOW_SYN_SENT : FLOW_ESTABLISHED);
	}
	count_packet(flow, sender, packet);
	state = flow->views[OPENER].state;
	if (packet->flags & PACKET_RST) {
		flow->closed = true;
		if (state == FLOW_SYN_SENT && sender == ACCEPTOR)
			tell_state(replay, flow, FLOW_REFUSED);
		return;
	}
	if (state == FLOW_SYN_SENT && ((sender == ACCEPTOR && syn && ack) || (packet->whole > 0 && !syn)))
		tell_state(replay, flow, FLOW_ESTABLISHED);
	take_segment(replay, flow, sender, packet);
	if (packet->flags & PACKET_FIN)
		flow->closed = true;
}

/* --- UDP and ICMP --------------------------------------------------------------------------------------------------------- */

static void take_udp(struct p2p_replay *replay, const struct packet *packet)
{
	int sender = OPENER;
	struct replay_flow *flow = find_flow(replay, packet, &sender);
	bool dns = packet->source.port == PORT_DNS || packet->destination.port == PORT_DNS, first;
	size_t most = dns ? FLOW_SAMPLE_NAME_BYTES : FLOW_SAMPLE_BYTES;

	if (!flow || packet->time_ns - flow->views[OPENER].last_ns > 180 * second) {
		/* A service's answer to a question that is not there; and what was going on when the capture began. */
		bool answer = packet->source.port < PORT_SERVICE && packet->destination.port >= PORT_SERVICE &&
			      !flow_address_is_many(&packet->destination);

		if (!flow)
			flow = flow_table_add(replay->flows, packet->transport, &packet->source, &packet->destination);
		begin_flow(replay, flow, packet, !answer, answer || packet->time_ns - replay->start_ns < second);
		sender = answer ? ACCEPTOR : OPENER;
	}
	count_packet(flow, sender, packet);
	first = flow->views[sender].packets_out == 1;
	/* The first packet each way, and now and then that it goes on. */
	if (first || packet->time_ns - flow->told_ns > 10 * second)
		tell_flow(replay, flow);
	if (packet->length == 0 || (flow->views[sender].packets_out > FLOW_MESSAGES && !dns))
		return;
	tell_message(replay, flow, sender, (unsigned int)(flow->views[sender].packets_out - 1),
		&(struct payload){.bytes = packet->bytes,
			.length = packet->length < most ? packet->length : most,
			.whole = packet->whole,
			.transport = IPPROTO_UDP,
			.from_port = (uint16_t)packet->source.port,
			.to_port = (uint16_t)packet->destination.port});
}

static void take_unreachable(struct p2p_replay *replay, const struct packet *packet)
{
	int sender = OPENER;
	struct replay_flow *flow = find_flow(replay, packet, &sender);

	if (flow && packet->transport == IPPROTO_TCP && sender == OPENER && flow->views[OPENER].state == FLOW_SYN_SENT)
		tell_state(replay, flow, FLOW_REFUSED);
}

void p2p_replay_packet(struct p2p_replay *replay, const struct packet *packet)
{
	if (replay->start_ns == 0)
		replay->start_ns = packet->time_ns;
	replay->now_ns = packet->time_ns;
	switch (packet->kind) {
	case PACKET_TCP: take_tcp(replay, packet); break;
	case PACKET_UDP: take_udp(replay, packet); break;
	case PACKET_UNREACHABLE: take_unreachable(replay, packet); break;
	case PACKET_NONE: break;
	}
}
