/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "collector/collector.h"
#include "collector/settings.h"
#include "http/server.h"

/* A descriptor a connection: what the machine allows, not the 1,024 that are usual for programs with select(2). */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* --check-config: what there is, in one line. What was wrong has been said. */
static void tell_config(const struct settings *settings)
{
	char hash[DIGEST_TEXT_SIZE];

	printf("taffrail-collector: the configuration is right (%s): listens on %s, by %s, data in %s, outputs: %zu\n",
		digest_format(&settings->call.places.hash, hash), settings->listen,
		settings->trust.tls ? "mutual TLS" : "plain text", settings->data, settings->outputs.count);
}

int main(int argc, char **argv)
{
	struct collector *collector;
	struct http_server *http = NULL;
	struct settings settings;
	int code = collector_settings_read(&settings, argc, argv);
	int error;

	if (code >= 0)
		return code;
	if (settings.check_config) {
		tell_config(&settings);
		collector_settings_free(&settings);
		return EXIT_SUCCESS;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); /* until it is taken: files that change are found in any case */
	raise_descriptors();
	error = settings.http ? http_server_open(&http, &settings.http_address) : 0;
	error = error ? error : collector_open(&collector, &settings, http_server_board(http));
	if (!error) {
		error = collector_run(collector);
		collector_close(collector);
	}
	http_server_close(http);
	collector_settings_free(&settings);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
