/* SPDX-License-Identifier: Apache-2.0 */
/* The accounts of epochs as a table or as JSON. */
#ifndef TAFFRAIL_CLI_STATUS_SHOW_H
#define TAFFRAIL_CLI_STATUS_SHOW_H

#include "base/buffer.h"
#include "base/config.h"
#include "collector/account_wire.h"

/* Whether a sensor speaks for the epoch now: a directory does not tell. */
enum status_connected { STATUS_AWAY, STATUS_CONNECTED, STATUS_UNKNOWN };

struct status_row {
	char *host, *name, *boot; /* its own: ids of host and boot, and the host's name */
	uint8_t epoch[EVENT_EPOCH_SIZE];
	enum status_connected connected;
	const char *data;           /* where it is from, the caller's */
	bool loss_unknown;          /* by status_rows_sort, as what follows: */
	bool is_spoken_for;         /* somewhere it is closed, or a sensor speaks for it */
	uint64_t first_ns, last_ns; /* as all that know it say */
	struct account account;
	struct account_build build; /* of who speaks for it; no version: nobody does, or nobody knows */
};

/* Rows that come in any order. All zero at first. */
struct status_rows {
	struct status_row *rows;
	size_t count, room;
	const char *data;                /* where the next ones come from, the caller's */
	bool is_several;                 /* they come from several places */
	bool is_directory;               /* one of them is */
	size_t damages;                  /* of directories: places that cannot be read */
	const struct config_list *hosts; /* that were asked for, the caller's; NULL or none: all */
};

/* Copies everything. `build` may be NULL. 0 or -ENOMEM. */
int status_rows_add(struct status_rows *rows, const struct event_host *host, const struct account *account,
	enum status_connected connected, const struct account_build *build);

/*
 * By host, then by time; when all rows are there. Finds epochs whose loss is not known: nowhere are their books closed, no
 * sensor speaks for them, and a later epoch of the same host has come. Of a directory, which does not tell who speaks, only an
 * epoch that began after the last event of this one is a later one, or one after another start of the machine.
 */
void status_rows_sort(struct status_rows *rows);

void status_rows_free(struct status_rows *rows);

/* The next host from `*at` on (0 at first) that was asked for and has no row; NULL: there is none. It moves on. */
const char *status_absent_host(const struct status_rows *rows, size_t *at);

/* Is there anything of the above, or a damage? */
bool status_is_alarm(const struct status_rows *rows);

/* One object. */
void status_show_json(struct buffer *out, const struct status_rows *rows);
/* A line an epoch, and what is lost below it; what does not balance in red where `colour` says so. */
void status_show_table(struct buffer *out, const struct status_rows *rows, bool colour);

#endif
