/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of one epoch of a sensor: what is stored of it, and what its sensor says of itself (Books of stream.proto).
 * It is made of the frames of the store alone, one by one, so that whoever reads the store comes to the same account.
 *
 *   made     the highest number that is stored
 *   missing  = made - events - taken_out - elsewhere: numbers that nobody accounts for
 *
 * Records are the kernel's, numbers are the sensor's: one record may make no event, or several. What spool, stream and
 * store lose are numbers, and each such record counts its own. So they change what is delivered, and never the difference:
 *
 *   waiting    = held + undeclared
 *   delivered  = settled - lost[spool] - lost[stream] - lost[store] - missing
 *   difference = seen - delivered - lost of all stages - lost_elsewhere - waiting
 *
 * What another collector has tells losses, too, of which nothing is known here but that the books count them. That is what
 * the books behind such numbers count more than those before them, and no record in between tells; whatever the books count
 * at another place and no record tells is a difference, in an epoch that two collectors share as in any other.
 */
#ifndef TAFFRAIL_COLLECTOR_ACCOUNT_H
#define TAFFRAIL_COLLECTOR_ACCOUNT_H

#include "collector/segment.h"

/* The stages of events_lost. What a sensor calls otherwise is `other`, so that strangers' words take no room here. */
enum account_stage {
	ACCOUNT_RING_CRITICAL,
	ACCOUNT_RING_BULK,
	ACCOUNT_KERNEL,
	ACCOUNT_SENSOR,
	ACCOUNT_SPOOL,
	ACCOUNT_STREAM,
	ACCOUNT_STORE,
	ACCOUNT_OTHER,
	ACCOUNT_STAGES
};

/* Counts from outside that are larger are taken as this: sums of some of them are numbers still. */
#define ACCOUNT_COUNT_MAX (1ull << 58)

struct account_books {
	bool there;
	bool closed;
	uint64_t seen, settled, held, undeclared;
};

struct account {
	uint64_t made;
	uint64_t events;    /* numbers that a stored event has */
	uint64_t taken_out; /* numbers that a stored batch says no record has */
	uint64_t elsewhere; /* ... that another collector has, as the sensor said: batches without record and books */
	uint64_t first_ns, last_ns; /* of the events' times, Unix time; 0: there is none */
	uint64_t lost[ACCOUNT_STAGES];
	uint64_t lost_elsewhere; /* records that are told as lost there */
	int64_t untold_before; /* `behind_elsewhere`: what the books before them counted as declared and no record told */
	struct account_books books; /* the last that came */
	bool behind_elsewhere;      /* no books came since numbers that another collector has */
	uint64_t folded;            /* 0: one epoch's; else the sum of so many (account_fold) */
};

/* What a batch says of its host: views into it. */
struct account_host {
	struct text name, boot_id, cluster;
};

/* A batch, read as far as its account goes. */
struct account_reading {
	uint64_t from;   /* events with a lower number are another frame's */
	uint64_t lowest; /* the lowest number of an event in it; UINT64_MAX: it has none */
	uint64_t all;    /* events, of other frames too */
	uint64_t events; /* those from `from` on, as what follows */
	uint64_t first_ns, last_ns;
	uint64_t lost[ACCOUNT_STAGES];
	struct account_books books;
	struct account_host host;
};

/* Reads a batch from its first event on. 0, or -EBADMSG: no account can be made of it. */
int account_read(struct text batch, struct account_reading *reading);

/*
 * Adds what a frame brings; its batch is not read again where it comes with its reading and all of it counts. Frames come in the order of the store; what an earlier one had already counts once. `host` is
 * what its batch says. -EBADMSG: its batch cannot be read, and then its numbers are missing.
 */
int account_add(struct account *account, const struct segment_frame *frame, struct account_host *host);

/* Is there nothing in it: no number, no books? */
bool account_is_empty(const struct account *account);

bool account_books_equal(const struct account_books *a, const struct account_books *b);

/*
 * Adds an epoch's account to a sum of such (all zero at first), if it has told all: its books are closed, nothing waits, and it
 * balances. False: it has not, or the numbers are too large; and nothing has changed.
 */
bool account_fold(struct account *sum, const struct account *account);

/* "ring-critical", "ring-bulk", "kernel", "sensor", "spool", "stream", "store", "other". */
const char *account_stage_name(enum account_stage stage);
/* ACCOUNT_OTHER for a name that is none of them. */
enum account_stage account_stage_find(struct text name);

struct account_balance {
	uint64_t missing;
	/*
	 * Only without `elsewhere`, and with books; else 0. Signed: a sensor may say anything, and one record that became two
	 * events, both lost, was delivered less than once.
	 */
	int64_t delivered, waiting;
	uint64_t lost_elsewhere; /* the account's; 0 without books */
	int64_t difference;      /* 0: it balances. Without books: what is missing */
};

struct account_balance account_balance(const struct account *account);

/*
 * The sum of many accounts. A sensor may say anything: what leaves the type's range stays at its end, and a difference there is
 * one still.
 */
struct account_totals {
	uint64_t seen, waiting, difference, lost[ACCOUNT_STAGES];
	uint64_t unbalanced; /* accounts with a difference */
	int64_t delivered;
};

void account_totals_add(struct account_totals *totals, const struct account *account);

#endif
