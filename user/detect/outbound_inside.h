/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the outbound detectors share: outbound_state.c keeps the states, outbound.c asks the detectors, each of which has a
 * file and says which reasons are met; outbound_judge.c makes verdicts of reasons, and findings of verdicts.
 */
#ifndef TAFFRAIL_DETECT_OUTBOUND_INSIDE_H
#define TAFFRAIL_DETECT_OUTBOUND_INSIDE_H

#include <sys/queue.h>

#include "base/table.h"
#include "detect/outbound.h"

enum {
	OUTBOUND_SAMPLES = 3,
	OUTBOUND_FILES = 12,      /* written ones that are kept, and as many that were only opened */
	OUTBOUND_FILE_TEXT = 112, /* of a longer path the end is kept */
	OUTBOUND_EARLY = 8,       /* ends that are kept before there is a detector of peers */
	OUTBOUND_RECENT = 256,    /* files that programs without flows have opened */
	OUTBOUND_CONTAINER_SLOTS = 1024,
	PORT_DNS = 53,
};

struct outbound_evidence {
	uint32_t count;
	uint64_t points, last_ns;
	char what[P2P_WHAT_TEXT]; /* empty: the count and the reason's text */
	char samples[OUTBOUND_SAMPLES][P2P_SAMPLE_TEXT];
	size_t sample_count;
};

struct outbound_board {
	struct outbound_evidence evidence[OUTBOUND_REASONS_END];
};

struct outbound_file {
	uint64_t hash; /* of the whole path, in outbound_recent of who opened it; 0: none */
	uint64_t last_ns;
	char path[OUTBOUND_FILE_TEXT];
};

struct outbound_files {
	struct outbound_file written[OUTBOUND_FILES], opened[OUTBOUND_FILES];
};

struct outbound_recent {
	struct outbound_file file;
	bool written;
};

struct outbound_early {
	struct event_address remote;
	uint64_t last_ns;
	uint8_t transport;
	enum flow_state state;
	bool answered, named;
};

/* What a command line says, as bits. */
enum outbound_command {
	COMMAND_TORRENT = 1 << 0,
	COMMAND_BITTORRENT = 1 << 1,
	COMMAND_IPFS = 1 << 2,
	COMMAND_SYNCTHING = 1 << 3,
	COMMAND_CHAIN = 1 << 4,
	COMMAND_EDONKEY = 1 << 5,
	COMMAND_GNUTELLA = 1 << 6,
	COMMAND_PEERS = (1 << 7) - 1,
	COMMAND_POOL = 1 << 7,
	COMMAND_MINER = 1 << 8,
	COMMAND_TOR = 1 << 9,
	COMMAND_SCANNER = 1 << 10,
};

/* Which egress is usual: see egress.c. All zero at its beginning. */
struct outbound_egress {
	uint64_t window_ns; /* when it began; 0: nothing has been sent yet */
	uint64_t bytes, most_one, windows;
	double mean, deviation, most; /* of windows, bytes; `most` is forgotten by and by */
	uint64_t most_ns;
	struct event_address end; /* that got `most_one` bytes, as far as it was watched */
	bool told;                /* of this window */
};

struct outbound_scan;
struct outbound_beacon;
struct outbound_tunnel;

struct outbound_state {
	struct table_node node;
	TAILQ_ENTRY(outbound_state) next; /* of the active or the idle ones */
	struct outbound *outbound;
	const struct event_process *process; /* held */
	uint8_t container_id[EVENT_CONTAINER_ID_SIZE];
	bool inside; /* a container */
	bool active; /* it has opened a flow, or said what only peers say */
	bool serves_names;
	uint16_t opened; /* flows, until there is a detector of scans */
	uint32_t commands;
	uint64_t command_ns;
	uint64_t first_ns, bytes_out, bytes_in;
	struct outbound_early early[OUTBOUND_EARLY];
	size_t early_count;
	struct outbound_files *files;
	struct p2p *p2p;
	uint64_t p2p_ns; /* when it was told of something */
	TAILQ_ENTRY(outbound_state) next_p2p;
	struct outbound_scan *scan;
	/* Of all images of the program the one that opens most flows, by votes (Boyer and Moore): a scan is found later. Held. */
	const struct event_process *opener;
	uint32_t opener_votes;
	struct outbound_beacon *beacon;
	struct outbound_tunnel *tunnel;
	struct outbound_egress egress;
	struct outbound_board *board;
	uint32_t met; /* rules of which a reason was met since they were judged: bits 1 << enum outbound_rule */
	struct {
		enum p2p_verdict verdict; /* that was told */
		uint64_t ns;
		uint64_t held, held_ns; /* what was held back since */
		uint64_t noted;         /* of the detector of peers, when it was told */
	} told[OUTBOUND_RULES_END];
	struct text executable;
	char command[P2P_SAMPLE_TEXT]; /* that `commands` is of */
	char text[];                   /* the executable */
};

TAILQ_HEAD(outbound_states, outbound_state);

struct outbound {
	const struct outbound_settings *settings;
	struct outbound_ops ops;
	struct table states;
	struct outbound_states active, idle; /* the one used last is the last */
	struct outbound_states detectors;    /* those with a detector of peers */
	struct outbound_state *last;         /* that was asked for */
	struct outbound_counters counters;
	uint64_t ticked_ns;
	const struct flow *flow;                        /* that is being told of; NULL: none */
	uint16_t with_flows[OUTBOUND_CONTAINER_SLOTS];  /* active states, by container: a slot is of several */
	struct outbound_recent recent[OUTBOUND_RECENT]; /* the oldest is at recent_next */
	size_t recent_next;
};

static inline uint64_t outbound_setting(const struct outbound_state *state, enum outbound_setting setting)
{
	return state->outbound->settings->values[setting];
}

static inline uint64_t outbound_time(const struct outbound_state *state, enum outbound_setting setting)
{
	return outbound_setting(state, setting) * 1000 * 1000;
}

/* --- states (outbound_state.c) -------------------------------------------------------------------------------------------- */

/* The state, which counts as used now; NULL: there is none and none is to be made, or no memory. */
struct outbound_state *outbound_state_of(struct outbound *outbound, const struct outbound_who *who, bool add);
/* It has opened a flow, or said what only peers say. */
void outbound_activate(struct outbound_state *state);
/* The image that is named from now on. */
void outbound_hold(struct outbound_state *state, const struct event_process *process);
/* The image has opened a flow. */
void outbound_vote(struct outbound_state *state, const struct event_process *process);
/* The hash that the state of this container and program has. */
uint64_t outbound_who_hash(const struct outbound_who *who);
/* Gives up the detector of peers, if there is one. */
void outbound_close_peers(struct outbound_state *state);

/* --- files (outbound_files.c) --------------------------------------------------------------------------------------------- */

/* The state becomes active: from now on its files are kept, and what is known of it already. */
void outbound_files_begin(struct outbound_state *state);
/* An active state is given up. */
void outbound_files_end(struct outbound_state *state);

/* --- reasons (outbound_judge.c) ------------------------------------------------------------------------------------------- */

enum outbound_rule outbound_reason_rule(enum outbound_reason reason);
const char *outbound_reason_key(enum outbound_reason reason); /* "MINER_WORDS" */

/* The reason was met once more. `sample` is made harmless; NULL: none. */
void outbound_meet(struct outbound_state *state, enum outbound_reason reason, const char *sample, uint64_t now_ns);
/* … with the end of the flow as the sample. */
void outbound_meet_flow(
	struct outbound_state *state, enum outbound_reason reason, const struct flow *flow, uint64_t now_ns);

/* One target of a detector's, with all that speaks against it. */
struct outbound_offer {
	enum outbound_reason reason;
	uint64_t percent; /* of the reason's points; 0: the reason is not met */
	char what[P2P_WHAT_TEXT];
	char sample[P2P_SAMPLE_TEXT];
};

/* If it gives more points than what is known of the rule, or as many, it takes its place. Each time that it has a verdict it counts. */
void outbound_take_offer(struct outbound_state *state, enum outbound_rule rule, const struct outbound_offer *offers,
	size_t count, uint64_t now_ns);

/* Judges the rules of state->met, and tells what is new. */
void outbound_judge(struct outbound_state *state, uint64_t now_ns);
/* … and the peers. */
void outbound_judge_peers(struct outbound_state *state, uint64_t now_ns);
/* The state is given up: what was held back is told. */
void outbound_tell_held(struct outbound_state *state);

/* --- the detectors -------------------------------------------------------------------------------------------------------- */

/* outbound_command.c: what the command says; `sample` becomes its beginning. */
uint32_t outbound_command_read(const struct event_process *process, char sample[P2P_SAMPLE_TEXT]);

/* mining.c, tor.c. Names: of DNS questions, TLS and flows. */
void mining_name(struct outbound_state *state, const char *name, uint64_t now_ns);
void mining_flow(struct outbound_state *state, const struct flow *flow, uint64_t now_ns);
void mining_message(struct outbound_state *state, const struct flow *flow, const struct flow_message *message,
	enum payload_kind kind);
void tor_name(struct outbound_state *state, const char *name, uint64_t now_ns);
void tor_flow(struct outbound_state *state, const struct flow *flow, uint64_t now_ns);
void tor_message(struct outbound_state *state, const struct flow *flow, const struct flow_message *message,
	enum payload_kind kind);

/* scan.c: `begun`: the flow was opened just now; else its state has changed. NULL without memory. Of a raw packet it is known no more. */
struct outbound_scan *scan_open(void);
void scan_raw(struct outbound_state *state, const struct flow *packet, uint64_t now_ns);
void scan_flow(struct outbound_state *state, const struct flow *flow, bool begun, uint64_t now_ns);
void scan_tick(struct outbound_state *state, uint64_t now_ns);

/* beacon.c: flows to the outside; `bytes` more were sent to that end. */
struct outbound_beacon *beacon_open(void);
void beacon_flow(struct outbound_state *state, const struct flow *flow, bool begun, uint64_t bytes, uint64_t now_ns);
void beacon_close(struct outbound_beacon *beacon);

/* tunnel.c: questions that it asked, and their answers. */
struct outbound_tunnel *tunnel_open(void);
void tunnel_dns(struct outbound_state *state, const struct payload_dns *dns, bool out, uint64_t now_ns);

/* egress.c: `bytes` more were sent to the outside. */
void egress_bytes(struct outbound_state *state, const struct flow *flow, uint64_t bytes, uint64_t now_ns);

/* --- counting what is different ------------------------------------------------------------------------------------------- */

/* How many different things there are among those whose bits were set: of `bits` bits `set` are. */
unsigned int outbound_estimate(unsigned int set, unsigned int bits);

static inline bool outbound_bit_set(uint64_t *bits, uint64_t hash, unsigned int count)
{
	uint64_t bit = 1ull << (hash % 64), *word = &bits[hash / 64 % (count / 64)];
	bool was = (*word & bit) != 0;

	*word |= bit;
	return !was;
}

/* As hash_bytes, but by the owner's seed. */
uint64_t outbound_hash(const struct outbound_state *state, const void *bytes, size_t length);
/* A host as a number, and an end. */
uint64_t outbound_host_hash(const struct outbound_state *state, const struct event_address *address);
uint64_t outbound_end_hash(const struct outbound_state *state, const struct event_address *address, uint8_t transport);

#endif
