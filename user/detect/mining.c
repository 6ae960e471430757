/* SPDX-License-Identifier: Apache-2.0 */
/* Miners: what they say to a pool, and how pools are found. */
#include <netinet/in.h>

#include "detect/outbound_inside.h"

/* These, and what is below them. */
static const char *const pools[] = {"minexmr.com", "supportxmr.com", "nanopool.org", "moneroocean.stream",
	"hashvault.pro", "2miners.com", "f2pool.com", "herominers.com", "nicehash.com", "unmineable.com", "xmrpool.eu",
	"c3pool.com", "c3pool.org", "minergate.com", "dwarfpool.com", "ethermine.org", "flexpool.io", "hiveon.net",
	"viabtc.com", "antpool.com", "poolin.com", "slushpool.com", "braiins.com", "btc.com", "kryptex.network",
	"woolypooly.com", "zpool.ca", "prohashing.com", "miningpoolhub.com", "zergpool.com", "coinfoundry.org",
	"gulf.moneroocean.stream", "xmr.pt", "crypto-pool.fr", "monerohash.com", "monerop.com", "skypool.org",
	"rx.unmineable.com", "mining.pool.observer", "raptoreum.zone", "p2pool.io", "donate.v2.xmrig.com",
	"donate.ssl.xmrig.com", "api.xmrig.com"};

/* The pages of pools for people. */
static bool is_page(struct text name)
{
	return text_starts_with(name, TEXT_LITERAL("www."));
}

void mining_name(struct outbound_state *state, const char *name, uint64_t now_ns)
{
	struct text text = text_of(name), before;

	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		if (!text_ends_with(text, text_of(pools[i])))
			continue;
		before = text_head(text, text.length - strlen(pools[i]));
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
