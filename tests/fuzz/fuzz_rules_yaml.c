/* SPDX-License-Identifier: Apache-2.0 */
/* A file of rules: either it loads, or it is said what is wrong with it and where. */
#include "fuzz.h"

#include "detect/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct rules_loader *loader;
	struct rules_report report;
	struct rules *rules;
	struct buffer out = {0};
	int error;

	fuzz_expect(rules_loader_open(&loader) == 0);
	rules_loader_add_text(loader, "rules.yaml", (struct text){(const char *)bytes, length});
	error = rules_loader_compile(loader, NULL, &rules);
	rules_loader_report(loader, &report);
	fuzz_expect((error == 0) == (rules != NULL));
	fuzz_expect(error == -12 || (error != 0) == (report.error_count > 0));
	for (size_t i = 0; i < report.error_count; i++) {
		fuzz_expect(report.errors[i].line > 0 && report.errors[i].column > 0);
		fuzz_expect(report.errors[i].offset <= report.errors[i].text.length + 1);
		fuzz_expect_clean(report.errors[i].message, strlen(report.errors[i].message), false);
	}
	for (size_t i = 0; rules && i < rules_count(rules) && i < 4; i++) {
		rules_explain(rules, rules_at(rules, i), &out);
		fuzz_expect((rules_calls_of(rules, rules_at(rules, i)) & 1) == 0);
	}
	rules_free(rules);
	rules_loader_close(loader);
	buffer_free(&out);
	return 0;
}
