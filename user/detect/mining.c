/* SPDX-License-Identifier: Apache-2.0 */
/* Miners: what they say to a pool, and how pools are found. */
#include <netinet/in.h>

#include "detect/outbound_inside.h"

/* These, and what is below them. */
static const struct text pools[] = {TEXT_STATIC("minexmr.com"), TEXT_STATIC("supportxmr.com"),
	TEXT_STATIC("nanopool.org"), TEXT_STATIC("moneroocean.stream"), TEXT_STATIC("hashvault.pro"),
	TEXT_STATIC("2miners.com"), TEXT_STATIC("f2pool.com"), TEXT_STATIC("herominers.com"),
	TEXT_STATIC("nicehash.com"), TEXT_STATIC("unmineable.com"), TEXT_STATIC("xmrpool.eu"),
	TEXT_STATIC("c3pool.com"), TEXT_STATIC("c3pool.org"), TEXT_STATIC("minergate.com"),
	TEXT_STATIC("dwarfpool.com"), TEXT_STATIC("ethermine.org"), TEXT_STATIC("flexpool.io"),
	TEXT_STATIC("hiveon.net"), TEXT_STATIC("viabtc.com"), TEXT_STATIC("antpool.com"), TEXT_STATIC("poolin.com"),
	TEXT_STATIC("slushpool.com"), TEXT_STATIC("braiins.com"), TEXT_STATIC("btc.com"),
	TEXT_STATIC("kryptex.network"), TEXT_STATIC("woolypooly.com"), TEXT_STATIC("zpool.ca"),
	TEXT_STATIC("prohashing.com"), TEXT_STATIC("miningpoolhub.com"), TEXT_STATIC("zergpool.com"),
	TEXT_STATIC("coinfoundry.org"), TEXT_STATIC("gulf.moneroocean.stream"), TEXT_STATIC("xmr.pt"),
	TEXT_STATIC("crypto-pool.fr"), TEXT_STATIC("monerohash.com"), TEXT_STATIC("monerop.com"),
	TEXT_STATIC("skypool.org"), TEXT_STATIC("rx.unmineable.com"), TEXT_STATIC("mining.pool.observer"),
	TEXT_STATIC("raptoreum.zone"), TEXT_STATIC("p2pool.io"), TEXT_STATIC("donate.v2.xmrig.com"),
	TEXT_STATIC("donate.ssl.xmrig.com"), TEXT_STATIC("api.xmrig.com")};

/* The pages of pools for people. */
static bool is_page(struct text name)
{
	return text_starts_with(name, TEXT_LITERAL("www."));
}

void mining_name(struct outbound_state *state, const char *name, uint64_t now_ns)
{
	struct text text = text_of(name), before;

	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		if (!text_ends_with(text, pools[i]))
			continue;
		before = text_head(text, text.length - pools[i].length);
		if ((before.length > 0 && before.data[before.length - 1] != '.') || is_page(text))
			continue;
		outbound_meet(state, OUTBOUND_POOL_NAMES, name, now_ns);
		return;
	}
	/* xmr.pool.example, stratum.example, eth-eu1.pool.example */
	if (text_starts_with(text, TEXT_LITERAL("stratum.")) || text_starts_with(text, TEXT_LITERAL("xmr.")) ||
		text_starts_with(text, TEXT_LITERAL("xmr-")) || text_starts_with(text, TEXT_LITERAL("monero.")))
		outbound_meet(state, OUTBOUND_POOL_NAMES, name, now_ns);
}

void mining_flow(struct outbound_state *state, const struct flow *flow, uint64_t now_ns)
{
	static const uint16_t ports[] = {
		3333, 3334, 4444, 5555, 7777, 9999, 10128, 10343, 14433, 14444, 20128, 45560, 45700};

	if (flow->transport != IPPROTO_TCP || flow->state != FLOW_ESTABLISHED || flow->partial)
		return;
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (flow->remote.port == ports[i] &&
			!flow_ranges_hold(&state->outbound->settings->inside, &flow->remote))
			outbound_meet_flow(state, OUTBOUND_POOL_PORTS, flow, now_ns);
}

void mining_message(struct outbound_state *state, const struct flow *flow, const struct flow_message *message,
	enum payload_kind kind)
{
	if (kind != PAYLOAD_STRATUM)
		return;
	if (message->out)
		outbound_meet_flow(state, OUTBOUND_MINER_WORDS, flow, message->time_ns);
	else if (!flow->inbound)
		outbound_meet_flow(state, OUTBOUND_MINER_ANSWERS, flow, message->time_ns);
}
