/* SPDX-License-Identifier: Apache-2.0 */
/* Notes: of each flow's messages what they prove, of each end outside how it was reached. p2p_judge.c weighs them. */
#include "detect/p2p.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/utf8.h"
#include "detect/p2p_inside.h"

#define BIT(kind) (1ull << PAYLOAD_##kind)

_Static_assert(PAYLOAD_KINDS_END <= 64, "a flow's notes have a bit for each kind");

enum { PORT_DNS = 53, PORT_MDNS = 5353, NAMED_SECONDS = 3600, BOTH_RANDOM = 3, UTP_NEAR = 8 };

int p2p_open(struct p2p **p2p, const struct p2p_thresholds *thresholds, const struct flow_ranges *inside)
{
	struct p2p *made = calloc(1, sizeof(*made));

	*p2p = NULL;
	if (!made)
		return -ENOMEM;
	made->thresholds = thresholds;
	made->inside = inside;
	if (flow_table_open(&made->endpoints, thresholds->endpoints, sizeof(struct p2p_endpoint)) < 0 ||
		flow_table_open(&made->named, thresholds->names, sizeof(uint64_t)) < 0) {
		p2p_close(made);
		return -ENOMEM;
	}
	*p2p = made;
	return 0;
}

void p2p_close(struct p2p *p2p)
{
	if (!p2p)
		return;
	flow_table_close(p2p->endpoints);
	flow_table_close(p2p->named);
	free(p2p);
}

/* --- evidence ------------------------------------------------------------------------------------------------------------- */

static void note_text(struct p2p *p2p, enum p2p_reason reason, const char *sample, uint64_t now_ns)
{
	struct p2p_evidence *evidence = &p2p->evidence[reason];

	if (now_ns - evidence->last_ns > p2p->thresholds->evidence_ns) {
		evidence->count = 0;
		evidence->sample_count = 0;
	}
	p2p->fresh = p2p->fresh || evidence->count == 0;
	p2p->noted++;
	evidence->count++;
	evidence->last_ns = now_ns;
	for (size_t i = 0; i < evidence->sample_count; i++)
		if (strcmp(evidence->samples[i], sample) == 0)
			return;
	if (evidence->sample_count < P2P_SAMPLES)
		snprintf(evidence->samples[evidence->sample_count++], P2P_SAMPLE_TEXT, "%s", sample);
}

static void note(struct p2p *p2p, enum p2p_reason reason, const struct flow *flow, uint64_t now_ns)
{
	char end[FLOW_END_TEXT], sample[P2P_SAMPLE_TEXT];

	snprintf(sample, sizeof(sample), "%s %s", flow->transport == IPPROTO_UDP ? "udp" : "tcp",
		flow_end_format(end, &flow->remote));
	note_text(p2p, reason, sample, now_ns);
}

/*
 * What the bits of a flow's two directions prove together. Each row counts once in a flow: when the message comes by which it
 * is complete. `sent` 0: whatever it sent; of a flow that others opened what they send proves nothing alone.
 */
static const struct {
	enum p2p_reason reason;
	uint64_t sent, received; /* one bit of each at least, where there are any */
	bool either;             /* of `sent`, and in a flow that it opened of `received`: one of both is enough */
} proofs[] = {
	{P2P_HANDSHAKES, BIT(BT_HANDSHAKE) | BIT(BT_HANDSHAKE_INSIDE), BIT(BT_HANDSHAKE) | BIT(BT_HANDSHAKE_INSIDE),
		false},
	{P2P_HANDSHAKE, BIT(BT_HANDSHAKE) | BIT(BT_HANDSHAKE_INSIDE), BIT(BT_HANDSHAKE) | BIT(BT_HANDSHAKE_INSIDE),
		true},
	{P2P_EXTENSION, BIT(BT_EXTENSION), BIT(BT_EXTENSION), true},
	{P2P_PIECES, BIT(BT_PIECE), BIT(BT_PIECE), true},
	{P2P_TRACKER_HTTP, BIT(BT_TRACKER_HTTP), 0, false},
	{P2P_TRACKER_TRIED, BIT(BT_TRACKER_CONNECT), 0, false},
	{P2P_DHT, BIT(BT_DHT_QUERY), BIT(BT_DHT_ANSWER), false},
	{P2P_DHT_TRIED, BIT(BT_DHT_QUERY), 0, false},
	{P2P_DHT_PING, BIT(BT_DHT_PING), 0, false},
	{P2P_DHT_NODE, BIT(BT_DHT_ANSWER), BIT(BT_DHT_QUERY) | BIT(BT_DHT_PING), false},
	{P2P_UTP_TRIED, BIT(BT_UTP_SYN), 0, false},
	{P2P_LSD, BIT(BT_LSD), 0, false},
	{P2P_METAINFO, BIT(BT_METAINFO), 0, false},
	{P2P_EDONKEY, BIT(EDONKEY_HELLO), BIT(EDONKEY_HELLO), true},
	{P2P_KAD, BIT(EDONKEY_KAD), BIT(EDONKEY_KAD), false},
	{P2P_KAD_TRIED, BIT(EDONKEY_KAD), 0, false},
	{P2P_GNUTELLA, BIT(GNUTELLA), BIT(GNUTELLA), true},
	{P2P_LIBP2P, BIT(LIBP2P) | BIT(IPFS_NAMES), BIT(LIBP2P) | BIT(IPFS_NAMES), true},
	{P2P_SYNCTHING_DISCOVERY, BIT(SYNCTHING_DISCOVERY), 0, false},
	{P2P_SYNCTHING_HELLO, BIT(SYNCTHING_HELLO), BIT(SYNCTHING_HELLO), true},
	{P2P_BITCOIN, BIT(BITCOIN), BIT(BITCOIN), true},
	{P2P_MONERO, BIT(MONERO), BIT(MONERO), true},
	{P2P_ETHEREUM_NODES, BIT(ETHEREUM_DISCOVERY), BIT(ETHEREUM_DISCOVERY), false},
	{P2P_ETHEREUM_TRIED, BIT(ETHEREUM_DISCOVERY), 0, false},
	{P2P_ETHEREUM_RLPX, BIT(ETHEREUM_RLPX), BIT(ETHEREUM_RLPX), true},
};

static bool proves(size_t row, const struct flow *flow, uint64_t sent, uint64_t received)
{
	bool has_sent = (sent & proofs[row].sent) != 0, has_received = (received & proofs[row].received) != 0;

	if (proofs[row].either)
		return has_sent || (has_received && !flow->inbound);
	return has_sent && (has_received || proofs[row].received == 0);
}

static void note_proofs(struct p2p *p2p, struct flow *flow, const struct flow_message *message, enum payload_kind kind)
{
	struct flow_notes *notes = &flow->notes;
	const uint64_t handshake = BIT(BT_HANDSHAKE) | BIT(BT_HANDSHAKE_INSIDE);
	uint64_t sent = notes->sent, received = notes->received;

	*(message->out ? &notes->sent : &notes->received) |= 1ull << kind;
	/*
	 * Behind two keys (Message Stream Encryption, plain text chosen) libtorrent's first handshake is hidden and the answer
	 * is not: the keys show that both ends agree. A stranger's words behind keys of a service's own do not count.
	 */
	if ((1ull << kind & handshake) && notes->random == BOTH_RANDOM && (message->out || !flow->inbound)) {
		notes->sent |= BIT(BT_HANDSHAKE);
		notes->received |= BIT(BT_HANDSHAKE);
	}
	for (size_t i = 0; i < sizeof(proofs) / sizeof(proofs[0]); i++)
		if (proves(i, flow, notes->sent, notes->received) && !proves(i, flow, sent, received))
			note(p2p, proofs[i].reason, flow, message->time_ns);
}

/* A tracker's answer has nothing of its own but the connect's transaction (BEP 15). */
static void note_tracker(struct p2p *p2p, struct flow *flow, const struct flow_message *message, enum payload_kind kind)
{
	const struct payload *payload = &message->payload;

	if (kind == PAYLOAD_BT_TRACKER_CONNECT && message->out)
		flow->notes.transaction = payload_u32(payload->bytes + 12);
	else if (kind == PAYLOAD_BT_TRACKER_ANSWER && !message->out && (flow->notes.sent & BIT(BT_TRACKER_CONNECT)) &&
		 payload_u32(payload->bytes + 4) == flow->notes.transaction &&
		 !(flow->notes.received & BIT(BT_TRACKER_ANSWER))) {
		flow->notes.received |= BIT(BT_TRACKER_ANSWER);
		note(p2p, P2P_TRACKER_UDP, flow, message->time_ns);
	}
}

/*
 * uTP (BEP 29): a connect is answered by a STATE with its connection's id and sequence number. What follows has ids that are
 * one apart, and each acknowledges about what the other sent last: so it is told where the beginning was not seen. Either way
 * 30 bits or so agree; who opened it does not matter, for both ends take part.
 */
static void note_utp(struct p2p *p2p, struct flow *flow, const struct flow_message *message, enum payload_kind kind)
{
	struct flow_notes *notes = &flow->notes;
	uint8_t mine = message->out ? 1 : 2;
	uint16_t connection = message->out ? notes->utp_received_connection : notes->utp_connection;
	uint16_t sequence = message->out ? notes->utp_received_sequence : notes->utp_sequence;
	bool syn = (message->out ? notes->received : notes->sent) & BIT(BT_UTP_SYN), agrees;
	struct payload_utp utp;

	if (((notes->sent | notes->received) & BIT(BT_UTP_STATE)) ||
		!payload_utp_read(message->payload.bytes, message->payload.length, &utp))
		return;
	agrees = syn ? kind == PAYLOAD_BT_UTP_STATE && utp.connection == connection && utp.acknowledged == sequence
		     : (uint16_t)(utp.connection - connection + 1) <= 2 && utp.connection != connection &&
				 (uint16_t)(utp.acknowledged - sequence + UTP_NEAR) <= 2 * UTP_NEAR;
	if ((notes->utp & ~mine) && agrees) {
		*(message->out ? &notes->sent : &notes->received) |= BIT(BT_UTP_STATE);
		note(p2p, P2P_UTP, flow, message->time_ns);
		return;
	}
	/* A connect stays what is to be answered. */
	if ((message->out ? notes->sent : notes->received) & BIT(BT_UTP_SYN) && kind != PAYLOAD_BT_UTP_SYN)
		return;
	notes->utp |= mine;
	*(message->out ? &notes->utp_connection : &notes->utp_received_connection) = utp.connection;
	*(message->out ? &notes->utp_sequence : &notes->utp_received_sequence) = utp.sequence;
}

/* --- names ---------------------------------------------------------------------------------------------------------------- */

void p2p_dns(struct p2p *p2p, const struct payload_dns *dns, bool out, bool serves, uint64_t now_ns)
{
	const struct event_address none = {0};
	enum p2p_reason reason;
	uint64_t *when;

	if (out && dns->answer && serves)
		p2p->serves_names = true;
	if (out && !dns->answer && p2p_name_reason(&dns->question, &reason)) {
		struct payload_name name = dns->question;

		utf8_defuse(name.text, name.length);
		note_text(p2p, reason, name.text, now_ns);
	}
	for (size_t i = 0; !out && dns->answer && i < dns->address_count; i++) {
		when = flow_table_find(p2p->named, 0, &dns->addresses[i], &none);
		if (!when)
			when = flow_table_add(p2p->named, 0, &dns->addresses[i], &none);
		*when = now_ns;
	}
}

static void note_dns(struct p2p *p2p, const struct flow *flow, const struct flow_message *message)
{
	struct payload_dns dns;

	/* Of one socket that asks on and on the first questions count: see FLOW_MESSAGES. */
	if (payload_dns_read(&message->payload, &dns) &&
		(dns.answer || !message->out || message->number < FLOW_MESSAGES))
		p2p_dns(p2p, &dns, message->out, flow->local.port == PORT_DNS, message->time_ns);
}

static bool is_named(struct p2p *p2p, const struct flow *flow, uint64_t now_ns)
{
	const struct event_address none = {0};
	struct event_address address = flow->remote;
	const uint64_t *when;

	address.port = 0;
	when = flow_table_find(p2p->named, 0, &address, &none);
	return flow->name.length || (when && now_ns - *when < NAMED_SECONDS * 1000ull * 1000 * 1000);
}

/* --- ends outside --------------------------------------------------------------------------------------------------------- */

static struct p2p_endpoint *endpoint_of(struct p2p *p2p, const struct flow *flow, bool add)
{
	const struct event_address none = {0};
	struct event_address address = flow->remote;
	struct p2p_endpoint *endpoint;
	uint8_t kind = flow->inbound ? 1 : 0;

	if (flow->inbound)
		address.port = 0;
	endpoint = flow_table_find(p2p->endpoints, kind, &address, &none);
	if (!endpoint && add) {
		endpoint = flow_table_add(p2p->endpoints, kind, &address, &none);
		endpoint->address = address;
	}
	return endpoint;
}

static bool is_behaviour(const struct p2p *p2p, const struct flow *flow)
{
	return !flow->partial && !flow_address_is_many(&flow->remote) && !flow_ranges_hold(p2p->inside, &flow->remote);
}

void p2p_flow(struct p2p *p2p, struct flow *flow, uint64_t now_ns)
{
	struct p2p_endpoint *endpoint;

	if (p2p->first_ns == 0 && (!flow->inbound || flow->packets_out > 0))
		p2p->first_ns = flow->inbound ? now_ns : flow->start_ns;
	/* Who only knocks does not connect. */
	if (!is_behaviour(p2p, flow) ||
		(flow->inbound && flow->transport == IPPROTO_TCP && flow->state != FLOW_ESTABLISHED))
		return;
	endpoint = endpoint_of(p2p, flow, true);
	endpoint->last_ns = now_ns;
	endpoint->inbound = flow->inbound;
	endpoint->local_port = (uint16_t)flow->local.port;
	if (!flow->notes.counted)
		endpoint->named = is_named(p2p, flow, now_ns);
	if (flow->transport == IPPROTO_TCP) {
		endpoint->tcp = true;
		if (flow->state == FLOW_SYN_SENT)
			endpoint->tcp_ns = now_ns;
		if (flow_has_failed(flow))
			endpoint->refused = true;
		if (flow->state == FLOW_ESTABLISHED) {
			endpoint->answered = true;
			endpoint->refused = false;
			endpoint->tcp_ns = 0;
		}
	} else {
		endpoint->udp = true;
		endpoint->answered |= flow->packets_in > 0;
	}
	flow->notes.counted = true;
	if (now_ns - p2p->judged_ns >= p2p->thresholds->judge_ns)
		p2p_judge(p2p, now_ns);
}

/* The first messages of both directions look random: each direction is looked at once its first message is whole. */
static void note_random(struct p2p *p2p, struct flow *flow, const struct flow_message *message)
{
	uint8_t bit = message->out ? 1 : 2;

	if (message->number > 0 || (flow->notes.random & bit) || !payload_looks_mse(&message->payload))
		return;
	flow->notes.random |= bit;
	if (flow->notes.random != BOTH_RANDOM || !is_behaviour(p2p, flow))
		return;
	if (message->time_ns - p2p->random_ns > p2p->thresholds->window_ns)
		p2p->random_flows = 0;
	p2p->random_flows++;
	p2p->random_ns = message->time_ns;
}

static bool is_utp(enum payload_kind kind)
{
	return kind == PAYLOAD_BT_UTP_SYN || kind == PAYLOAD_BT_UTP_STATE || kind == PAYLOAD_BT_HANDSHAKE;
}

void p2p_message(struct p2p *p2p, struct flow *flow, const struct flow_message *message)
{
	p2p_message_of(p2p, flow, message, payload_look(&message->payload));
}

void p2p_message_of(struct p2p *p2p, struct flow *flow, const struct flow_message *message, enum payload_kind kind)
{
	static const uint64_t alike = BIT(STUN) | BIT(DTLS) | BIT(WIREGUARD) | BIT(MEMBERLIST);
	bool dns = flow->remote.port == PORT_DNS || flow->local.port == PORT_DNS || flow->remote.port == PORT_MDNS;
	struct p2p_endpoint *endpoint;

	if (message->payload.length == 0 || (message->number >= FLOW_MESSAGES && !dns))
		return;
	if (p2p->first_ns == 0 && message->out)
		p2p->first_ns = message->time_ns;
	if (message->payload.transport == IPPROTO_UDP && (kind == PAYLOAD_UNKNOWN || is_utp(kind)))
		note_utp(p2p, flow, message, kind);
	if (kind == PAYLOAD_UNKNOWN)
		note_random(p2p, flow, message);
	else if (kind == PAYLOAD_DNS)
		note_dns(p2p, flow, message);
	else if (kind == PAYLOAD_BT_TRACKER_ANSWER)
		note_tracker(p2p, flow, message, kind);
	else if (kind != PAYLOAD_BT_UTP_STATE)
		note_proofs(p2p, flow, message, kind);
	if (kind == PAYLOAD_BT_TRACKER_CONNECT)
		note_tracker(p2p, flow, message, kind);
	if (1ull << kind & alike && is_behaviour(p2p, flow)) {
		endpoint = endpoint_of(p2p, flow, false);
		if (endpoint)
			endpoint->silent = true;
	}
	if (p2p->fresh || message->time_ns - p2p->judged_ns >= p2p->thresholds->judge_ns)
		p2p_judge(p2p, message->time_ns);
}

void p2p_command(struct p2p *p2p, enum p2p_reason reason, const char *sample, uint64_t now_ns)
{
	note_text(p2p, reason, sample, now_ns);
}

uint64_t p2p_noted(const struct p2p *p2p)
{
	return p2p->noted;
}

const struct p2p_report *p2p_report_last(const struct p2p *p2p)
{
	return &p2p->report;
}

const struct p2p_report *p2p_report_get(struct p2p *p2p, uint64_t now_ns)
{
	p2p_judge(p2p, now_ns);
	return &p2p->report;
}
