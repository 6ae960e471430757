/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration file: YAML; and what of it rooms read themselves: `record`, to the verdicts of its rules, and `outbound`. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "detect/outbound.h"
#include "sensor/policy.h"

static struct {
	bool on;
	char *word;
	uint64_t number, size, duration;
	struct config_list list;
	struct config_tree record, outbound;
} got;

static const struct config_key keys[] = {
	{"on", CONFIG_BOOL, &got.on, 0, 0, ""},
	{"word", CONFIG_TEXT, &got.word, 0, 0, ""},
	{"a.number", CONFIG_NUMBER, &got.number, 3, 100, ""},
	{"a.size", CONFIG_SIZE, &got.size, 1024, 1ull << 40, ""},
	{"a.b.duration", CONFIG_DURATION, &got.duration, 10, 3600000, ""},
	{"list", CONFIG_LIST, &got.list, 0, 0, ""},
	{"record", CONFIG_TREE, &got.record, 0, 0, ""},
	{"outbound", CONFIG_TREE, &got.outbound, 0, 0, ""},
	CONFIG_END,
};

/* No event is left out of which no rule speaks, and what the trie says of a path is what the sensor says. */
static void expect_verdicts(void)
{
	static const struct event_label labels[] = {{TEXT_STATIC("app"), TEXT_STATIC("web")}};
	struct event_container pod = {.pod_namespace = TEXT_LITERAL("shop"), .labels = labels, .label_count = 1};
	struct event event = {
		.action = EVENT_OPEN, .count = 1, .container = &pod, .file.path = TEXT_LITERAL("/proc/self/x")};
	static struct policy_rules rules;
	const struct kernel_prefix *prefixes;
	const uint64_t *prefix_rules;
	struct policy *policy;
	uint64_t mask = 0, matching = 0;
	size_t longest = 0;

	if (policy_rules_read(&rules, &got.record) < 0)
		return;
	fuzz_expect(rules.count <= KERNEL_RULES);
	fuzz_expect(policy_open(&policy, &rules, 0, 1) == 0);
	policy_name(policy, &pod, &mask);
	for (size_t i = 0, count = policy_prefixes(policy, &prefixes, &prefix_rules); i < count; i++) {
		struct text prefix = {prefixes[i].path, prefixes[i].bits / 8};

		if (prefix.length >= longest && text_starts_with(event.file.path, prefix)) {
			longest = prefix.length;
			matching = prefix_rules[i];
		}
	}

	const struct kernel_policy *masks = policy_masks(policy);
	uint64_t rest = masks->kinds[KERNEL_OPEN] & (masks->unnamed | mask) & masks->modes[KERNEL_MODE_READ];

	fuzz_expect(policy_leaves_out(policy, &event) == (rest & (masks->pathless | matching)) > 0);
	policy_close(policy);
}

/* What is taken is within its limits. */
static void expect_thresholds(void)
{
	static struct outbound_settings settings;
	static const uint64_t limits[][2] = {
#define SETTING(name, path, type, value, least, most) {least, most},
		OUTBOUND_SETTINGS(SETTING)
#undef SETTING
	};
	int error = outbound_settings_read(&settings, &got.outbound);

	fuzz_expect(error == 0 || error == -22);
	for (size_t i = 0; i < OUTBOUND_SETTINGS_END; i++)
		fuzz_expect(settings.values[i] >= limits[i][0] && settings.values[i] <= limits[i][1]);
	for (size_t i = 0; i < OUTBOUND_REASONS_END; i++)
		fuzz_expect(settings.points[i] <= 100);
	fuzz_expect(settings.inside.count <= FLOW_RANGES_MAX && settings.domain_count <= OUTBOUND_DOMAINS_MAX);
	fuzz_expect(error || settings.p2p.suspected <= settings.p2p.confirmed);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	return fuzz_without_messages(argc, argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	int fd = memfd_create("config", MFD_CLOEXEC), error;
	char path[64];

	fuzz_expect(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	got.number = 3;
	got.size = 1024;
	got.duration = 10;
	error = config_read(keys, path);
	fuzz_expect(error == 0 || error == -22);
	fuzz_expect(got.number >= 3 && got.number <= 100);
	fuzz_expect(got.size >= 1024 && got.size <= 1ull << 40);
	fuzz_expect(got.duration >= 10 && got.duration <= 3600000);
	for (size_t i = 0; i < got.list.count; i++)
		fuzz_expect(strlen(got.list.items[i]) <= length);
	if (error == 0) {
		expect_verdicts();
		expect_thresholds();
	}
	config_free(keys);
	close(fd);
	return 0;
}
