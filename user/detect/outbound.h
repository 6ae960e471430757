/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workloads do towards others, judged: peers, mining, Tor, scans, beacons, tunnels in DNS, unusual egress. One object for
 * all that one owner watches; it keeps a state for each container and program, and tells of what it finds:
 *
 *	outbound_open → outbound_exec, outbound_file, outbound_flow, outbound_raw, outbound_message, outbound_dns, outbound_tick …
 *	              → outbound_forget → outbound_close
 *
 * Each of these may call ops.finding: once when a detector's verdict is first reached, again when it rises, and once in a long
 * while (`again`) if it goes on. What is held back in between is counted to the last one.
 *
 * Hard evidence counts wherever it goes; behaviour towards the inside does not, but for scans: those of one's own network
 * are what a scan is for.
 *
 * Memory: `active` states of programs that have opened flows (about 6 KiB each as a rule, 40 KiB at most), `idle` of those that have not
 * (about 1 KiB), and `p2p.detectors` detectors of peers (some 130 KiB). The one that was used longest ago makes
 * room. It is taken when a state is made or grows; what is fed to a state that has grown takes none.
 */
#ifndef TAFFRAIL_DETECT_OUTBOUND_H
#define TAFFRAIL_DETECT_OUTBOUND_H

#include "base/buffer.h"
#include "base/config.h"
#include "detect/p2p.h"

/*
 * The detectors, in the order in which they are asked. A detector of peers explains what looks like a scan.
 *   RULE(NAME, "key", "rule.name", severity, tags…)
 */
#define OUTBOUND_RULES(RULE)                                                                                           \
	RULE(P2P, "p2p", "Peer-to-peer traffic", EVENT_WARNING, "mitre_impact", "T1496", "mitre_command_and_control",  \
		"T1090")                                                                                               \
	RULE(MINING, "mining", "Crypto mining", EVENT_CRITICAL, "mitre_impact", "T1496", "T1496.001")                  \
	RULE(TOR, "tor", "Tor", EVENT_WARNING, "mitre_command_and_control", "T1090", "T1090.003")                      \
	RULE(SCAN, "scan", "Port scan", EVENT_WARNING, "mitre_discovery", "T1046")                                     \
	RULE(BEACON, "beacon", "Beaconing", EVENT_WARNING, "mitre_command_and_control", "T1071", "T1029")              \
	RULE(TUNNEL, "dns_tunnel", "DNS tunnelling", EVENT_WARNING, "mitre_exfiltration", "T1071.004", "T1048")        \
	RULE(EGRESS, "egress", "Unusual egress", EVENT_NOTICE, "mitre_exfiltration", "T1048")

enum outbound_rule {
#define RULE(name, ...) OUTBOUND_##name,
	OUTBOUND_RULES(RULE)
#undef RULE
		OUTBOUND_RULES_END,
};

/* "p2p", …, as the configuration and the annotation name it; NULL for none. "Peer-to-peer traffic", … */
const char *outbound_rule_key(enum outbound_rule rule);
const char *outbound_rule_name(enum outbound_rule rule);

/*
 * The reasons of all but the detector of peers, which has its own (p2p.h), and the most points that each gives.
 *   REASON(RULE, NAME, points, "what")
 */
#define OUTBOUND_REASONS(REASON)                                                                                       \
	REASON(MINING, MINER_WORDS, 80, "Stratum messages that it sent")                                               \
	REASON(MINING, MINER_ANSWERS, 40, "Stratum messages that came back to it")                                     \
	REASON(MINING, MINER_COMMAND, 45, "commands with a pool's address or a miner's options")                       \
	REASON(MINING, MINER_PROGRAM, 35, "starts of a program that is a miner")                                       \
	REASON(MINING, POOL_NAMES, 40, "times that it asked for or connected to a mining pool by name")                \
	REASON(MINING, POOL_PORTS, 10, "connections to ports that pools have")                                         \
	REASON(TOR, TOR_CELLS, 80, "cells of Tor's link protocol")                                                     \
	REASON(TOR, TOR_DIRECTORY, 60, "flows to Tor's directory authorities")                                         \
	REASON(TOR, TOR_MADE_UP, 45, "TLS names such as Tor makes up")                                                 \
	REASON(TOR, TOR_MADE_UP_MANY, 20, "different ones of these")                                                   \
	REASON(TOR, TOR_NAMES, 30, "times that it asked for names of Tor, its bridges or an .onion")                   \
	REASON(TOR, TOR_PROGRAM, 40, "starts of a program that is of Tor")                                             \
	REASON(TOR, TOR_PORTS, 10, "connections to ports that relays of Tor have")                                     \
	REASON(SCAN, SCAN_HOSTS, 50, "hosts tried on one port")                                                        \
	REASON(SCAN, SCAN_PORTS, 50, "ports tried of one host")                                                        \
	REASON(SCAN, SCAN_ENDS, 45, "ends tried")                                                                      \
	REASON(SCAN, SCAN_MANY, 15, "many times what is suspicious")                                                   \
	REASON(SCAN, SCAN_FRUITLESS, 20, "of them nearly all in vain")                                                 \
	REASON(SCAN, SCAN_RAW, 20, "packets that it made itself, whose answers no socket tells")                       \
	REASON(SCAN, SCAN_PROGRAM, 15, "starts of a program that scans")                                               \
	REASON(BEACON, BEACON_INTERVALS, 35, "regular intervals")                                                      \
	REASON(BEACON, BEACON_SIZES, 25, "regular sizes")                                                              \
	REASON(BEACON, BEACON_UNNAMED, 20, "an address that no DNS answer had named")                                  \
	REASON(BEACON, BEACON_PORT, 10, "a port that is not the web's")                                                \
	REASON(BEACON, BEACON_LASTS, 5, "it goes on for long")                                                         \
	REASON(TUNNEL, TUNNEL_NAMES, 35, "different names below one domain")                                           \
	REASON(TUNNEL, TUNNEL_LENGTH, 15, "long names")                                                                \
	REASON(TUNNEL, TUNNEL_ENTROPY, 15, "names that look random")                                                   \
	REASON(TUNNEL, TUNNEL_TYPES, 20, "questions of types that carry data")                                         \
	REASON(TUNNEL, TUNNEL_BYTES, 20, "data in questions")                                                          \
	REASON(EGRESS, EGRESS_UNUSUAL, 60, "more than is usual for it")                                                \
	REASON(EGRESS, EGRESS_UNLEARNED, 50, "much, and what is usual is not known yet")                               \
	REASON(EGRESS, EGRESS_ONE_END, 10, "nearly all to one end")

enum outbound_reason {
#define REASON(rule, name, points, text) OUTBOUND_##name,
	OUTBOUND_REASONS(REASON)
#undef REASON
		OUTBOUND_REASONS_END,
};

/* --- settings ------------------------------------------------------------------------------------------------------------- */

/*
 * All numbers that can be set: times are milliseconds, sizes bytes. Why each default is so: docs/outbound.md.
 *   SETTING(NAME, "key", type, default, least, most)
 */
#define OUTBOUND_SETTINGS(SETTING)                                                                                     \
	SETTING(ACTIVE, "active", NUMBER, 256, 1, 65536)                                                               \
	SETTING(IDLE, "idle", NUMBER, 1024, 1, 65536)                                                                  \
	SETTING(AGAIN, "again", DURATION, 86400000, 60000, 2592000000)                                                 \
	SETTING(DETECTORS, "p2p.detectors", NUMBER, 64, 1, 65536)                                                      \
	SETTING(AFTER_ENDS, "p2p.after_ends", NUMBER, 4, 0, 8)                                                         \
	SETTING(MINING_SUSPECTED, "mining.suspected", NUMBER, 50, 1, 101)                                              \
	SETTING(MINING_CONFIRMED, "mining.confirmed", NUMBER, 80, 1, 101)                                              \
	SETTING(MINING_EVIDENCE, "mining.evidence", DURATION, 3600000, 1000, 604800000)                                \
	SETTING(TOR_SUSPECTED, "tor.suspected", NUMBER, 50, 1, 101)                                                    \
	SETTING(TOR_CONFIRMED, "tor.confirmed", NUMBER, 80, 1, 101)                                                    \
	SETTING(TOR_EVIDENCE, "tor.evidence", DURATION, 3600000, 1000, 604800000)                                      \
	SETTING(TOR_MADE_UP, "tor.made_up_names", NUMBER, 3, 1, 1000)                                                  \
	SETTING(SCAN_SUSPECTED, "scan.suspected", NUMBER, 50, 1, 101)                                                  \
	SETTING(SCAN_CONFIRMED, "scan.confirmed", NUMBER, 80, 1, 101)                                                  \
	SETTING(SCAN_EVIDENCE, "scan.evidence", DURATION, 3600000, 1000, 604800000)                                    \
	SETTING(SCAN_WINDOW, "scan.window", DURATION, 300000, 10000, 86400000)                                         \
	SETTING(SCAN_ANSWER, "scan.answer", DURATION, 3000, 100, 60000)                                                \
	SETTING(SCAN_HOSTS, "scan.hosts", NUMBER, 40, 5, 200)                                                          \
	SETTING(SCAN_PORTS, "scan.ports", NUMBER, 20, 5, 200)                                                          \
	SETTING(SCAN_ENDS, "scan.ends", NUMBER, 256, 5, 800)                                                           \
	SETTING(SCAN_FAILED, "scan.failed_percent", NUMBER, 60, 1, 100)                                                \
	SETTING(SCAN_FRUITLESS, "scan.fruitless_percent", NUMBER, 90, 1, 100)                                          \
	SETTING(SCAN_UNNAMED, "scan.unnamed_percent", NUMBER, 80, 0, 100)                                              \
	SETTING(SCAN_MANY, "scan.many_times", NUMBER, 4, 1, 100)                                                       \
	SETTING(BEACON_SUSPECTED, "beacon.suspected", NUMBER, 70, 1, 101)                                              \
	SETTING(BEACON_CONFIRMED, "beacon.confirmed", NUMBER, 101, 1, 101)                                             \
	SETTING(BEACON_EVIDENCE, "beacon.evidence", DURATION, 86400000, 1000, 2592000000)                              \
	SETTING(BEACON_COUNT, "beacon.connections", NUMBER, 20, 8, 64)                                                 \
	SETTING(BEACON_SPAN, "beacon.lasted", DURATION, 3600000, 60000, 604800000)                                     \
	SETTING(BEACON_LONG, "beacon.lasts", DURATION, 14400000, 60000, 2592000000)                                    \
	SETTING(BEACON_INTERVAL, "beacon.interval", DURATION, 5000, 1000, 86400000)                                    \
	SETTING(BEACON_SPREAD, "beacon.spread_percent", NUMBER, 50, 1, 100)                                            \
	SETTING(TUNNEL_SUSPECTED, "dns_tunnel.suspected", NUMBER, 60, 1, 101)                                          \
	SETTING(TUNNEL_CONFIRMED, "dns_tunnel.confirmed", NUMBER, 85, 1, 101)                                          \
	SETTING(TUNNEL_EVIDENCE, "dns_tunnel.evidence", DURATION, 3600000, 1000, 604800000)                            \
	SETTING(TUNNEL_WINDOW, "dns_tunnel.window", DURATION, 600000, 10000, 86400000)                                 \
	SETTING(TUNNEL_NAMES, "dns_tunnel.names", NUMBER, 50, 5, 700)                                                  \
	SETTING(TUNNEL_ODD, "dns_tunnel.odd_length", NUMBER, 20, 1, 250)                                               \
	SETTING(TUNNEL_LENGTH, "dns_tunnel.length", NUMBER, 40, 1, 250)                                                \
	SETTING(TUNNEL_ENTROPY, "dns_tunnel.entropy_percent", NUMBER, 340, 100, 600)                                   \
	SETTING(TUNNEL_TYPES, "dns_tunnel.types_percent", NUMBER, 50, 1, 100)                                          \
	SETTING(TUNNEL_BYTES, "dns_tunnel.bytes", SIZE, 10240, 1, 1073741824)                                          \
	SETTING(TUNNEL_LOOKUPS, "dns_tunnel.lookup_bytes", SIZE, 1048576, 1, 1073741824)                               \
	SETTING(EGRESS_SUSPECTED, "egress.suspected", NUMBER, 50, 1, 101)                                              \
	SETTING(EGRESS_CONFIRMED, "egress.confirmed", NUMBER, 101, 1, 101)                                             \
	SETTING(EGRESS_EVIDENCE, "egress.evidence", DURATION, 3600000, 1000, 604800000)                                \
	SETTING(EGRESS_WINDOW, "egress.window", DURATION, 600000, 10000, 86400000)                                     \
	SETTING(EGRESS_LEARN, "egress.learn_windows", NUMBER, 36, 1, 100000)                                           \
	SETTING(EGRESS_FLOOR, "egress.floor", SIZE, 268435456, 1, 1ull << 50)                                          \
	SETTING(EGRESS_COLD, "egress.unlearned_floor", SIZE, 2147483648, 1, 1ull << 50)                                \
	SETTING(EGRESS_DEVIATIONS, "egress.deviations", NUMBER, 6, 1, 100)                                             \
	SETTING(EGRESS_TIMES, "egress.times", NUMBER, 2, 1, 100)                                                       \
	SETTING(EGRESS_HALF, "egress.forget", DURATION, 604800000, 60000, 31536000000)

enum outbound_setting {
#define SETTING(name, ...) OUTBOUND_SET_##name,
	OUTBOUND_SETTINGS(SETTING)
#undef SETTING
		OUTBOUND_SETTINGS_END,
};

enum { OUTBOUND_DOMAINS_MAX = 256 };

struct outbound_settings {
	uint64_t values[OUTBOUND_SETTINGS_END];
	uint64_t points[OUTBOUND_REASONS_END];
	bool off[OUTBOUND_RULES_END];
	struct p2p_thresholds p2p;
	struct flow_ranges inside;
	/* Domains whose long names are no tunnels, beside those that are built in; texts of the tree that was read. */
	const char *domains[OUTBOUND_DOMAINS_MAX];
	size_t domain_count;
};

void outbound_settings_default(struct outbound_settings *settings);
/*
 * The defaults, and what the tree of `outbound:` says instead; it must live as long as the settings. 0, or -EINVAL after it has
 * logged `FILE:LINE: reason`.
 */
int outbound_settings_read(struct outbound_settings *settings, const struct config_tree *tree);

/* --- who is judged, and what is found ------------------------------------------------------------------------------------- */

/* Whose deed it is. The image must stay as it is as long as it is held (ops.hold). */
struct outbound_who {
	const uint8_t *container_id; /* EVENT_CONTAINER_ID_SIZE bytes; NULL: outside containers */
	const struct event_process *process;
};

/* The verdict of a detector, as an alert has it. All of it is good for the call. */
struct outbound_finding {
	enum outbound_rule rule;
	enum p2p_verdict verdict;
	/* With `detector`, without a message (outbound_sentence makes it) and a cause. */
	struct event_rule event_rule;
	const uint8_t *container_id; /* NULL: outside containers */
	const struct event_process
		*process;        /* the newest image that opened a flow; of scans the one that opened most */
	const struct flow *flow; /* that it was told of when this was found; NULL: none */
	uint64_t time_ns;
};

/* What was held back since the last finding of this rule for this container and program; `again` is over, or its state is given up. */
struct outbound_held {
	enum outbound_rule rule;
	const uint8_t *container_id; /* NULL: outside containers */
	const struct event_process *process;
	uint64_t count;
	uint64_t time_ns; /* of the last one */
};

struct outbound_ops {
	void (*finding)(void *context, const struct outbound_finding *finding);
	void (*held)(void *context, const struct outbound_held *held); /* NULL: nobody wants to know */
	/* A reference of an image more, and less; both NULL where images live as long as the object. */
	void (*hold)(void *context, const struct event_process *process);
	void (*release)(void *context, const struct event_process *process);
	void *context;
	/* By it is counted what is different. The same seed makes the same findings of the same deeds; no workload may know it. */
	uint64_t seed;
};

/*
 * Appends one sentence: what, who, where, how much. `container`: its names, NULL: outside containers. What programs chose in it
 * is not made harmless for terminals.
 */
void outbound_sentence(
	struct buffer *out, const struct outbound_finding *finding, const struct event_container *container);

/*
 * Does the workload's annotation or label `taffrail.io/allow` name this rule? Its value is rules' keys, or "all", between commas,
 * spaces or (as labels have no others) dots. Such findings are recorded and are no alerts (event_rule.allowed).
 */
bool outbound_is_allowed(const struct event_container *container, enum outbound_rule rule);

/* --- the object ----------------------------------------------------------------------------------------------------------- */

struct outbound;

/* Settings stay the caller's and must outlive it; `ops` is copied. 0 or -ENOMEM. */
int outbound_open(struct outbound **outbound, const struct outbound_settings *settings, const struct outbound_ops *ops);

/* All times are Unix time. A program was executed: `who` is its new image. */
void outbound_exec(struct outbound *outbound, const struct outbound_who *who, uint64_t now_ns);
/*
 * A file was opened; who opens for the sake of another may be told for that one, too. Of files below /usr, /proc and the like nothing is
 * kept. False: no program of the container has flows, or nothing was kept: nobody else need be told.
 */
bool outbound_file(
	struct outbound *outbound, const struct outbound_who *who, struct text path, bool written, uint64_t now_ns);
/*
 * A flow began, its state changed, it goes on or has ended: `flow` is as it is now. It is to be the same struct each time, since its
 * notes and marks say what was counted.
 */
void outbound_flow(struct outbound *outbound, const struct outbound_who *who, struct flow *flow, uint64_t now_ns);
/*
 * A raw socket has sent a packet of this transport (IPPROTO_TCP, IPPROTO_UDP; others are none of scans) to an end: there is no flow,
 * and whether somebody answers is not known. Each end of a socket need be told once only.
 */
void outbound_raw(struct outbound *outbound, const struct outbound_who *who, uint8_t transport,
	const struct event_address *remote, uint64_t now_ns);
/* A message of a flow that outbound_flow has told. */
void outbound_message(struct outbound *outbound, const struct outbound_who *who, struct flow *flow,
	const struct flow_message *message);
/* A DNS message that no outbound_message has brought. `out`: the workload sent it. */
void outbound_dns(struct outbound *outbound, const struct outbound_who *who, const struct payload_dns *dns, bool out,
	uint64_t now_ns);
/* To be called each second or so: judges what waits for time to pass. */
void outbound_tick(struct outbound *outbound, uint64_t now_ns);
/* The container has ended: what was held back is told, and its states are given up. */
void outbound_forget(struct outbound *outbound, const uint8_t container_id[EVENT_CONTAINER_ID_SIZE]);

struct outbound_counters {
	uint64_t active, idle, detectors; /* states that there are, and detectors of peers */
	uint64_t active_pushed_out, idle_pushed_out, detectors_pushed_out;
	uint64_t findings, held;
	uint64_t without_memory; /* states and parts of states that could not be made */
};

void outbound_counters(const struct outbound *outbound, struct outbound_counters *counters);

/* Tells what was held back. NULL is allowed. */
void outbound_close(struct outbound *outbound);

#endif
