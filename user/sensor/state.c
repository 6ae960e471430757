/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/state.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_read.h"
#include "base/rooted.h"

/* The number behind the last underscore: the last part of k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT. */
static uint32_t attempt_of(struct text name)
{
	uint64_t number = 0, digit = 1;

	for (size_t i = name.length; i > 0 && name.data[i - 1] != '_'; i--, digit *= 10) {
		if (name.data[i - 1] < '0' || name.data[i - 1] > '9' || digit > 1000000000)
			return 0;
		number += digit * (uint64_t)(name.data[i - 1] - '0');
	}
	return number <= UINT32_MAX ? (uint32_t)number : 0;
}

/* The parts of such a name, which have no underscore themselves. A sandbox of CRI-O's is k8s_POD_NAMESPACE_UID_ATTEMPT. */
static void take_pod(struct state *state, struct text name)
{
	struct text *const parts[] = {&state->pod_name, &state->pod_namespace, &state->pod_uid};

	if (!text_equal(text_next(&name, '_'), TEXT_LITERAL("k8s")))
		return;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		*parts[i] = text_next(&name, '_');
}

/* --- Docker ---------------------------------------------------------------------------------------------------------- */

/*
 * The name and the labels of cri-dockerd (its core/naming, core/helpers). Docker adds an image's labels to a container's, and
 * whoever made the image chose those: only where the name is cri-dockerd's are the labels, and the names are those in it.
 * k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT, and once more _RANDOM if that was taken.
 */
static void take_labels(struct state *state, struct json_object *labels)
{
	struct text type = json_read_string(labels, "io.kubernetes.docker.type"), name = state->name, prefix, attempt;
	struct state pod = {0};
	struct text *const parts[] = {&prefix, &pod.name, &pod.pod_name, &pod.pod_namespace, &pod.pod_uid, &attempt};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		*parts[i] = text_next(&name, '_');
	state->alone = type.length == 0 || !text_equal(prefix, TEXT_LITERAL("k8s")) || attempt.length == 0;
	if (state->alone)
		return;
	state->name = pod.name;
	state->pod_name = pod.pod_name;
	state->pod_namespace = pod.pod_namespace;
	state->pod_uid = pod.pod_uid;
	state->attempt = attempt_of(attempt);
	state->sandbox = text_equal(type, TEXT_LITERAL("podsandbox"));
	state->sandbox_id = json_read_string(labels, "io.kubernetes.sandbox.id");
}

int state_parse_docker(struct text text, struct text id, struct state *state)
{
	struct json_object *document, *config;
	struct text own;
	int error;

	*state = (struct state){0};
	error = json_read_long(text, &document);
	if (error)
		return error;
	own = json_read_string(document, "ID");
	if (!text_equal(own, id)) {
		json_object_put(document);
		return -ENOENT;
	}
	config = json_read_member(document, "Config");
	state->document = document;
	state->runtime = TEXT_LITERAL("docker");
	state->name = json_read_string(document, "Name");
	if (text_starts_with(state->name, TEXT_LITERAL("/")))
		state->name = text_tail(state->name, 1);
	state->image = json_read_string(config, "Image");
	state->image_id = json_read_string(document, "Image");
	take_labels(state, json_read_member(config, "Labels"));
	if (state->sandbox)
		state->sandbox_id = own;
	return 0;
}

/* --- containers/storage ---------------------------------------------------------------------------------------------- */

/* The metadata of CRI-O (its internal/storage, RuntimeContainerMetadata) says which pod; Podman's does not. */
static void take_metadata(struct state *state, struct json_object *metadata)
{
	struct text pod = json_read_string(metadata, "pod-id");

	state->image = json_read_string(metadata, "image-name");
	state->alone = pod.length == 0;
	state->runtime = state->alone ? TEXT_LITERAL("podman") : TEXT_LITERAL("cri-o");
	if (state->alone)
		return;
	state->attempt = attempt_of(json_read_string(metadata, "name"));
	state->name = json_read_string(metadata, "metadata-name");
	state->sandbox_id = pod;
	state->sandbox = json_read_bool(metadata, "pod");
	take_pod(state, json_read_string(metadata, "pod-name"));
}

static int take_item(struct json_object *item, struct state *state)
{
	struct text text = json_read_string(item, "metadata");
	struct json_object *metadata;

	*state = (struct state){.name = json_read_element(json_read_member(item, "names"), 0),
		.image_id = json_read_string(item, "image"),
		.runtime = TEXT_LITERAL("podman"),
		.document = item};
	/* Without metadata it is a build's or somebody else's. */
	if (json_read_object(text, &metadata) < 0)
		return 0;
	if (json_object_object_add(item, "metadata-object", metadata) < 0) {
		json_object_put(metadata);
		return -ENOMEM;
	}
	take_metadata(state, metadata);
	return 0;
}

int state_parse_storage(struct text text, struct text id, struct state *state)
{
	struct json_object *item;
	int error;

	*state = (struct state){0};
	/* The list is long, and most of the time it is not in it. */
	if (text.length < id.length || !memmem(text.data, text.length, id.data, id.length))
		return -ENOENT;
	while (!(error = json_read_item(&text, &item))) {
		if (!text_equal(json_read_string(item, "id"), id)) {
			json_object_put(item);
			continue;
		}
		error = take_item(item, state);
		if (error)
			state_free(state);
		return error;
	}
	return error;
}

/* --- files ----------------------------------------------------------------------------------------------------------- */

int state_read(const char *root, const char *directory, const char *id, struct state *state)
{
	static const char *const storage[] = {"containers", "volatile-containers"};
	char path[PATH_MAX];
	char *bytes;
	size_t length;
	int error;

	*state = (struct state){0};
	if (snprintf(path, sizeof(path), "%s/containers/%s/config.v2.json", directory, id) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	error = rooted_read(root, path, STATE_FILE_MAX, &bytes, &length);
	if (!error) {
		error = state_parse_docker((struct text){bytes, length}, text_of(id), state);
		free(bytes);
		return error;
	}
	for (size_t i = 0; error && i < sizeof(storage) / sizeof(storage[0]); i++) {
		if (snprintf(path, sizeof(path), "%s/overlay-containers/%s.json", directory, storage[i]) >=
			(int)sizeof(path))
			return -ENAMETOOLONG;
		error = rooted_read(root, path, STATE_FILE_MAX, &bytes, &length);
		if (error)
			continue;
		error = state_parse_storage((struct text){bytes, length}, text_of(id), state);
		free(bytes);
	}
	return error;
}

void state_free(struct state *state)
{
	json_object_put(state->document);
	*state = (struct state){0};
}
