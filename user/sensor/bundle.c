/* SPDX-License-Identifier: Apache-2.0 */
#include "sensor/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_read.h"

/* The annotations of containerd's CRI plugin (its pkg/cri/annotations), and where each goes. */
static const struct {
	const char *key;
	size_t offset;
} annotations[] = {
	{"io.kubernetes.cri.container-name", offsetof(struct bundle, container_name)},
	{"io.kubernetes.cri.image-name", offsetof(struct bundle, image)},
	{"io.kubernetes.cri.podsandbox.image-name", offsetof(struct bundle, image)},
	{"io.kubernetes.cri.sandbox-id", offsetof(struct bundle, sandbox_id)},
	{"io.kubernetes.cri.sandbox-name", offsetof(struct bundle, pod_name)},
	{"io.kubernetes.cri.sandbox-namespace", offsetof(struct bundle, pod_namespace)},
	{"io.kubernetes.cri.sandbox-uid", offsetof(struct bundle, pod_uid)},
};

int bundle_parse(struct text text, struct bundle *bundle)
{
	struct json_object *document, *found;
	int error;

	*bundle = (struct bundle){0};
	error = json_read_object(text, &document);
	if (error)
		return error;
	if (json_object_object_get_ex(document, "annotations", &found) && json_object_is_type(found, json_type_object))
		for (size_t i = 0; i < sizeof(annotations) / sizeof(annotations[0]); i++) {
			struct text *to = (struct text *)(void *)((char *)bundle + annotations[i].offset);
			struct text value = json_read_string(found, annotations[i].key);

			if (value.length)
				*to = value;
		}
	if (!bundle->sandbox_id.length) {
		json_object_put(document);
		*bundle = (struct bundle){0};
		return -ENOENT;
	}
	bundle->sandbox =
		text_equal(json_read_string(found, "io.kubernetes.cri.container-type"), TEXT_LITERAL("sandbox"));
	bundle->document = document;
	return 0;
}

/* Reads a regular file to its end. */
static int read_file(const char *path, char **bytes, size_t *length)
{
	struct stat status;
	int error = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);

	*bytes = NULL;
	*length = 0;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) < 0)
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = -EINVAL;
	else if (status.st_size > JSON_READ_BYTES_MAX)
		error = -EFBIG;
	else if (!(*bytes = malloc((size_t)status.st_size + 1)))
		error = -ENOMEM;
	while (!error && *length < (size_t)status.st_size) {
		ssize_t got = read(fd, *bytes + *length, (size_t)status.st_size - *length);

		if (got < 0)
			error = -errno;
		if (got <= 0)
			break;
		*length += (size_t)got;
	}
	close(fd);
	return error;
}

int bundle_read(const char *state, const char *id, struct bundle *bundle)
{
	char path[PATH_MAX];
	char *bytes;
	size_t length;
	int error;

	*bundle = (struct bundle){0};
	if (snprintf(path, sizeof(path), "%s/io.containerd.runtime.v2.task/k8s.io/%s/config.json", state, id) >=
		(int)sizeof(path))
		return -ENAMETOOLONG;
	error = read_file(path, &bytes, &length);
	if (!error)
		error = bundle_parse((struct text){bytes, length}, bundle);
	free(bytes);
	return error;
}

void bundle_free(struct bundle *bundle)
{
	json_object_put(bundle->document);
	*bundle = (struct bundle){0};
}
