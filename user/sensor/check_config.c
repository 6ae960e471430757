/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/check_config.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "sensor/ruleset.h"

enum { RIGHT, WRONG = 2 };

static void tell(const struct settings *settings, const struct ruleset_loaded *loaded)
{
	char configuration[DIGEST_TEXT_SIZE], rules[DIGEST_TEXT_SIZE];

	printf("taffrail-sensor: the configuration is right (%s): ",
		digest_format(&settings->call.places.hash, configuration));
	if (settings->stdout_lines)
		printf("events to stdout");
	else if (settings->collectors.count > 0)
		printf("collectors: %zu, by %s", settings->collectors.count,
			settings->trust.tls ? "mutual TLS" : "plain text");
	else
		printf("a recording");
	if (settings->spool)
		printf(", spool %s", settings->spool);
	if (loaded)
		printf(", rules: %zu (%s)", rules_count(loaded->rules), digest_format(&loaded->hash, rules));
	else
		printf(", no rules");
	printf(", record: %zu rules\n", settings->rules.count);
}

int check_config_run(const struct settings *settings)
{
	const struct ruleset_options options = ruleset_options_of(&settings->rule_paths, settings->rule_matching, true);
	struct ruleset_loaded *loaded;

	if (settings->no_rules) {
		tell(settings, NULL);
		return RIGHT;
	}
	loaded = ruleset_load(&options);
	if (!loaded) {
		log_error("there is no memory for the rules");
		return WRONG;
	}
	if (loaded->rules)
		tell(settings, loaded);
	else if (loaded->errors == 0)
		log_error("the rules: %s", loaded->why);

	int code = loaded->rules ? RIGHT : WRONG;

	ruleset_discard(loaded);
	return code;
}
