/* SPDX-License-Identifier: Apache-2.0 */
/* Query.Status: asks a collector for the accounts of its epochs. */
#ifndef TAFFRAIL_CLI_STATUS_ASK_H
#define TAFFRAIL_CLI_STATUS_ASK_H

#include "base/config.h"
#include "cli/status_show.h"
#include "grpc/address.h"
#include "grpc/trust.h"

enum { STATUS_ASK_HOSTS_MAX = 256 };

/* At most so many `hosts`; none: all. 0, or -errno with a sentence in `why`. */
int status_ask(struct status_rows *rows, const struct grpc_address *address, const struct grpc_trust *trust,
	const struct config_list *hosts, char *why, size_t why_size);

#endif
