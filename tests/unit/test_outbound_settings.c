/* SPDX-License-Identifier: Apache-2.0 */
/* `outbound:` of the configuration: from words to thresholds, and what is wrong with its line. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "detect/outbound.h"
#include "test_config.h"

static struct config_tree tree;
static struct outbound_settings settings;
static const struct config_key keys[] = {{"outbound", CONFIG_TREE, &tree, 0, 0, ""}, CONFIG_END};
static int read_outbound(void)
{
	return outbound_settings_read(&settings, &tree);
}

static int read_settings(const char *yaml)
{
	return read_bytes(keys, yaml, strlen(yaml), read_outbound);
}

static void expect_refused(const char *yaml, const char *message)
{
	read_refused(keys, yaml, read_outbound, message);
}

Test(outbound_settings, nothing_said_is_the_defaults)
{
	static const char *const nothing[] = {"", "outbound:\n", "outbound: {}\n", "outbound:\n  p2p:\n"};
	struct outbound_settings defaults;

	outbound_settings_default(&defaults);
	for (size_t i = 0; i < sizeof(nothing) / sizeof(nothing[0]); i++) {
		cr_assert_eq(read_settings(nothing[i]), 0, "%s", said);
		cr_assert_eq(memcmp(settings.values, defaults.values, sizeof(defaults.values)), 0);
		cr_assert_eq(memcmp(settings.points, defaults.points, sizeof(defaults.points)), 0);
		cr_assert_eq(memcmp(settings.p2p.points, defaults.p2p.points, sizeof(defaults.p2p.points)), 0);
		cr_assert_eq(settings.p2p.suspected, defaults.p2p.suspected);
		cr_assert_eq(settings.p2p.window_ns, defaults.p2p.window_ns);
		cr_assert_eq(settings.p2p.resolver_servers, defaults.p2p.resolver_servers);
		cr_assert_eq(settings.inside.count, defaults.inside.count);
		config_free(keys);
	}
}

Test(outbound_settings, what_is_said)
{
	const struct event_address outside = {.family = 2, .bytes = {10, 0, 0, 1}};

	cr_assert_eq(read_settings("outbound:\n"
				   "  inside: [192.168.0.0/16]\n"
				   "  off: [egress, beacon]\n"
				   "  active: 7\n"
				   "  scan: {hosts: 60, window: 10m, points: {scan_hosts: 33}}\n"
				   "  dns_tunnel: {domains: [reputation.example, list.example], bytes: 1M}\n"
				   "  p2p:\n    suspected: 60\n    window: 90s\n    points: {dht: 61, fan_out: 0}\n"),
		0, "%s", said);
	cr_assert_not(flow_ranges_hold(&settings.inside, &outside));
	cr_assert(settings.off[OUTBOUND_EGRESS] && settings.off[OUTBOUND_BEACON] && !settings.off[OUTBOUND_P2P]);
	cr_assert_eq(settings.values[OUTBOUND_SET_ACTIVE], 7);
	cr_assert_eq(settings.values[OUTBOUND_SET_SCAN_HOSTS], 60);
	cr_assert_eq(settings.values[OUTBOUND_SET_SCAN_WINDOW], 600000);
	cr_assert_eq(settings.values[OUTBOUND_SET_TUNNEL_BYTES], 1 << 20);
	cr_assert_eq(settings.points[OUTBOUND_SCAN_HOSTS], 33);
	cr_assert_eq(settings.domain_count, 2);
	cr_assert_str_eq(settings.domains[1], "list.example");
	cr_assert_eq(settings.p2p.suspected, 60);
	cr_assert_eq(settings.p2p.window_ns, 90ull * 1000 * 1000 * 1000);
	cr_assert_eq(settings.p2p.points[P2P_DHT], 61);
	cr_assert_eq(settings.p2p.points[P2P_FAN_OUT], 0);
	config_free(keys);
}

Test(outbound_settings, what_is_wrong_is_said_with_its_line)
{
	expect_refused("outbound: 3\n", "FILE:1: outbound takes keys of its own");
	expect_refused("outbound: {scans: {}}\n", "FILE:1: outbound: there is no key scans");
	expect_refused("outbound:\n  scan:\n    host: 3\n", "FILE:3: outbound: there is no key scan.host");
	expect_refused("outbound:\n  scan:\n    hosts: 2\n",
		"FILE:3: outbound: scan.hosts takes a number, from 5 to 200, not \"2\"");
	expect_refused("outbound:\n  scan:\n    hosts: [60]\n", "FILE:3: outbound: scan.hosts takes a number");
	expect_refused("outbound:\n  scan: 7\n", "FILE:2: outbound.scan takes keys of its own");
	expect_refused("outbound:\n  again: 5 days\n", "FILE:2: outbound: again takes a time");
	expect_refused("outbound:\n  inside:\n    - 10.0.0.0/8\n    - 10.0.0/8\n",
		"FILE:4: outbound.inside takes addresses and ranges");
	expect_refused("outbound: {inside: {a: b}}\n", "FILE:1: outbound.inside takes a word or a list of words");
	expect_refused("outbound: {off: [p2pp]}\n", "FILE:1: outbound.off takes p2p, mining");
	expect_refused("outbound: {dns_tunnel: {domains: ['*.x.example']}}\n",
		"FILE:1: outbound.dns_tunnel.domains takes domains");
	expect_refused("outbound: {p2p: {points: {dht: 300}}}\n",
		"FILE:1: outbound: p2p.points.dht takes a number, from 0 to 100");
	expect_refused("outbound: {p2p: {suspected: 90}}\n", "FILE:1: outbound.p2p.suspected is more than");
}

/* Each key of the detectors stands in the documentation, with its default. */
Test(outbound_settings, every_key_is_documented)
{
	static const struct {
		const char *key;
		enum config_type type;
		uint64_t value;
	} all[] = {
#define SETTING(name, path, type, value, ...) {path, CONFIG_##type, value},
		OUTBOUND_SETTINGS(SETTING)
#undef SETTING
	};
	static char text[1 << 16];
	FILE *file = fopen("docs/outbound.md", "r");
	char row[128], value[32];

	if (!file)
		cr_skip_test("not run in the project's folder");
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint64_t number = all[i].value;

		if (all[i].type == CONFIG_DURATION)
			snprintf(value, sizeof(value),
				number % 3600000 == 0 ? "%lluh"
				: number % 60000 == 0 ? "%llum"
						      : "%llus",
				(unsigned long long)(number / (number % 3600000 == 0        ? 3600000
								      : number % 60000 == 0 ? 60000
											    : 1000)));
		else if (all[i].type == CONFIG_SIZE)
			snprintf(value, sizeof(value),
				number % (1 << 30) == 0   ? "%lluG"
				: number % (1 << 20) == 0 ? "%lluM"
							  : "%lluK",
				(unsigned long long)(number >> (number % (1 << 30) == 0          ? 30
								       : number % (1 << 20) == 0 ? 20
												 : 10)));
		else
			snprintf(value, sizeof(value), "%llu", (unsigned long long)number);
		snprintf(row, sizeof(row), "| `%s` | %s |", all[i].key, value);
		cr_expect(strstr(text, row) != NULL, "docs/outbound.md lacks %s", row);
	}
}
