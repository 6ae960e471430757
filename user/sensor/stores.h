/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which collectors' stores have how much of an epoch. A collector is told (UpHello.elsewhere), so that it can tell what another one has from what it
 * has had and lost itself.
 */
#ifndef TAFFRAIL_SENSOR_STORES_H
#define TAFFRAIL_SENSOR_STORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORES_MAX = 16, STORE_ID_SIZE = 16 };

/* All zeros: a store without a name, as those of older collectors. */
struct store_id {
	uint8_t bytes[STORE_ID_SIZE];
};

struct store_mark {
	struct store_id id;
	uint64_t sequence; /* up to here it has everything, for it has said so; 0: the mark is free */
};

struct stores {
	struct store_mark marks[STORES_MAX];
};

/* From a message; of another length, or of zeros: one without a name. */
struct store_id store_id_of(const void *bytes, size_t length);
bool store_has_name(const struct store_id *id);
bool store_is(const struct store_id *a, const struct store_id *b);

/* A store has everything up to `sequence`. Of more than STORES_MAX stores the one that has the least is forgotten. */
void stores_note(struct stores *stores, const struct store_id *id, uint64_t sequence);

/* Up to where that one has everything, or any of them; 0: none. */
uint64_t stores_find(const struct stores *stores, const struct store_id *id);
uint64_t stores_highest(const struct stores *stores);

#endif
