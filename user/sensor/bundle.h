/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's config.json (the OCI runtime spec's bundle), which lies on disk before the container's first process runs: what it
 * was made to be, and what its annotations tell of the pod.
 *
 * containerd's annotations have no labels of the pod. CRI-O's have those of a sandbox, and beside its own it copies the pod's: older
 * versions let those of a sandbox's pod replace its own. So what a runtime answers counts more.
 */
#ifndef TAFFRAIL_SENSOR_BUNDLE_H
#define TAFFRAIL_SENSOR_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "event/event.h"

enum {
	BUNDLE_FILE_MAX = 40 << 20, /* 6 MiB that exec takes of arguments and environment, each byte as \u0001 */
	BUNDLE_LABELS_MAX = 256,
	BUNDLE_NAMESPACES_MAX = 32, /* of one containerd that are looked into */
};

/* Who made it, as far as its place tells. */
enum bundle_maker {
	BUNDLE_CONTAINERD, /* its namespace k8s.io: its annotations are io.kubernetes.cri.* */
	BUNDLE_MOBY, /* its namespace moby, which is Docker's; pods, if cri-dockerd made them, are in Docker's state only */
	BUNDLE_PLAIN,   /* another namespace of containerd's: no pod's */
	BUNDLE_STORAGE, /* containers/storage: CRI-O's or Podman's, as its annotation io.container.manager says */
};

struct bundle_spec;

/* Absent fields are empty. The strings belong to `document`, or are static: bundle_free. */
struct bundle {
	struct text runtime; /* containerd, docker, cri-o, podman; empty: not told */
	struct text container_name;
	struct text
		image; /* a reference, as the pod's author wrote it; of a sandbox the pause image's, where it is told */
	struct text image_ref; /* with a digest, or the image's id */
	struct text sandbox_id;
	struct text pod_name, pod_namespace, pod_uid;
	uint32_t attempt;
	const struct event_label *labels; /* the pod's; of CRI-O's sandboxes only */
	size_t label_count;
	const struct event_label *annotations; /* as labels */
	size_t annotation_count;
	bool sandbox;                /* the pod's pause container */
	bool alone;                  /* no CRI knows it: it is no pod's */
	struct text cgroup;          /* linux.cgroupsPath */
	struct text root;            /* root.path: of the container's files; relative: to the bundle */
	struct bundle_spec *written; /* the spec, or NULL without memory */
	void *document;
	char *files; /* where the container's files are, below the host's root; NULL: not told, or the text is from no file */
};

/*
 * Parses the text of the config.json of the container `id` (64 digits). 0; -EBADMSG: it is no JSON object, or too deep; -EFBIG
 * (json_read_long); -ENOENT: it should be of a pod and does not say which; -ENOMEM. On an error there is nothing to free. Of
 * one whose annotations are somebody's who wrote another id there only the spec is taken, and not who made it.
 */
int bundle_parse(struct text text, enum bundle_maker maker, struct text id, struct bundle *bundle);

/*
 * Reads the bundle of the container `id` (64 digits) in the directory `state` below `root` (rooted.h), which is one of
 *	containerd's state    STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json, any namespace
 *	containers/storage    STATE/overlay-containers/ID/userdata/config.json
 * As bundle_parse, or -errno of the file.
 */
int bundle_read(const char *root, const char *state, const char *id, struct bundle *bundle);

void bundle_free(struct bundle *bundle);

#endif
