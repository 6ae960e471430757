/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does somebody take part in a network of peers, and in which? One detector for each that is judged: a container and its
 * program, or an address of a capture. It is told of flows and of the first bytes of their messages, and gives a verdict
 * with its reasons:
 *
 *   p2p_open → p2p_flow, p2p_message … → p2p_report_get → p2p_close
 *
 * Hard evidence is what only peers say; it counts wherever it goes. Behaviour is what peers do and others may, too; it
 * counts towards the outside alone, and never confirms without evidence. What counts is what the judged end does itself: what
 * strangers send to it counts where it has opened the flow, or answers in the same words.
 */
#ifndef TAFFRAIL_DETECT_P2P_H
#define TAFFRAIL_DETECT_P2P_H

#include "detect/flow.h"

/*
 * Each reason, its family, and the points that it gives, once, however often it is met.
 *   EVIDENCE(NAME, FAMILY, points, "what")
 * A message that crosses a connection, or that is answered, is an exchange and weighs more than one into the blue, which a
 * scanner's probe may be: its lists have DHT pings, and no queries. A query or connect that nobody answers is a suspicion.
 */
#define P2P_EVIDENCE(EVIDENCE)                                                                                         \
	EVIDENCE(HANDSHAKES, BITTORRENT, 90, "BitTorrent handshakes exchanged with peers")                             \
	EVIDENCE(HANDSHAKE, BITTORRENT, 50, "BitTorrent handshakes in one direction")                                  \
	EVIDENCE(EXTENSION, BITTORRENT, 60, "BitTorrent extension handshakes or peer exchange")                        \
	EVIDENCE(PIECES, BITTORRENT, 75, "connections with BitTorrent's requests for pieces, or pieces")               \
	EVIDENCE(TRACKER_HTTP, BITTORRENT, 80, "announces or scrapes to HTTP trackers")                                \
	EVIDENCE(TRACKER_UDP, BITTORRENT, 85, "UDP trackers that answered")                                            \
	EVIDENCE(TRACKER_TRIED, BITTORRENT, 50, "connects to UDP trackers without an answer")                          \
	EVIDENCE(DHT, BITTORRENT, 80, "DHT nodes that answered queries")                                               \
	EVIDENCE(DHT_TRIED, BITTORRENT, 50, "DHT queries without an answer")                                           \
	EVIDENCE(DHT_PING, BITTORRENT, 15, "DHT pings")                                                                \
	EVIDENCE(DHT_NODE, BITTORRENT, 60, "DHT queries of others that it answers")                                    \
	EVIDENCE(UTP, BITTORRENT, 75, "uTP connections")                                                               \
	EVIDENCE(UTP_TRIED, BITTORRENT, 20, "uTP connects without an answer")                                          \
	EVIDENCE(LSD, BITTORRENT, 80, "BitTorrent local service discovery")                                            \
	EVIDENCE(METAINFO, BITTORRENT, 10, "downloads of .torrent files")                                              \
	EVIDENCE(TORRENT_COMMAND, BITTORRENT, 35, "commands with a magnet link or a .torrent file")                    \
	EVIDENCE(BITTORRENT_PROGRAM, BITTORRENT, 30, "starts of a program that is a BitTorrent client")                \
	EVIDENCE(BITTORRENT_NAMES, BITTORRENT, 25, "asked for names of BitTorrent's routers and trackers")             \
	EVIDENCE(EDONKEY, EDONKEY, 75, "eDonkey hellos")                                                               \
	EVIDENCE(KAD, EDONKEY, 75, "Kad nodes that answered")                                                          \
	EVIDENCE(KAD_TRIED, EDONKEY, 30, "Kad queries without an answer")                                              \
	EVIDENCE(EDONKEY_PROGRAM, EDONKEY, 30, "starts of a program that is an eDonkey client")                        \
	EVIDENCE(GNUTELLA_PROGRAM, GNUTELLA, 30, "starts of a program that is a Gnutella client")                      \
	EVIDENCE(GNUTELLA, GNUTELLA, 75, "Gnutella handshakes")                                                        \
	EVIDENCE(LIBP2P, IPFS, 75, "libp2p handshakes")                                                                \
	EVIDENCE(IPFS_PROGRAM, IPFS, 30, "starts of a program that is an IPFS node")                                   \
	EVIDENCE(IPFS_NAMES, IPFS, 40, "asked for names of IPFS's bootstrap nodes, or for its nodes nearby")           \
	EVIDENCE(SYNCTHING_DISCOVERY, SYNCTHING, 80, "Syncthing's local discovery")                                    \
	EVIDENCE(SYNCTHING_HELLO, SYNCTHING, 75, "Syncthing hellos")                                                   \
	EVIDENCE(SYNCTHING_PROGRAM, SYNCTHING, 30, "starts of Syncthing")                                              \
	EVIDENCE(SYNCTHING_NAMES, SYNCTHING, 45, "asked for names of Syncthing's discovery and relays")                \
	EVIDENCE(BITCOIN, BLOCKCHAIN, 80, "version messages of the Bitcoin family")                                    \
	EVIDENCE(MONERO, BLOCKCHAIN, 80, "levin messages of the Monero family")                                        \
	EVIDENCE(ETHEREUM_NODES, BLOCKCHAIN, 70, "Ethereum nodes that answered in discovery")                          \
	EVIDENCE(ETHEREUM_TRIED, BLOCKCHAIN, 30, "Ethereum discovery without an answer")                               \
	EVIDENCE(ETHEREUM_RLPX, BLOCKCHAIN, 25, "Ethereum RLPx authentications")                                       \
	EVIDENCE(CHAIN_PROGRAM, BLOCKCHAIN, 30, "starts of a program that is a node of a block chain")                 \
	EVIDENCE(CHAIN_NAMES, BLOCKCHAIN, 40, "asked for names of block chains' seeds")

/*
 *   BEHAVIOUR(NAME, points, "what")
 * Three that others hardly have, and then those that crawlers, scanners and servers have as well: without one of the first
 * three, these give no more than `common_most` together.
 */
#define P2P_BEHAVIOUR(BEHAVIOUR)                                                                                       \
	BEHAVIOUR(DUAL, 30, "ends that it reached over both TCP and UDP, each on a port of its own")                   \
	BEHAVIOUR(DISPERSION, 20, "hosts, nearly each on another port")                                                \
	BEHAVIOUR(SOCKET, 15, "hosts on as good as as many ports from one UDP socket")                                 \
	BEHAVIOUR(FAN_OUT, 10, "hosts within a minute")                                                                \
	BEHAVIOUR(FAILURES, 10, "TCP connects that failed")                                                            \
	BEHAVIOUR(UNNAMED, 10, "hosts that no DNS answer had named")                                                   \
	BEHAVIOUR(INBOUND, 10, "hosts from outside that connect to it")                                                \
	BEHAVIOUR(RANDOM, 10, "connections whose first messages look encrypted from the first byte")

enum p2p_reason {
#define EVIDENCE(name, family, points, text) P2P_##name,
	P2P_EVIDENCE(EVIDENCE)
#undef EVIDENCE
		P2P_EVIDENCE_END,
#define BEHAVIOUR(name, points, text) P2P_##name,
	P2P_BEFORE_BEHAVIOUR = P2P_EVIDENCE_END - 1,
	P2P_BEHAVIOUR(BEHAVIOUR)
#undef BEHAVIOUR
		P2P_REASONS,
};

/* All that can be set. The defaults, and why they are so, are in p2p_settings.c. */
struct p2p_thresholds {
	uint8_t points[P2P_REASONS];
	unsigned int suspected, confirmed; /* scores */
	unsigned int confirmed_evidence;   /* points of hard evidence that a confirmed verdict needs */
	unsigned int common_most;          /* points of what is common, where nothing that is not was seen */
	uint64_t window_ns;                /* of behaviour */
	uint64_t evidence_ns;              /* how long evidence counts */
	uint64_t failed_ns;                /* without an answer for so long, a connect has failed */
	uint64_t judge_ns;                 /* behaviour is looked at no more often */
	unsigned int endpoints;            /* that are remembered: the memory of a detector */
	unsigned int names;                /* addresses that DNS answers named, remembered */
	unsigned int dual_ends;
	unsigned int dispersed_hosts, dispersed_percent; /* distinct ports for 100 hosts */
	unsigned int ends_percent;                       /* ends for 100 hosts, at most: a scanner has more */
	unsigned int answered_ends, answered_percent;    /* of the ends at least: a scanner has fewer */
	unsigned int socket_hosts, socket_percent;
	unsigned int fan_out_hosts;
	unsigned int failed_connects, failed_percent;
	unsigned int unnamed_hosts, unnamed_percent;
	unsigned int inbound_hosts;
	unsigned int random_flows;
	unsigned int resolver_servers; /* who asks so many servers of names asks for others */
};

void p2p_thresholds_default(struct p2p_thresholds *thresholds);

enum p2p_verdict { P2P_NONE, P2P_SUSPECTED, P2P_CONFIRMED };

/* "none", "suspected", "confirmed" */
const char *p2p_verdict_name(enum p2p_verdict verdict);

enum { P2P_SAMPLES = 3, P2P_SAMPLE_TEXT = 72, P2P_WHAT_TEXT = 120 };

struct p2p_reason_report {
	enum p2p_reason reason;
	unsigned int points;
	char what[P2P_WHAT_TEXT]; /* with its number: "3 DHT nodes …" */
	char samples[P2P_SAMPLES][P2P_SAMPLE_TEXT];
	size_t sample_count;
};

/* The strongest verdict that there was, and why it was so then. */
struct p2p_report {
	enum p2p_verdict verdict;
	enum payload_family family; /* FAMILY_NONE where the verdict is none */
	unsigned int score;         /* 0 to 100 */
	uint64_t first_ns;          /* of the first flow that it opened, or packet that it sent; 0: there was none */
	uint64_t decided_ns;        /* when this verdict was reached; 0 where it is none */
	struct p2p_reason_report reasons[P2P_REASONS];
	size_t reason_count;
};

struct p2p;

/*
 * Takes all the memory that the detector will ever have. Thresholds and ranges stay the caller's and must outlive it.
 * 0 or -ENOMEM.
 */
int p2p_open(struct p2p **p2p, const struct p2p_thresholds *thresholds, const struct flow_ranges *inside);
/* A flow began, or its state changed, or the first packet came back: `flow` is as it is now. */
void p2p_flow(struct p2p *p2p, struct flow *flow, uint64_t now_ns);
/* A message of a flow that p2p_flow has told. The same number may come again, with more of its bytes. */
void p2p_message(struct p2p *p2p, struct flow *flow, const struct flow_message *message);
/* The same of who has looked at the payload already: `kind` is what payload_look says. */
void p2p_message_of(struct p2p *p2p, struct flow *flow, const struct flow_message *message, enum payload_kind kind);
/*
 * A DNS message that p2p_message has not seen. `out`: the judged end sent it; `serves`: from its port 53.
 */
void p2p_dns(struct p2p *p2p, const struct payload_dns *dns, bool out, bool serves, uint64_t now_ns);
/* What a command says, of which only its reader knows: a reason by a command or a program. */
void p2p_command(struct p2p *p2p, enum p2p_reason reason, const char *sample, uint64_t now_ns);
/* How much evidence was met so far, however often the same. */
uint64_t p2p_noted(const struct p2p *p2p);
/* The report as it was made last; nothing is judged. */
const struct p2p_report *p2p_report_last(const struct p2p *p2p);
/* Judges as of now; the report is the detector's, and good until it is told something else. */
const struct p2p_report *p2p_report_get(struct p2p *p2p, uint64_t now_ns);
/* May be called with NULL. */
void p2p_close(struct p2p *p2p);

#endif
