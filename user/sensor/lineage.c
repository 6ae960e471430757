/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/lineage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "sensor/image.h"

enum { DEEP = 256 }; /* of parents and leaders: a writer's are less deep, and another's are cut */

/* An image is named by both: a child may be of one that its parent has not any more. */
struct key {
	uint8_t entity[EVENT_ENTITY_SIZE];
	uint32_t exec_counter;
};

struct known {
	struct table_node node;
	struct key key;
	struct image *image; /* held */
};

struct lineage {
	struct table images;
	struct table living; /* by the entity alone */
};

static struct key key_of(const struct event_process *view, bool living)
{
	struct key key = {.exec_counter = living ? 0 : view->exec_counter};

	memcpy(key.entity, view->entity, sizeof(key.entity));
	return key;
}

static bool matches(const struct table_node *node, const void *key)
{
	return memcmp(&table_entry(node, struct known, node)->key, key, sizeof(struct key)) == 0;
}

static struct known *find(const struct table *table, const struct key *key)
{
	struct table_node *node = table_find(table, hash_bytes(key, sizeof(*key)), matches, key);

	return node ? table_entry(node, struct known, node) : NULL;
}

static int note(struct table *table, const struct key *key, struct image *image)
{
	struct known *known = malloc(sizeof(*known));

	if (!known)
		return -ENOMEM;
	known->key = *key;
	known->image = image;
	if (table_insert(table, &known->node, hash_bytes(key, sizeof(*key))) < 0) {
		free(known);
		return -ENOMEM;
	}
	image->references++;
	return 0;
}

/* An image and those that it refers to. NULL without memory or room; what was made so far stays for the others. */
static struct image *make(struct lineage *lineage, const struct event_process *view, int deep)
{
	struct key key = key_of(view, false);
	struct known *known = find(&lineage->images, &key);
	struct image *image, *parent = NULL, *leader = NULL;

	if (known)
		return known->image;
	if (table_count(&lineage->images) >= LINEAGE_IMAGES_MAX)
		return NULL;
	if (view->parent && deep > 0)
		parent = make(lineage, view->parent, deep - 1);
	if (view->entry_leader && view->entry_leader != view && deep > 0)
		leader = make(lineage, view->entry_leader, deep - 1);
	image = image_former(view);
	if (!image)
		return NULL;
	image_set_parent(image, parent);
	if (view->entry_leader)
		image_set_leader(image, view->entry_leader == view ? image : leader);
	if (note(&lineage->images, &key, image) < 0) {
		image->references = 1;
		image_release(image);
		return NULL;
	}
	return image;
}

int lineage_open(struct lineage **out)
{
	struct lineage *lineage = calloc(1, sizeof(*lineage));

	if (!lineage)
		return -ENOMEM;
	table_init(&lineage->images);
	table_init(&lineage->living);
	*out = lineage;
	return 0;
}

int lineage_add(struct lineage *lineage, const struct event_process *process)
{
	struct key key = key_of(process, true);
	struct image *image = make(lineage, process, DEEP);

	if (!image)
		return table_count(&lineage->images) >= LINEAGE_IMAGES_MAX ? -ENOSPC : -ENOMEM;
	return find(&lineage->living, &key) ? 0 : note(&lineage->living, &key, image);
}

struct image *lineage_adopt(struct lineage *lineage, const uint8_t entity[EVENT_ENTITY_SIZE])
{
	struct known *known;
	struct image *image;
	struct key key = {0};

	memcpy(key.entity, entity, sizeof(key.entity));
	known = find(&lineage->living, &key);
	if (!known)
		return NULL;
	image = known->image;
	image->references--; /* the table of all images still holds it */
	table_remove(&lineage->living, &known->node);
	free(known);
	return image;
}

size_t lineage_left(const struct lineage *lineage)
{
	return table_count(&lineage->living);
}

void lineage_close(struct lineage *lineage)
{
	struct table *tables[2];
	struct table_node *node;

	if (!lineage)
		return;
	tables[0] = &lineage->living;
	tables[1] = &lineage->images;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		table_for_each(tables[i], node) {
			struct known *known = table_entry(node, struct known, node);

			table_remove(tables[i], node);
			image_release(known->image);
			free(known);
		}
		table_free(tables[i]);
	}
	free(lineage);
}
