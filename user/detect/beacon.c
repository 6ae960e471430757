/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Beacons: connections to one end outside at regular intervals, with messages of regular sizes, for hours. The measures are
 * those that RITA made known: of intervals and sizes the skew of the quartiles, and the median of the distances from the median,
 * here as a share of the median, so that beats of a minute and of a day are judged alike, jitter or not.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "detect/outbound_inside.h"

enum {
	ENDS = 16,      /* that are remembered of a program; the one not used longest makes room */
	VALUES = 64,    /* the newest intervals, and sizes */
	RING_AFTER = 4, /* connections, until values are kept */
	PORT_NTP = 123,
};

#define MERGE_NS 1000000000ull /* what is opened within a second is one beat */
#define SMALL (64 * 1024)      /* a beat that sends more is no beacon's */

struct values {
	uint32_t intervals[VALUES], sizes[VALUES]; /* milliseconds, bytes */
	uint32_t interval_count, size_count;       /* ever */
};

struct end {
	uint64_t name; /* the hash of its name, or of its address; 0: a free place */
	struct event_address remote;
	uint8_t transport;
	bool named;
	uint64_t first_ns, last_ns; /* beats */
	uint64_t bytes;             /* since the last beat */
	uint32_t beats;
	struct values *values;
};

struct outbound_beacon {
	struct end ends[ENDS];
};

struct outbound_beacon *beacon_open(void)
{
	return calloc(1, sizeof(struct outbound_beacon));
}

void beacon_close(struct outbound_beacon *beacon)
{
	for (size_t i = 0; beacon && i < ENDS; i++)
		free(beacon->ends[i].values);
	free(beacon);
}

/* Behind a name stand many addresses. */
static uint64_t name_of(const struct outbound_state *state, const struct flow *flow)
{
	uint64_t name = outbound_end_hash(state, &flow->remote, flow->transport);
	struct event_address port = {.port = flow->remote.port};

	if (flow->name.length > 0)
		name = outbound_hash(state, flow->name.data, flow->name.length) ^
		       outbound_end_hash(state, &port, flow->transport);
	return name | 1;
}

static struct end *find(const struct outbound_state *state, const struct flow *flow, bool add)
{
	struct outbound_beacon *beacon = state->beacon;
	uint64_t name = name_of(state, flow);
	struct end *oldest = &beacon->ends[0];
	struct values *values;

	for (size_t i = 0; i < ENDS; i++) {
		if (beacon->ends[i].name == name)
			return &beacon->ends[i];
		if (beacon->ends[i].last_ns < oldest->last_ns)
			oldest = &beacon->ends[i];
	}
	if (!add)
		return NULL;
	values = oldest->values;
	if (values)
		memset(values, 0, sizeof(*values));
	*oldest = (struct end){.name = name,
		.remote = flow->remote,
		.transport = flow->transport,
		.named = flow->name.length > 0,
		.values = values};
	return oldest;
}

/* --- the measures --------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

struct measure {
	uint32_t median, spread; /* the median of the distances from it */
	uint64_t percent;        /* how regular: 100 is a clock */
};

static struct measure measure(const uint32_t *values, uint32_t ever, uint64_t spread_percent)
{
	uint32_t sorted[VALUES], count = ever < VALUES ? ever : VALUES, low, high;
	struct measure result = {0};
	double skew, even, near;

	if (count < 4)
		return result;
	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare);
	low = sorted[count / 4];
	high = sorted[count * 3 / 4];
	result.median = sorted[count / 2];
	skew = high > low ? ((double)low + high - 2.0 * result.median) / ((double)high - low) : 0;
	even = 1 - (skew < 0 ? -skew : skew);
	for (uint32_t i = 0; i < count; i++)
		sorted[i] = sorted[i] > result.median ? sorted[i] - result.median : result.median - sorted[i];
	qsort(sorted, count, sizeof(*sorted), compare);
	result.spread = sorted[count / 2];
	near = 1 - (double)result.spread * 100 / ((double)result.median * (double)spread_percent + 1);
	near = near < 0 ? 0 : near;
	/* Values that hardly differ have no skew that would say anything. */
	even = (uint64_t)result.spread * 50 < result.median ? 1 : even;
	result.percent = (uint64_t)((2 * near + even) / 3 * near * 100 + 0.5);
	return result;
}

static bool is_web(const struct end *end)
{
	return end->remote.port == 80 || end->remote.port == 443;
}

static void judge(struct outbound_state *state, const struct end *end, uint64_t now_ns)
{
	uint64_t spread = outbound_setting(state, OUTBOUND_SET_BEACON_SPREAD), lasted = now_ns - end->first_ns;
	struct measure intervals = measure(end->values->intervals, end->values->interval_count, spread);
	struct measure sizes = measure(end->values->sizes, end->values->size_count, spread);
	struct outbound_offer offers[] = {{.reason = OUTBOUND_BEACON_INTERVALS, .percent = intervals.percent},
		{.reason = OUTBOUND_BEACON_SIZES, .percent = sizes.median > SMALL ? 0 : sizes.percent},
		{.reason = OUTBOUND_BEACON_UNNAMED, .percent = end->named ? 0 : 100},
		{.reason = OUTBOUND_BEACON_PORT, .percent = is_web(end) ? 0 : 100},
		{.reason = OUTBOUND_BEACON_LASTS,
			.percent = lasted >= outbound_time(state, OUTBOUND_SET_BEACON_LONG) ? 100 : 0}};
	char text[FLOW_END_TEXT];

	if (intervals.median < outbound_setting(state, OUTBOUND_SET_BEACON_INTERVAL))
		return;
	snprintf(offers[0].what, sizeof(offers[0].what),
		"%u connections, every %.1f s as a rule (half within %.1f s of it)", end->beats,
		intervals.median / 1000.0, intervals.spread / 1000.0);
	snprintf(offers[0].sample, sizeof(offers[0].sample), "%s %s", end->transport == IPPROTO_UDP ? "udp" : "tcp",
		flow_end_format(text, &end->remote));
	snprintf(offers[1].what, sizeof(offers[1].what), "%u bytes sent as a rule (half within %u of it)", sizes.median,
		sizes.spread);
	snprintf(offers[2].what, sizeof(offers[2].what), "an address that no DNS answer had named");
	snprintf(offers[3].what, sizeof(offers[3].what), "port %u is not the web's", end->remote.port);
	snprintf(offers[4].what, sizeof(offers[4].what), "for %.1f hours", (double)lasted / 3.6e12);
	outbound_take_offer(state, OUTBOUND_BEACON, offers, sizeof(offers) / sizeof(offers[0]), now_ns);
}

/* --- beats ---------------------------------------------------------------------------------------------------------------- */

static void beat(struct outbound_state *state, struct end *end, uint64_t now_ns)
{
	uint64_t interval = now_ns - end->last_ns;
	struct values *values = end->values;

	if (end->beats > 0 && interval < MERGE_NS)
		return;
	if (end->beats == 0)
		end->first_ns = now_ns;
	if (end->beats >= RING_AFTER && !values) {
		values = end->values = calloc(1, sizeof(*values));
		state->outbound->counters.without_memory += !values;
	}
	if (end->beats >= RING_AFTER && values) {
		interval /= 1000 * 1000;
		values->intervals[values->interval_count++ % VALUES] =
			interval < UINT32_MAX ? (uint32_t)interval : UINT32_MAX;
		values->sizes[values->size_count++ % VALUES] =
			end->bytes < UINT32_MAX ? (uint32_t)end->bytes : UINT32_MAX;
	}
	end->bytes = 0;
	end->last_ns = now_ns;
	end->beats++;
	if (values && end->beats >= outbound_setting(state, OUTBOUND_SET_BEACON_COUNT) && end->beats % 4 == 0 &&
		now_ns - end->first_ns >= outbound_time(state, OUTBOUND_SET_BEACON_SPAN))
		judge(state, end, now_ns);
}

void beacon_flow(struct outbound_state *state, const struct flow *flow, bool begun, uint64_t bytes, uint64_t now_ns)
{
	struct end *end;

	/* Clocks and names are asked for regularly, by design. */
	if (flow->transport == IPPROTO_UDP && (flow->remote.port == PORT_NTP || flow->remote.port == PORT_DNS))
		return;
	end = begun || bytes > 0 ? find(state, flow, begun) : NULL;
	if (!end)
		return;
	if (begun)
		beat(state, end, now_ns);
	end->bytes += bytes;
}
