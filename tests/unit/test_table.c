/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/table.h"

struct item {
	int key;
	struct table_node node;
	bool seen;
};

static bool matches(const struct table_node *node, const void *key)
{
	return table_entry(node, struct item, node)->key == *(const int *)key;
}

static struct item *find(const struct table *table, uint64_t hash, int key)
{
	struct table_node *node = table_find(table, hash, matches, &key);

	return node ? table_entry(node, struct item, node) : NULL;
}

Test(table, an_empty_one_has_nothing)
{
	struct table table;
	struct table_node *node;

	table_init(&table);
	cr_assert_null(find(&table, 1, 1));
	cr_assert_null(table_next(&table, NULL));
	cr_assert_eq(table_count(&table), 0);
	table_for_each(&table, node)
		cr_assert_fail("there is nothing to walk over");
	table_free(&table);
	table_free(&table);
}

/* All of them in one chain: what hash_bytes makes unlikely must still be right. */
Test(table, keys_of_one_hash_are_told_apart)
{
	struct item items[300] = {0};
	struct table table;

	table_init(&table);
	for (int i = 0; i < 300; i++) {
		items[i].key = i;
		cr_assert_eq(table_insert(&table, &items[i].node, 42), 0);
	}
	cr_assert_eq(table_count(&table), 300);
	for (int i = 0; i < 300; i++)
		cr_assert_eq(find(&table, 42, i), &items[i]);
	cr_assert_null(find(&table, 42, 300));
	cr_assert_null(find(&table, 42 + 64, 5), "the hash is compared whole, not only by its chain");
	for (int i = 0; i < 300; i += 2)
		table_remove(&table, &items[i].node);
	for (int i = 0; i < 300; i++)
		cr_assert_eq(find(&table, 42, i), i % 2 ? &items[i] : NULL);
	cr_assert_eq(table_count(&table), 150);
	table_free(&table);
}

Test(table, equal_keys_live_side_by_side)
{
	struct item first = {.key = 7}, second = {.key = 7};
	struct table table;

	table_init(&table);
	table_insert(&table, &first.node, 1);
	table_insert(&table, &second.node, 1);
	cr_assert_eq(table_count(&table), 2);

	struct item *found = find(&table, 1, 7);

	table_remove(&table, &found->node);
	cr_assert_eq(find(&table, 1, 7), found == &first ? &second : &first);
	table_free(&table);
}

Test(table, a_walk_meets_each_once_also_when_its_body_takes_nodes_out_and_frees_them)
{
	const int count = 5000;
	struct table table;
	struct table_node *node;
	int met = 0, left = 0;

	table_init(&table);
	for (int i = 0; i < count; i++) {
		struct item *item = calloc(1, sizeof(*item));

		item->key = i;
		cr_assert_eq(table_insert(&table, &item->node, hash_bytes(&i, sizeof(i)) & ~3ull), 0);
	}
	table_for_each(&table, node) {
		struct item *item = table_entry(node, struct item, node);

		cr_assert_not(item->seen, "%d twice", item->key);
		item->seen = true;
		met++;
		if (item->key % 3) {
			table_remove(&table, node);
			free(item);
		}
	}
	cr_assert_eq(met, count);
	table_for_each(&table, node) {
		cr_assert_eq(table_entry(node, struct item, node)->key % 3, 0);
		left++;
		table_remove(&table, node);
		free(table_entry(node, struct item, node));
	}
	cr_assert_eq(left, (count + 2) / 3);
	cr_assert_eq(table_count(&table), 0);
	cr_assert_null(table_next(&table, NULL));
	table_free(&table);
}

/* Also after each time that it grew, at 64, 128 and 256. */
Test(table, of_equal_keys_the_newest_is_found_first)
{
	struct item first = {.key = -1}, second = {.key = -1}, others[600] = {0};
	struct table table;

	table_init(&table);
	table_insert(&table, &first.node, 42);
	table_insert(&table, &second.node, 42);
	for (int i = 0; i < 600; i++) {
		others[i].key = i;
		table_insert(&table, &others[i].node, i % 2 ? 42 : hash_bytes(&i, sizeof(i)));
		cr_assert_eq(find(&table, 42, -1), &second, "behind %d more", i + 1);
	}
	table_free(&table);
}

/* Against a plain array, in random order. */
Test(table, random_insertions_and_removals_keep_it_right)
{
	static struct item items[2000];
	static bool in[2000];
	struct table table;
	size_t count = 0;

	srand(7);
	table_init(&table);
	for (int round = 0; round < 100000; round++) {
		int key = rand() % 2000;
		uint64_t hash = (uint64_t)key * 0x9e3779b97f4a7c15ull >> (key % 5 ? 0 : 60);

		cr_assert_eq(find(&table, hash, key), in[key] ? &items[key] : NULL);
		items[key].key = key;
		if (in[key])
			table_remove(&table, &items[key].node);
		else
			cr_assert_eq(table_insert(&table, &items[key].node, hash), 0);
		in[key] = !in[key];
		count += in[key] ? 1 : (size_t)-1;
		cr_assert_eq(table_count(&table), count);
	}
	table_free(&table);
}

Test(table, hashes_are_of_the_bytes_and_their_number)
{
	const char zeros[32] = {0};
	uint64_t seen[33];

	for (size_t i = 0; i <= 32; i++) {
		seen[i] = hash_bytes(zeros, i);
		cr_assert_eq(seen[i], hash_bytes(zeros, i));
		for (size_t j = 0; j < i; j++)
			cr_assert_neq(seen[i], seen[j], "%zu and %zu zero bytes", i, j);
	}
}

/* The chain is chosen by the low bits: keys that differ little must not gather in few of them. */
Test(table, near_keys_spread)
{
	unsigned int chains[1024] = {0}, fullest = 0;

	for (uint64_t key = 0; key < 16 * 1024; key++) {
		unsigned int *chain = &chains[hash_bytes(&key, sizeof(key)) & 1023];

		if (++*chain > fullest)
			fullest = *chain;
	}
	cr_assert_lt(fullest, 64, "%u of 16384 keys in one of 1024 chains", fullest);
}
