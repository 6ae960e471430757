/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/p2p_inside.h"

static const struct {
	enum payload_family family;
	uint8_t points;
	const char *text;
} reasons[P2P_REASONS] = {
#define EVIDENCE(name, family, points, text) [P2P_##name] = {FAMILY_##family, points, text},
	P2P_EVIDENCE(EVIDENCE)
#undef EVIDENCE
#define BEHAVIOUR(name, points, text) [P2P_##name] = {FAMILY_NONE, points, text},
		P2P_BEHAVIOUR(BEHAVIOUR)
#undef BEHAVIOUR
};

static const uint64_t second = 1000ull * 1000 * 1000;

void p2p_thresholds_default(struct p2p_thresholds *thresholds)
{
	*thresholds = (struct p2p_thresholds){
		/* Five of the behaviours at least, two of them rare: no look-alike of the tests comes past 45. */
		.suspected = 55,
		/* One exchange of hard evidence, or two tries of different kinds. */
		.confirmed = 70,
		/* A name and a query into the blue (55) may be lifted by behaviour, a name alone (25) not. */
		.confirmed_evidence = 50,
		/* A crawler of hosts that were looked up elsewhere has all that is common but the inbound ones. */
		.common_most = 25,
		/* Clients fill their list of peers within seconds, and try all of it again each minute or two. */
		.window_ns = 60 * second,
		/* Trackers are asked every half an hour, DHT buckets are renewed every 15 minutes. */
		.evidence_ns = 900 * second,
		/* Two retransmissions of Linux's SYN, after 1 and 3 seconds. */
		.failed_ns = 3 * second,
		.judge_ns = second,
		/* Twice the peers of the busiest client's first minute (some 200); what more comes pushes out the oldest. */
		.endpoints = 512,
		.names = 256,
		/* One is HTTP/3 on an odd port, two may be chance. */
		.dual_ends = 3,
		/* Peers listen on ports of their own choice: measured are 80 to 98 ports for 100 hosts; services have a handful. */
		.dispersed_hosts = 10,
		.dispersed_percent = 60,
		/* Of a peer one knows one end, and at times a second. A scanner tries many of each host, */
		.ends_percent = 200,
		/* and nearly all in vain. Of the peers in a list a tenth to a half answers. */
		.answered_ends = 3,
		.answered_percent = 6,
		.socket_hosts = 10,
		.socket_percent = 50,
		/* Browsers come to 20 hosts on a page; with ports of their own it is no page. */
		.fan_out_hosts = 20,
		.failed_connects = 10,
		.failed_percent = 50,
		.unnamed_hosts = 10,
		.unnamed_percent = 80,
		.inbound_hosts = 3,
		/* Private protocols begin so as well: it takes several. */
		.random_flows = 3,
		/* resolv.conf has three at most; a resolver of its own asks whom it needs. */
		.resolver_servers = 5,
	};
	for (size_t i = 0; i < P2P_REASONS; i++)
		thresholds->points[i] = reasons[i].points;
}

enum payload_family p2p_reason_family(enum p2p_reason reason)
{
	return reasons[reason].family;
}

const char *p2p_reason_text(enum p2p_reason reason)
{
	return reasons[reason].text;
}

const char *p2p_verdict_name(enum p2p_verdict verdict)
{
	static const char *const names[] = {"none", "suspected", "confirmed"};

	return names[verdict];
}
