/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the names of containers: bundles and the state of Docker and Podman first, then the runtimes (cri.h), until all that can be
 * known is known. Of the metadata thread: runs in its event base. What a runtime answers counts more than a bundle, and that more
 * than state.
 *
 * A container's names come of three answers: ContainerStatus (name, image), ListContainers (which sandbox) and
 * PodSandboxStatus of that sandbox (the pod). They are asked for at the same time, and again after 5 ms, then less and
 * less often for a second. What a runtime lists and is not complete yet is tried again at every list.
 *
 * What no CRI can know (a container of Docker's or Podman's, or of another namespace of containerd's) is said to be so at once.
 */
#ifndef TAFFRAIL_SENSOR_LOOKUP_H
#define TAFFRAIL_SENSOR_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/event.h"
#include "sensor/container.h"
#include "sensor/cri.h"

enum {
	LOOKUP_RUNTIMES_MAX = 16,
	LOOKUP_STATES_MAX = 16,
	LOOKUP_SUBJECTS_MAX = 16384, /* ids that are known; above it what no runtime lists is forgotten */
	LOOKUP_LISTED_MAX = 2 * LOOKUP_SUBJECTS_MAX, /* … and from here on what one lists anew is left */
	LOOKUP_NAMES_BYTES = 256 << 20,              /* of all names */
	LOOKUP_CALLS_MAX = 32,                       /* calls under way for what was only listed, not asked for */
	LOOKUP_ANNOTATIONS_MAX = 64,                 /* of a pod's */
};
#define LOOKUP_WAIT_NS CONTAINER_WAIT_NS
#define LOOKUP_EXIT_NS (1000ull * 1000 * 1000)       /* a runtime has so long to say how a container ended */
#define LOOKUP_KEEP_NS (300ull * 1000 * 1000 * 1000) /* names outlive their container so long */

struct lookup;

struct lookup_ops {
	/* New, better or changed names. -EAGAIN: they are offered again at the next lookup_tick. */
	int (*publish)(void *context, struct container_meta *meta);
	void *context;
};

struct lookup_options {
	const char *root; /* below which state directories are (rooted.h); "": / */
	/* Keys of the pods' annotations that are taken (names_choose). They stay the caller's. */
	const char *const *annotations;
	size_t annotation_count;
	size_t names_bytes; /* of all names; what does not fit stays without. 0: LOOKUP_NAMES_BYTES */
};

/* `ops` and `options` are copied. 0 or -ENOMEM. */
int lookup_open(struct lookup **lookup, struct event_base *base, const struct lookup_ops *ops,
	const struct lookup_options *options);

/* A runtime to ask. It stays the caller's. `named`: by the configuration, so it should be there. 0 or -ENOSPC. */
int lookup_add_runtime(struct lookup *lookup, struct cri *cri, bool named);
/* Its state is another: ask it what is wanted, or stop waiting for it. Call it for every cri_ops.on_state. */
void lookup_runtime_changed(struct lookup *lookup, struct cri *cri);
/*
 * A state directory of containerd, CRI-O, Docker or Podman (bundle.h, state.h), below the root; copied. One that is known already is
 * not added. True if it was added.
 */
bool lookup_add_state(struct lookup *lookup, const char *directory);

/* Somebody waits for the names of this id: they are published, as they are now and as they become better. */
void lookup_ask(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
/*
 * Somebody waits to hear how this container ended: its names are published again with that as soon as the runtime tells it, if it
 * does in LOOKUP_EXIT_NS. Of a sandbox, and of what no CRI knows, nothing is told.
 */
void lookup_ask_exit(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);
/* It may be of use soon to know this id (its bundle appeared). */
void lookup_expect(struct lookup *lookup, const uint8_t id[EVENT_CONTAINER_ID_SIZE]);

/* Asks every runtime that is up for all its pods and containers, and looks up what is new or changed. */
void lookup_list(struct lookup *lookup);
/* Publishes what could not be, forgets what is gone. */
void lookup_tick(struct lookup *lookup, uint64_t now_ns);

/* Every runtime has been tried, those that are up have been listed, and nothing is being asked. */
bool lookup_settled(const struct lookup *lookup);

/* Ids that are known or being looked up. */
size_t lookup_count(const struct lookup *lookup);

/* Before its runtimes are closed, one after the other: answers (errors) do nothing from now on. NULL is allowed. */
void lookup_stop(struct lookup *lookup);
/* After all runtimes have been closed. NULL is allowed. */
void lookup_close(struct lookup *lookup);

#endif
