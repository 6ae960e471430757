/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/repeat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"

enum {
	BLOCK = 384,       /* an open with its paths fits as a rule; a longer one is allocated alone */
	CHUNK_BLOCKS = 64, /* that are allocated at once, and kept */
};

/* Links of a list that is entered at its end and left anywhere. */
struct link {
	struct link *older, *newer;
};

struct list {
	struct link *oldest, *newest;
};

/* A process with opens that are kept. */
struct opener {
	struct table_node node;
	uint64_t start_ns;
	uint32_t tgid;
	struct list opens;
};

struct kept {
	struct table_node node;
	struct link by_age, by_opener;
	struct opener *opener;
	const struct event_process *image; /* held */
	uint64_t first_ns;
	uint32_t size; /* of the record */
	_Alignas(struct kernel_header) char bytes[];
};

/* An end that waits for its process's opens. */
struct held {
	struct link link;
	const struct event_process *image; /* held */
	struct kernel_exit exit;
};

struct chunk {
	struct chunk *next;
	_Alignas(max_align_t) char blocks[CHUNK_BLOCKS][BLOCK];
};

struct repeat_table {
	struct repeat_ops ops;
	uint64_t window_ns;
	struct table by_number, openers;
	struct list ages, ends;
	struct chunk *chunks;
	struct link *free_blocks; /* chained by `older` */
};

/* --- lists ----------------------------------------------------------------------------------------------------------- */

static void list_add(struct list *list, struct link *link)
{
	link->newer = NULL;
	link->older = list->newest;
	*(list->newest ? &list->newest->newer : &list->oldest) = link;
	list->newest = link;
}

static void list_remove(struct list *list, struct link *link)
{
	*(link->older ? &link->older->newer : &list->oldest) = link->newer;
	*(link->newer ? &link->newer->older : &list->newest) = link->older;
}

/* --- memory: no allocation for each record --------------------------------------------------------------------------- */

static void block_give(struct repeat_table *table, void *bytes)
{
	struct link *block = bytes;

	block->older = table->free_blocks;
	table->free_blocks = block;
}

static void *block_take(struct repeat_table *table, size_t size)
{
	struct link *block;

	if (size > BLOCK)
		return malloc(size);
	if (!table->free_blocks) {
		struct chunk *chunk = malloc(sizeof(*chunk));

		if (!chunk)
			return NULL;
		chunk->next = table->chunks;
		table->chunks = chunk;
		for (int i = 0; i < CHUNK_BLOCKS; i++)
			block_give(table, chunk->blocks[i]);
	}
	block = table->free_blocks;
	table->free_blocks = block->older;
	return block;
}

static void block_return(struct repeat_table *table, void *block, size_t size)
{
	if (size > BLOCK)
		free(block);
	else
		block_give(table, block);
}

int repeat_open(struct repeat_table **out, const struct repeat_ops *ops, uint64_t window_ns)
{
	struct repeat_table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->ops = *ops;
	table->window_ns = window_ns;
	table_init(&table->by_number);
	table_init(&table->openers);
	*out = table;
	return 0;
}

/* --- what is kept ---------------------------------------------------------------------------------------------------- */

struct opener_key {
	uint64_t start_ns;
	uint64_t tgid;
};

static bool is_opener(const struct table_node *node, const void *key_bytes)
{
	const struct opener *opener = table_entry(node, struct opener, node);
	const struct opener_key *key = key_bytes;

	return opener->start_ns == key->start_ns && opener->tgid == key->tgid;
}

static struct opener *find_opener(const struct repeat_table *table, const struct kernel_header *header, uint64_t *hash)
{
	const struct opener_key key = {header->start_ns, header->tgid};
	struct table_node *node;

	*hash = hash_bytes(&key, sizeof(key));
	node = table_find(&table->openers, *hash, is_opener, &key);
	return node ? table_entry(node, struct opener, node) : NULL;
}

static struct opener *add_opener(struct repeat_table *table, const struct kernel_header *header)
{
	uint64_t hash;
	struct opener *opener = find_opener(table, header, &hash);

	if (opener)
		return opener;
	opener = block_take(table, sizeof(*opener));
	if (!opener)
		return NULL;
	*opener = (struct opener){.start_ns = header->start_ns, .tgid = header->tgid};
	if (table_insert(&table->openers, &opener->node, hash) < 0) {
		block_return(table, opener, sizeof(*opener));
		return NULL;
	}
	return opener;
}

static void forget_opener(struct repeat_table *table, struct opener *opener)
{
	if (opener->opens.oldest)
		return;
	table_remove(&table->openers, &opener->node);
	block_return(table, opener, sizeof(*opener));
}

static struct kernel_open *open_of(struct kept *kept)
{
	return (struct kernel_open *)(void *)kept->bytes;
}

static bool has_number(const struct table_node *node, const void *number)
{
	return open_of(table_entry(node, struct kept, node))->repeat == *(const uint64_t *)number;
}

static void forget(struct repeat_table *table, struct kept *kept)
{
	table_remove(&table->by_number, &kept->node);
	list_remove(&table->ages, &kept->by_age);
	list_remove(&kept->opener->opens, &kept->by_opener);
	forget_opener(table, kept->opener);
	table->ops.release(kept->image);
	block_return(table, kept, sizeof(*kept) + kept->size);
}

/* Sends the record again for `count` opens that were equal to it. */
static void send_count(struct repeat_table *table, struct kernel_open *open, const struct event_process *image,
	uint64_t count, uint64_t now_ns)
{
	struct record record = {.open = open};

	if (count == 0)
		return;
	open->count = (uint32_t)count;
	open->header.time_ns = now_ns;
	table->ops.send(table->ops.context, &record, image);
}

static void settle(struct repeat_table *table, struct kept *kept, uint64_t now_ns)
{
	struct kernel_open *open = open_of(kept);

	send_count(table, open, kept->image, table->ops.take(table->ops.context, open->repeat), now_ns);
	forget(table, kept);
}

static bool keep(struct repeat_table *table, const struct record *record, const struct event_process *image)
{
	const struct kernel_header *header = record->header;
	struct kept *kept = block_take(table, sizeof(*kept) + header->size);
	struct opener *opener = kept ? add_opener(table, header) : NULL;

	if (!opener) {
		if (kept)
			block_return(table, kept, sizeof(*kept) + header->size);
		return false;
	}
	*kept = (struct kept){.opener = opener, .first_ns = header->time_ns, .size = header->size};
	memcpy(kept->bytes, header, header->size);
	if (table_insert(&table->by_number, &kept->node, hash_bytes(&record->open->repeat, sizeof(uint64_t))) < 0) {
		block_return(table, kept, sizeof(*kept) + header->size);
		forget_opener(table, opener);
		return false;
	}
	kept->image = image ? table->ops.hold(image) : NULL;
	list_add(&table->ages, &kept->by_age);
	list_add(&opener->opens, &kept->by_opener);
	return true;
}

void repeat_begin(struct repeat_table *table, const struct record *record, const struct event_process *image)
{
	uint64_t number = record->open->repeat;

	/* Two CPUs may have claimed the number at once, each a word of its own: both are taken together. */
	if (table_find(&table->by_number, hash_bytes(&number, sizeof(number)), has_number, &number))
		return;
	if (!keep(table, record, image)) {
		/* Without memory nothing may be counted there: what was is told now, from a copy of the fixed part. */
		struct kernel_open open = *record->open;

		open.header.size = sizeof(open);
		open.path = open.argument = open.directory = (struct kernel_string){0};
		send_count(table, &open, image, table->ops.take(table->ops.context, number), open.header.time_ns);
	}
}

/* --- ends -------------------------------------------------------------------------------------------------------------- */

void repeat_end(struct repeat_table *table, const struct record *record, const struct event_process *image)
{
	struct held *held = block_take(table, sizeof(*held));

	if (!held) {
		table->ops.send(table->ops.context, record, image);
		return;
	}
	*held = (struct held){.image = image ? table->ops.hold(image) : NULL, .exit = *record->exit};
	held->exit.header.size = sizeof(held->exit);
	list_add(&table->ends, &held->link);
}

static void send_end(struct repeat_table *table, struct held *held)
{
	struct record record = {.exit = &held->exit};
	uint64_t hash;
	struct opener *opener = find_opener(table, &held->exit.header, &hash);

	while (opener) {
		struct kept *oldest = table_entry(opener->opens.oldest, struct kept, by_opener);
		bool last = opener->opens.oldest == opener->opens.newest;

		settle(table, oldest, held->exit.header.time_ns);
		if (last)
			break;
	}
	table->ops.send(table->ops.context, &record, held->image);
	table->ops.release(held->image);
	list_remove(&table->ends, &held->link);
	block_return(table, held, sizeof(*held));
}

void repeat_ends(struct repeat_table *table, uint64_t read_ns)
{
	while (table->ends.oldest) {
		struct held *held = table_entry(table->ends.oldest, struct held, link);

		if (held->exit.header.time_ns > read_ns)
			return;
		send_end(table, held);
	}
}

bool repeat_holds(const struct repeat_table *table)
{
	return table->ends.oldest != NULL;
}

static struct kept *oldest_kept(const struct repeat_table *table)
{
	return table->ages.oldest ? table_entry(table->ages.oldest, struct kept, by_age) : NULL;
}

bool repeat_due(const struct repeat_table *table, uint64_t now_ns)
{
	const struct kept *kept = oldest_kept(table);

	return kept && kept->first_ns + table->window_ns <= now_ns;
}

void repeat_expire(struct repeat_table *table, uint64_t now_ns, size_t limit)
{
	for (; limit > 0 && repeat_due(table, now_ns); limit--)
		settle(table, oldest_kept(table), now_ns);
}

void repeat_finish(struct repeat_table *table, uint64_t now_ns)
{
	repeat_ends(table, UINT64_MAX);
	while (table->ages.oldest)
		settle(table, oldest_kept(table), now_ns);
}

size_t repeat_count(const struct repeat_table *table)
{
	return table_count(&table->by_number);
}

void repeat_close(struct repeat_table *table)
{
	if (!table)
		return;
	while (table->ages.oldest)
		forget(table, table_entry(table->ages.oldest, struct kept, by_age));
	while (table->ends.oldest) {
		struct held *held = table_entry(table->ends.oldest, struct held, link);

		table->ops.release(held->image);
		list_remove(&table->ends, &held->link);
		block_return(table, held, sizeof(*held));
	}
	for (struct chunk *chunk = table->chunks, *next; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	table_free(&table->by_number);
	table_free(&table->openers);
	free(table);
}
