/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <errno.h>
#include <pthread.h>
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
	for (size_t i = 0; i < table->chain_count; i++)
		for (struct table_node *node = table->chains[i], *next; node; node = next) {
			struct table_node **chain = &chains[node->hash & (wanted - 1)];

			next = node->next;
			node->next = *chain;
			*chain = node;
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

static void draw_seed(void)
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

uint64_t hash_bytes(const void *bytes, size_t length)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *next = bytes;
	uint64_t hash;

	pthread_once(&once, draw_seed);
	hash = seed[0] ^ length;
	for (size_t left = length; left > 0;) {
		uint64_t word = 0;
		size_t take = left < sizeof(word) ? left : sizeof(word);

		memcpy(&word, next, take);
		hash = fold(hash ^ word ^ 0x9e3779b97f4a7c15ull, seed[1] ^ 0xe7037ed1a0b428dbull);
		next += take;
		left -= take;
	}
	return fold(hash ^ seed[1], 0x8ebc6af09c88c6e3ull);
}
