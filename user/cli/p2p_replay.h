/* SPDX-License-Identifier: Apache-2.0 */
/* A capture's packets become flows and messages, and go to the detectors of the addresses that are judged. */
#ifndef TAFFRAIL_CLI_P2P_REPLAY_H
#define TAFFRAIL_CLI_P2P_REPLAY_H

#include "cli/capture.h"
#include "detect/p2p.h"

enum {
	P2P_REPLAY_FLOWS = 32768,    /* 23 MiB of memory, where they come */
	P2P_REPLAY_ADDRESSES = 8192, /* that are judged */
};

struct p2p_replay;

/*
 * `flows`: how many are followed at a time; the one that was quiet longest makes room. `local` NULL: each address that opens
 * a flow is judged; else those that it holds, and no others. Thresholds and ranges stay the caller's and must outlive it.
 * 0 or -ENOMEM.
 */
int p2p_replay_open(struct p2p_replay **replay, size_t flows, const struct p2p_thresholds *thresholds,
	const struct flow_ranges *inside, const struct flow_ranges *local);
void p2p_replay_packet(struct p2p_replay *replay, const struct packet *packet);
/* Calls `each` for the judged addresses, in the order in which they came. */
void p2p_replay_report(struct p2p_replay *replay,
	void (*each)(void *context, const struct event_address *address, const struct p2p_report *report),
	void *context);

struct p2p_replay_counters {
	uint64_t not_judged; /* addresses for which there was no room, or no memory; some are counted more than once */
	uint64_t flows_pushed_out;
};

void p2p_replay_counters(const struct p2p_replay *replay, struct p2p_replay_counters *counters);
/* May be called with NULL. */
void p2p_replay_close(struct p2p_replay *replay);

#endif
