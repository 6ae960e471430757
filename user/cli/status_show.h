/* SPDX-License-Identifier: Apache-2.0 */
/* The accounts of epochs as a table or as JSON. */
#ifndef TAFFRAIL_CLI_STATUS_SHOW_H
#define TAFFRAIL_CLI_STATUS_SHOW_H

#include "base/buffer.h"
#include "collector/account.h"

/* Whether a sensor speaks for the epoch now: a directory does not tell. */
enum status_connected { STATUS_AWAY, STATUS_CONNECTED, STATUS_UNKNOWN };

struct status_row {
	char *host, *name; /* its own */
	uint8_t epoch[EVENT_EPOCH_SIZE];
	enum status_connected connected;
	struct account account;
};

/* Rows that come in any order. All zero at first. */
struct status_rows {
	struct status_row *rows;
	size_t count, room;
	bool is_directory;
	size_t damages; /* of a directory: places that cannot be read */
};

/* Copies everything. 0 or -ENOMEM. */
int status_rows_add(struct status_rows *rows, const struct event_host *host, const struct account *account,
	enum status_connected connected);

/* By host, then by time. */
void status_rows_sort(struct status_rows *rows);

void status_rows_free(struct status_rows *rows);

/* The sum of all differences, whatever their sign: 0 if each epoch balances. */
uint64_t status_difference(const struct status_rows *rows);

/* One object. */
void status_show_json(struct buffer *out, const struct status_rows *rows);
/* A line an epoch, and what is lost below it; what does not balance in red where `colour` says so. */
void status_show_table(struct buffer *out, const struct status_rows *rows, bool colour);

#endif
