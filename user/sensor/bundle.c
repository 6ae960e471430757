/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json_read.h"
#include "base/rooted.h"
#include "sensor/bundle_spec.h"

static const char containerd_tasks[] = "io.containerd.runtime.v2.task";

struct source {
	const char *key;
	size_t offset;
};

/* The annotations of containerd's CRI plugin (its pkg/cri/annotations), and where each goes. */
static const struct source containerd_annotations[] = {
	{"io.kubernetes.cri.container-name", offsetof(struct bundle, container_name)},
	{"io.kubernetes.cri.image-name", offsetof(struct bundle, image)},
	{"io.kubernetes.cri.podsandbox.image-name", offsetof(struct bundle, image)},
	{"io.kubernetes.cri.sandbox-id", offsetof(struct bundle, sandbox_id)},
	{"io.kubernetes.cri.sandbox-name", offsetof(struct bundle, pod_name)},
	{"io.kubernetes.cri.sandbox-namespace", offsetof(struct bundle, pod_namespace)},
	{"io.kubernetes.cri.sandbox-uid", offsetof(struct bundle, pod_uid)},
};

/* CRI-O's (its internal/annotations): a later one beats an earlier one. */
static const struct source crio_annotations[] = {
	{"io.kubernetes.cri-o.Image", offsetof(struct bundle, image)},
	{"io.kubernetes.cri-o.ImageName", offsetof(struct bundle, image)},
	{"io.kubernetes.cri-o.ImageRef", offsetof(struct bundle, image_ref)},
	{"io.kubernetes.cri-o.SandboxID", offsetof(struct bundle, sandbox_id)},
	{"io.kubernetes.cri-o.Namespace", offsetof(struct bundle, pod_namespace)},
	{"io.kubernetes.cri-o.KubeName", offsetof(struct bundle, pod_name)},
};
/* … and what kubelet's labels say there. */
static const struct source kubelet_labels[] = {
	{"io.kubernetes.container.name", offsetof(struct bundle, container_name)},
	{"io.kubernetes.pod.name", offsetof(struct bundle, pod_name)},
	{"io.kubernetes.pod.namespace", offsetof(struct bundle, pod_namespace)},
	{"io.kubernetes.pod.uid", offsetof(struct bundle, pod_uid)},
};

static void take(
	struct bundle *bundle, struct json_object *from, const struct source *sources, size_t count, bool replace)
{
	for (size_t i = 0; i < count; i++) {
		struct text *to = (struct text *)(void *)((char *)bundle + sources[i].offset);
		struct text value = json_read_string(from, sources[i].key);

		if (value.length && (replace || !to->length))
			*to = value;
	}
}
#define TAKE(bundle, from, sources, replace)                                                                           \
	take((bundle), (from), (sources), sizeof(sources) / sizeof((sources)[0]), (replace))

/* --- CRI-O: JSON in annotations -------------------------------------------------------------------------------------- */

/* An annotation that is a JSON object itself; the document owns it then. */
static struct json_object *inner(struct json_object *document, struct json_object *annotations, const char *key)
{
	struct json_object *object;

	if (json_read_object(json_read_string(annotations, key), &object) < 0)
		return NULL;
	if (json_object_object_add(document, key, object) < 0) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

/* Members that are strings, as labels; NULL and 0 if there are none. */
static const struct event_label *labels_of(struct json_object *object, size_t *count)
{
	struct event_label *labels = object ? calloc(BUNDLE_LABELS_MAX, sizeof(*labels)) : NULL;
	struct json_object_iterator at, end;

	*count = 0;
	if (!labels)
		return NULL;
	at = json_object_iter_begin(object);
	end = json_object_iter_end(object);
	for (; *count < BUNDLE_LABELS_MAX && !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		const char *key = json_object_iter_peek_name(&at);

		if (json_object_is_type(json_object_iter_peek_value(&at), json_type_string))
			labels[(*count)++] = (struct event_label){text_of(key), json_read_string(object, key)};
	}
	return labels;
}

/* One of the two spellings that CRI-O has used for the CRI's metadata. */
static struct text metadata_text(struct json_object *metadata, const char *old, const char *new)
{
	struct text text = json_read_string(metadata, new);

	return text.length ? text : json_read_string(metadata, old);
}

/*
 * k8s_POD_NAMESPACE_UID_ATTEMPT, for what kubelet did not say: then crictl made the pod. No part has an underscore in it.
 */
static void take_sandbox_name(struct bundle *bundle, struct text name)
{
	struct text *const parts[] = {&bundle->pod_name, &bundle->pod_namespace, &bundle->pod_uid};

	if (!text_equal(text_next(&name, '_'), TEXT_LITERAL("k8s")))
		return;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct text part = text_next(&name, '_');

		if (!parts[i]->length)
			*parts[i] = part;
	}
}

static void take_crio(struct bundle *bundle, struct json_object *document, struct json_object *annotations)
{
	struct json_object *labels = inner(document, annotations, "io.kubernetes.cri-o.Labels");
	struct json_object *metadata = inner(document, annotations, "io.kubernetes.cri-o.Metadata");
	int64_t attempt = json_read_number(metadata, "attempt", json_read_number(metadata, "Attempt", 0));

	bundle->runtime = TEXT_LITERAL("cri-o");
	bundle->sandbox =
		text_equal(json_read_string(annotations, "io.kubernetes.cri-o.ContainerType"), TEXT_LITERAL("sandbox"));
	TAKE(bundle, annotations, crio_annotations, true);
	bundle->attempt = attempt > 0 && attempt <= UINT32_MAX ? (uint32_t)attempt : 0;
	if (bundle->sandbox) {
		bundle->pod_uid = metadata_text(metadata, "UID", "uid");
		bundle->labels = labels_of(labels, &bundle->label_count);
		bundle->annotations = labels_of(
			inner(document, annotations, "io.kubernetes.cri-o.Annotations"), &bundle->annotation_count);
	} else {
		bundle->container_name = metadata_text(metadata, "Name", "name");
	}
	/*
	 * CRI-O writes the pod's annotations, which are its author's, over its own of the sandbox, and into a
	 * container all that it does not write there itself; but kubelet's labels last, each as an annotation.
	 */
	TAKE(bundle, labels, kubelet_labels, !bundle->sandbox);
	TAKE(bundle, annotations, kubelet_labels, true);
	take_sandbox_name(bundle, json_read_string(annotations, "io.kubernetes.cri-o.SandboxName"));
}

/* --- what the annotations tell --------------------------------------------------------------------------------------- */

/* Whether it says all that one of its kind must. */
static bool take_annotations(
	struct bundle *bundle, enum bundle_maker maker, struct text id, struct json_object *document)
{
	struct json_object *annotations = json_read_member(document, "annotations");
	struct text manager = json_read_string(annotations, "io.container.manager");
	struct text crios = json_read_string(annotations, "io.kubernetes.cri-o.ContainerID");

	switch (maker) {
	case BUNDLE_CONTAINERD:
		bundle->runtime = TEXT_LITERAL("containerd");
		TAKE(bundle, annotations, containerd_annotations, true);
		bundle->sandbox = text_equal(
			json_read_string(annotations, "io.kubernetes.cri.container-type"), TEXT_LITERAL("sandbox"));
		return bundle->sandbox_id.length > 0;
	case BUNDLE_MOBY: bundle->runtime = TEXT_LITERAL("docker"); return true;
	case BUNDLE_PLAIN:
		bundle->runtime = TEXT_LITERAL("containerd");
		bundle->alone = true;
		return true;
	case BUNDLE_STORAGE:
		/*
		 * A pod's author may have written io.container.manager, but cannot take this away. An image's may have written
		 * this, for Podman adds the image's annotations to its own, but cannot know the id.
		 */
		if (crios.length > 0) {
			if (!text_equal(crios, id))
				return true;
			take_crio(bundle, document, annotations);
			return bundle->sandbox_id.length > 0;
		}
		bundle->alone = text_equal(manager, TEXT_LITERAL("libpod"));
		if (bundle->alone)
			bundle->runtime = TEXT_LITERAL("podman");
		return bundle->alone;
	}
	return false;
}

/* What the maker says of its own container beats what can be read from the spec. */
static bool said_privileged(enum bundle_maker maker, struct json_object *document)
{
	struct json_object *annotations = json_read_member(document, "annotations");

	return maker == BUNDLE_STORAGE &&
	       (text_equal(
			json_read_string(annotations, "io.kubernetes.cri-o.PrivilegedRuntime"), TEXT_LITERAL("true")) ||
		       text_equal(json_read_string(annotations, "io.podman.annotations.privileged"),
			       TEXT_LITERAL("TRUE")));
}

int bundle_parse(struct text text, enum bundle_maker maker, struct text id, struct bundle *bundle)
{
	struct json_object *document;
	int error;

	*bundle = (struct bundle){0};
	error = json_read_long(text, &document);
	if (error)
		return error;
	bundle->document = document;
	if (!take_annotations(bundle, maker, id, document)) {
		bundle_free(bundle);
		return -ENOENT;
	}
	bundle->root = json_read_string(json_read_member(document, "root"), "path");
	bundle->cgroup = json_read_string(json_read_member(document, "linux"), "cgroupsPath");
	bundle->written = bundle_spec_read(document);
	if (bundle->written)
		bundle->written->view.privileged |= said_privileged(maker, document);
	return 0;
}

/* --- files ----------------------------------------------------------------------------------------------------------- */

/* `path`: of config.json. */
static char *files_of(const char *path, struct text root)
{
	int folder = (int)(strrchr(path, '/') - path);
	char *files = NULL;

	if (root.length == 0 || root.length >= PATH_MAX)
		return NULL;
	if (root.data[0] == '/')
		return strndup(root.data, root.length);
	return asprintf(&files, "%.*s/%.*s", folder, path, (int)root.length, root.data) < 0 ? NULL : files;
}

static int read_one(const char *root, const char *path, enum bundle_maker maker, const char *id, struct bundle *bundle)
{
	char *bytes;
	size_t length;
	int error = rooted_read(root, path, BUNDLE_FILE_MAX, &bytes, &length);

	*bundle = (struct bundle){0};
	if (error)
		return error;
	error = bundle_parse((struct text){bytes, length}, maker, text_of(id), bundle);
	free(bytes);
	if (!error)
		bundle->files = files_of(path, bundle->root);
	return error;
}

static int read_namespace(
	const char *root, const char *state, const char *namespace, const char *id, struct bundle *bundle)
{
	enum bundle_maker maker = strcmp(namespace, "k8s.io") == 0 ? BUNDLE_CONTAINERD
				  : strcmp(namespace, "moby") == 0 ? BUNDLE_MOBY
								   : BUNDLE_PLAIN;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s/%s/%s/config.json", state, containerd_tasks, namespace, id) >=
		(int)sizeof(path))
		return -ENAMETOOLONG;
	return read_one(root, path, maker, id, bundle);
}

/* The namespaces beside Kubernetes' own. */
static int read_namespaces(const char *root, const char *state, const char *id, struct bundle *bundle)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	int fd, error = -ENOENT;
	DIR *directory;

	if (snprintf(path, sizeof(path), "%s/%s", state, containerd_tasks) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = rooted_open(root, path, O_DIRECTORY);
	if (fd < 0)
		return fd;
	directory = fdopendir(fd);
	if (!directory) {
		close(fd);
		return -ENOMEM;
	}
	for (int i = 0;
		(error == -ENOENT || error == -ENOTDIR) && i < BUNDLE_NAMESPACES_MAX && (entry = readdir(directory));
		i++)
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "k8s.io") != 0)
			error = read_namespace(root, state, entry->d_name, id, bundle);
	closedir(directory);
	return error;
}

int bundle_read(const char *root, const char *state, const char *id, struct bundle *bundle)
{
	char path[PATH_MAX];
	int error = read_namespace(root, state, "k8s.io", id, bundle);

	if (error == -ENOENT)
		error = read_namespaces(root, state, id, bundle);
	if (error != -ENOENT && error != -ENOTDIR)
		return error;
	if (snprintf(path, sizeof(path), "%s/overlay-containers/%s/userdata/config.json", state, id) >=
		(int)sizeof(path))
		return -ENAMETOOLONG;
	return read_one(root, path, BUNDLE_STORAGE, id, bundle);
}

void bundle_free(struct bundle *bundle)
{
	free((void *)(uintptr_t)bundle->labels);
	free((void *)(uintptr_t)bundle->annotations);
	bundle_spec_free(bundle->written);
	json_object_put(bundle->document);
	free(bundle->files);
	*bundle = (struct bundle){0};
}
