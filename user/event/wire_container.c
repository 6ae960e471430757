/* SPDX-License-Identifier: Apache-2.0 */
/* Containers on the wire. */
#include <errno.h>

#include "event/wire_inside.h"

static size_t strings_size(const struct event_container *container)
{
	size_t size = 8 + container->name.length + container->image_name.length + container->image_tag.length +
		      container->image_digest.length + container->pod_name.length + container->pod_namespace.length +
		      container->pod_uid.length;

	for (size_t i = 0; i < container->pod_ip_count; i++)
		size += container->pod_ips[i].length + 1;
	for (size_t i = 0; i < container->label_count; i++)
		size += container->labels[i].key.length + container->labels[i].value.length + 2;
	return size;
}

bool wire_set_container(
	Taffrail__V1__Container *message, struct buffer *buffer, const struct event_container *container)
{
	struct wire_strings strings = {.size = strings_size(container)};
	size_t lists = container->pod_ip_count * sizeof(char *) +
		       container->label_count * (sizeof(Taffrail__V1__Label) + sizeof(Taffrail__V1__Label *));
	char *room;

	buffer_clear(buffer);
	room = buffer_reserve(buffer, lists + strings.size);
	if (!room)
		return false;

	Taffrail__V1__Label *labels = (void *)room;
	Taffrail__V1__Label **label_pointers = (void *)(labels + container->label_count);
	char **ips = (void *)(label_pointers + container->label_count);

	strings.room = room + lists;
	message->id = bytes_at(container->id, sizeof(container->id));
	message->name = wire_string(&strings, container->name);
	message->image_name = wire_string(&strings, container->image_name);
	message->image_tag = wire_string(&strings, container->image_tag);
	message->image_digest = wire_string(&strings, container->image_digest);
	message->pod_name = wire_string(&strings, container->pod_name);
	message->pod_namespace = wire_string(&strings, container->pod_namespace);
	message->pod_uid = wire_string(&strings, container->pod_uid);
	for (size_t i = 0; i < container->pod_ip_count; i++)
		ips[i] = wire_string(&strings, container->pod_ips[i]);
	message->n_pod_ip = container->pod_ip_count;
	message->pod_ip = ips;
	for (size_t i = 0; i < container->label_count; i++) {
		taffrail__v1__label__init(&labels[i]);
		labels[i].key = wire_string(&strings, container->labels[i].key);
		labels[i].value = wire_string(&strings, container->labels[i].value);
		label_pointers[i] = &labels[i];
	}
	message->n_label = container->label_count;
	message->label = label_pointers;
	message->sandbox_id = bytes_of(container->sandbox_id);
	message->attempt = container->attempt;
	message->sandbox = container->sandbox;
	return true;
}

int wire_read_container(struct wire_arena *arena, struct event_container *view, const Taffrail__V1__Container *message)
{
	struct event_label *labels = wire_arena_zeroed(arena, message->n_label, sizeof(*labels));
	struct text *ips = wire_arena_zeroed(arena, message->n_pod_ip, sizeof(*ips));

	if (!labels || !ips)
		return -ENOMEM;
	view->name = text_of(message->name);
	view->image_name = text_of(message->image_name);
	view->image_tag = text_of(message->image_tag);
	view->image_digest = text_of(message->image_digest);
	view->pod_name = text_of(message->pod_name);
	view->pod_namespace = text_of(message->pod_namespace);
	view->pod_uid = text_of(message->pod_uid);
	view->sandbox_id = text_of_bytes(message->sandbox_id);
	view->attempt = message->attempt;
	view->sandbox = message->sandbox;
	for (size_t i = 0; i < message->n_label; i++)
		labels[i] = (struct event_label){text_of(message->label[i]->key), text_of(message->label[i]->value)};
	for (size_t i = 0; i < message->n_pod_ip; i++)
		ips[i] = text_of(message->pod_ip[i]);
	view->labels = labels;
	view->label_count = message->n_label;
	view->pod_ips = ips;
	view->pod_ip_count = message->n_pod_ip;
	return 0;
}
