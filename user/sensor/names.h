/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what bundles and runtimes tell to the names that events carry. Views only: the strings stay where they were.
 *
 * A pause container is called POD, as kubelet and cAdvisor call it; it has its pod's labels and addresses.
 */
#ifndef TAFFRAIL_SENSOR_NAMES_H
#define TAFFRAIL_SENSOR_NAMES_H

#include <stdbool.h>

#include "event/event.h"
#include "sensor/bundle.h"
#include "sensor/cri.h"

/*
 * Takes an image reference apart: NAME[:TAG][@DIGEST], and where it is only a digest or a bare id (64 hexadecimal
 * digits), that alone. Sets image_name, image_tag and image_digest of `view` to parts of `reference`.
 */
void names_image(struct text reference, struct event_container *view);

/* What config.json tells; the id is the caller's. */
void names_bundle(const struct bundle *bundle, struct event_container *view);

/*
 * What CRI_SANDBOX_STATUS tells, of the pause container; the id is the caller's. `before`: what was known, or NULL;
 * its image counts where the answer has none.
 */
void names_sandbox(
	const struct cri_sandbox *sandbox, const struct event_container *before, struct event_container *view);

/*
 * What CRI_CONTAINER_STATUS tells, without the pod and the id. The image's name comes from `before` (or NULL) where
 * the runtime gives only an id.
 */
void names_container(
	const struct cri_container *container, const struct event_container *before, struct event_container *view);

/* A container's own names, with those of the pod from its sandbox. The id is `own`'s. */
void names_merge(
	const struct event_container *own, const struct event_container *sandbox, struct event_container *view);

/* Is the pod listed (CRI_LIST_SANDBOXES) as `view` says? The order of labels means nothing. */
bool names_agree(const struct event_container *view, const struct cri_sandbox *sandbox);

#endif
