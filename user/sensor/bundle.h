/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's config.json (the OCI runtime spec's bundle), which lies on disk before the container's first process
 * runs: what its annotations tell of the pod. The pod's labels are not among them.
 */
#ifndef TAFFRAIL_SENSOR_BUNDLE_H
#define TAFFRAIL_SENSOR_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

/* Absent fields are empty. The strings belong to `document`: bundle_free. */
struct bundle {
	struct text container_name;
	struct text
		image; /* a reference, as the pod's author wrote it; of a sandbox the pause image's, where it is told */
	struct text sandbox_id;
	struct text pod_name, pod_namespace, pod_uid;
	bool sandbox; /* the pod's pause container */
	void *document;
};

/*
 * Parses the text of a config.json. 0; -EBADMSG: it is no JSON object, or too deep; -EFBIG (json_read.h); -ENOENT: no annotation of
 * the CRI is in it (a container that Kubernetes did not start); -ENOMEM. On an error there is nothing to free.
 */
int bundle_parse(struct text text, struct bundle *bundle);

/*
 * Reads the bundle of the container `id` (64 digits) below containerd's state directory `state` (/run/containerd):
 * STATE/io.containerd.runtime.v2.task/k8s.io/ID/config.json. As bundle_parse, or -errno of the file.
 */
int bundle_read(const char *state, const char *id, struct bundle *bundle);

void bundle_free(struct bundle *bundle);

#endif
