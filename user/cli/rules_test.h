/* SPDX-License-Identifier: Apache-2.0 */
/* `taffrail rules test`: what rules would have found in what was recorded. */
#ifndef TAFFRAIL_CLI_RULES_TEST_H
#define TAFFRAIL_CLI_RULES_TEST_H

#include <stdbool.h>

#include "detect/rules.h"

struct rules_test {
	const char *events; /* a collector's data directory, one of its segments, or a sensor's recording */
	struct rules *rules;
	char *const *files; /* of the rules: a recording is replayed by the sensor, which reads them itself */
	int file_count;
	bool json; /* findings as Falco prints them */
};

/* Prints the findings, and at the end, to stderr, how many there were. Returns the exit code. */
int rules_test_run(const struct rules_test *test);

#endif
