/* SPDX-License-Identifier: Apache-2.0 */
/* What the collector was told: options, --set, the configuration file; in this order the first wins. */
#ifndef TAFFRAIL_COLLECTOR_SETTINGS_H
#define TAFFRAIL_COLLECTOR_SETTINGS_H

#include "base/config.h"
#include "grpc/address.h"

struct settings {
	char *listen; /* --listen */
	struct grpc_address address;
	char *data;                 /* --data */
	struct config_list outputs; /* --output, each KIND:TARGET */
};

/*
 * Reads everything into `settings`. Returns -1 to go on, or the exit code to leave with at once: 0 after --help and
 * --version, 2 after it has said what is wrong.
 */
int collector_settings_read(struct settings *settings, int argc, char **argv);

void collector_settings_free(struct settings *settings);

#endif
