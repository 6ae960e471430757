/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tunnels in DNS: many different names below one domain that are long and look random, or questions of types that carry data.
 * Nothing is counted of names that are ordinary, so that most programs have no state here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "detect/outbound_inside.h"

enum {
	DOMAINS = 12, /* of a program; the one not used longest makes room */
	DOMAIN_TEXT = 64,
	BITS = 1024,
	WORDS = BITS / 64,
	JUDGE_EVERY = 16,
	TYPE_CNAME = 5,
	TYPE_NULL = 10,
	TYPE_MX = 15,
	TYPE_TXT = 16,
	TYPE_KEY = 25,
	TYPE_SRV = 33,
	TYPE_PRIVATE = 65399, /* iodine's */
};

struct domain {
	char text[DOMAIN_TEXT]; /* its end, where it is longer; empty: a free place */
	char sample[P2P_SAMPLE_TEXT];
	uint64_t begin_ns, last_ns;
	uint32_t questions, typed, answers, lookups;
	uint64_t bytes, entropy; /* of the names below: their length, and hundredths of bits a letter */
	uint64_t names[WORDS];
};

struct outbound_tunnel {
	struct domain domains[DOMAINS];
};

/*
 * Services that are asked by long names, by design: reputation of files, senders and addresses; and Kubernetes' own names.
 * Each, and what is below it.
 */
static const char *const services[] = {"arpa", "local", "internal", "avqs.mcafee.com", "avts.mcafee.com",
	"gti.mcafee.com", "sophosxl.net", "sophosxl.com", "e5.sk", "eset.com", "f-secure.com", "fsapi.com",
	"trendmicro.com", "trendmicro.eu", "spamhaus.org", "spamhaus.net", "surbl.org", "uribl.com",
	"barracudacentral.org", "senderbase.org", "mailspike.net", "dnswl.org", "spamcop.net", "sorbs.net",
	"abuseat.org", "rspamd.com", "cymru.com", "clamav.net", "cloudfront.net", "akamaiedge.net", "akamai.net",
	"akadns.net", "edgekey.net", "edgesuite.net", "fastly.net", "azureedge.net", "trafficmanager.net",
	"amazonaws.com", "windows.net", "googlevideo.com", "1e100.net"};

struct outbound_tunnel *tunnel_open(void)
{
	return calloc(1, sizeof(struct outbound_tunnel));
}

static bool is_below(struct text name, struct text domain)
{
	return text_ends_with(name, domain) &&
	       (name.length == domain.length || name.data[name.length - domain.length - 1] == '.');
}

static bool is_service(const struct outbound_state *state, struct text name)
{
	const struct outbound_settings *settings = state->outbound->settings;

	for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
		if (is_below(name, text_of(services[i])))
			return true;
	for (size_t i = 0; i < settings->domain_count; i++)
		if (is_below(name, text_of(settings->domains[i])))
			return true;
	return false;
}

/*
 * How much of a name is below the domain that somebody registered: that has two labels, or three where the last is a country's
 * and the one before a kind (co.uk). Without the dot; 0: nothing.
 */
static size_t below_domain(struct text name)
{
	size_t ends[4] = {0}, labels = 0, keep = 2;

	for (size_t i = name.length; i > 0 && labels < 4; i--)
		if (name.data[i - 1] == '.')
			ends[labels++] = i - 1;
	if (labels >= 2 && name.length - ends[0] - 1 == 2 && ends[0] - ends[1] - 1 <= 3)
		keep = 3;
	return labels >= keep ? ends[keep - 1] : 0;
}

/* Addresses written backwards, names of services (_dmarc, _domainkey, _acme-challenge), and single letters. */
static bool is_ordinary(struct text below)
{
	size_t labels = 1, digits = 0;

	for (size_t i = 0; i < below.length; i++) {
		char byte = below.data[i];

		if (byte == '_' && (i == 0 || below.data[i - 1] == '.'))
			return true;
		labels += byte == '.';
		digits += byte >= '0' && byte <= '9';
	}
	return digits + labels - 1 == below.length || below.length < 3 * labels;
}

/* log2 of a whole number in hundredths, between powers of two along a line: no more than 9 off. */
static uint64_t log2_hundredths(uint64_t number)
{
	unsigned int bit = number > 1 ? 63 - (unsigned int)__builtin_clzll(number) : 0;

	return number < 2 ? 0 : bit * 100 + ((number - (1ull << bit)) * 100 >> bit);
}

static uint64_t entropy_of(struct text text)
{
	uint8_t counts[256] = {0};
	uint64_t sum = 0;

	for (size_t i = 0; i < text.length; i++)
		counts[(uint8_t)text.data[i]]++;
	for (size_t i = 0; i < 256; i++)
		sum += counts[i] * log2_hundredths(counts[i]);
	return text.length > 0 ? log2_hundredths(text.length) - sum / text.length : 0;
}

static struct domain *find(struct outbound_state *state, struct text name, bool add, uint64_t now_ns)
{
	struct domain *domains = state->tunnel->domains, *oldest = domains;

	if (name.length >= DOMAIN_TEXT)
		name = text_tail(name, name.length - (DOMAIN_TEXT - 1));
	for (size_t i = 0; i < DOMAINS; i++) {
		if (domains[i].text[0] && text_equal(text_of(domains[i].text), name)) {
			if (now_ns - domains[i].begin_ns <= outbound_time(state, OUTBOUND_SET_TUNNEL_WINDOW))
				return &domains[i];
			oldest = &domains[i];
			break;
		}
		if (domains[i].last_ns < oldest->last_ns)
			oldest = &domains[i];
	}
	if (!add)
		return NULL;
	*oldest = (struct domain){.begin_ns = now_ns};
	memcpy(oldest->text, name.data, name.length);
	return oldest;
}

static void judge(struct outbound_state *state, const struct domain *domain, uint64_t now_ns)
{
	unsigned int set = 0, different;
	uint64_t length = domain->bytes / domain->questions, entropy = domain->entropy / domain->questions;
	struct outbound_offer offers[] = {{.reason = OUTBOUND_TUNNEL_NAMES}, {.reason = OUTBOUND_TUNNEL_LENGTH},
		{.reason = OUTBOUND_TUNNEL_ENTROPY}, {.reason = OUTBOUND_TUNNEL_TYPES},
		{.reason = OUTBOUND_TUNNEL_BYTES}};

	/* A list of what is good or bad answers in 127/8; a tunnel could, but not for much. */
	if (domain->lookups * 2 > domain->answers &&
		domain->bytes < outbound_setting(state, OUTBOUND_SET_TUNNEL_LOOKUPS))
		return;
	for (size_t i = 0; i < WORDS; i++)
		set += (unsigned int)__builtin_popcountll(domain->names[i]);
	different = outbound_estimate(set, BITS);
	if (different < outbound_setting(state, OUTBOUND_SET_TUNNEL_NAMES))
		return;
	offers[0].percent = 100;
	snprintf(offers[0].what, sizeof(offers[0].what), "about %u different names below %s", different, domain->text);
	snprintf(offers[0].sample, sizeof(offers[0].sample), "%s", domain->sample);
	offers[1].percent = length >= outbound_setting(state, OUTBOUND_SET_TUNNEL_LENGTH) ? 100 : 0;
	snprintf(offers[1].what, sizeof(offers[1].what), "%llu letters each, on average", (unsigned long long)length);
	offers[2].percent = entropy >= outbound_setting(state, OUTBOUND_SET_TUNNEL_ENTROPY) ? 100 : 0;
	snprintf(offers[2].what, sizeof(offers[2].what), "they look random: %llu.%02llu bits a letter",
		(unsigned long long)entropy / 100, (unsigned long long)entropy % 100);
	offers[3].percent =
		domain->typed * 100ull >= domain->questions * outbound_setting(state, OUTBOUND_SET_TUNNEL_TYPES) ? 100
														 : 0;
	snprintf(offers[3].what, sizeof(offers[3].what), "%u of %u questions of types that carry data", domain->typed,
		domain->questions);
	offers[4].percent = domain->bytes >= outbound_setting(state, OUTBOUND_SET_TUNNEL_BYTES) ? 100 : 0;
	snprintf(offers[4].what, sizeof(offers[4].what), "%llu bytes in questions", (unsigned long long)domain->bytes);
	outbound_take_offer(state, OUTBOUND_TUNNEL, offers, sizeof(offers) / sizeof(offers[0]), now_ns);
}

static bool carries_data(uint16_t type)
{
	return type == TYPE_NULL || type == TYPE_TXT || type == TYPE_CNAME || type == TYPE_MX || type == TYPE_SRV ||
	       type == TYPE_KEY || type == TYPE_PRIVATE;
}

static void take_answer(
	struct outbound_state *state, const struct payload_dns *dns, struct text registered, uint64_t now_ns)
{
	struct domain *domain = find(state, registered, false, now_ns);

	if (!domain || dns->address_count == 0)
		return;
	domain->answers++;
	domain->lookups += dns->addresses[0].family == AF_INET && dns->addresses[0].bytes[0] == 127;
}

void tunnel_dns(struct outbound_state *state, const struct payload_dns *dns, bool out, uint64_t now_ns)
{
	struct text name = {dns->question.text, dns->question.length}, below, registered;
	bool rare = dns->type == TYPE_NULL || dns->type == TYPE_KEY || dns->type == TYPE_PRIVATE;
	struct domain *domain;

	below = text_head(name, below_domain(name));
	if (below.length == 0 || (!out && !state->tunnel))
		return;
	registered = text_tail(name, below.length + 1);
	if (!out) {
		take_answer(state, dns, registered, now_ns);
		return;
	}
	if ((below.length < outbound_setting(state, OUTBOUND_SET_TUNNEL_ODD) && !rare) || is_ordinary(below) ||
		is_service(state, name))
		return;
	if (!state->tunnel) {
		state->tunnel = tunnel_open();
		state->outbound->counters.without_memory += !state->tunnel;
	}
	if (!state->tunnel)
		return;
	domain = find(state, registered, true, now_ns);
	if (domain->questions++ == 0)
		snprintf(domain->sample, sizeof(domain->sample), "%.*s", (int)name.length, name.data);
	domain->last_ns = now_ns;
	domain->typed += carries_data(dns->type);
	domain->bytes += below.length;
	domain->entropy += entropy_of(below);
	outbound_bit_set(domain->names, outbound_hash(state, below.data, below.length), BITS);
	if (domain->questions % JUDGE_EVERY == 0)
		judge(state, domain, now_ns);
}
