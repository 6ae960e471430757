/* SPDX-License-Identifier: Apache-2.0 */
/* A list of numbers that grows. */
#ifndef TAFFRAIL_BASE_NUMBERS_H
#define TAFFRAIL_BASE_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: it is empty. */
struct numbers {
	uint64_t *items;
	size_t count, room;
};

/* 0, or -ENOMEM and it is as it was. */
int numbers_add(struct numbers *numbers, uint64_t number);

/* Ascending. */
void numbers_sort(struct numbers *numbers);

/* Is it in a list that is sorted? */
bool numbers_have(const struct numbers *numbers, uint64_t number);

/* It is empty then. */
void numbers_free(struct numbers *numbers);

#endif
