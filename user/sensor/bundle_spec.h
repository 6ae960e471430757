/* SPDX-License-Identifier: Apache-2.0 */
/* What a container was made to be: from the OCI runtime spec (config.json, or a runtime's copy of it) to struct event_spec. */
#ifndef TAFFRAIL_SENSOR_BUNDLE_SPEC_H
#define TAFFRAIL_SENSOR_BUNDLE_SPEC_H

#include "base/buffer.h"
#include "event/event.h"

enum {
	BUNDLE_ARGS_MAX = 16384,   /* bytes of the arguments; what is behind is left away */
	BUNDLE_MOUNTS_MAX = 65536, /* bytes of all mounts; the first that does not fit, and what is behind, is cut */
};

struct json_object;

/* `view` points into the rest: not to be copied as it is. */
struct bundle_spec {
	struct event_spec view;
	struct event_mount mounts[EVENT_MOUNTS_MAX];
	struct buffer strings;
};

/*
 * Reads a parsed spec; nothing of `config` is needed afterwards. Whatever is not there, or is of another type, is as if it had not
 * been said. NULL without memory. Privileged is what runtimes make of that word: nothing masked, no seccomp filter,
 * every device allowed.
 */
struct bundle_spec *bundle_spec_read(struct json_object *config);
/* NULL is allowed. */
void bundle_spec_free(struct bundle_spec *spec);

#endif
