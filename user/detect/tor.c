/* SPDX-License-Identifier: Apache-2.0 */
/* Tor: its link looks like TLS, but for the names in it; and its first step is to ends that are fixed. */
#include <netinet/in.h>
#include <sys/socket.h>

#include "detect/outbound_inside.h"

/* The directory authorities, as Tor 0.4.8 has them in src/app/config/auth_dirs.inc, and as versions before it had them. */
static const uint8_t authorities[][4] = {{128, 31, 0, 39}, {128, 31, 0, 34}, {86, 59, 21, 38}, {217, 196, 147, 77},
	{45, 66, 33, 45}, {45, 66, 35, 11}, {66, 111, 2, 131}, {131, 188, 40, 189}, {193, 23, 244, 244},
	{171, 25, 193, 9}, {154, 35, 175, 225}, {216, 218, 219, 41}, {199, 58, 81, 140}, {204, 13, 164, 118},
	{194, 109, 206, 212}};

static bool is_authority(const struct event_address *address)
{
	for (size_t i = 0; address->family == AF_INET && i < sizeof(authorities) / sizeof(authorities[0]); i++)
		if (memcmp(address->bytes, authorities[i], sizeof(authorities[i])) == 0)
			return true;
	return false;
}

void tor_name(struct outbound_state *state, const char *name, uint64_t now_ns)
{
	static const char *const names[] = {"snowflake-broker.torproject.net", "snowflake-broker.freehaven.net",
		"bridges.torproject.org", "moat.torproject.org", "snowflake.torproject.net"};
	struct text text = text_of(name);
	bool met = text_ends_with(text, TEXT_LITERAL(".onion"));

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		met = met || strcmp(name, names[i]) == 0;
	if (met)
		outbound_meet(state, OUTBOUND_TOR_NAMES, name, now_ns);
}

void tor_flow(struct outbound_state *state, const struct flow *flow, uint64_t now_ns)
{
	if (flow->transport != IPPROTO_TCP || flow->state != FLOW_ESTABLISHED || flow->partial)
		return;
	if ((flow->remote.port == 9001 || flow->remote.port == 9030) && flow->name.length == 0 &&
		!flow_ranges_hold(&state->outbound->settings->inside, &flow->remote))
		outbound_meet_flow(state, OUTBOUND_TOR_PORTS, flow, now_ns);
	if (flow->name.length == 0 && is_authority(&flow->remote))
		outbound_meet_flow(state, OUTBOUND_TOR_DIRECTORY, flow, now_ns);
}

void tor_message(struct outbound_state *state, const struct flow *flow, const struct flow_message *message,
	enum payload_kind kind)
{
	const struct outbound_evidence *made_up;
	struct payload_name name;

	if (kind == PAYLOAD_TOR_CELL && (message->out || !flow->inbound))
		outbound_meet_flow(state, OUTBOUND_TOR_CELLS, flow, message->time_ns);
	/* A name by which the end was found is none that was made up. */
	if (kind != PAYLOAD_TLS || !message->out || flow->inbound || !payload_tls_read(&message->payload, &name) ||
		!payload_name_looks_tor(&name) || flow->name.length > 0)
		return;
	outbound_meet(state, OUTBOUND_TOR_MADE_UP, name.text, message->time_ns);
	if (!state->board)
		return;
	made_up = &state->board->evidence[OUTBOUND_TOR_MADE_UP];
	/* The samples are different ones; a name that came before is none of the newest. */
	if (made_up->count >= outbound_setting(state, OUTBOUND_SET_TOR_MADE_UP) &&
		made_up->sample_count == OUTBOUND_SAMPLES)
		outbound_meet(state, OUTBOUND_TOR_MADE_UP_MANY, name.text, message->time_ns);
}
