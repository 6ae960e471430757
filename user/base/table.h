/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table whose nodes live in the owner's structs: it allocates nothing but its array of chains, and owns nothing.
 * Keys come from hostile containers, so hash them with hash_bytes, which is seeded anew in each process.
 */
#ifndef TAFFRAIL_TABLE_H
#define TAFFRAIL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
	struct table_node *next;
	uint64_t hash;
};

struct table {
	struct table_node **chains; /* a power of two of them, or NULL while nothing was inserted */
	size_t chain_count;
	size_t count;
};

/* The struct of type `type` that holds `node` as its member `member`. */
#define table_entry(node, type, member) ((type *)(void *)((char *)(uintptr_t)(node)-offsetof(type, member)))

void table_init(struct table *table);

/* Adds a node; an equal key that is there already is not looked for, and found after it. 0, or -ENOMEM and nothing has changed. */
int table_insert(struct table *table, struct table_node *node, uint64_t hash);

/* The node with this hash for which `matches` says so, or NULL. */
struct table_node *table_find(const struct table *table, uint64_t hash,
	bool (*matches)(const struct table_node *node, const void *key), const void *key);

/* Takes out a node that is in the table. */
void table_remove(struct table *table, struct table_node *node);

static inline size_t table_count(const struct table *table)
{
	return table->count;
}

/* The first node, or the one after `node`, in no order; NULL at the end. */
struct table_node *table_next(const struct table *table, const struct table_node *node);

/* Walks over all nodes; the body may remove `node` (and free it), but no other. */
#define table_for_each(table, node)                                                                                    \
	for (struct table_node *table_next_ = ((node) = table_next(table, NULL), (node)) ? table_next(table, node)     \
											 : NULL;                       \
		(node); (node) = table_next_, table_next_ = (node) ? table_next(table, node) : NULL)

/* Frees the chains; the nodes are the owner's. May run twice. */
void table_free(struct table *table);

/* 64 bits of `length` bytes, seeded at random once in each process: nobody outside can choose what collides. */
uint64_t hash_bytes(const void *bytes, size_t length);

#endif
