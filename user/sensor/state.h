/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Docker and Podman keep on disk of their containers, for those that no CRI knows:
 *	Docker                   STATE/containers/ID/config.v2.json, STATE being /var/lib/docker
 *	Podman, and CRI-O too    STATE/overlay-containers/{,volatile-}containers.json, STATE being /var/lib/containers/storage
 */
#ifndef TAFFRAIL_SENSOR_STATE_H
#define TAFFRAIL_SENSOR_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

enum { STATE_FILE_MAX = 16 << 20 };

/* Absent fields are empty. The strings belong to `document`, or are static: state_free. */
struct state {
	struct text runtime; /* docker, podman, cri-o */
	struct text name;    /* the container's; of a pod's, as the pod says */
	struct text image, image_id;
	/* Of what cri-dockerd or CRI-O made. */
	struct text sandbox_id;
	struct text pod_name, pod_namespace, pod_uid;
	uint32_t attempt;
	bool sandbox; /* the pod's pause container */
	bool alone;   /* no CRI knows it: it is no pod's */
	void *document;
};

/*
 * Parses Docker's config.v2.json of the container `id` (64 digits). 0; -EBADMSG; -EFBIG; -ENOENT: it is another container's;
 * -ENOMEM. On an error there is nothing to free.
 */
int state_parse_docker(struct text text, struct text id, struct state *state);
/* Finds the container in a containers.json. -ENOENT: it is not there; else as state_parse_docker. */
int state_parse_storage(struct text text, struct text id, struct state *state);

/* Looks for the container in both ways, in the directory `directory` below `root` (rooted.h). As they, or -errno of the file. */
int state_read(const char *root, const char *directory, const char *id, struct state *state);

void state_free(struct state *state);

#endif
