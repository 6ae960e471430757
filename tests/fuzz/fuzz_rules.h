/* SPDX-License-Identifier: Apache-2.0 */
/* For targets of rules: a rule around a condition, and an event around bytes. */
#ifndef TAFFRAIL_FUZZ_RULES_H
#define TAFFRAIL_FUZZ_RULES_H

#include "fuzz.h"

#include "detect/rules.h"

/* A rule whose condition is these bytes, as far as YAML can quote them; NULL if it does not load. */
static inline struct rules *fuzz_rule(const uint8_t *condition, size_t length)
{
	static const char head[] =
		"- rule: r\n  desc: d\n  priority: info\n  output: '%proc.cmdline %fd.name %evt.args'\n"
		"  condition: '";
	struct rules_loader *loader;
	struct buffer yaml = {0};
	struct rules *rules;
	struct rules_report report;
	int error;

	buffer_append(&yaml, head, sizeof(head) - 1);
	for (size_t i = 0; i < length; i++) {
		if (condition[i] == '\'')
			buffer_append(&yaml, "'", 1);
		buffer_append(&yaml, &condition[i], 1);
	}
	buffer_append(&yaml, "'\n", 2);
	fuzz_expect(rules_loader_open(&loader) == 0);
	rules_loader_add_text(loader, "r", (struct text){yaml.data, yaml.length});
	error = rules_loader_compile(loader, NULL, &rules);
	rules_loader_report(loader, &report);
	fuzz_expect((error == 0) == (report.error_count == 0));
	rules_loader_close(loader);
	buffer_free(&yaml);
	return rules;
}

#endif
