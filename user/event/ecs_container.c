/* SPDX-License-Identifier: Apache-2.0 */
/* What an ECS document tells of a container and its pod. */
#include "event/ecs.h"
#include "event/ecs_document.h"
#include "event/names.h"

static void put_one_in_array(struct document *document, struct text text, const char *field)
{
	json_array_begin(&document->json);
	if (json_string(&document->json, text))
		document_escaped(document, field);
	json_array_end(&document->json);
}

static void put_container_id(struct json *json, const uint8_t id[EVENT_CONTAINER_ID_SIZE])
{
	char text[2 * EVENT_CONTAINER_ID_SIZE];

	ecs_hex(text, id, EVENT_CONTAINER_ID_SIZE);
	json_plain(json, text, sizeof(text));
}

/* The spec that the event tells of; NULL: none. What event->container has of it stays in the sensor. */
static const struct event_spec *spec_of(const struct event *event)
{
	return event->action == EVENT_CONTAINER_STARTED ? event->life.spec : NULL;
}

void put_container(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;
	const struct event_spec *spec = spec_of(document->event);
	struct json_mark image, hash;

	json_key(json, "container");
	json_object_begin(json);
	json_key(json, "id");
	put_container_id(json, container->id);
	put_text(document, "name", "container.name", container->name);
	put_text(document, "runtime", "container.runtime", container->runtime);
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
	if (spec) {
		json_key(json, "security_context");
		json_object_begin(json);
		json_member_boolean(json, "privileged", spec->privileged);
		json_object_end(json);
	}
	json_object_end(json);
}

/* ECS has annotations as one string each: "key:value". */
static void put_annotation(struct document *document, const struct event_label *annotation)
{
	size_t length = annotation->key.length + 1 + annotation->value.length;
	struct buffer longer = {0};
	char room[512], *to = length <= sizeof(room) ? room : buffer_reserve(&longer, length);

	if (!to) {
		document->json.out->failed = true;
		return;
	}
	if (annotation->key.length > 0)
		memcpy(to, annotation->key.data, annotation->key.length);
	to[annotation->key.length] = ':';
	if (annotation->value.length > 0)
		memcpy(to + annotation->key.length + 1, annotation->value.data, annotation->value.length);
	if (json_string(&document->json, (struct text){to, length}))
		document_escaped(document, "orchestrator.resource.annotation");
	buffer_free(&longer);
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
	if (container->annotation_count > 0) {
		json_key(json, "annotation");
		json_array_begin(json);
		for (size_t i = 0; i < container->annotation_count; i++)
			put_annotation(document, &container->annotations[i]);
		json_array_end(json);
	}
	json_object_end(json);
	json_object_end(json);
}

static void put_pairs(struct document *document, const struct event_label *labels, size_t count, const char *field)
{
	struct json *json = &document->json;

	json_object_begin(json);
	for (size_t i = 0; i < count; i++) {
		bool key = json_key_text(json, labels[i].key);

		if (json_string(json, labels[i].value) || key)
			document_escaped(document, field);
	}
	json_object_end(json);
}

void put_labels(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "kubernetes");

	if (container->label_count > 0) {
		json_key(json, "labels");
		put_pairs(document, container->labels, container->label_count, "kubernetes.labels");
	}
	if (container->annotation_count > 0) {
		json_key(json, "annotations");
		put_pairs(document, container->annotations, container->annotation_count, "kubernetes.annotations");
	}
	json_optional_end(json, mark);
}

/* --- taffrail's own -------------------------------------------------------------------------------------------------- */

/* What is known of a container beside its names: without a source nothing is. */
static void put_known(struct document *document, const struct event_container *container)
{
	const char *qos = name_of_qos((int)container->qos), *source = name_of_source((int)container->source);
	struct json *json = &document->json;

	put_text(document, "sandbox_id", "taffrail.container.sandbox_id", container->sandbox_id);
	if (source)
		json_member_unsigned(json, "attempt", container->attempt);
	if (qos) {
		json_key(json, "qos");
		put_name(json, qos);
	}
	if (source) {
		json_key(json, "type");
		put_name(json, container->sandbox ? "sandbox" : "container");
		json_key(json, "source");
		put_name(json, source);
	}
}

/* The parts of a comma-separated list. */
static void put_options(struct document *document, struct text options)
{
	struct json *json = &document->json;

	json_array_begin(json);
	while (options.length > 0) {
		const char *end = memchr(options.data, ',', options.length);
		struct text one = {options.data, end ? (size_t)(end - options.data) : options.length};
		size_t skip = one.length + (end != NULL);

		if (one.length > 0 && json_string(json, one))
			document_escaped(document, "taffrail.container.mounts.options");
		options.data += skip;
		options.length -= skip;
	}
	json_array_end(json);
}

static void put_mount(struct document *document, const struct event_mount *mount)
{
	struct json *json = &document->json;

	json_object_begin(json);
	put_text(document, "source", "taffrail.container.mounts.source", mount->source);
	put_text(document, "destination", "taffrail.container.mounts.destination", mount->destination);
	put_text(document, "type", "taffrail.container.mounts.type", mount->type);
	if (mount->options.length > 0) {
		json_key(json, "options");
		put_options(document, mount->options);
	}
	json_object_end(json);
}

static void put_spec(struct document *document, const struct event_spec *spec)
{
	struct json *json = &document->json;

	if (spec->args.length > 0) {
		json_key(json, "args");
		put_block(document, spec->args, "taffrail.container.args");
	}
	json_key(json, "user");
	json_object_begin(json);
	json_key(json, "id");
	put_number_text(json, spec->uid);
	json_key(json, "group");
	json_object_begin(json);
	json_key(json, "id");
	put_number_text(json, spec->gid);
	json_object_end(json);
	json_object_end(json);
	json_member_boolean(json, "privileged", spec->privileged);
	json_member_boolean(json, "read_only_root", spec->read_only_root);
	if (spec->capabilities) {
		json_key(json, "capabilities");
		json_array_begin(json);
		name_capabilities(spec->capabilities, put_name, json);
		json_array_end(json);
	}
	json_key(json, "host_namespaces");
	json_array_begin(json);
	name_namespaces(spec->host_namespaces, put_name, json);
	json_array_end(json);
	if (spec->mount_count > 0) {
		json_key(json, "mounts");
		json_array_begin(json);
		for (size_t i = 0; i < spec->mount_count; i++)
			put_mount(document, &spec->mounts[i]);
		json_array_end(json);
	}
	put_true(json, "mounts_cut", spec->mounts_cut);
}

void put_own_container(struct document *document)
{
	const struct event *event = document->event;
	const struct event_spec *spec = spec_of(event);
	struct json *json = &document->json;
	struct json_mark mark = json_optional_begin(json, "container");

	if (event->container)
		put_known(document, event->container);
	if (event->nested_id) {
		json_key(json, "nested_id");
		put_container_id(json, event->nested_id);
	}
	if (spec)
		put_spec(document, spec);
	if (event->action == EVENT_CONTAINER_STOPPED) {
		json_member_signed(json, "exit_code", event->life.exit_code);
		put_text(document, "exit_reason", "taffrail.container.exit_reason", event->life.exit_reason);
	}
	json_optional_end(json, mark);
}

void put_own_workload(struct document *document)
{
	const struct event_container *container = document->event->container;
	struct json_mark mark;

	if (!container)
		return;
	mark = json_optional_begin(&document->json, "workload");
	put_text(document, "kind", "taffrail.workload.kind", container->workload_kind);
	put_text(document, "name", "taffrail.workload.name", container->workload_name);
	json_optional_end(&document->json, mark);
}

void put_own_cgroup(struct document *document)
{
	const struct event_cgroup *cgroup = &document->event->cgroup;
	struct json *json = &document->json;
	struct json_mark actor;

	json_key(json, "cgroup");
	json_object_begin(json);
	put_text(document, "path", "taffrail.cgroup.path", cgroup->path);
	actor = json_optional_begin(json, "actor");
	if (cgroup->actor_pid)
		json_member_unsigned(json, "pid", cgroup->actor_pid);
	put_text(document, "name", "taffrail.cgroup.actor.name", cgroup->actor_name);
	json_optional_end(json, actor);
	if (cgroup->has_other) {
		json_key(json, "other_id");
		put_container_id(json, cgroup->other_id);
	}
	json_object_end(json);
}
