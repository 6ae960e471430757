/* SPDX-License-Identifier: Apache-2.0 */
/* What the P2P detector's files share: p2p.c takes notes, p2p_judge.c makes a verdict of them. */
#ifndef TAFFRAIL_DETECT_P2P_INSIDE_H
#define TAFFRAIL_DETECT_P2P_INSIDE_H

#include "detect/p2p.h"

/* How often a reason was met, and where. */
struct p2p_evidence {
	uint32_t count;
	uint64_t last_ns;
	char samples[P2P_SAMPLES][P2P_SAMPLE_TEXT]; /* the first ones, all different */
	size_t sample_count;
};

/* An end outside that was reached, or (without a port) a host outside that came in. */
struct p2p_endpoint {
	struct event_address address;
	uint64_t last_ns;
	uint64_t tcp_ns;     /* of the last connect that has no answer yet; 0: there is none */
	uint16_t local_port; /* of datagrams; of what came in: where it came to */
	bool inbound, tcp, udp, answered, refused, named;
	bool silent; /* it spoke of something that looks like peers and is not */
};

struct p2p {
	const struct p2p_thresholds *thresholds;
	const struct flow_ranges *inside;
	struct flow_table *endpoints; /* struct p2p_endpoint */
	struct flow_table *named;     /* uint64_t: when a DNS answer had the address */
	struct p2p_evidence evidence[P2P_EVIDENCE_END];
	uint32_t random_flows;
	uint64_t random_ns;
	uint64_t noted;    /* evidence, however often the same */
	bool serves_names; /* it answers DNS questions */
	bool fresh;        /* there is evidence of a kind that was not judged */
	uint64_t first_ns, judged_ns;
	struct p2p_report report;
};

/* Looks at what is known as of now; the report becomes what it says if that is more than before. */
void p2p_judge(struct p2p *p2p, uint64_t now_ns);

/* A name that only peers ask for: true, and which reason it is. */
bool p2p_name_reason(const struct payload_name *name, enum p2p_reason *reason);

/* The table of reasons. */
enum payload_family p2p_reason_family(enum p2p_reason reason);
const char *p2p_reason_text(enum p2p_reason reason);

#endif
