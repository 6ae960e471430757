/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rings lost: every record has a number per CPU, lane and ring, so a number that does not come is a record that is
 * gone. Gaps are kept for a while (a program that was interrupted between taking its number and sending may come late)
 * and are then declared, exactly.
 */
#ifndef TAFFRAIL_SENSOR_LOSS_H
#define TAFFRAIL_SENSOR_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/kernel_event.h"
#include "event/event.h"

struct loss;

/* `cpus`: as many as the kernel may number; `lanes`: of numbers that each has. 0 or -ENOMEM. */
int loss_open(struct loss **loss, unsigned int cpus, unsigned int lanes);

/* Notes the number of a record that arrived. False: it is of no such CPU, and no record of the kernel's. */
bool loss_seen(struct loss *loss, const struct kernel_header *header);

/*
 * Declares the gaps that have stood for a second, or all if `final`. `counters` are the kernel's, one per CPU and lane, taken
 * BEFORE both rings were read empty, so that what they count and did not come is lost; NULL if the rings were not empty.
 * `report` gets the finished event_lost, times in boot nanoseconds.
 */
void loss_declare(struct loss *loss, const struct kernel_counters *counters, uint64_t now_ns, bool final,
	void (*report)(void *context, const struct event_lost *lost), void *context);

/* Records lost so far, declared or not, in one ring. */
uint64_t loss_total(const struct loss *loss, enum kernel_ring ring);

/*
 * For the books: the numbers known to have been given out, with the repeats of opens that were found lost; and how many of
 * them did not come and are not declared yet. A number that came after it was declared lost counts twice, as lost and as come:
 * loss_late says how often that was.
 */
uint64_t loss_known(const struct loss *loss);
uint64_t loss_undeclared(const struct loss *loss);
uint64_t loss_late(const struct loss *loss);

void loss_close(struct loss *loss);

#endif
