/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what bundles, runtimes and their state tell to the names that events carry. Views only: the strings stay where they were.
 *
 * A pause container is called POD, as kubelet and cAdvisor call it; it has its pod's labels and addresses.
 */
#ifndef TAFFRAIL_SENSOR_NAMES_H
#define TAFFRAIL_SENSOR_NAMES_H

#include <stdbool.h>

#include "event/event.h"
#include "sensor/bundle.h"
#include "sensor/cri.h"
#include "sensor/state.h"

/*
 * Takes an image reference apart: NAME[:TAG][@DIGEST], and where it is only a digest or a bare id (64 hexadecimal
 * digits), that alone. Sets image_name, image_tag and image_digest of `view` to parts of `reference`.
 */
void names_image(struct text reference, struct event_container *view);

/*
 * A pod's class by a cgroup's path or parent, as kubelet names them: by components (/kubepods/burstable/podUID/…) or as a
 * systemd slice (kubepods-burstable-podUID.slice:cri-containerd:ID), whatever stands before. EVENT_QOS_UNKNOWN: no pod's.
 */
enum event_qos names_qos(struct text cgroup);

/*
 * The pod's owner, from its name, labels and (all) annotations: sets workload_kind and workload_name to parts of these, or static
 * text. A label counts only if the pod's name is one that such an owner gives, for whoever makes a pod may label it:
 *	pod-template-hash                                   Deployment: NAME-HASH-xxxxx
 *	statefulset.kubernetes.io/pod-name,
 *	apps.kubernetes.io/pod-index                        StatefulSet: NAME-0
 *	batch.kubernetes.io/job-name, job-name              Job, or CronJob where that is NAME-MINUTES (of Unix time)
 *	controller-revision-hash                            DaemonSet: NAME-xxxxx
 * Anything else, and what did not come from the API server (static pods), is a Pod by its own name. The API server keeps 58 bytes of
 * a generated name before its five random letters.
 */
void names_workload(struct event_container *view);

/* What config.json tells; the id is the caller's. */
void names_bundle(const struct bundle *bundle, struct event_container *view);

/* What Docker's or Podman's state tells, where `view` (of the bundle, or all zero) does not say it already. */
void names_state(const struct state *state, struct event_container *view);

/*
 * What CRI_SANDBOX_STATUS tells, of the pause container; the id and the runtime are the caller's. `before`: what was known, or NULL;
 * its image and spec count where the answer has none.
 */
void names_sandbox(
	const struct cri_sandbox *sandbox, const struct event_container *before, struct event_container *view);

/*
 * What CRI_CONTAINER_STATUS tells, without the pod, the id and the runtime. What an answer may lack comes from `before` (or NULL):
 * the image's name where the runtime gives only an id, the spec, the class.
 */
void names_container(
	const struct cri_container *container, const struct event_container *before, struct event_container *view);

/* A container's own names, with those of the pod from its sandbox. The id is `own`'s. */
void names_merge(
	const struct event_container *own, const struct event_container *sandbox, struct event_container *view);

enum { NAMES_CHOSEN_BYTES = 256 << 10 }; /* as many as Kubernetes lets all annotations of a pod have */

/*
 * Copies to `chosen` the labels that a list of keys names; a * at a key's end stands for the rest. At most `room`, and
 * NAMES_CHOSEN_BYTES; returns how many.
 */
size_t names_choose(const struct event_label *labels, size_t count, const char *const *keys, size_t key_count,
	struct event_label *chosen, size_t room);

/* Is the pod listed (CRI_LIST_SANDBOXES) as `view` says? The order of labels means nothing. */
bool names_agree(const struct event_container *view, const struct cri_sandbox *sandbox);

#endif
