/* SPDX-License-Identifier: Apache-2.0 */
/* Containers on the wire: their names, what they were made to be, how they ended, and who left their cgroups. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "event/wire_inside.h"

static size_t labels_size(const struct event_label *labels, size_t count)
{
	size_t size = 0;

	for (size_t i = 0; i < count; i++)
		size += labels[i].key.length + labels[i].value.length + 2;
	return size;
}

static size_t strings_size(const struct event_container *container)
{
	const struct text texts[] = {container->name, container->image_name, container->image_tag,
		container->image_digest, container->pod_name, container->pod_namespace, container->pod_uid,
		container->runtime, container->workload_kind, container->workload_name};
	size_t size = labels_size(container->labels, container->label_count) +
		      labels_size(container->annotations, container->annotation_count);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		size += texts[i].length + 1;
	for (size_t i = 0; i < container->pod_ip_count; i++)
		size += container->pod_ips[i].length + 1;
	return size;
}

/* The lists that a message points at: pointers to messages, and these. */
struct lists {
	Taffrail__V1__Label *labels;
	Taffrail__V1__Label **pointers;
	char **ips;
};

/* Takes the next `count` of the labels, and fills them. */
static Taffrail__V1__Label **put_labels(
	struct lists *lists, struct wire_strings *strings, const struct event_label *labels, size_t count)
{
	Taffrail__V1__Label **first = lists->pointers;

	for (size_t i = 0; i < count; i++) {
		Taffrail__V1__Label *label = lists->labels++;

		taffrail__v1__label__init(label);
		label->key = wire_string(strings, labels[i].key);
		label->value = wire_string(strings, labels[i].value);
		*lists->pointers++ = label;
	}
	return first;
}

bool wire_set_container(
	Taffrail__V1__Container *message, struct buffer *buffer, const struct event_container *container)
{
	size_t labels = container->label_count + container->annotation_count;
	size_t lists_size = labels * (sizeof(Taffrail__V1__Label) + sizeof(Taffrail__V1__Label *)) +
			    container->pod_ip_count * sizeof(char *);
	struct wire_strings strings = {.size = strings_size(container)};
	struct lists lists;
	char *room;

	buffer_clear(buffer);
	room = buffer_reserve(buffer, lists_size + strings.size);
	if (!room)
		return false;
	lists.labels = (void *)room;
	lists.pointers = (void *)(lists.labels + labels);
	lists.ips = (void *)(lists.pointers + labels);
	strings.room = room + lists_size;
	message->id = bytes_at(container->id, sizeof(container->id));
	message->name = wire_string(&strings, container->name);
	message->image_name = wire_string(&strings, container->image_name);
	message->image_tag = wire_string(&strings, container->image_tag);
	message->image_digest = wire_string(&strings, container->image_digest);
	message->pod_name = wire_string(&strings, container->pod_name);
	message->pod_namespace = wire_string(&strings, container->pod_namespace);
	message->pod_uid = wire_string(&strings, container->pod_uid);
	for (size_t i = 0; i < container->pod_ip_count; i++)
		lists.ips[i] = wire_string(&strings, container->pod_ips[i]);
	message->n_pod_ip = container->pod_ip_count;
	message->pod_ip = lists.ips;
	message->n_label = container->label_count;
	message->label = put_labels(&lists, &strings, container->labels, container->label_count);
	message->n_annotation = container->annotation_count;
	message->annotation = put_labels(&lists, &strings, container->annotations, container->annotation_count);
	message->sandbox_id = bytes_of(container->sandbox_id);
	message->attempt = container->attempt;
	message->sandbox = container->sandbox;
	message->runtime = wire_string(&strings, container->runtime);
	message->workload_kind = wire_string(&strings, container->workload_kind);
	message->workload_name = wire_string(&strings, container->workload_name);
	message->qos = (Taffrail__V1__Qos)container->qos;
	message->source = (Taffrail__V1__Source)container->source;
	return true;
}

/* Mounts and their types; without memory the spec says that they were cut. */
static void set_mounts(Taffrail__V1__Spec *message, struct wire_life *parts, const struct event_spec *spec)
{
	size_t count = spec->mount_count < EVENT_MOUNTS_MAX ? spec->mount_count : EVENT_MOUNTS_MAX;
	size_t lists = count * (sizeof(Taffrail__V1__Mount) + sizeof(Taffrail__V1__Mount *));
	struct wire_strings strings = {.size = count};
	Taffrail__V1__Mount *mounts;

	message->mounts_cut = spec->mounts_cut || count < spec->mount_count;
	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++)
		strings.size += spec->mounts[i].type.length;
	parts->room = mounts = malloc(lists + strings.size);
	if (!mounts) {
		message->mounts_cut = true;
		return;
	}
	message->mount = (void *)(mounts + count);
	message->n_mount = count;
	strings.room = (char *)mounts + lists;
	for (size_t i = 0; i < count; i++) {
		taffrail__v1__mount__init(&mounts[i]);
		mounts[i].source = bytes_of(spec->mounts[i].source);
		mounts[i].destination = bytes_of(spec->mounts[i].destination);
		mounts[i].type = wire_string(&strings, spec->mounts[i].type);
		mounts[i].options = bytes_of(spec->mounts[i].options);
		message->mount[i] = &mounts[i];
	}
}

static void set_spec(Taffrail__V1__Spec *message, struct wire_life *parts, const struct event_spec *spec)
{
	taffrail__v1__spec__init(message);
	message->args = bytes_of(spec->args);
	message->uid = spec->uid;
	message->gid = spec->gid;
	message->privileged = spec->privileged;
	message->read_only_root = spec->read_only_root;
	message->capabilities = spec->capabilities;
	message->host_namespaces = spec->host_namespaces;
	set_mounts(message, parts, spec);
}

void wire_set_life(Taffrail__V1__Event *message, struct wire_life *parts, const struct event *event)
{
	const struct event_life *life = &event->life;
	struct wire_strings reason = {.size = life->exit_reason.length + 1};

	taffrail__v1__life__init(&parts->life);
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_LIFE;
	message->life = &parts->life;
	if (event->action == EVENT_CONTAINER_STARTED) {
		if (life->spec) {
			set_spec(&parts->spec, parts, life->spec);
			parts->life.spec = &parts->spec;
		}
		return;
	}
	parts->life.exit_code = life->exit_code;
	parts->room = reason.room = malloc(reason.size);
	if (reason.room)
		parts->life.exit_reason = wire_string(&reason, life->exit_reason);
}

void wire_set_cgroup(Taffrail__V1__Event *message, struct wire_life *parts, const struct event_cgroup *cgroup)
{
	taffrail__v1__cgroup__init(&parts->cgroup);
	parts->cgroup.path = bytes_of(cgroup->path);
	parts->cgroup.actor_pid = cgroup->actor_pid;
	parts->cgroup.actor_name = bytes_of(cgroup->actor_name);
	if (cgroup->has_other)
		parts->cgroup.other_id = bytes_at(cgroup->other_id, sizeof(cgroup->other_id));
	message->detail_case = TAFFRAIL__V1__EVENT__DETAIL_CGROUP;
	message->cgroup = &parts->cgroup;
}

/* NULL without memory, and only then. */
static const struct event_label *read_labels(struct wire_arena *arena, Taffrail__V1__Label *const *from, size_t count)
{
	struct event_label *labels = wire_arena_zeroed(arena, count, sizeof(*labels));

	for (size_t i = 0; labels && i < count; i++)
		labels[i] = (struct event_label){text_of(from[i]->key), text_of(from[i]->value)};
	return labels;
}

int wire_read_container(struct wire_arena *arena, struct event_container *view, const Taffrail__V1__Container *message)
{
	struct text *ips = wire_arena_zeroed(arena, message->n_pod_ip, sizeof(*ips));

	view->labels = read_labels(arena, message->label, message->n_label);
	view->annotations = read_labels(arena, message->annotation, message->n_annotation);
	if (!view->labels || !view->annotations || !ips)
		return -ENOMEM;
	view->label_count = message->n_label;
	view->annotation_count = message->n_annotation;
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
	view->runtime = text_of(message->runtime);
	view->workload_kind = text_of(message->workload_kind);
	view->workload_name = text_of(message->workload_name);
	/* proto3's enums are open: any number may stand there. */
	view->qos = (unsigned int)message->qos <= EVENT_BEST_EFFORT ? (enum event_qos)message->qos : EVENT_QOS_UNKNOWN;
	view->source = (unsigned int)message->source <= EVENT_SOURCE_STATE ? (enum event_source)message->source
									   : EVENT_SOURCE_NONE;
	for (size_t i = 0; i < message->n_pod_ip; i++)
		ips[i] = text_of(message->pod_ip[i]);
	view->pod_ips = ips;
	view->pod_ip_count = message->n_pod_ip;
	return 0;
}

static const struct event_spec *read_spec(struct wire_arena *arena, const Taffrail__V1__Spec *message)
{
	struct event_spec *spec = wire_arena_zeroed(arena, 1, sizeof(*spec));
	struct event_mount *mounts = wire_arena_zeroed(arena, message->n_mount, sizeof(*mounts));

	if (!spec || !mounts)
		return NULL;
	for (size_t i = 0; i < message->n_mount; i++) {
		const Taffrail__V1__Mount *from = message->mount[i];

		mounts[i] = (struct event_mount){text_of_bytes(from->source), text_of_bytes(from->destination),
			text_of(from->type), text_of_bytes(from->options)};
	}
	*spec = (struct event_spec){
		.args = text_of_bytes(message->args),
		.uid = message->uid,
		.gid = message->gid,
		.privileged = message->privileged,
		.read_only_root = message->read_only_root,
		.capabilities = message->capabilities,
		.host_namespaces = message->host_namespaces,
		.mounts = mounts,
		.mount_count = message->n_mount,
		.mounts_cut = message->mounts_cut,
	};
	return spec;
}

int wire_read_life(struct wire_arena *arena, struct event *event, const Taffrail__V1__Life *message)
{
	if (event->action == EVENT_CONTAINER_STOPPED) {
		event->life.exit_code = message->exit_code;
		event->life.exit_reason = text_of(message->exit_reason);
	} else if (message->spec) {
		event->life.spec = read_spec(arena, message->spec);
		if (!event->life.spec)
			return -ENOMEM;
	}
	return 0;
}

void wire_read_cgroup(struct event_cgroup *cgroup, const Taffrail__V1__Cgroup *message)
{
	cgroup->path = text_of_bytes(message->path);
	cgroup->actor_pid = message->actor_pid;
	cgroup->actor_name = text_of_bytes(message->actor_name);
	cgroup->has_other = message->other_id.len > 0;
	if (cgroup->has_other)
		memcpy(cgroup->other_id, message->other_id.data, sizeof(cgroup->other_id));
}
