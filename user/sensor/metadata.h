/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the names of containers come from: a thread of its own that asks every container runtime (cri.h) and reads
 * bundles (bundle.h), so that a runtime which is slow, hangs or lies never stalls the event thread.
 *
 * It lists every runtime's pods and containers when that answers first, then about once a second, and looks up at once
 * what the event thread asks for, or what appears in a runtime's state directory. Names come to the event thread by
 * metadata_answers; changes (a pod's labels) are told as they are seen.
 */
#ifndef TAFFRAIL_SENSOR_METADATA_H
#define TAFFRAIL_SENSOR_METADATA_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"

struct container_meta;
struct metadata;

struct metadata_options {
	/*
	 * Unix sockets of runtimes. None: the usual ones below `host_root`, each used when it appears. One that was named and
	 * is not there is said, and tried again for ever.
	 */
	char *const *sockets;
	size_t socket_count;
	/*
	 * State directories of containerd, CRI-O, Docker and Podman (bundle.h, state.h), beside those that the runtimes themselves
	 * tell. None: the usual ones. All are below `host_root`.
	 */
	char *const *states;
	size_t state_count;
	/* Keys of the pods' annotations that are taken; a * at the end stands for the rest. None: kubernetes.io/config.source. */
	char *const *annotations;
	size_t annotation_count;
	const char *host_root; /* where the host's root directory is seen; NULL or "": / */
};

/*
 * Where a runtime is asked, as this process names it: of those that are named, or of the usual ones below the host's root, the one
 * of that index, links followed there; one that is the same as an earlier one is left out. False past the last.
 */
bool metadata_socket(const struct metadata_options *options, size_t index, char path[PATH_MAX]);

/* Starts the thread. Strings are copied. 0 or -errno. */
int metadata_open(struct metadata **metadata, const struct metadata_options *options);

/*
 * Waits until every runtime that answers has told all its containers (or until it is clear that none does), at most
 * `timeout_ms`. After it the names of what runs already stand ready for metadata_answers. 0 or -ETIMEDOUT.
 */
int metadata_settle(struct metadata *metadata, uint32_t timeout_ms);

/* Wants names for an id: the answer comes by metadata_answers, soon or at last after a second. 0 or -EAGAIN (queue full). */
int metadata_ask(struct metadata *metadata, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/*
 * Wants to know how a container ended: its names come by metadata_answers once more, with `exited`, when the runtime says so within a
 * second; never of a pause container, of one that no CRI knows, or when it was removed at once. 0, -EAGAIN (queue full),
 * or -ENOENT where no runtime has ever answered.
 */
int metadata_ask_exit(struct metadata *metadata, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/* Readable (POLLIN) while answers wait. */
int metadata_fd(const struct metadata *metadata);

/* Hands all answers that wait to `answer`, which takes the reference. Of the event thread. */
void metadata_answers(
	struct metadata *metadata, void (*answer)(void *context, struct container_meta *meta), void *context);

/* Ends the thread. NULL is allowed. */
void metadata_close(struct metadata *metadata);

#endif
