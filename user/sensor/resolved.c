/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/resolved.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/table.h"

/* What is asked for, without the holes of a struct. */
struct place {
	uint8_t container[EVENT_CONTAINER_ID_SIZE];
	uint8_t address[16];
	uint8_t family;
};

struct entry;

/* A list of entries, the oldest first: all, or one container's. */
struct list {
	struct entry *oldest, *newest;
	size_t count;
};

/* A container that has entries. */
struct owner {
	struct table_node node;
	uint8_t container[EVENT_CONTAINER_ID_SIZE];
	struct list entries;
	struct owner *spare;
};

enum { OF_ALL, OF_OWNER, LISTS };

struct entry {
	struct table_node node;
	struct place place;
	struct owner *owner;
	struct entry *older[LISTS], *newer[LISTS];
	uint64_t time_ns;
	uint8_t length;
	char name[RESOLVED_NAME_MAX];
};

struct resolved {
	struct table places, owners;
	struct list all;
	struct entry *entries; /* RESOLVED_MAX: pages are touched as they are needed */
	size_t used;
	struct entry *spare_entry; /* by older[OF_ALL] */
	struct owner *spares;      /* of the owners below, by `spare` */
	struct owner all_owners[RESOLVED_MAX];
};

static void leave(struct list *list, struct entry *entry, int which)
{
	*(entry->older[which] ? &entry->older[which]->newer[which] : &list->oldest) = entry->newer[which];
	*(entry->newer[which] ? &entry->newer[which]->older[which] : &list->newest) = entry->older[which];
	list->count--;
}

static void join(struct list *list, struct entry *entry, int which)
{
	entry->newer[which] = NULL;
	entry->older[which] = list->newest;
	*(list->newest ? &list->newest->newer[which] : &list->oldest) = entry;
	list->newest = entry;
	list->count++;
}

int resolved_open(struct resolved **out)
{
	struct resolved *resolved = calloc(1, sizeof(*resolved));

	if (!resolved)
		return -ENOMEM;
	resolved->entries = calloc(RESOLVED_MAX, sizeof(*resolved->entries));
	if (!resolved->entries) {
		free(resolved);
		return -ENOMEM;
	}
	table_init(&resolved->places);
	table_init(&resolved->owners);
	for (size_t i = RESOLVED_MAX; i-- > 0;) {
		resolved->all_owners[i].spare = resolved->spares;
		resolved->spares = &resolved->all_owners[i];
	}
	*out = resolved;
	return 0;
}

static struct place place_of(const uint8_t *container_id, const struct event_address *address)
{
	struct place place;

	memset(&place, 0, sizeof(place));
	if (container_id)
		memcpy(place.container, container_id, sizeof(place.container));
	memcpy(place.address, address->bytes, address->family == AF_INET ? 4 : 16);
	place.family = address->family;
	return place;
}

static bool is_place(const struct table_node *node, const void *key)
{
	return memcmp(&table_entry(node, struct entry, node)->place, key, sizeof(struct place)) == 0;
}

static bool is_owner(const struct table_node *node, const void *key)
{
	return memcmp(table_entry(node, struct owner, node)->container, key, EVENT_CONTAINER_ID_SIZE) == 0;
}

static struct entry *find(const struct resolved *resolved, const struct place *place)
{
	struct table_node *node = table_find(&resolved->places, hash_bytes(place, sizeof(*place)), is_place, place);

	return node ? table_entry(node, struct entry, node) : NULL;
}

static void forget(struct resolved *resolved, struct entry *entry)
{
	struct owner *owner = entry->owner;

	table_remove(&resolved->places, &entry->node);
	leave(&resolved->all, entry, OF_ALL);
	leave(&owner->entries, entry, OF_OWNER);
	entry->older[OF_ALL] = resolved->spare_entry;
	resolved->spare_entry = entry;
	if (owner->entries.count > 0)
		return;
	table_remove(&resolved->owners, &owner->node);
	owner->spare = resolved->spares;
	resolved->spares = owner;
}

/* The container's, made if it is not there: there are as many as entries. NULL without memory. */
static struct owner *owner_of(struct resolved *resolved, const uint8_t *container)
{
	uint64_t hash = hash_bytes(container, EVENT_CONTAINER_ID_SIZE);
	struct table_node *node = table_find(&resolved->owners, hash, is_owner, container);
	struct owner *owner = node ? table_entry(node, struct owner, node) : resolved->spares;

	if (node)
		return owner;
	memcpy(owner->container, container, sizeof(owner->container));
	owner->entries = (struct list){0};
	if (table_insert(&resolved->owners, &owner->node, hash) < 0)
		return NULL;
	resolved->spares = owner->spare;
	return owner;
}

static struct entry *take_entry(struct resolved *resolved)
{
	struct entry *entry = resolved->spare_entry;

	if (!entry)
		return &resolved->entries[resolved->used++];
	resolved->spare_entry = entry->older[OF_ALL];
	return entry;
}

/* A new entry at a place that has none. NULL without memory. */
static struct entry *add(struct resolved *resolved, const struct place *place)
{
	struct table_node *node;
	struct entry *entry;
	struct owner *owner;

	node = table_find(
		&resolved->owners, hash_bytes(place->container, sizeof(place->container)), is_owner, place->container);
	owner = node ? table_entry(node, struct owner, node) : NULL;
	if (owner && owner->entries.count == RESOLVED_CONTAINER_MAX)
		forget(resolved, owner->entries.oldest);
	else if (resolved->all.count == RESOLVED_MAX)
		forget(resolved, resolved->all.oldest);
	owner = owner_of(resolved, place->container);
	if (!owner)
		return NULL;
	entry = take_entry(resolved);
	entry->place = *place;
	entry->owner = owner;
	join(&resolved->all, entry, OF_ALL);
	join(&owner->entries, entry, OF_OWNER);
	if (table_insert(&resolved->places, &entry->node, hash_bytes(place, sizeof(*place))) == 0)
		return entry;
	leave(&resolved->all, entry, OF_ALL);
	leave(&owner->entries, entry, OF_OWNER);
	entry->older[OF_ALL] = resolved->spare_entry;
	resolved->spare_entry = entry;
	if (owner->entries.count == 0) {
		table_remove(&resolved->owners, &owner->node);
		owner->spare = resolved->spares;
		resolved->spares = owner;
	}
	return NULL;
}

void resolved_note(struct resolved *resolved, const uint8_t *container_id, const struct event_address *address,
	struct text name, uint64_t now_ns)
{
	struct place place = place_of(container_id, address);
	struct entry *entry = find(resolved, &place);

	if (name.length == 0 || name.length > RESOLVED_NAME_MAX)
		return;
	if (entry) {
		leave(&resolved->all, entry, OF_ALL);
		leave(&entry->owner->entries, entry, OF_OWNER);
		join(&resolved->all, entry, OF_ALL);
		join(&entry->owner->entries, entry, OF_OWNER);
	} else {
		entry = add(resolved, &place);
	}
	if (!entry)
		return;
	entry->time_ns = now_ns;
	entry->length = (uint8_t)name.length;
	memcpy(entry->name, name.data, name.length);
}

struct text resolved_find(const struct resolved *resolved, const uint8_t *container_id,
	const struct event_address *address, uint64_t now_ns)
{
	struct place place = place_of(container_id, address);
	const struct entry *entry = find(resolved, &place);

	if (!entry || (now_ns > entry->time_ns && now_ns - entry->time_ns > RESOLVED_AGE_NS))
		return (struct text){0};
	return (struct text){entry->name, entry->length};
}

size_t resolved_count(const struct resolved *resolved)
{
	return resolved->all.count;
}

void resolved_close(struct resolved *resolved)
{
	if (!resolved)
		return;
	table_free(&resolved->places);
	table_free(&resolved->owners);
	free(resolved->entries);
	free(resolved);
}
