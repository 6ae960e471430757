/* SPDX-License-Identifier: Apache-2.0 */
/* Flows without a network: a judged end, and what it does. */
#ifndef TAFFRAIL_TEST_P2P_H
#define TAFFRAIL_TEST_P2P_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "detect/p2p.h"

#define ID20 "abcdefghij0123456789"
#define HANDSHAKE                                                                                                      \
	"\x13"                                                                                                         \
	"BitTorrent protocol\0\0\0\0\0\0\0\0" ID20
#define DHT_QUERY "d1:ad2:id20:" ID20 "9:info_hash20:" ID20 "e1:q9:g"
#define DHT_PING "d1:ad2:id20:" ID20 "e1:q4:ping1:t2:aa1:y1:qe"
#define DHT_ANSWER "d1:rd2:id20:" ID20 "e1:t2:aa1:y1:re"

static const uint64_t second = 1000ull * 1000 * 1000;

struct judged {
	struct p2p *p2p;
	struct p2p_thresholds thresholds;
	struct flow_ranges inside;
	uint64_t start_ns, now_ns;
	uint16_t next_port;
};

static inline void judged_open(struct judged *judged)
{
	*judged = (struct judged){.start_ns = 1000 * second, .now_ns = 1000 * second, .next_port = 32768};
	p2p_thresholds_default(&judged->thresholds);
	flow_ranges_default(&judged->inside);
	cr_assert_eq(p2p_open(&judged->p2p, &judged->thresholds, &judged->inside), 0);
}

static inline const struct p2p_report *judged_report(struct judged *judged)
{
	const struct p2p_report *report = p2p_report_get(judged->p2p, judged->now_ns);

	for (size_t i = 0; i < report->reason_count; i++)
		cr_log_info("%u %s (%s)", report->reasons[i].points, report->reasons[i].what,
			report->reasons[i].samples[0]);
	return report;
}

/* "198.18.0.1", or the `number`th address of 198.18/15, or of `prefix` (two octets). */
static inline struct event_address end_at(const char *prefix, unsigned int number, uint16_t port)
{
	struct event_address address = {.family = AF_INET, .port = port};
	char text[32];

	snprintf(text, sizeof(text), "%s.%u.%u", prefix, number / 250, number % 250 + 1);
	cr_assert_eq(inet_pton(AF_INET, text, address.bytes), 1);
	return address;
}

static inline struct flow flow_to(
	struct judged *judged, uint8_t transport, uint16_t local_port, struct event_address remote)
{
	struct flow flow = {.start_ns = judged->now_ns,
		.local = end_at("198.19", 200, local_port ? local_port : judged->next_port++),
		.remote = remote,
		.transport = transport,
		.state = transport == IPPROTO_TCP ? FLOW_SYN_SENT : FLOW_OPEN};

	p2p_flow(judged->p2p, &flow, judged->now_ns);
	return flow;
}

static inline void flow_becomes(struct judged *judged, struct flow *flow, enum flow_state state)
{
	flow->state = state;
	flow->packets_in += state == FLOW_ESTABLISHED || state == FLOW_OPEN;
	p2p_flow(judged->p2p, flow, judged->now_ns);
}

static inline void flow_says_bytes(
	struct judged *judged, struct flow *flow, bool out, unsigned int number, const char *bytes, size_t length)
{
	struct flow_message message = {.time_ns = judged->now_ns, .out = out, .number = number};

	message.payload = (struct payload){.bytes = (const uint8_t *)bytes,
		.length = length < FLOW_SAMPLE_BYTES || flow->remote.port == 53 ? length : FLOW_SAMPLE_BYTES,
		.whole = length,
		.transport = flow->transport,
		.from_port = (uint16_t)(out ? flow->local.port : flow->remote.port),
		.to_port = (uint16_t)(out ? flow->remote.port : flow->local.port)};
	p2p_message(judged->p2p, flow, &message);
}
#define flow_says(judged, flow, out, number, string)                                                                   \
	flow_says_bytes(judged, flow, out, number, string, sizeof(string) - 1)

#endif
