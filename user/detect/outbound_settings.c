/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `outbound:` of the configuration. Each number has a key; why each default is so: docs/outbound.md.
 *
 *	outbound:
 *	  inside: [10.0.0.0/8, fd00::/8]      # instead of the usual ranges
 *	  off: [egress]                       # detectors that are not asked
 *	  scan: {hosts: 60, window: 10m}
 *	  dns_tunnel: {domains: [reputation.example]}
 *	  p2p: {suspected: 60, points: {dht: 60}}
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "detect/outbound_inside.h"

static const char *const p2p_reasons[P2P_REASONS] = {
#define EVIDENCE(name, ...) [P2P_##name] = #name,
	P2P_EVIDENCE(EVIDENCE)
#undef EVIDENCE
#define BEHAVIOUR(name, ...) [P2P_##name] = #name,
		P2P_BEHAVIOUR(BEHAVIOUR)
#undef BEHAVIOUR
};

/*
 * Those of the detector of peers; its defaults are its own (p2p_settings.c).
 *   KEY(member, type, factor, least, most)
 */
#define P2P_KEYS(KEY)                                                                                                  \
	KEY(suspected, NUMBER, 1, 1, 101)                                                                              \
	KEY(confirmed, NUMBER, 1, 1, 101)                                                                              \
	KEY(confirmed_evidence, NUMBER, 1, 1, 101)                                                                     \
	KEY(common_most, NUMBER, 1, 0, 100)                                                                            \
	KEY(window_ns, DURATION, 1000000, 1000, 3600000)                                                               \
	KEY(evidence_ns, DURATION, 1000000, 1000, 604800000)                                                           \
	KEY(failed_ns, DURATION, 1000000, 100, 180000)                                                                 \
	KEY(judge_ns, DURATION, 1000000, 100, 60000)                                                                   \
	KEY(endpoints, NUMBER, 1, 64, 4096)                                                                            \
	KEY(names, NUMBER, 1, 16, 4096)                                                                                \
	KEY(dual_ends, NUMBER, 1, 1, 1000)                                                                             \
	KEY(dispersed_hosts, NUMBER, 1, 1, 1000)                                                                       \
	KEY(dispersed_percent, NUMBER, 1, 1, 1000)                                                                     \
	KEY(ends_percent, NUMBER, 1, 100, 100000)                                                                      \
	KEY(answered_ends, NUMBER, 1, 0, 1000)                                                                         \
	KEY(answered_percent, NUMBER, 1, 0, 100)                                                                       \
	KEY(socket_hosts, NUMBER, 1, 1, 1000)                                                                          \
	KEY(socket_percent, NUMBER, 1, 1, 1000)                                                                        \
	KEY(fan_out_hosts, NUMBER, 1, 1, 1000)                                                                         \
	KEY(failed_connects, NUMBER, 1, 1, 1000)                                                                       \
	KEY(failed_percent, NUMBER, 1, 1, 100)                                                                         \
	KEY(unnamed_hosts, NUMBER, 1, 1, 1000)                                                                         \
	KEY(unnamed_percent, NUMBER, 1, 1, 100)                                                                        \
	KEY(inbound_hosts, NUMBER, 1, 1, 1000)                                                                         \
	KEY(random_flows, NUMBER, 1, 1, 1000)                                                                          \
	KEY(resolver_servers, NUMBER, 1, 1, 1000)

enum p2p_key {
#define KEY(member, ...) P2P_KEY_##member,
	P2P_KEYS(KEY)
#undef KEY
		P2P_KEYS_END,
};

enum { KEYS = OUTBOUND_SETTINGS_END + P2P_KEYS_END + P2P_REASONS + OUTBOUND_REASONS_END, PATH = 64 };

/* All keys, the numbers that they set, and their paths: as long as a tree is read. */
struct keys {
	struct config_key keys[KEYS + 1];
	char paths[KEYS][PATH];
	uint64_t p2p[P2P_KEYS_END], p2p_points[P2P_REASONS];
	size_t count;
};

static void add_key(struct keys *keys, enum config_type type, uint64_t *target, uint64_t least, uint64_t most,
	const char *section, const char *name)
{
	char *path = keys->paths[keys->count];

	snprintf(path, PATH, "%s%s%s", section, section[0] ? "." : "", name);
	for (char *byte = path; *byte; byte++)
		*byte = (char)tolower((unsigned char)*byte);
	/* Times have their unit in the value. */
	if (strlen(path) > 3 && strcmp(path + strlen(path) - 3, "_ns") == 0)
		path[strlen(path) - 3] = '\0';
	keys->keys[keys->count++] = (struct config_key){path, type, target, least, most, ""};
}

static void bind_keys(struct keys *keys, struct outbound_settings *settings)
{
	char section[PATH];
	size_t i = 0;

#define SETTING(name, path, type, value, least, most)                                                                  \
	add_key(keys, CONFIG_##type, &settings->values[OUTBOUND_SET_##name], least, most, "", path);
	OUTBOUND_SETTINGS(SETTING)
#undef SETTING
#define KEY(member, type, factor, least, most)                                                                         \
	keys->p2p[P2P_KEY_##member] = settings->p2p.member / (factor);                                                 \
	add_key(keys, CONFIG_##type, &keys->p2p[P2P_KEY_##member], least, most, "p2p", #member);
	P2P_KEYS(KEY)
#undef KEY
	for (i = 0; i < P2P_REASONS; i++) {
		keys->p2p_points[i] = settings->p2p.points[i];
		add_key(keys, CONFIG_NUMBER, &keys->p2p_points[i], 0, 100, "p2p.points", p2p_reasons[i]);
	}
	for (i = 0; i < OUTBOUND_REASONS_END; i++) {
		snprintf(section, sizeof(section), "%s.points",
			outbound_rule_key(outbound_reason_rule((enum outbound_reason)i)));
		add_key(keys, CONFIG_NUMBER, &settings->points[i], 0, 100, section,
			outbound_reason_key((enum outbound_reason)i));
	}
}

static void take_p2p(struct outbound_settings *settings, const struct keys *keys)
{
#define KEY(member, type, factor, least, most)                                                                         \
	settings->p2p.member = (__typeof__(settings->p2p.member))(keys->p2p[P2P_KEY_##member] * (factor));
	P2P_KEYS(KEY)
#undef KEY
	for (size_t i = 0; i < P2P_REASONS; i++)
		settings->p2p.points[i] = (uint8_t)keys->p2p_points[i];
}

void outbound_settings_default(struct outbound_settings *settings)
{
	static const uint64_t values[OUTBOUND_SETTINGS_END] = {
#define SETTING(name, path, type, value, least, most) [OUTBOUND_SET_##name] = value,
		OUTBOUND_SETTINGS(SETTING)
#undef SETTING
	};
	static const uint64_t points[OUTBOUND_REASONS_END] = {
#define REASON(rule, name, most, text) [OUTBOUND_##name] = most,
		OUTBOUND_REASONS(REASON)
#undef REASON
	};

	*settings = (struct outbound_settings){.domain_count = 0};
	memcpy(settings->values, values, sizeof(values));
	memcpy(settings->points, points, sizeof(points));
	p2p_thresholds_default(&settings->p2p);
	flow_ranges_default(&settings->inside);
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

struct reader {
	struct outbound_settings *settings;
	const struct config_tree *tree;
	struct keys *keys;
};

/* Takes a word of a list, or returns -EINVAL after it has said why not. */
typedef int take_word(struct reader *reader, const struct config_node *node);

static int read_list(struct reader *reader, const struct config_node *node, const char *what, take_word *take)
{
	const struct config_node *items = node->shape == CONFIG_WORD ? node : node->items;
	size_t count = node->shape == CONFIG_WORD ? 1 : node->count;
	int error = node->shape == CONFIG_MAPPING
			    ? config_refuse(reader->tree, node, "outbound.%s takes a word or a list of words", what)
			    : 0;

	for (size_t i = 0; i < count && !error; i++)
		if (items[i].shape != CONFIG_WORD || items[i].word[0] == '\0')
			error = config_refuse(
				reader->tree, &items[i], "outbound.%s takes a word or a list of words", what);
		else
			error = take(reader, &items[i]);
	return error;
}

static int take_range(struct reader *reader, const struct config_node *node)
{
	int error = flow_ranges_add(&reader->settings->inside, node->word);

	if (error == -ENOSPC)
		return config_refuse(reader->tree, node, "outbound.inside takes at most %d ranges", FLOW_RANGES_MAX);
	return error ? config_refuse(reader->tree, node,
			       "outbound.inside takes addresses and ranges such as 10.0.0.0/8, not \"%.200s\"",
			       node->word)
		     : 0;
}

static int take_off(struct reader *reader, const struct config_node *node)
{
	for (int rule = 0; rule < OUTBOUND_RULES_END; rule++)
		if (strcmp(outbound_rule_key((enum outbound_rule)rule), node->word) == 0) {
			reader->settings->off[rule] = true;
			return 0;
		}
	return config_refuse(reader->tree, node,
		"outbound.off takes p2p, mining, tor, scan, beacon, dns_tunnel and egress, not \"%.200s\"", node->word);
}

static int take_domain(struct reader *reader, const struct config_node *node)
{
	if (reader->settings->domain_count == OUTBOUND_DOMAINS_MAX)
		return config_refuse(reader->tree, node, "outbound.dns_tunnel.domains takes at most %d domains",
			OUTBOUND_DOMAINS_MAX);
	for (const char *byte = node->word; *byte; byte++)
		if (isupper((unsigned char)*byte) || *byte == '*' || (*byte == '.' && (byte == node->word || !byte[1])))
			return config_refuse(reader->tree, node,
				"outbound.dns_tunnel.domains takes domains in small letters, such as "
				"reputation.example, not "
				"\"%.200s\"",
				node->word);
	reader->settings->domains[reader->settings->domain_count++] = node->word;
	return 0;
}

static bool is_section(const struct keys *keys, const char *path)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < keys->count; i++)
		if (strncmp(keys->keys[i].path, path, length) == 0 && keys->keys[i].path[length] == '.')
			return true;
	return false;
}

static int read_node(struct reader *reader, const struct config_node *node, const char *path);

static int read_members(struct reader *reader, const struct config_node *node, const char *path)
{
	char member[PATH];
	int error = 0;

	for (size_t i = 0; i < node->count && !error; i++) {
		int length = snprintf(member, sizeof(member), "%s%s%s", path, path[0] ? "." : "", node->items[i].key);

		if (length >= (int)sizeof(member))
			error = config_refuse(reader->tree, &node->items[i], "there is no such key");
		else
			error = read_node(reader, &node->items[i], member);
	}
	return error;
}

static int read_node(struct reader *reader, const struct config_node *node, const char *path)
{
	char why[512];

	if (strcmp(path, "inside") == 0) {
		reader->settings->inside.count = 0;
		return read_list(reader, node, path, take_range);
	}
	if (strcmp(path, "off") == 0)
		return read_list(reader, node, path, take_off);
	if (strcmp(path, "dns_tunnel.domains") == 0)
		return read_list(reader, node, path, take_domain);
	if (is_section(reader->keys, path)) {
		if (node->shape == CONFIG_WORD && node->word[0] == '\0')
			return 0;
		return node->shape == CONFIG_MAPPING
			       ? read_members(reader, node, path)
			       : config_refuse(reader->tree, node, "outbound.%s takes keys of its own", path);
	}
	/* A list or more keys are no number either. */
	if (config_assign(reader->keys->keys, path, node->shape == CONFIG_WORD ? node->word : "", false, why,
		    sizeof(why)) == 0)
		return 0;
	return config_refuse(reader->tree, node, "outbound: %s", why);
}

int outbound_settings_read(struct outbound_settings *settings, const struct config_tree *tree)
{
	const struct config_node *root = &tree->root;
	struct reader reader = {settings, tree, NULL};
	int error;

	outbound_settings_default(settings);
	if (!tree->file || (root->shape == CONFIG_WORD && root->word[0] == '\0'))
		return 0;
	if (root->shape != CONFIG_MAPPING)
		return config_refuse(tree, root, "outbound takes keys of its own, such as inside, scan and p2p");
	reader.keys = calloc(1, sizeof(*reader.keys));
	if (!reader.keys)
		return -ENOMEM;
	bind_keys(reader.keys, settings);
	error = read_members(&reader, root, "");
	take_p2p(settings, reader.keys);
	if (!error && settings->p2p.suspected > settings->p2p.confirmed)
		error = config_refuse(tree, root, "outbound.p2p.suspected is more than outbound.p2p.confirmed");
	free(reader.keys);
	return error;
}
