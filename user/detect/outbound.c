/* SPDX-License-Identifier: Apache-2.0 */
/* What is fed finds its state, which grows as there is something to remember, and goes to the detectors. */
#include "detect/outbound.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "detect/outbound_inside.h"
#include "detect/p2p_inside.h"

enum { SCAN_AFTER = 16 /* flows that are opened before scans are looked for */ };

#define QUIET_NS (10 * 1000000000ull) /* after the last flow all connects have failed that will */

/* --- peers ---------------------------------------------------------------------------------------------------------------- */

static void note_commands(struct outbound_state *state)
{
	static const struct {
		uint32_t bit;
		enum p2p_reason reason;
	} reasons[] = {
		{COMMAND_TORRENT, P2P_TORRENT_COMMAND},
		{COMMAND_BITTORRENT, P2P_BITTORRENT_PROGRAM},
		{COMMAND_IPFS, P2P_IPFS_PROGRAM},
		{COMMAND_SYNCTHING, P2P_SYNCTHING_PROGRAM},
		{COMMAND_CHAIN, P2P_CHAIN_PROGRAM},
		{COMMAND_EDONKEY, P2P_EDONKEY_PROGRAM},
		{COMMAND_GNUTELLA, P2P_GNUTELLA_PROGRAM},
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (state->commands & reasons[i].bit)
			p2p_command(state->p2p, reasons[i].reason, state->command, state->command_ns);
}

/* A detector of peers, which is told what was kept until now. */
static void open_peers(struct outbound_state *state)
{
	struct outbound *outbound = state->outbound;

	if (state->p2p || outbound->settings->off[OUTBOUND_P2P])
		return;
	outbound_activate(state);
	if (outbound->counters.detectors >= outbound->settings->values[OUTBOUND_SET_DETECTORS]) {
		outbound_close_peers(TAILQ_FIRST(&outbound->detectors));
		outbound->counters.detectors_pushed_out++;
	}
	if (p2p_open(&state->p2p, &outbound->settings->p2p, &outbound->settings->inside) < 0) {
		outbound->counters.without_memory++;
		return;
	}
	TAILQ_INSERT_TAIL(&outbound->detectors, state, next_p2p);
	outbound->counters.detectors++;
	for (size_t i = 0; i < state->early_count; i++) {
		const struct outbound_early *early = &state->early[i];
		struct flow flow = {.start_ns = state->first_ns ? state->first_ns : early->last_ns,
			.last_ns = early->last_ns,
			.local = {.family = early->remote.family},
			.remote = early->remote,
			.transport = early->transport,
			.state = early->state,
			.packets_in = early->answered,
			.name = early->named ? TEXT_LITERAL("?") : (struct text){0}};

		p2p_flow(state->p2p, &flow, early->last_ns);
	}
	state->early_count = 0;
	note_commands(state);
}

/* Of the first ends outside only this is kept: most programs have no more. */
static void note_early(struct outbound_state *state, const struct flow *flow, uint64_t now_ns)
{
	struct outbound_early *early = NULL;
	uint64_t after = outbound_setting(state, OUTBOUND_SET_AFTER_ENDS);

	for (size_t i = 0; i < state->early_count && !early; i++)
		if (state->early[i].transport == flow->transport && state->early[i].remote.port == flow->remote.port &&
			flow_address_equal(&state->early[i].remote, &flow->remote))
			early = &state->early[i];
	if (!early && state->early_count >= after) {
		open_peers(state);
		return;
	}
	if (!early)
		early = &state->early[state->early_count++];
	*early = (struct outbound_early){.remote = flow->remote,
		.last_ns = now_ns,
		.transport = flow->transport,
		.state = flow->state,
		.answered = flow->packets_in > 0,
		.named = flow->name.length > 0};
}

static void peers_flow(struct outbound_state *state, struct flow *flow, bool outside, uint64_t now_ns)
{
	if (!state->p2p && outside && !flow->inbound && !flow->partial) {
		if (state->commands & COMMAND_PEERS)
			open_peers(state);
		if (!state->p2p)
			note_early(state, flow, now_ns);
	}
	if (!state->p2p)
		return;
	state->p2p_ns = now_ns;
	p2p_flow(state->p2p, flow, now_ns);
}

/* Is it worth a detector of peers? Its words are, and what may be words of theirs that are hidden. */
static bool says_peers(const struct flow *flow, const struct flow_message *message, enum payload_kind kind)
{
	const struct payload *payload = &message->payload;
	struct payload_utp utp;

	if (payload_kind_family(kind) != FAMILY_NONE)
		return message->out || !flow->inbound || kind != PAYLOAD_BT_UTP_STATE;
	if (kind != PAYLOAD_UNKNOWN || (flow->inbound && !message->out))
		return false;
	return payload->transport == IPPROTO_UDP ? payload_utp_read(payload->bytes, payload->length, &utp)
						 : message->number == 0 && payload_looks_mse(payload);
}

/* --- what is fed ---------------------------------------------------------------------------------------------------------- */

void outbound_exec(struct outbound *outbound, const struct outbound_who *who, uint64_t now_ns)
{
	struct outbound_state *state = outbound_state_of(outbound, who, true);
	char sample[P2P_SAMPLE_TEXT];
	uint32_t commands;

	if (!state)
		return;
	commands = outbound_command_read(who->process, sample);
	/* Of a program that has opened flows the image that did is named. */
	if (!state->active || commands)
		outbound_hold(state, who->process);
	if (!commands)
		return;
	state->commands |= commands;
	state->command_ns = now_ns;
	memcpy(state->command, sample, sizeof(sample));
	if (state->p2p && commands & COMMAND_PEERS)
		note_commands(state);
	if (commands & COMMAND_POOL)
		outbound_meet(state, OUTBOUND_MINER_COMMAND, sample, now_ns);
	if (commands & COMMAND_MINER)
		outbound_meet(state, OUTBOUND_MINER_PROGRAM, sample, now_ns);
	if (commands & COMMAND_TOR)
		outbound_meet(state, OUTBOUND_TOR_PROGRAM, sample, now_ns);
	outbound_judge(state, now_ns);
}

static void take_name(struct outbound_state *state, const char *name, uint64_t now_ns)
{
	if (state->serves_names || name[0] == '\0')
		return;
	mining_name(state, name, now_ns);
	tor_name(state, name, now_ns);
}

/* The name by which the flow's end was found, once. */
static void take_flow_name(struct outbound_state *state, struct flow *flow, uint64_t now_ns)
{
	char name[PAYLOAD_NAME_MAX + 1];

	if (flow->marks.named || flow->name.length == 0 || flow->name.length >= sizeof(name))
		return;
	flow->marks.named = true;
	memcpy(name, flow->name.data, flow->name.length);
	name[flow->name.length] = '\0';
	take_name(state, name, now_ns);
}

/* Counts what a flow has carried since it was told last. */
static uint64_t take_bytes(struct outbound_state *state, struct flow *flow)
{
	uint64_t out = flow->bytes_out > flow->marks.bytes_out ? flow->bytes_out - flow->marks.bytes_out : 0;
	uint64_t in = flow->bytes_in > flow->marks.bytes_in ? flow->bytes_in - flow->marks.bytes_in : 0;

	flow->marks.bytes_out += out;
	flow->marks.bytes_in += in;
	state->bytes_out += out;
	state->bytes_in += in;
	return out;
}

/* One more was opened: who opens several is looked at for scans. */
static void count_opened(struct outbound_state *state)
{
	if (state->opened >= SCAN_AFTER || ++state->opened < SCAN_AFTER)
		return;
	state->scan = scan_open();
	state->outbound->counters.without_memory += !state->scan;
}

static void opened_flow(struct outbound_state *state, struct flow *flow, bool outside, uint64_t now_ns)
{
	bool begun = !flow->marks.begun && !flow->partial, answered, failed;
	uint64_t bytes;

	outbound_activate(state);
	if (state->first_ns == 0)
		state->first_ns = flow->start_ns;
	flow->marks.begun = true;
	answered = flow_is_answered(flow);
	failed = flow_has_failed(flow);
	if (begun)
		count_opened(state);
	if (state->scan && !flow->partial &&
		(begun || answered != flow->marks.answered || failed != flow->marks.failed))
		scan_flow(state, flow, begun, now_ns);
	flow->marks.answered = answered;
	flow->marks.failed = failed;
	take_flow_name(state, flow, now_ns);
	if (begun || flow->state == FLOW_ESTABLISHED) {
		mining_flow(state, flow, now_ns);
		tor_flow(state, flow, now_ns);
	}
	if (!outside)
		return;
	bytes = take_bytes(state, flow);
	if (!state->beacon && begun) {
		state->beacon = beacon_open();
		state->outbound->counters.without_memory += !state->beacon;
	}
	if (state->beacon)
		beacon_flow(state, flow, begun, bytes, now_ns);
	if (bytes > 0)
		egress_bytes(state, flow, bytes, now_ns);
}

void outbound_flow(struct outbound *outbound, const struct outbound_who *who, struct flow *flow, uint64_t now_ns)
{
	struct outbound_state *state;
	bool outside;
	uint64_t bytes;

	if (flow->remote.family != AF_INET && flow->remote.family != AF_INET6)
		return;
	state = outbound_state_of(outbound, who, true);
	if (!state)
		return;
	outside = !flow_address_is_many(&flow->remote) && !flow_ranges_hold(&outbound->settings->inside, &flow->remote);
	outbound->flow = flow;
	if (!flow->inbound)
		outbound_hold(state, who->process);
	peers_flow(state, flow, outside, now_ns);
	if (!flow->inbound) {
		if (!flow->marks.begun)
			outbound_vote(state, who->process);
		opened_flow(state, flow, outside, now_ns);
	} else if (outside) {
		bytes = take_bytes(state, flow);
		if (bytes > 0)
			egress_bytes(state, flow, bytes, now_ns);
	}
	outbound_judge(state, now_ns);
	outbound->flow = NULL;
}

void outbound_raw(struct outbound *outbound, const struct outbound_who *who, uint8_t transport,
	const struct event_address *remote, uint64_t now_ns)
{
	struct flow packet = {.start_ns = now_ns,
		.last_ns = now_ns,
		.local = {.family = remote->family},
		.remote = *remote,
		.transport = transport,
		.state = transport == IPPROTO_TCP ? FLOW_SYN_SENT : FLOW_OPEN};
	struct outbound_state *state;

	if ((transport != IPPROTO_TCP && transport != IPPROTO_UDP) ||
		(remote->family != AF_INET && remote->family != AF_INET6))
		return;
	state = outbound_state_of(outbound, who, true);
	if (!state)
		return;
	outbound_hold(state, who->process);
	outbound_vote(state, who->process);
	outbound_activate(state);
	count_opened(state);
	if (state->scan)
		scan_raw(state, &packet, now_ns);
	outbound_judge(state, now_ns);
}

static void take_dns(
	struct outbound_state *state, const struct payload_dns *dns, bool out, bool serves, uint64_t now_ns)
{
	enum p2p_reason reason;

	if (out && dns->answer && serves)
		state->serves_names = true;
	if (out && !dns->answer) {
		if (!state->p2p && !state->serves_names && p2p_name_reason(&dns->question, &reason))
			open_peers(state);
		take_name(state, dns->question.text, now_ns);
	}
	if (!state->serves_names && out != dns->answer)
		tunnel_dns(state, dns, out, now_ns);
}

void outbound_message(struct outbound *outbound, const struct outbound_who *who, struct flow *flow,
	const struct flow_message *message)
{
	struct outbound_state *state = message->payload.length > 0 ? outbound_state_of(outbound, who, true) : NULL;
	enum payload_kind kind;
	struct payload_name name;
	struct payload_dns dns;

	if (!state)
		return;
	kind = payload_look(&message->payload);
	outbound->flow = flow;
	if (kind == PAYLOAD_DNS && payload_dns_read(&message->payload, &dns))
		take_dns(state, &dns, message->out, flow->local.port == PORT_DNS, message->time_ns);
	if (!state->p2p && says_peers(flow, message, kind))
		open_peers(state);
	if (state->p2p) {
		state->p2p_ns = message->time_ns;
		p2p_message_of(state->p2p, flow, message, kind);
	}
	if (kind == PAYLOAD_TLS && message->out && payload_tls_read(&message->payload, &name))
		take_name(state, name.text, message->time_ns);
	mining_message(state, flow, message, kind);
	tor_message(state, flow, message, kind);
	if (message->out)
		outbound_hold(state, who->process);
	outbound_judge(state, message->time_ns);
	outbound->flow = NULL;
}

void outbound_dns(struct outbound *outbound, const struct outbound_who *who, const struct payload_dns *dns, bool out,
	uint64_t now_ns)
{
	struct outbound_state *state = outbound_state_of(outbound, who, true);

	if (!state)
		return;
	take_dns(state, dns, out, out && dns->answer, now_ns);
	if (state->p2p)
		p2p_dns(state->p2p, dns, out, out && dns->answer, now_ns);
	outbound_judge(state, now_ns);
}

void outbound_tick(struct outbound *outbound, uint64_t now_ns)
{
	struct outbound_state *state, *next;

	if (now_ns - outbound->ticked_ns < 1000ull * 1000 * 1000)
		return;
	outbound->ticked_ns = now_ns;
	TAILQ_FOREACH(state, &outbound->active, next)
	if (state->scan) {
		scan_tick(state, now_ns);
		outbound_judge(state, now_ns);
	}
	for (state = TAILQ_FIRST(&outbound->detectors); state; state = next) {
		next = TAILQ_NEXT(state, next_p2p);
		if (now_ns - state->p2p_ns < QUIET_NS)
			outbound_judge_peers(state, now_ns);
	}
}

void outbound_counters(const struct outbound *outbound, struct outbound_counters *counters)
{
	*counters = outbound->counters;
}
