/* SPDX-License-Identifier: Apache-2.0 */
#include "detect/flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/table.h"

bool flow_is_answered(const struct flow *flow)
{
	return flow->state == FLOW_ESTABLISHED || flow->packets_in > 0;
}

bool flow_has_failed(const struct flow *flow)
{
	return flow->state == FLOW_REFUSED || flow->state == FLOW_TIMED_OUT;
}

struct flow flow_flip(const struct flow *flow)
{
	struct flow flipped = *flow;

	flipped.local = flow->remote;
	flipped.remote = flow->local;
	flipped.inbound = !flow->inbound;
	flipped.bytes_out = flow->bytes_in;
	flipped.bytes_in = flow->bytes_out;
	flipped.packets_out = flow->packets_in;
	flipped.packets_in = flow->packets_out;
	flipped.name = (struct text){0};
	flipped.notes = (struct flow_notes){0};
	flipped.marks = (struct flow_marks){0};
	return flipped;
}

static size_t address_bytes(const struct event_address *address)
{
	return address->family == AF_INET ? 4 : 16;
}

bool flow_address_equal(const struct event_address *a, const struct event_address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, address_bytes(a)) == 0;
}

bool flow_address_is_many(const struct event_address *address)
{
	if (address->family == AF_INET6)
		return address->bytes[0] == 0xff;
	return address->bytes[0] >> 4 == 14 || memcmp(address->bytes, "\xff\xff\xff\xff", 4) == 0;
}

const char *flow_end_format(char text[FLOW_END_TEXT], const struct event_address *address)
{
	char digits[INET6_ADDRSTRLEN] = "?";

	inet_ntop(address->family, address->bytes, digits, sizeof(digits));
	if (address->port == 0)
		snprintf(text, FLOW_END_TEXT, "%s", digits);
	else
		snprintf(text, FLOW_END_TEXT, address->family == AF_INET6 ? "[%s]:%u" : "%s:%u", digits, address->port);
	return text;
}

/* --- inside --------------------------------------------------------------------------------------------------------------- */

int flow_ranges_add(struct flow_ranges *ranges, const char *text)
{
	struct flow_range range = {0};
	char address[INET6_ADDRSTRLEN], *end;
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long most;

	if (length >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, length);
	address[length] = '\0';
	range.address.family = memchr(address, ':', length) ? AF_INET6 : AF_INET;
	if (inet_pton(range.address.family, address, range.address.bytes) != 1)
		return -EINVAL;
	most = 8 * address_bytes(&range.address);
	range.bits = (unsigned int)most;
	if (slash) {
		unsigned long bits = strtoul(slash + 1, &end, 10);

		if (slash[1] < '0' || slash[1] > '9' || *end || bits > most)
			return -EINVAL;
		range.bits = (unsigned int)bits;
	}
	if (ranges->count == FLOW_RANGES_MAX)
		return -ENOSPC;
	ranges->ranges[ranges->count++] = range;
	return 0;
}

void flow_ranges_default(struct flow_ranges *ranges)
{
	static const char *const texts[] = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255", "::1", "ff00::/8", "fc00::/7",
		"fe80::/10"};

	ranges->count = 0;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		flow_ranges_add(ranges, texts[i]);
}

static bool range_holds(const struct flow_range *range, const struct event_address *address)
{
	size_t whole = range->bits / 8;
	uint8_t mask = (uint8_t)(0xff00 >> range->bits % 8);

	if (range->address.family != address->family || memcmp(range->address.bytes, address->bytes, whole) != 0)
		return false;
	return mask == 0 || ((range->address.bytes[whole] ^ address->bytes[whole]) & mask) == 0;
}

bool flow_ranges_hold(const struct flow_ranges *ranges, const struct event_address *address)
{
	for (size_t i = 0; i < ranges->count; i++)
		if (range_holds(&ranges->ranges[i], address))
			return true;
	return false;
}

/* --- the table ------------------------------------------------------------------------------------------------------------ */

/* What names a flow: two ends and the transport, without the holes of a struct. */
struct flow_id {
	uint8_t bytes[2 * 18 + 2];
};

struct flow_entry {
	struct table_node node;
	struct flow_entry *older, *newer;
	struct flow_id id;
	max_align_t extra[];
};

struct flow_table {
	struct table table;
	char *entries;
	size_t entry_size, capacity, used;
	struct flow_entry *oldest, *newest;
	uint64_t pushed_out;
};

static struct flow_entry *entry_at(const struct flow_table *table, size_t number)
{
	return (struct flow_entry *)(void *)(table->entries + table->entry_size * number);
}

static struct flow_id id_of(uint8_t transport, const struct event_address *one, const struct event_address *other)
{
	struct flow_id id = {0};
	const struct event_address *const ends[] = {one, other};

	for (size_t i = 0; i < 2; i++) {
		memcpy(id.bytes + 18 * i, ends[i]->bytes, address_bytes(ends[i]));
		id.bytes[18 * i + 16] = (uint8_t)(ends[i]->port >> 8);
		id.bytes[18 * i + 17] = (uint8_t)ends[i]->port;
	}
	id.bytes[36] = transport;
	id.bytes[37] = one->family;
	return id;
}

/*
 * Lets the chains grow to what `capacity` entries want: no flow that is added later needs memory then. Only one entry is
 * touched, for the table is empty and counts itself full.
 */
static int reserve(struct flow_table *table)
{
	struct flow_entry *entry = entry_at(table, 0);
	int error = 0;

	for (size_t count = 0; count < table->capacity && !error; count = table->table.chain_count) {
		table->table.count = count;
		error = table_insert(&table->table, &entry->node, 0);
		if (!error)
			table_remove(&table->table, &entry->node);
		if (table->table.chain_count <= count)
			break; /* it serves on, slower */
	}
	table->table.count = 0;
	return error;
}

int flow_table_open(struct flow_table **table, size_t capacity, size_t extra)
{
	struct flow_table *made = calloc(1, sizeof(*made));
	size_t size = sizeof(struct flow_entry) + extra;

	*table = NULL;
	if (!made)
		return -ENOMEM;
	size = (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
	table_init(&made->table);
	made->entry_size = size;
	made->capacity = capacity;
	made->entries = calloc(capacity, size);
	if (!made->entries || reserve(made) < 0) {
		flow_table_close(made);
		return -ENOMEM;
	}
	*table = made;
	return 0;
}

static void unlink_entry(struct flow_table *table, struct flow_entry *entry)
{
	*(entry->older ? &entry->older->newer : &table->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &table->newest) = entry->older;
}

static void link_newest(struct flow_table *table, struct flow_entry *entry)
{
	entry->older = table->newest;
	entry->newer = NULL;
	*(table->newest ? &table->newest->newer : &table->oldest) = entry;
	table->newest = entry;
}

static bool is_flow(const struct table_node *node, const void *key)
{
	return memcmp(&table_entry(node, struct flow_entry, node)->id, key, sizeof(struct flow_id)) == 0;
}

void *flow_table_find(
	struct flow_table *table, uint8_t transport, const struct event_address *one, const struct event_address *other)
{
	struct flow_id id = id_of(transport, one, other);
	struct table_node *node = table_find(&table->table, hash_bytes(&id, sizeof(id)), is_flow, &id);
	struct flow_entry *entry;

	if (!node)
		return NULL;
	entry = table_entry(node, struct flow_entry, node);
	unlink_entry(table, entry);
	link_newest(table, entry);
	return entry->extra;
}

void *flow_table_add(
	struct flow_table *table, uint8_t transport, const struct event_address *one, const struct event_address *other)
{
	struct flow_id id = id_of(transport, one, other);
	struct flow_entry *entry = table->oldest;

	if (table->used < table->capacity) {
		entry = entry_at(table, table->used++);
	} else {
		table_remove(&table->table, &entry->node);
		unlink_entry(table, entry);
		table->pushed_out++;
	}
	memset(entry, 0, table->entry_size);
	entry->id = id;
	/* It has room: see reserve(). */
	(void)table_insert(&table->table, &entry->node, hash_bytes(&id, sizeof(id)));
	link_newest(table, entry);
	return entry->extra;
}

void *flow_table_next(const struct flow_table *table, const void *extra)
{
	const struct flow_entry *entry =
		extra ? (const void *)((const char *)extra - offsetof(struct flow_entry, extra)) : NULL;
	struct flow_entry *next = entry ? entry->older : table->newest;

	return next ? next->extra : NULL;
}

uint64_t flow_table_pushed_out(const struct flow_table *table)
{
	return table->pushed_out;
}

void flow_table_close(struct flow_table *table)
{
	if (!table)
		return;
	table_free(&table->table);
	free(table->entries);
	free(table);
}
