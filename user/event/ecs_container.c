/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of a container and its pod. */
#include "event/ecs.h"
#include "event/ecs_document.h"

static void put_one_in_array(struct document *document, struct text text, const char *field)
{
	json_array_begin(&document->json);
	if (json_string(&document->json, text))
		document_escaped(document, field);
	json_array_end(&document->json);
}

void put_container(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;
	struct json_mark image, hash;
	char id[2 * EVENT_CONTAINER_ID_SIZE];

	ecs_hex(id, container->id, sizeof(container->id));
	json_key(json, "container");
	json_object_begin(json);
	json_key(json, "id");
	json_plain(json, id, sizeof(id));
	put_text(document, "name", "container.name", container->name);
	image = json_optional_begin(json, "image");
	put_text(document, "name", "container.image.name", container->image_name);
	if (container->image_tag.length > 0) {
		json_key(json, "tag");
		put_one_in_array(document, container->image_tag, "container.image.tag");
	}
	hash = json_optional_begin(json, "hash");
	if (container->image_digest.length > 0) {
		json_key(json, "all");
		put_one_in_array(document, container->image_digest, "container.image.hash.all");
	}
	json_optional_end(json, hash);
	json_optional_end(json, image);
	json_object_end(json);
}

void put_orchestrator(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;

	if (container->pod_name.length == 0)
		return;
	json_key(json, "orchestrator");
	json_object_begin(json);
	json_key(json, "type");
	json_literal(json, "kubernetes");
	if (document->event->host->cluster.length > 0) {
		json_key(json, "cluster");
		json_object_begin(json);
		put_text(document, "name", "orchestrator.cluster.name", document->event->host->cluster);
		json_object_end(json);
	}
	put_text(document, "namespace", "orchestrator.namespace", container->pod_namespace);
	json_key(json, "resource");
	json_object_begin(json);
	json_key(json, "type");
	json_literal(json, "pod");
	put_text(document, "name", "orchestrator.resource.name", container->pod_name);
	put_text(document, "id", "orchestrator.resource.id", container->pod_uid);
	if (container->pod_ip_count > 0) {
		json_key(json, "ip");
		json_array_begin(json);
		for (size_t i = 0; i < container->pod_ip_count; i++)
			json_string(json, container->pod_ips[i]);
		json_array_end(json);
	}
	json_object_end(json);
	json_object_end(json);
}

void put_labels(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;

	if (container->label_count == 0)
		return;
	json_key(json, "kubernetes");
	json_object_begin(json);
	json_key(json, "labels");
	json_object_begin(json);
	for (size_t i = 0; i < container->label_count; i++) {
		bool key = json_key_text(json, container->labels[i].key);

		if (json_string(json, container->labels[i].value) || key)
			document_escaped(document, "kubernetes.labels");
	}
	json_object_end(json);
	json_object_end(json);
}
