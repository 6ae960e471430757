/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans: many hosts on one port, many ports of one host, or many of both; and nearly all in vain, at ends that nobody named.
 * Who is different is counted in bits: a slot costs the same whoever is tried.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "detect/outbound_inside.h"

enum { SLOTS = 8, BITS = 256, BITS_ALL = 1024, WORDS = BITS / 64, WORDS_ALL = BITS_ALL / 64, TURNS = 2 };

/*
 * Who traces a route sends datagrams to ports where nobody is, another one for each probe: from 33434 (traceroute) and 44444
 * (tracepath) up to 255 hops and three probes for each; mtr from 33000 on, and by a raw socket, as long as it runs.
 */
enum { TRACE_PROBES = 255 * 3, TRACEROUTE = 33434, TRACEPATH = 44444, MTR = 33000 };

/* Of one port the hosts, or of one host the ports. */
struct slot {
	struct event_address address; /* of ports: without an address */
	uint8_t transport;
	uint64_t begin_ns, last_ns;
	uint32_t tried_count, named, raw;
	/* What was tried just now waits for its answer: in `fresh`, then in `waiting`, each for so long. */
	uint64_t fresh[WORDS], waiting[WORDS], tried[WORDS], answered[WORDS];
};

struct outbound_scan {
	struct slot ports[SLOTS], hosts[SLOTS];
	struct {
		uint64_t begin_ns;
		uint32_t tried_count, named, raw;
		uint64_t fresh[WORDS_ALL], waiting[WORDS_ALL], tried[WORDS_ALL], answered[WORDS_ALL];
	} all;
	uint64_t epoch_ns;  /* since when `fresh` is */
	unsigned int turns; /* until nothing waits any more */
};

struct outbound_scan *scan_open(void)
{
	return calloc(1, sizeof(struct outbound_scan));
}

static unsigned int count(const uint64_t *bits, unsigned int words)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < words; i++)
		sum += (unsigned int)__builtin_popcountll(bits[i]);
	return sum;
}

static struct slot *find(
	struct slot slots[SLOTS], const struct flow *flow, bool port, bool add, uint64_t now_ns, uint64_t window_ns)
{
	struct event_address address = flow->remote;
	struct slot *poorest = NULL;

	if (port)
		address = (struct event_address){.port = flow->remote.port};
	else
		address.port = 0;
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *slot = &slots[i];

		if (slot->begin_ns && now_ns - slot->begin_ns > window_ns)
			*slot = (struct slot){.begin_ns = 0};
		if (slot->begin_ns && slot->transport == flow->transport && slot->address.port == address.port &&
			slot->address.family == address.family &&
			memcmp(slot->address.bytes, address.bytes, sizeof(address.bytes)) == 0)
			return slot;
		if (!poorest || slot->tried_count < poorest->tried_count ||
			(slot->tried_count == poorest->tried_count && slot->last_ns < poorest->last_ns))
			poorest = slot;
	}
	if (!add)
		return NULL;
	*poorest = (struct slot){.address = address, .transport = flow->transport, .begin_ns = now_ns};
	return poorest;
}

static void turn(uint64_t *fresh, uint64_t *waiting, uint64_t *tried, unsigned int words)
{
	for (unsigned int i = 0; i < words; i++) {
		tried[i] |= waiting[i];
		waiting[i] = fresh[i];
		fresh[i] = 0;
	}
}

static void turn_slots(struct slot slots[SLOTS])
{
	for (size_t i = 0; i < SLOTS; i++)
		turn(slots[i].fresh, slots[i].waiting, slots[i].tried, WORDS);
}

/* What was tried of one target. */
struct target {
	enum outbound_reason reason;
	enum outbound_setting least;
	const uint64_t *tried, *answered;
	unsigned int words, named, raw, tries;
	const char *name; /* "port 22/tcp", "198.18.0.1"; empty: of all */
};

/* How many different ones were tried, and in vain; false: it is no scan. */
static bool is_scan(
	const struct outbound_state *state, const struct target *target, unsigned int *different, unsigned int *vain)
{
	uint64_t in_vain[WORDS_ALL], failed = outbound_setting(state, OUTBOUND_SET_SCAN_FAILED);

	*different = outbound_estimate(count(target->tried, target->words), target->words * 64);
	if (*different < outbound_setting(state, target->least))
		return false;
	for (unsigned int i = 0; i < target->words; i++)
		in_vain[i] = target->tried[i] & ~target->answered[i];
	*vain = outbound_estimate(count(in_vain, target->words), target->words * 64);
	*vain = *vain < *different ? *vain : *different;
	/* Ends of all kinds are what a client of many services has: it takes more. */
	if (target->reason == OUTBOUND_SCAN_ENDS && failed < outbound_setting(state, OUTBOUND_SET_SCAN_FRUITLESS))
		failed = outbound_setting(state, OUTBOUND_SET_SCAN_FRUITLESS);
	return *vain * 100ull >= *different * failed &&
	       (target->tries - target->named) * 100ull >=
		       target->tries * outbound_setting(state, OUTBOUND_SET_SCAN_UNNAMED);
}

static void judge(struct outbound_state *state, const struct target *target, uint64_t now_ns)
{
	static const enum outbound_reason kinds[] = {OUTBOUND_SCAN_HOSTS, OUTBOUND_SCAN_PORTS, OUTBOUND_SCAN_ENDS};
	static const char *const words[] = {"hosts tried on ", "ports tried of ", "ends tried"};
	uint64_t least = outbound_setting(state, target->least);
	struct outbound_offer offers[7] = {{.reason = OUTBOUND_SCAN_MANY}, {.reason = OUTBOUND_SCAN_FRUITLESS},
		{.reason = OUTBOUND_SCAN_PROGRAM}, {.reason = OUTBOUND_SCAN_RAW}};
	bool raw = target->raw > target->tries / 2; /* then it is not known what was in vain */
	unsigned int different, vain;

	if (!is_scan(state, target, &different, &vain))
		return;
	if (different >= least * outbound_setting(state, OUTBOUND_SET_SCAN_MANY)) {
		offers[0].percent = 100;
		snprintf(offers[0].what, sizeof(offers[0].what), "%llu times what is suspicious (%llu)",
			(unsigned long long)(different / least), (unsigned long long)least);
	}
	if (raw) {
		offers[3].percent = 100;
		snprintf(offers[3].what, sizeof(offers[3].what), "%u %s", target->raw,
			"packets that it made itself, whose answers no socket tells");
	} else if (vain * 100ull >= different * outbound_setting(state, OUTBOUND_SET_SCAN_FRUITLESS)) {
		offers[1].percent = 100;
		snprintf(offers[1].what, sizeof(offers[1].what), "about %u of %u in vain", vain, different);
	}
	if (state->commands & COMMAND_SCANNER) {
		offers[2].percent = 100;
		snprintf(offers[2].what, sizeof(offers[2].what), "it is a program that scans");
		snprintf(offers[2].sample, sizeof(offers[2].sample), "%s", state->command);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct outbound_offer *offer = &offers[4 + i];

		*offer = (struct outbound_offer){.reason = kinds[i], .percent = kinds[i] == target->reason ? 100 : 0};
		if (offer->percent)
			snprintf(offer->what, sizeof(offer->what), "about %u %s%s", different, words[i], target->name);
	}
	outbound_take_offer(state, OUTBOUND_SCAN, offers, sizeof(offers) / sizeof(offers[0]), now_ns);
}

static void judge_slot(struct outbound_state *state, const struct slot *slot, enum outbound_reason reason,
	enum outbound_setting least, uint64_t now_ns)
{
	char name[FLOW_END_TEXT];

	if (slot->begin_ns == 0)
		return;
	if (reason == OUTBOUND_SCAN_HOSTS)
		snprintf(name, sizeof(name), "port %u/%s", slot->address.port,
			slot->transport == IPPROTO_UDP ? "udp" : "tcp");
	else
		flow_end_format(name, &slot->address);
	judge(state,
		&(struct target){reason, least, slot->tried, slot->answered, WORDS, slot->named, slot->raw,
			slot->tried_count, name},
		now_ns);
}

void scan_tick(struct outbound_state *state, uint64_t now_ns)
{
	struct outbound_scan *scan = state->scan;

	if (scan->turns == 0 || now_ns - scan->epoch_ns < outbound_time(state, OUTBOUND_SET_SCAN_ANSWER))
		return;
	turn_slots(scan->ports);
	turn_slots(scan->hosts);
	turn(scan->all.fresh, scan->all.waiting, scan->all.tried, WORDS_ALL);
	scan->epoch_ns = now_ns;
	scan->turns--;
	for (size_t i = 0; i < SLOTS; i++) {
		judge_slot(state, &scan->ports[i], OUTBOUND_SCAN_HOSTS, OUTBOUND_SET_SCAN_HOSTS, now_ns);
		judge_slot(state, &scan->hosts[i], OUTBOUND_SCAN_PORTS, OUTBOUND_SET_SCAN_PORTS, now_ns);
	}
	judge(state,
		&(struct target){OUTBOUND_SCAN_ENDS, OUTBOUND_SET_SCAN_ENDS, scan->all.tried, scan->all.answered,
			WORDS_ALL, scan->all.named, scan->all.raw, scan->all.tried_count, ""},
		now_ns);
}

/* What there is to tell of a flow, or of a packet without one. */
struct sign {
	bool begun, answered, named, raw;
};

static void mark(struct slot *slot, uint64_t hash, struct sign sign, uint64_t now_ns)
{
	slot->last_ns = now_ns;
	if (sign.begun) {
		slot->tried_count++;
		slot->named += sign.named;
		slot->raw += sign.raw;
		outbound_bit_set(slot->fresh, hash, BITS);
	}
	if (sign.answered)
		outbound_bit_set(slot->answered, hash, BITS);
}

static bool is_trace(const struct flow *flow, bool raw)
{
	uint16_t port = flow->remote.port;

	return flow->transport == IPPROTO_UDP &&
	       ((port >= TRACEROUTE && port < TRACEROUTE + TRACE_PROBES) ||
		       (port >= TRACEPATH && port < TRACEPATH + TRACE_PROBES) || (raw && port >= MTR));
}

static void take(struct outbound_state *state, const struct flow *flow, struct sign sign, uint64_t now_ns)
{
	struct outbound_scan *scan = state->scan;
	uint64_t window_ns = outbound_time(state, OUTBOUND_SET_SCAN_WINDOW), end;
	struct slot *slot;

	/* Names are asked of many servers, and many do not answer: that is a resolver. */
	if (flow->remote.port == PORT_DNS || flow_address_is_many(&flow->remote) || is_trace(flow, sign.raw))
		return;
	end = outbound_end_hash(state, &flow->remote, flow->transport);
	slot = find(scan->ports, flow, true, sign.begun, now_ns, window_ns);
	if (slot)
		mark(slot, outbound_host_hash(state, &flow->remote), sign, now_ns);
	slot = find(scan->hosts, flow, false, sign.begun, now_ns, window_ns);
	if (slot)
		mark(slot, end, sign, now_ns);
	if (scan->all.begin_ns == 0 || now_ns - scan->all.begin_ns > window_ns) {
		memset(&scan->all, 0, sizeof(scan->all));
		scan->all.begin_ns = now_ns;
	}
	scan->all.tried_count += sign.begun;
	scan->all.named += sign.begun && sign.named;
	scan->all.raw += sign.begun && sign.raw;
	if (sign.begun)
		outbound_bit_set(scan->all.fresh, end, BITS_ALL);
	if (sign.answered)
		outbound_bit_set(scan->all.answered, end, BITS_ALL);
	if (!sign.begun)
		return;
	if (scan->turns == 0)
		scan->epoch_ns = now_ns;
	scan->turns = TURNS;
}

void scan_flow(struct outbound_state *state, const struct flow *flow, bool begun, uint64_t now_ns)
{
	take(state, flow,
		(struct sign){.begun = begun, .answered = flow_is_answered(flow), .named = flow->name.length > 0},
		now_ns);
}

void scan_raw(struct outbound_state *state, const struct flow *packet, uint64_t now_ns)
{
	take(state, packet, (struct sign){.begun = true, .raw = true}, now_ns);
}
