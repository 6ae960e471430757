/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

void table_init(struct table *table)
{
	*table = (struct table){0};
}

static int grow(struct table *table)
{
	size_t wanted = table->chain_count ? 2 * table->chain_count : 64;
	struct table_node **chains = calloc(wanted, sizeof(*chains));

	if (!chains)
		return -ENOMEM;
	/* Each chain becomes two, in the order that it had: of equal keys the newest stays the first. */
	for (size_t i = 0; i < table->chain_count; i++) {
		struct table_node **low = &chains[i], **high = &chains[i + table->chain_count];

		for (struct table_node *node = table->chains[i]; node; node = node->next) {
			struct table_node ***end = node->hash & table->chain_count ? &high : &low;

			**end = node;
			*end = &node->next;
		}
		*low = *high = NULL;
	}
	free(table->chains);
	table->chains = chains;
	table->chain_count = wanted;
	return 0;
}

int table_insert(struct table *table, struct table_node *node, uint64_t hash)
{
	/* A table that cannot grow serves on, slower; only the first array is needed. */
	if (table->count >= table->chain_count && grow(table) < 0 && table->chain_count == 0)
		return -ENOMEM;

	struct table_node **chain = &table->chains[hash & (table->chain_count - 1)];

	node->hash = hash;
	node->next = *chain;
	*chain = node;
	table->count++;
	return 0;
}

struct table_node *table_find(const struct table *table, uint64_t hash,
	bool (*matches)(const struct table_node *node, const void *key), const void *key)
{
	if (table->chain_count == 0)
		return NULL;
	for (struct table_node *node = table->chains[hash & (table->chain_count - 1)]; node; node = node->next)
		if (node->hash == hash && matches(node, key))
			return node;
	return NULL;
}

void table_remove(struct table *table, struct table_node *node)
{
	struct table_node **link = &table->chains[node->hash & (table->chain_count - 1)];

	while (*link != node)
		link = &(*link)->next;
	*link = node->next;
	node->next = NULL;
	table->count--;
}

struct table_node *table_next(const struct table *table, const struct table_node *node)
{
	size_t chain = 0;

	if (node) {
		if (node->next)
			return node->next;
		chain = (node->hash & (table->chain_count - 1)) + 1;
	}
	for (; chain < table->chain_count; chain++)
		if (table->chains[chain])
			return table->chains[chain];
	return NULL;
}

void table_free(struct table *table)
{
	free(table->chains);
	table_init(table);
}

static uint64_t seed[2];

/* Before main: the hot path need not ask whether it is drawn. */
__attribute__((constructor)) static void draw_seed(void)
{
	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed)) {
		struct timespec now;

		clock_gettime(CLOCK_MONOTONIC, &now);
		seed[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
		seed[1] = (uintptr_t)&seed ^ (uint64_t)getpid();
	}
	seed[0] |= 1;
}

/* A 64 by 64 bit product folded to 64 bits: the step of wyhash and its kin. */
static uint64_t fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const unsigned char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

uint64_t hash_bytes(const void *bytes, size_t length)
{
	const unsigned char *next = bytes;
	const uint64_t secret = seed[1] ^ 0xe7037ed1a0b428dbull;
	uint64_t hash = seed[0] ^ length, first = 0, second = 0;
	size_t left = length;

	for (; left > 16; next += 16, left -= 16)
		hash = fold(word_at(next) ^ secret, word_at(next + 8) ^ hash);
	/* The rest is 16 bytes at most: two words, which overlap where it is shorter. */
	if (left >= 8) {
		first = word_at(next);
		second = word_at(next + left - 8);
	} else if (left > 0) {
		memcpy(&first, next, left);
	}
	hash = fold(first ^ secret, second ^ hash);
	return fold(hash ^ seed[1], 0x8ebc6af09c88c6e3ull);
}
