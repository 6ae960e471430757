/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page that outlives kill -9: which life of the sensor this is, what it has handed to the stream, and what a collector has
 * acknowledged of that. It stands in memory that the kernel keeps (the loader's pins); the next life reads it there.
 *
 * It is written by plain stores. What belongs together stands in one of two cells, and a cell counts from the moment that its
 * generation, the last thing stored, is the higher one: so a kill between two stores leaves the cell before it.
 */
#ifndef TAFFRAIL_SENSOR_LEDGER_H
#define TAFFRAIL_SENSOR_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "event/wire.h"
#include "sensor/stores.h"

enum {
	LEDGER_BYTES = 4096,    /* of the page */
	LEDGER_TEXT_MAX = 255,  /* bytes of a host's id, name, boot id and cluster */
	LEDGER_PATH_MAX = 1023, /* of the spool's path, for messages; a longer one is cut */
	LEDGER_LANES_MAX = 16,  /* of a CPU's numbers */
};

/* What does not change. */
struct ledger_life {
	struct event_host host;
	uint64_t started_ns; /* Unix time */
	uint32_t lanes;      /* that each CPU's numbers have */
	uint32_t repeats_at; /* where the kernel_repeats stand in the pinned variables */
};

/* A batch, by its last sequence, and its books. */
struct ledger_batch {
	uint64_t last; /* 0: there was none */
	uint64_t settled, declared;
	uint64_t time_ns; /* what it and those before it do not tell is not older, Unix time */
	bool closed;
};

/* What a life has left. */
struct ledger_view {
	struct ledger_life life; /* the host's texts are views of the bytes, each with a NUL behind it */
	struct ledger_batch made, acknowledged;
	uint64_t found;                     /* books.found, and the numbers that came late */
	uint64_t kinds;                     /* of what may not have been told: bits 1 << enum event_action */
	uint64_t alive_ns;                  /* when it was alive for the last time, Unix time */
	uint64_t repeats;                   /* opens that the kernel had counted and nobody took: ledger_leave */
	uint64_t spool_device, spool_inode; /* of its spool's directory; 0, 0: it had none */
	struct text spool_path;
	struct stores stores; /* who has acknowledged how much */
};

/* --- this life's ------------------------------------------------------------------------------------------------------- */

struct ledger;

/* Writes a new page. 0, or -EINVAL: one of the host's texts is too long. */
int ledger_format(void *page, const struct ledger_life *life);

/* `page` was formatted, and must outlive the ledger. 0 or -ENOMEM. */
int ledger_open(struct ledger **ledger, void *page);

/* All that follow do nothing for NULL. */

/* Where its batches wait. */
void ledger_spool(struct ledger *ledger, uint64_t device, uint64_t inode, const char *path);

/* The event thread's. Before the batch is handed over. */
void ledger_made(struct ledger *ledger, const struct ledger_batch *batch);
uint64_t ledger_since(const struct ledger *ledger); /* the time_ns of that batch; 0: there was none */
void ledger_found(struct ledger *ledger, uint64_t found);
/* `kinds` replaces what was there; ledger_kind adds one. */
void ledger_kinds(struct ledger *ledger, uint64_t kinds);
void ledger_kind(struct ledger *ledger, enum event_action action);
void ledger_alive(struct ledger *ledger, uint64_t now_ns);

/* The stream's thread's: a batch is on its way, and then a collector has everything up to `sequence`. */
void ledger_sent(struct ledger *ledger, const struct ledger_batch *batch);
void ledger_acknowledged(struct ledger *ledger, uint64_t sequence);
void ledger_stores(struct ledger *ledger, const struct stores *stores);

void ledger_close(struct ledger *ledger);

/* --- a former one's ---------------------------------------------------------------------------------------------------- */

/* False: these bytes are no ledger, or were damaged. The view is good as long as they are. */
bool ledger_read(struct ledger_view *view, const void *bytes, size_t size);

/*
 * Writes what does not change of a life anew into a page that ledger_read does not take; what has checks of its own stays, and the
 * time of its start. False: the page does not say that it is of that host and this version, and is as it was.
 */
bool ledger_mend(void *page, const struct ledger_life *life);

/*
 * Notes in a former life's page what was found of it beside: before that is gone. Kinds and the time are added to those that it
 * has. Nothing happens to a page that is none.
 */
void ledger_leave(void *page, uint64_t repeats, uint64_t kinds, uint64_t newest_ns);

#endif
