/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of one size, each with a value of one size; of as many as are allowed the oldest makes room. */
#ifndef TAFFRAIL_BASE_RECENT_H
#define TAFFRAIL_BASE_RECENT_H

#include <stddef.h>

struct recent;

/* Sizes in bytes, `value_size` may be 0; `limit` keys are remembered. 0 or -ENOMEM. */
int recent_open(struct recent **recent, size_t key_size, size_t value_size, size_t limit);

/* The value of a key, or NULL where it is not there. Good until the next recent_add. */
void *recent_find(const struct recent *recent, const void *key);

/* Remembers a key that is not there: returns its value, zeroed, or NULL without memory. */
void *recent_add(struct recent *recent, const void *key);

/* NULL is allowed. */
void recent_close(struct recent *recent);

#endif
