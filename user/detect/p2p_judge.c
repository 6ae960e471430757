/* SPDX-License-Identifier: Apache-2.0 */
/* The notes become a verdict: points of the family that has most, and of behaviour. */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "detect/p2p_inside.h"

enum {
	SET_SLOTS = 1024, /* twice the endpoints that are looked at */
	ENDS_MAX = 512,
	PORT_OWN = 1024, /* below are ports of services */
};

/* Different values, without 0. */
struct set {
	uint64_t slots[SET_SLOTS];
	uint16_t counts[SET_SLOTS];
	size_t count;
};

/* Adds a value; how often it has been added. A set that is full takes no more. */
static unsigned int set_add(struct set *set, uint64_t value)
{
	size_t at = (value * 0x9e3779b97f4a7c15ull) >> 54;

	value = value ? value : 1;
	while (set->slots[at] && set->slots[at] != value)
		at = (at + 1) % SET_SLOTS;
	if (!set->slots[at]) {
		if (set->count >= ENDS_MAX)
			return 0;
		set->slots[at] = value;
		set->count++;
	}
	return ++set->counts[at];
}

/* An address as a number; of IPv6 both halves go in. */
static uint64_t number_of(const struct event_address *address)
{
	uint64_t high = 0, low = 0;

	if (address->family == AF_INET)
		return 1ull << 32 | payload_u32(address->bytes);
	memcpy(&high, address->bytes, 8);
	memcpy(&low, address->bytes + 8, 8);
	return (high * 0xff51afd7ed558ccdull ^ low) | 1;
}

/* What was done in the window. */
struct behaviour {
	struct set hosts, ports, peers, dual_ports, socket_hosts, socket_ports, inbound;
	unsigned int unnamed;
	unsigned int ends, answered; /* on ports of their own */
	unsigned int dual;
	unsigned int connects, failed;
	unsigned int name_servers;
	uint16_t socket; /* the local port with most ends */
	const struct p2p_endpoint *samples[P2P_REASONS][P2P_SAMPLES];
	size_t sample_counts[P2P_REASONS];
};

static void sample(struct behaviour *behaviour, enum p2p_reason reason, const struct p2p_endpoint *endpoint)
{
	if (behaviour->sample_counts[reason] < P2P_SAMPLES)
		behaviour->samples[reason][behaviour->sample_counts[reason]++] = endpoint;
}

/* Ports that nobody else chooses: not those of services, also of those that stand above 1024 and have many hosts. */
static bool is_own_port(uint32_t port)
{
	switch (port) {
	case 3478: /* STUN, TURN and its TLS */
	case 3479:
	case 5349:
	case 5353:
	case 8080:
	case 8443: return false;
	default: return port >= PORT_OWN;
	}
}

static void count_end(
	struct behaviour *behaviour, const struct p2p *p2p, const struct p2p_endpoint *endpoint, uint64_t now_ns)
{
	const struct event_address *address = &endpoint->address;
	bool failed =
		endpoint->tcp &&
		(endpoint->refused || (endpoint->tcp_ns && now_ns - endpoint->tcp_ns >= p2p->thresholds->failed_ns));

	if (endpoint->inbound) {
		if (is_own_port(endpoint->local_port) && set_add(&behaviour->inbound, number_of(address)) == 1)
			sample(behaviour, P2P_INBOUND, endpoint);
		return;
	}
	behaviour->name_servers += address->port == 53;
	if (set_add(&behaviour->hosts, number_of(address)) == 1) {
		sample(behaviour, P2P_FAN_OUT, endpoint);
		behaviour->unnamed += !endpoint->named;
		if (!endpoint->named)
			sample(behaviour, P2P_UNNAMED, endpoint);
	}
	behaviour->connects += endpoint->tcp;
	behaviour->failed += failed;
	if (failed)
		sample(behaviour, P2P_FAILURES, endpoint);
	if (!is_own_port(address->port))
		return;
	behaviour->ends++;
	behaviour->answered += endpoint->answered;
	set_add(&behaviour->peers, number_of(address));
	set_add(&behaviour->ports, address->port);
	sample(behaviour, P2P_DISPERSION, endpoint);
	if (endpoint->tcp && endpoint->udp) {
		behaviour->dual++;
		set_add(&behaviour->dual_ports, address->port);
		sample(behaviour, P2P_DUAL, endpoint);
	}
}

/* The socket that sends to most ends, and to how many hosts and ports. */
static void count_socket(struct behaviour *behaviour, const struct p2p_endpoint *const *ends, size_t count)
{
	struct set sockets = {.count = 0};
	unsigned int most = 0;

	for (size_t i = 0; i < count; i++)
		if (ends[i]->udp && !ends[i]->inbound && is_own_port(ends[i]->address.port)) {
			unsigned int times = set_add(&sockets, ends[i]->local_port);

			if (times > most) {
				most = times;
				behaviour->socket = ends[i]->local_port;
			}
		}
	for (size_t i = 0; i < count && most > 0; i++)
		if (ends[i]->udp && !ends[i]->inbound && is_own_port(ends[i]->address.port) &&
			ends[i]->local_port == behaviour->socket) {
			set_add(&behaviour->socket_hosts, number_of(&ends[i]->address));
			set_add(&behaviour->socket_ports, ends[i]->address.port);
			sample(behaviour, P2P_SOCKET, ends[i]);
		}
}

static void look_at_behaviour(struct behaviour *behaviour, const struct p2p *p2p, uint64_t now_ns)
{
	const struct p2p_endpoint *ends[ENDS_MAX], *endpoint = NULL;
	size_t count = 0;

	/* The newest first. */
	while (count < ENDS_MAX && (endpoint = flow_table_next(p2p->endpoints, endpoint)) != NULL) {
		if (now_ns - endpoint->last_ns > p2p->thresholds->window_ns)
			continue;
		if (!endpoint->silent)
			ends[count++] = endpoint;
	}
	for (size_t i = 0; i < count; i++)
		count_end(behaviour, p2p, ends[i], now_ns);
	count_socket(behaviour, ends, count);
}

/* --- the report ----------------------------------------------------------------------------------------------------------- */

struct verdict {
	struct p2p_report *report;
	const struct p2p *p2p;
	const struct behaviour *behaviour;
};

static struct p2p_reason_report *add_reason(struct p2p_report *report, const struct p2p *p2p, enum p2p_reason reason)
{
	struct p2p_reason_report *added = &report->reasons[report->reason_count];

	if (p2p->thresholds->points[reason] == 0)
		return NULL;
	report->reason_count++;
	added->reason = reason;
	added->points = p2p->thresholds->points[reason];
	added->sample_count = 0;
	return added;
}

static unsigned int add_behaviour(
	const struct verdict *verdict, enum p2p_reason reason, bool met, unsigned int number, unsigned int of)
{
	struct p2p_reason_report *added = met ? add_reason(verdict->report, verdict->p2p, reason) : NULL;
	char text[FLOW_END_TEXT], many[24] = "";

	if (!added)
		return 0;
	if (of)
		snprintf(many, sizeof(many), " of %u", of);
	snprintf(added->what, sizeof(added->what), "%u%s %s", number, many, p2p_reason_text(reason));
	for (size_t i = 0; i < verdict->behaviour->sample_counts[reason]; i++) {
		const struct p2p_endpoint *endpoint = verdict->behaviour->samples[reason][i];
		bool udp = endpoint->udp && reason != P2P_FAILURES;

		snprintf(added->samples[added->sample_count++], P2P_SAMPLE_TEXT, "%s %s",
			udp && endpoint->tcp ? "tcp+udp"
			: udp                ? "udp"
					     : "tcp",
			flow_end_format(text, &endpoint->address));
	}
	return added->points;
}

/* The points of behaviour. */
static unsigned int judge_behaviour(const struct verdict *verdict, uint64_t now_ns)
{
	const struct p2p_thresholds *limits = verdict->p2p->thresholds;
	const struct behaviour *seen = verdict->behaviour;
	unsigned int hosts = (unsigned int)seen->hosts.count, peers = (unsigned int)seen->peers.count;
	unsigned int ports = (unsigned int)seen->ports.count, inbound = (unsigned int)seen->inbound.count;
	unsigned int socket_hosts = (unsigned int)seen->socket_hosts.count, rare, common;
	bool random = now_ns - verdict->p2p->random_ns <= limits->window_ns;
	/* A scanner tries many ends of a host, or is answered by few. */
	bool scans = seen->ends * 100 > peers * limits->ends_percent || seen->answered < limits->answered_ends ||
		     seen->answered * 100 < seen->ends * limits->answered_percent;

	rare = add_behaviour(verdict, P2P_DUAL,
		!scans && seen->dual >= limits->dual_ends && seen->dual_ports.count >= limits->dual_ends &&
			seen->dual_ports.count * 100 >= seen->dual * limits->socket_percent,
		seen->dual, 0);
	rare += add_behaviour(verdict, P2P_DISPERSION,
		!scans && peers >= limits->dispersed_hosts && ports * 100 >= peers * limits->dispersed_percent, peers,
		0);
	rare += add_behaviour(verdict, P2P_SOCKET,
		!scans && socket_hosts >= limits->socket_hosts &&
			seen->socket_ports.count * 100 >= socket_hosts * limits->socket_percent,
		socket_hosts, 0);
	common = add_behaviour(verdict, P2P_FAN_OUT, hosts >= limits->fan_out_hosts, hosts, 0);
	common += add_behaviour(verdict, P2P_FAILURES,
		seen->connects >= limits->failed_connects &&
			seen->failed * 100 >= seen->connects * limits->failed_percent,
		seen->failed, seen->connects);
	common += add_behaviour(verdict, P2P_UNNAMED,
		hosts >= limits->unnamed_hosts && seen->unnamed * 100 >= hosts * limits->unnamed_percent, seen->unnamed,
		hosts);
	common += add_behaviour(verdict, P2P_INBOUND, inbound >= limits->inbound_hosts, inbound, 0);
	common += add_behaviour(verdict, P2P_RANDOM, random && verdict->p2p->random_flows >= limits->random_flows,
		verdict->p2p->random_flows, 0);
	return rare + (rare == 0 && common > limits->common_most ? limits->common_most : common);
}

/* A reason that says the same as another, and less, is left out where that one is there. */
static bool is_covered(const struct p2p *p2p, enum p2p_reason reason, uint64_t now_ns)
{
	static const struct {
		enum p2p_reason reason, by;
	} covered[] = {{P2P_HANDSHAKE, P2P_HANDSHAKES}, {P2P_TRACKER_TRIED, P2P_TRACKER_UDP}, {P2P_DHT_TRIED, P2P_DHT},
		{P2P_UTP_TRIED, P2P_UTP}, {P2P_KAD_TRIED, P2P_KAD}, {P2P_ETHEREUM_TRIED, P2P_ETHEREUM_NODES}};

	for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++)
		if (covered[i].reason == reason) {
			const struct p2p_evidence *by = &p2p->evidence[covered[i].by];

			return by->count > 0 && now_ns - by->last_ns <= p2p->thresholds->evidence_ns;
		}
	return false;
}

/* Does the evidence count now? Names that somebody asks for on behalf of others do not. */
static bool counts(const struct p2p *p2p, enum p2p_reason reason, const struct behaviour *seen, uint64_t now_ns)
{
	const struct p2p_evidence *evidence = &p2p->evidence[reason];

	if (evidence->count == 0 || now_ns - evidence->last_ns > p2p->thresholds->evidence_ns ||
		is_covered(p2p, reason, now_ns))
		return false;
	if (reason == P2P_BITTORRENT_NAMES || reason == P2P_IPFS_NAMES || reason == P2P_SYNCTHING_NAMES ||
		reason == P2P_CHAIN_NAMES)
		return !p2p->serves_names && seen->name_servers < p2p->thresholds->resolver_servers;
	return true;
}

static enum payload_family strongest_family(const unsigned int points[FAMILIES])
{
	enum payload_family strongest = FAMILY_NONE;

	for (enum payload_family family = FAMILY_BITTORRENT; family < FAMILIES; family++)
		if (points[family] > points[strongest])
			strongest = family;
	return strongest;
}

static void add_evidence(struct p2p_report *report, const struct p2p *p2p, enum p2p_reason reason)
{
	const struct p2p_evidence *evidence = &p2p->evidence[reason];
	struct p2p_reason_report *added = add_reason(report, p2p, reason);

	if (!added)
		return;
	snprintf(added->what, sizeof(added->what), "%u %s", evidence->count, p2p_reason_text(reason));
	added->sample_count = evidence->sample_count;
	memcpy(added->samples, evidence->samples, sizeof(added->samples));
}

static void judge(const struct p2p *p2p, struct p2p_report *report, const struct behaviour *seen, uint64_t now_ns)
{
	unsigned int points[FAMILIES] = {0}, evidence, behaviour;
	enum payload_family family;

	for (enum p2p_reason reason = 0; reason < P2P_EVIDENCE_END; reason++)
		if (counts(p2p, reason, seen, now_ns))
			points[p2p_reason_family(reason)] += p2p->thresholds->points[reason];
	family = strongest_family(points);
	evidence = points[family];
	for (enum p2p_reason reason = 0; reason < P2P_EVIDENCE_END; reason++)
		if (p2p_reason_family(reason) == family && counts(p2p, reason, seen, now_ns))
			add_evidence(report, p2p, reason);
	behaviour = judge_behaviour(&(struct verdict){report, p2p, seen}, now_ns);
	report->score = evidence + behaviour > 100 ? 100 : evidence + behaviour;
	if (report->score >= p2p->thresholds->confirmed && evidence >= p2p->thresholds->confirmed_evidence)
		report->verdict = P2P_CONFIRMED;
	else if (report->score >= p2p->thresholds->suspected || evidence >= p2p->thresholds->confirmed_evidence)
		report->verdict = P2P_SUSPECTED;
	if (report->verdict != P2P_NONE)
		report->family = family != FAMILY_NONE ? family : FAMILY_OTHER;
}

void p2p_judge(struct p2p *p2p, uint64_t now_ns)
{
	struct behaviour seen = {.unnamed = 0};
	struct p2p_report report = {.first_ns = p2p->first_ns};
	struct p2p_report *best = &p2p->report;

	p2p->fresh = false;
	p2p->judged_ns = now_ns;
	look_at_behaviour(&seen, p2p, now_ns);
	judge(p2p, &report, &seen, now_ns);
	best->first_ns = p2p->first_ns;
	if (report.verdict < best->verdict || (report.verdict == best->verdict && report.score < best->score))
		return;
	report.decided_ns = report.verdict == P2P_NONE ? 0 : report.verdict > best->verdict ? now_ns : best->decided_ns;
	*best = report;
}
