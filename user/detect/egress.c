/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More bytes to the outside than the workload ever sends. Usual is what its windows have had on average, and the most that it had,
 * which is forgotten by and by: so the second night of a backup is none.
 */
#include <stdio.h>

#include "detect/outbound_inside.h"

static double mebibytes(double bytes)
{
	return bytes / (1024 * 1024);
}

/* The most of all windows so far, halved for each `forget` that has passed: in steps that need no exponent. */
static void forget(const struct outbound_state *state, struct outbound_egress *egress, uint64_t now_ns)
{
	uint64_t half = outbound_time(state, OUTBOUND_SET_EGRESS_HALF), past;

	if (egress->most_ns == 0 || now_ns < egress->most_ns)
		egress->most_ns = now_ns;
	past = now_ns - egress->most_ns;
	if (past > 64 * half)
		egress->most = 0;
	for (; past >= half && egress->most > 0; past -= half)
		egress->most /= 2;
	/* Between two halvings it goes down evenly. */
	egress->most *= 1 - (double)past / (double)half / 2;
	egress->most_ns = now_ns;
}

/* The window is over: it is part of what is usual now. Windows without a byte are, too. */
static void learn(const struct outbound_state *state, struct outbound_egress *egress, uint64_t now_ns)
{
	uint64_t window = outbound_time(state, OUTBOUND_SET_EGRESS_WINDOW),
		 passed = (now_ns - egress->window_ns) / window;
	double bytes = (double)egress->bytes;

	forget(state, egress, now_ns);
	if (bytes > egress->most)
		egress->most = bytes;
	/* Of the last hundred windows about: one that is far above what was usual does not move it by more than its share. */
	for (uint64_t i = 0; i < passed && i < 1000; i++) {
		double weight = egress->windows < 100 ? 1.0 / (double)(egress->windows + 1) : 0.01, off;

		off = bytes - egress->mean;
		egress->mean += weight * off;
		egress->deviation += weight * ((off < 0 ? -off : off) - egress->deviation);
		egress->windows++;
		bytes = 0;
	}
	egress->window_ns += passed * window;
	egress->bytes = egress->most_one = 0;
	egress->told = false;
}

static void judge(struct outbound_state *state, struct outbound_egress *egress, uint64_t now_ns)
{
	bool learned = egress->windows >= outbound_setting(state, OUTBOUND_SET_EGRESS_LEARN);
	double usual =
		egress->mean + (double)outbound_setting(state, OUTBOUND_SET_EGRESS_DEVIATIONS) * egress->deviation;
	double most = (double)outbound_setting(state, OUTBOUND_SET_EGRESS_TIMES) * egress->most;
	double minutes = (double)outbound_time(state, OUTBOUND_SET_EGRESS_WINDOW) / 60e9;
	struct outbound_offer offers[] = {{.reason = OUTBOUND_EGRESS_UNUSUAL, .percent = learned ? 100 : 0},
		{.reason = OUTBOUND_EGRESS_UNLEARNED, .percent = learned ? 0 : 100},
		{.reason = OUTBOUND_EGRESS_ONE_END, .percent = egress->most_one * 10 >= egress->bytes * 6 ? 100 : 0}};

	usual = usual > most ? usual : most;
	if (learned && (double)egress->bytes <= usual)
		return;
	egress->told = true;
	snprintf(offers[0].what, sizeof(offers[0].what),
		"%.1f MiB sent in %.0f min; usual are %.1f, most were %.1f (%llu windows)",
		mebibytes((double)egress->bytes), minutes, mebibytes(egress->mean), mebibytes(egress->most),
		(unsigned long long)egress->windows);
	snprintf(offers[1].what, sizeof(offers[1].what),
		"%.1f MiB sent in %.0f min; what is usual is not known yet (%llu windows)",
		mebibytes((double)egress->bytes), minutes, (unsigned long long)egress->windows);
	snprintf(offers[2].what, sizeof(offers[2].what), "at least %.1f MiB of it to one end",
		mebibytes((double)egress->most_one));
	flow_end_format(offers[2].sample, &egress->end);
	outbound_take_offer(state, OUTBOUND_EGRESS, offers, sizeof(offers) / sizeof(offers[0]), now_ns);
}

void egress_bytes(struct outbound_state *state, const struct flow *flow, uint64_t bytes, uint64_t now_ns)
{
	struct outbound_egress *egress = &state->egress;
	bool learned = egress->windows >= outbound_setting(state, OUTBOUND_SET_EGRESS_LEARN);

	if (egress->window_ns == 0)
		egress->window_ns = now_ns;
	if (now_ns > egress->window_ns &&
		now_ns - egress->window_ns >= outbound_time(state, OUTBOUND_SET_EGRESS_WINDOW))
		learn(state, egress, now_ns);
	egress->bytes += bytes;
	/* The end that has most, if one has more than all others: their bytes count against it (Boyer and Moore). */
	if (flow_address_equal(&egress->end, &flow->remote)) {
		egress->most_one += bytes;
	} else if (egress->most_one < bytes) {
		egress->most_one = bytes - egress->most_one;
		egress->end = flow->remote;
	} else {
		egress->most_one -= bytes;
	}
	if (!egress->told && egress->bytes >= outbound_setting(state,
						      learned ? OUTBOUND_SET_EGRESS_FLOOR : OUTBOUND_SET_EGRESS_COLD))
		judge(state, egress, now_ns);
}
