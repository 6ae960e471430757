/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are named by a number: NNNNNNNNNNNNNNNN.ENDING, 16 decimal digits, from 1. */
#ifndef TAFFRAIL_BASE_NUMBERED_H
#define TAFFRAIL_BASE_NUMBERED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/numbers.h"

enum { NUMBERED_NAME_SIZE = 16 + 8 + 1 }; /* with an ending of up to 8 bytes, its dot among them */

/* Of a number that has more digits the last 16 are taken. */
void numbered_name(char name[NUMBERED_NAME_SIZE], uint64_t number, const char *ending);

/* False: it is no such name. */
bool numbered_parse(const char *name, const char *ending, uint64_t *number);

/*
 * Adds the numbers of the files in a directory that have that ending, and sorts the list. 0, or -errno: what was found before
 * is in the list.
 */
int numbered_list(int directory, const char *ending, struct numbers *numbers);

#endif
