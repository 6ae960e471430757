/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/settings.h"

#include "base/options.h"
#include "collector/output.h"

enum { KEYS = 4 };

/* The keys, bound to one struct settings. */
static void bind_keys(struct config_key keys[KEYS], struct settings *settings)
{
	const struct config_key all[KEYS] = {
		{"listen", CONFIG_TEXT, &settings->listen, 0, 0, "where sensors and watchers connect"},
		{"data", CONFIG_TEXT, &settings->data, 0, 0, "the directory of the store"},
		{"output", CONFIG_LIST, &settings->outputs, 0, 0, "where stored events go"},
		CONFIG_END,
	};

	for (int i = 0; i < KEYS; i++)
		keys[i] = all[i];
}

static const struct option_spec options[] = {
	{"listen", "ADDR", "listen", "listen here: HOST:PORT or unix:PATH"},
	{"data", "DIR", "data", "store what comes in DIR; made if its parent is there"},
	{"output", "KIND:TARGET", "output",
		"hand on what is stored; may be repeated:\necs-json:PATH or ecs-json:- (stdout)"},
	{0},
};

static int check(struct settings *settings)
{
	char why[512];

	if (!settings->listen || !settings->data || !settings->data[0])
		return options_wrong("it needs --listen ADDR and --data DIR; try --help");
	if (grpc_address_parse(settings->listen, &settings->address, why, sizeof(why)) < 0)
		return options_wrong("--listen \"%s\": %s", settings->listen, why);
	if (!grpc_address_is_loopback(&settings->address))
		return options_wrong(
			"--listen \"%s\": without TLS only loopback addresses and unix sockets are allowed",
			settings->listen);
	for (size_t i = 0; i < settings->outputs.count; i++) {
		if (output_check(settings->outputs.items[i], why, sizeof(why)) < 0)
			return options_wrong("--output: %s", why);
		for (size_t j = 0; j < i; j++) /* both would move one cursor */
			if (strcmp(settings->outputs.items[i], settings->outputs.items[j]) == 0)
				return options_wrong("--output %s is there twice", settings->outputs.items[i]);
	}
	return -1;
}

int collector_settings_read(struct settings *settings, int argc, char **argv)
{
	struct config_key keys[KEYS];
	const struct program_spec program = {
		.name = "taffrail-collector",
		.usage = "--listen ADDR --data DIR [OPTIONS]",
		.summary = "stores what sensors send, and hands it on",
		.options = options,
		.keys = keys,
		.notes = "Ready when stderr says \"taffrail-collector: ready ADDR\". SIGTERM ends it.\n"
			 "Exit: 0 ended by a signal; 1 DIR, ADDR or an output cannot be used, or stdout's\n"
			 "reader went away; 2 wrong usage or configuration.",
	};
	int code;

	*settings = (struct settings){0};
	bind_keys(keys, settings);
	code = options_read(&program, argc, argv);
	if (code < 0)
		code = check(settings);
	if (code >= 0)
		collector_settings_free(settings);
	return code;
}

void collector_settings_free(struct settings *settings)
{
	struct config_key keys[KEYS];

	bind_keys(keys, settings);
	config_free(keys);
}
