/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of a runtime: from bytes to views. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "cri/runtime.pb-c.h"
#include "sensor/bundle_spec.h"
#include "sensor/cri.h"

enum { CHUNK_BYTES = 16384 };

/* All memory of one answer: taken piece by piece, given back at once, and never more than CRI_DECODED_MAX. */
struct cri_arena {
	struct chunk *chunks;
	size_t bytes;
	bool short_of_memory; /* protobuf-c does not tell that from a broken message */
};

struct chunk {
	struct chunk *next;
	size_t used, room;
	_Alignas(max_align_t) char memory[];
};

static void *arena_take(void *data, size_t bytes)
{
	struct cri_arena *arena = data;
	struct chunk *chunk = arena->chunks;
	size_t wanted = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);

	if (wanted < bytes)
		goto none;
	if (!chunk || chunk->room - chunk->used < wanted) {
		size_t room = wanted > CHUNK_BYTES ? wanted : CHUNK_BYTES;

		if (room > CRI_DECODED_MAX - arena->bytes)
			goto none;
		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			goto none;
		*chunk = (struct chunk){.next = arena->chunks, .room = room};
		arena->chunks = chunk;
		arena->bytes += room;
	}
	chunk->used += wanted;
	return chunk->memory + chunk->used - wanted;
none:
	arena->short_of_memory = true;
	return NULL;
}

static void arena_keep(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

static void *arena_array(struct cri_arena *arena, size_t count, size_t size)
{
	void *array = count <= CRI_DECODED_MAX / size ? arena_take(arena, count ? count * size : 1) : NULL;

	return array ? memset(array, 0, count * size) : NULL;
}

static struct text arena_text(struct cri_arena *arena, struct text text)
{
	char *copy = text.length ? arena_take(arena, text.length) : NULL;

	if (!copy)
		return (struct text){0};
	memcpy(copy, text.data, text.length);
	return (struct text){copy, text.length};
}

/* --- pieces ---------------------------------------------------------------------------------------------------------- */

static struct text short_text(const char *string)
{
	struct text text = text_of(string);

	return text.length <= CRI_TEXT_MAX ? text : (struct text){0};
}

static struct event_label *pairs_of(struct cri_arena *arena, Runtime__V1__Pair **pairs, size_t count)
{
	struct event_label *labels = arena_array(arena, count, sizeof(*labels));

	for (size_t i = 0; labels && i < count; i++)
		labels[i] = (struct event_label){text_of(pairs[i]->key), text_of(pairs[i]->value)};
	return labels;
}

static int by_key(const void *a, const void *b)
{
	const struct event_label *x = a, *y = b;
	int order = strcmp(x->key.data, y->key.data);

	return order ? order : strcmp(x->value.data, y->value.data);
}

/*
 * A pod's labels: its author may write a hundred thousand, and they travel with each of its events. Sorted, for
 * runtimes tell them in another order each time. False without memory.
 */
static bool take_labels(struct cri_sandbox *sandbox, struct cri_arena *arena, Runtime__V1__Pair **pairs, size_t count)
{
	struct event_label *labels = pairs_of(arena, pairs, count);
	size_t taken = 0, bytes = 0;

	if (!labels)
		return false;
	qsort(labels, count, sizeof(*labels), by_key);
	for (size_t i = 0; i < count; i++) {
		size_t length = labels[i].key.length + labels[i].value.length;

		if (taken < CRI_LABELS_MAX && length <= CRI_LABELS_BYTES - bytes) {
			labels[taken++] = labels[i];
			bytes += length;
		}
	}
	sandbox->labels = labels;
	sandbox->label_count = taken;
	sandbox->labels_cut = taken < count;
	return true;
}

static const struct text *ips_of(
	struct cri_arena *arena, const Runtime__V1__PodSandboxNetworkStatus *network, size_t *count)
{
	struct text *ips;

	*count = 0;
	if (!network)
		return NULL;
	ips = arena_array(arena, CRI_IPS_MAX, sizeof(*ips));
	if (!ips)
		return NULL;
	ips[0] = short_text(network->ip);
	*count += ips[0].length > 0;
	for (size_t i = 0; i < network->n_additional_ips && *count < CRI_IPS_MAX; i++) {
		ips[*count] = short_text(network->additional_ips[i]->ip);
		*count += ips[*count].length > 0;
	}
	return ips;
}

/* The JSON object that verbose answers carry under `name`, for json_object_put; NULL where it is not there. */
static struct json_object *info_of(Runtime__V1__Pair **info, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		struct json_object *object;

		if (strcmp(info[i]->key, name) == 0 && json_read_long(text_of(info[i]->value), &object) == 0)
			return object;
	}
	return NULL;
}

/* A string member, copied: empty where it is not there, or too long. */
static struct text info_string(struct cri_arena *arena, struct json_object *object, const char *member)
{
	struct text text = json_read_string(object, member);

	return text.length <= CRI_TEXT_MAX ? arena_text(arena, text) : (struct text){0};
}

/* The OCI spec in an answer about one container: that is the answer's then. */
static const struct event_spec *info_spec(struct cri_answer *answer, struct json_object *info)
{
	struct json_object *spec = json_read_member(info, "runtimeSpec");

	if (!json_object_is_type(spec, json_type_object))
		return NULL;
	answer->written = bundle_spec_read(spec);
	if (!answer->written) {
		answer->arena->short_of_memory = true;
		return NULL;
	}
	return &answer->written->view;
}

static uint32_t host_namespaces_of(const Runtime__V1__LinuxPodSandboxStatus *status)
{
	const Runtime__V1__NamespaceOption *options = status && status->namespaces ? status->namespaces->options : NULL;
	uint32_t host = 0;

	if (options && options->network == RUNTIME__V1__NAMESPACE_MODE__NODE)
		host |= EVENT_NAMESPACE_NETWORK;
	if (options && options->pid == RUNTIME__V1__NAMESPACE_MODE__NODE)
		host |= EVENT_NAMESPACE_PID;
	if (options && options->ipc == RUNTIME__V1__NAMESPACE_MODE__NODE)
		host |= EVENT_NAMESPACE_IPC;
	return host;
}

static void name_sandbox(struct cri_sandbox *sandbox, const Runtime__V1__PodSandboxMetadata *metadata)
{
	if (!metadata)
		return;
	sandbox->name = short_text(metadata->name);
	sandbox->namespace = short_text(metadata->namespace_);
	sandbox->uid = short_text(metadata->uid);
	sandbox->attempt = metadata->attempt;
}

static void name_container(struct cri_container *container, const Runtime__V1__ContainerMetadata *metadata,
	const Runtime__V1__ImageSpec *image, const char *image_ref)
{
	if (metadata) {
		container->name = short_text(metadata->name);
		container->attempt = metadata->attempt;
	}
	if (image)
		container->image = short_text(image->image);
	container->image_ref = short_text(image_ref);
}

/* --- messages: 0, or -EBADMSG where something essential is missing, or -ENOMEM --------------------------------------- */

static int take_version(const ProtobufCMessage *message, struct cri_answer *answer)
{
	const Runtime__V1__VersionResponse *version = (const void *)message;

	answer->runtime_name = short_text(version->runtime_name);
	answer->runtime_version = short_text(version->runtime_version);
	return answer->runtime_name.length ? 0 : -EBADMSG;
}

static int take_status(const ProtobufCMessage *message, struct cri_answer *answer)
{
	const Runtime__V1__StatusResponse *status = (const void *)message;
	struct json_object *config = info_of(status->info, status->n_info, "config");
	/* The CRI plugin's own directory, one below containerd's. */
	struct text directory = info_string(answer->arena, config, "stateDir");

	json_object_put(config);
	while (directory.length > 0 && directory.data[directory.length - 1] != '/')
		directory.length--;
	if (directory.length > 1 && directory.data[0] == '/')
		answer->state_directory = (struct text){directory.data, directory.length - 1};
	return 0;
}

static int take_sandboxes(const ProtobufCMessage *message, struct cri_answer *answer)
{
	const Runtime__V1__ListPodSandboxResponse *list = (const void *)message;
	struct cri_sandbox *sandboxes = arena_array(answer->arena, list->n_items, sizeof(*sandboxes));

	if (!sandboxes)
		return -ENOMEM;
	for (size_t i = 0; i < list->n_items; i++) {
		const Runtime__V1__PodSandbox *item = list->items[i];

		sandboxes[i].id = text_of(item->id);
		name_sandbox(&sandboxes[i], item->metadata);
		if (!take_labels(&sandboxes[i], answer->arena, item->labels, item->n_labels))
			return -ENOMEM;
	}
	answer->sandboxes = sandboxes;
	answer->sandbox_count = list->n_items;
	return 0;
}

static void take_sandbox_info(
	struct cri_sandbox *sandbox, const Runtime__V1__PodSandboxStatusResponse *response, struct cri_answer *answer)
{
	struct json_object *info = info_of(response->info, response->n_info, "info");

	sandbox->image = info_string(answer->arena, info, "image");
	sandbox->cgroup = info_string(answer->arena, json_read_member(info, "runtimeSpec.linux"), "cgroupsPath");
	if (sandbox->cgroup.length == 0)
		sandbox->cgroup = info_string(answer->arena, json_read_member(info, "config.linux"), "cgroup_parent");
	sandbox->spec = info_spec(answer, info);
	json_object_put(info);
}

static int take_sandbox(const ProtobufCMessage *message, struct cri_answer *answer)
{
	const Runtime__V1__PodSandboxStatusResponse *response = (const void *)message;
	const Runtime__V1__PodSandboxStatus *status = response->status;
	struct cri_sandbox *sandbox = arena_array(answer->arena, 1, sizeof(*sandbox));

	if (!status || !status->metadata)
		return -EBADMSG;
	if (!sandbox)
		return -ENOMEM;
	sandbox->id = text_of(status->id);
	name_sandbox(sandbox, status->metadata);
	if (!take_labels(sandbox, answer->arena, status->labels, status->n_labels))
		return -ENOMEM;
	sandbox->annotations = pairs_of(answer->arena, status->annotations, status->n_annotations);
	sandbox->annotation_count = status->n_annotations;
	sandbox->ips = ips_of(answer->arena, status->network, &sandbox->ip_count);
	sandbox->host_namespaces = host_namespaces_of(status->on_linux);
	take_sandbox_info(sandbox, response, answer);
	answer->sandboxes = sandbox;
	answer->sandbox_count = 1;
	return sandbox->annotations ? 0 : -ENOMEM;
}

static int take_containers(const ProtobufCMessage *message, struct cri_answer *answer)
{
	const Runtime__V1__ListContainersResponse *list = (const void *)message;
	struct cri_container *containers = arena_array(answer->arena, list->n_containers, sizeof(*containers));

	if (!containers)
		return -ENOMEM;
	for (size_t i = 0; i < list->n_containers; i++) {
		const Runtime__V1__Container *item = list->containers[i];

		containers[i].id = text_of(item->id);
		containers[i].sandbox_id = text_of(item->pod_sandbox_id);
		name_container(&containers[i], item->metadata, item->image, item->image_ref);
	}
	answer->containers = containers;
	answer->container_count = list->n_containers;
	return 0;
}

static void take_container_info(struct cri_container *container, const Runtime__V1__ContainerStatusResponse *response,
	struct cri_answer *answer)
{
	struct json_object *info = info_of(response->info, response->n_info, "info");

	container->sandbox_id = info_string(answer->arena, info, "sandboxID");
	container->pid = json_read_number(info, "pid", 0);
	container->privileged = json_read_bool(info, "privileged") ||
				json_read_bool(json_read_member(info, "config.linux.security_context"), "privileged");
	container->cgroup = info_string(answer->arena, json_read_member(info, "runtimeSpec.linux"), "cgroupsPath");
	if (answer->method == CRI_CONTAINER_STATUS)
		container->spec = info_spec(answer, info);
	if (answer->written)
		answer->written->view.privileged |= container->privileged;
	json_object_put(info);
}

static enum cri_container_state state_of(Runtime__V1__ContainerState state)
{
	return (uint32_t)state <= RUNTIME__V1__CONTAINER_STATE__CONTAINER_UNKNOWN ? (enum cri_container_state)state
										  : CRI_CONTAINER_UNKNOWN;
}

static int take_container(const ProtobufCMessage *message, struct cri_answer *answer)
{
	const Runtime__V1__ContainerStatusResponse *response = (const void *)message;
	const Runtime__V1__ContainerStatus *status = response->status;
	struct cri_container *container = arena_array(answer->arena, 1, sizeof(*container));

	if (!status || !status->metadata)
		return -EBADMSG;
	if (!container)
		return -ENOMEM;
	container->id = text_of(status->id);
	name_container(container, status->metadata, status->image, status->image_ref);
	container->state = state_of(status->state);
	container->exit_code = status->exit_code;
	container->reason = short_text(status->reason);
	container->started_ns = status->started_at;
	container->finished_ns = status->finished_at;
	take_container_info(container, response, answer);
	answer->containers = container;
	answer->container_count = 1;
	return 0;
}

static const struct {
	const ProtobufCMessageDescriptor *message;
	int (*take)(const ProtobufCMessage *message, struct cri_answer *answer);
} responses[CRI_METHODS] = {
	[CRI_VERSION] = {&runtime__v1__version_response__descriptor, take_version},
	[CRI_STATUS] = {&runtime__v1__status_response__descriptor, take_status},
	[CRI_LIST_SANDBOXES] = {&runtime__v1__list_pod_sandbox_response__descriptor, take_sandboxes},
	[CRI_SANDBOX_STATUS] = {&runtime__v1__pod_sandbox_status_response__descriptor, take_sandbox},
	[CRI_LIST_CONTAINERS] = {&runtime__v1__list_containers_response__descriptor, take_containers},
	[CRI_CONTAINER_STATUS] = {&runtime__v1__container_status_response__descriptor, take_container},
	[CRI_CONTAINER_STATE] = {&runtime__v1__container_status_response__descriptor, take_container},
};

int cri_decode(enum cri_method method, const void *bytes, size_t length, struct cri_answer *answer)
{
	struct cri_arena *arena = calloc(1, sizeof(*arena));
	ProtobufCAllocator allocator = {arena_take, arena_keep, arena};
	ProtobufCMessage *message;
	int error = -EBADMSG;

	*answer = (struct cri_answer){.method = method, .arena = arena};
	if (!arena)
		return -ENOMEM;
	message = length <= CRI_MESSAGE_MAX
			  ? protobuf_c_message_unpack(responses[method].message, &allocator, length, bytes)
			  : NULL;
	if (message)
		error = responses[method].take(message, answer);
	if (arena->short_of_memory)
		error = -ENOMEM;
	if (error)
		cri_answer_free(answer);
	return error;
}

size_t cri_answer_bytes(const struct cri_answer *answer)
{
	return answer->arena ? answer->arena->bytes : 0;
}

void cri_answer_free(struct cri_answer *answer)
{
	while (answer->arena && answer->arena->chunks) {
		struct chunk *chunk = answer->arena->chunks;

		answer->arena->chunks = chunk->next;
		free(chunk);
	}
	free(answer->arena);
	bundle_spec_free(answer->written);
	*answer = (struct cri_answer){0};
}
