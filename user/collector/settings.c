/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/settings.h"

#include <errno.h>
#include <string.h>

#include "base/options.h"
#include "collector/metrics.h"
#include "collector/output.h"
#include "collector/owners.h"
#include "http/process.h"
#include "http/server.h"

enum { KEYS = 32 /* room */, CONNECTIONS = 4096, HOSTS_PER_NAME = 16384 };

/* The keys, bound to one struct settings. */
static void bind_keys(struct config_key keys[KEYS], struct settings *settings)
{
	const struct config_key all[KEYS] = {
		{"listen", CONFIG_TEXT, &settings->listen, 0, 0, "where sensors and watchers connect"},
		{"data", CONFIG_TEXT, &settings->data, 0, 0, "the directory of the store"},
		{"output", CONFIG_LIST, &settings->outputs, 0, 0, "where stored events go"},
		GRPC_TRUST_KEYS(&settings->trust),
		{"allow", CONFIG_LIST | CONFIG_LIVE, &settings->allow, 0, 0, "names of certificates that may write"},
		{"allow_reader", CONFIG_LIST | CONFIG_LIVE, &settings->allow_reader, 0, 0,
			"names of certificates that may read"},
		{"connections.max_age", CONFIG_DURATION | CONFIG_LIVE, &settings->max_age_ms, 0, 7 * 86400000ull,
			"after so long a peer is asked to connect anew; 0: never"},
		OPTIONS_LOG_KEYS(&settings->log),
		{"check_config", CONFIG_BOOL, &settings->check_config, 0, 0, "only look whether all of this is right"},
		{"connections.max", CONFIG_NUMBER, &settings->max_connections, 16, 65536,
			"connections at a time; those of one name in certificates may take 7/8 of them"},
		{"hosts.max_per_name", CONFIG_NUMBER, &settings->max_hosts, 1, OWNERS_MAX,
			"hosts that may belong to one name in certificates"},
		HTTP_KEY(&settings->http),
		CONFIG_END,
	};

	for (int i = 0; i < KEYS; i++)
		keys[i] = all[i];
}

static const struct metric_spec *const metrics[] = {collector_metrics, http_server_metrics, http_process_metrics, NULL};

static const struct option_spec options[] = {
	{"listen", "ADDR", "listen", "listen here: HOST:PORT or unix:PATH"},
	{"data", "DIR", "data", "store what comes in DIR; made if its parent is there"},
	{"output", "KIND:TARGET", "output",
		"hand on what is stored; may be repeated:\necs-json:PATH or ecs-json:- (stdout)"},
	GRPC_TRUST_OPTIONS,
	{"allow", "PATTERN", "allow", "who may write: names in sensors' certificates, * is\nany text; may be repeated"},
	{"allow-reader", "PATTERN", "allow_reader", "who may read: the same; may be repeated"},
	HTTP_OPTION,
	OPTIONS_LOG_OPTION,
	{"check-config", NULL, "check_config", "only look whether options and configuration are right"},
	{0},
};

static int check_trust(struct settings *settings, const struct program_spec *program)
{
	const char *named = settings->allow.count > 0 ? "allow" : "allow_reader";
	int code = grpc_trust_read(&settings->trust, program);

	if (code < 0)
		code = grpc_trust_allows(&settings->trust, program, "listen", settings->listen, &settings->address);
	if (code < 0 && !settings->trust.tls && (settings->allow.count > 0 || settings->allow_reader.count > 0))
		code = options_wrong_key(program, named,
			"%s is about names in certificates, and --tls-ca, --tls-cert and --tls-key are missing",
			settings->allow.count > 0 ? "--allow" : "--allow-reader");
	return code;
}

static int check(struct settings *settings, const struct program_spec *program)
{
	char why[512];
	int code;

	if (!settings->listen || !settings->data || !settings->data[0])
		return options_wrong("it needs --listen ADDR and --data DIR; try --help");
	if (grpc_address_parse(settings->listen, &settings->address, why, sizeof(why)) < 0)
		return options_wrong_key(program, "listen", "--listen \"%s\": %s", settings->listen, why);
	if (settings->http && grpc_address_parse(settings->http, &settings->http_address, why, sizeof(why)) < 0)
		return options_wrong_key(program, "http", "--http \"%s\": %s", settings->http, why);
	for (size_t i = 0; i < settings->outputs.count; i++) {
		if (output_check(settings->outputs.items[i], why, sizeof(why)) < 0)
			return options_wrong_key(program, "output", "--output: %s", why);
		for (size_t j = 0; j < i; j++) /* both would move one cursor */
			if (strcmp(settings->outputs.items[i], settings->outputs.items[j]) == 0)
				return options_wrong_key(
					program, "output", "--output %s is there twice", settings->outputs.items[i]);
	}
	code = check_trust(settings, program);
	return code < 0 ? options_log_check(program, &settings->log) : code;
}

static int read_all(struct settings *settings, int argc, char **argv, bool again)
{
	struct config_key keys[KEYS];
	const struct program_spec program = {
		.name = "taffrail-collector",
		.usage = "--listen ADDR --data DIR [OPTIONS]",
		.summary = "stores what sensors send, and hands it on",
		.options = options,
		.keys = keys,
		.metrics = metrics,
		.notes = "Ready when stderr says \"taffrail-collector: ready ADDR\". SIGTERM ends it.\n"
			 "Exit: 0 ended by a signal; 1 DIR, ADDR or an output cannot be used, or stdout's\n"
			 "reader went away; 2 wrong usage or configuration.",
		.call = &settings->call,
		.again = again,
	};
	int code;

	*settings =
		(struct settings){.max_age_ms = 3600000, .max_connections = CONNECTIONS, .max_hosts = HOSTS_PER_NAME};
	bind_keys(keys, settings);
	code = options_read(&program, argc, argv);
	if (code < 0)
		code = check(settings, &program);
	if (code >= 0)
		collector_settings_free(settings);
	return code;
}

int collector_settings_read(struct settings *settings, int argc, char **argv)
{
	int code = read_all(settings, argc, argv, false);

	if (code < 0)
		options_log_use(&settings->log);
	return code;
}

int collector_settings_again(struct settings *settings, const struct options_call *call)
{
	return read_all(settings, call->argc, call->argv, true) < 0 ? 0 : -EINVAL;
}

/* For those that only read. */
static void bind_const(struct config_key keys[KEYS], const struct settings *settings)
{
	bind_keys(keys, (struct settings *)(uintptr_t)settings);
}

void collector_settings_tell(const struct settings *start, const struct settings *last, const struct settings *now)
{
	struct config_key start_keys[KEYS], last_keys[KEYS], now_keys[KEYS];

	bind_const(start_keys, start);
	bind_const(last_keys, last);
	bind_const(now_keys, now);
	config_tell_restarts(start_keys, last_keys, now_keys);
}

void collector_settings_free(struct settings *settings)
{
	struct config_key keys[KEYS];

	grpc_trust_close(&settings->trust);
	bind_keys(keys, settings);
	config_free(keys);
}
