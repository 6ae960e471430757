/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Double entry of the kernel's records: each that came is settled once, when the events that tell it have gone to the encoder,
 * or when it needs none (filtered, a part of another, state alone). What came and is not settled is held by some stage.
 *
 * A count of equal opens, which the kernel did not number, comes as so many records when it is taken from the kernel.
 */
#ifndef TAFFRAIL_SENSOR_BOOKS_H
#define TAFFRAIL_SENSOR_BOOKS_H

#include <stdbool.h>
#include <stdint.h>

#include "event/wire.h"
#include "sensor/record.h"

struct books {
	uint64_t arrived[KERNEL_KINDS_END], settled[KERNEL_KINDS_END]; /* by kind */
	uint64_t found; /* seen without a number: repeats that were taken, and what the programs missed */
	uint64_t kinds; /* bits 1 << enum event_action: came since the last batch, or was held then */
	bool closed;    /* nothing more comes */
};

/* How many records this one stands for. */
static inline uint64_t books_weight(const struct record *record)
{
	return record->header->kind == KERNEL_OPEN && record->open->count > 1 ? record->open->count : 1;
}

static inline void books_arrived(struct books *books, enum kernel_kind kind, uint64_t count)
{
	books->arrived[kind] += count;
}

static inline void books_settled(struct books *books, enum kernel_kind kind, uint64_t count)
{
	books->settled[kind] += count;
}

/* The sums now; `known` and `undeclared` as the loss room knows them. */
void books_sum(const struct books *books, uint64_t known, uint64_t undeclared, struct wire_books *sums);

/* Which events are held: bits 1 << enum event_action. */
uint64_t books_held_kinds(const struct books *books);

#endif
