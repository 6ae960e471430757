/* SPDX-License-Identifier: Apache-2.0 */
/* What the collector was told: options, --set, the configuration file; in this order the first wins. */
#ifndef TAFFRAIL_COLLECTOR_SETTINGS_H
#define TAFFRAIL_COLLECTOR_SETTINGS_H

#include "base/config.h"
#include "base/options.h"
#include "grpc/address.h"
#include "grpc/trust.h"

struct settings {
	struct options_call call; /* how this was said */
	struct options_log log;   /* --log-format, log.format, log.level */
	bool check_config;        /* --check-config: only look whether all of this is right */
	char *listen;             /* --listen */
	struct grpc_address address;
	char *data;                             /* --data */
	struct config_list outputs;             /* --output, each KIND:TARGET */
	struct grpc_trust trust;                /* --tls-…, tls, insecure */
	struct config_list allow, allow_reader; /* --allow, --allow-reader: patterns of certificates' names */
	uint64_t max_connections;               /* connections.max */
	uint64_t max_hosts;                     /* hosts.max_per_name: of one name in certificates */
	char *http;                             /* --http, http: health and metrics; NULL: nowhere … */
	struct grpc_address http_address;       /* … and as it was understood */
	uint64_t max_age_ms; /* connections.max_age: then a peer is asked to connect anew; 0: never */
};

/*
 * Reads everything into `settings`. Returns -1 to go on, or the exit code to leave with at once: 0 after --help and
 * --version, 2 after it has said what is wrong.
 */
int collector_settings_read(struct settings *settings, int argc, char **argv);

/* The same command line once more, while it runs, with what its files say now. 0, or -EINVAL after it has said what is wrong. */
int collector_settings_again(struct settings *settings, const struct options_call *call);

/* Says which changes take a restart: config_tell_restarts. */
void collector_settings_tell(const struct settings *start, const struct settings *last, const struct settings *now);

void collector_settings_free(struct settings *settings);

#endif
